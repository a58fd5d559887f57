/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An interrupt that waits for the task priority: it comes at the very write of CR8 that lets it
 * through, whatever RFLAGS.IF and CR8 did before. Hardware that offers an interrupt window by
 * priority is held to it, and so is what stands in for it.
 */
#include "guest.h"

#define VECTOR 0x61
#define CLASS 6
#define TPR 0x80

static void on_interrupt(struct frame *frame)
{
	(void)frame;
	lapic_write(LAPIC_EOI, 0);
}

static void send_self(void)
{
	lapic_write(LAPIC_ICR, 0x40000 | VECTOR);
}

static void expect(uint64_t count)
{
	__asm__ volatile("nop\n\tnop");
	CHECK_EQUAL(guest_interrupts[VECTOR], count);
}

static void check_lowering(uint64_t level)
{
	uint64_t before = guest_interrupts[VECTOR];

	sti();
	write_cr8(level);
	send_self();
	expect(before);
	CHECK_EQUAL(read_cr8(), level);
	write_cr8(CLASS);
	expect(before);
	write_cr8(CLASS - 1);
	expect(before + 1);
	cli();
}

static void check_with_interrupts_off(void)
{
	uint64_t before = guest_interrupts[VECTOR];

	send_self();
	write_cr8(15);
	write_cr8(3);
	write_cr8(9);
	sti();
	expect(before);
	cli();
	write_cr8(2);
	expect(before);
	sti();
	expect(before + 1);
	cli();
	CHECK_EQUAL(lapic_read(TPR), 0x20);
}

/* The register has eight bits, CR8 its upper half; both are one. */
static void check_mmio(void)
{
	uint64_t before = guest_interrupts[VECTOR];
	register uint64_t high __asm__("r13") = 15;

	sti();
	lapic_write(TPR, 0x6f);
	send_self();
	expect(before);
	CHECK_EQUAL(read_cr8(), CLASS);
	CHECK_EQUAL(lapic_read(TPR), 0x6f);
	lapic_write(TPR, 0x5f);
	expect(before + 1);
	__asm__ volatile("mov %0, %%cr8" : : "r"(high) : "memory");
	CHECK_EQUAL(lapic_read(TPR), 0xf0);
	write_cr8(0);
	cli();
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_set_handler(VECTOR, on_interrupt);
	for (uint64_t level = CLASS; level < 16; level++) {
		check_lowering(level);
		check_with_interrupts_off();
		check_mmio();
	}
	return guest_failures();
}
