/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copy on write: a device whose writes stay in memory, sector by sector in pages of 4 KiB, on top
 * of a base that does not change. A base may be under any number of overlays. Nothing of an overlay
 * outlives the power: a flush has nothing to do.
 *
 * Discarded sectors show the base's again; those that were zeroed are zero, at the cost of their
 * place in the tables alone where whole pages are.
 */
#ifndef BALLAST_HOST_BLOCK_OVERLAY_H
#define BALLAST_HOST_BLOCK_OVERLAY_H

#include "host/block/block.h"

struct overlay_stats {
	uint64_t pages;          /* of 4 KiB that it holds */
	uint64_t limit_pages;    /* for these and for tables */
	uint64_t overhead_bytes; /* its tables */
	uint64_t refused;        /* writes that failed with -ENOSPC: no memory, or at the limit */
};

/*
 * An overlay on `base`, which the caller has open for reading until overlay_destroy(). It bears the
 * base's name, is not in the list of devices, and may be opened as every other one. It takes memory
 * (FRAME_DISK) as it is written, `limit_bytes` at most, its tables included. A write for which
 * there is none fails with -ENOSPC and changes nothing. -ENOMEM, -EFBIG for a base over 64 TiB.
 */
int overlay_create(struct block_device *base, uint64_t limit_bytes, struct block_device **out)
	__must_check;
/* No request is under way. Boot CPU. */
void overlay_destroy(struct block_device *overlay);
void overlay_get_stats(struct block_device *overlay, struct overlay_stats *stats);

/* Forget all that was written. No request is under way. Boot CPU. */
void overlay_discard(struct block_device *overlay);
/*
 * Write what the overlay holds to its base, in bounded steps of block_poll(), flush the base, and
 * then forget it; done() is called on the boot CPU, by block_poll(). The caller has the base open
 * for writing. No other request is under way, nor until done(). When the base fails the overlay
 * keeps everything, also what was written already: it looks as before and can be committed again.
 * Boot CPU.
 */
void overlay_commit(struct block_device *overlay, void (*done)(void *argument, int error),
	void *argument);

#endif
