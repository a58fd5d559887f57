/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests' pages on their way to the swap device (balloon/swap.h) and back.
 *
 * Out: pages that are leaving (ept/guest_reclaim.h) stay so, in their frames, until they have been
 * written; a touch rescues them up to then, and what was written of them is forgotten. Compressed
 * ones stay compressed likewise. Nobody takes pages of that memory, or compresses any, meanwhile:
 * one that is as it was at the end has been so all the time.
 *
 * In: the first touch of a page begins to read it, into memory of the pager's own, and the touch
 * after it has come decrypts it from there. With it come its neighbours, as many as proved useful:
 * pages around it that lie in the slots around its own, by the same request. They stay in that
 * memory until they are touched, or somebody needs the room.
 *
 * There is room for PAGER_READS pages. Of it a guest gets no more than twice what it leaves for
 * others, so one more always finds some; and what was only read ahead counts as room.
 *
 * The pager's lock is below memory.lock, above swap.lock and what came() takes.
 */
#ifndef BALLAST_BALLOON_PAGER_H
#define BALLAST_BALLOON_PAGER_H

#include "balloon/swap.h"
#include "ept/guest_memory.h"

#define PAGER_READS 64 /* pages under way, or come and not fetched yet */

/*
 * Once, when the swap device has been opened; -ENOMEM: there is no swapping. `came` is called when
 * pages of a memory have come, or could not be read, on any CPU, with interrupts off and the
 * pager's lock held: it may wake vCPUs. The memory is there as long as it runs.
 */
int pager_init(void (*came)(struct guest_memory *memory)) __must_check;
/* There is room for more. Any CPU. */
bool pager_available(void);

/* As memory_keeper.fetch and forget, for pages in the slot. Any CPU, under memory.lock. */
int pager_fetch(struct guest_memory *memory, gpa_t gpa, uint64_t slot, void *page) __must_check;
void pager_forget(uint64_t slot);

struct pager_stats {
	uint64_t requests; /* since the start: reads of the disk */
	uint64_t ahead;    /* pages that were read beside what was wanted */
	uint64_t hits;     /* of these: touched while they were here */
};
void pager_get_stats(struct pager_stats *stats);

/*
 * Begin to write leaving pages, at most SWAP_BATCH_PAGES; `left` is counted up, and down when it is
 * over. 0, also when some of them have to stay: they are mapped again. -EBUSY: too many are under
 * way, try again; other errors: all of them are mapped again. Boot CPU.
 */
int pager_out(struct guest_memory *memory, const gpa_t *gpas, unsigned int count,
	unsigned int *left) __must_check;
/* The same of compressed pages, which stay so when they have to stay. */
int pager_out_compressed(struct guest_memory *memory, const gpa_t *gpas, unsigned int count,
	unsigned int *left) __must_check;
/* The memory is about to be cleared, or has been: nothing of it is written any more. Boot CPU. */
void pager_cancel(const struct guest_memory *memory);

/* pager_out.c's part of the start: -ENOMEM. */
int pager_init_out(void) __must_check;
#ifdef BALLAST_UNIT_TEST
void pager_test_close(void);
void pager_test_close_out(void);
#endif

#endif
