/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Switches. A guest's NIC has one address, which is known from when it is plugged in; only what is
 * behind the machine's NICs, or a guest's that may use others' addresses, is learned. The machine's
 * NICs are leaves: no frame goes from one to another, so there are no loops.
 *
 * A port that is chosen under net.lock is pinned (port.senders) until its queue has the packet and
 * it has been told; net_unplug() waits for that.
 */
#include "host/clock.h"
#include "host/memory.h"
#include "host/net/internal.h"

#define HASHES 64
#define LEARNERS 8 /* ports of one switch behind which addresses are learned */

struct net_switch {
	char name[NET_NAME_BYTES];             /* [I] */
	struct spinlock lock;
	struct net_port *ports[NET_PORTS];     /* [lock] by index; written by the boot CPU alone */
	unsigned int port_end;                 /* [lock] no port at or above it */
	struct net_port *by_mac[HASHES];       /* [lock] linked by same_hash */
	struct net_port *learners[LEARNERS];   /* [lock] NULL: free */
};

static struct net_switch *switches[NET_SWITCHES]; /* boot CPU; never taken away */

/* A packet on its way, and what was made of it for ports that cannot take it as it is. */
struct journey {
	struct net_port *from;
	struct net_packet *packet;
	struct net_packet *plain[NET_SEGMENTS];
	unsigned int plain_count;
	bool plain_made;
};

struct net_switch *net_at(size_t index)
{
	return index < NET_SWITCHES ? switches[index] : NULL;
}

const char *net_name(const struct net_switch *net)
{
	return net->name;
}

struct net_switch *net_find(const char *name, bool create)
{
	size_t length = strlen(name), i = 0;

	for (; i < NET_SWITCHES && switches[i]; i++)
		if (strcmp(switches[i]->name, name) == 0)
			return switches[i];
	if (!create || i == NET_SWITCHES || !length || length >= NET_NAME_BYTES)
		return NULL;
	switches[i] = heap_alloc(sizeof(struct net_switch), FRAME_HOST);
	if (switches[i])
		memcpy(switches[i]->name, name, length + 1);
	return switches[i];
}

struct net_port *net_port_at(struct net_switch *net, size_t index)
{
	for (size_t i = 0; i < NET_PORTS; i++)
		if (net->ports[i] && index-- == 0)
			return net->ports[i];
	return NULL;
}

static unsigned int hash_of(const uint8_t *mac)
{
	return (mac[5] ^ mac[4] * 7U ^ mac[3] * 3U) % HASHES;
}

/* Under net.lock: the port that has this address. */
static struct net_port *owner_of(const struct net_switch *net, const uint8_t *mac)
{
	struct net_port *port = net->by_mac[hash_of(mac)];

	while (port && !net_mac_equal(port->mac, mac))
		port = port->same_hash;
	return port;
}

/* Under net.lock: the port behind which this address was seen last. */
static struct net_port *learned_of(const struct net_switch *net, const uint8_t *mac)
{
	struct net_port *found = NULL;
	uint64_t latest = 0;

	for (unsigned int i = 0; i < LEARNERS; i++) {
		struct net_port *port = net->learners[i];
		uint64_t at = port ? net_learned_at(port->learned, mac) : 0;

		if (at > latest) {
			latest = at;
			found = port;
		}
	}
	return found;
}

unsigned int net_learned_count(struct net_port *port)
{
	unsigned int count = 0;

	if (!port->net || !port->learned)
		return 0;
	spin_lock(&port->net->lock);
	count = net_learned_entries(port->learned);
	spin_unlock(&port->net->lock);
	return count;
}

/* Under net.lock. */
static int insert(struct net_switch *net, struct net_port *port)
{
	unsigned int index = 0, learner = 0;
	struct net_port **bucket = &net->by_mac[hash_of(port->mac)];

	while (index < NET_PORTS && net->ports[index])
		index++;
	while (port->learned && learner < LEARNERS && net->learners[learner])
		learner++;
	if (owner_of(net, port->mac))
		return -EEXIST;
	if (index == NET_PORTS || learner == LEARNERS)
		return -ENOSPC;
	net->ports[index] = port;
	net->port_end = MAX(net->port_end, index + 1);
	if (port->learned)
		net->learners[learner] = port;
	port->same_hash = *bucket;
	*bucket = port;
	port->net = net;
	port->index = index;
	return 0;
}

/* Under net.lock. */
static void take_out(struct net_switch *net, struct net_port *port)
{
	struct net_port **link = &net->by_mac[hash_of(port->mac)];

	while (*link != port)
		link = &(*link)->same_hash;
	*link = port->same_hash;
	net->ports[port->index] = NULL;
	while (net->port_end && !net->ports[net->port_end - 1])
		net->port_end--;
	for (unsigned int i = 0; i < LEARNERS; i++)
		if (net->learners[i] == port)
			net->learners[i] = NULL;
}

int net_plug(struct net_switch *net, struct net_port *port)
{
	int error;

	if (port->net)
		return -EBUSY;
	port->learned = port->any_source ? net_learned_create() : NULL;
	if (port->any_source && !port->learned)
		return -ENOMEM;
	spin_lock(&net->lock);
	error = insert(net, port);
	spin_unlock(&net->lock);
	if (error) {
		net_learned_destroy(port->learned);
		port->learned = NULL;
		return error;
	}
	net_pool_resize(NET_QUEUE_BYTES / PAGE_SIZE);
	return 0;
}

void net_unplug(struct net_port *port)
{
	if (!port->net)
		return;
	spin_lock(&port->net->lock);
	take_out(port->net, port);
	spin_unlock(&port->net->lock);
	/* Acquire: what they did to the queue is done. */
	while (__atomic_load_n(&port->senders, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
	net_flush(port);
	net_learned_destroy(port->learned);
	port->learned = NULL;
	port->net = NULL;
	net_pool_resize(-(int)(NET_QUEUE_BYTES / PAGE_SIZE));
}

static bool is_group(const uint8_t *mac)
{
	return mac[0] & 1;
}

/* IEEE 802.1D, "Reserved addresses": pause frames, spanning tree and the like end at a bridge. */
static bool is_reserved(const uint8_t *mac)
{
	static const uint8_t prefix[] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };

	return memcmp(mac, prefix, sizeof(prefix)) == 0 && mac[5] < 0x10;
}

/*
 * May this port send from this address? What is behind an uplink may be anybody but one of the
 * guests here: such a frame is a guest's own that came back, or pretends to be. Learns it.
 */
static bool check_source(struct net_port *from, const uint8_t *mac)
{
	struct net_switch *net = from->net;
	bool allowed;

	if (net_mac_equal(mac, from->mac))
		return true;
	if (!from->any_source)
		return false;
	spin_lock(&net->lock);
	allowed = !owner_of(net, mac);
	if (allowed)
		net_learn(from->learned, mac);
	spin_unlock(&net->lock);
	return allowed;
}

static bool may_go(const struct net_port *from, const struct net_port *to)
{
	return to != from && !(to->uplink && from->uplink);
}

/* Nobody knows the address: who may have it behind itself, or wants to see what is nobody's. */
static bool takes_unknown(const struct net_port *port)
{
	return port->any_source || __atomic_load_n(&port->any_destination, __ATOMIC_RELAXED);
}

static void pin(struct net_port *port)
{
	__atomic_fetch_add(&port->senders, 1, __ATOMIC_RELAXED);
}

static void unpin(struct net_port *port)
{
	__atomic_fetch_sub(&port->senders, 1, __ATOMIC_RELEASE);
}

/*
 * The one port that has this address, pinned. NULL: nobody has it (*unknown), or nothing is to be
 * sent there.
 */
static struct net_port *find_port(struct net_port *from, const uint8_t *mac, bool *unknown)
{
	struct net_switch *net = from->net;
	struct net_port *port;

	spin_lock(&net->lock);
	port = owner_of(net, mac);
	if (!port)
		port = learned_of(net, mac);
	*unknown = !port;
	if (port && !may_go(from, port))
		port = NULL;
	if (port)
		pin(port);
	spin_unlock(&net->lock);
	return port;
}

/* The next port at or above *index that a flooded frame goes to, pinned; *index is behind it. */
static struct net_port *next_port(struct net_port *from, bool group, unsigned int *index)
{
	struct net_switch *net = from->net;
	struct net_port *found = NULL;

	spin_lock(&net->lock);
	while (!found && *index < net->port_end) {
		struct net_port *port = net->ports[(*index)++];

		if (port && may_go(from, port) && (group || takes_unknown(port)))
			found = port;
	}
	if (found)
		pin(found);
	spin_unlock(&net->lock);
	return found;
}

static bool takes(const struct net_port *port, const struct net_packet *packet)
{
	if (packet->offload.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return __atomic_load_n(&port->takes_segments, __ATOMIC_RELAXED);
	return !(packet->offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	       __atomic_load_n(&port->takes_checksum, __ATOMIC_RELAXED);
}

/* What has nothing left to be done, made once for all ports that need it. */
static void make_plain(struct journey *journey)
{
	struct net_packet *packet = journey->packet;

	if (journey->plain_made)
		return;
	journey->plain_made = true;
	if (packet->offload.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		journey->plain_count = net_offload_segment(packet, journey->plain);
	} else {
		journey->plain[0] = net_packet_copy(packet);
		journey->plain_count = journey->plain[0] ? 1 : 0;
		if (journey->plain_count)
			net_offload_checksum(journey->plain[0]);
	}
	if (!journey->plain_count)
		net_count(&journey->from->sent.dropped, 1);
}

/* To one port, which is pinned and is not any more then. */
static void carry(struct journey *journey, struct net_port *port)
{
	struct net_packet *const *packets = &journey->packet;
	unsigned int count = 1;

	if (!takes(port, journey->packet)) {
		make_plain(journey);
		packets = journey->plain;
		count = journey->plain_count;
	}
	for (unsigned int i = 0; i < count; i++)
		net_packet_get(packets[i]);
	if (count)
		net_port_queue(port, packets, count);
	unpin(port);
}

static void flood(struct journey *journey, bool group)
{
	struct net_port *port;
	unsigned int index = 0, count = 0;

	while ((port = next_port(journey->from, group, &index))) {
		carry(journey, port);
		count++;
	}
	if (!count)
		net_count(&journey->from->sent.dropped, 1);
}

/*
 * To the one port it is for: the packet's own reference goes along, and a checksum is filled in
 * where it is, if nobody else has the packet.
 */
static void carry_to(struct journey *journey, struct net_port *port)
{
	struct net_packet *packet = journey->packet;

	if (!takes(port, packet) && packet->offload.gso_type == VIRTIO_NET_HDR_GSO_NONE &&
	    __atomic_load_n(&packet->references, __ATOMIC_ACQUIRE) == 1)
		net_offload_checksum(packet);
	carry(journey, port);
}

static void forward(struct net_port *from, struct net_packet *packet)
{
	struct journey journey;
	bool group = is_group(packet->data), unknown = true;
	struct net_port *port = group ? NULL : find_port(from, packet->data, &unknown);

	/* Not by an initialiser: that would clear all of plain[] for each frame. */
	journey.from = from;
	journey.packet = packet;
	journey.plain_count = 0;
	journey.plain_made = false;
	if (port)
		carry_to(&journey, port);
	else if (group ? !is_reserved(packet->data) : unknown)
		flood(&journey, group);
	else
		net_count(&from->sent.dropped, 1);
	for (unsigned int i = 0; i < journey.plain_count; i++)
		net_packet_put(journey.plain[i]);
}

/*
 * Only the machine's NICs vouch for a checksum. Segments for a group are nobody's: TCP has no such
 * thing.
 */
static bool is_sound(const struct net_port *from, struct net_packet *packet)
{
	static const uint8_t nobody[ETH_ALEN];
	const uint8_t *source = packet->data + ETH_ALEN;

	packet->offload.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM |
				 (from->uplink ? VIRTIO_NET_HDR_F_DATA_VALID : 0);
	return net_offload_check(packet) && !is_group(source) && !net_mac_equal(source, nobody) &&
	       (packet->offload.gso_type == VIRTIO_NET_HDR_GSO_NONE || !is_group(packet->data));
}

void net_send(struct net_port *from, struct net_packet *packet)
{
	if (!from->net) {
		net_count(&from->sent.dropped, 1);
	} else if (!is_sound(from, packet)) {
		net_count(&from->sent.malformed, 1);
	} else if (!check_source(from, packet->data + ETH_ALEN)) {
		net_count(&from->sent.spoofed, 1);
	} else if (!net_port_pay(from, packet->bytes)) {
		net_count(&from->sent.dropped, 1);
	} else {
		net_count(&from->sent.packets, 1);
		net_count(&from->sent.bytes, packet->bytes);
		forward(from, packet);
	}
	net_packet_put(packet);
}
