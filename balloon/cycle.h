/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One VM's pages, in the hands of the economy: some are watched whether they are touched, the
 * others are looked at in turn, 2 MiB at a time, for contents that take less room. Boot CPU.
 */
#ifndef BALLAST_BALLOON_CYCLE_H
#define BALLAST_BALLOON_CYCLE_H

#include "balloon/economy.h"
#include "balloon/sampling.h"

#define CYCLE_BATCH 512 /* pages of 2 MiB */

struct vm_economy {
	struct vm *vm;
	uint64_t started_ns;                /* of its life that all of this is about; 0: none */
	uint64_t due_ns;                    /* its next step; 0: at once */
	struct economy_terms terms;
	struct policy_guest guest;
	struct policy_balloon balloon;
	uint64_t stats_ns;                  /* when its guest was last asked for its figures */
	bool balloon_serves;
	struct policy_purse purse;

	struct sampling sampling;

	/* The batch. */
	enum {
		CYCLE_SCAN, CYCLE_TAKEN, CYCLE_SEALED, CYCLE_AGE, CYCLE_DECIDE, CYCLE_SWAP
	} stage;
	bool pressed;          /* the batch is of any pages: they go unless they are touched */
	bool swaps;            /* what was compressed before cold_ns goes to the disk, and, of a */
	uint64_t cold_ns;      /* batch that is pressed, what does not compress */
	gpa_t batch[CYCLE_BATCH];
	unsigned int batched, decided;
	unsigned int swapping; /* the first so many of the batch go to the disk, */
	unsigned int cold;     /* and its last so many, which are compressed; */
	unsigned int sent, cold_sent; /* so many of these have been sent, */
	unsigned int writing;  /* and so many writes are under way */
	gpa_t region;          /* of 2 MiB, that is looked at */
	unsigned int at;       /* page of it */
	uint64_t ready_ns;     /* CYCLE_AGE: until then they may be touched */
	uint64_t scan_ns;      /* the last look */
	unsigned int slower;   /* the pace is 1 / 2^n: the last rounds found nothing */
	uint64_t looked, gained; /* in this round: pages, and those that take less room now */
	uint64_t scan_faults, scan_frames; /* what had happened by the end of the last one */

	/* For the screen. */
	uint64_t faults_before, fault_rate, rate_ns;
	uint64_t waits_before, waiting_since_ns;
	uint64_t devices_ns;                /* not before then are devices told to look again */
	bool told;
};

/* Is less than all of its memory guaranteed? */
static inline bool economy_takes_part(const struct vm_economy *economy)
{
	return economy->terms.min_pages < economy->terms.memory_pages;
}

/* Forget all that is under way: the VM's memory is new. */
void cycle_reset(struct vm_economy *economy);
/*
 * Go on. `permits` are POLICY_MAY_..., `wanted_pages` how many it is to lose. When to come again,
 * 0: not for now.
 */
uint64_t cycle_step(struct vm_economy *economy, unsigned int permits, uint64_t wanted_pages,
	uint64_t now_ns);

#endif
