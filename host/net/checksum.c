/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Internet checksum. The sum of ones' complement is the same in either byte order but for the
 * order of its result, so words are added as the CPU reads them and swapped once at the end.
 */
#include "host/net/internal.h"

struct any64 { uint64_t v; } __packed __attribute__((may_alias));

#define BLOCK_BYTES 64

/* Eight words with carry, and the carry. */
static inline uint64_t add_block(uint64_t sum, const uint8_t *at)
{
	__asm__("addq (%1), %0\n\t"
		"adcq 8(%1), %0\n\t"
		"adcq 16(%1), %0\n\t"
		"adcq 24(%1), %0\n\t"
		"adcq 32(%1), %0\n\t"
		"adcq 40(%1), %0\n\t"
		"adcq 48(%1), %0\n\t"
		"adcq 56(%1), %0\n\t"
		"adcq $0, %0"
		: "+r"(sum)
		: "r"(at), "m"(*(const uint8_t (*)[BLOCK_BYTES])at)
		: "cc");
	return sum;
}

static inline uint64_t add_word(uint64_t sum, uint64_t word)
{
	uint64_t result;

	return __builtin_add_overflow(sum, word, &result) ? result + 1 : result;
}

uint16_t net_sum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint64_t net_sum(const void *data, uint32_t bytes)
{
	const uint8_t *at = data;
	uint64_t sum = 0, tail = 0;

	for (; bytes >= BLOCK_BYTES; at += BLOCK_BYTES, bytes -= BLOCK_BYTES)
		sum = add_block(sum, at);
	for (; bytes >= 8; at += 8, bytes -= 8)
		sum = add_word(sum, ((const struct any64 *)at)->v);
	memcpy(&tail, at, bytes);
	return __builtin_bswap16(net_sum_fold(add_word(sum, tail)));
}

uint64_t net_packet_sum(struct net_packet *packet, uint32_t at, uint32_t bytes)
{
	uint64_t sum = 0;
	uint32_t run;
	bool odd = false;

	for (; bytes; at += run, bytes -= run) {
		const uint8_t *part = net_packet_at(packet, at, &run);
		uint64_t partial;

		run = MIN(run, bytes);
		partial = net_sum(part, run);
		sum += odd ? __builtin_bswap16((uint16_t)partial) : partial;
		odd ^= run & 1;
	}
	return sum;
}
