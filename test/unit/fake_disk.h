/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk of the build machine: windows of memory in a large device, done at once or when the test says so, in any
 * order, with sectors that fail. And the boot CPU's side of block_defer().
 */
#ifndef BALLAST_TEST_FAKE_DISK_H
#define BALLAST_TEST_FAKE_DISK_H

#include "host/block/block.h"

#define FAKE_DISK_WINDOWS 3
#ifndef FAKE_DISK_WINDOW_SECTORS /* fuzzing wants less */
#define FAKE_DISK_WINDOW_SECTORS (MIB(6) / SECTOR_BYTES)
#endif
#define FAKE_DISK_SECTORS (GIB(2) / SECTOR_BYTES + 12344)
#define FAKE_DISK_CELLS (FAKE_DISK_WINDOWS * FAKE_DISK_WINDOW_SECTORS)
#define FAKE_DISK_PENDING 64

struct fake_disk {
	struct block_device device;
	uint8_t (*data)[SECTOR_BYTES];    /* FAKE_DISK_CELLS of them; elsewhere it is zero, and stays so */
	bool *bad;                        /* likewise: a request that touches one fails with -EIO */
	bool asynchronous;
	int64_t until_failure;            /* that many requests are served yet; negative: all */
	struct block_request *pending[FAKE_DISK_PENDING];
	unsigned int pending_count;
	unsigned int requests, flushes;
};

/* Windows at the start, around 1 GiB, and at the end. */
uint64_t fake_disk_window(unsigned int window);
/* A sector's index in `data` and `bad`; FAKE_DISK_CELLS: it is in no window. */
size_t fake_disk_cell(uint64_t sector);

void fake_disk_init(struct fake_disk *disk);
void fake_disk_free(struct fake_disk *disk);
/* End the `which`-th of those pending. */
void fake_disk_complete(struct fake_disk *disk, unsigned int which);
/* End all, in an order that draw(how many are left) gives, and do what that asks the boot CPU for. */
void fake_disk_run(struct fake_disk *disk, uint32_t (*draw)(uint32_t below));

extern unsigned int fake_disk_notified; /* how often the boot CPU was */

#endif
