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

#include "balloon/policy.h"
#include "devices/platform.h"
#include "devices/uart.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/memory.h"
#include "mgmt/console.h"
#include "mgmt/guest_layout.h"
#include "mgmt/loader.h"
#include "mgmt/vms.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_devices.h"
#include "test/unit/fake_parts.h"
#include "test/unit/fake_serial.h"
#include "vcpu/pvclock.h"

static int setup(void **state)
{
	(void)state;
	fake_parts_reset();
	fake_parts_begin();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_parts_end();
	return 0;
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

static void a_start_waits_for_what_is_guaranteed(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	fake.no_room = true;
	fake_serial_take();
	vms_start(one);
	assert_true(strstr(fake_serial_take(), "vm one: waits to start: it needs "));
	assert_in_range(fake.room_wanted, config_min_memory(one->config) / PAGE_SIZE,
		config_min_memory(one->config) / PAGE_SIZE * 11 / 10 + 256);
	assert_string_equal(vms_state_name(one), "waiting");
	assert_int_equal(fake.created, 0);
	/* It is told once. */
	for (int i = 0; i < 20; i++) {
		fake_clock_advance(100 * NS_PER_MS);
		assert_true(vms_poll());
	}
	assert_said("");
	fake.no_room = false;
	fake_clock_advance(100 * NS_PER_MS);
	vms_poll();
	assert_said("vm one: started\r\n");
	assert_int_equal(fake.loaded, 1);
	/* It can be stopped meanwhile, and be destroyed. */
	ends(one, VM_STOP_POWER_OFF, 0, NULL);
	fake.no_room = true;
	vms_start(one);
	vms_stop(one);
	assert_string_equal(vms_state_name(one), "stopped");
	vms_start(one);
	assert_string_equal(vms_state_name(one), "waiting");
	for (int i = 0; i < 299; i++) {
		fake_clock_advance(NS_PER_SEC);
		vms_poll();
	}
	assert_string_equal(vms_state_name(one), "waiting");
	fake_serial_take();
	fake_clock_advance(2 * NS_PER_SEC);
	vms_poll();
	assert_true(strstr(fake_serial_take(), "vm one: could not start: it needs "));
	assert_string_equal(vms_state_name(one), "not started");
	vms_start(one);
	assert_string_equal(vms_state_name(one), "waiting");
	vms_destroy(one);
	fake.no_room = false;
	fake_clock_advance(NS_PER_SEC);
	vms_poll();
	assert_false(managed_is_running(one));
	assert_int_equal(fake.loaded, 1);
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
	assert_said("vm one: could not start: it has no room for all its devices\r\n");
	fake.platform_error = 0;
	/* Nothing was left behind by any of them. */
	assert_int_equal(fake.created, fake.destroyed);
	assert_null(one->vm);
	hw = NULL;
	assert_int_equal(vms_start(one), -ENOTSUP);
	assert_said("vm one: could not start: this CPU cannot run guests\r\n");
	/* A reset that fails is an end. */
	hw = &fake_hw;
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
	assert_non_null(strstr(said, "vm two: could not start: it needs 256 MiB that are guaranteed to "
		"it and 1 MiB for its tables; 256 MiB are guaranteed to running VMs, which take 588 KiB "
		"besides, and 143 MiB are free\r\n"));
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

static char why[240];

static void assert_refused(const char *name, const char *settings, const char *sentence)
{
	size_t count = vms_count();

	assert_true(vms_create(name, settings, why, sizeof(why)) < 0);
	assert_string_equal(why, sentence);
	assert_int_equal(vms_count(), count);
	assert_said("");
}

static void created_vms_live_and_go(void **state)
{
	struct managed_vm *new;

	(void)state;
	assert_int_equal(vms_create("new", "kernel=/k memory=64M vcpus=3 weight=50 cap=25% cpus=0-1 "
		"cmdline=\"a  b\" initrd='tiny/i' module=\"/k some words\" debug-exit=yes", why,
		sizeof(why)), 0);
	assert_said("vm new: created\r\n");
	assert_int_equal(vms_count(), 4);
	new = vms_find("new");
	assert_ptr_equal(new, vms_at(3));
	assert_string_equal(vms_state_name(new), "not started");
	assert_int_equal(new->config->memory_bytes, MIB(64));
	assert_int_equal(new->config->vcpus, 3);
	assert_string_equal(new->config->kernel, "\\k");
	assert_string_equal(new->config->initrd, "\\tiny\\i");
	assert_string_equal(new->config->cmdline, "a  b");
	assert_string_equal(new->config->modules[0].words, "some words");
	assert_true(new->config->debug_exit);
	assert_int_equal(vms_start(new), 0);
	assert_said("vm new: started\r\n");
	assert_int_equal(new->vm->vcpu_count, 3);
	assert_int_equal(sched.set.weight, 50);
	assert_int_equal(sched.set.cap_percent, 25);
	assert_int_equal(sched.set.cpus.words[0], 3);
	vms_destroy(new);
	assert_int_equal(vms_count(), 4);
	leave_cpus(new);
	vms_poll();
	assert_said("vm new: destroyed\r\n");
	assert_int_equal(vms_count(), 3);
	assert_null(vms_find("new"));
	assert_int_equal(fake.created, fake.destroyed);
	/* One that was never started is gone as well. */
	assert_int_equal(vms_create("new", "kernel=/k", why, sizeof(why)), 0);
	vms_destroy(vms_find("new"));
	assert_said("vm new: created\r\nvm new: destroyed\r\n");
	assert_null(vms_find("new"));
	/* One of the configuration stays. */
	vms_start(vms_find("one"));
	vms_destroy(vms_find("one"));
	leave_cpus(vms_find("one"));
	vms_poll();
	assert_non_null(vms_find("one"));
}

static void like_copies_all_but_the_name(void **state)
{
	(void)state;
	assert_int_equal(vms_create("a", "kernel=/k memory=64M cmdline=x module='/k 1' module='/k 2'",
		why, sizeof(why)), 0);
	assert_int_equal(vms_create("b", "vcpus=4 like=a module='/k 3'", why, sizeof(why)), 0);
	vms_destroy(vms_find("a"));
	assert_int_equal(vms_find("b")->config->memory_bytes, MIB(64));
	assert_int_equal(vms_find("b")->config->vcpus, 4);
	assert_string_equal(vms_find("b")->config->cmdline, "x");
	assert_int_equal(vms_find("b")->config->module_count, 1);
	assert_string_equal(vms_find("b")->config->modules[0].words, "3");
	fake_serial_take();
	assert_int_equal(vms_create("c", "like=b autostart=yes", why, sizeof(why)), 0);
	assert_said("vm c: created\r\nvm c: started\r\n");
	assert_int_equal(vms_create("d", "like=c", why, sizeof(why)), 0);
	assert_said("vm d: created\r\n");
	assert_refused("e", "like=bad", "like 'bad' is misconfigured");
	assert_refused("e", "like=none", "like 'none' is no VM; 'vm list' shows them all");
	/* It could not start, and is there. */
	fake.load_error = -EINVAL;
	assert_int_equal(vms_create("f", "like=b autostart=yes", why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "");
	assert_said("vm f: created\r\nvm f: could not start: it is no kernel\r\n");
}

static void creation_names_the_mistake(void **state)
{
	(void)state;
	assert_refused("one", "kernel=/k", "there is a VM 'one' already");
	assert_refused("a/b", "kernel=/k", "the name 'a/b' has a character that a name may not have; "
		"expected 1 to 31 letters, digits, '-', '_' or '.'");
	assert_refused("x", "", "it needs a kernel; in memory there are: /k, /tiny/i,"
		" /images/base.img");
	assert_refused("x", "kernel=/K2", "kernel /K2 is not in memory; there are: /k, /tiny/i,"
		" /images/base.img");
	assert_refused("x", "kernel=/unreadable", "kernel /unreadable is not in memory; there are: "
		"/k, /tiny/i,"
		" /images/base.img");
	assert_refused("x", "kernel=/k initrd=/no", "initrd /no is not in memory; there are: /k, "
		"/tiny/i,"
		" /images/base.img");
	assert_refused("x", "kernel=/k memory=lots", "memory 'lots' is not a size; expected a number "
		"with K, M or G, such as 256M");
	assert_refused("x", "kernel=/k memroy=1M", "unknown key 'memroy'; did you mean 'memory'?");
	assert_refused("x", "kernel=/k liek=one", "unknown key 'liek'; did you mean 'like'?");
	assert_refused("x", "kernel=/k vcpus=1 vcpus=2", "vcpus is given again; expected it once");
	assert_refused("x", "kernel=/k quiet", "'quiet' has no '='; expected key=value");
	assert_refused("x", "kernel=/k cmdline=\"a b", "cmdline begins with a quote that is not "
		"closed; expected another at the end");
	assert_refused("x", "kernel=/k cmdline='a'b", "cmdline has text behind its closing quote; "
		"expected the end of the line");
	assert_refused("x", "kernel=", "kernel has no path; expected the path of a file, such as "
		"/ballast/vmlinuz");
	machine.file_count = 0;
	assert_refused("x", "kernel=/k", "kernel /k is not in memory; there are no files");
	machine.file_count = MACHINE_MAX_FILES;
	for (int i = 0; i < MACHINE_MAX_FILES; i++)
		sprintf(machine.files[i].path, "\\file-of-a-certain-length-%d", i);
	assert_true(vms_create("x", "kernel=/k", why, sizeof(why)) < 0);
	assert_string_equal(why + strlen(why) - 5, ", ...");
}

static void there_is_a_limit_and_no_leak(void **state)
{
	char name[20];

	(void)state;
	for (int i = 3; i < VMS_MAX; i++) {
		snprintf(name, sizeof(name), "vm%d", i);
		assert_int_equal(vms_create(name, "kernel=/k", why, sizeof(why)), 0);
		fake_serial_take();
	}
	assert_refused("more", "kernel=/k", "there are 1024 VMs already, which is the limit");
	for (int i = 3; i < VMS_MAX; i += 2) {
		snprintf(name, sizeof(name), "vm%d", i);
		vms_destroy(vms_find(name));
		fake_serial_take();
	}
	assert_string_equal(vms_at(3)->config->name, "vm4");
	assert_string_equal(vms_at(vms_count() - 1)->config->name, "vm1022");
}

static void so_many_can_have_been_started(void **state)
{
	char name[20];

	(void)state;
	fake.free_frames = 1 << 22;
	for (int i = 0; i < POLICY_GUESTS_MAX; i++) {
		snprintf(name, sizeof(name), "vm%d", i);
		assert_int_equal(vms_create(name, "kernel=/k memory=1M autostart=yes", why, sizeof(why)), 0);
		fake_serial_take();
	}
	assert_int_equal(fake.economies, POLICY_GUESTS_MAX);
	assert_int_not_equal(vms_start(vms_find("one")), 0);
	assert_said("vm one: could not start: 256 VMs have been started and are still there, and memory is not shared "
		"out among more; destroy one\r\n");
	assert_null(vms_find("one")->vm);
	vms_destroy(vms_find("vm7"));
	leave_cpus(vms_find("vm7"));
	vms_poll();
	assert_said("vm vm7: destroyed\r\n");
	assert_int_equal(vms_start(vms_find("one")), 0);
	assert_said("vm one: started\r\n");
	assert_int_equal(fake.economies, POLICY_GUESTS_MAX);
}

static void set_changes_shares_at_once(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	vms_start(one);
	fake_serial_take();
	assert_int_equal(vms_set(one, "weight=300 cpus=2", why, sizeof(why)), 0);
	assert_int_equal(sched.set.weight, 300);
	assert_int_equal(sched.set.cpus.words[0], 4);
	assert_int_equal(vms_set(one, "cap=50", why, sizeof(why)), 0);
	assert_int_equal(sched.set.weight, 300);
	assert_int_equal(sched.set.cap_percent, 50);
	assert_int_equal(vms_set(one, "cpus=60", why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "none of these cpus runs guests; 'cpu' shows which there are");
	assert_int_equal(one->config->sched.cpus.words[0], 4);
	assert_int_equal(vms_set(one, "weight=5 vcpus=2", why, sizeof(why)), -EBUSY);
	assert_string_equal(why, "'one' runs: only weight, cap, cpus, memory, min and shares can be set now; stop it "
		"for the rest");
	assert_int_equal(sched.set.weight, 300);
	assert_int_equal(vms_set(one, "like=two", why, sizeof(why)), -EINVAL);
	assert_int_equal(vms_set(one, "kernel=/no", why, sizeof(why)), -ENOENT);
	assert_int_equal(vms_set(vms_find("bad"), "weight=1", why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "'bad' is misconfigured: ballast.conf:9: no kernel");
	assert_said("");
}

static void set_changes_the_tsc_for_the_next_start(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	vms_start(one);
	assert_int_equal(one->vm->tsc_hz, 0); /* nobody has set it */
	assert_int_equal(vms_set(one, "tsc=2000MHz", why, sizeof(why)), -EBUSY);
	vms_stop(one);
	leave_cpus(one);
	vms_poll();
	fake_serial_take();
	assert_int_equal(vms_set(one, "tsc=2000MHz", why, sizeof(why)), 0);
	assert_int_equal(vms_start(one), 0);
	assert_int_equal(one->vm->tsc_hz, 2000000000);
	vms_stop(one);
	leave_cpus(one);
	vms_poll();
	assert_int_equal(vms_set(one, "tsc=1GHz", why, sizeof(why)), 0);
	fake_serial_take();
	fake.tsc_error = -ENOTSUP;
	assert_int_equal(vms_start(one), -ENOTSUP);
	assert_said("vm one: could not start: this CPU cannot scale its TSC to the frequency that "
		    "'tsc' asks for; set tsc=machine\r\n");
	assert_null(one->vm);
	assert_int_equal(vms_set(one, "tsc=machine", why, sizeof(why)), 0);
	assert_int_equal(vms_start(one), 0);
	assert_int_equal(one->vm->tsc_hz, 0);
}

static void set_changes_the_rest_for_the_next_start(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	vms_start(one);
	vms_stop(one);
	leave_cpus(one);
	vms_poll();
	assert_int_equal(vms_set(one, "cmdline='x y'", why, sizeof(why)), 0);
	assert_non_null(one->vm);
	assert_string_equal(one->config->cmdline, "x y");
	assert_string_equal(one->config->name, "one");
	/* Another number of vCPUs needs another VM. */
	assert_int_equal(vms_set(one, "vcpus=5", why, sizeof(why)), 0);
	assert_null(one->vm);
	assert_int_equal(vms_start(one), 0);
	assert_int_equal(one->vm->vcpu_count, 5);
	assert_string_equal(one->config->cmdline, "x y");
	/* One that can run nowhere does not start. */
	assert_int_equal(vms_set(vms_find("two"), "cpus=200", why, sizeof(why)), 0);
	fake_serial_take();
	assert_int_equal(vms_start(vms_find("two")), -EINVAL);
	assert_said("vm two: could not start: none of its cpus runs guests\r\n");
	assert_null(vms_find("two")->vm);
}

static void paused_vms_can_be_ended(void **state)
{
	struct managed_vm *one = vms_find("one");

	(void)state;
	vms_start(one);
	fake_serial_take();
	vms_pause(one);
	assert_said("vm one: paused\r\n");
	assert_string_equal(vms_state_name(one), "paused");
	assert_int_equal(sched.paused, 1);
	vms_resume(one);
	assert_said("vm one: resumed\r\n");
	assert_string_equal(vms_state_name(one), "running");
	assert_int_equal(sched.resumed, 1);
	assert_int_equal(sched.clocks_told, 1);
	vms_pause(one);
	vms_stop(one);
	assert_string_equal(vms_state_name(one), "stopping");
	leave_cpus(one);
	vms_poll();
	assert_said("vm one: paused\r\nvm one: stopped\r\n");
	vms_start(one);
	assert_string_equal(vms_state_name(one), "running");
	vms_pause(one);
	vms_reset(one);
	leave_cpus(one);
	vms_poll();
	assert_string_equal(vms_state_name(one), "running");
	/* Its own end came just before the pause. */
	vms_pause(one);
	vm_stop(one->vm, VM_STOP_POWER_OFF, 0, NULL);
	vms_poll();
	assert_string_equal(vms_state_name(one), "running");
	leave_cpus(one);
	vms_poll();
	assert_string_equal(vms_state_name(one), "powered off");
	fake_serial_take();
	vms_start(one);
	vms_pause(one);
	vms_destroy(one);
	leave_cpus(one);
	vms_poll();
	assert_said("vm one: started\r\nvm one: paused\r\nvm one: destroyed\r\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(start_stop_start),
		TEST(each_end_has_its_line),
		TEST(resets_load_the_kernel_again),
		TEST(a_start_waits_for_what_is_guaranteed),
		TEST(a_boot_loop_is_slowed_down),
		TEST(the_operator_wins_over_the_guest),
		TEST(destroy_gives_everything_back),
		TEST(what_cannot_start_says_why),
		TEST(memory_must_suffice_for_all),
		TEST(one_autostarted_vm_has_the_console),
		TEST(several_autostarted_vms_have_not),
		TEST(the_console_survives_a_reset),
		TEST(trace_outlives_a_restart),
		cmocka_unit_test_setup_teardown(created_vms_live_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(like_copies_all_but_the_name, setup, teardown),
		cmocka_unit_test_setup_teardown(creation_names_the_mistake, setup, teardown),
		cmocka_unit_test_setup_teardown(there_is_a_limit_and_no_leak, setup, teardown),
		cmocka_unit_test_setup_teardown(so_many_can_have_been_started, setup, teardown),
		cmocka_unit_test_setup_teardown(set_changes_shares_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(set_changes_the_tsc_for_the_next_start, setup, teardown),
		cmocka_unit_test_setup_teardown(set_changes_the_rest_for_the_next_start, setup, teardown),
		cmocka_unit_test_setup_teardown(paused_vms_can_be_ended, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
