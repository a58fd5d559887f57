/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256 (FIPS 180-4) and HMAC with it (FIPS 198-1). Takes the same time for all data. Pure. */
#ifndef BALLAST_LIB_SHA256_H
#define BALLAST_LIB_SHA256_H

#include "lib/util.h"

#define SHA256_BYTES 32
#define SHA256_BLOCK_BYTES 64

struct sha256 {
	uint32_t state[8];
	uint64_t bytes;
	uint8_t block[SHA256_BLOCK_BYTES];
};

void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t bytes);
void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES]);

/* A key, already hashed into both parts, so that it is hashed once for many messages. */
struct hmac_key {
	struct sha256 inner, outer;
};

struct hmac {
	struct sha256 inner;
	const struct hmac_key *key;
};

/* A key of at most SHA256_BLOCK_BYTES. */
void hmac_key_set(struct hmac_key *key, const uint8_t *secret, size_t bytes);
void hmac_begin(struct hmac *hmac, const struct hmac_key *key);
void hmac_add(struct hmac *hmac, const void *data, size_t bytes);
void hmac_end(struct hmac *hmac, uint8_t tag[SHA256_BYTES]);

#endif
