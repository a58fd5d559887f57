/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk (Virtual I/O Device Version 1.2, "Block Device") on a block device of the host. At
 * most 32 requests are under way at the disk at a time; the guest's others wait in its queues.
 */
#ifndef BALLAST_DEVICES_VIRTIO_BLK_H
#define BALLAST_DEVICES_VIRTIO_BLK_H

#include "devices/virtio/virtio.h"

struct virtio_blk;

/*
 * `serial` is what the guest reads by VIRTIO_BLK_T_GET_ID, at most 20 bytes. The backing device is
 * open, for as long as the VM lives: when only for reading, the guest's disk is read-only. As
 * virtio_add(); `out` lives as long as the VM.
 */
int virtio_blk_create(struct vm *vm, struct pci *pci, struct block_device *backing,
	const char *serial, struct virtio_blk **out) __must_check;
/* Requests that have not come back. Under vm.lock. */
unsigned int virtio_blk_in_flight(const struct virtio_blk *blk);

#endif
