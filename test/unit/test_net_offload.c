/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets, checksums, and what is left to be done to a frame: against a reference made by the book. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host/net/internal.h"
#include "test/unit/fake_frames.h"
#include "test/unit/fake_net.h"

#define FIN 1
#define PSH 8
#define ACK 16
#define CWR 128

static const uint8_t us[] = { 2, 0, 0, 0, 0, 1 }, them[] = { 2, 0, 0, 0, 0, 2 };
static uint8_t bytes[NET_PACKET_BYTES], others[NET_PACKET_BYTES];

static int end(void **state)
{
	(void)state;
	fake_frames_until_failure = -1;
	net_pool_trim();
	assert_int_equal(net_pool_bytes(), 0);
	assert_int_equal(fake_frames_in_use, 0);
	return 0;
}

static uint32_t below(uint32_t limit)
{
	return (uint32_t)rand() % limit;
}

static void packets_are_pages(void **state)
{
	struct net_packet *packet;

	(void)state;
	assert_null(net_packet_alloc(NET_PACKET_BYTES + 1));
	for (uint32_t size = 0; size <= NET_PACKET_BYTES; size += size < 3900 ? 1300 : 331) {
		packet = net_packet_alloc(size);
		assert_non_null(packet);
		assert_true(packet->room >= size);
		assert_int_equal(packet->bytes, 0);
		assert_int_equal(packet->offload.gso_type, 0);
		assert_int_equal(net_pool_bytes() >= net_packet_memory(packet), 1);
		for (uint32_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)rand();
		net_packet_write(packet, 0, bytes, size);
		net_packet_read(packet, size / 3, others, size - size / 3);
		assert_memory_equal(others, bytes + size / 3, size - size / 3);
		net_packet_put(packet);
	}
}

static void a_reference_keeps_a_packet(void **state)
{
	struct net_packet *packet = net_packet_alloc(100);

	(void)state;
	net_packet_get(packet);
	net_packet_put(packet);
	packet->data[99] = 1;
	net_packet_put(packet);
}

static void memory_that_runs_out_is_told(void **state)
{
	struct net_packet *packet;

	(void)state;
	for (int64_t pages = 0; pages < 17; pages++) {
		fake_frames_until_failure = pages;
		assert_null(net_packet_alloc(NET_PACKET_BYTES));
		fake_frames_until_failure = -1;
		net_pool_trim();
		assert_int_equal(fake_frames_in_use, 0);
	}
	packet = net_packet_alloc(NET_PACKET_BYTES);
	assert_non_null(packet);
	net_packet_put(packet);
}

static void the_pool_is_bounded(void **state)
{
	static struct net_packet *packets[8192];
	unsigned int count = 0;

	(void)state;
	while (count < ARRAY_SIZE(packets) && (packets[count] = net_packet_alloc(1)))
		count++;
	assert_in_range(count, 1000, ARRAY_SIZE(packets) - 1);
	net_pool_resize(3);
	for (unsigned int i = 0; i < 3; i++)
		assert_non_null(packets[count++] = net_packet_alloc(1));
	assert_null(net_packet_alloc(1));
	net_pool_resize(-3);
	while (count)
		net_packet_put(packets[--count]);
	/* Some are kept, the others are the machine's again. */
	assert_in_range(net_pool_bytes(), 1, MIB(4));
}

static void sums_are_those_of_the_book(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = rand() % 3 ? (uint8_t)rand() : 0xff;
	for (unsigned int i = 0; i < 3000; i++) {
		uint32_t size = below(i < 1000 ? 200 : 3000), at = below(300);

		assert_int_equal(net_sum_fold(net_sum(bytes + at, size)), fake_checksum(bytes + at, size, 0));
	}
	memset(bytes, 0, 100);
	assert_int_equal(net_sum(bytes, 99), 0);
}

static void sums_go_over_pages(void **state)
{
	struct net_packet *packet = net_packet_alloc(NET_PACKET_BYTES);

	(void)state;
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)rand();
	net_packet_write(packet, 0, bytes, sizeof(bytes));
	for (unsigned int i = 0; i < 300; i++) {
		uint32_t at = below(sizeof(bytes)), size = below((uint32_t)sizeof(bytes) - at);

		assert_int_equal(net_sum_fold(net_packet_sum(packet, at, size)),
			fake_checksum(bytes + at, size, 0));
	}
	net_packet_put(packet);
}

static struct fake_tcp some_tcp(void)
{
	struct fake_tcp tcp = { .to = them, .from = us, .ipv6 = rand() & 1, .tagged = rand() % 4 == 0,
		.tcp_options = below(11) * 4, .flags = (uint8_t)rand(), .id = (uint16_t)rand(),
		.sequence = (uint32_t)rand() << 4, .gso_size = (uint16_t)(1 + below(1300)),
		.ip_options = rand() % 4 ? 0 : 8 * (1 + below(4)) };
	uint32_t most = rand() % 4 ? 8000 : 65000;

	tcp.payload = 1 + below(MIN(most, tcp.gso_size * 60U));
	return tcp;
}

/* The i-th segment's fields, by the book. */
static void assert_segment(const struct fake_tcp *tcp, struct net_packet *segment, struct net_packet *whole,
	unsigned int index, unsigned int count)
{
	uint32_t ip = ETH_HLEN + (tcp->tagged ? 4 : 0);
	uint32_t header = ip + (tcp->ipv6 ? 40 : 20) + tcp->ip_options + 20 + tcp->tcp_options;
	uint32_t at = header - 20 - tcp->tcp_options, start = index * tcp->gso_size;
	uint32_t payload = MIN(tcp->payload - start, (uint32_t)tcp->gso_size);
	uint8_t flags = tcp->flags;

	assert_int_equal(segment->bytes, header + payload);
	assert_int_equal(segment->offload.flags, 0);
	assert_int_equal(segment->offload.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	net_packet_read(segment, 0, bytes, segment->bytes);
	assert_true(fake_tcp_is_right(bytes, segment->bytes));
	net_packet_read(whole, header + start, others, payload);
	assert_memory_equal(bytes + header, others, payload);
	assert_memory_equal(bytes, whole->data, ip);
	if (!tcp->ipv6)
		assert_int_equal(bytes[ip + 4] << 8 | bytes[ip + 5], (uint16_t)(tcp->id + index));
	assert_int_equal((uint32_t)bytes[at + 4] << 24 | bytes[at + 5] << 16 | bytes[at + 6] << 8 | bytes[at + 7],
		tcp->sequence + start);
	if (index + 1 < count)
		flags &= (uint8_t)~(FIN | PSH);
	if (index)
		flags &= (uint8_t)~CWR;
	assert_int_equal(bytes[at + 13], flags);
}

static void segments_are_those_of_the_book(void **state)
{
	struct net_packet *segments[NET_SEGMENTS];

	(void)state;
	for (unsigned int i = 0; i < 400; i++) {
		struct fake_tcp tcp = some_tcp();
		struct net_packet *packet = fake_tcp_packet(&tcp);
		unsigned int count, expected = (tcp.payload + tcp.gso_size - 1) / tcp.gso_size;

		packet->offload.hdr_len = (uint16_t)rand(); /* nobody believes it */
		assert_true(net_offload_check(packet));
		count = net_offload_segment(packet, segments);
		assert_int_equal(count, expected);
		for (unsigned int j = 0; j < count; j++) {
			assert_segment(&tcp, segments[j], packet, j, count);
			net_packet_put(segments[j]);
		}
		net_packet_put(packet);
	}
}

static void segments_are_bounded(void **state)
{
	struct net_packet *segments[NET_SEGMENTS];
	struct fake_tcp tcp = { .to = them, .from = us, .payload = 60000, .gso_size = 100, .flags = ACK };
	struct net_packet *packet = fake_tcp_packet(&tcp);
	unsigned int count;

	(void)state;
	assert_true(net_offload_check(packet));
	count = net_offload_segment(packet, segments);
	assert_int_equal(count, NET_SEGMENTS);
	while (count)
		net_packet_put(segments[--count]);
	net_pool_trim();
	/* No memory for the third: two are better than none. */
	fake_frames_until_failure = 2;
	assert_int_equal(count = net_offload_segment(packet, segments), 2);
	while (count)
		net_packet_put(segments[--count]);
	net_packet_put(packet);
}

static void checksums_are_filled_in(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 300; i++) {
		struct fake_tcp tcp = some_tcp();
		struct net_packet *packet, *copy;

		tcp.gso_size = 0;
		tcp.payload = below(1300);
		packet = fake_tcp_packet(&tcp);
		assert_true(net_offload_check(packet));
		copy = net_packet_copy(packet);
		assert_non_null(copy);
		net_offload_checksum(copy);
		assert_true(fake_tcp_is_right(copy->data, copy->bytes));
		assert_int_equal(copy->offload.flags, 0);
		assert_int_equal(packet->offload.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		net_packet_put(packet);
		net_packet_put(copy);
	}
	fake_frames_until_failure = 0;
	net_pool_trim();
}

static void a_checksum_of_zero_is_sent_as_ones(void **state)
{
	struct net_packet *packet = fake_packet(them, us, 40);

	(void)state;
	packet->offload = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 20,
		.csum_offset = 6 };
	memset(packet->data + 20, 0, 34);
	memset(packet->data + 30, 0xff, 2);
	assert_true(net_offload_check(packet));
	net_offload_checksum(packet);
	assert_memory_equal(packet->data + 26, "\xff\xff", 2);
	net_packet_put(packet);
}

/* `what` is done to a good frame; is it taken still? */
static bool taken(const struct fake_tcp *tcp, void (*spoil)(struct net_packet *packet))
{
	struct net_packet *packet = fake_tcp_packet(tcp);
	bool answer;

	spoil(packet);
	answer = net_offload_check(packet);
	net_packet_put(packet);
	return answer;
}

#define SPOIL(name, ...) static void name(struct net_packet *packet) { __VA_ARGS__; }
SPOIL(not_at_all, (void)packet)
SPOIL(size_zero, packet->offload.gso_size = 0)
SPOIL(size_too_large, packet->offload.gso_size = 1461)
SPOIL(no_checksum, packet->offload.flags = 0)
SPOIL(type_unknown, packet->offload.gso_type = VIRTIO_NET_HDR_GSO_UDP)
SPOIL(type_ecn, packet->offload.gso_type |= VIRTIO_NET_HDR_GSO_ECN)
SPOIL(other_family, packet->offload.gso_type = packet->offload.gso_type == VIRTIO_NET_HDR_GSO_TCPV4
	? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4)
SPOIL(start_moved, packet->offload.csum_start++)
SPOIL(offset_moved, packet->offload.csum_offset = 6)
SPOIL(not_ip, packet->data[12] = 0x12)
SPOIL(other_version, packet->data[14] ^= 0x70)
SPOIL(header_short, packet->data[14] = 0x44)
SPOIL(not_tcp, packet->data[packet->data[14] >> 4 == 4 ? 23 : 20] = 17)
SPOIL(fragment, packet->data[20] = 0x20)
SPOIL(fragment_later, packet->data[21] = 1)
SPOIL(tcp_short, packet->data[packet->offload.csum_start + 12] = 0x40)
SPOIL(no_payload, packet->bytes = packet->offload.hdr_len)
SPOIL(only_ethernet, packet->bytes = 14)
SPOIL(nothing, packet->bytes = 13)
SPOIL(in_ip, packet->bytes = 30)
SPOIL(in_tcp, packet->bytes = packet->offload.csum_start + 18U)
SPOIL(endless_options, packet->data[20] = 0; packet->data[55] = 0xff)
SPOIL(many_options, packet->data[20] = 0; memset(packet->data + 54, 0, 200))
SPOIL(options_to_the_end, packet->data[20] = 0; packet->bytes = 55)
SPOIL(tagged_short, memcpy(packet->data + 12, "\x81\x00", 2); packet->bytes = 16)

static void what_does_not_fit_together_is_refused(void **state)
{
	struct fake_tcp tcp = { .to = them, .from = us, .payload = 5000, .gso_size = 1000, .flags = ACK };
	void (*const spoils[])(struct net_packet *) = { size_zero, size_too_large, no_checksum, type_unknown,
		type_ecn, other_family, start_moved, offset_moved, not_ip, other_version, header_short, not_tcp,
		tcp_short, no_payload, only_ethernet, nothing, in_ip, in_tcp, tagged_short };

	(void)state;
	for (unsigned int family = 0; family < 2; family++) {
		tcp.ipv6 = family;
		assert_true(taken(&tcp, not_at_all));
		for (unsigned int i = 0; i < ARRAY_SIZE(spoils); i++)
			if (taken(&tcp, spoils[i]))
				fail_msg("what spoils[%u] of family %u did was taken", i, family);
	}
	assert_false(taken(&tcp, endless_options));
	assert_false(taken(&tcp, many_options));
	assert_false(taken(&tcp, options_to_the_end));
	tcp.ipv6 = false;
	assert_false(taken(&tcp, fragment));
	assert_false(taken(&tcp, fragment_later));
	/* Longer than IP can say. */
	tcp.payload = 65535 - 40;
	assert_true(taken(&tcp, not_at_all));
	tcp.payload++;
	assert_false(taken(&tcp, not_at_all));
}

static void lengths_and_checksums_of_frames(void **state)
{
	struct net_packet *packet = fake_packet(them, us, NET_FRAME_BYTES - ETH_HLEN + 1);

	(void)state;
	assert_false(net_offload_check(packet));
	packet->bytes--;
	assert_true(net_offload_check(packet));
	packet->offload = (struct virtio_net_hdr_v1){ .flags = 1, .csum_start = 13, .csum_offset = 0 };
	assert_false(net_offload_check(packet));
	packet->offload.csum_start = 14;
	assert_true(net_offload_check(packet));
	packet->offload.csum_offset = NET_FRAME_BYTES - 16;
	assert_true(net_offload_check(packet));
	packet->offload.csum_offset++;
	assert_false(net_offload_check(packet));
	packet->offload = (struct virtio_net_hdr_v1){ .flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff };
	assert_false(net_offload_check(packet));
	/* What is not used says nothing. */
	packet->offload = (struct virtio_net_hdr_v1){ .csum_start = 0xffff, .gso_size = 7, .hdr_len = 3 };
	assert_true(net_offload_check(packet));
	assert_int_equal(packet->offload.csum_start + packet->offload.gso_size + packet->offload.hdr_len, 0);
	net_packet_put(packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(packets_are_pages, end),
		cmocka_unit_test_teardown(a_reference_keeps_a_packet, end),
		cmocka_unit_test_teardown(memory_that_runs_out_is_told, end),
		cmocka_unit_test_teardown(the_pool_is_bounded, end),
		cmocka_unit_test_teardown(sums_are_those_of_the_book, end),
		cmocka_unit_test_teardown(sums_go_over_pages, end),
		cmocka_unit_test_teardown(segments_are_those_of_the_book, end),
		cmocka_unit_test_teardown(segments_are_bounded, end),
		cmocka_unit_test_teardown(checksums_are_filled_in, end),
		cmocka_unit_test_teardown(a_checksum_of_zero_is_sent_as_ones, end),
		cmocka_unit_test_teardown(what_does_not_fit_together_is_refused, end),
		cmocka_unit_test_teardown(lengths_and_checksums_of_frames, end),
	};

	return cmocka_run_group_tests_name("net_offload", tests, NULL, NULL);
}
