/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/chacha20.h"

#include "lib/load.h"

#define WORDS (CHACHA20_BLOCK_BYTES / 4)
#define DOUBLE_ROUNDS 10

static inline uint32_t rotate(uint32_t value, unsigned int bits)
{
	return value << bits | value >> (32 - bits);
}

/* "The ChaCha Quarter Round" */
#define QUARTER_ROUND(a, b, c, d)           \
	do {                                \
		(a) += (b);                 \
		(d) = rotate((d) ^ (a), 16); \
		(c) += (d);                 \
		(b) = rotate((b) ^ (c), 12); \
		(a) += (b);                 \
		(d) = rotate((d) ^ (a), 8); \
		(c) += (d);                 \
		(b) = rotate((b) ^ (c), 7); \
	} while (0)

/* "The ChaCha20 Block Function", into words of the stream. */
static void make_block(const uint32_t state[WORDS], uint32_t stream[WORDS])
{
	uint32_t x[WORDS];

	for (unsigned int i = 0; i < WORDS; i++)
		x[i] = state[i];
	for (unsigned int i = 0; i < DOUBLE_ROUNDS; i++) {
		QUARTER_ROUND(x[0], x[4], x[8], x[12]);
		QUARTER_ROUND(x[1], x[5], x[9], x[13]);
		QUARTER_ROUND(x[2], x[6], x[10], x[14]);
		QUARTER_ROUND(x[3], x[7], x[11], x[15]);
		QUARTER_ROUND(x[0], x[5], x[10], x[15]);
		QUARTER_ROUND(x[1], x[6], x[11], x[12]);
		QUARTER_ROUND(x[2], x[7], x[8], x[13]);
		QUARTER_ROUND(x[3], x[4], x[9], x[14]);
	}
	for (unsigned int i = 0; i < WORDS; i++)
		stream[i] = x[i] + state[i];
}

static inline void store32(uint8_t *to, uint32_t value)
{
	__builtin_memcpy(to, &value, sizeof(value));
}

void chacha20_set_key(struct chacha20_key *key, const uint8_t bytes[CHACHA20_KEY_BYTES])
{
	for (unsigned int i = 0; i < CHACHA20_KEY_BYTES / 4; i++)
		key->words[i] = load32(bytes + (size_t)4 * i);
}

static void xor_part(const uint32_t *stream, const uint8_t *from, uint8_t *to, size_t bytes)
{
	const uint8_t *part = (const uint8_t *)stream;

	for (size_t i = 0; i < bytes; i++)
		to[i] = from[i] ^ part[i];
}

static void xor_block(const uint32_t stream[WORDS], const uint8_t *from, uint8_t *to)
{
	for (unsigned int i = 0; i < WORDS; i++)
		store32(to + (size_t)4 * i, load32(from + (size_t)4 * i) ^ stream[i]);
}

void chacha20_xor(const struct chacha20_key *key, const uint8_t nonce[CHACHA20_NONCE_BYTES],
	uint32_t block, const void *from, void *to, size_t bytes)
{
	/* "expand 32-byte k" */
	uint32_t state[WORDS] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
	uint32_t stream[WORDS];
	const uint8_t *in = from;
	uint8_t *out = to;

	for (unsigned int i = 0; i < 8; i++)
		state[4 + i] = key->words[i];
	state[12] = block;
	for (unsigned int i = 0; i < 3; i++)
		state[13 + i] = load32(nonce + (size_t)4 * i);
	for (; bytes >= CHACHA20_BLOCK_BYTES; bytes -= CHACHA20_BLOCK_BYTES) {
		make_block(state, stream);
		xor_block(stream, in, out);
		in += CHACHA20_BLOCK_BYTES;
		out += CHACHA20_BLOCK_BYTES;
		state[12]++;
	}
	if (!bytes)
		return;
	make_block(state, stream);
	xor_part(stream, in, out, bytes);
}
