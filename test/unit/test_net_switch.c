/* SPDX-License-Identifier: BSD-2-Clause */
/* Switches with ports that only count: who gets what, from whom, and how much of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "host/net/internal.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_frames.h"
#include "test/unit/fake_net.h"

#define GUESTS 4

static struct test_port {
	struct net_port port;
	unsigned int delivered;
} guests[GUESTS], uplink, second_uplink;

static struct net_switch *net;
static const uint8_t stranger[] = { 2, 9, 9, 9, 9, 9 }, everybody[] = { 255, 255, 255, 255, 255, 255 },
	     group[] = { 1, 0, 0x5e, 0, 0, 1 };

static void deliver(struct net_port *port)
{
	container_of(port, struct test_port, port)->delivered++;
}

static void make(struct test_port *test_port, uint8_t number)
{
	memset(test_port, 0, sizeof(*test_port));
	snprintf(test_port->port.name, sizeof(test_port->port.name), "port%u", number);
	memcpy(test_port->port.mac, "\x02\0\0\0\0", 5);
	test_port->port.mac[5] = number;
	test_port->port.deliver = deliver;
}

static int begin(void **state)
{
	(void)state;
	fake_clock_reset(0);
	net = net_find("lan0", true);
	assert_non_null(net);
	for (uint8_t i = 0; i < GUESTS; i++) {
		make(&guests[i], i + 1);
		assert_int_equal(net_plug(net, &guests[i].port), 0);
	}
	make(&uplink, 100);
	make(&second_uplink, 101);
	uplink.port.uplink = uplink.port.any_source = uplink.port.any_destination = true;
	second_uplink.port.uplink = second_uplink.port.any_source = true;
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_frames_until_failure = -1;
	for (struct net_port *port; (port = net_port_at(net, 0));)
		net_unplug(port);
	net_pool_trim();
	assert_int_equal(net_pool_bytes(), 0);
	assert_int_equal(fake_frames_in_use, 0);
	return 0;
}

static void plug_uplink(struct test_port *test_port)
{
	assert_int_equal(net_plug(net, &test_port->port), 0);
}

static void send(struct test_port *from, const uint8_t *to, const uint8_t *source)
{
	net_send(&from->port, fake_packet(to, source, 46));
}

/* How many frames wait there; they are taken. */
static unsigned int got(struct test_port *test_port)
{
	struct net_packet *packet;
	unsigned int count = 0;

	while ((packet = net_take(&test_port->port))) {
		net_packet_put(packet);
		count++;
	}
	return count;
}

static void assert_got(unsigned int a, unsigned int b, unsigned int c, unsigned int d)
{
	const unsigned int expected[GUESTS] = { a, b, c, d };

	for (unsigned int i = 0; i < GUESTS; i++)
		assert_int_equal(got(&guests[i]), expected[i]);
}

static void switches_have_names(void **state)
{
	char name[NET_NAME_BYTES + 1];

	(void)state;
	assert_ptr_equal(net_find("lan0", false), net);
	assert_ptr_equal(net_at(0), net);
	assert_string_equal(net_name(net), "lan0");
	assert_null(net_find("lan1", false));
	assert_null(net_find("", true));
	memset(name, 'x', NET_NAME_BYTES);
	name[NET_NAME_BYTES] = 0;
	assert_null(net_find(name, true));
	fake_frames_until_failure = 0;
	assert_null(net_find("lan1", true));
	fake_frames_until_failure = -1;
	for (unsigned int i = 1; i < NET_SWITCHES; i++) {
		snprintf(name, sizeof(name), "net%u", i);
		assert_non_null(net_find(name, true));
	}
	assert_null(net_find("one more", true));
	assert_null(net_at(NET_SWITCHES));
}

static void ports_are_told_apart(void **state)
{
	static struct test_port many[NET_PORTS];
	unsigned int i;

	(void)state;
	assert_ptr_equal(net_port_at(net, 2), &guests[2].port);
	assert_null(net_port_at(net, GUESTS));
	assert_int_equal(net_plug(net, &guests[0].port), -EBUSY);
	make(&many[0], 3);
	assert_int_equal(net_plug(net, &many[0].port), -EEXIST);
	for (i = 0; i < NET_PORTS - GUESTS; i++) {
		make(&many[i], (uint8_t)(i + 20));
		assert_int_equal(net_plug(net, &many[i].port), 0);
	}
	make(&many[i], 250);
	assert_int_equal(net_plug(net, &many[i].port), -ENOSPC);
	/* All in the same row of the table of addresses, and each is found. */
	for (i = 0; i < NET_PORTS - GUESTS; i++) {
		send(&guests[0], many[i].port.mac, guests[0].port.mac);
		assert_int_equal(got(&many[i]), 1);
	}
	net_unplug(&guests[1].port);
	net_unplug(&guests[1].port);
	many[0].port.any_source = true;
	fake_frames_until_failure = 0;
	assert_int_equal(net_plug(net, &guests[1].port), 0);
	make(&many[NET_PORTS - 1], 251);
	many[NET_PORTS - 1].port.any_source = true;
	assert_int_equal(net_plug(net, &many[NET_PORTS - 1].port), -ENOMEM);
}

static void only_so_many_ports_learn(void **state)
{
	static struct test_port many[9];
	unsigned int i = 0;

	(void)state;
	for (; i < ARRAY_SIZE(many) - 1; i++) {
		make(&many[i], (uint8_t)(i + 20));
		many[i].port.any_source = true;
		assert_int_equal(net_plug(net, &many[i].port), 0);
	}
	make(&many[i], (uint8_t)(i + 20));
	many[i].port.any_source = true;
	assert_int_equal(net_plug(net, &many[i].port), -ENOSPC);
}

static void a_frame_goes_where_it_is_for(void **state)
{
	(void)state;
	send(&guests[0], guests[2].port.mac, guests[0].port.mac);
	assert_int_equal(guests[2].delivered, 1);
	assert_int_equal(guests[2].port.received.packets, 1);
	assert_int_equal(guests[2].port.received.bytes, 60);
	assert_int_equal(guests[0].port.sent.packets, 1);
	assert_int_equal(guests[0].port.sent.bytes, 60);
	assert_got(0, 0, 1, 0);
	send(&guests[0], everybody, guests[0].port.mac);
	assert_got(0, 1, 1, 1);
	send(&guests[3], group, guests[3].port.mac);
	assert_got(1, 1, 1, 0);
	/* To itself, to nobody, to those that must not be passed on. */
	send(&guests[0], guests[0].port.mac, guests[0].port.mac);
	send(&guests[0], stranger, guests[0].port.mac);
	send(&guests[0], (const uint8_t *)"\x01\x80\xc2\0\0\x0e", guests[0].port.mac);
	assert_got(0, 0, 0, 0);
	assert_int_equal(guests[0].port.sent.dropped, 3);
	send(&guests[0], (const uint8_t *)"\x01\x80\xc2\0\0\x10", guests[0].port.mac);
	assert_got(0, 1, 1, 1);
}

static void an_only_port_sends_to_nobody(void **state)
{
	(void)state;
	for (unsigned int i = 1; i < GUESTS; i++)
		net_unplug(&guests[i].port);
	send(&guests[0], everybody, guests[0].port.mac);
	assert_int_equal(guests[0].port.sent.dropped, 1);
	net_unplug(&guests[0].port);
	send(&guests[0], everybody, guests[0].port.mac);
	assert_int_equal(guests[0].port.sent.dropped, 2);
	assert_int_equal(guests[0].port.sent.packets, 1);
}

static void the_queue_tells_when_it_fills(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		send(&guests[0], guests[1].port.mac, guests[0].port.mac);
	assert_int_equal(guests[1].delivered, 1);
	assert_got(0, 3, 0, 0);
	send(&guests[0], guests[1].port.mac, guests[0].port.mac);
	assert_int_equal(guests[1].delivered, 2);
	net_flush(&guests[1].port);
	assert_got(0, 0, 0, 0);
}

static void others_addresses_are_not_sent_from(void **state)
{
	static const uint8_t nobody[ETH_ALEN];

	(void)state;
	send(&guests[0], guests[1].port.mac, guests[2].port.mac);
	send(&guests[0], everybody, stranger);
	assert_int_equal(guests[0].port.sent.spoofed, 2);
	send(&guests[0], everybody, group);
	send(&guests[0], everybody, nobody);
	assert_int_equal(guests[0].port.sent.malformed, 2);
	assert_int_equal(guests[0].port.sent.packets, 0);
	assert_got(0, 0, 0, 0);
}

static void frames_have_lengths(void **state)
{
	struct net_packet *packet;

	(void)state;
	net_send(&guests[0].port, fake_packet(guests[1].port.mac, guests[0].port.mac, NET_FRAME_BYTES - ETH_HLEN));
	net_send(&guests[0].port, fake_packet(guests[1].port.mac, guests[0].port.mac, 0));
	assert_got(0, 2, 0, 0);
	net_send(&guests[0].port,
		fake_packet(guests[1].port.mac, guests[0].port.mac, NET_FRAME_BYTES - ETH_HLEN + 1));
	packet = fake_packet(guests[1].port.mac, guests[0].port.mac, 46);
	packet->bytes = 13;
	net_send(&guests[0].port, packet);
	packet = net_packet_alloc(0);
	net_send(&guests[0].port, packet);
	assert_got(0, 0, 0, 0);
	assert_int_equal(guests[0].port.sent.malformed, 3);
}

static void unknown_addresses_go_up(void **state)
{
	(void)state;
	plug_uplink(&uplink);
	send(&guests[0], stranger, guests[0].port.mac);
	assert_int_equal(got(&uplink), 1);
	assert_got(0, 0, 0, 0);
	/* Who asks for it sees what is for nobody, but not what is for another. */
	guests[3].port.any_destination = true;
	send(&guests[0], stranger, guests[0].port.mac);
	send(&guests[0], guests[1].port.mac, guests[0].port.mac);
	assert_int_equal(got(&uplink), 1);
	assert_got(0, 1, 0, 1);
	/* Once it is known who has it, nobody else gets it. */
	send(&uplink, guests[0].port.mac, stranger);
	send(&guests[0], stranger, guests[0].port.mac);
	assert_int_equal(got(&uplink), 1);
	assert_got(1, 0, 0, 0);
	assert_int_equal(net_learned_count(&uplink.port), 1);
	assert_int_equal(net_learned_count(&guests[0].port), 0);
	/* Five minutes later it is unknown again. */
	fake_clock_advance(299 * NS_PER_SEC);
	assert_int_equal(net_learned_count(&uplink.port), 1);
	fake_clock_advance(2 * NS_PER_SEC);
	assert_int_equal(net_learned_count(&uplink.port), 0);
	send(&guests[0], stranger, guests[0].port.mac);
	assert_int_equal(got(&uplink), 1);
	assert_got(0, 0, 0, 1);
}

static void uplinks_do_not_loop(void **state)
{
	static const uint8_t far_away[] = { 2, 8, 8, 8, 8, 8 };

	(void)state;
	plug_uplink(&uplink);
	plug_uplink(&second_uplink);
	send(&uplink, everybody, stranger);
	send(&uplink, far_away, stranger);
	assert_int_equal(got(&second_uplink), 0);
	assert_got(1, 1, 1, 1);
	/* Known behind the one it came from, or behind the other: neither. */
	send(&second_uplink, guests[0].port.mac, far_away);
	send(&uplink, far_away, stranger);
	send(&uplink, stranger, stranger);
	assert_int_equal(got(&second_uplink) + got(&uplink), 0);
	assert_got(1, 0, 0, 0);
	send(&guests[0], far_away, guests[0].port.mac);
	assert_int_equal(got(&second_uplink), 1);
	assert_int_equal(got(&uplink), 0);
	/* It has moved: who saw it last has it. */
	fake_clock_advance(NS_PER_SEC);
	send(&uplink, guests[0].port.mac, far_away);
	send(&guests[0], far_away, guests[0].port.mac);
	assert_int_equal(got(&second_uplink), 0);
	assert_int_equal(got(&uplink), 1);
	net_unplug(&uplink.port);
	send(&guests[0], far_away, guests[0].port.mac);
	assert_int_equal(got(&second_uplink), 1);
	assert_got(1, 0, 0, 0);
}

static void nobody_outside_pretends_to_be_a_guest(void **state)
{
	(void)state;
	plug_uplink(&uplink);
	send(&uplink, guests[0].port.mac, guests[1].port.mac);
	assert_int_equal(uplink.port.sent.spoofed, 1);
	send(&uplink, guests[0].port.mac, uplink.port.mac);
	assert_got(1, 0, 0, 0);
	assert_int_equal(net_learned_count(&uplink.port), 0);
}

static void learning_is_bounded(void **state)
{
	uint8_t mac[ETH_ALEN] = { 2, 7 };

	(void)state;
	plug_uplink(&uplink);
	plug_uplink(&second_uplink);
	send(&second_uplink, guests[0].port.mac, stranger);
	for (unsigned int i = 0; i < 5000; i++) {
		fake_clock_advance(1000);
		mac[3] = (uint8_t)(i >> 8);
		mac[4] = (uint8_t)(i >> 4);
		mac[5] = (uint8_t)i;
		send(&uplink, guests[0].port.mac, mac);
		got(&guests[0]);
	}
	assert_in_range(net_learned_count(&uplink.port), 100, 256);
	/* The last are known, and what another port learned is, too. */
	assert_int_equal(net_learned_count(&second_uplink.port), 1);
	send(&guests[0], mac, guests[0].port.mac);
	send(&guests[0], stranger, guests[0].port.mac);
	assert_int_equal(got(&uplink), 1);
	assert_int_equal(got(&second_uplink), 1);
}

static void a_queue_is_bounded(void **state)
{
	struct fake_tcp large = { .to = guests[2].port.mac, .from = guests[0].port.mac, .payload = 64000,
		.gso_size = 1400 };

	(void)state;
	for (unsigned int i = 0; i < NET_PORT_QUEUE + 10; i++)
		send(&guests[0], guests[1].port.mac, guests[0].port.mac);
	assert_int_equal(guests[1].port.received.dropped, 10);
	assert_int_equal(guests[1].delivered, 1);
	/* Nobody else's. */
	send(&guests[0], guests[3].port.mac, guests[0].port.mac);
	assert_got(0, NET_PORT_QUEUE, 0, 1);
	guests[2].port.takes_checksum = guests[2].port.takes_segments = true;
	for (unsigned int i = 0; i < 40; i++)
		net_send(&guests[0].port, fake_tcp_packet(&large));
	assert_true(guests[2].port.queued_bytes <= NET_QUEUE_BYTES);
	assert_int_equal(guests[2].port.received.dropped, 40 - NET_QUEUE_BYTES / (16 * PAGE_SIZE));
	/* 46 segments for each, of a page each. */
	guests[1].port.received.dropped = 0;
	large.to = guests[1].port.mac;
	for (unsigned int i = 0; i < 6; i++)
		net_send(&guests[0].port, fake_tcp_packet(&large));
	assert_int_equal(guests[1].port.received.dropped, 6 * 46 - NET_PORT_QUEUE);
}

static void nothing_waits_for_who_is_down(void **state)
{
	(void)state;
	guests[1].port.down = true;
	send(&guests[0], everybody, guests[0].port.mac);
	assert_int_equal(guests[1].delivered, 0);
	assert_int_equal(guests[1].port.received.dropped, 1);
	assert_got(0, 0, 1, 1);
}

/* Send as fast as it goes for ten seconds: the bytes that came through. */
static uint64_t sent_in_ten_seconds(unsigned int steps)
{
	uint64_t before = guests[0].port.sent.bytes;

	for (unsigned int i = 0; i < steps; i++) {
		uint64_t packets;

		fake_clock_advance(10 * NS_PER_SEC / steps);
		do {
			packets = guests[0].port.sent.packets;
			send(&guests[0], guests[1].port.mac, guests[0].port.mac);
			net_flush(&guests[1].port);
		} while (guests[0].port.sent.packets != packets);
	}
	return guests[0].port.sent.bytes - before;
}

static void a_rate_is_kept(void **state)
{
	(void)state;
	fake_clock_advance(1000 * NS_PER_SEC);
	guests[0].port.rate_bytes = 60000;
	sent_in_ten_seconds(10); /* what was saved up */
	assert_in_range(sent_in_ten_seconds(10), 599940, 600060);
	assert_in_range(sent_in_ten_seconds(7777), 599940, 600060);
	/* In steps of a fraction of a byte's time, too. */
	guests[0].port.rate_bytes = 100;
	assert_in_range(sent_in_ten_seconds(99991), 940, 1060);
	assert_true(guests[0].port.sent.dropped > 0);
	/* An hour of silence does not save up an hour's worth. */
	guests[0].port.rate_bytes = 60000;
	fake_clock_advance(3600 * NS_PER_SEC);
	assert_in_range(sent_in_ten_seconds(10), 600000, 600000 + 2 * NET_PACKET_BYTES);
	guests[0].port.rate_bytes = ~0ULL;
	fake_clock_advance(50 * NS_PER_SEC);
	send(&guests[0], guests[1].port.mac, guests[0].port.mac);
	assert_got(0, 1, 0, 0);
}

static void who_cannot_do_it_gets_it_done(void **state)
{
	struct fake_tcp tcp = { .to = guests[1].port.mac, .from = guests[0].port.mac, .payload = 1000 };
	struct net_packet *packet;

	(void)state;
	net_send(&guests[0].port, fake_tcp_packet(&tcp));
	packet = net_take(&guests[1].port);
	assert_int_equal(packet->offload.flags, 0);
	assert_true(fake_tcp_is_right(packet->data, packet->bytes));
	net_packet_put(packet);

	guests[1].port.takes_checksum = true;
	net_send(&guests[0].port, fake_tcp_packet(&tcp));
	packet = net_take(&guests[1].port);
	assert_int_equal(packet->offload.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_false(fake_tcp_is_right(packet->data, packet->bytes));
	net_packet_put(packet);

	tcp.payload = 5000;
	tcp.gso_size = 1000;
	net_send(&guests[0].port, fake_tcp_packet(&tcp));
	for (unsigned int i = 0; i < 5; i++) {
		packet = net_take(&guests[1].port);
		assert_int_equal(packet->offload.gso_type, 0);
		assert_true(fake_tcp_is_right(packet->data, packet->bytes));
		net_packet_put(packet);
	}
	guests[1].port.takes_segments = true;
	net_send(&guests[0].port, fake_tcp_packet(&tcp));
	packet = net_take(&guests[1].port);
	assert_int_equal(packet->offload.gso_size, 1000);
	net_packet_put(packet);
	assert_got(0, 0, 0, 0);
}

/* A flooded frame exists once as it is, and once with all done, however many get it. */
static void a_flooded_frame_exists_twice(void **state)
{
	struct fake_tcp tcp = { .to = everybody, .from = guests[0].port.mac, .payload = 1000 };
	struct net_packet *packets[GUESTS];

	(void)state;
	guests[1].port.takes_checksum = true;
	net_send(&guests[0].port, fake_tcp_packet(&tcp));
	for (unsigned int i = 1; i < GUESTS; i++)
		assert_non_null(packets[i] = net_take(&guests[i].port));
	assert_ptr_not_equal(packets[1], packets[2]);
	assert_ptr_equal(packets[2], packets[3]);
	assert_true(fake_tcp_is_right(packets[2]->data, packets[2]->bytes));
	assert_false(fake_tcp_is_right(packets[1]->data, packets[1]->bytes));
	for (unsigned int i = 1; i < GUESTS; i++)
		net_packet_put(packets[i]);
	/* Segments are cut once, too; but not for groups. */
	tcp.payload = 3000;
	tcp.gso_size = 1000;
	net_send(&guests[0].port, fake_tcp_packet(&tcp));
	assert_int_equal(guests[0].port.sent.malformed, 1);
	tcp.to = stranger;
	for (unsigned int i = 1; i < GUESTS; i++)
		guests[i].port.any_destination = true;
	net_send(&guests[0].port, fake_tcp_packet(&tcp));
	assert_got(0, 3, 3, 3);
}

static void no_memory_drops_a_frame(void **state)
{
	struct fake_tcp tcp = { .to = everybody, .from = guests[0].port.mac, .payload = 1000 };
	struct net_packet *packet = fake_tcp_packet(&tcp);

	(void)state;
	fake_frames_until_failure = 0;
	net_send(&guests[0].port, packet);
	assert_int_equal(guests[0].port.sent.dropped, 1);
	fake_frames_until_failure = -1;
	tcp.to = guests[1].port.mac;
	tcp.gso_size = 500;
	packet = fake_tcp_packet(&tcp);
	net_pool_trim();
	fake_frames_until_failure = 0;
	net_send(&guests[0].port, packet);
	assert_int_equal(guests[0].port.sent.dropped, 2);
	assert_got(0, 0, 0, 0);
}

static void only_the_machine_vouches_for_a_checksum(void **state)
{
	struct net_packet *packet = fake_packet(guests[1].port.mac, guests[0].port.mac, 46);

	(void)state;
	packet->offload.flags = VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_RSC_INFO;
	net_send(&guests[0].port, packet);
	packet = net_take(&guests[1].port);
	assert_int_equal(packet->offload.flags, 0);
	net_packet_put(packet);
	plug_uplink(&uplink);
	packet = fake_packet(guests[1].port.mac, stranger, 46);
	packet->offload.flags = VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_RSC_INFO;
	net_send(&uplink.port, packet);
	packet = net_take(&guests[1].port);
	assert_int_equal(packet->offload.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	net_packet_put(packet);
}

static void nics_are_uplinks(void **state)
{
	static struct test_port nics[2];
	uint8_t a[ETH_ALEN], b[ETH_ALEN];

	(void)state;
	make(&nics[0], 1);
	make(&nics[1], 2);
	assert_null(net_nic_at(0));
	net_nic_register(&nics[0].port, 4);
	net_nic_register(&nics[1].port, 4);
	assert_ptr_equal(net_nic_at(1), &nics[1].port);
	assert_null(net_nic_at(2));
	assert_true(nics[0].port.uplink && nics[0].port.any_source && nics[0].port.any_destination);
	net_make_mac(a);
	net_make_mac(b);
	assert_memory_not_equal(a, b, ETH_ALEN);
	assert_int_equal(a[0], 2);
	assert_memory_equal(a, b, 4);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(switches_have_names), T(ports_are_told_apart), T(only_so_many_ports_learn),
		T(a_frame_goes_where_it_is_for), T(an_only_port_sends_to_nobody),
		T(the_queue_tells_when_it_fills), T(others_addresses_are_not_sent_from), T(frames_have_lengths),
		T(unknown_addresses_go_up), T(uplinks_do_not_loop), T(nobody_outside_pretends_to_be_a_guest),
		T(learning_is_bounded), T(a_queue_is_bounded), T(nothing_waits_for_who_is_down), T(a_rate_is_kept),
		T(who_cannot_do_it_gets_it_done), T(a_flooded_frame_exists_twice), T(no_memory_drops_a_frame),
		T(only_the_machine_vouches_for_a_checksum), T(nics_are_uplinks),
	};

	return cmocka_run_group_tests_name("net_switch", tests, NULL, NULL);
}
