/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM is made of, and the memory for it; see mgmt/vm_build.h. */
#include "mgmt/vm_build.h"

#include "balloon/economy.h"
#include "balloon/policy.h"
#include "devices/platform.h"
#include "devices/virtio/balloon.h"
#include "devices/virtio/mem.h"
#include "devices/virtio/rng.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/guest_layout.h"
#include "mgmt/loader.h"
#include "mgmt/text.h"
#include "mgmt/vm_console.h"
#include "mgmt/vm_disks.h"
#include "mgmt/vm_nets.h"
#include "vcpu/sched.h"

/* Besides a guest's memory: its records, and page tables for all of it in the smallest pages. */
#define OVERHEAD_BYTES KIB(512)
#define OVERHEAD_SHIFT 9

/* --- Memory --- */

static uint64_t vm_memory_in_use(void)
{
	struct memory_stats stats;

	frame_get_stats(&stats);
	return stats.frames[FRAME_VM] * PAGE_SIZE;
}

uint64_t vms_overhead_bytes(const struct managed_vm *managed)
{
	uint64_t tables;

	if (!managed->vm)
		return 0;
	tables = managed->vm->memory.s2.table_pages - managed->table_pages;
	return managed->overhead_bytes + tables * PAGE_SIZE;
}

/* What there is for VMs in all, in pages: what is free, and what they have. */
static uint64_t pages_for_vms(void)
{
	struct memory_stats stats;

	frame_get_stats(&stats);
	return frame_guest_total(&stats) + stats.frames[FRAME_VM];
}

/* Of one that runs: what it has already, and tables for what it has not touched. */
static uint64_t overhead_kept(const struct managed_vm *managed)
{
	const struct guest_memory *memory = &managed->vm->memory;
	uint64_t untouched = memory->limit_pages - memory->resident_pages;

	return vms_overhead_bytes(managed) / PAGE_SIZE + (untouched >> OVERHEAD_SHIFT);
}

/* For a VM with so much memory, all of it touched. */
static uint64_t overhead_of(uint64_t memory_bytes)
{
	return OVERHEAD_BYTES + (memory_bytes >> OVERHEAD_SHIFT);
}

static struct policy_promise promise_of(const struct managed_vm *managed,
	const struct vm_config *config)
{
	struct policy_promise promise = {
		.min_pages = config_min_memory(config) / PAGE_SIZE,
		.overhead_pages = overhead_of(config_max_memory(config)) / PAGE_SIZE,
	};

	if (managed_is_running(managed))
		promise.overhead_pages = overhead_kept(managed);
	return promise;
}

/* Of another one: nothing is guaranteed to one that does not run, though it may be there. */
static struct policy_promise promise_to_other(const struct managed_vm *managed)
{
	if (managed_is_running(managed))
		return promise_of(managed, managed->config);
	return (struct policy_promise){
		.overhead_pages = vms_overhead_bytes(managed) / PAGE_SIZE,
	};
}

int vm_build_admit(const struct managed_vm *managed, const struct vm_config *config, char *why,
	size_t size)
{
	static struct policy_promise promises[VMS_MAX];
	struct policy_promise own = promise_of(managed, config);
	struct policy_admission others, all;
	unsigned int count = 0;
	uint64_t total = pages_for_vms();

	for (size_t i = 0; i < vms_count(); i++)
		if (vms_at(i) != managed && vms_at(i)->vm)
			promises[count++] = promise_to_other(vms_at(i));
	if (policy_admit(promises, count, total, &others)) {
		promises[count] = own;
		if (policy_admit(promises, count + 1, total, &all))
			return 0;
	}
	total -= MIN(total, others.min_pages + others.overhead_pages);
	snprintf(why, size, "it needs %s that are guaranteed to it and %s for its tables; "
		"%s are guaranteed to running VMs, which take %s besides, and %s are free",
		text_size(own.min_pages * PAGE_SIZE).chars,
		text_size(own.overhead_pages * PAGE_SIZE).chars,
		text_size(others.min_pages * PAGE_SIZE).chars,
		text_size(others.overhead_pages * PAGE_SIZE).chars,
		text_size(total * PAGE_SIZE).chars);
	return -ENOMEM;
}

static uint64_t loaded_pages(const struct vm_config *config, const struct loader_files *files)
{
	uint64_t bytes = files->kernel.bytes + files->initrd.bytes;

	for (size_t i = 0; i < config->module_count; i++)
		bytes += files->modules[i].bytes;
	return bytes / PAGE_SIZE;
}

bool vm_build_has_room(const struct managed_vm *managed, const struct loader_files *files,
	char *why, size_t size)
{
	const struct vm_config *config = managed->config;
	uint64_t pages = MAX(config_min_memory(config) / PAGE_SIZE, loaded_pages(config, files));
	struct memory_stats stats;

	pages += overhead_of(pages * PAGE_SIZE) / PAGE_SIZE;
	if (economy_make_room(pages))
		return true;
	frame_get_stats(&stats);
	snprintf(why, size, "it needs %s at once, %s are free, and others have to give back what is"
		" not guaranteed to them", text_size(pages * PAGE_SIZE).chars,
		text_size(stats.frames[FRAME_FREE] * PAGE_SIZE).chars);
	return false;
}

/* --- Creation and destruction --- */

void vm_unbuild(struct managed_vm *managed)
{
	if (managed->vm) {
		vm_console_disconnect(managed);
		economy_remove(managed->vm);
		vm_destroy(managed->vm);
		heap_free(managed->dump);
		managed->dump = NULL;
		managed->vm = NULL;
		managed->platform = NULL;
		managed->hotplug = NULL;
		managed->restart_ns = 0;
	}
	vm_disks_forget(managed);
	vm_nets_forget(managed);
}

static int create_rng(struct managed_vm *managed, char *why, size_t size)
{
	int error;

	if (!managed->config->rng)
		return 0;
	error = virtio_rng_create(managed->vm, managed->platform->pci);
	if (error == -ENODEV)
		snprintf(why, size, "rng: this machine's CPU has neither RDSEED nor RDRAND that"
			" work");
	return error;
}

/* What is asked for above what it has from its start. */
static void request_hotplug(struct managed_vm *managed)
{
	uint64_t boot = guest_layout_memory_bytes(&managed->vm->memory);
	uint64_t memory = managed->config->memory_bytes;

	if (managed->hotplug)
		virtio_mem_request(managed->hotplug, memory - MIN(memory, boot));
}

static int create_hotplug(struct managed_vm *managed)
{
	const struct memory_slot *slot = guest_layout_hotplug(&managed->vm->memory);

	return slot ? virtio_mem_create(managed->vm, managed->platform->pci, slot->start,
		slot->bytes, &managed->hotplug) : 0;
}

/* The virtio devices, in this order on the PCI bus. */
static int plug_devices(struct managed_vm *managed, char *why, size_t size)
{
	int error = vm_disks_create(managed, why, size);

	if (!error)
		error = vm_nets_create(managed, why, size);
	if (!error)
		error = vm_console_connect(managed);
	if (!error)
		error = create_rng(managed, why, size);
	if (!error && managed->config->balloon)
		error = virtio_balloon_create(managed->vm, managed->platform->pci);
	if (!error)
		error = create_hotplug(managed);
	return error;
}

/* What it has from its start, and what is plugged in later. */
static int add_memory(struct managed_vm *managed)
{
	const struct vm_config *config = managed->config;
	uint64_t most = config_max_memory(config);
	uint64_t boot = config->hotplug ? config->memory_bytes : most;
	int error = guest_layout_add_memory(managed->vm, boot);

	if (!error && most > boot)
		error = guest_layout_add_hotplug(managed->vm, most - boot);
	return error;
}

static int furnish(struct managed_vm *managed, char *why, size_t size)
{
	const struct vm_config *config = managed->config;
	struct platform_options options = {.debug_exit = config->debug_exit};
	int error = config->tsc_hz ? vm_set_tsc_hz(managed->vm, config->tsc_hz) : 0;
	uint64_t memory;

	if (!error)
		error = add_memory(managed);
	if (error)
		return error;
	memory = guest_layout_memory_bytes(&managed->vm->memory);
	options.low_ram_bytes = MIN(memory, guest_layout_low_end(memory));
	options.high_ram_bytes = memory - options.low_ram_bytes;
	error = platform_create(managed->vm, &options, &managed->platform);
	if (error)
		return error;
	error = plug_devices(managed, why, size);
	return error ? error : sched_set(managed->vm, &config->sched);
}

/* The group's name as a number: FNV-1a. 0: none. */
static uint64_t group_number(const char *name)
{
	uint64_t number = 0xcbf29ce484222325ULL;

	if (!*name)
		return 0;
	while (*name)
		number = (number ^ (uint8_t)*name++) * 0x100000001b3ULL;
	return number;
}

static struct economy_terms terms_of(const struct vm_config *config)
{
	return (struct economy_terms){
		.min_pages = config_min_memory(config) / PAGE_SIZE,
		.memory_pages = config->memory_bytes / PAGE_SIZE,
		.shares = config_shares(config),
		.group = group_number(config->group),
	};
}

void vm_build_set_memory(struct managed_vm *managed)
{
	struct economy_terms terms = terms_of(managed->config);

	economy_set_terms(managed->vm, &terms);
	request_hotplug(managed);
}

static int join_economy(struct managed_vm *managed, char *why, size_t size)
{
	struct economy_terms terms = terms_of(managed->config);
	int error = economy_add(managed->vm, &terms);

	if (error == -ENOSPC)
		snprintf(why, size, "%u VMs have been started and are still there, and memory"
			" is not shared out among more; destroy one", POLICY_GUESTS_MAX);
	return error;
}

static const char *why_not_built(int error)
{
	switch (error) {
	case -ENOMEM:
		return "no memory for its records";
	case -EINVAL:
		return "none of its cpus runs guests";
	case -ENOSPC:
		return "it has no room for all its devices";
	case -ENOTSUP:
		return "this CPU cannot scale its TSC to the frequency that 'tsc' asks for; set"
			" tsc=machine";
	}
	return "it cannot be built (error %d)";
}

int vm_build(struct managed_vm *managed, char *why, size_t size)
{
	int error = vm_disks_open(managed, why, size);
	uint64_t before = vm_memory_in_use();

	if (error)
		return error;
	why[0] = '\0';
	error = vm_create(managed->config->name, managed->config->vcpus, &managed->vm);
	if (error) {
		managed->vm = NULL;
	} else {
		managed->vm->overhead_bytes_before = before;
		error = furnish(managed, why, size);
		if (!error)
			error = join_economy(managed, why, size);
	}
	if (error) {
		vm_unbuild(managed);
		if (!why[0])
			snprintf(why, size, why_not_built(error), -error);
		return error;
	}
	managed->overhead_bytes = vm_memory_in_use() - before;
	managed->table_pages = managed->vm->memory.s2.table_pages;
	return 0;
}

