/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A deterministic random bit generator: HMAC_DRBG with SHA-256 (NIST SP 800-90A Revision 1,
 * "HMAC_DRBG"), security strength 256 bits. Pure; the caller brings the entropy.
 */
#ifndef BALLAST_LIB_HMAC_DRBG_H
#define BALLAST_LIB_HMAC_DRBG_H

#include "lib/sha256.h"

#define HMAC_DRBG_REQUEST_BYTES 65536 /* of one request at most */

struct hmac_drbg {
	struct hmac_key key;
	uint8_t value[SHA256_BYTES];
	uint64_t requests; /* since it was seeded */
};

/* `seed` is entropy, nonce and personalization string, one behind the other. */
void hmac_drbg_seed(struct hmac_drbg *drbg, const void *seed, size_t bytes);
void hmac_drbg_reseed(struct hmac_drbg *drbg, const void *entropy, size_t bytes);
/* At most HMAC_DRBG_REQUEST_BYTES; without additional input. */
void hmac_drbg_generate(struct hmac_drbg *drbg, void *out, size_t bytes);

#endif
