/* SPDX-License-Identifier: BSD-2-Clause */
/* The run loop: a guest whose exceptions never cease does not keep the host from its interrupts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/log.h"
#include "host/x86.h"
#include "vcpu/emulate.h"
#include "vcpu/exits.h"
#include "vcpu/pause.h"
#include "vcpu/pv.h"
#include "vcpu/pvclock.h"
#include "vcpu/sched.h"
#include "vcpu/vm.h"
#include "host/mitigation.h"

static struct cpu cpu;
static struct vm vm;
static struct vcpu vcpu;
static unsigned int entries, windows;

struct cpu *this_cpu(void)
{
	return &cpu;
}

struct cpu *cpu_by_id(unsigned int id)
{
	return id ? NULL : &cpu;
}

void cpu_notify(struct cpu *which)
{
	which->kick = 1;
}

/* The interrupt that waits is the operator's. */
void irq_window(void)
{
	windows++;
	cpu_notify(&cpu);
}

void log_line(const char *format, ...)
{
	(void)format;
}

const char *exit_kind_name(enum exit_kind kind)
{
	(void)kind;
	return "";
}

unsigned int emulate_instruction_length(struct vcpu *which)
{
	(void)which;
	return 0;
}

unsigned int guest_mode_bits(struct vcpu *which)
{
	(void)which;
	return 64;
}

static unsigned int pauses_scheduled, pvs_scheduled;

void pause_scheduled(struct vcpu *which)
{
	(void)which;
	pauses_scheduled++;
}

void pv_scheduled(struct vcpu *which)
{
	(void)which;
	pvs_scheduled++;
}

void pv_descheduled(struct vcpu *which, bool preempted)
{
	(void)which, (void)preempted;
}

void pvclock_update(struct vcpu *which)
{
	(void)which;
}

/* What happens while the vCPU waits where it is; NULL: it leaves. */
static void (*wait)(struct vcpu *which);

bool sched_block(struct vcpu *which, enum vcpu_state state)
{
	(void)state;
	if (wait)
		wait(which);
	return !wait;
}

void sched_unplace(struct vcpu *which)
{
	(void)which;
}

bool vcpu_has_wakeup(struct vcpu *which)
{
	(void)which;
	return false;
}

void vcpu_inject_exception(struct vcpu *which, uint8_t vector)
{
	which->exception = (struct vcpu_event){ .valid = true, .vector = vector };
	vcpu_look_again(which);
}

static unsigned int catch_ups, flushes;

void tlb_catch_up(struct vcpu *which)
{
	assert_false(which->in_guest);
	catch_ups++;
}

static unsigned int works;

void vm_work_run(struct vm *which)
{
	assert_ptr_equal(which, &vm);
	assert_false(vcpu.in_guest);
	works++;
}

static struct vcpu *loads[4];
static unsigned int load_count, follows;

void vcpu_load(struct vcpu *which)
{
	loads[load_count++ % ARRAY_SIZE(loads)] = which;
}

uint32_t mitigation_generation;

void mitigation_follow(struct cpu *which)
{
	follows++;
	which->mitigation_generation = mitigation_generation;
}

void vcpu_prepare_events(struct vcpu *which)
{
	which->exception.valid = false;
}

void vcpu_reset(struct vcpu *which, bool init)
{
	(void)which, (void)init;
}

static uint64_t retry_tsc;

uint64_t clock_tsc_from_ns(uint64_t ns)
{
	return ns;
}

void timer_set(struct timer *timer, uint64_t deadline_tsc)
{
	assert_ptr_equal(timer, &vcpu.retry);
	retry_tsc = deadline_tsc;
}

static enum exit_action wait_for_memory(struct vcpu *which)
{
	(void)which;
	return ACTION_WAIT;
}

static enum exit_action raise_again(struct vcpu *which)
{
	vcpu_inject_exception(which, VECTOR_DB);
	return ACTION_RESUME;
}

enum exit_action (*const exit_handlers[EXIT_KINDS])(struct vcpu *vcpu) = {
	[EXIT_EXCEPTION] = raise_again,
	[EXIT_MEMORY] = wait_for_memory,
};

/* Each delivery ends in the same exception; no host interrupt gets in between. */
static void enter(struct vcpu *which)
{
	entries++;
	which->exit.kind = EXIT_EXCEPTION;
	which->valid = REG_RIP;
	/* Else the test would not end where the loop does not. */
	if (entries > 10000)
		which->requests = REQUEST_STOP;
}

static const struct hw_ops fake_hw = { .name = "fake", .enter = enter };
const struct hw_ops *hw = &fake_hw;

static void flush(struct vcpu *which, enum tlb_scope scope)
{
	assert_false(which->in_guest);
	assert_int_equal(scope, TLB_GUEST);
	flushes++;
}

/* A request that comes at the last moment is served before the guest runs again. */
static void enter_told_to_flush(struct vcpu *which)
{
	assert_true(which->in_guest);
	assert_int_equal(which->requests, 0);
	entries++;
	which->exit.kind = EXIT_HOST_INTERRUPT;
	which->requests = entries == 1 ? REQUEST_TLB_SECOND_LEVEL :
		entries == 2 ? REQUEST_TLB_GUEST : REQUEST_PREEMPT;
}

static void test_flush_requests(void **state)
{
	static const struct hw_ops told = { .enter = enter_told_to_flush, .flush_tlb = flush };

	(void)state;
	hw = &told;
	entries = windows = 0;
	vcpu = (struct vcpu){ .vm = &vm };
	while (entries < 3)
		assert_true(vcpu_run(&vcpu));
	assert_int_equal(catch_ups, 1);
	assert_int_equal(flushes, 1);
	assert_false(vcpu.in_guest);
	hw = &fake_hw;
}

static void test_exceptions_without_end(void **state)
{
	(void)state;
	vcpu.vm = &vm;
	assert_true(vcpu_run(&vcpu));
	assert_int_equal(windows, 1);
	assert_true(entries <= 1000);
}

static void enter_without_memory(struct vcpu *which)
{
	entries++;
	which->exit.kind = EXIT_MEMORY;
}

/* A vCPU whose memory cannot be had leaves its CPU, and tries the same again when it is woken, as often as needed. */
static void test_waits_for_memory(void **state)
{
	static const struct hw_ops without = { .enter = enter_without_memory };

	(void)state;
	hw = &without;
	entries = 0;
	vcpu = (struct vcpu){ .vm = &vm, .valid = REG_RIP };
	for (unsigned int tries = 1; tries < 4; tries++) {
		retry_tsc = 0;
		assert_false(vcpu_run(&vcpu));
		/* Once more when it is known to wait: it may have come before. */
		assert_int_equal(entries, tries + 1);
		assert_true(vcpu.sleeps);
		assert_true(retry_tsc > clock_tsc() && retry_tsc <= clock_tsc() + 10 * NS_PER_MS);
		assert_int_equal(vcpu.special.rip, 0);
		assert_false(vcpu.waits);
	}
	/* It came: the guest looks, and once more before it sleeps again. */
	vcpu.sleeps = false;
	assert_false(vcpu_run(&vcpu));
	assert_int_equal(entries, 6);
	hw = &fake_hw;
}

static void enter_once(struct vcpu *which)
{
	entries++;
	which->exit.kind = EXIT_HOST_INTERRUPT;
	which->requests = REQUEST_PREEMPT;
}

/* A kick ends one HLT, the present or the next; nothing else than a wake-up does. */
static void test_kick_ends_one_halt(void **state)
{
	static const struct hw_ops once = { .enter = enter_once };

	(void)state;
	hw = &once;
	entries = 0;
	vcpu = (struct vcpu){ .vm = &vm, .in_hlt = true, .requests = REQUEST_EVENTS };
	assert_false(vcpu_run(&vcpu));
	assert_int_equal(entries, 0);
	assert_true(vcpu.in_hlt);

	vcpu.requests = REQUEST_UNHALT;
	assert_true(vcpu_run(&vcpu));
	assert_int_equal(entries, 1);
	assert_false(vcpu.in_hlt);
	vcpu.in_hlt = true;
	assert_false(vcpu_run(&vcpu));
	assert_int_equal(entries, 1);

	/* Kicked while it runs: the next HLT. */
	vcpu.in_hlt = false;
	vcpu.requests = REQUEST_UNHALT;
	assert_true(vcpu_run(&vcpu));
	vcpu.in_hlt = true;
	vcpu.requests = REQUEST_EVENTS;
	assert_true(vcpu_run(&vcpu));
	assert_int_equal(entries, 3);
	assert_false(vcpu.in_hlt);
	hw = &fake_hw;
}

static void woken(struct vcpu *which)
{
	which->requests |= REQUEST_UNHALT;
}

static void woken_and_kicked(struct vcpu *which)
{
	woken(which);
	cpu.kick = 1;
}

static void woken_after_a_change(struct vcpu *which)
{
	woken(which);
	mitigation_generation++;
}

static void kicked_for_nothing(struct vcpu *which)
{
	(void)which;
	cpu.kick = 1;
}

/* It waits in there, and runs on; unless there is more to do than to run it. */
static void test_waits_within_a_run(void **state)
{
	static const struct hw_ops once = { .enter = enter_once };
	static void (*const interrupted[])(struct vcpu *which) = {
		woken_and_kicked, woken_after_a_change, kicked_for_nothing,
	};

	(void)state;
	hw = &once;
	entries = pauses_scheduled = pvs_scheduled = 0;
	cpu.kick = 0;
	vcpu = (struct vcpu){ .vm = &vm, .in_hlt = true, .requests = REQUEST_EVENTS };
	wait = woken;
	assert_true(vcpu_run(&vcpu));
	assert_int_equal(entries, 1);
	assert_false(vcpu.in_hlt);
	assert_int_equal(pauses_scheduled, 2);
	assert_int_equal(pvs_scheduled, 2);
	for (unsigned int i = 0; i < ARRAY_SIZE(interrupted); i++) {
		cpu.kick = 0;
		vcpu = (struct vcpu){ .vm = &vm, .in_hlt = true, .requests = REQUEST_EVENTS };
		wait = interrupted[i];
		assert_true(vcpu_run(&vcpu));
		assert_int_equal(entries, 1);
		assert_true(vcpu.in_hlt);
		assert_true(vcpu.requests); /* it looks again when it runs */
	}
	/* Nor is the end of its turn forgotten when it could not wait. */
	cpu.kick = 0;
	vcpu.requests = REQUEST_EVENTS | REQUEST_PREEMPT;
	wait = woken;
	assert_true(vcpu_run(&vcpu));
	assert_int_equal(entries, 1);
	wait = NULL;
	hw = &fake_hw;
}

/* Work of the VM's devices is done by whoever was asked: even a processor not started yet. */
static void test_work_requests(void **state)
{
	static const struct hw_ops once = { .enter = enter_once };

	(void)state;
	hw = &once;
	works = entries = 0;
	cpu.kick = 0;
	vcpu = (struct vcpu){ .vm = &vm, .requests = REQUEST_WORK };
	assert_true(vcpu_run(&vcpu));
	assert_int_equal(works, 1);
	assert_int_equal(entries, 1);
	vcpu = (struct vcpu){ .vm = &vm, .wait_sipi = true, .requests = REQUEST_WORK };
	assert_false(vcpu_run(&vcpu));
	assert_int_equal(works, 2);
	assert_int_equal(entries, 1);
	vcpu = (struct vcpu){ .vm = &vm };
	hw = &fake_hw;
}

/* A changed choice reaches the vCPU through being loaded anew; else it stays as it is. */
static void test_mitigations_are_followed(void **state)
{
	(void)state;
	vcpu.vm = &vm;
	entries = load_count = follows = 0;
	vcpu_run(&vcpu);
	assert_int_equal(load_count, 1);
	assert_int_equal(follows, 0);
	assert_true(cpu.l1d_stale);
	mitigation_generation++;
	entries = load_count = 0;
	vcpu_run(&vcpu);
	assert_int_equal(follows, 1);
	assert_int_equal(load_count, 2);
	assert_null(loads[0]);
	assert_ptr_equal(loads[1], &vcpu);
	entries = 0;
	vcpu_run(&vcpu);
	assert_int_equal(follows, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exceptions_without_end),
		cmocka_unit_test(test_mitigations_are_followed),
		cmocka_unit_test(test_work_requests),
		cmocka_unit_test(test_flush_requests),
		cmocka_unit_test(test_waits_for_memory),
		cmocka_unit_test(test_kick_ends_one_halt),
		cmocka_unit_test(test_waits_within_a_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
