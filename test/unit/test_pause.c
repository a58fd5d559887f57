/* SPDX-License-Identifier: BSD-2-Clause */
/* Loops of PAUSE: when they exit, and when a vCPU gives its turn away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vcpu/pause.h"
#include "vcpu/sched.h"
#include "vcpu/vm.h"

static struct cpu cpu;
static struct vm vm;
static struct vcpu spinner, sister;
static bool filter, every, somebody;
static unsigned int yields;

static bool pause_exits(struct vcpu *vcpu, bool on)
{
	assert_ptr_equal(vcpu, &spinner);
	every = on;
	return !filter;
}

static const struct hw_ops ops = { .pause_exits = pause_exits }, ops_without = { 0 };
const struct hw_ops *hw;

void sched_yield_to(struct vcpu *vcpu, struct vcpu *target)
{
	assert_ptr_equal(vcpu, &spinner);
	assert_null(target);
	yields++;
	if (somebody)
		vcpu->requests |= REQUEST_PREEMPT;
}

static int setup(void **state)
{
	(void)state;
	spinner = (struct vcpu){ .vm = &vm, .cpu = &cpu, .state = VCPU_RUNNABLE };
	sister = (struct vcpu){ .vm = &vm, .cpu = &cpu, .state = VCPU_RUNNABLE, .id = 1 };
	vm = (struct vm){ .vcpus = { &spinner, &sister }, .vcpu_count = 2 };
	cpu.running = &spinner;
	filter = every = somebody = false;
	yields = 0;
	hw = &ops;
	return 0;
}

static unsigned int exits_until_a_yield(void)
{
	unsigned int exits = 0, before = yields;

	while (yields == before && ++exits < 100)
		assert_int_equal(exit_pause(&spinner), ACTION_ADVANCE);
	return exits;
}

static void test_without_a_filter(void **state)
{
	(void)state;
	somebody = true;
	pause_scheduled(&spinner);
	assert_true(every); /* the sister waits for this CPU */
	assert_in_range(exits_until_a_yield(), 2, 50);
	assert_int_equal(spinner.pause_yields, 1);
	assert_true(every);
	/* It waits no more: when the next loop finds nobody, PAUSE is let alone. */
	spinner.requests = 0;
	somebody = false;
	pause_scheduled(&spinner);
	assert_in_range(exits_until_a_yield(), 2, 50);
	assert_int_equal(spinner.pause_yields, 1);
	assert_false(every);
}

static void test_nobody_waits(void **state)
{
	struct cpu other = { .running = &sister };

	(void)state;
	sister.state = VCPU_HALTED;
	pause_scheduled(&spinner);
	assert_false(every);
	sister.state = VCPU_RUNNABLE;
	sister.cpu = &other; /* and runs there */
	pause_scheduled(&spinner);
	assert_false(every);
	other.running = NULL;
	pause_scheduled(&spinner);
	assert_true(every);
}

/* The hardware counts: each exit is a loop. */
static void test_with_a_filter(void **state)
{
	(void)state;
	filter = somebody = true;
	pause_scheduled(&spinner);
	assert_int_equal(exits_until_a_yield(), 1);
	spinner.requests = 0;
	hw = &ops_without;
	pause_scheduled(&spinner);
	assert_int_equal(exits_until_a_yield(), 1);
	spinner.requests = 0;
	somebody = false;
	assert_int_equal(exits_until_a_yield(), 1);
	assert_int_equal(spinner.pause_yields, 2);
}

static void test_one_vcpu(void **state)
{
	(void)state;
	every = true;
	vm.vcpu_count = 1;
	pause_scheduled(&spinner);
	assert_true(every); /* not even asked */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_without_a_filter, setup),
		cmocka_unit_test_setup(test_nobody_waits, setup),
		cmocka_unit_test_setup(test_with_a_filter, setup),
		cmocka_unit_test_setup(test_one_vcpu, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
