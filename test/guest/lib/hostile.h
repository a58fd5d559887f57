/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For guests that attack the host: one file holds several attacks, each run in a VM of its own and
 * chosen by the word "case=NAME" on the command line. Most of them never come back.
 */
#ifndef BALLAST_TEST_HOSTILE_H
#define BALLAST_TEST_HOSTILE_H

#include "guest.h"

#define PCI_HOLE 0xf0000000ULL /* present in the guest's page tables, nothing answers there */
#define IOAPIC_BASE 0xfec00000ULL
#define RAM_END 0x4000000ULL /* of the 64 MiB that each test guest has */

struct hostile_case {
	const char *word;
	void (*attack)(void);
};

/* The same numbers in each run. */
static inline uint64_t hostile_random(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* guest_main() of a hostile guest. An attack that returns has been survived. */
static inline int hostile_main(const struct hostile_case *cases, size_t count)
{
	guest_idt_init();
	pic_init();
	for (size_t i = 0; i < count; i++) {
		if (!guest_has_word(cases[i].word))
			continue;
		cases[i].attack();
		return guest_failures();
	}
	guest_print("FAIL no such case\n");
	return 1;
}
#define HOSTILE_MAIN(cases)                                                                        \
	int guest_main(void)                                                                       \
	{                                                                                          \
		return hostile_main(cases, sizeof(cases) / sizeof((cases)[0]));                    \
	}

#endif
