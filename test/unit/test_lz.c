/* SPDX-License-Identifier: BSD-2-Clause */
/* The compressor on pages of many kinds, with liblz4 as the other side of the format; and damaged blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <lz4.h>
#include <lz4hc.h>

#include "lib/lz.h"
#include "test/unit/pages.h"

#define ROOM 4352U /* what no page exceeds */
#define PAGES 100000
#define PAGE_BYTES ((int)PAGE_SIZE)

static uint8_t page[PAGE_SIZE], again[PAGE_SIZE];

static void assert_page(const char *what, int error)
{
	if (error)
		fail_msg("%s: refused", what);
	if (memcmp(page, again, PAGE_SIZE) != 0)
		fail_msg("%s: another page came back", what);
	memset(again, 0x5a, sizeof(again));
}

/* Ours through ours and theirs, theirs through ours. Buffers of the exact size: ASan watches their ends. */
static size_t round_trips(bool thorough)
{
	uint8_t *ours = malloc(ROOM), *theirs, *exact;
	size_t bytes = lz_compress(page, ours, ROOM);
	int their_bytes;

	assert_in_range(bytes, 1, ROOM);
	exact = malloc(bytes);
	theirs = malloc(ROOM);
	assert_int_equal(lz_compress(page, exact, bytes), bytes);
	assert_memory_equal(exact, ours, bytes);
	assert_page("ours to ours", lz_decompress(exact, bytes, again));
	assert_int_equal(LZ4_decompress_safe((char *)exact, (char *)again, (int)bytes, PAGE_BYTES), PAGE_BYTES);
	assert_page("ours to theirs", 0);
	free(exact);
	exact = malloc(bytes - 1);
	assert_int_equal(lz_compress(page, exact, bytes - 1), 0);
	free(exact);
	if (thorough)
		their_bytes = LZ4_compress_HC((char *)page, (char *)theirs, PAGE_BYTES, ROOM, 12);
	else
		their_bytes = LZ4_compress_default((char *)page, (char *)theirs, PAGE_BYTES, ROOM);
	assert_true(their_bytes > 0);
	exact = malloc((size_t)their_bytes);
	memcpy(exact, theirs, (size_t)their_bytes);
	assert_page("theirs to ours", lz_decompress(exact, (size_t)their_bytes, again));
	free(exact);
	free(theirs);
	free(ours);
	return bytes;
}

static void test_pages(void **state)
{
	uint64_t ours[PAGES_KINDS] = { 0 }, theirs[PAGES_KINDS] = { 0 }, count[PAGES_KINDS] = { 0 };
	char scratch[ROOM];

	(void)state;
	pages_seed(1);
	for (unsigned int i = 0; i < PAGES; i++) {
		enum page_kind kind = i % PAGES_KINDS;

		pages_fill(page, kind);
		ours[kind] += round_trips(i % 61 == 0);
		theirs[kind] += (uint64_t)LZ4_compress_default((char *)page, scratch, PAGE_BYTES, ROOM);
		count[kind]++;
	}
	for (unsigned int kind = 0; kind < PAGES_KINDS; kind++) {
		uint64_t mine = ours[kind] / count[kind], other = theirs[kind] / count[kind];

		print_message("%-9s %4lu bytes a page, liblz4 %4lu\n", pages_name(kind), mine, other);
		if (mine > other + other / 8)
			fail_msg("%s: much worse than liblz4", pages_name(kind));
	}
}

/* Every place of the end of a match, of the lengths at which bytes are added, and of the last literals. */
static void test_lengths(void **state)
{
	(void)state;
	pages_seed(2);
	for (uint32_t start = 0; start < 40; start++) {
		for (uint32_t length = 0; length < 600; length += length < 40 ? 1 : 23) {
			uint32_t to = (uint32_t)PAGE_SIZE - length - pages_draw(30);

			pages_fill(page, PAGES_RANDOM);
			to -= to + length > PAGE_SIZE ? to + length - (uint32_t)PAGE_SIZE : 0;
			memcpy(page + to, page + start, length);
			round_trips(true);
		}
	}
}

/* Capacities below what is needed: nothing is written beyond them, and 0 is returned. */
static void test_capacity(void **state)
{
	(void)state;
	pages_seed(3);
	for (unsigned int i = 0; i < 2000; i++) {
		uint8_t *out = malloc(ROOM), *small;
		size_t bytes, capacity;

		pages_fill(page, i % PAGES_KINDS);
		bytes = lz_compress(page, out, ROOM);
		capacity = pages_draw((uint32_t)bytes);
		small = malloc(capacity + 1);
		small[capacity] = 0x77;
		assert_int_equal(lz_compress(page, small, capacity), 0);
		assert_int_equal(small[capacity], 0x77);
		free(small);
		free(out);
	}
}

/* Cut or changed blocks: an error, or some page; never an access outside, which ASan would see. */
static void test_damage(void **state)
{
	unsigned int refused = 0;

	(void)state;
	pages_seed(4);
	for (unsigned int i = 0; i < 20000; i++) {
		uint8_t out[ROOM], *exact, *target = malloc(PAGE_SIZE);
		size_t bytes, cut;

		pages_fill(page, i % PAGES_KINDS);
		bytes = lz_compress(page, out, ROOM);
		cut = pages_draw(2) ? bytes : pages_draw((uint32_t)bytes);
		exact = malloc(cut);
		memcpy(exact, out, cut);
		if (cut < bytes)
			assert_int_equal(lz_decompress(exact, cut, target), -EINVAL);
		for (unsigned int n = 1 + pages_draw(4); n && cut; n--)
			exact[pages_draw((uint32_t)(pages_draw(2) ? cut : MIN(cut, 20)))] = (uint8_t)pages_draw(256);
		refused += lz_decompress(exact, cut, target) != 0;
		free(exact);
		free(target);
	}
	assert_true(refused > 5000);
}

static void test_impossible(void **state)
{
	static const struct {
		const char *what;
		uint8_t bytes[8];
		size_t count;
	} blocks[] = {
		{ "nothing", { 0 }, 0 },
		{ "an offset of 0", { 0x1f, 'a', 0, 0, 255, 255, 255, 255 }, 8 },
		{ "an offset before the page", { 0x1f, 'a', 2, 0, 255, 255, 255, 255 }, 8 },
		{ "literals that are not there", { 0xf0, 255, 255, 1 }, 4 },
		{ "too long a match", { 0x1f, 'a', 1, 0, 255, 255, 255, 255 }, 8 },
		{ "half an offset", { 0x1f, 'a', 1 }, 3 },
		{ "too short a page", { 0x10, 'a' }, 2 },
	};
	uint8_t lengths[20000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		if (lz_decompress(blocks[i].bytes, blocks[i].count, again) != -EINVAL)
			fail_msg("%s: taken", blocks[i].what);
	}
	memset(lengths, 255, sizeof(lengths));
	assert_int_equal(lz_decompress(lengths, sizeof(lengths), again), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_capacity),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_impossible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
