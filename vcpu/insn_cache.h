/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is remembered about the code that recently made the guest exit: where in host memory it is,
 * and how it decodes. Nothing of it is trusted: each use reads the entries of the guest's page
 * tables and the bytes of the code again and compares, so that the guest needs no flush to be
 * seen. What is saved is the search for both, and the decoding.
 */
#ifndef BALLAST_VCPU_INSN_CACHE_H
#define BALLAST_VCPU_INSN_CACHE_H

#include "vcpu/insn.h"

#define INSN_SITES 256 /* a power of two */
#define CODE_REGIONS 8
#define TRAIL_STEPS 5

/* The entries a walk went through, so that the same walk can be repeated cheaply. */
struct walk_trail {
	struct trail_step {
		const uint64_t *entry; /* in host memory */
		uint64_t value;
	} steps[TRAIL_STEPS];          /* root first */
	unsigned int count;
	uint64_t page_bytes;           /* that the leaf maps */
};

/* Linear memory that is one piece in the guest's tables and in host memory. */
struct code_region {
	gva_t start;
	uint64_t bytes;         /* 0: empty */
	uint32_t mode;          /* SITE_... below */
	uint32_t cr4;           /* the low half, which is all of it */
	uint64_t cr3, efer;
	uint64_t generation;    /* of the guest's memory, into which the pointers lead */
	const uint8_t *code;    /* of `start` */
	struct walk_trail trail;
};

/* One instruction. */
struct insn_site {
	gva_t linear;
	uint32_t mode;          /* 0: empty */
	uint64_t head, tail;    /* bytes 0-7 and 7-14 as they were decoded */
	const struct code_region *region; /* not NULL with a mode: where it was met last, or any */
	struct insn insn;
} __aligned(128);               /* indexing is a shift */

struct insn_cache {
	struct code_region regions[CODE_REGIONS];
	struct code_region *recent; /* the region that was good last; NULL: none */
	unsigned int next;      /* region to be replaced */
	struct insn_site sites[INSN_SITES];
};

/* mode: 16, 32 or 64, and these. */
#define SITE_USER BIT(8)
#define SITE_PAGING BIT(9)

static inline struct insn_site *insn_cache_site(struct insn_cache *cache, gva_t linear)
{
	return &cache->sites[(linear ^ linear >> 6) & (INSN_SITES - 1)];
}

/* Is the walk's every entry as it was? The steps not used point to their own value. */
static inline bool walk_trail_holds(const struct walk_trail *trail)
{
#pragma GCC unroll 5
	for (unsigned int i = 0; i < TRAIL_STEPS; i++) {
		if (__atomic_load_n(trail->steps[i].entry, __ATOMIC_RELAXED) !=
			trail->steps[i].value)
			return false;
	}
	return true;
}

/* The state on which the meaning of the bytes at RIP depends. */
struct code_context {
	uint64_t rip, cr3, cr4, efer;
	uint64_t generation;    /* of the guest's memory */
	uint16_t cs_attributes;
	uint8_t cpl;
};

/*
 * The decoded instruction at RIP of 64-bit code, if it was decoded here before and the guest's
 * tables and the bytes are what they were; else NULL. Inlined into the paths where instructions
 * are counted: all it costs is the comparisons.
 */
static inline const struct insn_site *insn_cache_find(
	struct insn_cache *cache, const struct code_context *at)
{
	const struct insn_site *site = insn_cache_site(cache, at->rip);
	const struct code_region *region = site->region;
	uint32_t mode = 64 | SITE_PAGING | (at->cpl == 3 ? SITE_USER : 0);
	const uint8_t *code;
	uint64_t head, tail;

	if (unlikely(site->linear != at->rip || site->mode != mode ||
		    region->mode != mode || at->rip - region->start >= region->bytes ||
		    region->cr3 != at->cr3 || region->cr4 != (uint32_t)at->cr4 ||
		    region->efer != at->efer || !(at->cs_attributes & SEGMENT_L) ||
		    region->generation != at->generation || !walk_trail_holds(&region->trail)))
		return NULL;
	code = region->code + (at->rip - region->start);
	__builtin_memcpy(&head, code, 8);
	__builtin_memcpy(&tail, code + 7, 8);
	return site->head == head && site->tail == tail ? site : NULL;
}

#endif
