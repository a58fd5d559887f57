/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which slots of a swap device are free, and what is remembered of each: 13 bytes, in segments that
 * are allocated at the start. The caller holds a lock.
 */
#ifndef BALLAST_BALLOON_SWAP_SLOTS_H
#define BALLAST_BALLOON_SWAP_SLOTS_H

#include "lib/util.h"

/* What fits 512 KiB, in whole words of slots. */
#define SWAP_SEGMENT_WORDS 624U
#define SWAP_SEGMENT_SLOTS (SWAP_SEGMENT_WORDS * 64)

struct swap_segment {
	uint64_t free[SWAP_SEGMENT_WORDS];   /* a bit for each slot */
	uint64_t checks[SWAP_SEGMENT_SLOTS]; /* of the page that is there */
	uint32_t writes[SWAP_SEGMENT_SLOTS]; /* how often it was written; ~0: never again */
	uint8_t blocks[SWAP_SEGMENT_SLOTS];  /* of 64 bytes that are used of it; 0: all 64 */
	uint32_t free_count;
};
_Static_assert(sizeof(struct swap_segment) <= KIB(512), "a block of frames");

struct swap_slots {
	struct swap_segment **segments;
	uint64_t words;  /* of bits, in all segments */
	uint64_t cursor; /* the next word to look at */
	uint64_t count;  /* slots that there are, used or not */
	uint64_t free;
};

/* Slots 1 to count - 1 are free; 0 is never handed out. -ENOMEM: nothing is taken. Boot CPU. */
int swap_slots_init(struct swap_slots *slots, uint64_t count) __must_check;
void swap_slots_destroy(struct swap_slots *slots);

/*
 * Take adjacent slots, `want` of them (1 to 63) if there are so many together near the last ones,
 * else as many as there are; `*first` is the first. Returns how many: 0 when none is free.
 */
unsigned int swap_slots_take(struct swap_slots *slots, unsigned int want, uint64_t *first);
/* A slot is free again. It was in use. */
void swap_slots_free(struct swap_slots *slots, uint64_t slot);
bool swap_slots_used(const struct swap_slots *slots, uint64_t slot);

static inline uint64_t *swap_slots_check(const struct swap_slots *slots, uint64_t slot)
{
	return &slots->segments[slot / SWAP_SEGMENT_SLOTS]->checks[slot % SWAP_SEGMENT_SLOTS];
}

static inline uint32_t *swap_slots_writes(const struct swap_slots *slots, uint64_t slot)
{
	return &slots->segments[slot / SWAP_SEGMENT_SLOTS]->writes[slot % SWAP_SEGMENT_SLOTS];
}

static inline uint8_t *swap_slots_blocks(const struct swap_slots *slots, uint64_t slot)
{
	return &slots->segments[slot / SWAP_SEGMENT_SLOTS]->blocks[slot % SWAP_SEGMENT_SLOTS];
}

#endif
