/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stream cipher ChaCha20 (RFC 8439). Takes the same time for all keys and data. It works in the
 * vector registers, and leaves in them what was there: they are a guest's. CR4.OSFXSR must be set,
 * CR0.EM and CR0.TS clear.
 */
#ifndef BALLAST_LIB_CHACHA20_H
#define BALLAST_LIB_CHACHA20_H

#include "lib/util.h"

#define CHACHA20_KEY_BYTES 32
#define CHACHA20_NONCE_BYTES 12
#define CHACHA20_BLOCK_BYTES 64

struct chacha20_key {
	uint32_t words[CHACHA20_KEY_BYTES / 4];
};

void chacha20_set_key(struct chacha20_key *key, const uint8_t bytes[CHACHA20_KEY_BYTES]);

/*
 * Encrypt or decrypt, which is the same, from the key stream's block `block` on; `to` may be
 * `from`. A pair of key and nonce is for one text alone: of two encrypted with the same, everybody
 * knows the difference.
 */
void chacha20_xor(const struct chacha20_key *key, const uint8_t nonce[CHACHA20_NONCE_BYTES],
	uint32_t block, const void *from, void *to, size_t bytes);

#endif
