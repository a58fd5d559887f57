/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages of guests on a partition of a disk, in slots of 4 KiB. All that is written is encrypted by
 * ChaCha20 with a key that is made at the start and never leaves the memory: after that start
 * nobody can read it, Ballast neither. A checksum of each page, kept in memory, tells whether what
 * comes back is what went out.
 *
 * Nothing waits: pages go out in batches, encrypted in steps beside the guests, and come back alone
 * or with neighbours. There is no way to wait for a page where none may be lost: the drivers of
 * disks have no polling but through interrupts and timers, which no handler of an exit lets in. A
 * page that is needed at once makes its vCPU wait.
 *
 * Locks: swap.lock is a leaf. Who ends a VM waits until no batch or read of its pages is under way.
 */
#ifndef BALLAST_BALLOON_SWAP_H
#define BALLAST_BALLOON_SWAP_H

#include "host/block/block.h"

#define SWAP_BATCH_PAGES 16
#define SWAP_READ_PAGES 16
#define SWAP_SLOT_BITS 40
#define SWAP_NONE 0 /* no slot */

struct swap_stats {
	const char *device;    /* NULL: there is no swap */
	bool failing;          /* nothing is written any more: it failed too often */
	uint64_t slots, used;  /* of 4 KiB */
	uint64_t bad;          /* of those used: a write to them failed */
	uint64_t written, read; /* pages, since the start */
	uint64_t write_errors; /* pages that stayed where they were */
	uint64_t read_errors;  /* pages that did not come back */
	uint64_t damaged;      /* pages that came back as something else */
	uint64_t record_bytes; /* memory that is taken for all of it */
};

/* What the operator says of it. */
#define SWAP_OPEN_ERASE BIT(0) /* whatever is on it is not needed */
#define SWAP_OPEN_TRIAL BIT(1) /* a file of the boot volume will do: to see how swapping goes */

/*
 * Use the disk or partition for swapping, at most `most_bytes` of it. Refused, with a line in the
 * log that names the remedy, is all that may hold something: a partition must have the type of
 * Linux swap, and begin as `mkswap` leaves it, or with zeroes; with SWAP_OPEN_ERASE any partition
 * will do, or a disk without partitions, and its first 4 KiB are zeroed. They are never written
 * otherwise. A file of the boot volume lies in memory, so that nothing is gained by it: refused
 * without SWAP_OPEN_TRIAL. The device is then nobody else's. Boot CPU, once, before there are
 * guests: it waits for the disk and serves interrupts meanwhile. -ENODEV, -EBUSY, -EINVAL, -EIO,
 * -ENOMEM.
 */
int swap_open(const char *name, unsigned int allowed, uint64_t most_bytes) __must_check;
#ifdef BALLAST_UNIT_TEST
void swap_test_close(void);
#endif

/* There is a disk, it works and it has room. Any CPU. */
bool swap_available(void);

struct swap_batch;

/* Pages of a batch in adjacent slots: one request. swap.c's own. */
struct swap_run {
	struct block_request request;
	struct block_segment segment;
	struct swap_batch *batch;
	unsigned int first, count; /* of the batch's pages */
};

/* Pages on their way out. The owner keeps it, and the pages as they are, until done(). */
struct swap_batch {
	const void *pages[SWAP_BATCH_PAGES]; /* NULL: load() fetches what is written */
	unsigned int count;
	/*
	 * Fill `page` with what the index-th slot is to hold, when it is its turn: how many bytes,
	 * PAGE_SIZE or fewer; fewer are sooner encrypted. 0: there is nothing to write, the slot
	 * gets anything. Boot CPU, under no lock.
	 */
	unsigned int (*load)(struct swap_batch *batch, unsigned int index, void *page);
	void (*done)(struct swap_batch *batch);

	/* For done(): where each page is. SWAP_NONE: not written, it is to stay. */
	uint64_t slots[SWAP_BATCH_PAGES];
	int error; /* the first; 0: all were written */

	/* swap.c's own */
	struct block_work work;
	uint8_t *cipher;
	unsigned int encrypted; /* pages */
	unsigned int run_count;
	unsigned int runs_left; /* [a] under way; and one while they are being submitted */
	struct swap_run runs[SWAP_BATCH_PAGES];
};

/*
 * Begin to write a batch. There may be fewer slots than pages: `count` is then less. done() is
 * called on the boot CPU, by block_poll(), under no lock, never before this returns. -ENODEV:
 * swap_available() says no; -ENOSPC: no slot; -EBUSY: too many batches are under way. Boot CPU.
 */
int swap_out(struct swap_batch *batch) __must_check;

/* Pages in adjacent slots on their way back. */
struct swap_read {
	uint64_t slot;         /* the first one */
	unsigned int count;
	void *pages[SWAP_READ_PAGES];
	void (*done)(struct swap_read *read);

	/* swap.c's own; request.error is for done(), too */
	struct block_request request;
	struct block_segment segments[SWAP_READ_PAGES];
};

/*
 * Begin to read; the slots stay in use. True: it is over, done() will not be called. False: it
 * will, on any CPU, under no lock but those of that CPU's own interrupt service. For each page
 * swap_in_finish() is due then, or never. Any CPU.
 */
bool swap_in(struct swap_read *read) __must_check;
/*
 * Decrypt what was read of the slot into `page`, and check it: some 35000 instructions for all of
 * a page, better in the guest's own turn than in done(). `error` is the read's. How many bytes were
 * written, up to the next multiple of 64; zeroes are behind them. -EIO: it is lost, and its VM
 * cannot go on. Any CPU.
 */
int swap_in_finish(uint64_t slot, int error, const void *read, void *page) __must_check;

/* The slot's page is not needed any more; no read of it is under way. Any CPU. */
void swap_drop(uint64_t slot);

void swap_get_stats(struct swap_stats *stats);

#endif
