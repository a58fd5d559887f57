/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two halves of virtio-net have between themselves: packets, and the control queue. */
#ifndef BALLAST_DEVICES_VIRTIO_NET_INTERNAL_H
#define BALLAST_DEVICES_VIRTIO_NET_INTERNAL_H

#include "devices/virtio/net.h"

#define NET_FILTER_ADDRESSES 32 /* of each kind; with more, all of the kind come through */

enum {
	NET_QUEUE_RECEIVE,
	NET_QUEUE_TRANSMIT,
	NET_QUEUE_CONTROL,
	NET_QUEUES
};

struct net_addresses {
	uint8_t mac[NET_FILTER_ADDRESSES][ETH_ALEN];
	unsigned int count;
	bool overflow; /* there were more */
};

/* What the guest wants to receive (virtio 1.2, "Packet Receive Filtering"). */
struct net_filter {
	bool promiscuous, all_multicast, all_unicast;
	bool no_multicast, no_unicast, no_broadcast;
	struct net_addresses unicast, multicast;
};

/* All but the port under vm.lock. */
struct virtio_net {
	struct virtio_device virtio;
	struct virtio_ring rings[NET_QUEUES];
	struct net_port port;
	struct vm_work receive, transmit, control;
	struct net_packet *waiting;        /* the guest had no buffers for it; NULL: none */
	uint64_t guest_offloads;           /* the VIRTIO_NET_F_GUEST_... that are on */
	struct net_filter filter;
	struct virtio_chain chain, merged; /* popped just now: too large for the stack */
};

/* As after a reset: all that comes. */
void net_filter_reset(struct virtio_net *nic);
bool net_filter_passes(const struct net_filter *filter, const struct virtio_net *nic,
	const uint8_t *destination);
/* Tell the switch what the guest takes now. */
void net_set_guest_offloads(struct virtio_net *nic, uint64_t offloads);
/* Serve the control queue, some commands of it. */
void net_serve_control(struct virtio_net *nic);

#endif
