/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256, HMAC and HMAC_DRBG against published vectors; the generators on a source of the test's. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "host/cpu.h"
#include "host/log.h"
#include "host/random.h"
#include "host/random_source.h"
#include "lib/hmac_drbg.h"

static size_t from_hex(const char *hex, uint8_t *bytes)
{
	size_t count = 0;
	unsigned int byte;

	for (; sscanf(hex + 2 * count, "%2x", &byte) == 1; count++)
		bytes[count] = (uint8_t)byte;
	return count;
}

static void assert_hex(const uint8_t *bytes, size_t count, const char *hex)
{
	char text[2 * 128 + 1] = "";

	for (size_t i = 0; i < count; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	assert_string_equal(text, hex);
}

static void assert_digest(const char *message, size_t times, const char *hex)
{
	uint8_t digest[SHA256_BYTES];
	struct sha256 hash;

	sha256_begin(&hash);
	while (times--)
		sha256_add(&hash, message, strlen(message));
	sha256_end(&hash, digest);
	assert_hex(digest, sizeof(digest), hex);
}

/* FIPS 180-4's own examples, and messages of all lengths around a block's end. */
static void sha256_hashes(void **state)
{
	(void)state;
	assert_digest("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_digest("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_digest("aaaaaaaaaa", 100000,
		"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* RFC 4231, test cases 1 and 2. */
static void hmac_authenticates(void **state)
{
	uint8_t secret[20], tag[SHA256_BYTES];
	struct hmac_key key;
	struct hmac hmac;

	(void)state;
	memset(secret, 0x0b, sizeof(secret));
	hmac_key_set(&key, secret, sizeof(secret));
	hmac_begin(&hmac, &key);
	hmac_add(&hmac, "Hi There", 8);
	hmac_end(&hmac, tag);
	assert_hex(tag, sizeof(tag),
		"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	hmac_key_set(&key, (const uint8_t *)"Jefe", 4);
	hmac_begin(&hmac, &key);
	hmac_add(&hmac, "what do ya want ", 16);
	hmac_add(&hmac, "for nothing?", 12);
	hmac_end(&hmac, tag);
	assert_hex(tag, sizeof(tag),
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

/*
 * NIST's CAVP, HMAC_DRBG.rsp, SHA-256 without prediction resistance, neither personalization nor
 * additional input, COUNT = 0: without and with reseeding. The second answer counts.
 */
static const struct {
	const char *entropy, *nonce, *reseed, *returned;
} vectors[] = {
	{ "ca851911349384bffe89de1cbdc46e6831e44d34a4fb935ee285dd14b71a7488",
		"659ba96c601dc69fc902940805ec0ca8", NULL,
		"e528e9abf2dece54d47c7e75e5fe302149f817ea9fb4bee6f4199697d04d5b89"
		"d54fbb978a15b5c443c9ec21036d2460b6f73ebad0dc2aba6e624abf07745bc1"
		"07694bb7547bb0995f70de25d6b29e2d3011bb19d27676c07162c8b5ccde0668"
		"961df86803482cb37ed6d5c0bb8d50cf1f50d476aa0458bdaba806f48be9dcb8" },
	{ "06032cd5eed33f39265f49ecb142c511da9aff2af71203bffaf34a9ca5bd9c0d",
		"0e66f71edc43e42a45ad3c6fc6cdc4df",
		"01920a4e669ed3a85ae8a33b35a74ad7fb2a6bb4cf395ce00334a9c9a5a5d552",
		"76fc79fe9b50beccc991a11b5635783a83536add03c157fb30645e611c2898bb"
		"2b1bc215000209208cd506cb28da2a51bdb03826aaf2bd2335d576d519160842"
		"e7158ad0949d1a9ec3e66ea1b1a064b005de914eac2e9d4f2d72a8616a802254"
		"22918250ff66a41bd2f864a6a38cc5b6499dc43f7f2bd09e1e0f8f5885935124" },
};

static void hmac_drbg_generates_what_nist_published(void **state)
{
	uint8_t seed[64], out[128];
	struct hmac_drbg drbg;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		size_t bytes = from_hex(vectors[i].entropy, seed);

		bytes += from_hex(vectors[i].nonce, seed + bytes);
		hmac_drbg_seed(&drbg, seed, bytes);
		if (vectors[i].reseed) {
			bytes = from_hex(vectors[i].reseed, seed);
			hmac_drbg_reseed(&drbg, seed, bytes);
		}
		hmac_drbg_generate(&drbg, out, sizeof(out));
		hmac_drbg_generate(&drbg, out, sizeof(out));
		assert_hex(out, sizeof(out), vectors[i].returned);
		assert_int_equal(drbg.requests, 2);
	}
}

/* --- The CPUs' generators --- */

static struct cpu cpus[2];
static struct cpu *current;
static enum random_source source;
static uint64_t next_word, words_taken;
static unsigned int dry; /* so many times in a row it has nothing */
static char said[256];

struct cpu *this_cpu(void)
{
	return current;
}

void log_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
}

enum random_source random_source_find(void)
{
	return source;
}

bool random_source_word(enum random_source from, uint64_t *word)
{
	assert_int_equal(from, source);
	if (dry) {
		dry--;
		return false;
	}
	words_taken++;
	*word = next_word;
	next_word += next_word ? 0x9e3779b97f4a7c15 : 0;
	return true;
}

static int setup(void **state)
{
	(void)state;
	random_test_reset();
	cpus[1].id = 1;
	current = &cpus[0];
	source = RANDOM_RDSEED;
	next_word = 1;
	words_taken = 0;
	dry = 0;
	said[0] = '\0';
	return 0;
}

static void all_bytes_are_written_and_differ(void **state)
{
	static uint8_t a[70001], b[70001];
	unsigned int counts[256] = { 0 };

	(void)state;
	assert_true(random_available());
	a[70000] = 0xa5;
	assert_int_equal(random_bytes(a, 70000), 0);
	assert_int_equal(a[70000], 0xa5);
	assert_int_equal(random_bytes(b, 70000), 0);
	assert_memory_not_equal(a, b, 70000);
	assert_memory_not_equal(a, a + 32, 32);
	for (size_t i = 0; i < 70000; i++)
		counts[a[i]]++;
	/* 273 are expected of each, with a standard deviation of 16.5. */
	for (unsigned int i = 0; i < 256; i++)
		assert_in_range(counts[i], 170, 380);
	assert_int_equal(random_bytes(a, 0), 0);
}

static void each_cpu_has_its_own(void **state)
{
	uint8_t a[32], b[32];

	(void)state;
	assert_int_equal(random_bytes(a, sizeof(a)), 0);
	next_word = 1;
	current = &cpus[1];
	assert_int_equal(random_bytes(b, sizeof(b)), 0);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void it_is_seeded_anew(void **state)
{
	uint64_t first, word;

	(void)state;
	assert_int_equal(random_bytes(&word, sizeof(word)), 0);
	first = words_taken;
	for (unsigned int i = 0; i < 4095; i++)
		assert_int_equal(random_bytes(&word, sizeof(word)), 0);
	assert_int_equal(words_taken, first);
	assert_int_equal(random_bytes(&word, sizeof(word)), 0);
	assert_int_equal(words_taken, 2 * first);
}

static void assert_fails(const char *how)
{
	static const uint8_t zeroes[64];
	uint8_t bytes[64];
	char expected[128];

	memset(bytes, 0xa5, sizeof(bytes));
	assert_int_equal(random_bytes(bytes, sizeof(bytes)), -EIO);
	assert_memory_equal(bytes, zeroes, sizeof(bytes));
	snprintf(expected, sizeof(expected),
		"the CPU's source of randomness %s: guests get none", how);
	assert_string_equal(said, expected);
	assert_false(random_available());
	/* It is not asked any more, and nothing is said twice. */
	said[0] = '\0';
	words_taken = 0;
	assert_int_equal(random_bytes(bytes, sizeof(bytes)), -EIO);
	assert_int_equal(words_taken, 0);
	assert_string_equal(said, "");
}

static void a_slow_source_is_waited_for_and_a_dry_one_is_not(void **state)
{
	uint64_t word;

	(void)state;
	dry = 500;
	assert_int_equal(random_bytes(&word, sizeof(word)), 0);
	setup(NULL);
	dry = ~0U;
	assert_fails("gives nothing");
}

static void a_source_that_repeats_itself_is_not_believed(void **state)
{
	(void)state;
	next_word = 0;
	assert_fails("repeats itself");
}

static void a_cpu_may_have_no_source(void **state)
{
	(void)state;
	assert_true(random_available());
	source = RANDOM_NONE;
	assert_false(random_available());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_hashes),
		cmocka_unit_test(hmac_authenticates),
		cmocka_unit_test(hmac_drbg_generates_what_nist_published),
		cmocka_unit_test_setup(all_bytes_are_written_and_differ, setup),
		cmocka_unit_test_setup(each_cpu_has_its_own, setup),
		cmocka_unit_test_setup(it_is_seeded_anew, setup),
		cmocka_unit_test_setup(a_slow_source_is_waited_for_and_a_dry_one_is_not, setup),
		cmocka_unit_test_setup(a_source_that_repeats_itself_is_not_believed, setup),
		cmocka_unit_test_setup(a_cpu_may_have_no_source, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
