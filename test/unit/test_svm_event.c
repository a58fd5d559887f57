/* SPDX-License-Identifier: BSD-2-Clause */
/* AMD-V without the hardware: injection, interrupted deliveries, windows, NMI blocking. */
#include "test/unit/fake_svm.h"

/* Events */

static void inject(enum event_type type, uint8_t vector, bool has_error, uint32_t error)
{
	struct vcpu_event event = { .valid = true, .type = type, .vector = vector,
		.has_error = has_error, .error = error, .instruction_length = 2 };

	svm_inject(&vcpu, &event);
}

static void events_are_encoded(void **state)
{
	(void)state;
	inject(EVENT_INTERRUPT, 0x31, false, 0);
	assert_int_equal(vmcb.control.event_inj, 0x80000031);
	inject(EVENT_EXCEPTION, 14, true, 0xabcd);
	assert_int_equal(vmcb.control.event_inj, 0xabcd80000b0eULL);
	inject(EVENT_EXCEPTION, 6, false, 0);
	assert_int_equal(vmcb.control.event_inj, 0x80000306);
	inject(EVENT_NMI, 2, false, 0);
	assert_int_equal(vmcb.control.event_inj, 0x80000202);
	assert_true(vcpu.special.nmi_blocked);
}

static uint64_t seen_event;

static void hardware_sees_event(struct vmcb *v)
{
	seen_event = v->control.event_inj;
	v->control.exit_code = SVM_EXIT_HLT;
}

static void a_reset_takes_an_event_back(void **state)
{
	(void)state;
	hardware = hardware_sees_event;
	inject(EVENT_INTERRUPT, 0x31, false, 0);
	vcpu.injected = true;
	svm_enter(&vcpu);
	assert_int_equal(seen_event, 0x80000031);
	inject(EVENT_INTERRUPT, 0x32, false, 0);
	vcpu.injected = false;
	vcpu_set_dirty(&vcpu, REG_ALL);
	svm_enter(&vcpu);
	assert_int_equal(seen_event, 0);
}

static void software_events_push_the_next_rip(void **state)
{
	(void)state;
	svm_features.next_rip = true;
	inject(EVENT_SOFTWARE_INTERRUPT, 0x80, false, 0);
	assert_int_equal(vmcb.control.event_inj, 0x80000480);
	assert_int_equal(vmcb.control.next_rip, 0x1002);
	assert_int_equal(vcpu.special.rip, 0x1000);
	svm_features.next_rip = false;
	inject(EVENT_SOFTWARE_EXCEPTION, 3, false, 0);
	assert_int_equal(vmcb.control.event_inj, 0x80000303);
	assert_int_equal(vcpu.special.rip, 0x1002);
	run(SVM_EXIT_HLT, 0, 0);
	assert_int_equal(vmcb.save.rip, 0x1002);
	assert_int_equal(svm.attention, 0);
}

static uint64_t next_int_info;

static void hardware_interrupted(struct vmcb *v)
{
	v->control.exit_code = SVM_EXIT_NPF;
	v->control.exit_int_info = next_int_info;
}

static void interrupt_delivery(uint64_t info)
{
	hardware = hardware_interrupted;
	next_int_info = info;
	vcpu.reinject.valid = false;
	svm_enter(&vcpu);
	assert_int_equal(vcpu.exit.kind, EXIT_MEMORY);
}

static void interrupted_deliveries_are_kept(void **state)
{
	const struct vcpu_event *event = &vcpu.reinject;

	(void)state;
	interrupt_delivery(0x80000031);
	assert_true(event->valid);
	assert_int_equal(event->type, EVENT_INTERRUPT);
	assert_int_equal(event->vector, 0x31);
	interrupt_delivery(0x700000000000ULL | 0x80000b0e);
	assert_int_equal(event->type, EVENT_EXCEPTION);
	assert_int_equal(event->vector, 14);
	assert_true(event->has_error);
	assert_int_equal(event->error, 0x7000);
	interrupt_delivery(0x80000202);
	assert_int_equal(event->type, EVENT_NMI);
	interrupt_delivery(0x31); /* not valid */
	assert_false(event->valid);
	/* The instruction executes again. */
	interrupt_delivery(0x80000480);
	assert_false(event->valid);
	interrupt_delivery(0x80000303);
	assert_false(event->valid);
	interrupt_delivery(0x80000304);
	assert_false(event->valid);
}

static void interrupted_software_event_goes_back(void **state)
{
	(void)state;
	inject(EVENT_SOFTWARE_INTERRUPT, 0x80, false, 0);
	interrupt_delivery(0x80000480);
	assert_int_equal(vcpu.special.rip, 0x1000);
	assert_false(vcpu.reinject.valid);
	/* An exception in its delivery, itself interrupted: the instruction raises it again. */
	inject(EVENT_SOFTWARE_INTERRUPT, 0x80, false, 0);
	interrupt_delivery(0x80000b0d);
	assert_int_equal(vcpu.special.rip, 0x1000);
	assert_true(vcpu.reinject.valid);
	assert_int_equal(vcpu.requests, REQUEST_EVENTS);
	assert_int_equal(svm.attention, 0);
}

static bool intercepts_vintr(void)
{
	return vmcb.control.intercept3 & INTERCEPT3_VINTR;
}

static void interrupt_window_is_a_virtual_interrupt(void **state)
{
	(void)state;
	vcpu.special.tpr = 0x50;
	run(SVM_EXIT_HLT, 0, 0);
	svm_want_window(&vcpu, WINDOW_INTERRUPT, 4);
	/* Masked by V_TPR in hardware: it is asked for all the same. */
	assert_int_equal(vmcb.control.int_ctl, 0x1040105);
	assert_true(intercepts_vintr());
	assert_int_equal(vmcb.control.intercept_cr_write, 0);
	svm_want_window(&vcpu, 0, 0);
	assert_int_equal(vmcb.control.int_ctl, 0x1000005);
	assert_false(intercepts_vintr());
	svm_want_window(&vcpu, WINDOW_INTERRUPT, 15);
	assert_int_equal(run(SVM_EXIT_VINTR, 0, 0), EXIT_INTERRUPT_WINDOW);
	assert_int_equal(vmcb.control.int_ctl, 0x1000005);
	assert_false(intercepts_vintr());
}

static void fragile_hardware_is_spared(void **state)
{
	(void)state;
	svm_features.fragile_virtual_irq = true;
	vcpu.special.tpr = 0x40;
	run(SVM_EXIT_HLT, 0, 0);
	/* Equal is masked: not set, and CR8 writes exit. */
	svm_want_window(&vcpu, WINDOW_INTERRUPT, 4);
	assert_false(vmcb.control.int_ctl & INT_CTL_V_IRQ);
	assert_int_equal(vmcb.control.intercept_cr_write, 0x100);
	fetched = (const uint8_t *)"\x45\x0f\x22\xc1"; /* mov cr8, r9 */
	assert_int_equal(run(SVM_EXIT_CR_WRITE + 8, 0, 0), EXIT_CR);
	assert_int_equal(vcpu.exit.u.cr.number, 8);
	assert_int_equal(vcpu.exit.u.cr.access, CR_WRITE);
	assert_int_equal(vcpu.exit.u.cr.gpr, GPR_R9);
	assert_int_equal(vcpu.exit.instruction_length, 4);
	/* The exit's handler lowers TPR: now the interrupt gets through. */
	vcpu.special.tpr = 0x30;
	vcpu_set_dirty(&vcpu, REG_TPR);
	run(SVM_EXIT_HLT, 0, 0);
	assert_true(vmcb.control.int_ctl & INT_CTL_V_IRQ);
	assert_int_equal(vmcb.control.intercept_cr_write, 0x100);
	run(SVM_EXIT_VINTR, 0, 0);
	assert_int_equal(vmcb.control.intercept_cr_write, 0);
	fetch_error = -EFAULT;
	assert_int_equal(run(SVM_EXIT_CR_WRITE + 8, 0, 0), EXIT_INTERRUPT_WINDOW);
	fetch_error = -ENOTSUP;
	assert_int_equal(run(SVM_EXIT_CR_WRITE + 8, 0, 0), EXIT_UNKNOWN);
}

static void enter_with(enum event_type type, uint8_t vector)
{
	inject(type, vector, false, 0);
	vcpu.injected = true;
	run(SVM_EXIT_HLT, 0, 0);
	vcpu.injected = false;
}

static void emulation_is_reckoned_with(void **state)
{
	(void)state;
	enter_with(EVENT_INTERRUPT, 0x31);
	run(SVM_EXIT_VINTR, 0, 0);
	assert_int_equal(pokes + offers, 0);
	svm_features.injects_twice = true;
	enter_with(EVENT_EXCEPTION, 6);
	enter_with(EVENT_NMI, 2);
	assert_int_equal(pokes, 0);
	enter_with(EVENT_INTERRUPT, 0x31);
	assert_int_equal(pokes, 1);
	run(SVM_EXIT_HLT, 0, 0);
	assert_int_equal(pokes, 1);
	/* One that a reset took back. */
	inject(EVENT_INTERRUPT, 0x31, false, 0);
	run(SVM_EXIT_HLT, 0, 0);
	assert_int_equal(pokes, 1);
	run(SVM_EXIT_VINTR, 0, 0);
	assert_int_equal(offers, 0);
	svm_features.threaded_tcg = true;
	run(SVM_EXIT_VINTR, 0, 0);
	assert_int_equal(offers, 1);
}

static bool intercepts_iret(void)
{
	return vmcb.control.intercept3 & INTERCEPT3_IRET;
}

/* An NMI has been delivered; the guest is at the IRET of its handler, RIP 0x1000. */
static void nmi_handler_reaches_iret(void)
{
	run(SVM_EXIT_HLT, 0, 0);
	inject(EVENT_NMI, 2, false, 0);
	assert_true(intercepts_iret());
	run(SVM_EXIT_CPUID, 0, 0);
	assert_true(intercepts_iret() && vcpu.special.nmi_blocked);
	run(SVM_EXIT_IRET, 0, 0);
	assert_int_equal(vcpu.exit.kind, EXIT_NMI_WINDOW);
	assert_false(intercepts_iret());
	assert_true(vcpu.special.nmi_blocked);
}

static void hardware_after_iret(struct vmcb *v)
{
	v->save.rip = 0x9000;
	v->control.exit_code = SVM_EXIT_HLT;
}

static void nmis_open_when_iret_has_executed(void **state)
{
	(void)state;
	nmi_handler_reaches_iret();
	/* The host interrupts first: still blocked. */
	run(SVM_EXIT_INTR, 0, 0);
	assert_true(vcpu.special.nmi_blocked);
	hardware = hardware_after_iret;
	svm_enter(&vcpu);
	assert_int_equal(vcpu.exit.kind, EXIT_HLT);
	assert_false(vcpu.special.nmi_blocked);
	assert_int_equal(svm.attention, 0);
	assert_false(intercepts_iret());
}

static void hardware_steps(struct vmcb *v)
{
	assert_true(v->save.rflags & RFLAGS_TF);
	assert_true(v->control.intercept_exceptions & BIT(VECTOR_GP));
	v->save.rip = 0x9000;
	v->save.rflags = RFLAGS_FIXED1 | RFLAGS_IF; /* what IRET popped */
	v->save.dr6 |= BIT(14);
	v->control.exit_code = SVM_EXIT_EXCEPTION + VECTOR_DB;
}

static void a_waiting_nmi_steps_over_iret(void **state)
{
	(void)state;
	vcpu.special.dr6 = 0xffff0ff0;
	nmi_handler_reaches_iret();
	svm_want_window(&vcpu, WINDOW_NMI, 0);
	/* The host interrupts first: the guest's flags show nothing of the step. */
	run(SVM_EXIT_INTR, 0, 0);
	assert_int_equal(vcpu.special.rflags, RFLAGS_FIXED1 | RFLAGS_IF);
	hardware = hardware_steps;
	svm_enter(&vcpu);
	assert_int_equal(vcpu.exit.kind, EXIT_NMI_WINDOW);
	assert_false(vcpu.special.nmi_blocked);
	assert_int_equal(vcpu.special.rflags, RFLAGS_FIXED1 | RFLAGS_IF);
	assert_int_equal(vmcb.save.dr6, 0xffff0ff0);
	assert_int_equal(vmcb.control.intercept_exceptions, EXCEPTIONS_INTERCEPTED);
	assert_int_equal(svm.attention, 0);
}

static void a_guest_that_steps_itself_gets_its_trap(void **state)
{
	(void)state;
	vcpu.special.rflags |= RFLAGS_TF;
	nmi_handler_reaches_iret();
	svm_want_window(&vcpu, WINDOW_NMI, 0);
	hardware = hardware_steps;
	svm_enter(&vcpu);
	assert_int_equal(vcpu.exit.kind, EXIT_EXCEPTION);
	assert_int_equal(vcpu.exit.u.exception.vector, VECTOR_DB);
	assert_true(vmcb.save.dr6 & BIT(14));
	assert_false(vcpu.special.nmi_blocked);
	/* The waiting NMI is looked at again. */
	assert_true(vcpu.requests & REQUEST_EVENTS);
}

static void a_fault_of_iret_ends_the_step(void **state)
{
	(void)state;
	nmi_handler_reaches_iret();
	svm_want_window(&vcpu, WINDOW_NMI, 0);
	assert_int_equal(run(SVM_EXIT_EXCEPTION + VECTOR_GP, 0x18, 0), EXIT_EXCEPTION);
	assert_int_equal(vcpu.exit.u.exception.error, 0x18);
	assert_int_equal(vcpu.special.rflags, RFLAGS_FIXED1 | RFLAGS_IF);
	assert_true(vcpu.special.nmi_blocked);
	assert_true(intercepts_iret());
	assert_int_equal(vmcb.control.intercept_exceptions, EXCEPTIONS_INTERCEPTED);
	/* Reset forgets it all. */
	vcpu.special.nmi_blocked = false;
	vcpu_set_dirty(&vcpu, REG_SHADOW);
	run(SVM_EXIT_HLT, 0, 0);
	assert_false(intercepts_iret());
	assert_int_equal(svm.attention, 0);
}

static void an_nmi_in_a_shadow_waits_for_its_end(void **state)
{
	(void)state;
	run(SVM_EXIT_HLT, 0, 0);
	svm_want_window(&vcpu, WINDOW_NMI, 0);
	assert_true(intercepts_vintr());
	assert_true(vmcb.control.int_ctl & INT_CTL_V_IGN_TPR);
	run(SVM_EXIT_VINTR, 0, 0);
	assert_false(intercepts_vintr());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(events_are_encoded, setup),
		cmocka_unit_test_setup(a_reset_takes_an_event_back, setup),
		cmocka_unit_test_setup(software_events_push_the_next_rip, setup),
		cmocka_unit_test_setup(interrupted_deliveries_are_kept, setup),
		cmocka_unit_test_setup(interrupted_software_event_goes_back, setup),
		cmocka_unit_test_setup(interrupt_window_is_a_virtual_interrupt, setup),
		cmocka_unit_test_setup(fragile_hardware_is_spared, setup),
		cmocka_unit_test_setup(emulation_is_reckoned_with, setup),
		cmocka_unit_test_setup(nmis_open_when_iret_has_executed, setup),
		cmocka_unit_test_setup(a_waiting_nmi_steps_over_iret, setup),
		cmocka_unit_test_setup(a_guest_that_steps_itself_gets_its_trap, setup),
		cmocka_unit_test_setup(a_fault_of_iret_ends_the_step, setup),
		cmocka_unit_test_setup(an_nmi_in_a_shadow_waits_for_its_end, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
