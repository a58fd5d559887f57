/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events into the guest: injection, interrupted deliveries, and windows (AMD APM vol. 2, "Event
 * Injection", "EXITINTINFO", "Interrupt and Local APIC Support").
 *
 * Interrupt window: a virtual interrupt (V_IRQ) of the wanted priority, whose intercept fires when
 * RFLAGS.IF, the interrupt shadow and V_TPR let it through; it is never delivered itself.
 *
 * NMI blocking: from injection on IRET is intercepted. At that exit IRET has not executed yet, so
 * NMIs stay blocked until a later exit finds RIP elsewhere. When one is waiting by then, the guest
 * is stepped over IRET by RFLAGS.TF: the #DB exits and is swallowed. A fault of IRET itself would
 * carry the borrowed TF into the guest's stack, so those that IRET can raise exit too while
 * stepping, and go to the guest from there with its own flags. IRET as a task switch (NT) is not
 * stepped over; the next exit of any kind serves.
 */
#include "svm/svm.h"

#define DR6_BREAKPOINTS 0xfULL
#define DR6_SINGLE_STEP BIT(14)

#define IRET_FAULTS                                                                                \
	(BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) | BIT(VECTOR_GP) | BIT(VECTOR_PF))

bool svm_exception_has_error(unsigned int vector)
{
	const uint32_t with_error = BIT(VECTOR_DF) | BIT(VECTOR_TS) | BIT(VECTOR_NP) |
		BIT(VECTOR_SS) | BIT(VECTOR_GP) | BIT(VECTOR_PF) | BIT(VECTOR_AC) |
		BIT(VECTOR_CP) | BIT(29) | BIT(30);

	return vector < 32 && (with_error >> vector & 1);
}

/*
 * Software events push the address of the next instruction: hardware with NRIPS takes it from the
 * VMCB, other hardware pushes RIP, which is then moved ahead.
 */
static void prepare_software_event(
	struct vcpu *vcpu, struct svm_vcpu *svm, const struct vcpu_event *event)
{
	struct special_regs *special = &vcpu->special;
	uint64_t next;

	vcpu_need(vcpu, REG_RIP);
	next = special->rip + event->instruction_length;
	if (svm_features.next_rip && event->type != EVENT_PRIVILEGED_EXCEPTION) {
		svm->vmcb->control.next_rip = next;
		return;
	}
	svm->soft_rip = special->rip;
	svm->soft_moved_rip = true;
	special->rip = next;
	vcpu_set_dirty(vcpu, REG_RIP);
}

void svm_inject(struct vcpu *vcpu, const struct vcpu_event *event)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	uint64_t type = event->type;
	uint64_t field;

	switch (event->type) {
	case EVENT_NMI:
		vcpu->special.nmi_blocked = true;
		svm_set_nmi_blocked(svm, true);
		break;
	case EVENT_PRIVILEGED_EXCEPTION:
	case EVENT_SOFTWARE_EXCEPTION:
		type = EVENT_EXCEPTION;
		/* fall through */
	case EVENT_SOFTWARE_INTERRUPT:
		prepare_software_event(vcpu, svm, event);
		break;
	case EVENT_INTERRUPT:
		svm->leaves = svm_features.injects_twice;
		break;
	case EVENT_EXCEPTION:
		break;
	}
	field = event->vector | type << EVENT_TYPE_SHIFT | EVENT_VALID;
	if (event->has_error)
		field |= EVENT_ERROR_VALID | (uint64_t)event->error << EVENT_ERROR_SHIFT;
	svm->vmcb->control.event_inj = field;
}

/*
 * INT n, INT3 and INTO are not kept: an exit in their delivery leaves RIP at the instruction, which
 * then executes again. So RIP goes back there when it was moved ahead for their injection.
 */
void svm_requeue_event(struct vcpu *vcpu, struct svm_vcpu *svm)
{
	uint64_t info = svm->vmcb->control.exit_int_info;
	enum event_type type = info >> EVENT_TYPE_SHIFT & EVENT_TYPE;
	uint8_t vector = info & EVENT_VECTOR;

	if (svm->soft_moved_rip)
		svm->vmcb->save.rip = svm->soft_rip;
	if (type == EVENT_SOFTWARE_INTERRUPT)
		return;
	if (type == EVENT_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF))
		return;
	vcpu->reinject = (struct vcpu_event){
		.valid = true,
		.type = type,
		.vector = vector,
		.has_error = info & EVENT_ERROR_VALID,
		.error = info >> EVENT_ERROR_SHIFT,
	};
	vcpu_look_again(vcpu);
}

/*
 * QEMU's emulation: V_IRQ is set only when V_TPR lets it through now, and CR8 writes exit, so that
 * no guest writes CR8 while V_IRQ is set; common code then asks anew.
 */
static uint64_t virtual_interrupt(const struct svm_vcpu *svm, uint64_t v_tpr)
{
	/* An NMI that waits for nothing but the end of an interrupt shadow. */
	if ((svm->windows & WINDOW_NMI) && svm->nmi_state == SVM_NMI_OPEN)
		return INT_CTL_V_IRQ | INT_CTL_V_IGN_TPR | INT_CTL_V_PRIORITY;
	if (!(svm->windows & WINDOW_INTERRUPT))
		return 0;
	if (svm_features.fragile_virtual_irq && svm->window_priority <= v_tpr)
		return 0;
	return INT_CTL_V_IRQ | (uint64_t)svm->window_priority << INT_CTL_V_PRIORITY_SHIFT;
}

void svm_update_windows(struct svm_vcpu *svm)
{
	struct vmcb_control *control = &svm->vmcb->control;
	uint64_t virtual = virtual_interrupt(svm, control->int_ctl & INT_CTL_V_TPR);
	bool guard_cr8 = svm_features.fragile_virtual_irq &&
		(virtual || (svm->windows & WINDOW_INTERRUPT));

	control->int_ctl &= ~(INT_CTL_V_IRQ | INT_CTL_V_PRIORITY | INT_CTL_V_IGN_TPR);
	control->int_ctl |= virtual;
	control->intercept3 &= ~(INTERCEPT3_VINTR | INTERCEPT3_IRET);
	if (virtual)
		control->intercept3 |= INTERCEPT3_VINTR;
	if (svm->nmi_state == SVM_NMI_HANDLER)
		control->intercept3 |= INTERCEPT3_IRET;
	control->intercept_cr_write = guard_cr8 ? BIT(8) : 0;
	control->intercept_exceptions =
		EXCEPTIONS_INTERCEPTED | (svm->stepping ? IRET_FAULTS : 0);
	control->clean &= ~(CLEAN_INTERCEPTS | CLEAN_TPR);
}

void svm_want_window(struct vcpu *vcpu, uint32_t windows, uint8_t priority)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	svm->windows = windows;
	svm->window_priority = priority & 0xf;
	if ((windows & WINDOW_NMI) && svm->nmi_state == SVM_NMI_IRET) {
		vcpu_need(vcpu, REG_RFLAGS);
		svm->stepping = !(vcpu->special.rflags & RFLAGS_NT);
	}
	svm_update_windows(svm);
}

void svm_close_windows(struct svm_vcpu *svm)
{
	svm->windows = 0;
	svm_update_windows(svm);
}

void svm_set_nmi_blocked(struct svm_vcpu *svm, bool blocked)
{
	if (blocked == (svm->nmi_state != SVM_NMI_OPEN))
		return;
	svm->nmi_state = blocked ? SVM_NMI_HANDLER : SVM_NMI_OPEN;
	svm->stepping = false;
	svm_update_windows(svm);
}

static bool report_nmi_window(struct vcpu *vcpu, struct svm_vcpu *svm)
{
	svm_close_windows(svm);
	vcpu->exit.kind = EXIT_NMI_WINDOW;
	vcpu->exit.instruction_length = 0;
	return true;
}

/* IRET has executed. True when this exit is only the end of our own step. */
static bool iret_executed(struct vcpu *vcpu, struct svm_vcpu *svm, bool stepped)
{
	struct vmcb_save *save = &svm->vmcb->save;
	bool waiting = svm->windows & WINDOW_NMI;
	bool own_trap = stepped && !svm->guest_tf;

	vcpu->special.nmi_blocked = false;
	svm_set_nmi_blocked(svm, false);
	if (own_trap) {
		uint64_t hits = save->dr6 & ~svm->step_dr6 & DR6_BREAKPOINTS;

		save->dr6 = (save->dr6 & ~DR6_SINGLE_STEP) | (svm->step_dr6 & DR6_SINGLE_STEP);
		svm->vmcb->control.clean &= ~CLEAN_DR;
		if (!hits)
			return report_nmi_window(vcpu, svm);
	}
	if (waiting)
		vcpu_look_again(vcpu);
	return false;
}

bool svm_track_nmi(struct vcpu *vcpu, struct svm_vcpu *svm)
{
	struct vmcb_save *save = &svm->vmcb->save;
	uint64_t code = vcpu->exit.code;
	bool stepped = svm->stepping && code == SVM_EXIT_EXCEPTION + VECTOR_DB;

	if (svm->nmi_state == SVM_NMI_HANDLER) {
		if (code != SVM_EXIT_IRET)
			return false;
		svm->nmi_state = SVM_NMI_IRET;
		svm->iret_rip = save->rip;
		return report_nmi_window(vcpu, svm);
	}
	if (stepped || save->rip != svm->iret_rip)
		return iret_executed(vcpu, svm, stepped);
	if (!svm->stepping)
		return false;
	if (!svm->guest_tf)
		save->rflags &= ~RFLAGS_TF;
	if (code >= SVM_EXIT_EXCEPTION && code < SVM_EXIT_EXCEPTION + 32) {
		/* It faulted and will be executed again after the fault's handler. */
		svm->stepping = false;
		svm->nmi_state = SVM_NMI_HANDLER;
		svm_update_windows(svm);
	}
	return false;
}
