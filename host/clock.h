/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time and timers. Time is the invariant TSC, calibrated at boot, the same on all CPUs. Timers
 * are one-shot; each CPU has a queue of its own, locked, and serves it in irq_window().
 */
#ifndef BALLAST_HOST_CLOCK_H
#define BALLAST_HOST_CLOCK_H

#include "lib/pairing_heap.h"

struct cpu;

struct timer {
	struct heap_node node;                /* [queue lock] its key is the deadline, in ticks */
	void (*expired)(struct timer *timer); /* [I] runs on the queue's CPU, interrupts off */
	struct cpu *cpu;                      /* [a] its queue; NULL when not armed */
	struct cpu *home;                     /* [a] where it was armed last */
	bool watches;                         /* [I] the watchdog's own: no work of its CPU */
};

extern uint64_t clock_tsc_hz; /* [I] after clock_init() */

#ifdef BALLAST_FAKE_CLOCK
uint64_t clock_tsc(void); /* unit tests: test/unit/fake_clock.c */
#else
static inline uint64_t clock_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}
#endif

/* Conversions of durations and of instants since TSC 0; they round down and do not overflow. */
uint64_t clock_ns_from_tsc(uint64_t tsc);
uint64_t clock_tsc_from_ns(uint64_t ns);
static inline uint64_t clock_now_ns(void)
{
	return clock_ns_from_tsc(clock_tsc());
}
/* The earlier of two times, of which 0 is never. */
static inline uint64_t clock_sooner(uint64_t a, uint64_t b)
{
	return a && (!b || a < b) ? a : b;
}
/* Spin for so long: where the machine starts or ends, and there is nothing else to do. */
void clock_wait(uint64_t ns);
/* Nanoseconds since 1970-01-01 UTC, from the firmware's clock at boot plus the TSC. */
uint64_t clock_wall_ns(void);

void timer_init(struct timer *timer, void (*expired)(struct timer *));
/*
 * (Re)arm on the calling CPU; a deadline in the past expires in the next window. Waits for a
 * callback that runs on another CPU just now. One caller at a time for each timer, its callback
 * aside: what that arms elsewhere is moved here. Beyond INT64_MAX is never.
 */
void timer_set(struct timer *timer, uint64_t deadline_tsc);
/* Disarm, from any CPU. When it returns, the callback is not running and will not run. */
void timer_cancel(struct timer *timer);
static inline bool timer_armed(const struct timer *timer)
{
	return __atomic_load_n(&timer->cpu, __ATOMIC_RELAXED) != NULL;
}

#endif
