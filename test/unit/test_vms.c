/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMs' lives as the operator sees them: the state lines on a real console over a fake line,
 * with VMs that are records alone and stop when the test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "devices/platform.h"
#include "devices/uart.h"
#include "host/log.h"
#include "host/memory.h"
#include "mgmt/console.h"
#include "mgmt/guest_layout.h"
#include "mgmt/loader.h"
#include "mgmt/vms.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_serial.h"

/* --- What a VM is made of, without anything inside --- */

static const struct hw_ops some_hw = {.name = "none"};
const struct hw_ops *hw = &some_hw;

static struct {
	unsigned int created, destroyed, loaded, started, reset, stop_requests;
	int create_error, platform_error, find_error, load_error;
	uint64_t free_frames, vm_frames;
} fake;

static char log_text[65536];

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

static struct platform platforms[8];
static struct uart uarts[8];

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

bool vm_has_stopped(const struct vm *vm)
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
	unsigned int at = fake.created % 8;

	assert_int_equal(options->low_ram_bytes + options->high_ram_bytes,
		vm->memory.limit_pages * PAGE_SIZE);
	memset(&uarts[at], 0, sizeof(uarts[at]));
	uarts[at].device.vm = vm;
	platforms[at].com1 = &uarts[at];
	*out = &platforms[at];
	return fake.platform_error;
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
	vm->memory.limit_pages = memory_bytes / PAGE_SIZE;
	return 0;
}

gpa_t guest_layout_low_end(uint64_t memory_bytes)
{
	return MIN(memory_bytes, PCI_HOLE_START);
}

int loader_find_files(const struct vm_config *config, struct loader_files *files, char *why,
	size_t size)
{
	(void)files;
	snprintf(why, size, "kernel %s is not on the boot volume", config->kernel);
	return fake.find_error;
}

int loader_load(struct vm *vm, const struct vm_config *config, const struct loader_files *files,
	char *why, size_t size)
{
	(void)config;
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

/* --- The tests --- */

static struct config config;

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.free_frames = MIB(1024) / PAGE_SIZE;
	log_text[0] = '\0';
	hw = &some_hw;
	memset(&config, 0, sizeof(config));
	config.vm_count = 3;
	for (size_t i = 0; i < config.vm_count; i++)
		config.vms[i] = (struct vm_config){.memory_bytes = MIB(256), .vcpus = 2,
			.kernel = "\\k", .cmdline = ""};
	strcpy(config.vms[0].name, "one");
	strcpy(config.vms[1].name, "two");
	strcpy(config.vms[2].name, "bad");
	config.vms[2].error = "ballast.conf:9: no kernel";
	fake_serial_reset();
	fake_clock_reset(0);
	console_test_reset();
	assert_int_equal(console_init(), 0);
	vms_test_reset();
	assert_int_equal(vms_init(&config), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vms_test_reset();
	console_test_reset();
	return 0;
}

static void leave_cpus(struct managed_vm *managed)
{
	for (unsigned int i = 0; i < managed->vm->vcpu_count; i++)
		managed->vm->vcpus[i]->state = VCPU_STOPPED;
}

/* The VM stops by itself, and everybody notices. */
static uint64_t ends(struct managed_vm *managed, enum vm_stop stop, uint32_t status,
	const char *reason)
{
	vm_stop(managed->vm, stop, status, reason);
	leave_cpus(managed);
	return vms_poll();
}

static void assert_said(const char *lines)
{
	assert_string_equal(fake_serial_take(), lines);
}

static void start_stop_start(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	assert_string_equal(vms_state_name(one), "not started");
	assert_int_equal(vms_start(one), 0);
	assert_said("vm one: started\r\n");
	assert_string_equal(vms_state_name(one), "running");
	vms_stop(one);
	assert_string_equal(vms_state_name(one), "stopping");
	vms_poll();
	assert_said("");
	/* One vCPU is still in the guest. */
	one->vm->vcpus[0]->state = VCPU_STOPPED;
	vms_poll();
	assert_said("");
	leave_cpus(one);
	vms_poll();
	assert_said("vm one: stopped\r\n");
	assert_string_equal(vms_state_name(one), "stopped");
	assert_int_equal(fake.reset, 1);
	vms_poll();
	assert_said("");
	assert_int_equal(vms_start(one), 0);
	assert_said("vm one: started\r\n");
	assert_int_equal(fake.created, 1);
	assert_int_equal(fake.loaded, 2);
}

static void each_end_has_its_line(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	vms_start(one);
	fake_serial_take();
	ends(one, VM_STOP_POWER_OFF, 0, NULL);
	assert_said("vm one: powered off\r\n");
	assert_string_equal(vms_state_name(one), "powered off");
	vms_start(one);
	fake_serial_take();
	ends(one, VM_STOP_EXIT, 3, NULL);
	assert_said("vm one: exited with status 3\r\n");
	vms_start(one);
	fake_serial_take();
	ends(one, VM_STOP_FAULT, 0, "triple fault");
	assert_said("vm one: stopped: triple fault\r\n");
	assert_string_equal(vms_state_name(one), "faulted");
	assert_string_equal(one->dump, "--- vm one: exit dump\ntriple fault\nvcpu 0: registers\n"
		"vcpu 1: registers\n--- end of dump\n");
	assert_non_null(strstr(log_text, "--- vm one: exit dump\n"));
	assert_non_null(strstr(log_text, "--- end of dump\nvm one: stopped: triple fault\n"));
	/* A new run has nothing of it any more. */
	vms_start(one);
	assert_null(one->dump);
}

static void resets_load_the_kernel_again(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	vms_start(one);
	fake_clock_advance(60 * NS_PER_SEC);
	fake_serial_take();
	ends(one, VM_STOP_RESET, 0, NULL);
	assert_said("vm one: reset\r\n");
	assert_int_equal(fake.loaded, 2);
	assert_true(managed_is_running(one));
	vms_reset(one);
	leave_cpus(one);
	vms_poll();
	assert_said("vm one: reset\r\n");
	assert_int_equal(fake.loaded, 3);
	assert_int_equal(fake.created, 1);
}

static void a_boot_loop_is_slowed_down(void **state)
{
	struct managed_vm *one = vms_find("one");
	unsigned int lines = 0;
	uint64_t start = clock_now_ns(), again;

	(void)state;
	vms_start(one);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ends(one, VM_STOP_RESET, 0, NULL), 0);
	assert_true(managed_is_running(one));
	fake_serial_take();
	again = ends(one, VM_STOP_RESET, 0, NULL);
	assert_said("vm one: reset, again and again: starts in 2 s\r\n");
	assert_string_equal(vms_state_name(one), "waiting");
	assert_int_equal(again, clock_now_ns() + 2 * NS_PER_SEC);
	fake_clock_advance(2 * NS_PER_SEC - 1000);
	vms_poll();
	assert_said("");
	fake_clock_advance(2000);
	vms_poll();
	assert_said("vm one: started\r\n");
	/* For ten minutes: how much of the console does it take? */
	while (clock_now_ns() - start < 600 * NS_PER_SEC) {
		if (managed_is_running(one))
			ends(one, VM_STOP_RESET, 0, NULL);
		fake_clock_advance(NS_PER_SEC / 10);
		vms_poll();
	}
	for (const char *c = fake_serial_take(); *c; c++)
		lines += *c == '\n';
	assert_true(lines < 60);
	/* Waiting, it can be stopped, and then it stays so. */
	while (managed_is_running(one))
		ends(one, VM_STOP_RESET, 0, NULL);
	fake_serial_take();
	vms_stop(one);
	assert_said("vm one: stopped\r\n");
	fake_clock_advance(100 * NS_PER_SEC);
	vms_poll();
	assert_said("");
	assert_false(managed_is_running(one));
	/* A guest that runs long in between is not in a loop. */
	vms_start(one);
	for (int i = 0; i < 20; i++) {
		fake_clock_advance(11 * NS_PER_SEC);
		assert_int_equal(ends(one, VM_STOP_RESET, 0, NULL), 0);
	}
}

static void the_operator_wins_over_the_guest(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	vms_start(one);
	fake_serial_take();
	/* The guest resets itself just when the operator stops it. */
	vm_stop(one->vm, VM_STOP_RESET, 0, NULL);
	vms_stop(one);
	leave_cpus(one);
	vms_poll();
	assert_said("vm one: stopped\r\n");
	assert_false(managed_is_running(one));
	/* It powers off just when the operator resets it. */
	vms_start(one);
	fake_serial_take();
	vm_stop(one->vm, VM_STOP_POWER_OFF, 0, NULL);
	vms_reset(one);
	leave_cpus(one);
	vms_poll();
	assert_said("vm one: reset\r\n");
	assert_true(managed_is_running(one));
}

static void destroy_gives_everything_back(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	vms_start(one);
	assert_int_equal(vms_overhead_bytes(one), 20 * PAGE_SIZE);
	one->vm->memory.s2.table_pages = 5;
	assert_int_equal(vms_overhead_bytes(one), 24 * PAGE_SIZE);
	fake_serial_take();
	vms_destroy(one);
	leave_cpus(one);
	vms_poll();
	assert_said("vm one: destroyed\r\n");
	assert_null(one->vm);
	assert_int_equal(fake.destroyed, 1);
	assert_int_equal(vms_overhead_bytes(one), 0);
	assert_string_equal(vms_state_name(one), "not started");
	assert_int_equal(vms_start(one), 0);
	assert_int_equal(fake.created, 2);
	/* Of a stopped one, at once. */
	ends(one, VM_STOP_POWER_OFF, 0, NULL);
	fake_serial_take();
	vms_destroy(one);
	assert_said("vm one: destroyed\r\n");
}

static void what_cannot_start_says_why(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	assert_int_equal(vms_start(vms_find("bad")), -EINVAL);
	assert_said("vm bad: could not start: ballast.conf:9: no kernel\r\n");
	assert_string_equal(vms_state_name(vms_find("bad")), "misconfigured");
	fake.find_error = -ENOENT;
	assert_int_equal(vms_start(one), -ENOENT);
	assert_said("vm one: could not start: kernel \\k is not on the boot volume\r\n");
	fake.find_error = 0;
	fake.load_error = -EINVAL;
	assert_int_equal(vms_start(one), -EINVAL);
	assert_said("vm one: could not start: it is no kernel\r\n");
	fake.load_error = 0;
	fake.create_error = -ENOMEM;
	assert_int_equal(vms_start(one), -ENOMEM);
	assert_said("vm one: could not start: no memory for its records\r\n");
	fake.create_error = 0;
	fake.platform_error = -ENOSPC;
	assert_int_equal(vms_start(one), -ENOSPC);
	assert_said("vm one: could not start: it cannot be built (error 28)\r\n");
	fake.platform_error = 0;
	/* Nothing was left behind by any of them. */
	assert_int_equal(fake.created, fake.destroyed);
	assert_null(one->vm);
	hw = NULL;
	assert_int_equal(vms_start(one), -ENOTSUP);
	assert_said("vm one: could not start: this CPU cannot run guests\r\n");
	/* A reset that fails is an end. */
	hw = &some_hw;
	assert_int_equal(vms_start(one), 0);
	fake_serial_take();
	fake.load_error = -EINVAL;
	fake_clock_advance(60 * NS_PER_SEC);
	ends(one, VM_STOP_RESET, 0, NULL);
	assert_said("vm one: could not start: it is no kernel\r\n");
	assert_null(one->vm);
}

static void memory_must_suffice_for_all(void **state)
{
	struct managed_vm *one = vms_find("one"), *two = vms_find("two");
	const char *said;

	(void)state;
	/* Enough for both only if what the first has not used yet did not count. */
	fake.free_frames = MIB(400) / PAGE_SIZE;
	assert_int_equal(vms_start(one), 0);
	assert_int_equal(vms_promised_bytes(), MIB(256) - 100 * PAGE_SIZE);
	fake_serial_take();
	assert_int_equal(vms_start(two), -ENOMEM);
	said = fake_serial_take();
	assert_non_null(strstr(said, "vm two: could not start: it needs 256 MiB and 1 MiB for its "
		"tables; 400 MiB are free, 255 MiB of these promised to running VMs\r\n"));
	ends(one, VM_STOP_POWER_OFF, 0, NULL);
	assert_int_equal(vms_promised_bytes(), 0);
	assert_int_equal(vms_start(two), 0);
}

static void one_autostarted_vm_has_the_console(void **state)
{
	(void)state;
	config.vms[1].autostart = true;
	config.vms[2].autostart = true;
	vms_autostart();
	assert_true(console_is_attached(&vms_find("two")->port));
	assert_non_null(strstr(fake_serial_take(), "vm two: started\r\n--- console of vm two"));
	/* Its end gives the console back. */
	ends(vms_find("two"), VM_STOP_POWER_OFF, 0, NULL);
	assert_false(console_is_attached(&vms_find("two")->port));
}

static void several_autostarted_vms_have_not(void **state)
{
	(void)state;
	config.vms[0].autostart = true;
	config.vms[1].autostart = true;
	vms_autostart();
	assert_said("vm one: started\r\nvm two: started\r\n");
	assert_false(console_is_attached(&vms_find("one")->port));
	assert_false(console_is_attached(&vms_find("two")->port));
}

static void the_console_survives_a_reset(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	vms_start(one);
	console_attach(&one->port);
	fake_clock_advance(60 * NS_PER_SEC);
	ends(one, VM_STOP_RESET, 0, NULL);
	assert_true(console_is_attached(&one->port));
	vms_destroy(one);
	leave_cpus(one);
	vms_poll();
	assert_false(console_is_attached(&one->port));
}

static void trace_outlives_a_restart(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	vms_set_trace(one, true);
	vms_start(one);
	assert_true(one->vm->vcpus[0]->trace && one->vm->vcpus[1]->trace);
	vms_set_trace(one, false);
	assert_false(one->vm->vcpus[0]->trace || one->vm->vcpus[1]->trace);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(start_stop_start),
		TEST(each_end_has_its_line),
		TEST(resets_load_the_kernel_again),
		TEST(a_boot_loop_is_slowed_down),
		TEST(the_operator_wins_over_the_guest),
		TEST(destroy_gives_everything_back),
		TEST(what_cannot_start_says_why),
		TEST(memory_must_suffice_for_all),
		TEST(one_autostarted_vm_has_the_console),
		TEST(several_autostarted_vms_have_not),
		TEST(the_console_survives_a_reset),
		TEST(trace_outlives_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
