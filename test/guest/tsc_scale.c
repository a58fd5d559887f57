/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TSC at the frequency that the VM was given, `khz=N` on the command line: measured against the
 * PM timer, told by CPUID and KVM's clock, zero at the VM's start; and its deadlines are on time,
 * also after it was written.
 */
#include "guest.h"

#define MS 1000000ULL
#define TIMER 0x40
#define DEADLINE_MODE 0x40000

#define MSR_TSC 0x10
#define MSR_DEADLINE 0x6e0
#define MSR_SYSTEM 0x4b564d01

static volatile struct {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t multiplier;
	int8_t shift;
	uint8_t flags, pad2[2];
} record __attribute__((aligned(64)));

static uint64_t hz;

/* By the record alone, without a division. */
static uint64_t now_ns(void)
{
	uint64_t ticks = rdtsc() - record.tsc;

	ticks = record.shift < 0 ? ticks >> -record.shift : ticks << record.shift;
	return record.ns + (uint64_t)((unsigned __int128)ticks * record.multiplier >> 32);
}

static void on_timer(struct frame *frame)
{
	(void)frame;
	lapic_write(LAPIC_EOI, 0);
}

static void check_frequency(void)
{
	struct cpuid leaf;

	CHECK_RANGE(guest_tsc_hz(), hz - hz / 50, hz + hz / 50);
	/* One second's worth of ticks is one second. */
	CHECK_RANGE((uint64_t)((unsigned __int128)(record.shift < 0 ? hz >> -record.shift : hz << record.shift) *
			record.multiplier >> 32), 1000 * MS - 1000, 1000 * MS + 1000);
	leaf = cpuid(0, 0);
	if (leaf.ebx != 0x756e6547 || leaf.eax < 0x15) /* "Genu" */
		return;
	leaf = cpuid(0x15, 0);
	CHECK_RANGE((uint64_t)leaf.ecx * leaf.ebx / leaf.eax, hz - 25000, hz + 25000);
}

/* Both began with the VM. */
static void check_start(void)
{
	uint64_t expected = now_ns() / 1000 * (hz / 1000) / 1000;

	CHECK_RANGE(rdtsc(), expected - expected / 100, expected + expected / 100 + hz / 100);
}

static void check_deadline(uint64_t ms)
{
	uint64_t before = guest_interrupts[TIMER], start = now_ns(), deadline = rdtsc() + ms * (hz / 1000);

	wrmsr(MSR_DEADLINE, deadline);
	CHECK_EQUAL(rdmsr(MSR_DEADLINE), deadline);
	while (guest_interrupts[TIMER] == before && now_ns() - start < 1000 * MS) {
		sti_hlt();
		cli();
	}
	CHECK(rdtsc() >= deadline);
	CHECK_RANGE(now_ns() - start, ms * MS, ms * MS + 3 * MS);
	CHECK_EQUAL(guest_interrupts[TIMER], before + 1);
	CHECK_EQUAL(rdmsr(MSR_DEADLINE), 0);
}

/* The TSC is what was written, KVM's clock goes on, and an armed deadline moves. */
static void check_written(void)
{
	uint64_t before, start = now_ns(), tsc = 1ULL << 44;

	wrmsr(MSR_TSC, tsc);
	CHECK_RANGE(rdtsc(), tsc, tsc + 3 * (hz / 1000));
	CHECK_RANGE(rdmsr(MSR_TSC), tsc, tsc + 6 * (hz / 1000));
	CHECK_RANGE(now_ns() - start, 0, 10 * MS);
	check_deadline(5);
	before = guest_interrupts[TIMER];
	start = now_ns();
	wrmsr(MSR_DEADLINE, rdtsc() + 1000 * hz);
	wrmsr(MSR_TSC, rdtsc() + 1000 * hz - hz / 100);
	while (guest_interrupts[TIMER] == before && now_ns() - start < 1000 * MS) {
		sti_hlt();
		cli();
	}
	CHECK_RANGE(now_ns() - start, 9 * MS, 13 * MS);
	CHECK_EQUAL(guest_interrupts[TIMER], before + 1);
}

int guest_main(void)
{
	hz = guest_number("khz=", 0) * 1000;
	guest_idt_init();
	pic_init();
	lapic_enable();
	wrmsr(MSR_SYSTEM, (uint64_t)&record | 1);
	check_start();
	check_frequency();
	guest_set_handler(TIMER, on_timer);
	lapic_write(LAPIC_LVT_TIMER, DEADLINE_MODE | TIMER);
	__asm__ volatile("mfence" : : : "memory");
	check_deadline(1);
	check_deadline(20);
	check_start();
	check_written();
	return guest_failures();
}
