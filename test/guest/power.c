/* SPDX-License-Identifier: BSD-2-Clause */
/* The ACPI PM timer, and S5: the VM must be reported as powered off. */
#include "guest.h"

#define PM1A_EVENT 0x600
#define PM1A_CONTROL 0x604
#define PM_TIMER 0x608

int guest_main(void)
{
	uint32_t before, after;
	uint64_t tsc;

	guest_idt_init();
	before = in32(PM_TIMER);
	tsc = rdtsc();
	guest_delay_ns(10000000);
	after = in32(PM_TIMER);
	tsc = (rdtsc() - tsc) * 1000000 / guest_tsc_hz();
	CHECK_RANGE(((after - before) & 0xffffff) * 1000000ULL / 3579545, tsc - 200, tsc + 200);
	CHECK(in16(PM1A_CONTROL) & 1); /* SCI_EN: no legacy mode to leave */
	out16(PM1A_EVENT + 2, 0x0100);
	CHECK_EQUAL(in16(PM1A_EVENT + 2), 0x0100);
	if (guest_failures())
		return guest_failures();
	guest_print("powering off\n");
	out16(PM1A_CONTROL, 5 << 10 | 1 << 13);
	guest_delay_ns(100000000);
	return 98;
}
