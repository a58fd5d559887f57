/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wants all the time it can get, on each of its CPUs, and tells how much it got: every `every=`
 * milliseconds (500) of its TSC the line
 *
 *   hog NUMBER: PERMILLE ...
 *
 * with each CPU's part of the time since. What is counted is work, not time: blocks of
 * instructions that never exit, of which the fastest ever seen says how long one takes when nobody
 * interferes. So what a host takes away is missed whatever it tells of its clocks.
 */
#include "guest.h"

#define BLOCK_ROUNDS 1000 /* of two instructions */

struct worker {
	volatile uint64_t blocks;
	volatile uint64_t fastest; /* TSC ticks */
} __attribute__((aligned(64)));

static struct worker workers[GUEST_CPUS];

static void work_block(void)
{
	uint64_t rounds = BLOCK_ROUNDS;

	__asm__ volatile(".align 16\n1: dec %0\n\tjnz 1b" : "+r"(rounds) : : "cc");
}

/* Until the TSC is there. */
static void work_until(struct worker *worker, uint64_t end)
{
	uint64_t before = rdtsc(), now;

	do {
		work_block();
		now = rdtsc();
		if (now - before < worker->fastest)
			worker->fastest = now - before;
		worker->blocks++;
		before = now;
	} while (now < end);
}

static void work_for_ever(unsigned int id)
{
	work_until(&workers[id], UINT64_MAX);
}

/* What this CPU spent on printing counts as work: who gets little would lose most by it. */
static uint64_t printing_ticks, longest_print;

#define PRINT(...)                                                                                 \
	do {                                                                                       \
		uint64_t start_ = rdtsc();                                                         \
                                                                                                   \
		guest_print(__VA_ARGS__);                                                          \
		count_printing(rdtsc() - start_);                                                  \
	} while (0)

/* Unless the CPU was taken away meanwhile. */
static void count_printing(uint64_t ticks)
{
	if (ticks < longest_print)
		printing_ticks += ticks;
}

static void report(unsigned int number, unsigned int cpus, const uint64_t *work, uint64_t ticks)
{
	PRINT("hog %u:", number);
	for (unsigned int id = 0; id < cpus; id++)
		PRINT(" %lu", (work[id] * 1000 + ticks / 2) / ticks);
	PRINT("\n");
}

/*
 * Each window begins where the one before ended, so that nothing falls between them; but after a
 * pause they do not come all at once.
 */
static __attribute__((noreturn)) void report_for_ever(unsigned int cpus, uint64_t ticks)
{
	static uint64_t before[GUEST_CPUS], work[GUEST_CPUS];
	uint64_t end = rdtsc();

	for (unsigned int number = 1;; number++) {
		end += ticks;
		if (rdtsc() > end)
			end = rdtsc() + ticks;
		work_until(&workers[0], end);
		for (unsigned int id = 0; id < cpus; id++) {
			uint64_t now = workers[id].blocks * workers[id].fastest;

			now += id ? 0 : printing_ticks;
			work[id] = now > before[id] ? now - before[id] : 0;
			before[id] = now;
		}
		report(number, cpus, work, ticks);
	}
}

int guest_main(void)
{
	unsigned int cpus = guest_cpu_count();
	uint64_t ticks;

	guest_idt_init();
	pic_init();
	lapic_enable();
	for (unsigned int id = 0; id < GUEST_CPUS; id++)
		workers[id].fastest = UINT64_MAX;
	ticks = guest_tsc_hz() / 1000 * guest_number("every=", 500);
	for (unsigned int id = 1; id < cpus; id++) {
		if (!guest_start_cpu(id, work_for_ever))
			guest_print("FAIL cpu %u does not start\n", id);
	}
	longest_print = guest_tsc_hz() / 500;
	report_for_ever(cpus, ticks);
}
