/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-net (Virtual I/O Device Version 1.2, "Network Device") at a switch of the host. */
#ifndef BALLAST_DEVICES_VIRTIO_NET_H
#define BALLAST_DEVICES_VIRTIO_NET_H

#include "devices/virtio/virtio.h"
#include "host/net/net.h"

struct virtio_net;

struct virtio_net_options {
	const char *name;      /* of the port: guest and number */
	uint8_t mac[ETH_ALEN];
	uint64_t rate_bytes;   /* a second, that it may send; 0: no limit */
};

/*
 * Plugged into `net` from now until the VM is destroyed. As virtio_add(), and net_plug(): when that
 * refuses, nothing has been made. Boot CPU.
 */
int virtio_net_create(struct vm *vm, struct pci *pci, struct net_switch *net,
	const struct virtio_net_options *options, struct virtio_net **out) __must_check;
struct net_port *virtio_net_port(struct virtio_net *nic);

#endif
