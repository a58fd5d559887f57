/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of the virtual LAPIC, shared by vcpu/lapic*.c. Unless marked [a], a field belongs to
 * the vCPU's own CPU. [a] fields are read by senders on other CPUs; IRR, TMR and the error log are
 * written by them too.
 */
#ifndef BALLAST_VCPU_LAPIC_STATE_H
#define BALLAST_VCPU_LAPIC_STATE_H

#include "vcpu/lapic.h"

#include "host/x86.h"
#include "vcpu/cpuid.h"
#include "vcpu/vm.h"

#define LAPIC_VECTOR_WORDS 4
#define LAPIC_FIRST_VECTOR 16 /* lower ones are illegal */

/* Integrated APIC of the x2APIC-capable kind, six LVT entries, no suppression of EOI broadcasts. */
#define LAPIC_VERSION 0x00050014U

/* Registers, by their offset in the page divided by 16; x2APIC MSRs are 0x800 + this. */
enum lapic_register {
	LAPIC_ID = 0x02,
	LAPIC_VERSION_REGISTER = 0x03,
	LAPIC_TPR = 0x08,
	LAPIC_PPR = 0x0a,
	LAPIC_EOI = 0x0b,
	LAPIC_LDR = 0x0d,
	LAPIC_DFR = 0x0e,
	LAPIC_SVR = 0x0f,
	LAPIC_ISR = 0x10,
	LAPIC_TMR = 0x18,
	LAPIC_IRR = 0x20,
	LAPIC_ESR = 0x28,
	LAPIC_ICR = 0x30,
	LAPIC_ICR_HIGH = 0x31,
	LAPIC_LVT = 0x32,
	LAPIC_LVT_LAST = 0x37,
	LAPIC_TIMER_INITIAL = 0x38,
	LAPIC_TIMER_CURRENT = 0x39,
	LAPIC_TIMER_DIVIDE = 0x3e,
	LAPIC_SELF_IPI = 0x3f,
};

/* The local vector table in the order of its registers. */
enum lapic_lvt {
	LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT
};

#define LVT_VECTOR 0xffU
#define LVT_DELIVERY 0x700U
#define LVT_DELIVERY_SHIFT 8
#define LVT_PENDING 0x1000U
#define LVT_POLARITY 0x2000U
#define LVT_REMOTE_IRR 0x4000U
#define LVT_LEVEL 0x8000U
#define LVT_MASKED 0x10000U
#define LVT_TIMER_MODE 0x60000U
#define LVT_TIMER_PERIODIC 0x20000U
#define LVT_TIMER_DEADLINE 0x40000U

#define SVR_ENABLED 0x100U
#define SVR_WRITABLE 0x3ffU

#define ESR_SEND_ILLEGAL 0x20U
#define ESR_RECEIVE_ILLEGAL 0x40U
#define ESR_ILLEGAL_REGISTER 0x80U

/* What is to be done when the vCPU accepts an interrupt. */
#define ON_ACCEPT_TIMER BIT(0) /* the periodic timer was held: see lapic_timer.c */
#define ON_ACCEPT_TICK BIT(1)  /* if it is `tick_vector`: vm_tick_taken() */

struct lapic {
	struct vcpu *vcpu;                 /* [I] */
	uint64_t irr[LAPIC_VECTOR_WORDS];  /* [a] */
	uint64_t tmr[LAPIC_VECTOR_WORDS];  /* [a] */
	uint64_t isr[LAPIC_VECTOR_WORDS];
	int32_t in_service;                /* [a] highest vector in ISR, or -1 */
	uint32_t on_accept;                /* [a] ON_ACCEPT_... */
	uint8_t tick_vector;               /* [a] */
	bool eoi_offered;                  /* [a] the guest may end that one without an exit */
	uint32_t base_flags;               /* [a] APIC_BASE_... */
	uint64_t base_address;
	uint32_t ldr;                      /* [a] xAPIC */
	uint32_t dfr;                      /* [a] xAPIC */
	uint32_t svr;                      /* [a] */
	uint32_t lvt[LVT_COUNT];           /* [a] */
	uint32_t esr;                      /* what the guest reads */
	uint32_t errors;                   /* [a] logged since the last write of ESR */
	uint64_t icr;
	uint32_t lowest_next;              /* [a] of vCPU 0: where arbitration starts */

	struct timer timer;
	uint32_t timer_initial;
	uint32_t timer_divide;             /* the register */
	uint8_t timer_shift;               /* log2 of the divisor */
	uint64_t timer_expiry_tsc;         /* one-shot, periodic: host TSC; 0 when stopped */
	uint64_t timer_deadline;           /* TSC-deadline mode: the MSR */
};

static inline bool lapic_flag_set(const struct lapic *lapic, uint32_t flag)
{
	return __atomic_load_n(&lapic->base_flags, __ATOMIC_RELAXED) & flag;
}

static inline bool lapic_is_x2apic(const struct lapic *lapic)
{
	return lapic_flag_set(lapic, APIC_BASE_X2APIC);
}

static inline bool lapic_software_enabled(const struct lapic *lapic)
{
	return __atomic_load_n(&lapic->svr, __ATOMIC_RELAXED) & SVR_ENABLED;
}

static inline uint64_t lapic_load_word(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Is any vector in this set? Cheaper than which. (The compiler would not unroll a loop.) */
static inline bool lapic_any(const uint64_t words[LAPIC_VECTOR_WORDS])
{
	return lapic_load_word(&words[3]) | lapic_load_word(&words[2]) |
		lapic_load_word(&words[1]) | lapic_load_word(&words[0]);
}

/* Stores to fields that other CPUs read. */
static inline void lapic_store(uint32_t *field, uint32_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELAXED);
}

/* All registers but the base as after power-up; the timer stops. Own CPU, or a stopped VM. */
void lapic_clear(struct lapic *lapic);
/* Request a vector; any CPU. `vector` is legal. */
void lapic_set_irr(struct lapic *lapic, uint8_t vector, bool level);
/* The next request of this vector is a tick's; any CPU. */
void lapic_expect_tick(struct lapic *lapic, uint8_t vector);
/* Look again for something to deliver if IRR has anything. */
void lapic_reconsider(struct lapic *lapic);
uint8_t lapic_ppr(struct lapic *lapic);
void lapic_end_interrupt(struct lapic *lapic);
/* Log an ESR_... error and raise the error interrupt; any CPU. */
void lapic_error(struct lapic *lapic, uint32_t error);
/* An event of the LVT entry's source. */
void lapic_local_interrupt(struct lapic *lapic, enum lapic_lvt entry);

/* Send by an ICR value in the x2APIC's form, the destination in the upper half. */
void lapic_send(struct lapic *lapic, uint64_t icr);
void lapic_send_self(struct lapic *lapic, uint8_t vector);

void lapic_timer_init(struct lapic *lapic);
void lapic_timer_stop(struct lapic *lapic);
void lapic_timer_write_initial(struct lapic *lapic, uint32_t count);
void lapic_timer_write_divide(struct lapic *lapic, uint32_t value);
/* The LVT entry is about to change to this. */
void lapic_timer_write_lvt(struct lapic *lapic, uint32_t value);
/* It was held, and the guest has taken an interrupt. */
void lapic_timer_go_on(struct lapic *lapic);
uint32_t lapic_timer_current(const struct lapic *lapic);
uint64_t lapic_timer_read_deadline(const struct lapic *lapic);
void lapic_timer_write_deadline(struct lapic *lapic, uint64_t deadline);

#endif
