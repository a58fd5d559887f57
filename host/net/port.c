/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports: their queues, their rates, the machine's NICs, addresses for guests' NICs. */
#include "host/clock.h"
#include "host/net/internal.h"

/* A port may save up an eighth of a second of its rate, and always two of the largest packets. */
#define BURST_SHARE 8
#define BURST_LEAST (2 * NET_PACKET_BYTES)
#define RATE_MOST (1ULL << 48)

static struct list nics = LIST_INIT(nics); /* boot CPU */

bool net_port_pay(struct net_port *port, uint32_t bytes)
{
	uint64_t rate = MIN(__atomic_load_n(&port->rate_bytes, __ATOMIC_RELAXED), RATE_MOST);
	uint64_t burst = MAX(rate / BURST_SHARE, (uint64_t)BURST_LEAST);
	uint64_t now, elapsed, earned;

	if (!rate)
		return true;
	now = clock_now_ns();
	elapsed = now - port->refilled_ns;
	if (elapsed >= NS_PER_SEC * 60) {
		port->tokens_bytes = burst;
		port->refilled_ns = now;
	} else {
		/* Only whole bytes are earned: the time for the rest stays. */
		earned = mul_div(elapsed, rate, NS_PER_SEC);
		port->refilled_ns += mul_div(earned, NS_PER_SEC, rate);
		port->tokens_bytes = MIN(port->tokens_bytes + earned, burst);
	}
	if (port->tokens_bytes < bytes)
		return false;
	port->tokens_bytes -= bytes;
	return true;
}

/* Under the port's lock. */
static bool has_room(const struct net_port *port, uint32_t memory)
{
	return port->count < NET_PORT_QUEUE && port->queued_bytes + memory <= NET_QUEUE_BYTES &&
	       !__atomic_load_n(&port->down, __ATOMIC_RELAXED);
}

void net_port_queue(struct net_port *port, struct net_packet *const *packets, unsigned int count)
{
	unsigned int queued = 0;
	bool was_empty;

	spin_lock(&port->lock);
	was_empty = !port->count;
	for (; queued < count; queued++) {
		struct net_packet *packet = packets[queued];
		uint32_t memory = net_packet_memory(packet);

		if (!has_room(port, memory))
			break;
		port->queue[(port->first + port->count++) % NET_PORT_QUEUE] = packet;
		port->queued_bytes += memory;
		net_count(&port->received.packets, 1);
		net_count(&port->received.bytes, packet->bytes);
	}
	net_count(&port->received.dropped, count - queued);
	spin_unlock(&port->lock);
	if (was_empty && queued)
		port->deliver(port);
	for (; queued < count; queued++)
		net_packet_put(packets[queued]);
}

struct net_packet *net_take(struct net_port *port)
{
	struct net_packet *packet = NULL;

	spin_lock(&port->lock);
	if (port->count) {
		packet = port->queue[port->first];
		port->first = (port->first + 1) % NET_PORT_QUEUE;
		port->count--;
		port->queued_bytes -= net_packet_memory(packet);
	}
	spin_unlock(&port->lock);
	return packet;
}

void net_flush(struct net_port *port)
{
	struct net_packet *packet;

	/* Bounded: others may fill it meanwhile. */
	for (unsigned int i = 0; i < NET_PORT_QUEUE && (packet = net_take(port)); i++)
		net_packet_put(packet);
}

void net_nic_register(struct net_port *nic, unsigned int buffer_packets)
{
	nic->uplink = true;
	nic->any_source = true;
	nic->any_destination = true;
	net_pool_resize((int)buffer_packets);
	list_add_tail(&nics, &nic->link);
}

struct net_port *net_nic_at(size_t index)
{
	struct net_port *nic;

	list_for_each(nic, &nics, struct net_port, link)
		if (index-- == 0)
			return nic;
	return NULL;
}

/* Finalizer of a 64-bit hash: each bit of the input changes half of the output's. */
static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 33) * 0xff51afd7ed558ccdULL;
	value = (value ^ value >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return value ^ value >> 33;
}

void net_make_mac(uint8_t mac[ETH_ALEN])
{
	static uint64_t run; /* what tells this machine's start from others */
	static uint16_t number;

	if (!run)
		run = mix(clock_wall_ns() ^ mix(clock_tsc())) | 1;
	mac[0] = 0x02; /* locally administered, one station's */
	net_put32(mac + 1, (uint32_t)run);
	net_put16(mac + 4, number++);
}
