/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame allocator and the heap over a piece of this process' address space, which the 1:1
 * mapping makes look like RAM: at addresses that fit the allocator's 32-bit frame numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/frame.h"
#include "test/unit/fake_panic.h"

/* Below the shadow of the address sanitizer, and across the border of two GiB. */
#define RAM_START MIB(256)
#define RAM_BYTES MIB(1536)
#define HUGE_ORDER (FRAME_ORDER_1G - 1)
#define HUGE_BYTES MIB(512)

static int map_ram(void **state)
{
	void *at = mmap((void *)RAM_START, RAM_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	(void)state;
	return at == (void *)RAM_START ? 0 : -1;
}

static uint64_t free_frames(void)
{
	struct memory_stats stats;

	frame_get_stats(&stats);
	return stats.frames[FRAME_FREE];
}

static uint64_t all_frames(void)
{
	struct memory_stats stats;
	uint64_t sum = 0;

	frame_get_stats(&stats);
	assert_true(stats.stale_frames <= stats.frames[FRAME_FREE]);
	for (int use = FRAME_FREE; use < FRAME_USES; use++)
		sum += stats.frames[use];
	assert_int_equal(sum, stats.total_frames);
	return sum;
}

static void erase_all(void)
{
	struct memory_stats stats;

	while (frame_erase())
		;
	frame_get_stats(&stats);
	assert_int_equal(stats.stale_frames, 0);
}

/* Records must not rely on memory being zero at the start. */
static void dirty(hpa_t start, uint64_t bytes)
{
	memset(host_ptr(start), 0xa5, bytes);
}

static void init_one_range(hpa_t start, uint64_t bytes)
{
	struct memory_range range = {start, bytes};

	frame_init(&range, 1);
}

static void counts_add_up(void **state)
{
	(void)state;
	dirty(RAM_START, MIB(64));
	init_one_range(RAM_START + 7 * PAGE_SIZE, MIB(64) - 11 * PAGE_SIZE);
	assert_int_equal(all_frames(), (MIB(64) >> PAGE_SHIFT) - 11);
	/* 16 bytes a frame from the GiB's start to the range's end, and a page for the regions. */
	assert_int_equal(all_frames() - free_frames(), (RAM_START + MIB(64)) / PAGE_SIZE / 256 + 1);
}

static void every_frame_can_be_had_once(void **state)
{
	uint64_t count, n = 0;
	uint8_t *seen = calloc(1, MIB(64) >> PAGE_SHIFT);
	hpa_t *frames = calloc(MIB(64) >> PAGE_SHIFT, sizeof(*frames));
	hpa_t frame;

	(void)state;
	dirty(RAM_START, MIB(64));
	init_one_range(RAM_START + PAGE_SIZE, MIB(64) - 3 * PAGE_SIZE);
	count = free_frames();
	while ((frame = frame_alloc(0, FRAME_GUEST)) != HPA_NONE) {
		uint64_t index = (frame - RAM_START) >> PAGE_SHIFT;

		assert_true(frame >= RAM_START + PAGE_SIZE);
		assert_true(frame < RAM_START + MIB(64) - 2 * PAGE_SIZE);
		assert_false(seen[index]);
		seen[index] = 1;
		frames[n++] = frame;
	}
	assert_int_equal(n, count);
	assert_int_equal(free_frames(), 0);
	for (uint64_t i = n; i > 1; i--) {
		uint64_t other = (uint64_t)rand() % i;

		frame = frames[i - 1];
		frames[i - 1] = frames[other];
		frames[other] = frame;
	}
	for (uint64_t i = 0; i < n; i++)
		frame_free(frames[i], 0);
	assert_int_equal(free_frames(), count);
	erase_all();
	/* All came together again: the largest blocks are there. */
	frame = frame_alloc(FRAME_ORDER_2M + 3, FRAME_GUEST);
	assert_true(frame != HPA_NONE);
	assert_true(IS_ALIGNED(frame, MIB(16)));
	free(frames);
	free(seen);
}

static void large_blocks_come_back_in_pieces(void **state)
{
	uint64_t before;
	hpa_t block;

	(void)state;
	dirty(RAM_START + MIB(8), PAGE_SIZE);
	init_one_range(RAM_START, RAM_BYTES);
	before = free_frames();
	block = frame_alloc(HUGE_ORDER, FRAME_GUEST);
	assert_int_equal(block % HUGE_BYTES, 0);
	frame_free(block + MIB(2) * 3, FRAME_ORDER_2M);
	for (uint64_t i = 0; i < 512; i++)
		frame_free(block + MIB(2) * 7 + ((i * 37) % 512) * PAGE_SIZE, 0);
	assert_int_equal(free_frames(), before - (HUGE_BYTES >> PAGE_SHIFT) + 1024);
	for (uint64_t i = 0; i < 256; i++)
		if (i != 3 && i != 7)
			frame_free(block + MIB(2) * i, FRAME_ORDER_2M);
	assert_int_equal(free_frames(), before);
	erase_all();
	assert_int_equal(free_frames(), before);
	assert_int_equal(frame_alloc(HUGE_ORDER, FRAME_GUEST), block);
	all_frames();
}

static void wrong_frees_are_found(void **state)
{
	hpa_t block;
	int status;

	(void)state;
	init_one_range(RAM_START, MIB(64));
	block = frame_alloc(3, FRAME_HOST);
	const struct { hpa_t start; unsigned int order; } wrong[] = {
		{block + PAGE_SIZE * 8, 0}, /* free already */
		{block + 16, 0},            /* not a frame */
		{block, 4},                 /* larger than it was */
		{GIB(900), 0},              /* no memory */
		{1ULL << 50, 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		pid_t child = fork();

		/* The allocator's lock stays taken. */
		if (child == 0)
			_exit(!PANICS(frame_free(wrong[i].start, wrong[i].order)));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

static void holes_are_never_handed_out(void **state)
{
	const struct memory_range ranges[] = {
		{RAM_START + PAGE_SIZE, MIB(1)},
		{RAM_START + MIB(3), MIB(5)},
		{RAM_START + MIB(8) + PAGE_SIZE, PAGE_SIZE},
		{RAM_START + GIB(1) + MIB(31), MIB(40)},
		{RAM_START + GIB(1) + MIB(300) + PAGE_SIZE * 511, MIB(2)},
	};
	hpa_t frame;
	uint64_t n = 0, count;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		dirty(ranges[i].start, ranges[i].bytes);
	frame_init(ranges, ARRAY_SIZE(ranges));
	count = free_frames();
	while ((frame = frame_alloc(0, FRAME_GUEST)) != HPA_NONE) {
		bool inside = false;

		for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
			inside |= frame - ranges[i].start < ranges[i].bytes;
		assert_true(inside);
		memset(host_ptr(frame), 0x5a, PAGE_SIZE);
		n++;
	}
	assert_int_equal(n, count);
	all_frames();
}

struct piece {
	hpa_t start;
	unsigned int order;
};

/* Random allocations and frees of all orders, each block filled with its own mark. */
static void a_long_mixture_keeps_blocks_apart(void **state)
{
	enum { PIECES = 200 };
	struct piece pieces[PIECES] = {{0}};
	uint64_t before;

	(void)state;
	dirty(RAM_START, MIB(128));
	init_one_range(RAM_START, MIB(128));
	before = free_frames();
	for (int round = 0; round < 40000; round++) {
		struct piece *piece = &pieces[rand() % PIECES];

		if (rand() % 4 == 0)
			frame_erase();
		if (!piece->start) {
			piece->order = (unsigned int)rand() % 3 ? (unsigned int)rand() % 4
							       : (unsigned int)rand() % 10;
			piece->start = frame_alloc(piece->order, FRAME_VM);
			if (piece->start == HPA_NONE) {
				piece->start = 0;
				continue;
			}
			assert_true(IS_ALIGNED(piece->start, PAGE_SIZE << piece->order));
			for (uint64_t i = 0; i < 1ULL << piece->order; i++)
				*(hpa_t *)host_ptr(piece->start + i * PAGE_SIZE) = piece->start;
			all_frames();
			continue;
		}
		for (uint64_t i = 0; i < 1ULL << piece->order; i++) {
			hpa_t page = piece->start + i * PAGE_SIZE;

			assert_int_equal(*(hpa_t *)host_ptr(page), piece->start);
			if (round & 1)
				frame_free(page, 0);
		}
		if (!(round & 1))
			frame_free(piece->start, piece->order);
		piece->start = 0;
	}
	for (int i = 0; i < PIECES; i++)
		if (pieces[i].start)
			frame_free(pieces[i].start, pieces[i].order);
	assert_int_equal(free_frames(), before);
}

static void zeroed_frames_are_zero(void **state)
{
	hpa_t block;

	(void)state;
	dirty(RAM_START, MIB(32));
	init_one_range(RAM_START, MIB(32));
	block = frame_alloc_zeroed(FRAME_ORDER_2M, FRAME_GUEST);
	for (uint64_t i = 0; i < MIB(2); i += 8)
		assert_int_equal(*(uint64_t *)host_ptr(block + i), 0);
}

static bool is_filled(hpa_t start, uint64_t bytes, uint8_t with)
{
	for (uint64_t i = 0; i < bytes; i++)
		if (((uint8_t *)host_ptr(start))[i] != with)
			return false;
	return true;
}

/* What a frame contained is gone soon, by steps; those who come before find none of it either. */
static void what_came_back_is_erased(void **state)
{
	struct memory_stats stats;
	hpa_t block, other;

	(void)state;
	init_one_range(RAM_START, MIB(8));
	block = frame_alloc(FRAME_ORDER_2M, FRAME_GUEST);
	dirty(block, MIB(2));
	frame_free(block + PAGE_SIZE, 0);
	frame_get_stats(&stats);
	assert_int_equal(stats.stale_frames, 1);
	assert_true(is_filled(block + PAGE_SIZE, PAGE_SIZE, 0xa5));
	assert_false(frame_erase());
	assert_true(is_filled(block + PAGE_SIZE, PAGE_SIZE, 0));
	assert_true(is_filled(block + 2 * PAGE_SIZE, MIB(2) - 2 * PAGE_SIZE, 0xa5));
	for (uint64_t i = 0; i < 512; i++)
		if (i != 1)
			frame_free(block + i * PAGE_SIZE, 0);
	assert_true(frame_erase());
	erase_all();
	assert_true(is_filled(block, MIB(2), 0));
	/* It is known to be zeroes, and not looked at again: the mark stays. */
	*(uint8_t *)host_ptr(block + 77) = 1;
	assert_int_equal(frame_alloc_zeroed(FRAME_ORDER_2M, FRAME_GUEST), block);
	assert_int_equal(*(uint8_t *)host_ptr(block + 77), 1);
	/* There is nothing else. */
	dirty(block, MIB(2));
	while (frame_alloc(0, FRAME_HOST) != HPA_NONE)
		;
	frame_free(block, FRAME_ORDER_2M);
	other = frame_alloc(3, FRAME_STORE);
	assert_true(other - block < MIB(2));
	assert_true(is_filled(other, PAGE_SIZE << 3, 0));
	erase_all();
	assert_true(is_filled(block, MIB(2), 0));
	all_frames();
}

/* A piece that is being erased belongs to nobody. */
static void erasing_is_no_giving(void **state)
{
	hpa_t block, others[4];

	(void)state;
	init_one_range(RAM_START, MIB(8));
	block = frame_alloc(FRAME_ORDER_2M, FRAME_GUEST);
	dirty(block, MIB(2));
	frame_free(block, FRAME_ORDER_2M);
	assert_true(frame_erase());
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++) {
		others[i] = frame_alloc(FRAME_ORDER_2M, FRAME_GUEST);
		assert_int_not_equal(others[i], block);
	}
	erase_all();
	assert_int_equal(frame_alloc(FRAME_ORDER_2M, FRAME_GUEST), block);
	all_frames();
}

static void heap_objects_are_apart_aligned_and_zero(void **state)
{
	enum { OBJECTS = 3000 };
	static struct { uint8_t *at; size_t bytes; uint8_t mark; } objects[OBJECTS];
	uint64_t before;

	(void)state;
	dirty(RAM_START, MIB(64));
	init_one_range(RAM_START, MIB(64));
	before = free_frames();
	for (int round = 0; round < 60000; round++) {
		typeof(objects[0]) *o = &objects[rand() % OBJECTS];

		if (o->at) {
			for (size_t i = 0; i < o->bytes; i++)
				assert_int_equal(o->at[i], o->mark);
			heap_free(o->at);
			o->at = NULL;
			continue;
		}
		o->bytes = (size_t)rand() % (rand() % 20 ? 700 : 9000);
		o->mark = (uint8_t)rand();
		o->at = heap_alloc(o->bytes, rand() & 1 ? FRAME_HOST : FRAME_VM);
		assert_non_null(o->at);
		assert_true(IS_ALIGNED((uintptr_t)o->at, o->bytes >= PAGE_SIZE ? PAGE_SIZE : 16));
		for (size_t i = 0; i < o->bytes; i++)
			assert_int_equal(o->at[i], 0);
		memset(o->at, o->mark, o->bytes);
	}
	for (int i = 0; i < OBJECTS; i++)
		heap_free(objects[i].at);
	assert_int_equal(free_frames(), before);
}

static void disks_leave_what_is_promised(void **state)
{
	uint64_t free, taken = 0;

	(void)state;
	init_one_range(RAM_START, MIB(4));
	free = free_frames();
	frame_set_reserve(100);
	while (frame_alloc(FRAME_ORDER_4K, FRAME_DISK) != HPA_NONE)
		taken++;
	assert_int_equal(taken, free - 100);
	assert_int_not_equal(frame_alloc(FRAME_ORDER_4K, FRAME_GUEST), HPA_NONE);
	frame_set_reserve(0);
	assert_int_not_equal(frame_alloc(FRAME_ORDER_4K, FRAME_DISK), HPA_NONE);
}

static void heap_runs_out_politely(void **state)
{
	(void)state;
	init_one_range(RAM_START, MIB(4));
	while (heap_alloc(1000, FRAME_VM))
		;
	assert_int_equal(free_frames(), 0);
	assert_null(heap_alloc(MIB(2), FRAME_VM));
	assert_null(heap_alloc(GIB(2), FRAME_VM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_add_up),
		cmocka_unit_test(every_frame_can_be_had_once),
		cmocka_unit_test(large_blocks_come_back_in_pieces),
		cmocka_unit_test(wrong_frees_are_found),
		cmocka_unit_test(holes_are_never_handed_out),
		cmocka_unit_test(a_long_mixture_keeps_blocks_apart),
		cmocka_unit_test(zeroed_frames_are_zero),
		cmocka_unit_test(what_came_back_is_erased),
		cmocka_unit_test(erasing_is_no_giving),
		cmocka_unit_test(heap_objects_are_apart_aligned_and_zero),
		cmocka_unit_test(disks_leave_what_is_promised),
		cmocka_unit_test(heap_runs_out_politely),
	};

	srand(2);
	return cmocka_run_group_tests(tests, map_ram, NULL);
}
