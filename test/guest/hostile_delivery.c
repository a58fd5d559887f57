/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables, stacks and code where no memory is: each stops this VM, or is an exception of its own, and
 * nothing else.
 */
#include "hostile.h"

#define UD 6
#define PF 14

extern uint64_t page_pml4[], page_pdpt[], guest_gdt[];
static uint64_t empty_table[512] __attribute__((aligned(4096)));

struct pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static void load_idt(uint16_t limit, uint64_t base)
{
	struct pointer pointer = { limit, base };

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

static void load_gdt(uint16_t limit, uint64_t base)
{
	struct pointer pointer = { limit, base };

	__asm__ volatile("lgdt %0" : : "m"(pointer));
}

static void raise_ud(void)
{
	__asm__ volatile("ud2");
}

static void idt_limit(void)
{
	load_idt(0, 0);
	raise_ud();
}

static void idt_hole(void)
{
	load_idt(0xfff, PCI_HOLE);
	raise_ud();
}

static void idt_lapic(void)
{
	load_idt(0xfff, LAPIC_BASE);
	raise_ud();
}

static void gdt_hole(void)
{
	load_gdt(0xff, PCI_HOLE);
	raise_ud();
}

static void empty_cr3(void)
{
	write_cr3((uint64_t)empty_table);
}

static void cr3_hole(void)
{
	write_cr3(PCI_HOLE);
}

static void cr3_lapic(void)
{
	write_cr3(LAPIC_BASE);
}

static void cr3_beyond(void)
{
	write_cr3(1UL << 35);
}

/* The tables below the root. */
static void directory_hole(void)
{
	page_pdpt[1] = PCI_HOLE | 3;
	write_cr3(read_cr3());
	*(volatile uint32_t *)0x40000000;
}

static void directory_lapic(void)
{
	page_pdpt[1] = LAPIC_BASE | 3;
	write_cr3(read_cr3());
	*(volatile uint32_t *)0x40000000 = 1;
}

/* An emulated instruction's own operand, by tables that are not there. */
static void operand_tables(void)
{
	page_pdpt[1] = PCI_HOLE | 3;
	write_cr3(read_cr3());
	/* All ones have reserved bits set. */
	CHECK_EQUAL(GUEST_TRY("cld; rep movsl", : : "S"(PCI_HOLE), "D"(0x40000000UL), "c"(4)
		: "memory"), PF);
}

static void stack_hole(void)
{
	__asm__ volatile("mov %0, %%rsp; ud2" : : "r"(PCI_HOLE + 0x1000));
}

static void stack_lapic(void)
{
	__asm__ volatile("mov %0, %%rsp; ud2" : : "r"(LAPIC_BASE + 0x400));
}

/* The same by an interrupt, not by an exception. */
static void stack_hole_interrupt(void)
{
	lapic_enable();
	lapic_write(LAPIC_LVT_TIMER, 0x40);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	__asm__ volatile("mov %0, %%rsp; movl $1000, (%1); sti; 1: pause; jmp 1b"
		: : "r"(PCI_HOLE + 0x1000), "r"(LAPIC_BASE + LAPIC_TIMER_INITIAL));
}

static void idt_hole_nmi(void)
{
	lapic_enable();
	load_idt(0xfff, PCI_HOLE);
	lapic_write(LAPIC_ICR, 0x400); /* to APIC 0, which is this one */
	for (;;)
		__asm__ volatile("pause");
}

/* A TSS in the hole: all ones for the interrupt stack's address, which is canonical. */
static void tss_hole(void)
{
	struct pointer idt;
	uint64_t base = PCI_HOLE;

	guest_gdt[9] = 0x67 | (base & 0xffffff) << 16 | 0x89ULL << 40 | (base >> 24 & 0xff) << 56;
	guest_gdt[10] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(0x48));
	__asm__ volatile("sidt %0" : "=m"(idt));
	((uint8_t *)idt.base)[UD * 16 + 4] = 1; /* IST 1 */
	raise_ud();
}

static void code_nowhere(void)
{
	static const uint64_t places[] = { PCI_HOLE, PCI_HOLE + 0xffe, LAPIC_BASE, IOAPIC_BASE,
		RAM_END, 0xa0000, 0xfffffff0 };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		CHECK_EQUAL(GUEST_TRY("jmp *%0", : : "r"(places[i]) : "memory"), UD);
	/* The first byte in RAM, the rest where none is: MOV EAX, MMIO cannot be read whole. */
	((volatile uint8_t *)RAM_END)[-1] = 0x8b;
	CHECK(GUEST_TRY("jmp *%0", : : "r"(RAM_END - 1), "a"(PCI_HOLE) : "memory")
		!= GUEST_NO_FAULT);
}

static void debug_exception(struct frame *frame)
{
	(void)frame;
	write_dr6(0xffff0ff0);
}

/* A data breakpoint hit by MOV SS, held back over INT3 and INT n (the trap comes in the handler). */
static void mov_ss(void)
{
	static volatile uint64_t selector;

	__asm__ volatile("mov %%ss, %0" : "=m"(selector));
	guest_set_handler(1, debug_exception);
	guest_set_handler(3, debug_exception);
	write_dr0((uint64_t)&selector);
	write_dr7(0x400 | 3 | 3 << 16 | 1 << 18);
	for (int i = 0; i < 50; i++) {
		__asm__ volatile("mov %0, %%ss; int3" : : "m"(selector));
		__asm__ volatile("mov %0, %%ss; int $0x80" : : "m"(selector));
		__asm__ volatile("mov %0, %%ss; cpuid" : : "m"(selector)
			: "rax", "rbx", "rcx", "rdx");
		__asm__ volatile("mov %0, %%ss; outb %%al, $0x80" : : "m"(selector));
		CHECK_EQUAL(GUEST_TRY("mov %0, %%ss; ud2", : : "m"(selector)), UD);
	}
	write_dr7(0x400);
	CHECK_EQUAL(guest_interrupts[3], 50);
	CHECK_EQUAL(guest_interrupts[0x80], 50);
}

static const struct hostile_case cases[] = {
	{ "case=idt-limit", idt_limit },
	{ "case=idt-hole", idt_hole },
	{ "case=idt-lapic", idt_lapic },
	{ "case=idt-nmi", idt_hole_nmi },
	{ "case=gdt-hole", gdt_hole },
	{ "case=tss-hole", tss_hole },
	{ "case=cr3-empty", empty_cr3 },
	{ "case=cr3-hole", cr3_hole },
	{ "case=cr3-lapic", cr3_lapic },
	{ "case=cr3-beyond", cr3_beyond },
	{ "case=directory-hole", directory_hole },
	{ "case=directory-lapic", directory_lapic },
	{ "case=operand-tables", operand_tables },
	{ "case=stack-hole", stack_hole },
	{ "case=stack-lapic", stack_lapic },
	{ "case=stack-interrupt", stack_hole_interrupt },
	{ "case=code", code_nowhere },
	{ "case=mov-ss", mov_ss },
};

HOSTILE_MAIN(cases)
