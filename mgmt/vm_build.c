/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM is made of, and the memory for it; see mgmt/vm_build.h. */
#include "mgmt/vm_build.h"

#include "devices/platform.h"
#include "devices/virtio/rng.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/guest_layout.h"
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

int vm_build_admit(const struct managed_vm *managed, char *why, size_t size)
{
	uint64_t memory = managed->config->memory_bytes;
	uint64_t overhead = OVERHEAD_BYTES + (memory >> OVERHEAD_SHIFT);
	uint64_t promised = vms_promised_bytes();
	struct memory_stats stats;
	uint64_t free;

	frame_get_stats(&stats);
	free = stats.frames[FRAME_FREE] * PAGE_SIZE;
	if (free >= promised && free - promised >= memory + overhead)
		return 0;
	snprintf(why, size, "it needs %s and %s for its tables; %s are free, %s of these promised "
		"to running VMs", text_size(memory).chars, text_size(overhead).chars,
		text_size(free).chars, text_size(promised).chars);
	return -ENOMEM;
}

/* --- Creation and destruction --- */

void vm_unbuild(struct managed_vm *managed)
{
	if (managed->vm) {
		vm_console_disconnect(managed);
		vm_destroy(managed->vm);
		heap_free(managed->dump);
		managed->dump = NULL;
		managed->vm = NULL;
		managed->platform = NULL;
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

/* The virtio devices, in this order on the PCI bus. */
static int plug_devices(struct managed_vm *managed, char *why, size_t size)
{
	int error = vm_disks_create(managed, why, size);

	if (!error)
		error = vm_nets_create(managed, why, size);
	if (!error)
		error = vm_console_connect(managed);
	return error ? error : create_rng(managed, why, size);
}

static int furnish(struct managed_vm *managed, char *why, size_t size)
{
	const struct vm_config *config = managed->config;
	struct platform_options options = {.debug_exit = config->debug_exit};
	int error = config->tsc_hz ? vm_set_tsc_hz(managed->vm, config->tsc_hz) : 0;

	if (!error)
		error = guest_layout_add_memory(managed->vm, config->memory_bytes);
	if (error)
		return error;
	options.low_ram_bytes =
		MIN(config->memory_bytes, guest_layout_low_end(config->memory_bytes));
	options.high_ram_bytes = config->memory_bytes - options.low_ram_bytes;
	error = platform_create(managed->vm, &options, &managed->platform);
	if (error)
		return error;
	error = plug_devices(managed, why, size);
	return error ? error : sched_set(managed->vm, &config->sched);
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

