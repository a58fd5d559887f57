/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/hmac_drbg.h"

#include "lib/string.h"

/* V = HMAC(K, V) */
static void step(struct hmac_drbg *drbg)
{
	struct hmac hmac;

	hmac_begin(&hmac, &drbg->key);
	hmac_add(&hmac, drbg->value, sizeof(drbg->value));
	hmac_end(&hmac, drbg->value);
}

/* K = HMAC(K, V || round || data), then a step. */
static void rekey(struct hmac_drbg *drbg, uint8_t round, const void *data, size_t bytes)
{
	uint8_t secret[SHA256_BYTES];
	struct hmac hmac;

	hmac_begin(&hmac, &drbg->key);
	hmac_add(&hmac, drbg->value, sizeof(drbg->value));
	hmac_add(&hmac, &round, 1);
	hmac_add(&hmac, data, bytes);
	hmac_end(&hmac, secret);
	hmac_key_set(&drbg->key, secret, sizeof(secret));
	step(drbg);
}

/* "The HMAC_DRBG Update Function" */
static void update(struct hmac_drbg *drbg, const void *data, size_t bytes)
{
	rekey(drbg, 0, data, bytes);
	if (bytes)
		rekey(drbg, 1, data, bytes);
}

void hmac_drbg_seed(struct hmac_drbg *drbg, const void *seed, size_t bytes)
{
	static const uint8_t zeroes[SHA256_BYTES];

	hmac_key_set(&drbg->key, zeroes, sizeof(zeroes));
	memset(drbg->value, 1, sizeof(drbg->value));
	update(drbg, seed, bytes);
	drbg->requests = 0;
}

void hmac_drbg_reseed(struct hmac_drbg *drbg, const void *entropy, size_t bytes)
{
	update(drbg, entropy, bytes);
	drbg->requests = 0;
}

void hmac_drbg_generate(struct hmac_drbg *drbg, void *out, size_t bytes)
{
	uint8_t *to = out;

	while (bytes) {
		size_t part = MIN(bytes, sizeof(drbg->value));

		step(drbg);
		memcpy(to, drbg->value, part);
		to += part;
		bytes -= part;
	}
	update(drbg, NULL, 0);
	drbg->requests++;
}
