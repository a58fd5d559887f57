/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-net's control queue (virtio 1.2, "Control Virtqueue" of network devices). */
#include "devices/virtio/net_internal.h"
#include "lib/string.h"

/* Commands in one go. */
#define CONTROL_BATCH 8

#define GUEST_OFFLOADS                                                                             \
	(BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6))

void net_filter_reset(struct virtio_net *nic)
{
	memset(&nic->filter, 0, sizeof(nic->filter));
	/* A driver that never says what it wants is not to miss anything. */
	nic->filter.all_multicast = true;
	__atomic_store_n(&nic->port.any_destination, false, __ATOMIC_RELAXED);
}

static bool contains(const struct net_addresses *addresses, const uint8_t *mac)
{
	for (unsigned int i = 0; i < addresses->count; i++)
		if (memcmp(addresses->mac[i], mac, ETH_ALEN) == 0)
			return true;
	return addresses->overflow;
}

bool net_filter_passes(const struct net_filter *filter, const struct virtio_net *nic,
	const uint8_t *destination)
{
	static const uint8_t broadcast[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (memcmp(destination, broadcast, ETH_ALEN) == 0)
		return !filter->no_broadcast;
	if (destination[0] & 1)
		return !filter->no_multicast &&
		       (filter->promiscuous || filter->all_multicast ||
			       contains(&filter->multicast, destination));
	return !filter->no_unicast &&
	       (memcmp(destination, nic->port.mac, ETH_ALEN) == 0 || filter->promiscuous ||
		       filter->all_unicast || contains(&filter->unicast, destination));
}

void net_set_guest_offloads(struct virtio_net *nic, uint64_t offloads)
{
	bool checksum = offloads & BIT(VIRTIO_NET_F_GUEST_CSUM);
	bool segments = checksum && (offloads & BIT(VIRTIO_NET_F_GUEST_TSO4)) &&
			(offloads & BIT(VIRTIO_NET_F_GUEST_TSO6));

	nic->guest_offloads = offloads & GUEST_OFFLOADS;
	__atomic_store_n(&nic->port.takes_checksum, checksum, __ATOMIC_RELAXED);
	__atomic_store_n(&nic->port.takes_segments, segments, __ATOMIC_RELAXED);
}

/* A command's parameter at byte `at`, all of it. */
static bool read_parameter(struct virtio_net *nic, uint32_t at, void *to, uint32_t bytes)
{
	return chain_read(&nic->rings[NET_QUEUE_CONTROL], &nic->chain, at, to, bytes) == bytes;
}

static bool set_mode(struct virtio_net *nic, uint8_t command, uint32_t at)
{
	bool *const modes[] = {
		[VIRTIO_NET_CTRL_RX_PROMISC] = &nic->filter.promiscuous,
		[VIRTIO_NET_CTRL_RX_ALLMULTI] = &nic->filter.all_multicast,
		[VIRTIO_NET_CTRL_RX_ALLUNI] = &nic->filter.all_unicast,
		[VIRTIO_NET_CTRL_RX_NOMULTI] = &nic->filter.no_multicast,
		[VIRTIO_NET_CTRL_RX_NOUNI] = &nic->filter.no_unicast,
		[VIRTIO_NET_CTRL_RX_NOBCAST] = &nic->filter.no_broadcast,
	};
	uint8_t on;

	if (command >= ARRAY_SIZE(modes) || !read_parameter(nic, at, &on, sizeof(on)))
		return false;
	*modes[command] = on;
	return true;
}

/* One of the two lists of a table at byte *at, which is behind it then. */
static bool read_addresses(struct virtio_net *nic, uint32_t *at, struct net_addresses *addresses)
{
	uint32_t count;

	if (!read_parameter(nic, *at, &count, sizeof(count)))
		return false;
	*at += sizeof(count);
	if (!range_within(*at, (uint64_t)count * ETH_ALEN, nic->chain.readable_bytes))
		return false;
	addresses->count = MIN(count, (uint32_t)NET_FILTER_ADDRESSES);
	addresses->overflow = count > NET_FILTER_ADDRESSES;
	if (!read_parameter(nic, *at, addresses->mac, addresses->count * ETH_ALEN))
		return false;
	*at += count * ETH_ALEN;
	return true;
}

static bool set_table(struct virtio_net *nic, uint32_t at)
{
	struct net_addresses unicast, multicast;

	if (!read_addresses(nic, &at, &unicast) || !read_addresses(nic, &at, &multicast))
		return false;
	nic->filter.unicast = unicast;
	nic->filter.multicast = multicast;
	return true;
}

/* A guest has the address that it got, and cannot be reached by another. */
static bool set_address(struct virtio_net *nic, uint32_t at)
{
	uint8_t mac[ETH_ALEN];

	return read_parameter(nic, at, mac, sizeof(mac)) &&
	       memcmp(mac, nic->port.mac, ETH_ALEN) == 0;
}

static bool set_offloads(struct virtio_net *nic, uint32_t at)
{
	uint64_t offloads;

	if (!read_parameter(nic, at, &offloads, sizeof(offloads)))
		return false;
	if (offloads & ~(nic->virtio.features & GUEST_OFFLOADS))
		return false;
	net_set_guest_offloads(nic, offloads);
	return true;
}

static bool obey(struct virtio_net *nic)
{
	struct virtio_net_ctrl_hdr header;
	uint32_t at = sizeof(header);

	if (!read_parameter(nic, 0, &header, sizeof(header)))
		return false;
	switch (header.class) {
	case VIRTIO_NET_CTRL_RX:
		return set_mode(nic, header.cmd, at);
	case VIRTIO_NET_CTRL_MAC:
		if (header.cmd == VIRTIO_NET_CTRL_MAC_TABLE_SET)
			return set_table(nic, at);
		return header.cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET && set_address(nic, at);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return header.cmd == VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET && set_offloads(nic, at);
	default:
		return false;
	}
}

static void serve_command(struct virtio_net *nic)
{
	struct virtio_ring *ring = &nic->rings[NET_QUEUE_CONTROL];
	const struct net_filter *filter = &nic->filter;
	uint8_t answer = obey(nic) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	uint32_t written = chain_write(ring, &nic->chain, 0, &answer, sizeof(answer));

	ring_push(ring, nic->chain.head, written);
	/* What the switch does not know is for nobody else, so it costs others nothing. */
	__atomic_store_n(&nic->port.any_destination,
		filter->promiscuous || filter->all_unicast || filter->unicast.count,
		__ATOMIC_RELAXED);
}

void net_serve_control(struct virtio_net *nic)
{
	struct virtio_ring *ring = &nic->rings[NET_QUEUE_CONTROL];
	unsigned int left = CONTROL_BATCH;

	ring_want_notifications(ring, false);
	do {
		while (left && ring_pop(ring, &nic->chain) > 0) {
			serve_command(nic);
			left--;
		}
	} while (left && ring_want_notifications(ring, true));
	virtio_signal(&nic->virtio, NET_QUEUE_CONTROL);
	if (!left)
		vm_work_queue(nic->virtio.device.vm, &nic->control);
}
