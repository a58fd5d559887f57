/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_net.h. Written from the RFCs, without a look at the code under test. */
#include "test/unit/fake_net.h"

#undef NDEBUG
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

static uint32_t seed = 1;

static uint8_t random_byte(void)
{
	seed = seed * 1664525 + 1013904223;
	return (uint8_t)(seed >> 24);
}

uint16_t fake_checksum(const uint8_t *data, uint32_t bytes, uint32_t sum)
{
	for (uint32_t i = 0; i < bytes; i++) {
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)sum;
}

static uint16_t pseudo_header(const uint8_t *ip, bool ipv6, uint32_t tcp_bytes)
{
	uint8_t bytes[40] = { 0 };
	uint32_t length = ipv6 ? 40 : 12;

	memcpy(bytes, ip + (ipv6 ? 8 : 12), ipv6 ? 32 : 8);
	bytes[length - 1] = IPPROTO_TCP;
	if (ipv6) {
		uint32_t big = htonl(tcp_bytes);

		memcpy(bytes + 32, &big, 4);
		return fake_checksum(bytes, 40, 0);
	}
	bytes[9] = IPPROTO_TCP;
	bytes[8] = 0;
	bytes[10] = (uint8_t)(tcp_bytes >> 8);
	bytes[11] = (uint8_t)tcp_bytes;
	return fake_checksum(bytes, 12, 0);
}

static uint8_t *put_ip(uint8_t *at, const struct fake_tcp *tcp, uint32_t tcp_bytes)
{
	uint8_t *ip = at;

	if (tcp->ipv6) {
		struct ip6_hdr header = { .ip6_flow = htonl(6U << 28),
			.ip6_plen = htons((uint16_t)(tcp_bytes + tcp->ip_options)),
			.ip6_nxt = tcp->ip_options ? IPPROTO_DSTOPTS : IPPROTO_TCP, .ip6_hlim = 64 };

		for (unsigned int i = 0; i < 32; i++)
			((uint8_t *)&header)[8 + i] = random_byte();
		memcpy(at, &header, sizeof(header));
		at += sizeof(header);
		if (tcp->ip_options) {
			memset(at, 0, tcp->ip_options);
			at[0] = IPPROTO_TCP;
			at[1] = (uint8_t)(tcp->ip_options / 8 - 1);
			at[2] = 1; /* PadN */
			at[3] = (uint8_t)(tcp->ip_options - 4);
		}
	} else {
		struct ip header = { .ip_v = 4, .ip_hl = (5 + tcp->ip_options / 4) & 0xf,
			.ip_len = htons((uint16_t)(20 + tcp->ip_options + tcp_bytes)), .ip_id = htons(tcp->id),
			.ip_off = htons(IP_DF), .ip_ttl = 64, .ip_p = IPPROTO_TCP };

		for (unsigned int i = 0; i < 8; i++)
			((uint8_t *)&header)[12 + i] = random_byte();
		memcpy(at, &header, sizeof(header));
		memset(at + sizeof(header), 1, tcp->ip_options); /* no operation */
		at += sizeof(header);
		uint16_t sum = (uint16_t)~fake_checksum(ip, 20 + tcp->ip_options, 0);
		ip[10] = (uint8_t)(sum >> 8);
		ip[11] = (uint8_t)sum;
	}
	return at + tcp->ip_options;
}

struct net_packet *fake_tcp_packet(const struct fake_tcp *tcp)
{
	static uint8_t frame[NET_PACKET_BYTES];
	uint32_t header = 20 + tcp->tcp_options;
	uint8_t *at = frame + 12, *ip;
	struct net_packet *packet;
	uint16_t sum;
	uint32_t bytes;

	memcpy(frame, tcp->to, ETH_ALEN);
	memcpy(frame + ETH_ALEN, tcp->from, ETH_ALEN);
	if (tcp->tagged) {
		memcpy(at, "\x81\x00\x00\x07", 4);
		at += 4;
	}
	memcpy(at, tcp->ipv6 ? "\x86\xdd" : "\x08\x00", 2);
	ip = at + 2;
	at = put_ip(ip, tcp, header + tcp->payload);
	struct tcphdr fields = { .th_sport = htons(1234), .th_dport = htons(80), .th_seq = htonl(tcp->sequence),
		.th_ack = htonl(77), .th_off = header / 4 & 0xf, .th_flags = tcp->flags, .th_win = htons(500) };
	memcpy(at, &fields, sizeof(fields));
	memset(at + 20, 1, tcp->tcp_options);
	sum = pseudo_header(ip, tcp->ipv6, header + tcp->payload);
	at[16] = (uint8_t)(sum >> 8);
	at[17] = (uint8_t)sum;
	for (uint32_t i = 0; i < tcp->payload; i++)
		at[header + i] = random_byte();
	bytes = (uint32_t)(at - frame) + header + tcp->payload;
	assert(bytes <= sizeof(frame));
	packet = net_packet_alloc(bytes);
	assert(packet);
	net_packet_write(packet, 0, frame, bytes);
	packet->bytes = bytes;
	packet->offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	packet->offload.csum_start = (uint16_t)(at - frame);
	packet->offload.csum_offset = 16;
	if (tcp->gso_size) {
		packet->offload.gso_type = tcp->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		packet->offload.gso_size = tcp->gso_size;
		packet->offload.hdr_len = (uint16_t)(at - frame + header);
	}
	return packet;
}

bool fake_tcp_is_right(const uint8_t *frame, uint32_t bytes)
{
	const uint8_t *ip = frame + 14, *tcp;
	uint32_t header, left;

	if (frame[12] == 0x81)
		ip += 4;
	left = bytes - (uint32_t)(ip - frame);
	if (ip[0] >> 4 == 4) {
		header = (ip[0] & 15) * 4U;
		if (fake_checksum(ip, header, 0) != 0xffff || (uint32_t)(ip[2] << 8 | ip[3]) != left)
			return false;
	} else {
		header = 40;
		if (ip[6] == IPPROTO_DSTOPTS)
			header += (ip[41] + 1U) * 8;
		if ((uint32_t)(ip[4] << 8 | ip[5]) != left - 40)
			return false;
	}
	tcp = ip + header;
	left -= header;
	return fake_checksum(tcp, left, pseudo_header(ip, ip[0] >> 4 == 6, left)) == 0xffff;
}

struct net_packet *fake_packet(const uint8_t *to, const uint8_t *from, uint32_t payload)
{
	struct net_packet *packet = net_packet_alloc(ETH_HLEN + payload);

	assert(packet);
	memcpy(packet->data, to, ETH_ALEN);
	memcpy(packet->data + ETH_ALEN, from, ETH_ALEN);
	memcpy(packet->data + 12, "\x88\xb5", 2);
	packet->bytes = ETH_HLEN + payload;
	for (uint32_t i = 0; i < payload; i++) {
		uint8_t byte = random_byte();

		net_packet_write(packet, ETH_HLEN + i, &byte, 1);
	}
	return packet;
}
