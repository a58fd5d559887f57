/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the network have between themselves. */
#ifndef BALLAST_HOST_NET_INTERNAL_H
#define BALLAST_HOST_NET_INTERNAL_H

#include "host/net/net.h"
#include "lib/string.h"

#define NET_HEADERS_BYTES 256 /* Ethernet's to TCP's, at most: they lie in a packet's data[] */

/* A counter that one CPU at a time counts, and any reads. */
static inline void net_count(uint64_t *counter, uint64_t by)
{
	__atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

static inline bool net_mac_equal(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, ETH_ALEN) == 0;
}

static inline uint16_t net_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t net_get32(const uint8_t *at)
{
	return (uint32_t)net_get16(at) << 16 | net_get16(at + 2);
}

static inline void net_put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void net_put32(uint8_t *at, uint32_t value)
{
	net_put16(at, value >> 16);
	net_put16(at + 2, value);
}

/* packet.c: packets may take `pages` more, or fewer. Boot CPU. */
void net_pool_resize(int pages);
/* Give the pages that are kept for later back to the machine. Any CPU. */
void net_pool_trim(void);

/*
 * checksum.c: the Internet checksum (RFC 1071). The ones' complement sum of big-endian words, not
 * folded; what is odd is padded with a zero. Sums of parts add up where they begin at even bytes.
 */
uint64_t net_sum(const void *data, uint32_t bytes);
uint64_t net_packet_sum(struct net_packet *packet, uint32_t at, uint32_t bytes);
uint16_t net_sum_fold(uint64_t sum);

/* offload.c: what an offload asks for, found in the frame itself. */
struct net_headers {
	uint32_t ip, tcp, payload; /* where they begin */
	bool ipv6;
};

/*
 * Do the offload fields fit the frame? What they do not use is cleared. A frame with segments to be
 * cut is TCP's over IP as far as its headers go.
 */
bool net_offload_check(struct net_packet *packet) __must_check;
/* Fill in the checksum that is left to be done: of a packet that nobody else has. */
void net_offload_checksum(struct net_packet *packet);
/*
 * Cut into segments with all checksums: how many, at most NET_SEGMENTS (what is behind them is
 * lost, as on a bad line) and fewer when there is no memory.
 */
unsigned int net_offload_segment(struct net_packet *packet, struct net_packet **segments);
/* The same frame in another packet; NULL: no memory. */
struct net_packet *net_packet_copy(struct net_packet *packet) __must_check;

/* port.c: may it send so many bytes now? They are paid for then. Its sender's. */
bool net_port_pay(struct net_port *port, uint32_t bytes);
/*
 * Queue packets, a reference to each of which is the port's from now on, and tell it. What does not
 * fit is dropped. The port is pinned.
 */
void net_port_queue(struct net_port *port, struct net_packet *const *packets, unsigned int count);

/* learn.c: addresses that were seen behind a port, each port's in a table of its own. */
struct net_learned *net_learned_create(void);
void net_learned_destroy(struct net_learned *learned);
void net_learn(struct net_learned *learned, const uint8_t *mac);
/* When it was seen there, in TSC ticks; 0: not, or too long ago. */
uint64_t net_learned_at(const struct net_learned *learned, const uint8_t *mac);
unsigned int net_learned_entries(const struct net_learned *learned);

#endif
