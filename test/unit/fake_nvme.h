/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NVMe controller as the specification has it, small, and strict: it fails the test when it is
 * used wrongly. Commands end in random order.
 */
#ifndef BALLAST_TEST_FAKE_NVME_H
#define BALLAST_TEST_FAKE_NVME_H

#include "test/unit/disk_lab.h"

#define FAKE_NVME_SECTORS 8192U /* of each namespace */

struct fake_nvme {
	/* What it is. */
	struct disk_lab_model model;
	uint32_t entries;     /* of its queues, at most */
	uint8_t mdts;
	bool volatile_cache, old; /* old: version 1.0, which lists no namespaces */
	unsigned int namespaces;  /* the second one has 4096-byte blocks */
	uint8_t metadata;         /* bytes with each block of the first one */
	uint8_t stride;
	/* What goes wrong. */
	unsigned int fail_at;     /* the N-th I/O command from now on, from 1, fails */
	unsigned int lose_at;     /* or never ends */
	bool deaf;                /* Abort does nothing */
	bool stuck;               /* it does not come up after a reset, */
	bool never_stops;         /* or does not stop for one */
	bool fatal;               /* CSTS.CFS, until it is reset */
	bool gone;                /* registers read as all ones */
	bool admin_deaf;          /* admin commands never end */
	bool bogus;               /* it completes what nobody asked for */
	/* What happened. */
	unsigned int commands, writes, flushes, resets, aborts, most_under_way;
	uint8_t contents[2][FAKE_NVME_SECTORS * SECTOR_BYTES];
};

extern struct fake_nvme fake_nvme;

/* A good one with one namespace, and the machine with it. */
void fake_nvme_reset(void);

#endif
