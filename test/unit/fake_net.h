/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames for the network's tests, and the reference for what offloads are to give. */
#ifndef BALLAST_TEST_FAKE_NET_H
#define BALLAST_TEST_FAKE_NET_H

#include "host/net/net.h"

/* One frame by itself, for comparing. */
struct fake_frame {
	uint32_t bytes;
	uint8_t data[NET_PACKET_BYTES];
};

/* What a TCP frame is made of. */
struct fake_tcp {
	const uint8_t *to, *from;
	bool ipv6, tagged;
	unsigned int ip_options;   /* IPv4: bytes; IPv6: bytes of destination options; multiple of 8 */
	unsigned int tcp_options;  /* bytes, a multiple of 4 */
	uint8_t flags;
	uint16_t id;
	uint32_t sequence;
	uint32_t payload;          /* bytes, pseudo-random */
	uint16_t gso_size;         /* 0: a checksum alone is left to be done */
};

/* A packet as a driver makes it: TCP's checksum is that of the pseudo-header. */
struct net_packet *fake_tcp_packet(const struct fake_tcp *tcp);
/* The sum of a frame's words from `at`, one at a time, by the book. */
uint16_t fake_checksum(const uint8_t *data, uint32_t bytes, uint32_t seed);
/* Are all checksums of this TCP/IP frame right, and the lengths? */
bool fake_tcp_is_right(const uint8_t *frame, uint32_t bytes);
/* A frame with a payload of `payload` bytes of a protocol that nobody knows. */
struct net_packet *fake_packet(const uint8_t *to, const uint8_t *from, uint32_t payload);

#endif
