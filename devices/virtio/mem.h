/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-mem (Virtual I/O Device Version 1.2, "Memory Device"): RAM that a guest plugs and unplugs
 * while it runs, in blocks of 2 MiB of one region of its physical memory, to come to the size that
 * is requested. What is plugged is ept/guest_hotplug.h's: a reset of the VM unplugs all, a reset
 * of the device nothing.
 *
 * UNPLUGGED_INACCESSIBLE is offered; a driver that does not know it may read what is not there,
 * and gets ones. ACPI_PXM is not: there is one node.
 */
#ifndef BALLAST_DEVICES_VIRTIO_MEM_H
#define BALLAST_DEVICES_VIRTIO_MEM_H

#include "devices/virtio/virtio.h"

struct virtio_mem;

#define VIRTIO_MEM_BLOCK LARGE_PAGE_SIZE

/*
 * As virtio_add(), for a region that guest_hotplug_add() has made; *mem is gone with the VM. Before
 * the VM runs.
 */
int virtio_mem_create(struct vm *vm, struct pci *pci, gpa_t start, uint64_t bytes,
	struct virtio_mem **mem) __must_check;

/* The guest is to have so much of the region, in whole blocks. Any CPU, without vm.lock. */
void virtio_mem_request(struct virtio_mem *mem, uint64_t bytes);

struct virtio_mem_state {
	bool live;                /* the guest has a driver that runs */
	uint64_t requested_bytes;
	uint64_t plugged_bytes;
};
/* A look from outside, without vm.lock. */
struct virtio_mem_state virtio_mem_look(const struct virtio_mem *mem);

#endif
