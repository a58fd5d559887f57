/* SPDX-License-Identifier: BSD-2-Clause */
/* ChaCha20 against RFC 8439's vectors, and against OpenSSL's with keys, nonces, counters and lengths of all kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/evp.h>

#include "lib/chacha20.h"
#include "test/unit/pages.h"

#define MOST 4200U

static size_t from_hex(const char *hex, uint8_t *bytes)
{
	size_t count = 0;
	unsigned int byte;

	for (; sscanf(hex + 2 * count, "%2x", &byte) == 1; count++)
		bytes[count] = (uint8_t)byte;
	return count;
}

/* Appendix A.1, "The ChaCha20 Block Functions", and section 2.3.2: streams, that is zeroes encrypted. */
static void test_streams(void **state)
{
	static const struct {
		const char *key, *nonce;
		uint32_t block;
		const char *stream;
	} vectors[] = {
		{ "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", 0,
		  "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
		  "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586" },
		{ "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", 1,
		  "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
		  "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f" },
		{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "000000090000004a00000000", 1,
		  "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
		  "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		uint8_t bytes[32], nonce[12], out[64] = { 0 }, want[64];
		struct chacha20_key key;

		from_hex(vectors[i].key, bytes);
		from_hex(vectors[i].nonce, nonce);
		assert_int_equal(from_hex(vectors[i].stream, want), 64);
		chacha20_set_key(&key, bytes);
		chacha20_xor(&key, nonce, vectors[i].block, out, out, sizeof(out));
		assert_memory_equal(out, want, sizeof(want));
	}
}

/* Section 2.4.2, "Example and Test Vector for the ChaCha20 Cipher": not a whole number of blocks. */
static void test_text(void **state)
{
	static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
		"the future, sunscreen would be it.";
	uint8_t bytes[32], nonce[12], want[114], out[115];
	struct chacha20_key key;

	(void)state;
	from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", bytes);
	from_hex("000000000000004a00000000", nonce);
	assert_int_equal(from_hex("6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b"
		"f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8"
		"07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736"
		"5af90bbf74a35be6b40b8eedf2785e42874d", want), sizeof(want));
	chacha20_set_key(&key, bytes);
	out[114] = 0x42;
	chacha20_xor(&key, nonce, 1, text, out, sizeof(text) - 1);
	assert_memory_equal(out, want, sizeof(want));
	assert_int_equal(out[114], 0x42);
	chacha20_xor(&key, nonce, 1, out, out, sizeof(text) - 1);
	assert_memory_equal(out, text, sizeof(text) - 1);
}

static void random_bytes_to(uint8_t *to, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)pages_draw64();
}

static void test_openssl(void **state)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	(void)state;
	assert_non_null(context);
	pages_seed(1);
	for (unsigned int i = 0; i < 4000; i++) {
		uint8_t bytes[32], iv[16], *from, *out, *want;
		size_t length = i % 3 ? pages_draw(200) : pages_draw(MOST);
		uint32_t block = i % 5 ? pages_draw(1000) : ~0U - pages_draw(3);
		struct chacha20_key key;
		int done = 0;

		/* Beyond the last block OpenSSL carries into the nonce: that is not RFC 8439's any more. */
		if (block > ~0U - 3)
			length = MIN(length, (size_t)(~0U - block + 1) * 64);
		from = malloc(length + 1);
		out = malloc(length + 1);
		want = malloc(length + 64);
		random_bytes_to(bytes, sizeof(bytes));
		random_bytes_to(iv, sizeof(iv));
		random_bytes_to(from, length);
		memcpy(iv, &block, 4);
		assert_int_equal(EVP_EncryptInit_ex(context, EVP_chacha20(), NULL, bytes, iv), 1);
		assert_int_equal(EVP_EncryptUpdate(context, want, &done, from, (int)length), 1);
		assert_int_equal(done, length);
		chacha20_set_key(&key, bytes);
		chacha20_xor(&key, iv + 4, block, from, out, length);
		assert_memory_equal(out, want, length);
		chacha20_xor(&key, iv + 4, block, out, out, length);
		assert_memory_equal(out, from, length);
		free(want);
		free(out);
		free(from);
	}
	EVP_CIPHER_CTX_free(context);
}

#define ALL_XMM(what) what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) what(10) \
	what(11) what(12) what(13) what(14) what(15)
#define LOAD(n) "movups 16 * " #n "(%0), %%xmm" #n "\n\t"
#define STORE(n) "movups %%xmm" #n ", 16 * " #n "(%0)\n\t"

/* The registers are a guest's. (lib/chacha20.c is built here as it is for Ballast: without vectors outside.) */
static void test_registers(void **state)
{
	uint8_t before[16 * 16], after[16 * 16], page[4096], nonce[12] = { 1 }, bytes[32] = { 2 };
	struct chacha20_key key;

	(void)state;
	random_bytes_to(before, sizeof(before));
	random_bytes_to(page, sizeof(page));
	chacha20_set_key(&key, bytes);
	__asm__ volatile(ALL_XMM(LOAD) : : "r"(before) : "memory");
	chacha20_xor(&key, nonce, 0, page, page, sizeof(page));
	__asm__ volatile(ALL_XMM(STORE) : : "r"(after) : "memory");
	assert_memory_equal(before, after, sizeof(before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_openssl),
		cmocka_unit_test(test_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
