/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual LAPIC's core: life, priorities, acceptance, end of interrupt, local interrupts. */
#include "vcpu/lapic_state.h"

#include "host/memory.h"
#include "lib/string.h"
#include "vcpu/pv_eoi.h"
#include "vcpu/pv_record.h"

#define WORD(vector) ((vector) / 64)
#define MASK(vector) BIT((vector) % 64)

static inline int highest(const uint64_t words[LAPIC_VECTOR_WORDS])
{
	uint64_t word;

	if ((word = lapic_load_word(&words[3])))
		return 255 - __builtin_clzll(word);
	if ((word = lapic_load_word(&words[2])))
		return 191 - __builtin_clzll(word);
	if ((word = lapic_load_word(&words[1])))
		return 127 - __builtin_clzll(word);
	word = lapic_load_word(&words[0]);
	return word ? 63 - __builtin_clzll(word) : -1;
}

int lapic_create(struct vcpu *vcpu)
{
	struct lapic *lapic = heap_alloc(sizeof(*lapic), FRAME_VM);

	if (!lapic)
		return -ENOMEM;
	lapic->vcpu = vcpu;
	vcpu->lapic = lapic;
	lapic_timer_init(lapic);
	lapic_reset(vcpu, false);
	return 0;
}

void lapic_destroy(struct vcpu *vcpu)
{
	if (!vcpu->lapic)
		return;
	timer_cancel(&vcpu->lapic->timer);
	heap_free(vcpu->lapic);
	vcpu->lapic = NULL;
}

void lapic_clear(struct lapic *lapic)
{
	if (pv_eoi_offered(lapic))
		(void)!pv_eoi_withdraw(lapic);
	lapic_timer_stop(lapic);
	for (unsigned int i = 0; i < LAPIC_VECTOR_WORDS; i++) {
		__atomic_store_n(&lapic->irr[i], 0, __ATOMIC_RELAXED);
		__atomic_store_n(&lapic->tmr[i], 0, __ATOMIC_RELAXED);
		lapic->isr[i] = 0;
	}
	__atomic_store_n(&lapic->in_service, -1, __ATOMIC_RELAXED);
	lapic_store(&lapic->ldr, 0);
	lapic_store(&lapic->dfr, ~0U);
	lapic_store(&lapic->svr, 0xff);
	for (unsigned int i = 0; i < LVT_COUNT; i++)
		lapic_store(&lapic->lvt[i], LVT_MASKED);
	lapic->esr = 0;
	lapic_store(&lapic->errors, 0);
	lapic->icr = 0;
	lapic->timer_initial = 0;
	lapic->timer_divide = 0;
	lapic->timer_shift = 1;
	lapic->vcpu->special.tpr = 0;
	vcpu_set_dirty(lapic->vcpu, REG_TPR);
}

void lapic_reset(struct vcpu *vcpu, bool init)
{
	struct lapic *lapic = vcpu->lapic;

	/* The record is forgotten with what was in service (pv_reset()). */
	__atomic_store_n(&lapic->eoi_offered, false, __ATOMIC_RELAXED);
	lapic_clear(lapic);
	/* INIT leaves the mode and the base as they are. */
	if (init)
		return;
	lapic->base_address = LAPIC_DEFAULT_BASE;
	lapic_store(&lapic->base_flags, APIC_BASE_ENABLE | (vcpu->id == 0 ? APIC_BASE_BSP : 0));
	/*
	 * Guests are started where a firmware would hand over: it leaves the boot CPU in virtual
	 * wire mode, the PIC through LINT0 and NMIs through LINT1, and those that know no LAPIC
	 * rely on it.
	 */
	if (vcpu->id == 0) {
		lapic_store(&lapic->lvt[LVT_LINT0], DELIVERY_EXTINT << LVT_DELIVERY_SHIFT);
		lapic_store(&lapic->lvt[LVT_LINT1], DELIVERY_NMI << LVT_DELIVERY_SHIFT);
	}
}

void lapic_set_irr(struct lapic *lapic, uint8_t vector, bool level)
{
	uint64_t *tmr = &lapic->tmr[WORD(vector)];

	if (level)
		__atomic_fetch_or(tmr, MASK(vector), __ATOMIC_RELAXED);
	else if (__atomic_load_n(tmr, __ATOMIC_RELAXED) & MASK(vector))
		__atomic_fetch_and(tmr, ~MASK(vector), __ATOMIC_RELAXED);
	__atomic_fetch_or(&lapic->irr[WORD(vector)], MASK(vector), __ATOMIC_RELEASE);
	vcpu_request(lapic->vcpu, REQUEST_EVENTS);
}

void lapic_expect_tick(struct lapic *lapic, uint8_t vector)
{
	__atomic_store_n(&lapic->tick_vector, vector, __ATOMIC_RELAXED);
	__atomic_fetch_or(&lapic->on_accept, ON_ACCEPT_TICK, __ATOMIC_RELEASE);
}

bool lapic_any_requested(const struct vm *vm, uint8_t vector)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		if (lapic_load_word(&vm->vcpus[i]->lapic->irr[WORD(vector)]) & MASK(vector))
			return true;
	}
	return false;
}

static void broadcast_end(struct vm *vm, uint8_t vector)
{
	spin_lock(&vm->lock);
	for (size_t i = 0; i < vm->irqchip_count; i++) {
		if (vm->irqchips[i]->end_of_interrupt)
			vm->irqchips[i]->end_of_interrupt(vm->irqchips[i], vector);
	}
	spin_unlock(&vm->lock);
}

/* What is in service, and there is something, ends. */
static inline void end_in_service(struct lapic *lapic)
{
	int vector = lapic->in_service;

	lapic->isr[WORD(vector)] &= ~MASK(vector);
	__atomic_store_n(&lapic->in_service, lapic_any(lapic->isr) ? highest(lapic->isr) : -1,
		__ATOMIC_RELAXED);
	if (__atomic_load_n(&lapic->tmr[WORD(vector)], __ATOMIC_RELAXED) & MASK(vector))
		broadcast_end(lapic->vcpu->vm, vector);
}

void lapic_settle_eoi(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;

	if (pv_eoi_offered(lapic) && pv_eoi_withdraw(lapic))
		end_in_service(lapic);
}

/* The class of what is being served, or -1: the arithmetic shift keeps -1. */
static int service_class(const struct lapic *lapic)
{
	return lapic->in_service >> 4;
}

/* Apart, and ending where it came from, so that those without offers need no stack frame. */
static __attribute__((noinline)) int waiting_after_settling(struct vcpu *vcpu)
{
	lapic_settle_eoi(vcpu);
	return lapic_waiting_vector(vcpu);
}

int lapic_waiting_vector(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;
	int vector;

	if (!lapic_any(lapic->irr))
		return -1;
	/* Something waits: the end of what is in service has to be seen. */
	if (unlikely(pv_eoi_offered(lapic)))
		return waiting_after_settling(vcpu);
	vector = highest(lapic->irr);
	return (vector >> 4) > service_class(lapic) ? vector : -1;
}

static void do_on_accept(struct lapic *lapic, uint8_t vector)
{
	struct vm *vm = lapic->vcpu->vm;
	uint32_t what = __atomic_load_n(&lapic->on_accept, __ATOMIC_ACQUIRE);

	if (what & ON_ACCEPT_TIMER)
		lapic_timer_go_on(lapic);
	if (!(what & ON_ACCEPT_TICK) ||
		vector != __atomic_load_n(&lapic->tick_vector, __ATOMIC_RELAXED))
		return;
	spin_lock(&vm->lock);
	__atomic_fetch_and(&lapic->on_accept, ~ON_ACCEPT_TICK, __ATOMIC_RELAXED);
	vm_tick_taken(vm);
	spin_unlock(&vm->lock);
}

/* Unless something waits for this vector's end, here or in an IOAPIC. */
static void offer_eoi(struct lapic *lapic, uint8_t vector)
{
	if (!lapic_any(lapic->irr) &&
		!(lapic_load_word(&lapic->tmr[WORD(vector)]) & MASK(vector)))
		pv_eoi_offer(lapic);
}

/* Apart, so that vectors to which nothing is tied need no stack frame. */
static __attribute__((noinline)) void follow_accept(struct lapic *lapic, uint8_t vector)
{
	/* First, for it may request the same vector again. */
	if (__atomic_load_n(&lapic->on_accept, __ATOMIC_RELAXED))
		do_on_accept(lapic, vector);
	if (pv_record_enabled(&lapic->vcpu->pv.eoi))
		offer_eoi(lapic, vector);
}

void lapic_accept(struct vcpu *vcpu, uint8_t vector)
{
	struct lapic *lapic = vcpu->lapic;

	__atomic_fetch_and(&lapic->irr[WORD(vector)], ~MASK(vector), __ATOMIC_RELAXED);
	lapic->isr[WORD(vector)] |= MASK(vector);
	/* Only a higher class than what is in service gets here. */
	__atomic_store_n(&lapic->in_service, vector, __ATOMIC_RELAXED);
	if (unlikely(__atomic_load_n(&lapic->on_accept, __ATOMIC_RELAXED) ||
		pv_record_enabled(&vcpu->pv.eoi)))
		follow_accept(lapic, vector);
}

uint8_t lapic_ppr(struct lapic *lapic)
{
	struct vcpu *vcpu = lapic->vcpu;

	lapic_settle_eoi(vcpu);
	vcpu_need(vcpu, REG_TPR);
	if ((vcpu->special.tpr >> 4) >= service_class(lapic))
		return vcpu->special.tpr;
	return service_class(lapic) << 4;
}

void lapic_reconsider(struct lapic *lapic)
{
	if (lapic_any(lapic->irr))
		vcpu_request(lapic->vcpu, REQUEST_EVENTS);
}

static __attribute__((noinline)) void end_after_settling(struct lapic *lapic)
{
	lapic_settle_eoi(lapic->vcpu);
	lapic_end_interrupt(lapic);
}

void lapic_end_interrupt(struct lapic *lapic)
{
	if (unlikely(pv_eoi_offered(lapic))) {
		end_after_settling(lapic);
		return;
	}
	if (unlikely(lapic->in_service < 0))
		return;
	end_in_service(lapic);
	lapic_reconsider(lapic);
}

void lapic_error(struct lapic *lapic, uint32_t error)
{
	uint32_t lvt = __atomic_load_n(&lapic->lvt[LVT_ERROR], __ATOMIC_RELAXED);

	if (__atomic_fetch_or(&lapic->errors, error, __ATOMIC_RELAXED) & error)
		return;
	if (!(lvt & LVT_MASKED) && (lvt & LVT_VECTOR) >= LAPIC_FIRST_VECTOR)
		lapic_set_irr(lapic, lvt & LVT_VECTOR, false);
}

void lapic_local_interrupt(struct lapic *lapic, enum lapic_lvt entry)
{
	uint32_t lvt = lapic->lvt[entry];

	if (lvt & LVT_MASKED)
		return;
	switch ((enum lapic_delivery)((lvt & LVT_DELIVERY) >> LVT_DELIVERY_SHIFT)) {
	case DELIVERY_FIXED:
		if ((lvt & LVT_VECTOR) < LAPIC_FIRST_VECTOR)
			lapic_error(lapic, ESR_RECEIVE_ILLEGAL);
		else
			lapic_set_irr(lapic, lvt & LVT_VECTOR, false);
		break;
	case DELIVERY_NMI:
		vcpu_inject_nmi(lapic->vcpu);
		break;
	default:
		/* ExtINT is the PIC's own line; there is no SMM, and nothing raises INIT here. */
		break;
	}
}

bool lapic_accepts_extint(struct vcpu *vcpu)
{
	const struct lapic *lapic = vcpu->lapic;

	if (!lapic_flag_set(lapic, APIC_BASE_ENABLE))
		return vcpu->id == 0;
	return (lapic->lvt[LVT_LINT0] & (LVT_MASKED | LVT_DELIVERY)) ==
		DELIVERY_EXTINT << LVT_DELIVERY_SHIFT;
}

bool lapic_enabled(const struct vcpu *vcpu)
{
	return lapic_flag_set(vcpu->lapic, APIC_BASE_ENABLE);
}
