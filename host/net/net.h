/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's network: packets, and switches that carry them between ports, which are guests' NICs
 * and those of the machine. A packet's contents do not change once it was sent, so that a packet
 * for many ports exists once.
 *
 * Locks: each port's queue has one and each switch one for its table of addresses, both below
 * vm.lock and below a driver's own; none is held when deliver() is called.
 */
#ifndef BALLAST_HOST_NET_NET_H
#define BALLAST_HOST_NET_NET_H

#include <linux/if_ether.h>
#include <linux/virtio_net.h>

#include "host/lock.h"
#include "lib/list.h"

#define NET_NAME_BYTES 32
/* An Ethernet frame with a segmentation offload's 64 KiB behind its headers. */
#define NET_PACKET_BYTES (65536 + 256)
/* What fits the small kind of packet, which is what a NIC without offloads receives. */
#define NET_SMALL_BYTES 1792
#define NET_PORT_QUEUE 256 /* packets that wait for one port; more are dropped and counted */
#define NET_QUEUE_BYTES KIB(512) /* and so many bytes */

/* One frame, without FCS. */
struct net_packet {
	uint32_t references;           /* [a] */
	uint32_t bytes;                /* [I] once sent */
	uint32_t room;                 /* [I] */
	/*
	 * Work that the sender left to be done: a checksum to be filled in, segments to be cut
	 * (virtio 1.2, "Device Operation" of network devices). Validated when it was made.
	 */
	struct virtio_net_hdr_v1 offload;
	uint8_t data[];
};

/* With room for `bytes`, at most NET_PACKET_BYTES; NULL when there is no memory. Any CPU. */
struct net_packet *net_packet_alloc(uint32_t bytes) __must_check;
void net_packet_put(struct net_packet *packet);

struct net_switch;

struct net_counters {
	uint64_t packets, bytes;
	uint64_t dropped;   /* the port's queue was full, or it was over its rate */
	uint64_t spoofed;   /* sent with a source address that is not the port's */
	uint64_t malformed;
};

/* The link to a switch, embedded in the NIC's structure. The first fields are the NIC's. */
struct net_port {
	char name[NET_NAME_BYTES + 16]; /* [I] guest and number, or the machine's NIC */
	uint8_t mac[ETH_ALEN];          /* [I] */
	bool any_source;                /* [I] an uplink: others' addresses come from there */
	bool any_destination;           /* [a] promiscuous: gets what is for nobody it knows */
	/* What a receiver can do itself; the switch does the rest before it queues a packet. */
	bool takes_checksum, takes_segments; /* [a] */
	uint64_t rate_bytes;            /* [a] a second, that it may send; 0: no limit */
	/*
	 * The queue is not empty any more. Any CPU, no lock of the network's held; the sender's
	 * vm.lock may be, so it must not take one: it queues work.
	 */
	void (*deliver)(struct net_port *port);

	struct net_switch *net;         /* [I] while plugged */
	struct list link;               /* [net.lock] */
	struct spinlock lock;
	struct net_packet *queue[NET_PORT_QUEUE]; /* [lock] */
	unsigned int first, count;      /* [lock] */
	uint64_t queued_bytes;          /* [lock] */
	uint64_t tokens_bytes, refilled_ns; /* [lock] of the rate's token bucket */
	struct net_counters sent, received; /* [a] */
};

/* The switch of this name, made if there is none. NULL: no memory, or too many. Boot CPU. */
struct net_switch *net_find(const char *name, bool create);
struct net_switch *net_at(size_t index);
const char *net_name(const struct net_switch *net);
/* The index-th port that is plugged; NULL after the last. Boot CPU. */
struct net_port *net_port_at(struct net_switch *net, size_t index);

/* Plug in and out. After net_unplug() nothing comes to the port any more. Boot CPU. */
void net_plug(struct net_switch *net, struct net_port *port);
void net_unplug(struct net_port *port);

/*
 * A frame from this port; the packet is the network's from now on. It is checked (length, source
 * address, offload fields), its sender learned, and queued at the ports it is for. Any CPU.
 */
void net_send(struct net_port *from, struct net_packet *packet);
/* The next frame for this port, the caller's from now on, or NULL. Any CPU. */
struct net_packet *net_take(struct net_port *port);
/* Throw away what waits. */
void net_flush(struct net_port *port);

/* A locally administered address that no other port of this run has. */
void net_make_mac(uint8_t mac[ETH_ALEN]);

/* The machine's NICs, each a port ready to be plugged in: nic0, nic1, ... Boot CPU. */
struct net_port *net_nic_at(size_t index);
/* For NIC drivers: join the list. */
void net_nic_register(struct net_port *nic);
/* Start the NICs' drivers. Boot CPU, once: boot/main.c. */
void net_init(void);

#endif
