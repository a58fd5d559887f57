/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest's driver leaves to the device: filling in a checksum, cutting TCP's segments. It is
 * checked when a packet is sent, passed on as it is to who can take it, and done here for others.
 * The length fields of the offload are not believed: all is found in the frame.
 *
 * IPv4: RFC 791. IPv6 and its extension headers: RFC 8200. TCP: RFC 9293.
 */
#include <linux/in.h>
#include <linux/in6.h>

#include "host/net/internal.h"

#define IPV4_HEADER_BYTES 20
#define IPV4_TOTAL_LENGTH 2
#define IPV4_ID 4
#define IPV4_FRAGMENT 6
#define IPV4_FRAGMENTED 0x3fff /* "more fragments", or an offset */
#define IPV4_PROTOCOL 9
#define IPV4_CHECKSUM 10
#define IPV4_SOURCE 12 /* and the destination behind it */
#define IPV6_HEADER_BYTES 40
#define IPV6_PAYLOAD_LENGTH 4
#define IPV6_NEXT_HEADER 6
#define IPV6_SOURCE 8
#define IPV6_EXTENSIONS 4 /* that a frame to be cut may have */
#define TCP_HEADER_BYTES 20
#define TCP_SEQUENCE 4
#define TCP_OFFSET 12
#define TCP_FLAGS 13
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80
#define TCP_CHECKSUM 16

/* The type of what follows the Ethernet header and at most one tag, which is at *at. */
static uint16_t ether_type(const struct net_packet *packet, uint32_t *at)
{
	uint16_t type = net_get16(packet->data + ETH_ALEN * 2);

	*at = ETH_HLEN;
	if (type != ETH_P_8021Q || packet->bytes < ETH_HLEN + 4)
		return type;
	*at += 4;
	return net_get16(packet->data + ETH_HLEN + 2);
}

/* The TCP header behind an IPv4 header, or 0. `end` is how far the headers may reach. */
static uint32_t find_tcp_ipv4(const uint8_t *data, uint32_t ip, uint32_t end)
{
	uint32_t header;

	if (ip + IPV4_HEADER_BYTES > end || data[ip] >> 4 != 4)
		return 0;
	header = (data[ip] & 0xf) * 4U;
	if (header < IPV4_HEADER_BYTES || data[ip + IPV4_PROTOCOL] != IPPROTO_TCP)
		return 0;
	return net_get16(data + ip + IPV4_FRAGMENT) & IPV4_FRAGMENTED ? 0 : ip + header;
}

static uint32_t find_tcp_ipv6(const uint8_t *data, uint32_t ip, uint32_t end)
{
	uint32_t at = ip + IPV6_HEADER_BYTES;
	uint8_t next;

	if (at > end || data[ip] >> 4 != 6)
		return 0;
	next = data[ip + IPV6_NEXT_HEADER];
	for (unsigned int i = 0; i < IPV6_EXTENSIONS && next != IPPROTO_TCP; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS)
			return 0;
		if (at + 8 > end)
			return 0;
		next = data[at];
		at += (data[at + 1] + 1U) * 8;
	}
	return next == IPPROTO_TCP ? at : 0;
}

/* Find TCP's payload in the frame; there is some. */
static bool parse(const struct net_packet *packet, struct net_headers *headers)
{
	const uint8_t *data = packet->data;
	uint32_t end = MIN(packet->bytes, (uint32_t)NET_HEADERS_BYTES);
	uint16_t type = ether_type(packet, &headers->ip);

	headers->ipv6 = type == ETH_P_IPV6;
	headers->tcp = 0;
	if (type == ETH_P_IP)
		headers->tcp = find_tcp_ipv4(data, headers->ip, end);
	else if (type == ETH_P_IPV6)
		headers->tcp = find_tcp_ipv6(data, headers->ip, end);
	if (!headers->tcp || headers->tcp + TCP_HEADER_BYTES > end)
		return false;
	headers->payload = headers->tcp + (data[headers->tcp + TCP_OFFSET] >> 4) * 4U;
	return headers->payload >= headers->tcp + TCP_HEADER_BYTES && headers->payload <= end &&
	       headers->payload < packet->bytes;
}

static bool check_checksum(const struct net_packet *packet)
{
	const struct virtio_net_hdr_v1 *offload = &packet->offload;

	return offload->csum_start >= ETH_HLEN &&
	       (uint32_t)offload->csum_start + offload->csum_offset + 2 <= packet->bytes;
}

/* Segmentation implies the checksum (virtio 1.2, "Packet Transmission"). */
static bool check_segments(struct net_packet *packet)
{
	struct virtio_net_hdr_v1 *offload = &packet->offload;
	struct net_headers headers;

	if (!(offload->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || !offload->gso_size)
		return false;
	if (packet->bytes > NET_PACKET_BYTES || !parse(packet, &headers))
		return false;
	if (headers.ipv6 != (offload->gso_type == VIRTIO_NET_HDR_GSO_TCPV6))
		return false;
	if (offload->csum_start != headers.tcp || offload->csum_offset != TCP_CHECKSUM)
		return false;
	/* IP's own lengths have 16 bits, and each segment fits where a frame does. */
	if (packet->bytes - headers.ip > UINT16_MAX)
		return false;
	offload->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	offload->hdr_len = (uint16_t)headers.payload;
	return headers.payload - headers.ip + offload->gso_size <= NET_MTU;
}

bool net_offload_check(struct net_packet *packet)
{
	struct virtio_net_hdr_v1 *offload = &packet->offload;

	offload->num_buffers = 0;
	if (packet->bytes < ETH_HLEN)
		return false;
	if (offload->gso_type == VIRTIO_NET_HDR_GSO_TCPV4 ||
	    offload->gso_type == VIRTIO_NET_HDR_GSO_TCPV6)
		return check_segments(packet);
	if (offload->gso_type != VIRTIO_NET_HDR_GSO_NONE || packet->bytes > NET_FRAME_BYTES)
		return false;
	offload->gso_size = 0;
	offload->hdr_len = 0;
	if (offload->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		offload->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		return check_checksum(packet);
	}
	offload->csum_start = 0;
	offload->csum_offset = 0;
	return true;
}

/* A checksum of zero means none in UDP, and the same as 0xffff elsewhere. */
static uint16_t finish_sum(uint64_t sum)
{
	uint16_t checksum = (uint16_t)~net_sum_fold(sum);

	return checksum ? checksum : 0xffff;
}

void net_offload_checksum(struct net_packet *packet)
{
	struct virtio_net_hdr_v1 *offload = &packet->offload;
	uint32_t start = offload->csum_start;
	uint8_t sum[2];

	net_put16(sum, finish_sum(net_packet_sum(packet, start, packet->bytes - start)));
	net_packet_write(packet, start + offload->csum_offset, sum, sizeof(sum));
	memset(offload, 0, sizeof(*offload));
}

/* Copy a stretch of one packet to the place `to_at` of another. */
static void copy_part(struct net_packet *to, uint32_t to_at, struct net_packet *from,
	uint32_t from_at, uint32_t bytes)
{
	uint32_t run;

	for (; bytes; to_at += run, from_at += run, bytes -= run) {
		const uint8_t *part = net_packet_at(from, from_at, &run);

		run = MIN(run, bytes);
		net_packet_write(to, to_at, part, run);
	}
}

struct net_packet *net_packet_copy(struct net_packet *packet)
{
	struct net_packet *copy = net_packet_alloc(packet->bytes);

	if (!copy)
		return NULL;
	copy_part(copy, 0, packet, 0, packet->bytes);
	copy->bytes = packet->bytes;
	copy->offload = packet->offload;
	return copy;
}

/* The lengths, identification and checksum of segment `index`'s IP header. */
static void finish_ip(struct net_packet *segment, const struct net_headers *headers,
	unsigned int index)
{
	uint8_t *ip = segment->data + headers->ip;
	uint32_t bytes = segment->bytes - headers->ip;

	if (headers->ipv6) {
		net_put16(ip + IPV6_PAYLOAD_LENGTH, bytes - IPV6_HEADER_BYTES);
		return;
	}
	net_put16(ip + IPV4_TOTAL_LENGTH, bytes);
	net_put16(ip + IPV4_ID, net_get16(ip + IPV4_ID) + index);
	net_put16(ip + IPV4_CHECKSUM, 0);
	net_put16(ip + IPV4_CHECKSUM,
		(uint16_t)~net_sum_fold(net_sum(ip, (ip[0] & 0xf) * 4U)));
}

/* Over the pseudo-header, too. */
static void finish_tcp(struct net_packet *segment, const struct net_headers *headers)
{
	uint8_t *ip = segment->data + headers->ip, *tcp = segment->data + headers->tcp;
	uint32_t bytes = segment->bytes - headers->tcp;
	uint64_t sum = IPPROTO_TCP + bytes;

	sum += headers->ipv6 ? net_sum(ip + IPV6_SOURCE, 32) : net_sum(ip + IPV4_SOURCE, 8);
	net_put16(tcp + TCP_CHECKSUM, 0);
	sum += net_packet_sum(segment, headers->tcp, bytes);
	net_put16(tcp + TCP_CHECKSUM, finish_sum(sum));
}

/* The segment whose payload begins at byte `at` of the packet. NULL: no memory. */
static struct net_packet *cut(struct net_packet *packet, const struct net_headers *headers,
	uint32_t at, unsigned int index)
{
	uint32_t payload = MIN(packet->bytes - at, (uint32_t)packet->offload.gso_size);
	struct net_packet *segment = net_packet_alloc(headers->payload + payload);
	uint8_t *tcp;

	if (!segment)
		return NULL;
	memcpy(segment->data, packet->data, headers->payload);
	copy_part(segment, headers->payload, packet, at, payload);
	segment->bytes = headers->payload + payload;
	tcp = segment->data + headers->tcp;
	net_put32(tcp + TCP_SEQUENCE, net_get32(tcp + TCP_SEQUENCE) + (at - headers->payload));
	if (index)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	if (at + payload < packet->bytes)
		tcp[TCP_FLAGS] &= (uint8_t)~(TCP_FIN | TCP_PSH);
	finish_ip(segment, headers, index);
	finish_tcp(segment, headers);
	return segment;
}

unsigned int net_offload_segment(struct net_packet *packet, struct net_packet **segments)
{
	struct net_headers headers;
	unsigned int count = 0;

	/* It was checked when it was sent and has not changed. */
	if (!parse(packet, &headers))
		return 0;
	for (uint32_t at = headers.payload; at < packet->bytes && count < NET_SEGMENTS;
	     at += packet->offload.gso_size) {
		segments[count] = cut(packet, &headers, at, count);
		if (!segments[count])
			break;
		count++;
	}
	return count;
}
