/* SPDX-License-Identifier: BSD-2-Clause */
/* HLT: woken by an interrupt, not before; the interrupt's return address is behind the HLT. */
#include "guest.h"

#define VECTOR 0x41

static volatile uint64_t return_address;

static void timer(struct frame *frame)
{
	return_address = frame->rip;
	lapic_write(LAPIC_EOI, 0);
}

static void arm(uint32_t ticks)
{
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);
	lapic_write(LAPIC_LVT_TIMER, VECTOR);
	lapic_write(LAPIC_TIMER_INITIAL, ticks);
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_set_handler(VECTOR, timer);
	for (int i = 1; i <= 10; i++) {
		uint64_t behind;

		arm(10000);
		__asm__ volatile("lea 1f(%%rip), %0\n\tsti\n\thlt\n1:\tcli" : "=r"(behind) : : "memory");
		CHECK_EQUAL(guest_interrupts[VECTOR], i);
		CHECK_EQUAL(return_address, behind);
	}
	/* An interrupt that is already pending ends the HLT at once. */
	arm(1);
	guest_delay_ns(1000000);
	sti_hlt();
	cli();
	CHECK_EQUAL(guest_interrupts[VECTOR], 11);
	return guest_failures();
}
