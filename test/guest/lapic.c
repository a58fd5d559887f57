/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC: timer modes, priorities, self-IPIs, both interfaces. */
#include "guest.h"

#define TIMER 0x41
#define LOW 0x51
#define HIGH 0x91
#define APIC_BASE 0x1b
#define TSC_DEADLINE 0x6e0
#define MS 1000000ULL

static bool x2apic;
static volatile uint32_t order[8];
static volatile uint32_t order_count;

static uint32_t read(uint32_t reg)
{
	return x2apic ? rdmsr(0x800 + (reg >> 4)) : lapic_read(reg);
}

static void write(uint32_t reg, uint32_t value)
{
	if (x2apic)
		wrmsr(0x800 + (reg >> 4), value);
	else
		lapic_write(reg, value);
}

static void send_self(uint8_t vector)
{
	if (x2apic)
		wrmsr(0x83f, vector);
	else
		write(LAPIC_ICR, 0x40000 | vector);
}

static void on_timer(struct frame *frame)
{
	(void)frame;
	write(LAPIC_EOI, 0);
}

static void on_ipi(struct frame *frame)
{
	order[order_count++ % 8] = frame->vector;
	CHECK(read(LAPIC_ISR + 0x10 * (frame->vector / 32)) & 1U << frame->vector % 32);
	write(LAPIC_EOI, 0);
}

static void check_one_shot(void)
{
	uint64_t before = guest_interrupts[TIMER];

	write(LAPIC_TIMER_DIVIDE, 0xb);
	write(LAPIC_LVT_TIMER, TIMER);
	write(LAPIC_TIMER_INITIAL, 500000);
	CHECK_RANGE(read(LAPIC_TIMER_CURRENT), 1, 500000);
	CHECK(guest_wait_for(&guest_interrupts[TIMER], before + 1, 1000 * MS));
	CHECK_EQUAL(read(LAPIC_TIMER_CURRENT), 0);
	guest_delay_ns(2 * MS);
	CHECK_EQUAL(guest_interrupts[TIMER], before + 1);
	/* Zero stops it. */
	write(LAPIC_TIMER_INITIAL, 200000);
	write(LAPIC_TIMER_INITIAL, 0);
	CHECK_EQUAL(read(LAPIC_TIMER_CURRENT), 0);
}

static void check_periodic(void)
{
	uint64_t before = guest_interrupts[TIMER];

	write(LAPIC_LVT_TIMER, 0x20000 | TIMER);
	write(LAPIC_TIMER_INITIAL, 20000);
	CHECK(guest_wait_for(&guest_interrupts[TIMER], before + 5, 1000 * MS));
	write(LAPIC_LVT_TIMER, 0x10000);
	write(LAPIC_TIMER_INITIAL, 0);
}

/* The counter runs at the frequency that CPUID leaf 0x15 names on Intel, and in a fixed ratio. */
static void check_rate(void)
{
	uint64_t start, ticks, elapsed;

	write(LAPIC_LVT_TIMER, 0x10000 | TIMER);
	write(LAPIC_TIMER_INITIAL, 0xffffffff);
	start = rdtsc();
	guest_delay_ns(2 * MS);
	ticks = 0xffffffff - read(LAPIC_TIMER_CURRENT);
	elapsed = (rdtsc() - start) * 1000000 / (guest_tsc_hz() / 1000);
	write(LAPIC_TIMER_INITIAL, 0);
	/* Under an emulator's uneven clock the two readings are not quite of one moment. */
	CHECK_RANGE(ticks * 1000 / (elapsed / 1000), 22500, 27500);
}

static void check_deadline(void)
{
	uint64_t before = guest_interrupts[TIMER];
	uint64_t deadline;

	write(LAPIC_LVT_TIMER, 0x40000 | TIMER);
	__asm__ volatile("mfence" : : : "memory");
	for (unsigned int i = 1; i <= 5; i++) {
		deadline = rdtsc() + guest_tsc_hz() / 50;
		wrmsr(TSC_DEADLINE, deadline);
		CHECK_EQUAL(rdmsr(TSC_DEADLINE), deadline);
		CHECK(guest_wait_for(&guest_interrupts[TIMER], before + i, 1000 * MS));
		CHECK(rdtsc() >= deadline);
		CHECK_EQUAL(rdmsr(TSC_DEADLINE), 0);
	}
	/* One in the past fires at once; zero disarms. */
	wrmsr(TSC_DEADLINE, 1);
	CHECK(guest_wait_for(&guest_interrupts[TIMER], before + 6, 10 * MS));
	wrmsr(TSC_DEADLINE, rdtsc() + guest_tsc_hz() / 1000);
	wrmsr(TSC_DEADLINE, 0);
	guest_delay_ns(3 * MS);
	CHECK_EQUAL(guest_interrupts[TIMER], before + 6);
	write(LAPIC_LVT_TIMER, 0x10000);
}

/* Two waiting interrupts come highest first; TPR holds back those at or below its class. */
static void check_priority(void)
{
	order_count = 0;
	cli();
	send_self(LOW);
	send_self(HIGH);
	CHECK(read(LAPIC_IRR + 0x10 * (LOW / 32)) & 1U << LOW % 32);
	sti();
	guest_delay_ns(MS / 10);
	CHECK_EQUAL(order_count, 2);
	CHECK_EQUAL(order[0], HIGH);
	CHECK_EQUAL(order[1], LOW);

	order_count = 0;
	write_cr8(LOW >> 4);
	send_self(LOW);
	send_self(HIGH);
	guest_delay_ns(MS / 10);
	CHECK_EQUAL(order_count, 1);
	CHECK_EQUAL(order[0], HIGH);
	write_cr8(0);
	guest_delay_ns(MS / 10);
	CHECK_EQUAL(order_count, 2);
	CHECK_EQUAL(order[1], LOW);

	order_count = 0;
	write(LAPIC_TPR, HIGH & 0xf0);
	send_self(LOW);
	send_self(HIGH);
	guest_delay_ns(MS / 10);
	CHECK_EQUAL(order_count, 0);
	write(LAPIC_TPR, 0);
	guest_delay_ns(MS / 10);
	CHECK_EQUAL(order_count, 2);
}

static void check_errors(void)
{
	if (x2apic)
		return;
	write(LAPIC_ESR, 0);
	send_self(5); /* vectors below 16 are illegal */
	write(LAPIC_ESR, 0);
	CHECK(read(LAPIC_ESR) & (1 << 5 | 1 << 6));
	write(LAPIC_ESR, 0);
}

static void check_all(void)
{
	check_one_shot();
	check_periodic();
	check_rate();
	if (cpuid(1, 0).ecx & 1 << 24)
		check_deadline();
	check_priority();
	check_errors();
}

static void check_x2apic(void)
{
	uint64_t base = rdmsr(APIC_BASE);

	wrmsr(APIC_BASE, base | 1 << 10);
	x2apic = true;
	CHECK_EQUAL(rdmsr(0x802), 0);
	CHECK_EQUAL(rdmsr(0x803) & 0xff, rdmsr(0x803) & 0xff);
	CHECK_EQUAL(wrmsr_try(0x80b, 1), 13);          /* EOI takes only zero */
	CHECK_EQUAL(wrmsr_try(0x802, 0), 13);          /* read-only */
	CHECK_EQUAL(wrmsr_try(APIC_BASE, base), 13);   /* back to xAPIC directly */
	check_all();
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_set_handler(TIMER, on_timer);
	guest_set_handler(LOW, on_ipi);
	guest_set_handler(HIGH, on_ipi);
	sti();
	check_all();
	if (cpuid(1, 0).ecx & 1 << 21)
		check_x2apic();
	return guest_failures();
}
