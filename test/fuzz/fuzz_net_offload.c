/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames with offload fields as a guest may send them: 12 bytes of header, two of length, and the frame's
 * beginning. What is taken is finished in software; all that comes out is a frame of an allowed length, and
 * the segments' payloads are the frame's.
 */
#include <string.h>

#include "host/net/internal.h"
#include "test/fuzz/input.h"

static uint8_t whole[NET_PACKET_BYTES], part[NET_PACKET_BYTES];

static struct net_packet *make(const uint8_t *data, size_t size)
{
	uint32_t bytes = (uint32_t)(data[12] | data[13] << 8) + (uint32_t)(size & 0xff);
	struct net_packet *packet;

	bytes = MIN(bytes, (uint32_t)NET_PACKET_BYTES);
	packet = net_packet_alloc(bytes);
	require(packet);
	memcpy(&packet->offload, data, 12);
	packet->bytes = bytes;
	data += 14;
	size -= 14;
	for (uint32_t i = 0; i < bytes; i++)
		whole[i] = size ? data[i % size] : (uint8_t)i;
	net_packet_write(packet, 0, whole, bytes);
	return packet;
}

static void check_segments(struct net_packet *packet, struct net_packet **segments, unsigned int count)
{
	uint32_t headers = packet->offload.hdr_len, at = headers;

	require(count >= 1 && count <= NET_SEGMENTS);
	for (unsigned int i = 0; i < count; i++) {
		uint32_t payload = segments[i]->bytes - headers;

		require(segments[i]->bytes > headers && segments[i]->bytes <= NET_FRAME_BYTES);
		require(payload == packet->offload.gso_size || at + payload == packet->bytes);
		net_packet_read(segments[i], headers, part, payload);
		require(memcmp(part, whole + at, payload) == 0);
		at += payload;
		net_packet_put(segments[i]);
	}
	require(count == NET_SEGMENTS || at == packet->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_packet *segments[NET_SEGMENTS], *packet;

	if (size < 14)
		return 0;
	packet = make(data, size);
	if (!net_offload_check(packet)) {
		net_packet_put(packet);
		return 0;
	}
	if (packet->offload.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		check_segments(packet, segments, net_offload_segment(packet, segments));
	} else {
		struct net_packet *copy = net_packet_copy(packet);

		require(copy && packet->bytes <= NET_FRAME_BYTES);
		if (packet->offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			net_offload_checksum(copy);
		require(copy->bytes == packet->bytes);
		net_packet_put(copy);
	}
	net_packet_put(packet);
	return 0;
}
