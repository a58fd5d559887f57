/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages of guests kept compressed in host memory. A page is known by a handle; what becomes of it
 * is its owner's: the store does not know guests.
 *
 * Compressed pages lie in frames (FRAME_STORE) of 64 chunks, in runs of chunks; one that fits no
 * run that is free is cut into two. A frame is given back when the last run in it is dropped, and
 * pages stay where they are unless their owner lets them be moved. What is dropped is erased.
 *
 * Any CPU, with interrupts off. The store's lock is a leaf above the frame allocator's; nothing is
 * compressed under it.
 */
#ifndef BALLAST_BALLOON_STORE_H
#define BALLAST_BALLOON_STORE_H

#include "lib/util.h"

/* Handles are below this, and never 0. */
#define STORE_HANDLE_BITS 40
/* A page that does not compress to this is not worth keeping so. */
#define STORE_MOST_BYTES 3072U
#define STORE_PACKED_BYTES (STORE_MOST_BYTES + 16)

struct store_stats {
	uint64_t pages;
	uint64_t bytes;        /* of them, compressed */
	uint64_t frames;       /* that they take */
	uint64_t limit_frames;
	uint64_t split;        /* pages that were cut into two */
	uint64_t refused;      /* since the start: pages that do not compress enough */
	uint64_t damaged;      /* since the start: pages that were not what had been put */
};

/* -ENOMEM. Boot CPU, once, with all CPUs online. */
int store_init(void) __must_check;
/* At most so many frames. What is there stays. At the start it is 0. */
void store_set_limit(uint64_t frames);

/*
 * Keep a copy of a page that nobody writes meanwhile. -E2BIG: it compresses badly. -ENOMEM: no
 * frame, or the limit is reached.
 */
int store_put(const void *page, uint64_t *handle) __must_check;
/* Write the page whole. -EIO: it was damaged, `page` is undefined, its owner cannot go on. */
int store_get(uint64_t handle, void *page) __must_check;
/*
 * The page for others to keep, compressed as it is: how many bytes of `packed`, which has room for
 * STORE_PACKED_BYTES. 0: it was damaged, and store_get() says so.
 */
unsigned int store_pack(uint64_t handle, void *packed) __must_check;
/* The page again; as much room is behind `packed`. -EIO: it was damaged. */
int store_unpack(const void *packed, void *page) __must_check;
/* The handle's page is not needed any more, damaged or not. No store_get() of it is under way. */
void store_drop(uint64_t handle);

/*
 * Nothing has been put beside the page since then, by clock_now_ns(), nor was the page itself: it
 * has not been wanted for as long. No store_drop() of it is under way.
 */
uint64_t store_since_ns(uint64_t handle);

/*
 * The page's frames are for the most part empty, and others have room: it is there now, under
 * another handle. Worth it when many pages have been dropped and few were put since. No store_get()
 * of it is under way.
 */
bool store_move(uint64_t *handle);

void store_get_stats(struct store_stats *stats);

#endif
