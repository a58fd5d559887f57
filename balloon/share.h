/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where pages with the same contents find each other: a table by the contents' hash, of fixed size.
 * An entry is a shared frame, which the table holds too, or a hint: a page that had such contents
 * when it was looked at. Two pages are the same only after all of their bytes have been compared;
 * the hash says where to look.
 *
 * Whether pages of different VMs may be shared is decided by the hash's seed, the number of their
 * trust group: sharing across owners tells by its timing what others have.
 *
 * Any CPU. The table's lock is below memory.lock and above the frame allocator's.
 */
#ifndef BALLAST_BALLOON_SHARE_H
#define BALLAST_BALLOON_SHARE_H

#include "host/memory.h"

/* A table for so many frames of the machine; -ENOMEM. Boot CPU. */
int share_init(uint64_t frames) __must_check;
/* There are no shared frames any more, and nobody asks: the table goes. Boot CPU. */
void share_exit(void);

uint64_t share_hash(const void *page, uint64_t group);
bool share_is_zero(const void *page);

enum share_find {
	SHARE_NEW,   /* nobody had these contents; now the page is a hint for others */
	SHARE_HINT,  /* another page had them: this one is worth a frame that others may join */
	SHARE_FRAME, /* there is a frame with, in all likelihood, these contents */
};
/* Ask for contents of the page `gfn` of the memory `number`. */
enum share_find share_look(uint64_t hash, uint32_t number, uint64_t gfn);

/*
 * Contents that stand still. The shared frame that has them, held for the caller: one that was
 * there, or `own`, a FRAME_GUEST that contains them and becomes one. HPA_NONE: there is none, and
 * the table has no room for one.
 */
hpa_t share_join(uint64_t hash, const void *page, hpa_t own);

/* Look at some of the table, and give up frames that nobody shows any more: how many. */
unsigned int share_prune(unsigned int entries);

struct share_stats {
	uint64_t entries, frames; /* of the table; of them shared frames */
	uint64_t bytes;           /* that the table takes */
	uint64_t joined;          /* since the start: pages that joined a frame that was there */
	uint64_t differed;        /* since the start: equal hashes of different pages */
};
void share_get_stats(struct share_stats *stats);

#endif
