/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two vCPUs hand a flag to and fro, each spinning until it has it. Where they share a CPU, the one
 * that spins with PAUSE gives its turn away; without, it keeps it to the end.
 */
#include "guest.h"

#define PAUSE_ROUNDS 40
#define PLAIN_ROUNDS 6

static volatile uint64_t turn; /* even: the boot CPU's */

/* Whose turn it is says nothing about when: only a store of the other one ends this. */
static void wait_for(uint64_t value, bool pause)
{
	while (turn != value) {
		if (pause)
			__asm__ volatile("pause");
	}
}

static void answer(unsigned int id)
{
	uint64_t round = 0;

	(void)id;
	for (; round < PAUSE_ROUNDS + PLAIN_ROUNDS; round++) {
		wait_for(2 * round + 1, round < PAUSE_ROUNDS);
		turn = 2 * round + 2;
	}
	for (;;)
		sti_hlt();
}

/* One hand-over, in nanoseconds: there and back are two. */
static uint64_t hand_over_ns(uint64_t first, uint64_t rounds, bool pause)
{
	uint64_t start = rdtsc();

	for (uint64_t round = first; round < first + rounds; round++) {
		turn = 2 * round + 1;
		wait_for(2 * round + 2, pause);
	}
	return (rdtsc() - start) / (2 * rounds) * 1000 / (guest_tsc_hz() / 1000000);
}

int guest_main(void)
{
	uint64_t with, without;

	guest_idt_init();
	pic_init();
	lapic_enable();
	guest_tsc_hz();
	CHECK_EQUAL(guest_cpu_count(), 2);
	CHECK(guest_start_cpu(1, answer));
	with = hand_over_ns(0, PAUSE_ROUNDS, true);
	without = hand_over_ns(PAUSE_ROUNDS, PLAIN_ROUNDS, false);
	guest_print("a hand-over takes %lu ns with PAUSE, %lu ns without\n", with, without);
	if (guest_has_word("shared"))
		CHECK_RANGE(with, 0, without / 4);
	return guest_failures();
}
