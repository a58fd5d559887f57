/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copy on write: a device whose writes stay in memory, sector by sector in pages of 4 KiB, on top
 * of a base that does not change. A base may be under any number of overlays.
 */
#ifndef BALLAST_HOST_BLOCK_OVERLAY_H
#define BALLAST_HOST_BLOCK_OVERLAY_H

#include "host/block/block.h"

struct overlay_stats {
	uint64_t pages;          /* of 4 KiB that it holds */
	uint64_t limit_pages;
	uint64_t overhead_bytes; /* its tables */
	uint64_t refused;        /* writes that failed with -ENOSPC: no memory, or at the limit */
};

/*
 * An overlay on `base`, which the caller has open for reading until overlay_destroy(). It takes
 * memory as it is written, `limit_bytes` at most. -ENOMEM.
 */
int overlay_create(struct block_device *base, uint64_t limit_bytes, struct block_device **out)
	__must_check;
/* No request is under way. Boot CPU. */
void overlay_destroy(struct block_device *overlay);
void overlay_get_stats(struct block_device *overlay, struct overlay_stats *stats);

/* Forget all that was written. No request is under way. */
void overlay_discard(struct block_device *overlay);
/*
 * Write what the overlay holds to its base, in bounded steps, and then forget it; done() is called
 * on the boot CPU. The caller has the base open for writing. No other request is under way. When
 * the base fails, what was not written stays in the overlay.
 */
void overlay_commit(struct block_device *overlay, void (*done)(void *argument, int error),
	void *argument);

#endif
