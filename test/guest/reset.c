/* SPDX-License-Identifier: BSD-2-Clause */
/* Reset through port 0xcf9: the VM must start again from its images, with clean memory. */
#include "guest.h"

/* A byte of CMOS survives a reset, RAM does not. */
static uint8_t cmos(void)
{
	out8(0x70, 0x50);
	return in8(0x71);
}

int guest_main(void)
{
	static volatile uint64_t mark;

	guest_idt_init();
	CHECK_EQUAL(mark, 0);
	mark = 0x1234;
	*(volatile uint64_t *)0x800000 = 0x5678;
	if (cmos() == 0x77)
		return guest_failures();
	CHECK_EQUAL(*(volatile uint64_t *)0x900000, 0);
	out8(0x71, 0x77);
	*(volatile uint64_t *)0x900000 = 1;
	guest_print("resetting\n");
	out8(0xcf9, 6);
	guest_delay_ns(100000000);
	return 98;
}
