/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much of its memory a guest works with, without its help: some random pages of it are watched
 * for a period, and the part of them that is touched stands for all (C. A. Waldspurger, OSDI 2002,
 * has 100 pages and 30 seconds). Two moving averages, of which the greatest counts, and with them
 * the running period: a guest that wakes is believed soon, one that rests only after a while.
 *
 * Pure; the record is the caller's, under the caller's lock.
 */
#ifndef BALLAST_BALLOON_ESTIMATE_H
#define BALLAST_BALLOON_ESTIMATE_H

#include "lib/util.h"

#define ESTIMATE_SAMPLES 100U
#define ESTIMATE_PERIOD_NS (30 * NS_PER_SEC)

#define ESTIMATE_ONE (1U << 16) /* all of the memory, in the unit of the averages */

/* All zeroes at first. */
struct estimate {
	uint32_t fast, slow; /* averages over the periods that are over */
	uint32_t running;    /* the fast one, with what the running period has shown */
	uint32_t periods;    /* that are over; 0: nothing is known, and all counts as active */
};

/* So far `touched` of the `samples` pages of the running period were touched. */
void estimate_running(struct estimate *estimate, unsigned int touched, unsigned int samples);

/* The period is over. One without samples is none. */
void estimate_end_period(struct estimate *estimate, unsigned int touched, unsigned int samples);

/* The active ones among `pages`. */
uint64_t estimate_active_pages(const struct estimate *estimate, uint64_t pages);

/*
 * `count` different numbers below `pages`, in `chosen`: each set of them is as likely as any other.
 * All numbers when there are fewer. Returns how many. `random` is the generator's state, any value.
 */
unsigned int estimate_choose(uint64_t *random, uint64_t pages, uint64_t *chosen,
			     unsigned int count);

#endif
