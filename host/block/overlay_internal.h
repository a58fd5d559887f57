/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of an overlay share. */
#ifndef BALLAST_HOST_BLOCK_OVERLAY_INTERNAL_H
#define BALLAST_HOST_BLOCK_OVERLAY_INTERNAL_H

#include "host/block/overlay.h"
#include "host/block/overlay_map.h"
#include "host/lock.h"
#include "host/memory.h"

/*
 * Reads that need the base, and are under way at the same time. Each has one request for the base
 * at a time, for the next sectors that are not the overlay's. More wait for a place, so no read
 * can fail for want of memory.
 */
#define OVERLAY_READERS 12

struct overlay;

struct overlay_reader {
	struct overlay *overlay;         /* [I] */
	struct block_request *request;   /* the whole; the others are of its holder, too */
	uint32_t at;                     /* sectors of it that are done or asked for */
	struct block_request child;
	struct block_segment segments[BLOCK_MAX_SEGMENTS];
	struct list link;                /* [overlay.lock] in `idle` */
};

enum overlay_phase {
	OVERLAY_COMMIT_WRITE,
	OVERLAY_COMMIT_FLUSH,
	OVERLAY_COMMIT_DROP,
};

/* Boot CPU, but for the base, which ends `request` on any. */
struct overlay_commit {
	struct block_work work;
	enum overlay_phase phase;
	uint64_t sector;                 /* before it all is written or asked for */
	bool submitted;                  /* `request` has not been looked at since */
	struct block_request request;
	struct block_segment segments[BLOCK_MAX_SEGMENTS];
	void (*done)(void *argument, int error);
	void *argument;
};

struct overlay {
	struct block_device device;
	struct block_device *base;       /* [I] */
	struct spinlock lock;            /* above the frame allocator's alone */
	struct overlay_map map;          /* [lock] */
	uint64_t refused;                /* [lock] */
	struct list idle;                /* [lock] readers */
	struct list waiting;             /* [lock] requests for which there is none */
	struct overlay_reader readers[OVERLAY_READERS];
	struct overlay_commit commit;
	uint8_t zeroes[SECTOR_BYTES];    /* [I] */
};
_Static_assert(sizeof(struct overlay) <= 4 * PAGE_SIZE, "an overlay's size without its data");

static inline struct overlay *overlay_of(struct block_device *device)
{
	return container_of(device, struct overlay, device);
}

#endif
