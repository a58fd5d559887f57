/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleeps most of the time, as a guest that serves requests does, and tells how late it ran when its
 * timer was due: after every `count=` (200) sleeps of one to `longest=` (7) milliseconds the line
 *
 *   waker NUMBER: us late min A p50 B p90 C p99 D max E
 *
 * After each sleep it works for `work=` (0) microseconds.
 */
#include "guest.h"

#define VECTOR 0x40
#define LVT_DEADLINE (2 << 17)
#define MSR_TSC_DEADLINE 0x6e0
#define COUNT_MAX 10000

static volatile bool fired;
static volatile uint64_t fired_tsc;
static uint64_t late_ticks[COUNT_MAX];

static void on_timer(struct frame *frame)
{
	(void)frame;
	fired_tsc = rdtsc();
	fired = true;
	lapic_write(LAPIC_EOI, 0);
}

/* How late, in ticks. */
static uint64_t sleep_for(uint64_t ticks)
{
	uint64_t deadline = rdtsc() + ticks;

	fired = false;
	wrmsr(MSR_TSC_DEADLINE, deadline);
	while (!fired) {
		sti_hlt();
		cli();
	}
	return fired_tsc - deadline;
}

static void sort(uint64_t *values, unsigned int count)
{
	for (unsigned int i = 1; i < count; i++) {
		uint64_t value = values[i];
		unsigned int at = i;

		for (; at && values[at - 1] > value; at--)
			values[at] = values[at - 1];
		values[at] = value;
	}
}

static uint64_t random_below(uint64_t limit)
{
	static uint64_t state = 0x9e3779b97f4a7c15;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % limit;
}

static uint64_t part_us(unsigned int count, unsigned int percent, uint64_t hz)
{
	unsigned int index = (count * percent + 99) / 100;

	return late_ticks[index ? index - 1 : 0] / (hz / 1000000);
}

static void one_series(unsigned int number, unsigned int count, uint64_t hz)
{
	uint64_t ms = hz / 1000, longest = guest_number("longest=", 7);
	uint64_t work_ns = guest_number("work=", 0) * 1000;

	for (unsigned int i = 0; i < count; i++) {
		late_ticks[i] = sleep_for(ms + random_below(ms * (longest - 1) + 1));
		if (work_ns)
			guest_delay_ns(work_ns);
	}
	sort(late_ticks, count);
	guest_print("waker %u: us late min %lu p50 %lu p90 %lu p99 %lu max %lu\n", number,
		part_us(count, 0, hz), part_us(count, 50, hz), part_us(count, 90, hz),
		part_us(count, 99, hz), part_us(count, 100, hz));
}

int guest_main(void)
{
	unsigned int count = guest_number("count=", 200);

	guest_idt_init();
	pic_init();
	lapic_enable();
	CHECK(cpuid(1, 0).ecx & 1 << 24);
	CHECK_RANGE(count, 1, COUNT_MAX);
	if (guest_failures())
		return guest_failures();
	guest_set_handler(VECTOR, on_timer);
	lapic_write(LAPIC_LVT_TIMER, VECTOR | LVT_DEADLINE);
	__asm__ volatile("mfence" : : : "memory");
	for (unsigned int number = 1;; number++)
		one_series(number, count, guest_tsc_hz());
}
