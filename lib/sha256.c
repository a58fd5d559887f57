/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/sha256.h"

#include "lib/string.h"

/* FIPS 180-4, "SHA-224 and SHA-256 Constants": of the cube roots of the first 64 primes. */
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static inline uint32_t rotate(uint32_t word, unsigned int by)
{
	return word >> by | word << (32 - by);
}

static inline uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
		bytes[3];
}

static inline void put32(uint8_t *bytes, uint32_t word)
{
	bytes[0] = (uint8_t)(word >> 24);
	bytes[1] = (uint8_t)(word >> 16);
	bytes[2] = (uint8_t)(word >> 8);
	bytes[3] = (uint8_t)word;
}

/* FIPS 180-4, "SHA-256 Preprocessing": the message schedule. */
static void schedule(uint32_t w[64], const uint8_t block[SHA256_BLOCK_BYTES])
{
	for (unsigned int t = 0; t < 16; t++)
		w[t] = get32(block + 4 * t);
	for (unsigned int t = 16; t < 64; t++) {
		uint32_t a = w[t - 15], b = w[t - 2];

		w[t] = w[t - 16] + w[t - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
			(rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
}

/* FIPS 180-4, "SHA-256 Hash Computation", with its names a to h. */
static void compress(uint32_t state[8], const uint8_t block[SHA256_BLOCK_BYTES])
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
	uint32_t w[64];

	schedule(w, block);
	for (unsigned int t = 0; t < 64; t++) {
		uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
			((e & f) ^ (~e & g)) + constants[t] + w[t];
		uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
			((a & b) ^ (a & c) ^ (b & c));

		h = g;
		g = f;
		f = e;
		e = d + t1;
		d = c;
		c = b;
		b = a;
		a = t1 + t2;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}

void sha256_begin(struct sha256 *hash)
{
	*hash = (struct sha256){ .state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 } };
}

void sha256_add(struct sha256 *hash, const void *data, size_t bytes)
{
	const uint8_t *from = data;

	while (bytes) {
		size_t used = hash->bytes % SHA256_BLOCK_BYTES;
		size_t part = MIN(bytes, SHA256_BLOCK_BYTES - used);

		memcpy(hash->block + used, from, part);
		hash->bytes += part;
		from += part;
		bytes -= part;
		if (used + part == SHA256_BLOCK_BYTES)
			compress(hash->state, hash->block);
	}
}

void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES])
{
	static const uint8_t padding[SHA256_BLOCK_BYTES] = { 0x80 };
	uint64_t bits = hash->bytes * 8;
	size_t used = hash->bytes % SHA256_BLOCK_BYTES;
	uint8_t length[8];

	put32(length, (uint32_t)(bits >> 32));
	put32(length + 4, (uint32_t)bits);
	/* One bit, zeroes, and the length at the end of a block. */
	sha256_add(hash, padding, (used < 56 ? 56 : 120) - used);
	sha256_add(hash, length, sizeof(length));
	for (unsigned int i = 0; i < 8; i++)
		put32(digest + 4 * i, hash->state[i]);
}

void hmac_key_set(struct hmac_key *key, const uint8_t *secret, size_t bytes)
{
	uint8_t pad[SHA256_BLOCK_BYTES];

	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] = (i < bytes ? secret[i] : 0) ^ 0x36;
	sha256_begin(&key->inner);
	sha256_add(&key->inner, pad, sizeof(pad));
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	sha256_begin(&key->outer);
	sha256_add(&key->outer, pad, sizeof(pad));
}

void hmac_begin(struct hmac *hmac, const struct hmac_key *key)
{
	hmac->inner = key->inner;
	hmac->key = key;
}

void hmac_add(struct hmac *hmac, const void *data, size_t bytes)
{
	sha256_add(&hmac->inner, data, bytes);
}

void hmac_end(struct hmac *hmac, uint8_t tag[SHA256_BYTES])
{
	struct sha256 outer = hmac->key->outer;

	sha256_end(&hmac->inner, tag);
	sha256_add(&outer, tag, SHA256_BYTES);
	sha256_end(&outer, tag);
}
