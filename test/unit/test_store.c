/* SPDX-License-Identifier: BSD-2-Clause */
/* The store of compressed pages: a model beside it, memory that ends, damage, and how much room it wastes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "balloon/store.h"
#include "host/cpu.h"
#include "host/log.h"
#include "lib/bits.h"
#include "lib/hash.h"
#include "test/unit/fake_arena.h"
#include "test/unit/fake_panic.h"
#include "test/unit/pages.h"

#define MOST 30000U

static struct cpu cpu;
static unsigned int lines;

struct cpu *this_cpu(void)
{
	return &cpu;
}

unsigned int cpu_count(void)
{
	return 1;
}

void log_line(const char *format, ...)
{
	(void)format;
	lines++;
}

/* What is in the store: handles, and which page it was. */
static struct entry {
	uint64_t handle, page_hash;
} entries[MOST];
static size_t count;
static uint8_t page[PAGE_SIZE], again[PAGE_SIZE];

/* How often each kind of page is there, of a server's memory; seven kinds. */
static enum page_kind usual_kind(void)
{
	static const uint8_t kinds[] = { PAGES_ZERO, PAGES_TEXT, PAGES_TEXT, PAGES_POINTERS, PAGES_POINTERS, PAGES_CODE,
		PAGES_CODE, PAGES_REPEAT, PAGES_MIXED, PAGES_MIXED };

	return kinds[pages_draw(ARRAY_SIZE(kinds))];
}

static int put(enum page_kind kind)
{
	uint64_t handle;
	int error;

	pages_fill(page, kind);
	error = store_put(page, &handle);
	if (error)
		return error;
	assert_true(handle && handle < 1ULL << STORE_HANDLE_BITS);
	entries[count++] = (struct entry){ handle, hash_page(page, 1) };
	return 0;
}

static void check(size_t index)
{
	memset(again, 0x11, sizeof(again));
	assert_int_equal(store_get(entries[index].handle, again), 0);
	if (hash_page(again, 1) != entries[index].page_hash)
		fail_msg("page %zu is another one", index);
}

static void drop(size_t index)
{
	store_drop(entries[index].handle);
	entries[index] = entries[--count];
}

static void drop_all(void)
{
	struct store_stats stats;

	while (count)
		drop(pages_draw((uint32_t)count));
	store_get_stats(&stats);
	assert_int_equal(stats.pages, 0);
	assert_int_equal(stats.bytes, 0);
	assert_int_equal(stats.frames, 0);
	assert_int_equal(stats.split, 0);
	assert_int_equal(arena_in_use, 0);
}

static int setup(void **state)
{
	(void)state;
	store_set_limit(ARENA_FRAMES);
	arena_until_failure = -1;
	return 0;
}

/* Bytes of frames for a hundred bytes of compressed pages. */
static unsigned int percent(void)
{
	struct store_stats stats;

	store_get_stats(&stats);
	assert_int_equal(stats.pages, count);
	assert_int_equal(stats.frames, arena_in_use);
	return stats.bytes ? (unsigned int)(stats.frames * PAGE_SIZE * 100 / stats.bytes) : 0;
}

static void test_model(void **state)
{
	(void)state;
	pages_seed(1);
	for (unsigned int step = 0; step < 60000; step++) {
		bool grow = step / 4000 % 2 == 0;

		if (count < MOST && (!count || pages_draw(10) < (grow ? 7 : 3)))
			put(pages_draw(PAGES_KINDS));
		else
			drop(pages_draw((uint32_t)count));
		if (count && pages_draw(4) == 0)
			store_move(&entries[pages_draw((uint32_t)count)].handle);
		if (count && step % 4 == 0)
			check(pages_draw((uint32_t)count));
	}
	for (size_t i = 0; i < count; i++)
		check(i);
	drop_all();
}

/* What does not compress is refused, and what is refused takes nothing. */
static void test_refused(void **state)
{
	struct store_stats before, after;

	(void)state;
	pages_seed(2);
	store_get_stats(&before);
	assert_int_equal(put(PAGES_RANDOM), -E2BIG);
	store_get_stats(&after);
	assert_int_equal(after.refused, before.refused + 1);
	assert_int_equal(after.frames, 0);
	store_set_limit(0);
	assert_int_equal(put(PAGES_TEXT), -ENOMEM);
	store_set_limit(3);
	while (!put(PAGES_TEXT))
		;
	assert_int_equal(arena_in_use, 3);
	assert_in_range(count, 3, 8);
	for (size_t i = 0; i < count; i++)
		check(i);
	/* Below what there is: nothing happens to that. */
	store_set_limit(1);
	assert_int_equal(put(PAGES_TEXT), -ENOMEM);
	for (size_t i = 0; i < count; i++)
		check(i);
	drop_all();
}

/* No frame at any of the places where one is asked for: the page is refused, the rest is as it was. */
static void test_no_memory(void **state)
{
	(void)state;
	pages_seed(3);
	for (unsigned int round = 0; round < 3000; round++) {
		struct store_stats before, after;
		int error;

		store_get_stats(&before);
		arena_until_failure = pages_draw(4) ? 0 : -1;
		error = put(usual_kind());
		store_get_stats(&after);
		if (error == -ENOMEM)
			assert_memory_equal(&before, &after, sizeof(before));
		if (count && pages_draw(3) == 0)
			drop(pages_draw((uint32_t)count));
	}
	arena_until_failure = -1;
	for (size_t i = 0; i < count; i++)
		check(i);
	drop_all();
}

/* A changed byte anywhere in the frames: the page of it is refused, all others are right, and all can be dropped. */
static void test_damage(void **state)
{
	unsigned int found = 0;

	(void)state;
	pages_seed(4);
	for (unsigned int round = 0; round < 3000; round++) {
		uint8_t *frame, flip = (uint8_t)(1 + pages_draw(255));
		size_t bad = 0;
		uint32_t at;

		while (count < 8)
			put(usual_kind());
		frame = host_ptr(entries[pages_draw((uint32_t)count)].handle >> 6 << PAGE_SHIFT);
		at = 64 + pages_draw(PAGE_SIZE - 64); /* not in what the store keeps of the frame */
		frame[at] ^= flip;
		for (size_t i = 0; i < count; i++) {
			int error = store_get(entries[i].handle, again);

			assert_true(error == 0 || error == -EIO);
			bad += error != 0;
			if (!error)
				assert_true(hash_page(again, 1) == entries[i].page_hash);
		}
		assert_in_range(bad, 0, 1);
		found += bad != 0;
		frame[at] ^= flip;
		check(pages_draw((uint32_t)count));
		drop(pages_draw((uint32_t)count));
	}
	assert_true(found > 1500);
	drop_all();
}

/* As others keep it: the same page, or one that is refused. */
static void test_packed(void **state)
{
	static uint8_t packed[STORE_PACKED_BYTES];
	unsigned int bytes, at;

	(void)state;
	pages_seed(6);
	for (unsigned int round = 0; round < 2000; round++) {
		while (count < 40)
			put(usual_kind());
		at = pages_draw((uint32_t)count);
		memset(packed, (int)round, sizeof(packed));
		bytes = store_pack(entries[at].handle, packed);
		assert_in_range(bytes, 17, STORE_PACKED_BYTES);
		assert_int_equal(store_unpack(packed, again), 0);
		assert_true(hash_page(again, 1) == entries[at].page_hash);
		drop(at);
		packed[pages_draw(bytes)] ^= (uint8_t)(1 + pages_draw(255));
		if (!store_unpack(packed, page))
			assert_memory_equal(page, again, PAGE_SIZE);
	}
	drop_all();
}

/* A page whose own record is damaged can be dropped, and takes no other one with it. */
static void test_damaged_record(void **state)
{
	struct store_stats stats;

	(void)state;
	pages_seed(5);
	for (unsigned int i = 0; i < 20; i++)
		put(PAGES_TEXT);
	for (unsigned int i = 0; i < 10; i++) {
		uint8_t *record = (uint8_t *)host_ptr(entries[0].handle >> 6 << 12) + (entries[0].handle & 63) * 64;

		memset(record + 8, 0x33 + (int)i, 8);
		assert_int_equal(store_get(entries[0].handle, again), -EIO);
		drop(0);
		for (size_t k = 0; k < count; k++)
			check(k);
	}
	while (count)
		drop(0);
	store_get_stats(&stats);
	assert_int_equal(stats.pages, 0);
	assert_int_equal(stats.frames, arena_in_use);
	assert_in_range(stats.frames, 0, 10);
}

/* The rest of the run goes without locks that a panic has left taken: last of all. */
static void test_dropped_twice(void **state)
{
	uint64_t handle;

	(void)state;
	put(PAGES_TEXT);
	put(PAGES_TEXT);
	handle = entries[0].handle;
	drop(0);
	assert_true(PANICS(store_drop(handle)));
}

/* lib/bits.h against counting. */
static void test_bits(void **state)
{
	(void)state;
	pages_seed(7);
	for (unsigned int i = 0; i < 100000; i++) {
		uint64_t word = pages_draw64() | (i % 3 ? pages_draw64() | pages_draw64() : 0);
		unsigned int run = 0, longest = 0, at = 0, first[65];

		word = i == 0 ? 0 : i == 1 ? ~0ULL : i == 2 ? ~0ULL >> 1 : i == 3 ? ~0ULL << 1 : word;
		for (unsigned int length = 0; length < ARRAY_SIZE(first); length++)
			first[length] = 64;
		for (unsigned int bit = 0; bit < 64; bit++) {
			run = word >> bit & 1 ? run + 1 : 0;
			if (run > longest) {
				longest = run;
				first[run] = bit + 1 - run;
			}
		}
		assert_int_equal(bits_longest_run(word, &at), longest);
		if (longest)
			assert_int_equal(at, first[longest]);
		for (unsigned int length = 1; length < 64; length++)
			assert_int_equal(bits_find_run(word, length), length <= longest ? first[length] : 64);
		if (longest)
			assert_int_equal(word & bits_run(at, longest), bits_run(at, longest));
	}
}

static void grow_to(size_t wanted)
{
	while (count < wanted)
		put(usual_kind());
}

/*
 * How much more than the compressed bytes the frames take: freshly filled, after many pages came and went, and when
 * most are gone.
 */
static void test_waste(void **state)
{
	struct store_stats stats;
	unsigned int fresh, used, shrunk;

	(void)state;
	pages_seed(6);
	grow_to(10000);
	fresh = percent();
	for (unsigned int i = 0; i < 60000; i++) {
		drop(pages_draw((uint32_t)count));
		grow_to(10000);
	}
	used = percent();
	store_get_stats(&stats);
	print_message("%zu pages, %lu bytes on average, %lu%% of them split:\n", count, stats.bytes / stats.pages,
		stats.split * 100 / stats.pages);
	print_message("frames take %u%% of the bytes when fresh, %u%% after 60000 changes\n", fresh, used);
	for (unsigned int left = 7500; left >= 1250; left -= left > 2500 ? 2500 : 1250) {
		while (count > left)
			drop(pages_draw((uint32_t)count));
		shrunk = percent();
		print_message("shrunk to %u pages: %u%%\n", left, shrunk);
	}
	/* All that are left are offered to be moved, as their owner comes by them. */
	for (unsigned int round = 0; round < 3; round++) {
		unsigned int moved = 0;

		for (size_t i = 0; i < count; i++) {
			moved += store_move(&entries[i].handle);
			check(i);
		}
		shrunk = percent();
		print_message("%u pages moved: %u%%\n", moved, shrunk);
	}
	assert_in_range(shrunk, 100, 170);
	assert_in_range(fresh, 100, 112);
	assert_in_range(used, 100, 120);
	drop_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bits),
		cmocka_unit_test_setup(test_model, setup),
		cmocka_unit_test_setup(test_refused, setup),
		cmocka_unit_test_setup(test_no_memory, setup),
		cmocka_unit_test_setup(test_damage, setup),
		cmocka_unit_test_setup(test_waste, setup),
		cmocka_unit_test_setup(test_packed, setup),
		cmocka_unit_test_setup(test_damaged_record, setup),
		cmocka_unit_test_setup(test_dropped_twice, setup),
	};

	if (store_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
