/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each CPU has a generator of its own, so that none waits for another: no lock. It is seeded when
 * it is first used, and anew after so many requests or bytes.
 */
#include "host/random.h"

#include "host/cpu.h"
#include "host/log.h"
#include "host/random_source.h"
#include "lib/hmac_drbg.h"
#include "lib/string.h"


/*
 * Entropy and nonce take 384 bits; a source may have less than a bit of entropy in each of its own,
 * and RDRAND is a generator itself, so more is taken, and hashed.
 */
#define SEED_WORDS 16
/* SP 800-90A allows 2^48 requests. */
#define RESEED_REQUESTS 4096
/* Intel SDM volume 1, "Random Number Generator Instructions": ten tries for RDRAND; RDSEED, which
 * is slower than its users, may need more. */
#define TRIES 1000

struct generator {
	struct hmac_drbg drbg;
	bool seeded;
};

static struct generator generators[CPU_MAX]; /* each its own CPU's */
static uint32_t failed;                      /* [a] the source is not to be trusted any more */

static bool take_word(enum random_source source, uint64_t *word)
{
	for (unsigned int i = 0; i < TRIES; i++)
		if (random_source_word(source, word))
			return true;
	return false;
}

static int source_failed(const char *how)
{
	if (!__atomic_exchange_n(&failed, 1, __ATOMIC_RELAXED))
		log_line("the CPU's source of randomness %s: guests get none", how);
	return -EIO;
}

/*
 * SP 800-90B, "Repetition Count Test": the same word again comes with a chance of 2^-64 from a
 * source that works; some that do not, after a suspend, say, always give the same.
 */
static int take_seed(uint64_t words[SEED_WORDS])
{
	enum random_source source = random_source_find();

	for (unsigned int i = 0; i < SEED_WORDS; i++) {
		if (!take_word(source, &words[i]))
			return source_failed("gives nothing");
		if (i && words[i] == words[i - 1])
			return source_failed("repeats itself");
	}
	return 0;
}

static int seed(struct generator *generator)
{
	struct {
		uint64_t words[SEED_WORDS];
		uint64_t cpu; /* personalization: no two generators begin alike */
	} material;
	int error = take_seed(material.words);

	if (error)
		return error;
	material.cpu = this_cpu()->id;
	if (generator->seeded)
		hmac_drbg_reseed(&generator->drbg, &material, sizeof(material));
	else
		hmac_drbg_seed(&generator->drbg, &material, sizeof(material));
	generator->seeded = true;
	return 0;
}

bool random_available(void)
{
	return random_source_find() != RANDOM_NONE && !__atomic_load_n(&failed, __ATOMIC_RELAXED);
}

int random_bytes(void *buffer, size_t bytes)
{
	struct generator *generator = &generators[this_cpu()->id];
	int error = __atomic_load_n(&failed, __ATOMIC_RELAXED) ? -EIO : 0;
	uint8_t *to = buffer;

	memset(buffer, 0, bytes);
	if (!error && (!generator->seeded || generator->drbg.requests >= RESEED_REQUESTS))
		error = seed(generator);
	while (!error && bytes) {
		size_t part = MIN(bytes, (size_t)HMAC_DRBG_REQUEST_BYTES);

		hmac_drbg_generate(&generator->drbg, to, part);
		to += part;
		bytes -= part;
	}
	return error;
}

#ifdef BALLAST_UNIT_TEST
void random_test_reset(void)
{
	memset(generators, 0, sizeof(generators));
	failed = 0;
}
#endif
