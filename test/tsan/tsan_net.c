/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A switch between CPUs that send to each other, to everybody, and to ports that the boot CPU plugs in and out
 * meanwhile. Checked: frames of one sender come in their order and whole; nothing comes to a port that is out,
 * and nothing waits there; a port that has frames was told; every packet is given back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/memory.h"
#include "host/net/internal.h"
#include "test/tsan/machine.h"

#define CPUS 5
#define SENDERS (CPUS - 1)
#define VISITORS 3 /* ports of the boot CPU, which come and go */
#define PAYLOAD 200

static struct station {
	struct net_port port;
	uint32_t told;            /* [a] deliver() was called since it was last asked */
	uint32_t out;             /* [a] it is not plugged in: nothing may come */
	uint32_t deliveries;      /* [a] */
	uint64_t last[CPUS];      /* who takes from it: the last number of each sender */
	uint64_t taken;           /* likewise */
} stations[CPUS], visitors[VISITORS];

static struct net_switch *net;
static uint32_t finished;     /* [a] senders that are done */
static uint64_t sent[CPUS];   /* own CPU: number of the last frame */
static uint64_t plugs;        /* boot CPU */

hpa_t frame_alloc(unsigned int order, enum frame_use use)
{
	(void)use;
	return host_phys(aligned_alloc(PAGE_SIZE << order, PAGE_SIZE << order));
}

void frame_free(hpa_t start, unsigned int order)
{
	(void)order;
	free(host_ptr(start));
}

static void deliver(struct net_port *port)
{
	struct station *station = container_of(port, struct station, port);

	machine_check(!__atomic_load_n(&station->out, __ATOMIC_SEQ_CST));
	__atomic_store_n(&station->told, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&station->deliveries, 1, __ATOMIC_SEQ_CST);
}

static void make(struct station *station, uint8_t number, bool learns)
{
	memcpy(station->port.mac, "\x02\0\0\0\0", 5);
	station->port.mac[5] = number;
	station->port.deliver = deliver;
	station->port.any_source = learns;
	station->port.any_destination = learns;
}

static const uint8_t *someone(void)
{
	static const uint8_t everybody[] = { 255, 255, 255, 255, 255, 255 }, nobody[] = { 2, 9, 9, 9, 9, 9 };
	uint32_t which = machine_random_below(CPUS + VISITORS + 2);

	if (which < CPUS)
		return stations[which].port.mac;
	if (which < CPUS + VISITORS)
		return visitors[which - CPUS].port.mac;
	return which & 1 ? everybody : nobody;
}

static void send(struct cpu *cpu)
{
	struct net_port *port = &stations[cpu->id].port;
	struct net_packet *packet = net_packet_alloc(ETH_HLEN + PAYLOAD);
	uint64_t number = ++sent[cpu->id];

	machine_check(packet != NULL);
	memcpy(packet->data, someone(), ETH_ALEN);
	memcpy(packet->data + ETH_ALEN, port->mac, ETH_ALEN);
	memset(packet->data + 12, 0x55, 2);
	memset(packet->data + ETH_HLEN, (int)(number & 0xff), PAYLOAD);
	memcpy(packet->data + ETH_HLEN, &number, sizeof(number));
	packet->bytes = ETH_HLEN + PAYLOAD;
	if (machine_random_below(4) == 0) {
		packet->offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		packet->offload.csum_start = ETH_HLEN + 20;
		packet->offload.csum_offset = 8; /* somewhere that nobody looks at */
	}
	net_send(port, packet);
}

static void check(struct station *station, const struct net_packet *packet)
{
	uint8_t from = packet->data[ETH_ALEN + 5];
	uint64_t number;

	memcpy(&number, packet->data + ETH_HLEN, sizeof(number));
	machine_check(packet->bytes == ETH_HLEN + PAYLOAD && from < CPUS);
	machine_check(packet->data[ETH_HLEN + PAYLOAD - 1] == (uint8_t)number);
	machine_check(number > station->last[from]);
	station->last[from] = number;
	station->taken++;
}

/* Some of what waits; as a driver, only when it was told. */
static void take(struct station *station, unsigned int most)
{
	struct net_packet *packet;

	if (!__atomic_exchange_n(&station->told, 0, __ATOMIC_SEQ_CST))
		return;
	for (unsigned int i = 0; i < most; i++) {
		packet = net_take(&station->port);
		if (!packet)
			return;
		check(station, packet);
		net_packet_put(packet);
	}
	/* There may be more: go on next time. */
	__atomic_store_n(&station->told, 1, __ATOMIC_SEQ_CST);
}

static void plug_or_unplug(struct station *visitor)
{
	if (visitor->port.net) {
		net_unplug(&visitor->port);
		__atomic_store_n(&visitor->out, 1, __ATOMIC_SEQ_CST);
		machine_check(visitor->port.count == 0 && visitor->port.senders == 0);
		return;
	}
	/* Its life as a port begins anew: a frame for everybody may come that it had before, elsewhere. */
	memset(visitor->last, 0, sizeof(visitor->last));
	__atomic_store_n(&visitor->out, 0, __ATOMIC_SEQ_CST);
	machine_check(net_plug(net, &visitor->port) == 0);
	plugs++;
}

static void run(struct cpu *cpu)
{
	struct station *own = &stations[cpu->id];

	while (cpu->id && !machine_time_is_up()) {
		if (machine_random_below(3))
			send(cpu);
		else
			take(own, machine_random_below(20));
	}
	if (cpu->id) {
		__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
		return;
	}
	while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) < SENDERS) {
		struct station *visitor = &visitors[machine_random_below(VISITORS)];

		if (machine_random_below(4) == 0)
			plug_or_unplug(visitor);
		take(visitor, machine_random_below(50));
		take(own, 50);
		(void)net_learned_count(&visitors[0].port);
	}
}

int main(int argc, char **argv)
{
	uint64_t taken = 0, numbers = 0;

	machine_arguments(argc, argv);
	machine_init(CPUS);
	net = net_find("lan0", true);
	for (uint8_t i = 0; i < CPUS; i++) {
		make(&stations[i], i, false);
		machine_check(net_plug(net, &stations[i].port) == 0);
	}
	for (uint8_t i = 0; i < VISITORS; i++) {
		make(&visitors[i], (uint8_t)(100 + i), i == 0);
		visitors[i].out = 1;
	}
	machine_run(run);
	for (unsigned int i = 0; i < CPUS; i++) {
		/* Who has frames was told. */
		machine_check(!stations[i].port.count || stations[i].told);
		net_unplug(&stations[i].port);
		taken += stations[i].taken;
		numbers += sent[i];
	}
	for (unsigned int i = 0; i < VISITORS; i++) {
		net_unplug(&visitors[i].port);
		taken += visitors[i].taken;
		machine_check(visitors[i].taken > 0);
	}
	net_pool_trim();
	machine_check(net_pool_bytes() == 0);
	printf("%llu frames sent, %llu taken, %llu ports plugged in\n", (unsigned long long)numbers,
		(unsigned long long)taken, (unsigned long long)plugs);
	machine_check(numbers > 1000 && taken > 1000 && plugs > 20);
	return 0;
}
