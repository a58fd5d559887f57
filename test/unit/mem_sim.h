/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Simulated guests on a machine with too little memory, a second at a time: they touch what they work
 * with, have balloons, and are sampled; the targets are those of balloon/policy.h. Nothing is random
 * but from a fixed seed.
 */
#ifndef BALLAST_TEST_MEM_SIM_H
#define BALLAST_TEST_MEM_SIM_H

#include "balloon/estimate.h"
#include "balloon/policy.h"

#define MEM_SIM_GUESTS 8
#define MEM_SIM_PERIOD 30 /* seconds between samples */

#define PAGES(mib) ((uint64_t)(mib) * 256)
#define MIBS(pages) ((unsigned int)(((pages) + 128) / 256))

struct mem_guest {
	uint64_t memory;     /* pages, as all below */
	uint64_t working;    /* that it would like to touch all the time; set at will */
	uint64_t rate;       /* that it touches anew, or gives to its balloon, in a second */
	bool refuses;        /* its balloon does not move */
	/* What it is like. */
	uint64_t active, idle; /* resident ones of both kinds */
	uint64_t balloon;
	uint64_t peak;       /* the most active ones in this period */
	uint64_t waits;      /* seconds in which it could not have a page */
	uint64_t samples[ESTIMATE_SAMPLES];
	struct estimate estimate;
	struct policy_balloon watch;
	bool served;         /* by its balloon */
};

struct mem_sim {
	struct policy_settings settings;
	uint64_t total;
	uint64_t random;
	uint64_t seconds;
	enum policy_state state;
	unsigned int count;
	struct mem_guest guests[MEM_SIM_GUESTS];
	struct policy_guest policy[MEM_SIM_GUESTS];
};

/* `pages` is what there is to be had: what is kept free comes on top of it. */
void mem_sim_begin(struct mem_sim *sim, uint64_t pages, uint32_t tax_percent);

/* A guest that has just started: nothing of its memory was touched. */
struct mem_guest *mem_sim_add(struct mem_sim *sim, uint64_t memory, uint64_t min, uint32_t shares,
			      uint64_t working);
void mem_sim_run(struct mem_sim *sim, unsigned int seconds);

uint64_t mem_sim_free(const struct mem_sim *sim);
uint64_t mem_sim_resident(const struct mem_guest *guest);

/* Seconds until the guest has so many pages, at most `limit`. */
unsigned int mem_sim_until(struct mem_sim *sim, const struct mem_guest *guest, uint64_t pages,
			   unsigned int limit);

#endif
