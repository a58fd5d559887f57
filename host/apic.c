/* SPDX-License-Identifier: BSD-2-Clause */
/* Local APIC (Intel SDM vol. 3, "Advanced Programmable Interrupt Controller (APIC)"). */
#include "host/apic.h"

#include "host/clock.h"
#include "host/irq.h"
#include "host/log.h"
#include "host/memory.h"
#include "host/x86.h"

/* Register offsets in xAPIC mode; the x2APIC's MSR is 0x800 + offset / 16. */
#define APIC_ID 0x20
#define APIC_VERSION 0x30
#define APIC_TPR 0x80
#define APIC_EOI 0xb0
#define APIC_LDR 0xd0
#define APIC_SVR 0xf0
#define APIC_ESR 0x280
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_THERMAL 0x330
#define APIC_LVT_PMC 0x340
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_LVT_ERROR 0x370
#define APIC_TIMER_COUNT 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE 0x3e0

#define LVT_MASKED BIT(16)
#define LVT_MODE (7 << 8)
#define LVT_SMI (2 << 8)
#define LVT_NMI (4 << 8)
#define LVT_TSC_DEADLINE (2 << 17)
#define SVR_ENABLE BIT(8)
#define TIMER_DIVIDE_BY_1 0xb

#define ICR_NMI (4 << 8)
#define ICR_INIT (5 << 8)
#define ICR_STARTUP (6 << 8)
#define ICR_PENDING BIT(12)
#define ICR_ASSERT BIT(14)
#define ICR_ALL_OTHERS (3 << 18)

#define CALIBRATE_US 100
#define ICR_WAIT_SPINS 100000

static bool x2apic;            /* [I] */
static bool tsc_deadline;      /* [I] */
bool apic_forgetful;
static volatile uint32_t *mmio; /* [I] NULL in x2APIC mode */
static uint64_t ticks_per_tsc;  /* [I] timer ticks per TSC tick, 32 fractional bits */
static uint64_t longest_delta_tsc; /* [I] that the timer's count can hold */
static uint64_t calibrate_tsc;  /* TSC when the timer was started for measuring */

static uint32_t apic_read(uint32_t offset)
{
	if (x2apic)
		return (uint32_t)rdmsr(MSR_X2APIC_FIRST + offset / 16);
	return mmio[offset / 4];
}

static void apic_write(uint32_t offset, uint32_t value)
{
	if (x2apic)
		wrmsr(MSR_X2APIC_FIRST + offset / 16, value);
	else
		mmio[offset / 4] = value;
}

uint32_t apic_read_id(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (base & APIC_BASE_X2APIC)
		return (uint32_t)rdmsr(MSR_X2APIC_FIRST + APIC_ID / 16);
	if (cpuid(0, 0).eax >= 11 && cpuid(11, 0).ebx)
		return cpuid(11, 0).edx;
	return cpuid(1, 0).ebx >> 24;
}

bool apic_is_x2apic(void)
{
	return x2apic;
}

bool apic_has_tsc_deadline(void)
{
	return tsc_deadline;
}

void apic_end_interrupt(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_offer_again(void)
{
	apic_write(APIC_TPR, 0);
}

static void send(uint32_t apic_id, uint32_t command)
{
	if (x2apic) {
		/* Not serializing: what the other CPU is to see must be visible before. */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC_FIRST + APIC_ICR / 16, (uint64_t)apic_id << 32 | command);
		return;
	}
	mmio[APIC_ICR_HIGH / 4] = apic_id << 24;
	mmio[APIC_ICR / 4] = command;
	for (unsigned int i = 0; i < ICR_WAIT_SPINS; i++) {
		if (!(mmio[APIC_ICR / 4] & ICR_PENDING))
			break;
		__builtin_ia32_pause();
	}
}

void apic_send(uint32_t apic_id, uint8_t vector)
{
	send(apic_id, ICR_ASSERT | vector);
}

void apic_send_nmi(uint32_t apic_id)
{
	send(apic_id, ICR_ASSERT | ICR_NMI);
}

void apic_send_nmi_others(void)
{
	send(0, ICR_ALL_OTHERS | ICR_ASSERT | ICR_NMI);
}

void apic_send_init(uint32_t apic_id)
{
	send(apic_id, ICR_ASSERT | ICR_INIT);
}

void apic_send_startup(uint32_t apic_id, hpa_t page)
{
	send(apic_id, ICR_ASSERT | ICR_STARTUP | (uint32_t)(page >> PAGE_SHIFT));
}

static void enter_mode(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	/* Straight from disabled to x2APIC is not a legal step. */
	if (!(base & APIC_BASE_ENABLE))
		wrmsr(MSR_APIC_BASE, base |= APIC_BASE_ENABLE);
	if (x2apic && !(base & APIC_BASE_X2APIC))
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
}

void apic_init_cpu(void)
{
	uint32_t highest_lvt;

	enter_mode();
	highest_lvt = apic_read(APIC_VERSION) >> 16 & 0xff;
	apic_write(APIC_TPR, 0);
	apic_write(APIC_SVR, SVR_ENABLE | IRQ_VECTOR_SPURIOUS);
	apic_write(APIC_LVT_LINT0, LVT_MASKED | IRQ_VECTOR_SPURIOUS);
	apic_write(APIC_LVT_LINT1, LVT_NMI);
	apic_write(APIC_LVT_ERROR, IRQ_VECTOR_ERROR);
	if (highest_lvt >= 4)
		apic_write(APIC_LVT_PMC, LVT_MASKED | IRQ_VECTOR_SPURIOUS);
	/* The firmware may watch the temperature by SMI: that is left to it. */
	if (highest_lvt >= 5 && (apic_read(APIC_LVT_THERMAL) & LVT_MODE) != LVT_SMI)
		apic_write(APIC_LVT_THERMAL, LVT_MASKED | IRQ_VECTOR_SPURIOUS);
	apic_write(APIC_ESR, 0);
	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	if (tsc_deadline) {
		apic_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | IRQ_VECTOR_TIMER);
		/* The mode must have arrived before a deadline is written. */
		__asm__ volatile("mfence" : : : "memory");
	} else {
		apic_write(APIC_LVT_TIMER, IRQ_VECTOR_TIMER);
		apic_write(APIC_TIMER_COUNT, 0);
	}
	/* What the firmware left in service would hold back everything of lower priority. */
	for (unsigned int i = 0; i < 16; i++)
		apic_end_interrupt();
}

void apic_init(void)
{
	uint32_t features = cpuid(1, 0).ecx;
	uint64_t base = rdmsr(MSR_APIC_BASE);

	x2apic = features & BIT(21);
	tsc_deadline = features & BIT(24);
	if (!x2apic) {
		hpa_t registers = base & 0xffffffffff000ULL;

		if (mmu_map_device(registers, PAGE_SIZE))
			panic("cannot map the local APIC");
		mmio = host_ptr(registers);
	}
	apic_init_cpu();
	if (!tsc_deadline) {
		apic_write(APIC_LVT_TIMER, LVT_MASKED | IRQ_VECTOR_TIMER);
		calibrate_tsc = clock_tsc();
		apic_write(APIC_TIMER_COUNT, 0xffffffff);
	}
}

void apic_timer_init(void)
{
	uint64_t elapsed, ticks;

	if (tsc_deadline)
		return;
	do {
		ticks = 0xffffffff - apic_read(APIC_TIMER_CURRENT);
		elapsed = clock_tsc() - calibrate_tsc;
	} while (elapsed < clock_tsc_from_ns(CALIBRATE_US * NS_PER_US));
	apic_write(APIC_TIMER_COUNT, 0);
	apic_write(APIC_LVT_TIMER, IRQ_VECTOR_TIMER);
	ticks_per_tsc = mul_div(ticks, BIT(32), elapsed);
	if (!ticks_per_tsc)
		panic("the local APIC's timer does not count");
	/* Neither the count nor the product above it may overflow. */
	longest_delta_tsc = MIN(mul_div(BIT(31), BIT(32), MAX(ticks_per_tsc, BIT(31))),
				~0ULL / ticks_per_tsc);
}

uint64_t apic_timer_program(uint64_t deadline_tsc)
{
	uint64_t now, delta;

	if (tsc_deadline) {
		/* Zero would disarm; a deadline in the past fires at once. */
		wrmsr(MSR_TSC_DEADLINE, deadline_tsc ? deadline_tsc : 1);
		return deadline_tsc;
	}
	now = clock_tsc();
	delta = deadline_tsc > now ? deadline_tsc - now : 0;
	delta = MIN(delta, longest_delta_tsc);
	apic_write(APIC_TIMER_COUNT, (uint32_t)(delta * ticks_per_tsc >> 32) + 1);
	return now + delta;
}
