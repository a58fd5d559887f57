/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SATA disks on AHCI controllers: sata0, sata1, ..., in the order in which they are found. ATAPI
 * devices, port multipliers and disks without 48-bit addresses are passed over.
 */
#ifndef BALLAST_HOST_BLOCK_AHCI_H
#define BALLAST_HOST_BLOCK_AHCI_H

/*
 * Find and start the controllers and register their disks. Nothing is written. Boot CPU, once,
 * before there are guests: it waits for the disks of each controller, together and at most some
 * ten seconds, and serves interrupts meanwhile. A port without a disk costs 50 ms, all of them
 * together the same.
 */
void ahci_init(void);

#endif
