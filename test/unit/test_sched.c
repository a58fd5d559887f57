/* SPDX-License-Identifier: BSD-2-Clause */
/* The run queues: turns, slices, blocking and waking, placement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host/clock.h"
#include "host/memory.h"
#include "vcpu/sched.h"

enum { CPUS = 3, VCPUS = 4 };

static struct cpu cpus[CPUS];
static struct cpu *current;
static struct vcpu vcpus[VCPUS];
static struct vcpu *ran[64];
static unsigned int runs, idles, kicks;
/* What the next vcpu_run() does before it says whether the vCPU is runnable. */
static bool (*during_run)(struct vcpu *vcpu);

struct cpu *this_cpu(void)
{
	return current;
}

unsigned int cpu_count(void)
{
	return CPUS;
}

struct cpu *cpu_by_id(unsigned int id)
{
	return id < CPUS ? &cpus[id] : NULL;
}

void cpu_kick(struct cpu *cpu)
{
	cpu->kick = 1;
	kicks++;
}

void cpu_idle(void)
{
	idles++;
}

void *heap_alloc(size_t bytes, enum frame_use use)
{
	(void)use;
	return calloc(1, bytes);
}

uint64_t clock_tsc_from_ns(uint64_t ns)
{
	return ns;
}

uint64_t clock_ns_from_tsc(uint64_t tsc)
{
	return tsc;
}

void timer_init(struct timer *timer, void (*expired)(struct timer *))
{
	timer->expired = expired;
	timer->cpu = NULL;
}

void timer_set(struct timer *timer, uint64_t deadline)
{
	timer->deadline_tsc = deadline;
	timer->cpu = current;
}

void timer_cancel(struct timer *timer)
{
	timer->cpu = NULL;
}

void vcpu_request(struct vcpu *vcpu, uint32_t bits)
{
	vcpu->requests |= bits;
}

bool vcpu_run(struct vcpu *vcpu)
{
	ran[runs++ % ARRAY_SIZE(ran)] = vcpu;
	return during_run ? during_run(vcpu) : true;
}

static int setup(void **state)
{
	(void)state;
	memset(cpus, 0, sizeof(cpus));
	memset(vcpus, 0, sizeof(vcpus));
	for (unsigned int i = 0; i < CPUS; i++)
		cpus[i].id = i;
	for (unsigned int i = 0; i < VCPUS; i++) {
		vcpus[i].state = VCPU_HALTED;
		list_init(&vcpus[i].run_link);
	}
	current = &cpus[0];
	runs = idles = kicks = 0;
	during_run = NULL;
	assert_int_equal(sched_init(), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < CPUS; i++)
		free(cpus[i].sched);
	return 0;
}

static void wake_on(struct vcpu *vcpu, struct cpu *cpu)
{
	vcpu->cpu = cpu;
	sched_wake(vcpu);
}

static void idles_without_work(void **state)
{
	(void)state;
	sched_run(&cpus[0]);
	assert_int_equal(idles, 1);
	assert_int_equal(runs, 0);
}

static void a_kick_comes_first(void **state)
{
	(void)state;
	wake_on(&vcpus[0], &cpus[0]);
	cpus[0].kick = 1;
	sched_run(&cpus[0]);
	assert_int_equal(runs, 0);
	assert_int_equal(cpus[0].kick, 0);
	sched_run(&cpus[0]);
	assert_int_equal(runs, 1);
}

static void takes_turns(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		wake_on(&vcpus[i], &cpus[0]);
	for (unsigned int i = 0; i < 9; i++)
		sched_run(&cpus[0]);
	assert_int_equal(runs, 9);
	for (unsigned int i = 0; i < 9; i++)
		assert_ptr_equal(ran[i], &vcpus[i % 3]);
}

static bool blocks(struct vcpu *vcpu)
{
	assert_true(sched_block(vcpu, VCPU_HALTED));
	assert_int_equal(vcpu->state, VCPU_HALTED);
	return false;
}

static bool blocks_and_is_woken(struct vcpu *vcpu)
{
	assert_true(sched_block(vcpu, VCPU_HALTED));
	sched_wake(vcpu); /* from a timer, say, before the CPU is done with it */
	assert_int_equal(vcpu->state, VCPU_RUNNABLE);
	return false;
}

static bool cannot_block(struct vcpu *vcpu)
{
	vcpu->requests = REQUEST_EVENTS;
	assert_false(sched_block(vcpu, VCPU_HALTED));
	assert_int_equal(vcpu->state, VCPU_RUNNABLE);
	vcpu->requests = 0;
	return true;
}

static void blocked_ones_do_not_run(void **state)
{
	(void)state;
	wake_on(&vcpus[0], &cpus[0]);
	during_run = blocks;
	sched_run(&cpus[0]);
	sched_run(&cpus[0]);
	assert_int_equal(runs, 1);
	assert_int_equal(idles, 1);
	sched_wake(&vcpus[0]);
	sched_wake(&vcpus[0]); /* twice is once */
	sched_run(&cpus[0]);
	sched_run(&cpus[0]);
	assert_int_equal(runs, 2);
}

static void no_wake_is_lost(void **state)
{
	(void)state;
	wake_on(&vcpus[0], &cpus[0]);
	during_run = blocks_and_is_woken;
	sched_run(&cpus[0]);
	during_run = cannot_block;
	sched_run(&cpus[0]);
	sched_run(&cpus[0]);
	assert_int_equal(runs, 3);
	assert_int_equal(idles, 0);
}

static void others_are_kicked(void **state)
{
	(void)state;
	wake_on(&vcpus[0], &cpus[1]);
	assert_int_equal(kicks, 1);
	assert_int_equal(cpus[1].kick, 1);
	sched_run(&cpus[0]);
	assert_int_equal(runs, 0);
	current = &cpus[1];
	sched_run(&cpus[1]);
	sched_run(&cpus[1]);
	assert_int_equal(runs, 1);
}

static void placement_spreads(void **state)
{
	(void)state;
	/* CPU 2 cannot run guests. */
	sched_open(&cpus[1]);
	sched_place(&vcpus[0]);
	assert_ptr_equal(vcpus[0].cpu, &cpus[1]);
	sched_place(&vcpus[1]);
	assert_ptr_equal(vcpus[1].cpu, &cpus[0]);
	sched_unplace(&vcpus[0]);
	sched_unplace(&vcpus[1]);
	sched_open(&cpus[2]);
	for (unsigned int i = 0; i < CPUS; i++)
		sched_place(&vcpus[i]);
	for (unsigned int i = 0; i < CPUS; i++)
		assert_int_equal(sched_placed(&cpus[i]), 1);
	assert_ptr_equal(vcpus[0].cpu, &cpus[CPUS - 1]); /* the boot CPU is the last choice */
	sched_unplace(&vcpus[1]);
	sched_place(&vcpus[3]);
	assert_ptr_equal(vcpus[3].cpu, vcpus[1].cpu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(idles_without_work, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kick_comes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(blocked_ones_do_not_run, setup, teardown),
		cmocka_unit_test_setup_teardown(no_wake_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(others_are_kicked, setup, teardown),
		cmocka_unit_test_setup_teardown(placement_spreads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
