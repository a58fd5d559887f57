/* SPDX-License-Identifier: BSD-2-Clause */
/* Injection: interrupt shadows, NMIs and their blocking, priorities among events. */
#include "guest.h"

#define VECTOR 0x61
#define NMI 2

static volatile uint64_t seen_at;
static volatile uint64_t nmi_depth, nmi_max_depth;

static void on_interrupt(struct frame *frame)
{
	seen_at = frame->rip;
	lapic_write(LAPIC_EOI, 0);
}

static void send_self(void)
{
	lapic_write(LAPIC_ICR, 0x40000 | VECTOR);
}

static void send_nmi(void)
{
	lapic_write(LAPIC_ICR_HIGH, 0); /* the self shorthand is for fixed interrupts only */
	lapic_write(LAPIC_ICR, 0x4400);
}

/* The instruction behind STI runs before the interrupt, one that exits among them. */
static void check_sti_shadow(void)
{
	uint64_t label;

	send_self();
	__asm__ volatile("lea 1f(%%rip), %0\n\tsti\n\tnop\n1:\tcli" : "=r"(label) : : "memory");
	CHECK_EQUAL(seen_at, label);
	send_self();
	__asm__ volatile("lea 1f(%%rip), %0\n\txor %%eax, %%eax\n\tsti\n\tcpuid\n1:\tcli"
		: "=&S"(label) : : "rax", "rbx", "rcx", "rdx", "memory");
	CHECK_EQUAL(seen_at, label);
	CHECK_EQUAL(guest_interrupts[VECTOR], 2);
}

/* MOV to SS holds interrupts back for one instruction too. */
static void check_mov_ss_shadow(void)
{
	uint64_t label;

	cli();
	__asm__ volatile("lea 1f(%%rip), %0\n\tmov %%ss, %%ecx\n\tsti\n\tnop\n\t"
			 "movl $0x40061, (%2)\n\t"
			 "mov %%ecx, %%ss\n\t"
			 "nop\n1:\tcli"
		: "=&r"(label) : "c"(0), "r"(LAPIC_BASE + LAPIC_ICR) : "memory");
	CHECK_EQUAL(guest_interrupts[VECTOR], 3);
}

static void on_nmi(struct frame *frame)
{
	(void)frame;
	nmi_depth++;
	if (nmi_depth > nmi_max_depth)
		nmi_max_depth = nmi_depth;
	/* A second one waits until this handler has returned. */
	if (guest_interrupts[NMI] == 1) {
		send_nmi();
		guest_delay_ns(100000);
		CHECK_EQUAL(guest_interrupts[NMI], 1);
	}
	nmi_depth--;
}

static void check_nmi(void)
{
	guest_set_handler(NMI, on_nmi);
	cli(); /* does not hold an NMI back */
	send_nmi();
	guest_delay_ns(100000);
	CHECK_EQUAL(guest_interrupts[NMI], 2);
	CHECK_EQUAL(nmi_max_depth, 1);
	send_nmi();
	guest_delay_ns(100000);
	CHECK_EQUAL(guest_interrupts[NMI], 3);
}

/* An NMI ends a HLT that has interrupts disabled. */
static void arm_nmi(void)
{
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, 0x10000);
	lapic_write(0x360, 0x10400); /* LINT1 masked */
	send_nmi();
}

static void check_nmi_wakes(void)
{
	uint64_t before = guest_interrupts[NMI];

	cli();
	arm_nmi();
	guest_delay_ns(10000);
	CHECK_EQUAL(guest_interrupts[NMI], before + 1);
}

/* An exception in an instruction comes before an interrupt that waits. */
static void check_exception_first(void)
{
	uint64_t before = guest_interrupts[VECTOR];

	send_self();
	CHECK_EQUAL(GUEST_TRY("sti\n\tud2", : : : "memory"), 6);
	sti();
	guest_delay_ns(10000);
	cli();
	CHECK_EQUAL(guest_interrupts[VECTOR], before + 1);
}

/* Level by level: many interrupts one after the other, none lost. */
static void check_storm(void)
{
	uint64_t before = guest_interrupts[VECTOR];

	sti();
	for (unsigned int i = 1; i <= 1000; i++) {
		send_self();
		guest_wait_for(&guest_interrupts[VECTOR], before + i, 10000000);
	}
	cli();
	CHECK_EQUAL(guest_interrupts[VECTOR], before + 1000);
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_set_handler(VECTOR, on_interrupt);
	check_sti_shadow();
	check_mov_ss_shadow();
	check_nmi();
	check_nmi_wakes();
	check_exception_first();
	check_storm();
	return guest_failures();
}
