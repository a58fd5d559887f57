/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests that cost the host as much as they can, for ever: exits, wake-ups, timers, interrupts,
 * code that changes. A VM beside them must not notice. More of the kind are in hostile_loops.c and
 * hostile_legacy.c. Which one: the word "case=NAME" on the command line.
 */
#include "hostile.h"

#define VECTOR 0x40
#define OTHER_VECTOR 0x41
#define LVT_PERIODIC (1 << 17)
#define LVT_DEADLINE (2 << 17)
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_APIC_BASE 0x1b
#define MIB (1UL << 20)

static void cpuids(void)
{
	for (;;)
		cpuid(0, 0);
}

static void ports(void)
{
	for (;;) {
		out8(0x21, 0xff);
		in8(0x21);
		in8(0x9f0); /* nobody there */
		in32(0x608);
	}
}

/* Each is denied: an exit, and an exception. */
static void msrs(void)
{
	uint64_t value;

	for (;;)
		rdmsr_try(0x12345678, &value);
}

static void controls(void)
{
	for (;;) {
		write_cr0(read_cr0() ^ 1 << 16);
		write_cr4(read_cr4() ^ 1 << 7);
		write_cr3(read_cr3());
		__asm__ volatile("wbinvd" : : : "memory");
	}
}

static void pauses(void)
{
	for (;;)
		__asm__ volatile("pause");
}

static void end_interrupt(struct frame *frame)
{
	(void)frame;
	lapic_write(LAPIC_EOI, 0);
}

static void prepare_interrupts(void)
{
	lapic_enable();
	guest_set_handler(VECTOR, end_interrupt);
	guest_set_handler(OTHER_VECTOR, end_interrupt);
}

/* Halts, and is woken as soon as it has halted. */
static void wakes(void)
{
	prepare_interrupts();
	lapic_write(LAPIC_LVT_TIMER, VECTOR | LVT_DEADLINE);
	__asm__ volatile("mfence" : : : "memory");
	for (;;) {
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + 5000);
		sti_hlt();
		cli();
	}
}

/* Deadlines that are moved again and again, and never kept. */
static void rearms(void)
{
	prepare_interrupts();
	lapic_write(LAPIC_LVT_TIMER, VECTOR | LVT_DEADLINE);
	__asm__ volatile("mfence" : : : "memory");
	for (;;)
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000000);
}

/* A periodic timer at its fastest, while the guest computes. */
static void periods(void)
{
	prepare_interrupts();
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, VECTOR | LVT_PERIODIC);
	lapic_write(LAPIC_TIMER_INITIAL, 1);
	sti();
	for (;;)
		__asm__ volatile("");
}

/* Interrupts to itself, by both registers. */
static void self_ipis(void)
{
	prepare_interrupts();
	sti();
	for (;;) {
		lapic_write(LAPIC_ICR, 0x40000 | VECTOR);
		lapic_write(LAPIC_ICR, 0x80000 | OTHER_VECTOR);
		lapic_write(LAPIC_EOI, 0);
	}
}

/* Device memory by an instruction that is another one each time, in ever other places. */
static void rewrites(void)
{
	static uint8_t pages[64][4096] __attribute__((aligned(4096)));

	for (uint64_t i = 0;; i++) {
		uint8_t *code = pages[i % 64] + i / 64 % 4000;
		uint64_t rax = 0, rcx = 0, rdx = 0, rsi = 0;

		/* mov r32, [rdi]; ret, or mov [rdi], r32; ret: with EAX, ECX, EDX, ESI in turn */
		code[0] = i & 4 ? 0x89 : 0x8b;
		code[1] = (i & 3) == 3 ? 0x37 : 0x07 | (i & 3) << 3;
		code[2] = 0xc3;
		__asm__ volatile("call *%4" : "+a"(rax), "+c"(rcx), "+d"(rdx), "+S"(rsi)
			: "b"(code), "D"(PCI_HOLE) : "memory");
	}
}

/* Each page the first time, and all of them again and again. */
static void touches(void)
{
	uint64_t end = guest_number("mib=", 64) * MIB;

	for (;;) {
		for (uint64_t at = 4 * MIB; at < end; at += 4096)
			*(volatile uint8_t *)at = 1;
	}
}

static void hypercalls(void)
{
	bool amd = cpuid(0, 0).ebx == 0x68747541;

	for (uint64_t i = 0;; i++) {
		/* KICK_CPU, SEND_IPI, SCHED_YIELD and one that there is not */
		static const uint64_t numbers[] = { 5, 10, 11, 0x7777 };
		uint64_t rax = numbers[i % 4];

		if (amd)
			__asm__ volatile("vmmcall" : "+a"(rax) : "b"(0), "c"(0), "d"(0), "S"(0x40)
				: "memory");
		else
			__asm__ volatile("vmcall" : "+a"(rax) : "b"(0), "c"(0), "d"(0), "S"(0x40)
				: "memory");
	}
}

static void storm_from(unsigned int id)
{
	unsigned int count = guest_cpu_count();

	sti();
	for (unsigned int other = id;; other++) {
		if (other % count != id)
			guest_send_ipi(other % count, VECTOR);
	}
}

/* All of its CPUs interrupt each other. */
static void ipis(void)
{
	prepare_interrupts();
	for (unsigned int id = 1; id < guest_cpu_count(); id++)
		guest_start_cpu(id, storm_from);
	storm_from(0);
}

static void halt_and_wait(unsigned int id)
{
	(void)id;
	for (;;)
		sti_hlt();
}

/* The first CPU wakes the others, which halt at once. */
static void pings(void)
{
	prepare_interrupts();
	for (unsigned int id = 1; id < guest_cpu_count(); id++)
		guest_start_cpu(id, halt_and_wait);
	storm_from(0);
}

/* The other CPUs are started anew before they get anywhere. */
static void startups(void)
{
	prepare_interrupts();
	for (unsigned int id = 1;; id = id % (guest_cpu_count() - 1) + 1) {
		guest_send_ipi(id, 0x4500);
		guest_send_ipi(id, 0x4609);
	}
}

static const struct hostile_case cases[] = {
	{ "case=cpuids", cpuids },
	{ "case=ports", ports },
	{ "case=msrs", msrs },
	{ "case=controls", controls },
	{ "case=pauses", pauses },
	{ "case=wakes", wakes },
	{ "case=rearms", rearms },
	{ "case=periods", periods },
	{ "case=self-ipis", self_ipis },
	{ "case=rewrites", rewrites },
	{ "case=touches", touches },
	{ "case=hypercalls", hypercalls },
	{ "case=ipis", ipis },
	{ "case=pings", pings },
	{ "case=startups", startups },
};

HOSTILE_MAIN(cases)
