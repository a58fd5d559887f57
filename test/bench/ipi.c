/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one CPU of a guest costs another, in TSC ticks, as ops.c does for one alone. Needs two CPUs.
 * Of each, the mean and the least of ROUNDS:
 *
 *   ipi-answer   an interrupt to a CPU that computes, which answers by memory (two host CPUs)
 *   ipi-round    the same, answered by an interrupt (two host CPUs)
 *   wake-answer  to a CPU in HLT, which answers by memory (two host CPUs)
 *   wake-round   to and fro, who has nothing to do halts: on one host CPU, too
 *
 * With `one-cpu` on the command line only the last is measured: others wait for each other's turns.
 */
#include "guest.h"

#define ROUNDS 256
#define VECTOR 0x41
#define APIC_BASE 0x1b
#define X2APIC_EOI 0x80b
#define X2APIC_ICR 0x830

enum behaviour { SPIN_AND_TELL, SPIN_AND_SEND, HALT_AND_TELL, HALT_AND_SEND };

static bool x2apic;
static volatile enum behaviour behaviour;
static volatile uint64_t received[2];
static volatile uint64_t told;

static void enter_x2apic(void)
{
	if (x2apic)
		wrmsr(APIC_BASE, rdmsr(APIC_BASE) | 1 << 10);
}

static void end_interrupt(void)
{
	if (x2apic)
		wrmsr(X2APIC_EOI, 0);
	else
		lapic_write(LAPIC_EOI, 0);
}

/* Unlike guest_send_ipi() without a look at the APIC's mode, which would be an exit. */
static void send(unsigned int id, uint32_t icr)
{
	if (x2apic) {
		wrmsr(X2APIC_ICR, (uint64_t)id << 32 | icr);
		return;
	}
	lapic_write(LAPIC_ICR_HIGH, id << 24);
	lapic_write(LAPIC_ICR, icr);
}

/*
 * Of the second CPU on its own vector, of the first on the other: a handler need not ask where it
 * runs, which would be an exit.
 */
#define VECTOR_SECOND (VECTOR + 1)

static void on_first(struct frame *frame)
{
	(void)frame;
	received[0]++;
	end_interrupt();
}

static void on_second(struct frame *frame)
{
	(void)frame;
	received[1]++;
	end_interrupt();
	if (behaviour == SPIN_AND_SEND || behaviour == HALT_AND_SEND)
		send(0, VECTOR);
	else
		told++;
}

static void second(unsigned int id)
{
	(void)id;
	enter_x2apic();
	for (;;) {
		if (behaviour == HALT_AND_TELL || behaviour == HALT_AND_SEND)
			sti_hlt();
		else
			__asm__ volatile("sti; pause" : : : "memory");
		cli();
	}
}

static void wait_answer(volatile uint64_t *counter, uint64_t before)
{
	while (*counter == before) {
		if (behaviour == HALT_AND_SEND)
			sti_hlt();
		else
			__asm__ volatile("sti; pause" : : : "memory");
		cli();
	}
}

static void measure(const char *name, enum behaviour how)
{
	volatile uint64_t *counter = how == SPIN_AND_SEND || how == HALT_AND_SEND ? &received[0] : &told;
	uint64_t sum = 0, least = UINT64_MAX;

	behaviour = how;
	send(1, VECTOR_SECOND); /* out of its last HLT */
	guest_delay_ns(2000000);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t before = *counter, start = rdtsc();

		send(1, VECTOR_SECOND);
		wait_answer(counter, before);
		start = rdtsc() - start;
		sum += start;
		if (start < least)
			least = start;
		/* It has to be in its HLT again. */
		if (how == HALT_AND_TELL)
			guest_delay_ns(100000);
	}
	guest_print("bench %s %lu\nbench %s-least %lu\n", name, sum / ROUNDS, name, least);
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_set_handler(VECTOR, on_first);
	guest_set_handler(VECTOR_SECOND, on_second);
	x2apic = cpuid(1, 0).ecx & 1 << 21;
	if (guest_has_word("one-cpu"))
		behaviour = HALT_AND_SEND;
	CHECK(guest_start_cpu(1, second));
	if (guest_failures())
		return guest_failures();
	enter_x2apic();
	guest_print("bench-note %s\n", x2apic ? "x2APIC" : "xAPIC");
	if (!guest_has_word("one-cpu")) {
		measure("ipi-answer", SPIN_AND_TELL);
		measure("ipi-round", SPIN_AND_SEND);
		measure("wake-answer", HALT_AND_TELL);
	}
	measure("wake-round", HALT_AND_SEND);
	guest_print("bench done 0\n");
	return 0;
}
