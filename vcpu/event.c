/* SPDX-License-Identifier: BSD-2-Clause */
/* Events into the guest: what may be delivered, in which order; see vcpu/event.h. */
#include "vcpu/event.h"

#include "host/x86.h"
#include "vcpu/lapic.h"
#include "vcpu/sched.h"
#include "vcpu/vm.h"

static __attribute__((noinline)) void request_elsewhere(struct vcpu *vcpu, uint32_t bits)
{
	uint32_t before = __atomic_fetch_or(&vcpu->requests, bits, __ATOMIC_SEQ_CST);
	enum vcpu_state state = __atomic_load_n(&vcpu->state, __ATOMIC_SEQ_CST);
	struct cpu *cpu;

	if (state == VCPU_HALTED || state == VCPU_WAIT_SIPI) {
		sched_wake(vcpu);
		return;
	}
	/* Whoever set the first bit has seen to it that the vCPU looks at all of them. */
	if (before)
		return;
	/*
	 * One that waits, or moves, will find the bit when it runs: it names itself as running
	 * first and looks then.
	 */
	cpu = __atomic_load_n(&vcpu->cpu, __ATOMIC_SEQ_CST);
	if (cpu && cpu != this_cpu() && __atomic_load_n(&cpu->running, __ATOMIC_SEQ_CST) == vcpu)
		cpu_poke(cpu);
}

void vcpu_request(struct vcpu *vcpu, uint32_t bits)
{
	/*
	 * In its own turn, most often. What this CPU has loaded runs on no other, and halts by this
	 * CPU alone: it will look.
	 */
	if (likely(__atomic_load_n(&this_cpu()->running, __ATOMIC_RELAXED) == vcpu &&
		__atomic_load_n(&vcpu->state, __ATOMIC_RELAXED) == VCPU_RUNNABLE))
		__atomic_fetch_or(&vcpu->requests, bits, __ATOMIC_RELEASE);
	else
		request_elsewhere(vcpu, bits);
}

enum fault_class { FAULT_BENIGN, FAULT_CONTRIBUTORY, FAULT_PAGE };

static enum fault_class fault_class(uint8_t vector)
{
	switch (vector) {
	case VECTOR_DE:
	case VECTOR_TS:
	case VECTOR_NP:
	case VECTOR_SS:
	case VECTOR_GP:
	case VECTOR_CP:
		return FAULT_CONTRIBUTORY;
	case VECTOR_PF:
	case VECTOR_VE:
		return FAULT_PAGE;
	default:
		return FAULT_BENIGN;
	}
}

/* Do two exceptions make a double fault? (Intel SDM vol. 3, "Interrupt 8: Double Fault") */
static bool makes_double_fault(uint8_t first, uint8_t second)
{
	enum fault_class second_class = fault_class(second);

	if (fault_class(first) == FAULT_CONTRIBUTORY)
		return second_class == FAULT_CONTRIBUTORY;
	return fault_class(first) == FAULT_PAGE && second_class != FAULT_BENIGN;
}

static void queue_exception(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	const struct vcpu_event *first = &vcpu->exception;

	if (vcpu->reinject.valid && vcpu->reinject.type == EVENT_EXCEPTION)
		first = &vcpu->reinject;
	if (first->valid) {
		uint8_t before = first->vector;

		if (before == VECTOR_DF && fault_class(vector) != FAULT_BENIGN) {
			vm_stop(vcpu->vm, VM_STOP_FAULT, 0, "triple fault");
			return;
		}
		if (makes_double_fault(before, vector)) {
			vector = VECTOR_DF;
			has_error = true;
			error = 0;
		}
	}
	/* A fault in a delivery replaces it: the interrupted instruction will raise it again. */
	vcpu->reinject.valid = false;
	vcpu->exception = (struct vcpu_event){ .valid = true, .type = EVENT_EXCEPTION,
		.vector = vector, .has_error = has_error, .error = error };
	vcpu_look_again(vcpu);
}

void vcpu_inject_exception(struct vcpu *vcpu, uint8_t vector)
{
	queue_exception(vcpu, vector, false, 0);
}

void vcpu_inject_exception_error(struct vcpu *vcpu, uint8_t vector, uint32_t error)
{
	queue_exception(vcpu, vector, true, error);
}

void vcpu_inject_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error)
{
	queue_exception(vcpu, VECTOR_PF, true, error);
	vcpu->exception_address = address;
}

void vcpu_inject_gp(struct vcpu *vcpu)
{
	queue_exception(vcpu, VECTOR_GP, true, 0);
}

void vcpu_inject_ud(struct vcpu *vcpu)
{
	queue_exception(vcpu, VECTOR_UD, false, 0);
}

void vcpu_inject_nmi(struct vcpu *vcpu)
{
	vcpu_request(vcpu, REQUEST_NMI);
}

static void set_window(struct vcpu *vcpu, uint32_t windows, uint8_t priority)
{
	if (vcpu->window == windows && vcpu->window_priority == priority)
		return;
	vcpu->window = windows;
	vcpu->window_priority = priority;
	hw->want_window(vcpu, windows, priority);
}

static void inject(struct vcpu *vcpu, const struct vcpu_event *event)
{
	hw->inject(vcpu, event);
	vcpu->injected = true;
	vcpu->in_hlt = false;
}

/* Real mode pushes no error codes, and VM entry refuses to deliver one there. */
static void inject_exception(struct vcpu *vcpu)
{
	struct vcpu_event *event = &vcpu->exception;

	if (event->vector == VECTOR_PF) {
		vcpu->special.cr2 = vcpu->exception_address;
		vcpu_set_dirty(vcpu, REG_CR2);
	}
	vcpu_need(vcpu, REG_CR0);
	if (!(vcpu->special.cr0 & CR0_PE))
		event->has_error = false;
	inject(vcpu, event);
	event->valid = false;
}

/*
 * An event whose delivery an exit interrupted, or an exception: these wait for nothing. True when
 * the next entry has an event: this one, or one given before a turn that did not enter the guest.
 */
static bool inject_immediate(struct vcpu *vcpu)
{
	if (vcpu->injected)
		return true;
	if (vcpu->reinject.valid) {
		inject(vcpu, &vcpu->reinject);
		vcpu->reinject.valid = false;
		return true;
	}
	if (vcpu->exception.valid) {
		inject_exception(vcpu);
		return true;
	}
	return false;
}

static bool can_take_nmi(struct vcpu *vcpu)
{
	vcpu_need(vcpu, REG_SHADOW);
	return !vcpu->special.nmi_blocked && !vcpu->special.interrupt_shadow;
}

static bool can_take_interrupt(struct vcpu *vcpu)
{
	vcpu_need(vcpu, REG_RFLAGS | REG_SHADOW);
	return (vcpu->special.rflags & RFLAGS_IF) && !vcpu->special.interrupt_shadow;
}

static bool extint_waiting(struct vcpu *vcpu)
{
	return vcpu->extint && lapic_accepts_extint(vcpu);
}

/* The PIC's vector by an INTA cycle, or -1 when the line fell meanwhile. */
static int acknowledge_extint(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	int vector = -1;

	spin_lock(&vm->lock);
	for (size_t i = 0; i < vm->irqchip_count && vector < 0; i++) {
		if (vm->irqchips[i]->acknowledge)
			vector = vm->irqchips[i]->acknowledge(vm->irqchips[i]);
	}
	spin_unlock(&vm->lock);
	return vector;
}

static void inject_interrupt(struct vcpu *vcpu, int vector)
{
	struct vcpu_event event = { .valid = true, .type = EVENT_INTERRUPT };

	if (vector >= 0)
		lapic_accept(vcpu, vector);
	else
		vector = acknowledge_extint(vcpu);
	if (vector < 0)
		return;
	event.vector = vector;
	inject(vcpu, &event);
}

static void inject_nmi(struct vcpu *vcpu)
{
	struct vcpu_event event = { .valid = true, .type = EVENT_NMI, .vector = VECTOR_NMI };

	vcpu->nmi_pending--;
	vcpu->in_hlt = false;
	inject(vcpu, &event);
}

void vcpu_prepare_events(struct vcpu *vcpu)
{
	bool busy = inject_immediate(vcpu), passes;
	uint32_t windows = 0;
	uint8_t priority = 0;
	int vector;

	if (vcpu->nmi_pending) {
		if (!busy && can_take_nmi(vcpu)) {
			inject_nmi(vcpu);
			busy = true;
		}
		if (vcpu->nmi_pending)
			windows |= WINDOW_NMI;
	}
	vcpu_need(vcpu, REG_TPR);
	vector = lapic_waiting_vector(vcpu);
	passes = lapic_tpr_passes(vcpu->special.tpr, vector);
	if ((passes || extint_waiting(vcpu)) && !busy && can_take_interrupt(vcpu)) {
		vcpu->in_hlt = false;
		inject_interrupt(vcpu, passes ? vector : -1);
		vector = lapic_waiting_vector(vcpu);
	}
	if (extint_waiting(vcpu)) {
		windows |= WINDOW_INTERRUPT;
		priority = 15;
	} else if (vector >= 0) {
		windows |= WINDOW_INTERRUPT;
		priority = vector >> 4;
	}
	set_window(vcpu, windows, priority);
}

bool vcpu_has_wakeup(struct vcpu *vcpu)
{
	if (vcpu->exception.valid || vcpu->reinject.valid || vcpu->nmi_pending)
		return true;
	vcpu_need(vcpu, REG_RFLAGS | REG_TPR);
	if (!(vcpu->special.rflags & RFLAGS_IF))
		return false;
	return lapic_tpr_passes(vcpu->special.tpr, lapic_waiting_vector(vcpu)) ||
		extint_waiting(vcpu);
}
