/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-net: guests with drivers of their own, over real rings and a real switch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "devices/virtio/net_internal.h"
#include "host/net/internal.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_frames.h"
#include "test/unit/fake_net.h"
#include "test/unit/fake_virtio.h"

#define RX 0
#define TX 1
#define CTRL 2
#define HEADER 12
#define RX_BUFFERS 0x200000ULL
#define TX_BUFFERS 0x400000ULL
#define TX_STRIDE 0x20000ULL
#define WORK_LIMIT 1000

#define ALL_FEATURES (a.virtio.device->offered)
#define NO_MERGE (ALL_FEATURES & ~BIT(VIRTIO_NET_F_MRG_RXBUF))
#define PLAIN (BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_CTRL_VQ))

static struct guest {
	struct fake_virtio virtio;
	struct virtio_net *nic;
	uint8_t mac[ETH_ALEN];
	unsigned int tx_slot;
	uint16_t rx_seen; /* used elements that were looked at */
} a, b;

static struct net_switch *net;
static uint8_t frame[NET_PACKET_BYTES + 64], expected[NET_PACKET_BYTES + 64];

static void make(struct guest *guest, const char *name, uint8_t number)
{
	struct virtio_net_options options = { .name = name, .mac = { 2, 0, 0, 0, 0, number } };

	memset(guest, 0, sizeof(*guest));
	memcpy(guest->mac, options.mac, ETH_ALEN);
	fake_virtio_create(&guest->virtio, name);
	assert_int_equal(virtio_net_create(&guest->virtio.vm, NULL, net, &options, &guest->nic), 0);
	assert_string_equal(virtio_net_port(guest->nic)->name, name);
}

static void start(struct guest *guest, uint64_t features)
{
	fake_virtio_start(&guest->virtio, features, 256);
	guest->tx_slot = 0;
	guest->rx_seen = 0;
}

static int begin(void **state)
{
	(void)state;
	fake_clock_reset(0);
	net = net_find("lan0", true);
	make(&a, "a", 1);
	make(&b, "b", 2);
	start(&a, ALL_FEATURES);
	start(&b, ALL_FEATURES);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_frames_until_failure = -1;
	fake_virtio_destroy(&a.virtio);
	fake_virtio_destroy(&b.virtio);
	assert_int_equal(fake_virtio_work(1), 0);
	assert_null(net_port_at(net, 0));
	net_pool_trim();
	assert_int_equal(net_pool_bytes(), 0);
	assert_int_equal(fake_frames_in_use, 0);
	return 0;
}

static void work(void)
{
	assert_in_range(fake_virtio_work(WORK_LIMIT), 0, WORK_LIMIT - 1);
}

/* Buffers for receiving, of so many bytes each, one descriptor each; number `from` and so on. */
static void offer(struct guest *guest, unsigned int from, unsigned int count, uint32_t bytes)
{
	struct fake_driver *driver = &guest->virtio.queues[RX];

	for (unsigned int i = from; i < from + count; i++) {
		fake_driver_describe(driver, i % 256, RX_BUFFERS + 0x2000ULL * (i % 256), bytes,
			VRING_DESC_F_WRITE, 0);
		fake_driver_offer(driver, i % 256);
	}
	fake_virtio_notify(&guest->virtio, RX);
}

/* A frame with its header, in one descriptor or several; not notified. */
static void put(struct guest *guest, const struct virtio_net_hdr_v1 *header, const uint8_t *bytes, uint32_t count,
	unsigned int parts)
{
	struct fake_driver *driver = &guest->virtio.queues[TX];
	unsigned int slot = guest->tx_slot++ % 16;
	gpa_t at = TX_BUFFERS + TX_STRIDE * slot;
	uint32_t done = 0, total = HEADER + count;

	fake_driver_set(driver, at, header, HEADER);
	fake_driver_set(driver, at + HEADER, bytes, count);
	for (unsigned int i = 0; i < parts; i++) {
		uint32_t part = i + 1 == parts ? total - done : total / parts;

		fake_driver_describe(driver, slot * 16 + i, at + done, part,
			i + 1 == parts ? 0 : VRING_DESC_F_NEXT, (uint16_t)(slot * 16 + i + 1));
		done += part;
	}
	fake_driver_offer(driver, (uint16_t)(slot * 16));
}

static const struct virtio_net_hdr_v1 no_header;

static void send_frame(struct guest *from, const uint8_t *to, uint32_t payload)
{
	struct net_packet *packet = fake_packet(to, from->mac, payload);

	net_packet_read(packet, 0, expected, packet->bytes);
	put(from, &no_header, expected, packet->bytes, 1 + payload % 3);
	net_packet_put(packet);
	fake_virtio_notify(&from->virtio, TX);
}

static uint32_t send_tcp(struct guest *from, const struct guest *to, uint32_t payload, uint16_t gso_size, bool ipv6)
{
	struct fake_tcp tcp = { .to = to->mac, .from = from->mac, .ipv6 = ipv6, .payload = payload,
		.gso_size = gso_size, .flags = 16, .tcp_options = 12 };
	struct net_packet *packet = fake_tcp_packet(&tcp);
	uint32_t bytes = packet->bytes;

	net_packet_read(packet, 0, expected, bytes);
	put(from, &packet->offload, expected, bytes, 2);
	net_packet_put(packet);
	fake_virtio_notify(&from->virtio, TX);
	return bytes;
}

static unsigned int received(struct guest *guest)
{
	return (uint16_t)(fake_driver_used_index(&guest->virtio.queues[RX]) - guest->rx_seen);
}

/* The next frame in the guest's memory into frame[]: its length, and its header. */
static uint32_t read_frame(struct guest *guest, struct virtio_net_hdr_v1 *header)
{
	struct fake_driver *driver = &guest->virtio.queues[RX];
	uint32_t bytes = 0;
	unsigned int buffers = 1;

	for (unsigned int i = 0; i < buffers; i++) {
		struct vring_used_elem element = fake_driver_used(driver, guest->rx_seen++);

		assert_true(element.id < 256 && bytes + element.len <= sizeof(frame));
		fake_driver_get(driver, RX_BUFFERS + 0x2000ULL * element.id, frame + bytes, element.len);
		bytes += element.len;
		if (i == 0) {
			memcpy(header, frame, HEADER);
			buffers = header->num_buffers;
			assert_in_range(buffers, 1, 256);
			assert_in_range(buffers - 1, 0, received(guest));
		}
	}
	memmove(frame, frame + HEADER, bytes - HEADER);
	return bytes - HEADER;
}

static void assert_gets(struct guest *guest, uint32_t bytes)
{
	struct virtio_net_hdr_v1 header;

	assert_in_range(received(guest), 1, 256);
	assert_int_equal(read_frame(guest, &header), bytes);
	assert_memory_equal(frame, expected, bytes);
}

static void a_frame_goes_from_guest_to_guest(void **state)
{
	struct virtio_net_hdr_v1 header;

	(void)state;
	offer(&b, 0, 8, 1600);
	for (uint32_t payload = 0; payload < 1500; payload += 499) {
		send_frame(&a, b.mac, payload);
		assert_int_equal(received(&b), 0); /* not in the sender's time */
		work();
		assert_int_equal(received(&b), 1);
		assert_int_equal(read_frame(&b, &header), ETH_HLEN + payload);
		assert_memory_equal(frame, expected, ETH_HLEN + payload);
		assert_int_equal(header.flags + header.gso_type + header.gso_size, 0);
		assert_int_equal(header.num_buffers, 1);
	}
	assert_int_equal(fake_driver_used_index(&a.virtio.queues[TX]), 4);
	assert_int_equal(virtio_net_port(a.nic)->sent.packets, 4);
	assert_int_equal(virtio_net_port(b.nic)->received.packets, 4);
}

static void segments_pass_as_they_are(void **state)
{
	struct virtio_net_hdr_v1 header;

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		uint32_t bytes;

		start(&b, i & 1 ? ALL_FEATURES : NO_MERGE);
		for (unsigned int j = 0; j < 4 && !(i & 1); j++) {
			struct fake_driver *driver = &b.virtio.queues[RX];

			/* One chain of 32 descriptors of 2 KiB. */
			for (unsigned int k = 0; k < 36; k++)
				fake_driver_describe(driver, j * 36 + k, RX_BUFFERS + 0x40000 * j + 0x800 * k, 0x800,
					VRING_DESC_F_WRITE | (k < 35 ? VRING_DESC_F_NEXT : 0),
					(uint16_t)(j * 36 + k + 1));
			fake_driver_offer(driver, (uint16_t)(j * 36));
		}
		if (i & 1)
			offer(&b, 0, 200, 1500);
		bytes = send_tcp(&a, &b, 64000, 1400, i & 2);
		work();
		if (i & 1) {
			assert_int_equal(received(&b), (HEADER + bytes + 1499) / 1500);
			assert_int_equal(read_frame(&b, &header), bytes);
		} else {
			assert_int_equal(received(&b), 1);
			assert_int_equal(fake_driver_used(&b.virtio.queues[RX], 0).len, HEADER + bytes);
			fake_driver_get(&b.virtio.queues[RX], RX_BUFFERS, &header, HEADER);
			fake_driver_get(&b.virtio.queues[RX], RX_BUFFERS + HEADER, frame, bytes);
		}
		assert_memory_equal(frame, expected, bytes);
		assert_int_equal(header.gso_size, 1400);
		assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(header.gso_type, i & 2 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
	}
}

static void a_plain_guest_gets_plain_frames(void **state)
{
	struct virtio_net_hdr_v1 header;

	(void)state;
	start(&b, PLAIN);
	offer(&b, 0, 64, 1530);
	send_tcp(&a, &b, 5000, 1000, false);
	send_tcp(&a, &b, 700, 0, true);
	work();
	assert_int_equal(received(&b), 6);
	while (received(&b)) {
		uint32_t bytes = read_frame(&b, &header);

		assert_true(fake_tcp_is_right(frame, bytes));
		assert_int_equal(header.flags + header.gso_type, 0);
		assert_int_equal(header.num_buffers, 1);
	}
}

static void without_buffers_frames_wait(void **state)
{
	(void)state;
	send_frame(&a, b.mac, 100);
	work();
	assert_non_null(b.nic->waiting);
	/* Two and a half buffers' worth for three frames; the third waits for its second buffer. */
	offer(&b, 0, 1, 200);
	work();
	assert_gets(&b, 114);
	send_frame(&a, b.mac, 1000);
	work();
	offer(&b, 1, 2, 400);
	work();
	assert_int_equal(received(&b), 0);
	offer(&b, 3, 1, 400);
	work();
	assert_int_equal(received(&b), 3);
	assert_gets(&b, 1014);
	assert_int_equal(received(&b), 0);
	/* More than the queue holds is lost, and only that. */
	for (unsigned int i = 0; i < NET_PORT_QUEUE + 20; i++) {
		send_frame(&a, b.mac, 60);
		work();
	}
	offer(&b, 4, 250, 200);
	work();
	assert_int_equal(received(&b), 250);
	assert_int_equal(b.nic->port.received.dropped, 19);
}

/* A driver tells of new buffers only when it was asked to: also when there were some, but too few. */
static void too_few_buffers_ask_for_more(void **state)
{
	struct fake_driver *driver = &b.virtio.queues[RX];

	(void)state;
	for (unsigned int event_index = 0; event_index < 2; event_index++) {
		start(&b, event_index ? ALL_FEATURES : ALL_FEATURES & ~BIT(VIRTIO_RING_F_EVENT_IDX));
		offer(&b, 0, 2, 400);
		send_frame(&a, b.mac, 1000);
		work();
		assert_non_null(b.nic->waiting);
		if (event_index)
			assert_int_equal(fake_driver_available_event(driver), 2);
		else
			assert_int_equal(fake_driver_used_flags(driver), 0);
		offer(&b, 2, 1, 400);
		work();
		assert_gets(&b, 1014);
		if (!event_index)
			assert_int_equal(fake_driver_used_flags(driver), VRING_USED_F_NO_NOTIFY);
	}
}

static void buffers_that_do_not_do_are_left(void **state)
{
	(void)state;
	start(&b, NO_MERGE);
	offer(&b, 0, 1, 100);
	send_frame(&a, b.mac, 200);
	send_frame(&a, b.mac, 50);
	work();
	assert_gets(&b, 64);
	/* Too small for the header even where frames may lie in several. */
	start(&b, ALL_FEATURES);
	offer(&b, 0, 1, 11);
	send_frame(&a, b.mac, 50);
	work();
	assert_int_equal(received(&b), 0);
	assert_null(b.nic->waiting);
	/* The whole ring is not enough: nothing to wait for. */
	fake_virtio_start(&b.virtio, ALL_FEATURES, 4);
	b.rx_seen = 0;
	offer(&b, 0, 4, 100);
	send_frame(&a, b.mac, 1000);
	work();
	assert_null(b.nic->waiting);
	send_frame(&a, b.mac, 300);
	work();
	assert_gets(&b, 314);
	/* A second buffer without room. */
	start(&b, ALL_FEATURES);
	fake_driver_describe(&b.virtio.queues[RX], 0, RX_BUFFERS, 20, VRING_DESC_F_WRITE, 0);
	fake_driver_describe(&b.virtio.queues[RX], 1, RX_BUFFERS, 20, 0, 0);
	fake_driver_offer(&b.virtio.queues[RX], 0);
	fake_driver_offer(&b.virtio.queues[RX], 1);
	send_frame(&a, b.mac, 300);
	work();
	assert_int_equal(received(&b), 0);
	assert_null(b.nic->waiting);
	assert_false(fake_virtio_is_broken(&b.virtio));
}

static void what_a_driver_must_not_send_is_dropped(void **state)
{
	struct virtio_net_hdr_v1 header = { 0 };
	struct net_counters *sent = &a.nic->port.sent;
	uint64_t malformed = 0;

	(void)state;
	offer(&b, 0, 8, 1600);
	memcpy(expected, b.mac, ETH_ALEN);
	memcpy(expected + ETH_ALEN, a.mac, ETH_ALEN);
	put(&a, &header, expected, 13, 1);
	put(&a, &header, expected, NET_PACKET_BYTES + 1, 1);
	put(&a, &header, expected, 1519, 1);
	fake_driver_describe(&a.virtio.queues[TX], 200, TX_BUFFERS, 11, 0, 0);
	fake_driver_offer(&a.virtio.queues[TX], 200);
	fake_driver_describe(&a.virtio.queues[TX], 201, TX_BUFFERS, 100, VRING_DESC_F_WRITE, 0);
	fake_driver_offer(&a.virtio.queues[TX], 201);
	header.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	put(&a, &header, expected, 100, 1);
	fake_virtio_notify(&a.virtio, TX);
	assert_int_equal(sent->malformed, malformed += 6);
	assert_int_equal(fake_driver_used_index(&a.virtio.queues[TX]), 6);
	/* Not negotiated. */
	start(&a, PLAIN);
	send_tcp(&a, &b, 500, 0, false);
	assert_int_equal(sent->malformed, ++malformed);
	start(&a, PLAIN | BIT(VIRTIO_NET_F_CSUM));
	send_tcp(&a, &b, 3000, 1000, false);
	send_tcp(&a, &b, 3000, 1000, true);
	assert_int_equal(sent->malformed, malformed += 2);
	/* Another's address. */
	memcpy(expected + ETH_ALEN, b.mac, ETH_ALEN);
	header.gso_type = 0;
	put(&a, &header, expected, 100, 1);
	fake_virtio_notify(&a.virtio, TX);
	assert_int_equal(sent->spoofed, 1);
	work();
	assert_int_equal(received(&b), 0);
	assert_int_equal(sent->packets, 0);
}

static void without_memory_frames_are_dropped(void **state)
{
	(void)state;
	offer(&b, 0, 8, 1600);
	send_frame(&a, b.mac, 100);
	work();
	net_pool_trim();
	fake_frames_until_failure = 0;
	put(&a, &no_header, expected, 114, 1);
	fake_virtio_notify(&a.virtio, TX);
	assert_int_equal(a.nic->port.sent.dropped, 1);
	fake_frames_until_failure = -1;
	/* A page of the sender's that is not there yet and cannot be had. */
	put(&a, &no_header, expected, 114, 1);
	fake_driver_describe(&a.virtio.queues[TX], 0, MIB(6), 200, 0, 0);
	net_packet_put(net_packet_alloc(1));
	fake_frames_until_failure = 0;
	a.virtio.queues[TX].index--;
	fake_driver_offer(&a.virtio.queues[TX], 0);
	fake_virtio_notify(&a.virtio, TX);
	assert_int_equal(a.nic->port.sent.malformed, 1);
	fake_driver_describe(&a.virtio.queues[TX], 0, TX_BUFFERS, 12, VRING_DESC_F_NEXT, 1);
	fake_driver_describe(&a.virtio.queues[TX], 1, MIB(6), 200, 0, 0);
	fake_driver_offer(&a.virtio.queues[TX], 0);
	fake_virtio_notify(&a.virtio, TX);
	assert_int_equal(a.nic->port.sent.dropped, 2);
	fake_frames_until_failure = -1;
	assert_int_equal(received(&b), 1);
}

static void without_memory_for_buffers_frames_are_dropped(void **state)
{
	(void)state;
	/* The first buffer is there, the second is not; nor is the first of the next frame. */
	fake_driver_describe(&b.virtio.queues[RX], 0, RX_BUFFERS, 100, VRING_DESC_F_WRITE, 0);
	fake_driver_describe(&b.virtio.queues[RX], 1, MIB(6), 1500, VRING_DESC_F_WRITE, 0);
	fake_driver_offer(&b.virtio.queues[RX], 0);
	fake_driver_offer(&b.virtio.queues[RX], 1);
	assert_non_null(guest_memory_ptr(&b.virtio.vm.memory, RX_BUFFERS, S2_WRITE, NULL));
	send_frame(&a, b.mac, 1000);
	fake_frames_until_failure = 0;
	work();
	assert_int_equal(received(&b), 0);
	assert_null(b.nic->waiting);
	fake_frames_until_failure = -1;
	send_frame(&a, b.mac, 50);
	work();
	assert_gets(&b, 64);
	assert_false(fake_virtio_is_broken(&b.virtio));
	send_frame(&a, b.mac, 50);
	fake_frames_until_failure = 0;
	work();
	fake_frames_until_failure = -1;
	assert_int_equal(received(&b), 0);
	/* Only the header's place, which is filled in last. */
	start(&b, ALL_FEATURES);
	fake_driver_describe(&b.virtio.queues[RX], 0, MIB(6), 12, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	fake_driver_describe(&b.virtio.queues[RX], 1, RX_BUFFERS, 200, VRING_DESC_F_WRITE, 0);
	fake_driver_offer(&b.virtio.queues[RX], 0);
	send_frame(&a, b.mac, 50);
	fake_frames_until_failure = 0;
	work();
	fake_frames_until_failure = -1;
	assert_int_equal(received(&b), 0);
	send_frame(&a, b.mac, 50);
	work();
	assert_int_equal(received(&b), 1);
}

static void a_batch_is_bounded(void **state)
{
	unsigned int rounds = 0;

	(void)state;
	offer(&b, 0, 256, 256);
	for (unsigned int i = 0; i < 200; i++) {
		gpa_t at = TX_BUFFERS + 0x200 * i;

		fake_driver_set(&a.virtio.queues[TX], at, &no_header, HEADER);
		fake_driver_set(&a.virtio.queues[TX], at + HEADER, b.mac, ETH_ALEN);
		fake_driver_set(&a.virtio.queues[TX], at + HEADER + ETH_ALEN, a.mac, ETH_ALEN);
		fake_driver_describe(&a.virtio.queues[TX], i, at, 100, 0, 0);
		fake_driver_offer(&a.virtio.queues[TX], (uint16_t)i);
	}
	fake_virtio_notify(&a.virtio, TX);
	assert_int_equal(fake_driver_used_index(&a.virtio.queues[TX]), 64);
	while (fake_virtio_work(1))
		rounds++;
	assert_in_range(rounds, 4, 12);
	assert_int_equal(fake_driver_used_index(&a.virtio.queues[TX]), 200);
	assert_int_equal(received(&b), 200);
	/* By bytes, too: 128 KiB at a time. */
	start(&b, ALL_FEATURES);
	start(&a, ALL_FEATURES);
	offer(&b, 0, 256, 8000);
	fake_driver_used_event(&b.virtio.queues[RX], 0x8000);
	for (unsigned int i = 0; i < 6; i++)
		send_tcp(&a, &b, 60000, 1400, false);
	assert_int_equal(a.nic->port.sent.packets, 206);
	assert_int_equal(fake_virtio_work(1), 1);
	assert_in_range(received(&b), 20, 30);
	work();
	assert_int_equal(received(&b), 6 * 8);
	assert_int_equal(b.virtio.signals[RX], 0);
}

static void interrupts_come_when_they_are_wanted(void **state)
{
	(void)state;
	offer(&b, 0, 100, 200);
	fake_driver_used_event(&b.virtio.queues[RX], 0);
	fake_driver_used_event(&a.virtio.queues[TX], 0x8000);
	for (unsigned int i = 0; i < 10; i++)
		send_frame(&a, b.mac, 50);
	work();
	assert_int_equal(received(&b), 10);
	assert_int_equal(b.virtio.signals[RX], 1);
	assert_int_equal(a.virtio.signals[TX], 0);
	/* The driver need not tell of new buffers while there are some, but has to of new frames. */
	assert_int_equal(fake_driver_available_event(&b.virtio.queues[RX]), 0);
	assert_int_equal(fake_driver_available_event(&a.virtio.queues[TX]), 10);
	/* Without event index, by flags. */
	start(&a, ALL_FEATURES & ~BIT(VIRTIO_RING_F_EVENT_IDX));
	start(&b, ALL_FEATURES & ~BIT(VIRTIO_RING_F_EVENT_IDX));
	offer(&b, 0, 2, 200);
	assert_int_equal(fake_driver_used_flags(&b.virtio.queues[RX]), VRING_USED_F_NO_NOTIFY);
	for (unsigned int i = 0; i < 3; i++)
		send_frame(&a, b.mac, 50);
	work();
	assert_int_equal(fake_driver_used_flags(&b.virtio.queues[RX]), 0);
	assert_int_equal(fake_driver_used_flags(&a.virtio.queues[TX]), 0);
	offer(&b, 2, 2, 200);
	work();
	assert_int_equal(fake_driver_used_flags(&b.virtio.queues[RX]), VRING_USED_F_NO_NOTIFY);
	assert_int_equal(received(&b), 3);
	assert_int_equal(b.virtio.signals[RX], 2);
}

/* A command with its parameters: what was answered; 0xee: nothing. */
static uint8_t command(struct guest *guest, uint8_t class, uint8_t number, const void *parameters, uint32_t bytes)
{
	struct fake_driver *driver = &guest->virtio.queues[CTRL];
	uint8_t header[] = { class, number }, answer = 0xee;
	uint16_t used = fake_driver_used_index(driver);
	gpa_t at = 0xa0000;

	fake_driver_set(driver, at, header, sizeof(header));
	fake_driver_set(driver, at + 2, parameters, bytes);
	fake_driver_set(driver, at + 0x1000, &answer, 1);
	fake_driver_describe(driver, 0, at, 2, VRING_DESC_F_NEXT, 1);
	fake_driver_describe(driver, 1, at + 2, bytes, VRING_DESC_F_NEXT, 2);
	fake_driver_describe(driver, 2, at + 0x1000, 1, VRING_DESC_F_WRITE, 0);
	fake_driver_offer(driver, 0);
	fake_virtio_notify(&guest->virtio, CTRL);
	assert_int_equal(fake_driver_used_index(driver), used + 1);
	assert_int_equal(fake_driver_used(driver, used).len, 1);
	fake_driver_get(driver, at + 0x1000, &answer, 1);
	return answer;
}

static uint8_t mode(struct guest *guest, uint8_t number, uint8_t on)
{
	return command(guest, VIRTIO_NET_CTRL_RX, number, &on, 1);
}

static unsigned int gets(struct guest *guest, const uint8_t *to)
{
	unsigned int before = received(guest);

	send_frame(&a, to, 50);
	work();
	return received(guest) - before;
}

static const uint8_t everybody[] = { 255, 255, 255, 255, 255, 255 }, group[] = { 1, 0, 0x5e, 0, 0, 1 },
	     other_group[] = { 1, 0, 0x5e, 0, 0, 2 }, stranger[] = { 2, 9, 9, 9, 9, 9 };

static void a_guest_gets_what_it_asked_for(void **state)
{
	(void)state;
	offer(&b, 0, 200, 200);
	assert_int_equal(gets(&b, b.mac) + gets(&b, group) + gets(&b, everybody), 3);
	assert_int_equal(gets(&b, stranger), 0);
	assert_int_equal(mode(&b, VIRTIO_NET_CTRL_RX_ALLMULTI, 0), VIRTIO_NET_OK);
	assert_int_equal(gets(&b, group), 0);
	assert_int_equal(mode(&b, VIRTIO_NET_CTRL_RX_PROMISC, 1), VIRTIO_NET_OK);
	assert_int_equal(gets(&b, group) + gets(&b, stranger), 2);
	assert_int_equal(mode(&b, VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK);
	assert_int_equal(gets(&b, group) + gets(&b, stranger), 0);
	assert_int_equal(mode(&b, VIRTIO_NET_CTRL_RX_ALLUNI, 1), VIRTIO_NET_OK);
	assert_int_equal(gets(&b, group), 0);
	assert_int_equal(gets(&b, stranger), 1);
	assert_int_equal(mode(&b, VIRTIO_NET_CTRL_RX_NOUNI, 1), VIRTIO_NET_OK);
	assert_int_equal(gets(&b, b.mac), 0);
	assert_int_equal(mode(&b, VIRTIO_NET_CTRL_RX_NOBCAST, 1), VIRTIO_NET_OK);
	assert_int_equal(gets(&b, everybody), 0);
	assert_int_equal(mode(&b, VIRTIO_NET_CTRL_RX_ALLMULTI, 1), VIRTIO_NET_OK);
	assert_int_equal(mode(&b, VIRTIO_NET_CTRL_RX_NOMULTI, 1), VIRTIO_NET_OK);
	assert_int_equal(gets(&b, group), 0);
	assert_int_equal(mode(&b, VIRTIO_NET_CTRL_RX_NOBCAST + 1, 1), VIRTIO_NET_ERR);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_RX, 0, NULL, 0), VIRTIO_NET_ERR);
}

static uint32_t table(uint8_t *at, uint32_t unicast, uint32_t multicast)
{
	uint8_t *start_of_it = at;

	memcpy(at, &unicast, 4);
	at += 4;
	for (uint32_t i = 0; i < unicast; i++, at += 6)
		memcpy(at, stranger, 6);
	memcpy(at, &multicast, 4);
	at += 4;
	for (uint32_t i = 0; i < multicast; i++, at += 6)
		memcpy(at, group, 6);
	return (uint32_t)(at - start_of_it);
}

static void tables_of_addresses_are_bounded(void **state)
{
	static uint8_t bytes[1000];
	uint32_t count = table(bytes, 1, 1);
	uint8_t set = VIRTIO_NET_CTRL_MAC_TABLE_SET;

	(void)state;
	offer(&b, 0, 200, 200);
	assert_int_equal(mode(&b, VIRTIO_NET_CTRL_RX_ALLMULTI, 0), VIRTIO_NET_OK);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_MAC, set, bytes, count), VIRTIO_NET_OK);
	assert_int_equal(gets(&b, group) + gets(&b, stranger), 2);
	assert_int_equal(gets(&b, other_group), 0);
	for (uint32_t less = 1; less < count; less++)
		assert_int_equal(command(&b, VIRTIO_NET_CTRL_MAC, set, bytes, count - less), VIRTIO_NET_ERR);
	assert_int_equal(gets(&b, group) + gets(&b, stranger), 2);
	count = table(bytes, 0, 40);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_MAC, set, bytes, count), VIRTIO_NET_OK);
	assert_int_equal(gets(&b, other_group), 1);
	assert_int_equal(gets(&b, stranger), 0);
	memset(bytes, 0xff, 4);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_MAC, set, bytes, count), VIRTIO_NET_ERR);
	memcpy(bytes, "\0\0\0\x2a", 4);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_MAC, set, bytes, 8), VIRTIO_NET_ERR);
}

static void a_guest_keeps_its_address(void **state)
{
	uint8_t set = VIRTIO_NET_CTRL_MAC_ADDR_SET;

	(void)state;
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_MAC, set, b.mac, 6), VIRTIO_NET_OK);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_MAC, set, a.mac, 6), VIRTIO_NET_ERR);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_MAC, set, b.mac, 5), VIRTIO_NET_ERR);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_MAC, 7, b.mac, 6), VIRTIO_NET_ERR);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_VLAN, 0, b.mac, 2), VIRTIO_NET_ERR);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 1, b.mac, 6), VIRTIO_NET_ERR);
}

static void offloads_are_turned_off_and_on(void **state)
{
	uint64_t offloads = 0;
	struct virtio_net_hdr_v1 header;

	(void)state;
	offer(&b, 0, 200, 1600);
	/* Queued while it could, taken when it cannot. */
	send_tcp(&a, &b, 3000, 1000, false);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads, 8), VIRTIO_NET_OK);
	work();
	assert_int_equal(received(&b), 0);
	send_tcp(&a, &b, 3000, 1000, false);
	work();
	assert_int_equal(received(&b), 3);
	while (received(&b))
		assert_true(fake_tcp_is_right(frame, read_frame(&b, &header)));
	offloads = BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads, 8), VIRTIO_NET_OK);
	send_tcp(&a, &b, 3000, 1000, false);
	work();
	assert_int_equal(received(&b), 2);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads, 7), VIRTIO_NET_ERR);
	offloads |= BIT(VIRTIO_NET_F_GUEST_UFO);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads, 8), VIRTIO_NET_ERR);
	start(&b, PLAIN);
	offloads = BIT(VIRTIO_NET_F_GUEST_CSUM);
	assert_int_equal(command(&b, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads, 8), VIRTIO_NET_ERR);
}

static void commands_are_served_some_at_a_time(void **state)
{
	struct fake_driver *driver = &b.virtio.queues[CTRL];

	(void)state;
	fake_driver_describe(driver, 0, 0xa0000, 1, 0, 0); /* too short, and no room for the answer */
	for (unsigned int i = 0; i < 20; i++)
		fake_driver_offer(driver, 0);
	fake_virtio_notify(&b.virtio, CTRL);
	assert_int_equal(fake_driver_used_index(driver), 8);
	work();
	assert_int_equal(fake_driver_used_index(driver), 20);
	assert_int_equal(fake_driver_used(driver, 3).len, 0);
}

static void a_broken_ring_breaks_its_device_alone(void **state)
{
	(void)state;
	for (unsigned int queue = 0; queue < 3; queue++) {
		start(&b, ALL_FEATURES);
		start(&a, ALL_FEATURES);
		offer(&a, 0, 10, 200);
		fake_driver_describe(&b.virtio.queues[queue], 0, MIB(100), 1500, queue == RX ? 2 : 0, 0);
		fake_driver_offer(&b.virtio.queues[queue], 0);
		if (queue == RX)
			send_frame(&a, b.mac, 50);
		fake_virtio_notify(&b.virtio, queue);
		work();
		assert_true(fake_virtio_is_broken(&b.virtio));
		assert_int_equal(b.virtio.config_signals, 1);
		assert_false(fake_virtio_is_broken(&a.virtio));
		send_frame(&a, b.mac, 50);
		work();
	}
	/* In the middle of a frame. */
	start(&b, ALL_FEATURES);
	offer(&b, 0, 1, 100);
	fake_driver_describe(&b.virtio.queues[RX], 1, MIB(100), 1500, VRING_DESC_F_WRITE, 0);
	fake_driver_offer(&b.virtio.queues[RX], 1);
	send_frame(&a, b.mac, 500);
	work();
	assert_true(fake_virtio_is_broken(&b.virtio));
	start(&b, ALL_FEATURES);
	offer(&b, 0, 2, 100);
	send_frame(&a, b.mac, 50);
	work();
	assert_gets(&b, 64);
}

static void a_reset_forgets_what_waits(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		send_frame(&a, b.mac, 60);
	work();
	assert_non_null(b.nic->waiting);
	send_frame(&a, b.mac, 60);
	fake_virtio_reset(&b.virtio);
	assert_null(b.nic->waiting);
	assert_int_equal(b.nic->port.count, 0);
	/* Nobody is there: nothing waits, and nobody is woken. */
	send_frame(&a, b.mac, 60);
	assert_int_equal(fake_virtio_work(10), 0);
	assert_int_equal(b.nic->port.count, 0);
	/* Work that was queued by a sender who did not know yet. */
	vm_work_queue(&b.virtio.vm, &b.nic->receive);
	vm_work_queue(&b.virtio.vm, &b.nic->transmit);
	vm_work_queue(&b.virtio.vm, &b.nic->control);
	work();
	start(&b, ALL_FEATURES);
	offer(&b, 0, 8, 200);
	work();
	assert_int_equal(received(&b), 0);
	send_frame(&a, b.mac, 60);
	work();
	assert_gets(&b, 74);
	/* end() destroys both with this one on its way. */
	send_frame(&a, b.mac, 60);
	send_frame(&a, b.mac, 60);
	b.nic->waiting = net_take(&b.nic->port);
}

static void the_configuration_says_what_there_is(void **state)
{
	const struct virtio_operations *operations = b.virtio.device->operations;
	struct virtio_net_config config;

	(void)state;
	assert_int_equal(operations->config_bytes, 12);
	for (unsigned int i = 0; i < 12; i++)
		((uint8_t *)&config)[i] = (uint8_t)operations->config_read(b.virtio.device, i, 1);
	assert_memory_equal(config.mac, b.mac, ETH_ALEN);
	assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(config.max_virtqueue_pairs, 1);
	assert_int_equal(config.mtu, 1500);
	assert_int_equal(operations->config_read(b.virtio.device, 10, 2), 1500);
	assert_int_equal(operations->config_read(b.virtio.device, 0, 4), 2);
	assert_null(operations->config_write);
}

static void what_cannot_be_plugged_in_is_not_made(void **state)
{
	struct virtio_net_options options = { .name = "c", .mac = { 2, 0, 0, 0, 0, 2 } };
	struct virtio_net *nic = NULL;

	(void)state;
	assert_int_equal(virtio_net_create(&a.virtio.vm, NULL, net, &options, &nic), -EEXIST);
	assert_null(nic);
	fake_frames_until_failure = 0;
	assert_int_equal(virtio_net_create(&a.virtio.vm, NULL, net, &options, &nic), -ENOMEM);
	fake_frames_until_failure = -1;
	options.mac[5] = 3;
	a.virtio.add_error = -ENOSPC;
	assert_int_equal(virtio_net_create(&a.virtio.vm, NULL, net, &options, &nic), -ENOSPC);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(a_frame_goes_from_guest_to_guest), T(segments_pass_as_they_are),
		T(a_plain_guest_gets_plain_frames), T(without_buffers_frames_wait), T(too_few_buffers_ask_for_more),
		T(buffers_that_do_not_do_are_left), T(what_a_driver_must_not_send_is_dropped),
		T(without_memory_frames_are_dropped), T(without_memory_for_buffers_frames_are_dropped),
		T(a_batch_is_bounded), T(interrupts_come_when_they_are_wanted), T(a_guest_gets_what_it_asked_for),
		T(tables_of_addresses_are_bounded), T(a_guest_keeps_its_address), T(offloads_are_turned_off_and_on),
		T(commands_are_served_some_at_a_time), T(a_broken_ring_breaks_its_device_alone),
		T(a_reset_forgets_what_waits), T(the_configuration_says_what_there_is),
		T(what_cannot_be_plugged_in_is_not_made),
	};

	return cmocka_run_group_tests_name("virtio_net", tests, NULL, NULL);
}
