/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An AHCI controller and its disks as the specifications have them, small, and strict: it fails the
 * test when it is used wrongly. Queued commands end in random order. Port 1 and port 4 have a disk,
 * port 3 an ATAPI device, 0 and 2 nothing.
 */
#ifndef BALLAST_TEST_FAKE_AHCI_H
#define BALLAST_TEST_FAKE_AHCI_H

#include "test/unit/disk_lab.h"

#define FAKE_AHCI_SECTORS 8192U /* of 512 bytes, of each disk */
#define FAKE_AHCI_PORTS 5
#define FAKE_AHCI_FIRST 1 /* ports with disks; the second one's sectors have 4096 bytes */
#define FAKE_AHCI_SECOND 4

struct fake_ahci {
	/* What it is. */
	struct disk_lab_model model;
	bool ncq, cache, trim, narrow, firmware_keeps;
	bool forgets_ports;       /* which it has, in a reset */
	unsigned int slots;
	/* What goes wrong, with the first disk. */
	unsigned int fail_at;     /* the N-th I/O command from now on, from 1, fails, */
	uint64_t bad_sector;      /* or each that touches this one; ~0: none */
	unsigned int lose_at;     /* or never ends */
	bool clears_failed;       /* a failed command that is not queued is not active any more */
	bool never_stops, no_link, never_ready; /* from the next recovery on */
	bool silent;              /* IDENTIFY DEVICE does not end */
	bool gone;                /* registers read as all ones */
	/* What happened. */
	unsigned int commands, writes, flushes, comresets, most_under_way;
	uint8_t contents[2][FAKE_AHCI_SECTORS * SECTOR_BYTES];
};

extern struct fake_ahci fake_ahci;

/* A good one, and the machine with it. */
void fake_ahci_reset(void);
/* Pull the first disk out, and perhaps plug in another one right after. */
void fake_ahci_unplug(bool another);

#endif
