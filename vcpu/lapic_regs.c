/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's view of the LAPIC: registers by MMIO and by MSR, and the base MSR (Intel SDM vol. 3,
 * "Local APIC Register Address Map", "x2APIC Register Address Space", "x2APIC States").
 */
#include "vcpu/lapic_state.h"

#define CPUID_ECX_X2APIC BIT(21)
#define CPUID_ECX_TSC_DEADLINE BIT(24)

#define ICR_WRITABLE 0x000ccfffULL
#define ICR_X2APIC_RESERVED 0xfff32000ULL
#define DIVIDE_WRITABLE 0xbU
#define DFR_FIXED 0x0fffffffU

static bool cpuid_has(const struct lapic *lapic, uint64_t ecx_bit)
{
	return lapic->vcpu->vm->cpuid->basic[1].registers.ecx & ecx_bit;
}

/* One 32-bit register of a 256-bit vector set. */
static uint32_t vector_word(const uint64_t *words, unsigned int index)
{
	return __atomic_load_n(&words[index / 2], __ATOMIC_RELAXED) >> (32 * (index & 1));
}

static uint32_t logical_id(const struct lapic *lapic)
{
	uint32_t id = lapic->vcpu->id;

	if (lapic_is_x2apic(lapic))
		return (id >> 4) << 16 | 1U << (id & 15);
	return lapic->ldr;
}

/* Registers that both modes have. -ENOENT when there is none to be read at `index`. */
static int read_register(struct lapic *lapic, unsigned int index, uint32_t *value)
{
	struct vcpu *vcpu = lapic->vcpu;

	switch (index) {
	case LAPIC_ID:
		*value = lapic_is_x2apic(lapic) ? vcpu->id : vcpu->id << 24;
		return 0;
	case LAPIC_VERSION_REGISTER:
		*value = LAPIC_VERSION;
		return 0;
	case LAPIC_TPR:
		vcpu_need(vcpu, REG_TPR);
		*value = vcpu->special.tpr;
		return 0;
	case LAPIC_PPR:
		*value = lapic_ppr(lapic);
		return 0;
	case LAPIC_LDR:
		*value = logical_id(lapic);
		return 0;
	case LAPIC_SVR:
		*value = lapic->svr;
		return 0;
	case LAPIC_ISR ... LAPIC_ISR + 7:
		lapic_settle_eoi(vcpu);
		*value = vector_word(lapic->isr, index - LAPIC_ISR);
		return 0;
	case LAPIC_TMR ... LAPIC_TMR + 7:
		*value = vector_word(lapic->tmr, index - LAPIC_TMR);
		return 0;
	case LAPIC_IRR ... LAPIC_IRR + 7:
		*value = vector_word(lapic->irr, index - LAPIC_IRR);
		return 0;
	case LAPIC_ESR:
		*value = lapic->esr;
		return 0;
	case LAPIC_ICR:
		*value = lapic->icr;
		return 0;
	case LAPIC_LVT ... LAPIC_LVT_LAST:
		*value = lapic->lvt[index - LAPIC_LVT];
		return 0;
	case LAPIC_TIMER_INITIAL:
		*value = lapic->timer_initial;
		return 0;
	case LAPIC_TIMER_CURRENT:
		*value = lapic_timer_current(lapic);
		return 0;
	case LAPIC_TIMER_DIVIDE:
		*value = lapic->timer_divide;
		return 0;
	default:
		return -ENOENT;
	}
}

static const uint32_t lvt_writable[LVT_COUNT] = {
	[LVT_TIMER] = LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE,
	[LVT_THERMAL] = LVT_VECTOR | LVT_DELIVERY | LVT_MASKED,
	[LVT_PERFORMANCE] = LVT_VECTOR | LVT_DELIVERY | LVT_MASKED,
	[LVT_LINT0] = LVT_VECTOR | LVT_DELIVERY | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
	[LVT_LINT1] = LVT_VECTOR | LVT_DELIVERY | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
	[LVT_ERROR] = LVT_VECTOR | LVT_MASKED,
};

static uint32_t lvt_mask(const struct lapic *lapic, enum lapic_lvt entry)
{
	uint32_t mask = lvt_writable[entry];

	if (entry == LVT_TIMER && !cpuid_has(lapic, CPUID_ECX_TSC_DEADLINE))
		mask &= ~LVT_TIMER_DEADLINE;
	return mask;
}

static void write_lvt(struct lapic *lapic, enum lapic_lvt entry, uint32_t value)
{
	value &= lvt_mask(lapic, entry);
	if (!lapic_software_enabled(lapic))
		value |= LVT_MASKED;
	if (entry == LVT_TIMER)
		lapic_timer_write_lvt(lapic, value);
	lapic_store(&lapic->lvt[entry], value);
	/* LINT0 may now let the PIC through. */
	if (entry == LVT_LINT0)
		vcpu_request(lapic->vcpu, REQUEST_EVENTS);
}

static void write_svr(struct lapic *lapic, uint32_t value)
{
	bool disabled = lapic_software_enabled(lapic) && !(value & SVR_ENABLED);

	lapic_store(&lapic->svr, value & SVR_WRITABLE);
	if (!disabled)
		return;
	for (unsigned int i = 0; i < LVT_COUNT; i++)
		lapic_store(&lapic->lvt[i], lapic->lvt[i] | LVT_MASKED);
}

static void write_tpr(struct lapic *lapic, uint8_t value)
{
	lapic->vcpu->special.tpr = value;
	vcpu_set_dirty(lapic->vcpu, REG_TPR);
	lapic_reconsider(lapic);
}

/* Registers that both modes have; reserved bits are gone or ignored. -ENOENT as for reads. */
static int write_register(struct lapic *lapic, unsigned int index, uint32_t value)
{
	switch (index) {
	case LAPIC_TPR:
		write_tpr(lapic, value);
		return 0;
	case LAPIC_EOI:
		lapic_end_interrupt(lapic);
		return 0;
	case LAPIC_SVR:
		write_svr(lapic, value);
		return 0;
	case LAPIC_ESR:
		/* A write shows what was logged since the last one, and starts anew. */
		lapic->esr = __atomic_exchange_n(&lapic->errors, 0, __ATOMIC_RELAXED);
		return 0;
	case LAPIC_LVT ... LAPIC_LVT_LAST:
		write_lvt(lapic, index - LAPIC_LVT, value);
		return 0;
	case LAPIC_TIMER_INITIAL:
		lapic_timer_write_initial(lapic, value);
		return 0;
	case LAPIC_TIMER_DIVIDE:
		lapic_timer_write_divide(lapic, value & DIVIDE_WRITABLE);
		return 0;
	default:
		return -ENOENT;
	}
}

static int xapic_read(struct lapic *lapic, unsigned int index, uint32_t *value)
{
	switch (index) {
	case LAPIC_DFR:
		*value = lapic->dfr;
		return 0;
	case LAPIC_ICR_HIGH:
		*value = lapic->icr >> 32;
		return 0;
	case LAPIC_EOI: /* write-only, but harmless to read */
		*value = 0;
		return 0;
	default:
		return read_register(lapic, index, value);
	}
}

static int xapic_write(struct lapic *lapic, unsigned int index, uint32_t value)
{
	switch (index) {
	case LAPIC_LDR:
		lapic_store(&lapic->ldr, value & 0xff000000U);
		return 0;
	case LAPIC_DFR:
		lapic_store(&lapic->dfr, value | DFR_FIXED);
		return 0;
	case LAPIC_ICR:
		lapic->icr = (lapic->icr & ~0xffffffffULL) | (value & ICR_WRITABLE);
		lapic_send(lapic, (lapic->icr >> 56) << 32 | (lapic->icr & ICR_WRITABLE));
		return 0;
	case LAPIC_ICR_HIGH:
		lapic->icr = (uint64_t)(value & 0xff000000U) << 32 | (uint32_t)lapic->icr;
		return 0;
	case LAPIC_ID:
	case LAPIC_VERSION_REGISTER:
	case LAPIC_PPR:
	case LAPIC_ISR ... LAPIC_IRR + 7:
	case LAPIC_TIMER_CURRENT:
		return 0; /* read-only */
	default:
		return write_register(lapic, index, value);
	}
}

bool lapic_claims(struct vcpu *vcpu, uint64_t gpa)
{
	const struct lapic *lapic = vcpu->lapic;

	return ROUND_DOWN(gpa, PAGE_SIZE) == lapic->base_address &&
		lapic_flag_set(lapic, APIC_BASE_ENABLE) && !lapic_is_x2apic(lapic);
}

uint64_t lapic_mmio_read(struct vcpu *vcpu, uint64_t gpa, unsigned int size)
{
	struct lapic *lapic = vcpu->lapic;
	unsigned int offset = gpa & PAGE_MASK;
	uint32_t value = 0;

	if (xapic_read(lapic, offset >> 4, &value))
		lapic_error(lapic, ESR_ILLEGAL_REGISTER);
	/* Of each 16 bytes the first four are the register, the others read as zero. */
	if ((offset & 15) > 3)
		return 0;
	return (value >> (8 * (offset & 3))) & byte_mask(size);
}

void lapic_mmio_write(struct vcpu *vcpu, uint64_t gpa, unsigned int size, uint64_t value)
{
	struct lapic *lapic = vcpu->lapic;
	unsigned int offset = gpa & PAGE_MASK;

	if ((offset & 15) || size < 4)
		return;
	/* The two that guests write with every interrupt. */
	if (offset >> 4 == LAPIC_EOI)
		lapic_end_interrupt(lapic);
	else if (offset >> 4 == LAPIC_TPR)
		write_tpr(lapic, value);
	else if (xapic_write(lapic, offset >> 4, value))
		lapic_error(lapic, ESR_ILLEGAL_REGISTER);
}

static int x2apic_read(struct lapic *lapic, unsigned int index, uint64_t *value)
{
	uint32_t low;

	if (index == LAPIC_ICR) {
		*value = lapic->icr;
		return 0;
	}
	if (read_register(lapic, index, &low))
		return -EIO;
	*value = low;
	return 0;
}

/* Bits that may not be set in a write: they raise #GP. */
static uint32_t x2apic_reserved(const struct lapic *lapic, unsigned int index)
{
	switch (index) {
	case LAPIC_TPR:
		return ~0xffU;
	case LAPIC_SVR:
		return ~SVR_WRITABLE;
	case LAPIC_LVT ... LAPIC_LVT_LAST:
		return ~(lvt_mask(lapic, index - LAPIC_LVT) | LVT_PENDING | LVT_REMOTE_IRR);
	case LAPIC_TIMER_INITIAL:
		return 0;
	case LAPIC_TIMER_DIVIDE:
		return ~DIVIDE_WRITABLE;
	default: /* ESR: zero only; what is not there */
		return ~0U;
	}
}

/* What guests seldom write: apart, so that EOI and IPIs need no registers saved. */
static __attribute__((noinline)) int x2apic_write_rare(
	struct lapic *lapic, unsigned int index, uint64_t value)
{
	if (value & (0xffffffff00000000ULL | x2apic_reserved(lapic, index)))
		return -EIO;
	return write_register(lapic, index, value) ? -EIO : 0;
}

static int x2apic_write(struct lapic *lapic, unsigned int index, uint64_t value)
{
	if (index == LAPIC_EOI) {
		if (value)
			return -EIO;
		lapic_end_interrupt(lapic);
		return 0;
	}
	if (index == LAPIC_ICR) {
		if (value & ICR_X2APIC_RESERVED)
			return -EIO;
		lapic->icr = value & (0xffffffff00000000ULL | ICR_WRITABLE);
		lapic_send(lapic, lapic->icr);
		return 0;
	}
	if (index == LAPIC_SELF_IPI && value <= LVT_VECTOR) {
		lapic_send_self(lapic, value);
		return 0;
	}
	return x2apic_write_rare(lapic, index, value);
}

static uint64_t read_base(const struct lapic *lapic)
{
	return lapic->base_address | lapic->base_flags;
}

static __attribute__((noinline)) int write_base(struct lapic *lapic, uint64_t value)
{
	uint32_t mode_bits = APIC_BASE_ENABLE | APIC_BASE_X2APIC;
	uint64_t address_mask = (BIT(lapic->vcpu->vm->cpuid->physical_bits) - 1) & ~PAGE_MASK;
	uint32_t old = lapic->base_flags & mode_bits;
	uint32_t new = value & mode_bits;

	if (value & ~(address_mask | mode_bits | APIC_BASE_BSP))
		return -EIO;
	if ((new & APIC_BASE_X2APIC) &&
		(!(new & APIC_BASE_ENABLE) || !cpuid_has(lapic, CPUID_ECX_X2APIC)))
		return -EIO;
	/* Out of x2APIC mode, and into it from being disabled, there is no direct way. */
	if ((old == mode_bits && new == APIC_BASE_ENABLE) || (old == 0 && new == mode_bits))
		return -EIO;
	if (old != 0 && new == 0)
		lapic_clear(lapic);
	lapic->base_address = value & address_mask;
	lapic_store(&lapic->base_flags, (lapic->base_flags & APIC_BASE_BSP) | new);
	vcpu_request(lapic->vcpu, REQUEST_EVENTS);
	return 0;
}

int lapic_rdmsr(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	struct lapic *lapic = vcpu->lapic;

	if (msr - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST)
		return lapic_is_x2apic(lapic) ?
			x2apic_read(lapic, msr - MSR_X2APIC_FIRST, value) : -EIO;
	if (msr == MSR_APIC_BASE) {
		*value = read_base(lapic);
		return 0;
	}
	if (msr == MSR_TSC_DEADLINE && cpuid_has(lapic, CPUID_ECX_TSC_DEADLINE)) {
		*value = lapic_timer_read_deadline(lapic);
		return 0;
	}
	return -EIO;
}

int lapic_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct lapic *lapic = vcpu->lapic;

	if (msr - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST)
		return lapic_is_x2apic(lapic) ?
			x2apic_write(lapic, msr - MSR_X2APIC_FIRST, value) : -EIO;
	if (msr == MSR_TSC_DEADLINE && cpuid_has(lapic, CPUID_ECX_TSC_DEADLINE)) {
		lapic_timer_write_deadline(lapic, value);
		return 0;
	}
	return msr == MSR_APIC_BASE ? write_base(lapic, value) : -EIO;
}
