/* SPDX-License-Identifier: BSD-2-Clause */
/* Which event reaches the guest, when, and what windows are asked for: vcpu/event.c on a fake vendor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "host/x86.h"
#include "vcpu/lapic.h"
#include "vcpu/sched.h"
#include "vcpu/vm.h"

static struct cpu cpu;
static struct vm vm;
static struct vcpu vcpu;

/* What the fakes were told, and what they answer. */
static struct vcpu_event injected;
static unsigned int injections, wakes, kicks;
static uint32_t windows;
static uint8_t window_priority;
static int lapic_vector, pic_vector;
static enum vm_stop stop;

struct cpu *this_cpu(void)
{
	return &cpu;
}

void cpu_poke(struct cpu *target)
{
	(void)target;
	kicks++;
}

void sched_wake(struct vcpu *woken)
{
	woken->state = VCPU_RUNNABLE;
	wakes++;
}

void vm_stop(struct vm *stopped, enum vm_stop why, uint32_t status, const char *reason)
{
	(void)stopped, (void)status, (void)reason;
	stop = why;
}

void lapic_accept(struct vcpu *of, uint8_t vector)
{
	(void)of;
	assert_int_equal(vector, lapic_vector);
	lapic_vector = -1;
}

int lapic_waiting_vector(struct vcpu *of)
{
	(void)of;
	return lapic_vector;
}

bool lapic_accepts_extint(struct vcpu *of)
{
	(void)of;
	return true;
}

static int acknowledge(struct irqchip *chip)
{
	(void)chip;
	vcpu.extint = false;
	return pic_vector;
}

static void inject(struct vcpu *into, const struct vcpu_event *event)
{
	(void)into;
	injected = *event;
	injections++;
}

static void want_window(struct vcpu *of, uint32_t wanted, uint8_t priority)
{
	(void)of;
	windows = wanted;
	window_priority = priority;
}

static const struct hw_ops fake_hw = { .inject = inject, .want_window = want_window };
const struct hw_ops *hw = &fake_hw;

static struct irqchip pic = { .acknowledge = acknowledge };

static int setup(void **state)
{
	(void)state;
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&vm, 0, sizeof(vm));
	memset(&injected, 0, sizeof(injected));
	vm.irqchips[0] = &pic;
	vm.irqchip_count = 1;
	vcpu.vm = &vm;
	vcpu.cpu = &cpu;
	vcpu.state = VCPU_RUNNABLE;
	vcpu.valid = REG_ALL;
	vcpu.special.rflags = RFLAGS_IF;
	vcpu.special.cr0 = CR0_PE;
	injections = wakes = kicks = windows = 0;
	lapic_vector = pic_vector = -1;
	stop = VM_STOP_NONE;
	return 0;
}

static void interrupts_need_if_and_no_shadow(void **state)
{
	(void)state;
	lapic_vector = 0x51;
	vcpu.special.rflags = 0;
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 0);
	assert_int_equal(windows, WINDOW_INTERRUPT);
	assert_int_equal(window_priority, 5);
	vcpu.special.rflags = RFLAGS_IF;
	vcpu.special.interrupt_shadow = true;
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 0);
	vcpu.special.interrupt_shadow = false;
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 1);
	assert_int_equal(injected.type, EVENT_INTERRUPT);
	assert_int_equal(injected.vector, 0x51);
	assert_int_equal(windows, 0);
}

static void tpr_holds_back(void **state)
{
	(void)state;
	lapic_vector = 0x51;
	vcpu.special.tpr = 0x60;
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 0);
	assert_int_equal(windows, WINDOW_INTERRUPT);
	assert_int_equal(window_priority, 5);
}

static void pic_interrupts_pass(void **state)
{
	(void)state;
	vcpu.extint = true;
	pic_vector = 0x20;
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 1);
	assert_int_equal(injected.vector, 0x20);
	/* The line may fall between the request and the INTA cycle. */
	vcpu.extint = true;
	pic_vector = -1;
	vcpu.injected = false; /* the guest was entered */
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 1);
}

/* A turn of the run loop may end before the entry: what was injected then is still to come. */
static void event_waits_for_its_entry(void **state)
{
	(void)state;
	lapic_vector = 0x51;
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 1);
	lapic_vector = 0x61;
	vcpu.nmi_pending = 1;
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 1);
	assert_int_equal(injected.vector, 0x51);
	assert_int_equal(windows, WINDOW_NMI | WINDOW_INTERRUPT);
	vcpu.injected = false;
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 2);
	assert_int_equal(injected.type, EVENT_NMI);
}

static void nmi_comes_before_interrupts(void **state)
{
	(void)state;
	lapic_vector = 0x51;
	vcpu.nmi_pending = 2;
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 1);
	assert_int_equal(injected.type, EVENT_NMI);
	assert_int_equal(windows, WINDOW_NMI | WINDOW_INTERRUPT);
	vcpu.special.nmi_blocked = true;
	vcpu.injected = false;
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 2);
	assert_int_equal(injected.type, EVENT_INTERRUPT);
	assert_int_equal(windows, WINDOW_NMI);
	assert_int_equal(vcpu.nmi_pending, 1);
}

static void exceptions_come_first(void **state)
{
	(void)state;
	lapic_vector = 0x51;
	vcpu_inject_page_fault(&vcpu, 0x1234, PF_WRITE);
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 1);
	assert_int_equal(injected.vector, VECTOR_PF);
	assert_true(injected.has_error);
	assert_int_equal(injected.error, PF_WRITE);
	assert_int_equal(vcpu.special.cr2, 0x1234);
	assert_true(vcpu.dirty & REG_CR2);
	assert_int_equal(windows, WINDOW_INTERRUPT);
}

static void interrupted_delivery_comes_back(void **state)
{
	(void)state;
	vcpu.reinject = (struct vcpu_event){ .valid = true, .type = EVENT_INTERRUPT, .vector = 0x31 };
	vcpu.nmi_pending = 1;
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injections, 1);
	assert_int_equal(injected.vector, 0x31);
	assert_false(vcpu.reinject.valid);
	assert_int_equal(vcpu.nmi_pending, 1);
	assert_int_equal(windows, WINDOW_NMI);
}

/* Intel SDM vol. 3, table "Conditions for Generating a Double Fault". */
static void faults_combine(void **state)
{
	static const struct {
		uint8_t first, second, result;
	} cases[] = {
		{ VECTOR_GP, VECTOR_NP, VECTOR_DF }, { VECTOR_GP, VECTOR_PF, VECTOR_PF },
		{ VECTOR_PF, VECTOR_GP, VECTOR_DF }, { VECTOR_PF, VECTOR_PF, VECTOR_DF },
		{ VECTOR_UD, VECTOR_GP, VECTOR_GP }, { VECTOR_GP, VECTOR_UD, VECTOR_UD },
		{ VECTOR_DE, VECTOR_TS, VECTOR_DF }, { VECTOR_DB, VECTOR_PF, VECTOR_PF },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		setup(state);
		vcpu.reinject = (struct vcpu_event){ .valid = true, .type = EVENT_EXCEPTION,
			.vector = cases[i].first };
		vcpu_inject_exception(&vcpu, cases[i].second);
		vcpu_prepare_events(&vcpu);
		assert_int_equal(injected.vector, cases[i].result);
		assert_int_equal(injections, 1);
	}
	/* A fault while an interrupt was being delivered stands alone. */
	setup(state);
	vcpu.reinject = (struct vcpu_event){ .valid = true, .type = EVENT_INTERRUPT, .vector = 13 };
	vcpu_inject_gp(&vcpu);
	vcpu_prepare_events(&vcpu);
	assert_int_equal(injected.vector, VECTOR_GP);
}

static void third_fault_stops_the_vm(void **state)
{
	(void)state;
	vcpu.reinject = (struct vcpu_event){ .valid = true, .type = EVENT_EXCEPTION,
		.vector = VECTOR_DF };
	vcpu_inject_gp(&vcpu);
	assert_int_equal(stop, VM_STOP_FAULT);
}

static void real_mode_has_no_error_codes(void **state)
{
	(void)state;
	vcpu.special.cr0 = 0;
	vcpu_inject_gp(&vcpu);
	vcpu_prepare_events(&vcpu);
	assert_false(injected.has_error);
}

static void wakeups_follow_if(void **state)
{
	(void)state;
	assert_false(vcpu_has_wakeup(&vcpu));
	lapic_vector = 0x51;
	assert_true(vcpu_has_wakeup(&vcpu));
	vcpu.special.rflags = 0;
	assert_false(vcpu_has_wakeup(&vcpu));
	vcpu.nmi_pending = 1;
	assert_true(vcpu_has_wakeup(&vcpu));
}

static void requests_wake_or_kick(void **state)
{
	struct cpu other = { 0 };

	(void)state;
	vcpu_request(&vcpu, REQUEST_EVENTS);
	assert_int_equal(kicks + wakes, 0); /* its own CPU looks before it enters */
	vcpu.requests = 0;
	vcpu.cpu = &other;
	vcpu_request(&vcpu, REQUEST_EVENTS);
	assert_int_equal(kicks, 0); /* it waits there, and looks before it is entered */
	vcpu.requests = 0;
	other.running = &vcpu;
	vcpu_request(&vcpu, REQUEST_EVENTS);
	vcpu_request(&vcpu, REQUEST_PREEMPT);
	assert_int_equal(kicks, 1);
	assert_int_equal(vcpu.requests, REQUEST_EVENTS | REQUEST_PREEMPT);
	vcpu.state = VCPU_HALTED;
	vcpu_inject_nmi(&vcpu);
	assert_int_equal(wakes, 1);
}

/* An interrupt that its own CPU serves, in its turn or while the CPU idles with it. */
static void requests_in_its_own_turn(void **state)
{
	(void)state;
	cpu.running = &vcpu;
	vcpu_request(&vcpu, REQUEST_EVENTS);
	vcpu_request(&vcpu, REQUEST_PREEMPT);
	assert_int_equal(vcpu.requests, REQUEST_EVENTS | REQUEST_PREEMPT);
	assert_int_equal(kicks + wakes, 0);
	vcpu.state = VCPU_HALTED;
	vcpu_request(&vcpu, REQUEST_EVENTS);
	assert_int_equal(wakes, 1);
	cpu.running = NULL;
}

/* The run loop looks at requests alone. */
static void exceptions_are_requests(void **state)
{
	(void)state;
	vcpu_inject_gp(&vcpu);
	assert_int_equal(vcpu.requests, REQUEST_EVENTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(interrupts_need_if_and_no_shadow, setup),
		cmocka_unit_test_setup(tpr_holds_back, setup),
		cmocka_unit_test_setup(pic_interrupts_pass, setup),
		cmocka_unit_test_setup(event_waits_for_its_entry, setup),
		cmocka_unit_test_setup(nmi_comes_before_interrupts, setup),
		cmocka_unit_test_setup(exceptions_come_first, setup),
		cmocka_unit_test_setup(interrupted_delivery_comes_back, setup),
		cmocka_unit_test_setup(faults_combine, setup),
		cmocka_unit_test_setup(third_fault_stops_the_vm, setup),
		cmocka_unit_test_setup(real_mode_has_no_error_codes, setup),
		cmocka_unit_test_setup(wakeups_follow_if, setup),
		cmocka_unit_test_setup(requests_wake_or_kick, setup),
		cmocka_unit_test_setup(requests_in_its_own_turn, setup),
		cmocka_unit_test_setup(exceptions_are_requests, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
