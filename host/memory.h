/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's physical memory: the frame allocator, the heap built on it, and the host's own
 * page tables. The host runs with all RAM mapped 1:1, so a host physical address of RAM is also a
 * pointer; host_ptr() and host_phys() mark the places where that is relied upon.
 *
 * Every function may be called on any CPU; the allocators take their own lock, which is a leaf.
 */
#ifndef BALLAST_HOST_MEMORY_H
#define BALLAST_HOST_MEMORY_H

#include "lib/util.h"

#define HPA_NONE (~0ULL)

/* Allocation orders: log2 of 4 KiB frames. */
#define FRAME_ORDER_4K 0
#define FRAME_ORDER_2M 9
#define FRAME_ORDER_1G 18

/* What a frame in use is for: accounting on the console, and a check when it is freed. */
enum frame_use {
	FRAME_RESERVED, /* firmware, MMIO holes, Ballast's image: never handed out */
	FRAME_FREE,
	FRAME_STALE, /* free and counted as such, but what it contained still stands there */
	FRAME_HOST,  /* Ballast's own data: heap, stacks, host page tables */
	FRAME_VM,    /* overhead of a VM: its structures, VMCS/VMCB, EPT/NPT tables */
	FRAME_GUEST, /* guest memory, of one guest */
	FRAME_SHARED, /* guest memory that several places of guests show, read-only */
	FRAME_DISK,  /* what was written to copy-on-write disks */
	FRAME_STORE, /* guests' pages, compressed */
	FRAME_USES
};

struct memory_range {
	hpa_t start;    /* page aligned */
	uint64_t bytes; /* multiple of the page size */
};

struct memory_stats {
	uint64_t total_frames;       /* all RAM known to the allocator */
	uint64_t frames[FRAME_USES]; /* of these, by use */
	uint64_t stale_frames;       /* of the free ones: frame_erase() has not come to them yet */
	uint64_t largest_free_order;
};

/* What there is for guests' memory in all: what they have in any form, and what is free. */
static inline uint64_t frame_guest_total(const struct memory_stats *stats)
{
	return stats->frames[FRAME_FREE] + stats->frames[FRAME_GUEST] +
		stats->frames[FRAME_SHARED] + stats->frames[FRAME_STORE];
}

static inline void *host_ptr(hpa_t hpa)
{
	return (void *)(uintptr_t)hpa;
}

static inline hpa_t host_phys(const void *ptr)
{
	return (hpa_t)(uintptr_t)ptr;
}

/* Takes over `ranges` (sorted, disjoint, free RAM); places its own records inside them. */
void frame_init(const struct memory_range *ranges, size_t count);

/*
 * 2^order naturally aligned frames, contents undefined, but nothing that another one had there;
 * HPA_NONE when there are none. The frames come back by frame_free() with the same order, or
 * piecewise in smaller ones.
 */
hpa_t frame_alloc(unsigned int order, enum frame_use use) __must_check;
/* The same, filled with zeroes. */
hpa_t frame_alloc_zeroed(unsigned int order, enum frame_use use) __must_check;
void frame_free(hpa_t start, unsigned int order);
/*
 * Erase a part of what was given back, some tens of microseconds' worth: it is handed out without
 * another look then. False: all of it is erased. Boot CPU; whoever runs out of other frames before
 * erases what it gets.
 */
bool frame_erase(void);
/*
 * Who shows a block of FRAME_GUEST: the memory's number (struct guest_memory) and the guest frame
 * of its first one. Pieces of the block stay the owner's.
 */
void frame_set_owner(hpa_t start, uint32_t owner, uint64_t gfn);
/* The pieces of 2 MiB of one owner's FRAME_GUEST are one block again. False: they are not that. */
bool frame_join(hpa_t start) __must_check;
/* A FRAME_GUEST of 4 KiB becomes a FRAME_SHARED one with a single holder. */
void frame_share(hpa_t frame);
/* One holder more, besides one that the caller knows of; and one less: the last frees it. */
void frame_hold(hpa_t frame);
void frame_drop(hpa_t frame);
/* Holders of a shared frame, now. */
uint32_t frame_holders(hpa_t frame);

/* What is known of any frame: a check of who owns what. */
struct frame_facts {
	enum frame_use use;
	uint32_t owner;   /* FRAME_GUEST: as set, 0 if it never was */
	uint64_t gfn;     /* FRAME_GUEST: of this very frame */
	uint32_t holders; /* FRAME_SHARED */
};
void frame_describe(hpa_t frame, struct frame_facts *facts);

/* Free frames, at this moment. */
uint64_t frame_free_count(void);
/* So many free frames are promised to guests: what is written to disks must leave them. */
void frame_set_reserve(uint64_t frames);
void frame_get_stats(struct memory_stats *stats);

/* Zero whole pages with the fastest store the host has. */
void page_zero(void *start, uint64_t bytes);

/*
 * Small zeroed objects, 16-byte aligned (a request of a page or more is page aligned); NULL when
 * out of memory. `use` is FRAME_HOST or FRAME_VM.
 */
void *heap_alloc(size_t bytes, enum frame_use use) __must_check;
void heap_free(void *object);

/* Map device memory uncached at its own address; the mapping is for ever. 0 or -ENOMEM. */
int mmu_map_device(hpa_t start, uint64_t bytes) __must_check;
/* Remove one page of the 1:1 mapping, so that touching it faults: guards under stacks. */
void mmu_unmap_guard(const void *page);

#endif
