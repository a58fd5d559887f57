/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ticks: interrupts that come again and again, which a guest counts to know the time. A controller
 * has room for one that waits, so a guest that does not run would lose those that come meanwhile.
 * They are owed to it instead, and given one at a time, each when the guest has taken the one
 * before, but not sooner than TICK_INTERVAL_MIN_NS after it.
 *
 * What is owed has a bound: nobody is to spend minutes on the ticks of a pause. Beyond
 * TICKS_OWED_NS a guest that counts ticks falls behind.
 */
#ifndef BALLAST_VCPU_TICKS_H
#define BALLAST_VCPU_TICKS_H

#include "lib/util.h"

#define TICK_INTERVAL_MIN_NS 100000ULL
#define TICKS_OWED_NS 4000000000ULL
/* Of faster ones no more are owed than of those that come so often. */
#define TICKS_OWED_PERIOD_MIN_NS 1000000ULL

/* Of one source; its owner's lock. */
struct ticks {
	uint32_t owed;      /* have come, and were not given */
	bool waiting;       /* one was given that the guest has not taken */
	uint64_t given_tsc; /* when the last one was given */
};

/* How many are owed at most. */
uint32_t ticks_owed_max(uint64_t period_ns);
/* So many more have come. */
void ticks_owe(struct ticks *ticks, uint64_t count, uint64_t period_ns);
/* May one be given now? Then it is, and waits. */
bool ticks_give(struct ticks *ticks, uint64_t now_tsc) __must_check;
/* When the next may be given at the soonest, if none waits; maybe past. */
uint64_t ticks_soonest_tsc(const struct ticks *ticks);

/* The guest has taken what waited, or it was lost on its way. */
static inline void ticks_taken(struct ticks *ticks)
{
	ticks->waiting = false;
}

/* The guest does not listen, or has begun to count anew. */
static inline void ticks_forget(struct ticks *ticks)
{
	*ticks = (struct ticks){ 0 };
}

#endif
