/* SPDX-License-Identifier: BSD-2-Clause */
/* Deferred work of devices: once each, in order, bounded, by a vCPU of the VM; I/O that holds a stop back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vcpu/vm.h"

static struct cpu cpu;
static struct vm vm, other_vm;
static struct vcpu first, second, stranger;
static struct vcpu *requested;
static unsigned int requests, notifications;

struct cpu *this_cpu(void)
{
	return &cpu;
}

struct cpu *cpu_by_id(unsigned int id)
{
	(void)id;
	return &cpu;
}

void cpu_notify(struct cpu *which)
{
	assert_ptr_equal(which, &cpu);
	notifications++;
}

void vcpu_request(struct vcpu *which, uint32_t bits)
{
	assert_int_equal(bits, REQUEST_WORK);
	requested = which;
	requests++;
}

static bool lock_held(void)
{
	return vm.lock.next != vm.lock.owner;
}

#define WORKS 20
static struct vm_work works[WORKS];
static unsigned int order[100], done;
static bool again;

static void run(struct vm_work *work)
{
	assert_true(lock_held());
	order[done++] = (unsigned int)(work - works);
	if (again)
		vm_work_queue(&vm, work);
}

static int setup(void **state)
{
	(void)state;
	memset(&vm, 0, sizeof(vm));
	cpu.running = NULL;
	vm.vcpus[0] = &first;
	vm.vcpus[1] = &second;
	first.vm = second.vm = &vm;
	stranger.vm = &other_vm;
	vm_work_queue_init(&vm.work);
	for (unsigned int i = 0; i < WORKS; i++)
		vm_work_init(&works[i], run);
	requests = notifications = done = 0;
	again = false;
	return 0;
}

static void test_once_and_in_order(void **state)
{
	(void)state;
	vm_work_queue(&vm, &works[2]);
	vm_work_queue(&vm, &works[1]);
	vm_work_queue(&vm, &works[2]);
	assert_int_equal(requests, 2);
	assert_ptr_equal(requested, &first);
	vm_work_run(&vm);
	assert_int_equal(done, 2);
	assert_int_equal(order[0], 2);
	assert_int_equal(order[1], 1);
	vm_work_run(&vm);
	assert_int_equal(done, 2);
	vm_work_queue(&vm, &works[2]);
	vm_work_run(&vm);
	assert_int_equal(done, 3);
}

static void test_by_whom(void **state)
{
	(void)state;
	cpu.running = &second;
	vm_work_queue(&vm, &works[0]);
	assert_ptr_equal(requested, &second);
	cpu.running = &stranger;
	vm_work_queue(&vm, &works[1]);
	assert_ptr_equal(requested, &first);
}

/* What goes on and on does so between entries of the guest, not instead of them. */
static void test_bounded(void **state)
{
	unsigned int before;

	(void)state;
	again = true;
	vm_work_queue(&vm, &works[0]);
	vm_work_run(&vm);
	assert_in_range(done, 1, 16);
	before = requests;
	assert_true(before > 0);
	vm_work_run(&vm);
	assert_true(requests > before);

	again = false;
	vm_work_run(&vm);
	done = 0;
	for (unsigned int i = 0; i < WORKS; i++)
		vm_work_queue(&vm, &works[i]);
	for (unsigned int rounds = 0; done < WORKS; rounds++) {
		before = requests;
		vm_work_run(&vm);
		assert_true(rounds < WORKS);
		assert_true(done == WORKS || requests > before);
	}
}

static void test_cancelled(void **state)
{
	(void)state;
	vm_work_queue(&vm, &works[0]);
	vm_work_queue(&vm, &works[1]);
	vm_work_cancel(&vm, &works[0]);
	vm_work_cancel(&vm, &works[5]);
	vm_work_run(&vm);
	assert_int_equal(done, 1);
	assert_int_equal(order[0], 1);
	vm_work_queue(&vm, &works[0]);
	vm_work_run(&vm);
	assert_int_equal(done, 2);
}

static void test_io_tells_of_its_end(void **state)
{
	unsigned int holds[2];

	(void)state;
	holds[0] = vm_io_begin(&vm);
	holds[1] = vm_io_begin(&vm);
	vm_io_end(&vm, holds[0]);
	vm_io_end(&vm, holds[1]);
	assert_int_equal(notifications, 0);
	assert_true(vm_io_has_ended(&vm));
	holds[0] = vm_io_begin(&vm);
	/* Taking memory away waits for what began before: here, for the first. */
	vm.memory.limbo.phase = !vm.memory.limbo.phase;
	holds[1] = vm_io_begin(&vm);
	assert_int_not_equal(holds[0], holds[1]);
	assert_int_equal(vm.memory.limbo.holds[holds[0]], 1);
	assert_false(vm_io_has_ended(&vm));
	vm_io_end(&vm, holds[0]);
	assert_int_equal(vm.memory.limbo.holds[holds[0]], 0);
	assert_int_equal(vm.memory.limbo.holds[holds[1]], 1);
	assert_false(vm_io_has_ended(&vm));
	assert_int_equal(notifications, 0);
	vm_io_end(&vm, holds[1]);
	assert_int_equal(notifications, 1);
	assert_true(vm_io_has_ended(&vm));

	/* The next run begins as the first did. */
	vm_io_end(&vm, vm_io_begin(&vm));
	assert_int_equal(notifications, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_once_and_in_order, setup),
		cmocka_unit_test_setup(test_by_whom, setup),
		cmocka_unit_test_setup(test_bounded, setup),
		cmocka_unit_test_setup(test_cancelled, setup),
		cmocka_unit_test_setup(test_io_tells_of_its_end, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
