/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an overlay holds: three levels of tables of 512 entries, each a frame of 4 KiB but for the
 * root, which has one entry for each GiB of the device. A leaf's entry is of a page of 8 sectors:
 * the page's address, and which of its sectors are the overlay's own. Own sectors without a page
 * are zero.
 *
 * The caller holds the overlay's lock.
 */
#ifndef BALLAST_HOST_BLOCK_OVERLAY_MAP_H
#define BALLAST_HOST_BLOCK_OVERLAY_MAP_H

#include "host/block/block.h"

#define OVERLAY_PAGE_SECTORS 8U

struct overlay_map {
	uint64_t *root;          /* [I] */
	size_t root_count;       /* [I] */
	uint64_t limit_frames;   /* [I] for pages and tables */
	uint64_t pages, tables;  /* frames in use */
};

enum overlay_kind {
	OVERLAY_BASE, /* not the overlay's */
	OVERLAY_ZERO,
	OVERLAY_DATA,
};

/* Sectors that follow one another and are of one kind; own ones end with their page. */
struct overlay_run {
	enum overlay_kind kind;
	uint64_t sectors; /* more of the kind may follow */
	hpa_t data;       /* of OVERLAY_DATA */
};

/* Empty. -ENOMEM, -EFBIG. */
int overlay_map_init(struct overlay_map *map, uint64_t sectors, uint64_t limit_bytes) __must_check;
void overlay_map_destroy(struct overlay_map *map);

/* What is at `sector`, `max` sectors at most. */
struct overlay_run overlay_map_run(const struct overlay_map *map, uint64_t sector, uint64_t max);

/* A write request's data. -ENOSPC, and nothing has changed. */
int overlay_map_write(struct overlay_map *map, const struct block_request *request) __must_check;
/* The same with zeroes. */
int overlay_map_zero(struct overlay_map *map, uint64_t sector, uint64_t sectors) __must_check;
/* The sectors are the base's again. */
void overlay_map_discard(struct overlay_map *map, uint64_t sector, uint64_t sectors);
/* Forget about 2 MiB `parts` times. True: nothing is left. */
bool overlay_map_drop(struct overlay_map *map, unsigned int parts);

#endif
