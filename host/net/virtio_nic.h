/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network device of another hypervisor, when Ballast runs nested (virtio 1.2, "Network Device",
 * "Virtio Over PCI Bus", "Split Virtqueues"): one pair of queues, nothing offloaded. What the
 * device writes into its rings is checked: one that is wrong there is reset.
 */
#ifndef BALLAST_HOST_NET_VIRTIO_NIC_H
#define BALLAST_HOST_NET_VIRTIO_NIC_H

#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "host/net/nic.h"

/* A frame takes two descriptors: the header, and the packet. */
#define VIRTIO_NIC_DESCRIPTORS (2 * NIC_RING)

struct virtio_nic_rings {
	struct vring_desc descriptors[VIRTIO_NIC_DESCRIPTORS];
	struct {
		uint16_t flags, index, ring[VIRTIO_NIC_DESCRIPTORS];
	} available;
	struct {
		uint16_t flags, index;
		struct vring_used_elem ring[VIRTIO_NIC_DESCRIPTORS];
	} __aligned(4) used;
	/*
	 * One for all frames: those that are sent have nothing to say in it, and what is said in
	 * those that are received is not read.
	 */
	struct virtio_net_hdr_v1 header;
};

struct virtio_nic_queue {
	struct virtio_nic_rings *rings;
	struct net_packet **packets;      /* of the struct nic */
	unsigned int index;               /* 0: receives, 1: sends */
	unsigned int size;                /* descriptors: a power of two */
	uint32_t notify_offset;
	uint16_t available, used;         /* next entries of the rings */
	uint16_t free[NIC_RING];          /* slots that the device does not have */
	unsigned int free_count;
	bool broken;
};

/* Where the device's structures are in memory. */
struct virtio_nic_registers {
	volatile void *common, *notify, *config;
	uint64_t notify_bytes;
	uint32_t notify_multiplier;
};

struct virtio_nic {
	struct nic nic; /* the first */
	struct virtio_nic_registers registers;
	uint64_t features;
	struct virtio_nic_queue receive, send; /* [rx_lock], [tx_lock] */
};

/* virtio_nic_pci.c: find the structures, reset, negotiate; 0, -ENODEV, -EAGAIN, -EIO. */
int virtio_nic_find_registers(struct virtio_nic *virtio, struct host_pci_device *pci)
	__must_check;
void virtio_nic_reset(struct virtio_nic *virtio);
/* What the device offers of what is wanted; it is reset. */
int virtio_nic_offers(struct virtio_nic *virtio, uint64_t *features) __must_check;
/* Up to the queues, which are empty, and they with it. */
int virtio_nic_set_up(struct virtio_nic *virtio) __must_check;
void virtio_nic_notify(const struct virtio_nic *virtio, const struct virtio_nic_queue *queue);
/* The device's status byte. */
uint8_t virtio_nic_status(const struct virtio_nic *virtio);

#endif
