/* SPDX-License-Identifier: BSD-2-Clause */
/* A triple fault: the VM must be stopped alone, with its dump. */
#include "guest.h"

int guest_main(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = { 0, 0 };

	guest_print("about to fault three times\n");
	__asm__ volatile("lidt %0\n\tud2" : : "m"(none));
	return 1;
}
