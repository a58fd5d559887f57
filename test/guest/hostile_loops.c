/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What never ends: event deliveries that raise themselves again, storms of timers and of output,
 * string instructions with huge counts, a halt for ever. The operator must not notice any of it.
 */
#include "hostile.h"

#define DB 1
#define TIMER_VECTOR 0x40
#define LVT_PERIODIC (1 << 17)
#define LVT_DEADLINE (2 << 17)
#define MSR_TSC_DEADLINE 0x6e0

struct pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

extern uint64_t guest_gdt[];
static uint8_t debug_stack[4096] __attribute__((aligned(4096)));

static uint64_t tss_base(void)
{
	return (guest_gdt[9] >> 16 & 0xffffff) | (guest_gdt[9] >> 56) << 24 | guest_gdt[10] << 32;
}

/*
 * #DB on a stack of its own, with a data breakpoint where its delivery pushes SS: each delivery
 * ends in the next one, without an instruction between them (CVE-2015-8104).
 */
static void debug_loop(void)
{
	uint64_t top = (uint64_t)debug_stack + sizeof(debug_stack);
	struct pointer idt;

	__asm__ volatile("sidt %0" : "=m"(idt));
	((uint8_t *)idt.base)[DB * 16 + 4] = 1;
	*(uint64_t *)(tss_base() + 0x24) = top;
	write_dr0(top - 8);
	write_dr7(0x400 | 2 | 1 << 16 | 2 << 18); /* 8 bytes, on writes */
	for (;;)
		__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq; nop" : : : "memory");
}

static void halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void spin(void)
{
	cli();
	for (;;)
		__asm__ volatile("");
}

static void end_interrupt(struct frame *frame)
{
	(void)frame;
	lapic_write(LAPIC_EOI, 0);
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
	in8(0x70);
	out8(0x70, 0xc);
	in8(0x71);
}

/* All the PC's timers at their fastest. */
static void timers(void)
{
	lapic_enable();
	for (unsigned int vector = 0x20; vector < 0x41; vector++)
		guest_set_handler(vector, end_interrupt);
	out8(0x43, 0x34);
	out8(0x40, 2);
	out8(0x40, 0);
	out8(0x70, 0xa);
	out8(0x71, 0x21); /* 8192 Hz and beyond */
	out8(0x70, 0xb);
	out8(0x71, 0x7a); /* periodic, alarm, update */
	out8(0x21, 0);
	out8(0xa1, 0);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, TIMER_VECTOR | LVT_PERIODIC);
	lapic_write(LAPIC_TIMER_INITIAL, 1);
	for (;;)
		sti_hlt();
}

static void deadline(struct frame *frame)
{
	(void)frame;
	lapic_write(LAPIC_EOI, 0);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1);
}

/* Each interrupt asks for the next one, which is due already. */
static void deadlines(void)
{
	lapic_enable();
	guest_set_handler(TIMER_VECTOR, deadline);
	lapic_write(LAPIC_LVT_TIMER, TIMER_VECTOR | LVT_DEADLINE);
	wrmsr(MSR_TSC_DEADLINE, 1);
	for (;;)
		sti_hlt();
}

static void self_interrupt(struct frame *frame)
{
	(void)frame;
	lapic_write(LAPIC_EOI, 0);
	lapic_write(LAPIC_ICR, 0x40000 | TIMER_VECTOR);
	lapic_write(LAPIC_ICR, 0x400);
}

/* Interrupts and NMIs that send the next ones. */
static void interrupts(void)
{
	lapic_enable();
	guest_set_handler(TIMER_VECTOR, self_interrupt);
	guest_set_handler(2, self_interrupt);
	lapic_write(LAPIC_ICR, 0x40000 | TIMER_VECTOR);
	for (;;)
		sti_hlt();
}

static void flood(void)
{
	for (unsigned int i = 0;; i++)
		out8(0x3f8, i % 64 ? ' ' + i % 64 : '\n');
}

/* With interrupts enabled, for Bochs: see SKIPPED in hostile.py. None comes. */
static void string_memory(void)
{
	sti();
	__asm__ volatile("cld; rep stosb" : : "D"(PCI_HOLE), "c"(1UL << 40), "a"(0) : "memory");
}

static void string_move(void)
{
	sti();
	__asm__ volatile("std; rep movsq" : : "S"(IOAPIC_BASE - 8), "D"(IOAPIC_BASE - 16),
		"c"(1UL << 40) : "memory");
}

static void string_port(void)
{
	sti();
	__asm__ volatile("cld; rep insb" : : "D"(PCI_HOLE), "c"(1UL << 40), "d"(0x71) : "memory");
}

static void string_output(void)
{
	sti();
	__asm__ volatile("cld; rep outsb" : : "S"(PCI_HOLE), "c"(1UL << 40), "d"(0x80) : "memory");
}

/* Resets this processor; what stands at its reset vector is the guest's affair. */
static void init_self(void)
{
	lapic_enable();
	lapic_write(LAPIC_ICR, 0x4500);
	for (;;)
		__asm__ volatile("pause");
}

/* The same exception again and again. */
static void exceptions(void)
{
	sti();
	write_cr0(read_cr0() | 1 << 18);
	for (;;)
		GUEST_TRY("ud2", : : : "memory");
}

static const struct hostile_case cases[] = {
	{ "case=debug", debug_loop },
	{ "case=halt", halt },
	{ "case=spin", spin },
	{ "case=timers", timers },
	{ "case=deadlines", deadlines },
	{ "case=interrupts", interrupts },
	{ "case=flood", flood },
	{ "case=string-memory", string_memory },
	{ "case=string-move", string_move },
	{ "case=string-port", string_port },
	{ "case=string-output", string_output },
	{ "case=init-self", init_self },
	{ "case=exceptions", exceptions },
};

HOSTILE_MAIN(cases)
