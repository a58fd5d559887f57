/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two halves of swapping share: swap.c at run time, swap_open.c at the start. */
#ifndef BALLAST_BALLOON_SWAP_INTERNAL_H
#define BALLAST_BALLOON_SWAP_INTERNAL_H

#include "balloon/swap.h"
#include "balloon/swap_slots.h"
#include "host/lock.h"
#include "host/memory.h"
#include "lib/chacha20.h"

#define SLOT_SECTORS ((uint32_t)(PAGE_SIZE / SECTOR_BYTES))
/* Batches under way at the same time: each has memory for its encrypted pages. */
#define SWAP_BATCHES 4

struct swap {
	struct spinlock lock;
	struct block_device *device;     /* [I] NULL: there is none */
	struct chacha20_key key;         /* [I] */
	uint64_t check_seed;             /* [I] */
	struct swap_slots slots;         /* [lock]; checks and writes are the slot's owner's */
	uint8_t *ciphers[SWAP_BATCHES];  /* [lock] of SWAP_BATCH_PAGES each; NULL: a batch has it */
	unsigned int failed_batches;     /* [lock] one after the other */
	struct swap_stats stats;         /* [lock] */
};

extern struct swap swap;

#endif
