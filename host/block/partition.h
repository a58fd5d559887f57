/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Partition tables: GPT (UEFI Specification, "GUID Partition Table Disk Layout") and MBR with
 * logical partitions. What a table says is not trusted: entries that overlap, or leave the disk,
 * are refused with a line in the log.
 */
#ifndef BALLAST_HOST_BLOCK_PARTITION_H
#define BALLAST_HOST_BLOCK_PARTITION_H

#include "host/block/block.h"

#define PARTITION_MAX 128 /* of a disk; further ones are ignored */

struct partition {
	unsigned int number;   /* as Linux has it: logical ones from 5 on */
	uint64_t first_sector; /* of 512 bytes, as all here */
	uint64_t sectors;
	char label[40];        /* printable ASCII */
	bool linux_swap;       /* its type says so */
};

/* Where a table is read from. */
struct partition_source {
	const char *name; /* for the log */
	uint64_t sectors;
	uint32_t logical_bytes; /* 512 or 4096 */
	/* The block of logical_bytes with this number. 0 or -E... */
	int (*read)(struct partition_source *source, uint64_t block, void *buffer);
};

/*
 * The partitions of a disk, in the order of their numbers in the table; how many. `page` is
 * scratch of PAGE_SIZE bytes. No other side effects than reading and lines in the log.
 */
size_t partition_parse(struct partition_source *source, void *page,
	struct partition list[PARTITION_MAX]);

/*
 * Read the table of `disk` and register a device NAMEpN for each partition. Boot CPU, before there
 * are guests: it waits for each of the reads (a few pages), serving interrupts meanwhile; that each
 * ends is the driver's promise.
 */
void partition_find(struct block_device *disk);

#endif
