/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks on NVM Express: each namespace of 512 or 4096-byte blocks without metadata is a block
 * device nvme0, nvme1, ..., in the order in which they are found.
 */
#ifndef BALLAST_HOST_BLOCK_NVME_H
#define BALLAST_HOST_BLOCK_NVME_H

/*
 * Find and start the controllers and register their namespaces. Nothing is written. Boot CPU, once,
 * before there are guests: it waits for each controller, at most as long as that says it may take
 * to reset itself (CAP.TO), and serves interrupts meanwhile.
 */
void nvme_init(void);

#endif
