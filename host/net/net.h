/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's network: packets, and switches that carry them between ports, which are guests' NICs
 * and those of the machine. A packet's contents do not change once it was sent, so that a packet
 * for many ports exists once.
 *
 * Locks: each port's queue has one, each switch one for its ports and addresses, the pool of
 * packets one. All are below vm.lock and below a driver's own, no two of them are ever held at
 * once, and none is when deliver() is called.
 */
#ifndef BALLAST_HOST_NET_NET_H
#define BALLAST_HOST_NET_NET_H

#include <linux/if_ether.h>
#include <linux/virtio_net.h>

#include "host/lock.h"
#include "lib/list.h"

#define NET_NAME_BYTES 32
#define NET_SWITCHES 16
#define NET_PORTS 128 /* of one switch */
#define NET_MTU 1500
/* The longest frame that is not left to be cut into segments: one 802.1Q tag, no FCS. */
#define NET_FRAME_BYTES (ETH_HLEN + 4 + NET_MTU)
/* An Ethernet frame with a segmentation offload's 64 KiB behind its headers. */
#define NET_PACKET_BYTES (65536 + 256)
#define NET_SEGMENTS 64 /* that one packet may be cut into */
/* A packet is a page with its first part in it, and further pages. */
#define NET_SMALL_BYTES 3904
#define NET_MORE_PAGES 16
#define NET_PORT_QUEUE 256 /* packets that wait for one port; more are dropped and counted */
#define NET_QUEUE_BYTES MIB(1) /* and so much memory in them, whole pages */

/* One frame, without FCS. All of it is in a page of its own: data[] is fit for DMA. */
struct net_packet {
	uint32_t references;           /* [a] */
	uint32_t bytes;                /* [I] once sent */
	uint32_t room;                 /* [I] */
	/*
	 * Work that the sender left to be done: a checksum to be filled in, segments to be cut
	 * (virtio 1.2, "Device Operation" of network devices). net_send() checks it against the
	 * frame, and drops what does not fit together.
	 */
	struct virtio_net_hdr_v1 offload;
	struct net_packet *next;       /* the pool's; a holder's own while it is not sent */
	uint8_t *more[NET_MORE_PAGES]; /* [I] what follows data[], up to `room` */
	uint8_t data[NET_SMALL_BYTES] __aligned(64);
};
_Static_assert(sizeof(struct net_packet) == PAGE_SIZE, "a packet is a page");
_Static_assert(NET_SMALL_BYTES + NET_MORE_PAGES * PAGE_SIZE >= NET_PACKET_BYTES, "room for all");

/*
 * With room for `bytes`, at most NET_PACKET_BYTES, one reference, no offload; its contents are not
 * initialised and `bytes` is 0. What fits NET_SMALL_BYTES lies in data[] alone. NULL: no memory, or
 * packets have their share of it (see net_plug()). Any CPU.
 */
struct net_packet *net_packet_alloc(uint32_t bytes) __must_check;
void net_packet_get(struct net_packet *packet);
void net_packet_put(struct net_packet *packet);
/* Byte `at` of a packet, which is below `room`, and how far its memory is contiguous from there. */
uint8_t *net_packet_at(struct net_packet *packet, uint32_t at, uint32_t *run);
/* Copy; `at` + `bytes` is at most `room`. */
void net_packet_read(struct net_packet *packet, uint32_t at, void *to, uint32_t bytes);
void net_packet_write(struct net_packet *packet, uint32_t at, const void *from, uint32_t bytes);
/* The memory that it takes, and all of them take: for the console and the tests. */
uint32_t net_packet_memory(const struct net_packet *packet);
uint64_t net_pool_bytes(void);

struct net_switch;

struct net_counters {
	uint64_t packets, bytes;
	/*
	 * Sent: over the port's rate, for nobody, or no memory for what was to be done to it
	 * (counted among the packets then).
	 * Received: the port's queue was full.
	 */
	uint64_t dropped;
	uint64_t spoofed;   /* sent with a source address that is not the port's */
	uint64_t malformed; /* too short, too long, or not what its offload fields say */
};

/* The link to a switch, embedded in the NIC's structure. The first fields are the NIC's. */
struct net_port {
	char name[NET_NAME_BYTES + 16]; /* [I] guest and number, or the machine's NIC */
	uint8_t mac[ETH_ALEN];          /* [I] */
	/* The machine's NIC: what nobody here knows goes there, but never from one to another. */
	bool uplink;                    /* [I] net_nic_register() sets it, and any_source */
	bool any_source;                /* [I] others' addresses come from there, and are learned */
	bool any_destination;           /* [a] promiscuous: gets what is for nobody it knows */
	bool down;                      /* [a] nobody is there: nothing is queued, all is dropped */
	/* What a receiver can do itself; the switch does the rest before it queues a packet. */
	bool takes_checksum, takes_segments; /* [a] segments: TCP's over IPv4 and IPv6 */
	uint64_t rate_bytes;            /* [a] a second, that it may send; 0: no limit */
	/*
	 * The queue is not empty any more: a packet came to an empty one. Any CPU, no lock of the
	 * network's held; the sender's vm.lock may be, so it must not take one: it queues work.
	 */
	void (*deliver)(struct net_port *port);

	struct net_switch *net;         /* [I] while plugged */
	unsigned int index;             /* [I] while plugged: among the switch's ports */
	uint32_t senders;               /* [a] who put something into its queue just now */
	struct net_port *same_hash;     /* [net.lock] */
	struct net_learned *learned;    /* [net.lock] addresses seen there; NULL: none can be */
	struct list link;               /* boot CPU: in the list of NICs */
	struct spinlock lock;
	struct net_packet *queue[NET_PORT_QUEUE]; /* [lock] */
	unsigned int first, count;      /* [lock] */
	uint64_t queued_bytes;          /* [lock] */
	uint64_t tokens_bytes, refilled_ns; /* the sender's: of the rate's token bucket */
	struct net_counters sent, received; /* [a] */
};

/* The switch of this name, made if there is none. NULL: no memory, or too many. Boot CPU. */
struct net_switch *net_find(const char *name, bool create);
struct net_switch *net_at(size_t index);
const char *net_name(const struct net_switch *net);
/* The index-th port that is plugged; NULL after the last. Boot CPU. */
struct net_port *net_port_at(struct net_switch *net, size_t index);
/* Addresses that were seen behind this port lately. */
unsigned int net_learned_count(struct net_port *port);

/*
 * Plug in and out. Each port that is plugged in lets packets take so much more memory that its full
 * queue takes nothing from others. -EEXIST: the address is taken on this switch; -ENOSPC, -ENOMEM.
 * After net_unplug() nothing comes to the port any more, and its queue is empty; it waits for
 * senders that are about to, so the caller holds no lock that deliver() takes. The owner no longer
 * sends. -EBUSY: it is plugged in already. Boot CPU.
 */
int net_plug(struct net_switch *net, struct net_port *port) __must_check;
void net_unplug(struct net_port *port);

/*
 * A frame from this port; the packet is the network's from now on. It is checked (length, source
 * address, offload fields), its sender learned, and queued at the ports it is for; from a port that
 * is not plugged in it is dropped. Any CPU; one at a time for each port.
 */
void net_send(struct net_port *from, struct net_packet *packet);
/* The next frame for this port, the caller's from now on, or NULL. Any CPU. */
struct net_packet *net_take(struct net_port *port);
/* Throw away what waits. */
void net_flush(struct net_port *port);

/* A locally administered address that no other port of this run has. Boot CPU. */
void net_make_mac(uint8_t mac[ETH_ALEN]);

/* The machine's NICs, each a port ready to be plugged in: nic0, nic1, ... Boot CPU. */
struct net_port *net_nic_at(size_t index);
/*
 * For NIC drivers: join the list. `buffer_packets` is how many packets it holds for receiving and
 * sending: packets may take so many pages more.
 */
void net_nic_register(struct net_port *nic, unsigned int buffer_packets);
/* Start the NICs' drivers. Boot CPU, once: boot/main.c. */
void net_init(void);

#endif
