/* SPDX-License-Identifier: BSD-2-Clause */
#include "test/unit/fake_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "balloon/economy.h"
#include "balloon/policy.h"
#include "devices/platform.h"
#include "devices/uart.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/memory.h"
#include "mgmt/guest_layout.h"
#include "mgmt/loader.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_devices.h"
#include "test/unit/fake_serial.h"
#include "vcpu/balloon_port.h"
#include "vcpu/pvclock.h"

const struct hw_ops fake_hw = {.name = "none"};
const struct hw_ops *hw = &fake_hw;

struct fake_parts fake;
struct fake_sched sched;
char log_text[65536];

void log_line(const char *format, ...)
{
	size_t length = strlen(log_text);
	va_list args;

	va_start(args, format);
	vsnprintf(log_text + length, sizeof(log_text) - length - 1, format, args);
	va_end(args);
	strcat(log_text, "\n");
}

void log_note(const char *format, ...)
{
	size_t length = strlen(log_text);
	va_list args;

	va_start(args, format);
	vsnprintf(log_text + length, sizeof(log_text) - length - 1, format, args);
	va_end(args);
	strcat(log_text, "\n");
}

void frame_get_stats(struct memory_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	stats->frames[FRAME_FREE] = fake.free_frames;
	stats->frames[FRAME_VM] = fake.vm_frames;
	stats->frames[FRAME_GUEST] = fake.guest_frames;
}

int vm_create(const char *name, unsigned int vcpu_count, struct vm **out)
{
	struct vm *vm;

	if (fake.create_error)
		return fake.create_error;
	vm = calloc(1, sizeof(*vm));
	snprintf(vm->name, sizeof(vm->name), "%s", name);
	vm->vcpu_count = vcpu_count;
	for (unsigned int i = 0; i < vcpu_count; i++) {
		vm->vcpus[i] = calloc(1, sizeof(*vm->vcpus[i]));
		vm->vcpus[i]->id = i;
		vm->vcpus[i]->vm = vm;
	}
	vm->memory.s2.table_pages = 1;
	fake.vm_frames += 20;
	fake.created++;
	*out = vm;
	return 0;
}

int vm_set_tsc_hz(struct vm *vm, uint64_t hz)
{
	assert_int_equal(vm->state, VM_STOPPED);
	if (!fake.tsc_error)
		vm->tsc_hz = hz;
	return fake.tsc_error;
}

#define PLATFORMS (2 * POLICY_GUESTS_MAX)
static struct platform platforms[PLATFORMS];
static struct uart uarts[PLATFORMS];

void vm_destroy(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		free(vm->vcpus[i]);
	free(vm);
	fake.vm_frames -= 20;
	fake.destroyed++;
}

void vm_reset(struct vm *vm)
{
	assert_int_equal(vm->state, VM_STOPPED);
	vm->stop = VM_STOP_NONE;
	vm->stop_status = 0;
	vm->stop_reason[0] = '\0';
	vm->memory.resident_pages = 0;
	fake.reset++;
}

void vm_start(struct vm *vm)
{
	assert_int_equal(vm->state, VM_STOPPED);
	assert_int_equal(vm->stop, VM_STOP_NONE);
	vm->state = VM_RUNNING;
	vm->paused = false;
	vm->started_ns = clock_now_ns();
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vm->vcpus[i]->state = VCPU_RUNNABLE;
	fake.started++;
}

/* The vCPUs leave their CPUs in leave_cpus() alone. */
void vm_stop(struct vm *vm, enum vm_stop stop, uint32_t status, const char *reason)
{
	fake.stop_requests++;
	if (vm->stop != VM_STOP_NONE)
		return;
	vm->stop = stop;
	vm->stop_status = status;
	snprintf(vm->stop_reason, sizeof(vm->stop_reason), "%s", reason ? reason : "");
}

bool vm_has_stopped(struct vm *vm)
{
	bool stopped = vm->stop != VM_STOP_NONE;

	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		stopped &= vm->vcpus[i]->state == VCPU_STOPPED;
	return stopped;
}

void vcpu_dump(struct vcpu *vcpu, void (*line)(const char *format, ...))
{
	line("vcpu %u: registers", vcpu->id);
}

int platform_create(struct vm *vm, const struct platform_options *options, struct platform **out)
{
	unsigned int at = fake.created % PLATFORMS;

	assert_int_equal(options->low_ram_bytes + options->high_ram_bytes,
		vm->memory.limit_pages * PAGE_SIZE);
	memset(&uarts[at], 0, sizeof(uarts[at]));
	uarts[at].device.vm = vm;
	platforms[at].com1 = &uarts[at];
	*out = &platforms[at];
	return fake.platform_error;
}

int sched_set(struct vm *vm, const struct sched_params *params)
{
	(void)vm;
	if (!(params->cpus.words[0] & 0xf))
		return -EINVAL;
	sched.set = *params;
	sched.sets++;
	return 0;
}

void sched_pause(struct vm *vm)
{
	assert_int_equal(vm->state, VM_RUNNING);
	vm->paused = true;
	sched.paused++;
}

/* Before they run again. */
void pvclock_vm_paused(struct vm *vm)
{
	(void)vm;
	assert_true(sched.paused > sched.resumed);
	sched.clocks_told++;
}

void sched_resume(struct vm *vm)
{
	assert_int_equal(vm->state, VM_RUNNING);
	vm->paused = false;
	sched.resumed++;
}

struct machine machine;

const struct machine_file *machine_find_file(const char *path)
{
	for (size_t i = 0; i < machine.file_count; i++)
		if (strcmp(machine.files[i].path, path) == 0)
			return &machine.files[i];
	return NULL;
}

size_t uart_input(struct uart *uart, const uint8_t *bytes, size_t count)
{
	assert_true(uart->device.vm->lock.next != uart->device.vm->lock.owner);
	(void)bytes;
	return count;
}

void uart_output_ready(struct uart *uart)
{
	assert_true(uart->device.vm->lock.next != uart->device.vm->lock.owner);
}

int guest_layout_add_memory(struct vm *vm, uint64_t memory_bytes)
{
	vm->memory.boot_pages = vm->memory.limit_pages = memory_bytes / PAGE_SIZE;
	return 0;
}

int guest_layout_add_hotplug(struct vm *vm, uint64_t bytes)
{
	vm->memory.slots[0] = (struct memory_slot){ .start = GIB(4), .bytes = bytes };
	vm->memory.slot_count = 1;
	return 0;
}

uint64_t guest_layout_memory_bytes(const struct guest_memory *memory)
{
	return memory->boot_pages * PAGE_SIZE;
}

const struct memory_slot *guest_layout_hotplug(const struct guest_memory *memory)
{
	return memory->slot_count ? &memory->slots[0] : NULL;
}

int virtio_mem_create(struct vm *vm, struct pci *pci, gpa_t start, uint64_t bytes, struct virtio_mem **mem)
{
	(void)vm, (void)pci;
	assert_int_equal(start, GIB(4));
	fake.hotplug = (struct virtio_mem_state){ 0 };
	fake.hotplug_bytes = bytes;
	*mem = (struct virtio_mem *)&fake.hotplug;
	return 0;
}

void virtio_mem_request(struct virtio_mem *mem, uint64_t bytes)
{
	assert_ptr_equal(mem, &fake.hotplug);
	fake.hotplug.requested_bytes = bytes;
}

struct virtio_mem_state virtio_mem_look(const struct virtio_mem *mem)
{
	assert_ptr_equal(mem, &fake.hotplug);
	return fake.hotplug;
}

gpa_t guest_layout_low_end(uint64_t memory_bytes)
{
	return MIN(memory_bytes, PCI_HOLE_START);
}

int loader_find_files(const struct vm_config *vm, struct loader_files *files, char *why,
	size_t size)
{
	/* Of modules that are not there nothing is said. */
	memset(files, 0xa5, sizeof(*files));
	files->kernel = (struct loader_file){ NULL, 10 * PAGE_SIZE };
	files->initrd = (struct loader_file){ 0 };
	snprintf(why, size, "kernel %s is not on the boot volume", vm->kernel);
	return fake.find_error;
}

int loader_load(struct vm *vm, const struct vm_config *wanted, const struct loader_files *files,
	char *why, size_t size)
{
	(void)wanted;
	(void)files;
	assert_int_equal(vm->state, VM_STOPPED);
	assert_int_equal(vm->memory.resident_pages, 0);
	snprintf(why, size, "it is no kernel");
	if (fake.load_error)
		return fake.load_error;
	vm->memory.resident_pages = 100;
	fake.loaded++;
	return 0;
}

/* The shell stays silent. */
void shell_draw(void)
{
}

void shell_forget(void)
{
}

void shell_input(uint8_t byte)
{
	(void)byte;
}

struct config config;

void fake_parts_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	memset(&sched, 0, sizeof(sched));
	machine.file_count = 4;
	strcpy(machine.files[0].path, "\\k");
	strcpy(machine.files[1].path, "\\unreadable");
	machine.files[1].error = -EIO;
	strcpy(machine.files[2].path, "\\tiny\\i");
	strcpy(machine.files[3].path, "\\images\\base.img");
	fake.free_frames = MIB(1024) / PAGE_SIZE;
	log_text[0] = '\0';
	hw = &fake_hw;
	memset(&config, 0, sizeof(config));
	config.vm_count = 3;
	for (size_t i = 0; i < config.vm_count; i++)
		config.vms[i] = (struct vm_config){.memory_bytes = MIB(256), .min_percent = 100,
			.shares_per_mib = CONFIG_SHARES_NORMAL, .vcpus = 2,
			.kernel = "\\k", .cmdline = "", .sched = {100, 0, CPU_SET_ALL}};
	strcpy(config.vms[0].name, "one");
	strcpy(config.vms[1].name, "two");
	strcpy(config.vms[2].name, "bad");
	config.vms[2].error = "ballast.conf:9: no kernel";
	fake_serial_reset();
	fake_clock_reset(0);
	fake_devices_reset();
	console_test_reset();
	assert_int_equal(console_init(), 0);
}

void fake_parts_begin(void)
{
	vms_test_reset();
	assert_int_equal(vms_init(&config), 0);
}

void fake_parts_end(void)
{
	vms_test_reset();
	console_test_reset();
}

void leave_cpus(struct managed_vm *managed)
{
	for (unsigned int i = 0; i < managed->vm->vcpu_count; i++)
		managed->vm->vcpus[i]->state = VCPU_STOPPED;
}

/* The economy: it only moves the balloon to where it is when nothing is short. */
void economy_set_terms(struct vm *vm, const struct economy_terms *terms)
{
	struct vm_balloon *balloon = vm->balloon;
	uint64_t target = vm->memory.boot_pages - MIN(vm->memory.boot_pages, terms->memory_pages);

	assert_true(vm->economy);
	if (!balloon || balloon->target_pages == target)
		return;
	balloon->target_pages = target;
	balloon->retarget(balloon);
}

int economy_add(struct vm *vm, const struct economy_terms *terms)
{
	assert_null(vm->economy);
	if (fake.economies == POLICY_GUESTS_MAX)
		return -ENOSPC;
	fake.economies++;
	vm->economy = (void *)vm;
	economy_set_terms(vm, terms);
	return 0;
}

bool economy_make_room(uint64_t pages)
{
	fake.room_wanted = pages;
	return !fake.no_room;
}

void economy_remove(struct vm *vm)
{
	fake.economies -= vm->economy != NULL;
	vm->economy = NULL;
}
