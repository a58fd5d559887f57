/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests' pages on their way to the swap device (balloon/swap.h) and back.
 *
 * Out: pages that are leaving (ept/guest_reclaim.h) stay so, in their frames, until they have been
 * written; a touch rescues them up to then, and what was written of them is forgotten. Nobody takes
 * pages of that memory meanwhile: one that is leaving at the end has been all the time.
 *
 * In: the first touch of a page begins to read it, into memory of the pager's own, and the first
 * touch after it has come takes it from there; the boot CPU does it when the guest does not.
 *
 * The pager's lock is below memory.lock and above swap.lock.
 */
#ifndef BALLAST_BALLOON_PAGER_H
#define BALLAST_BALLOON_PAGER_H

#include "balloon/swap.h"
#include "ept/guest_memory.h"

#define PAGER_READS 64 /* under way, or come and not fetched yet */

/*
 * Once, when the swap device has been opened; -ENOMEM: there is no swapping. `came` is called when
 * a page has come, on any CPU, with interrupts off, under no lock of guests.
 */
int pager_init(void (*came)(void)) __must_check;
/* There is room for more. Any CPU. */
bool pager_available(void);

/* As memory_keeper.fetch and forget, for pages in the slot. Any CPU, under memory.lock. */
int pager_fetch(struct guest_memory *memory, gpa_t gpa, uint64_t slot, void *page) __must_check;
void pager_forget(uint64_t slot);
/* Has a page of this memory come since the last call? Boot CPU. */
bool pager_came(const struct guest_memory *memory);
/* Pages that nobody has fetched for long are. When to come again; 0: none is left. Boot CPU. */
uint64_t pager_poll(uint64_t now_ns);

/*
 * Begin to write leaving pages, at most SWAP_BATCH_PAGES; `left` is counted up, and down when it is
 * over. 0, also when some of them have to stay: they are mapped again. -EBUSY: too many are under
 * way, try again; other errors: all of them are mapped again. Boot CPU.
 */
int pager_out(struct guest_memory *memory, const gpa_t *gpas, unsigned int count,
	unsigned int *left) __must_check;
/* The memory is about to be cleared, or has been: nothing of it is written any more. Boot CPU. */
void pager_cancel(const struct guest_memory *memory);

#endif
