/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Swapping to a disk that answers at once, later, in any order, or fails: what comes back is what went out or is found
 * to be something else; and which disks are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "balloon/swap_internal.h"
#include "host/cpu.h"
#include "host/random.h"
#include "lib/hash.h"
#include "test/unit/fake_disk.h"
#include "test/unit/fake_frames.h"
#include "test/unit/fake_panic.h"
#include "test/unit/pages.h"

#define SLOTS 401U /* of the first window; with slot 0 */

static struct fake_disk disk;
static struct block_device whole; /* of which the fake disk is a partition */
static bool no_random;

int random_bytes(void *buffer, size_t bytes)
{
	uint8_t *to = buffer;

	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)pages_draw64();
	return no_random ? -EIO : 0;
}

void irq_window(void)
{
	if (disk.pending_count)
		fake_disk_complete(&disk, 0);
}

static void set_signature(const char *signature)
{
	memset(disk.data, 0, PAGE_SIZE);
	memcpy(disk.data[7] + SECTOR_BYTES - 10, signature, strlen(signature));
}

static int64_t frames_before;

/* A partition of type swap as mkswap leaves it. */
static void begin(uint64_t seed)
{
	static bool registered;
	struct list link = disk.device.link;

	pages_seed(seed);
	fake_frames_until_failure = -1;
	no_random = false;
	frames_before = fake_frames_in_use;
	fake_disk_init(&disk);
	disk.device.parent = &whole;
	disk.device.linux_swap = true;
	/* The list of devices is for ever: so is its one member. */
	disk.device.link = link;
	if (!registered)
		block_register(&disk.device);
	registered = true;
	set_signature("SWAPSPACE2");
}

static void end(void)
{
	swap_test_close();
	assert_int_equal(disk.device.writers, 0);
	fake_disk_free(&disk);
}

static void begin_open(uint64_t seed, bool asynchronous)
{
	begin(seed);
	disk.asynchronous = asynchronous;
	assert_int_equal(swap_open("fake", 0, SLOTS * PAGE_SIZE), 0);
	assert_true(swap_available());
}

/* --- Opening --- */

static void test_open(void **state)
{
	static const struct {
		const char *what;
		bool whole, other_type, erase;
		const char *signature;
		uint64_t bytes;
		int error;
	} cases[] = {
		{ "mkswap", false, false, false, "SWAPSPACE2", MIB(4), 0 },
		{ "an old mkswap", false, false, false, "SWAP-SPACE", MIB(4), 0 },
		{ "zeroes", false, false, false, "", MIB(4), 0 },
		{ "something else", false, false, false, "x", MIB(4), -EINVAL },
		{ "suspended", false, false, false, "S1SUSPEND", MIB(4), -EINVAL },
		{ "suspended by another way", false, false, false, "LINHIB0001", MIB(4), -EINVAL },
		{ "another type", false, true, false, "SWAPSPACE2", MIB(4), -EINVAL },
		{ "another type, erase", false, true, true, "x", MIB(4), 0 },
		{ "a disk", true, true, false, "SWAPSPACE2", MIB(4), -EINVAL },
		{ "a disk, erase", true, true, true, "x", MIB(4), 0 },
		{ "too small", false, false, false, "SWAPSPACE2", KIB(512), -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int error;

		begin(i);
		disk.asynchronous = i & 1;
		set_signature(cases[i].signature);
		disk.data[0][0] = cases[i].erase;
		disk.device.parent = cases[i].whole ? NULL : &whole;
		disk.device.linux_swap = !cases[i].other_type;
		error = swap_open("fake", cases[i].erase ? SWAP_OPEN_ERASE : 0, cases[i].bytes);
		if (error != cases[i].error)
			fail_msg("%s: %d", cases[i].what, error);
		assert_int_equal(swap_available(), !error);
		assert_int_equal(disk.device.writers, !error);
		/* Only what may be erased is written to, and then nothing of it can be recognised. */
		assert_int_equal(disk.data[0][0], 0);
		assert_int_equal(disk.data[7][SECTOR_BYTES - 10] == 0, cases[i].erase || !cases[i].signature[0]);
		assert_true(cases[i].erase || !disk.device.writes);
		end();
	}
}

static void test_open_failures(void **state)
{
	int error;

	(void)state;
	begin(1);
	assert_int_equal(swap_open("nothing", 0, MIB(4)), -ENODEV);
	assert_int_equal(block_open(&disk.device, BLOCK_OPEN_READ), 0);
	assert_int_equal(swap_open("fake", 0, MIB(4)), -EBUSY);
	block_close(&disk.device, BLOCK_OPEN_READ);
	no_random = true;
	assert_int_equal(swap_open("fake", 0, MIB(4)), -EIO);
	no_random = false;
	disk.until_failure = 0;
	assert_int_equal(swap_open("fake", 0, MIB(4)), -EIO);
	disk.until_failure = -1;
	disk.device.read_only = true;
	assert_int_equal(swap_open("fake", 0, MIB(4)), -EROFS);
	disk.device.read_only = false;
	for (int64_t allocations = 0;; allocations++) {
		fake_frames_until_failure = allocations;
		error = swap_open("fake", 0, MIB(4));
		if (!error)
			break;
		assert_int_equal(error, -ENOMEM);
		assert_int_equal(disk.device.writers, 0);
		assert_int_equal(disk.device.writes, 0);
	}
	assert_true(fake_frames_until_failure <= 0);
	fake_frames_until_failure = -1;
	assert_int_equal(swap_open("fake", 0, MIB(4)), -EBUSY);
	/* It is nobody else's. */
	assert_int_equal(block_open(&disk.device, BLOCK_OPEN_READ), -EBUSY);
	end();
}

/* What lies in memory itself is used by those alone who want to see how it goes. */
static void test_open_file(void **state)
{
	(void)state;
	begin(1);
	disk.device.parent = NULL;
	disk.device.linux_swap = false;
	strcpy(disk.device.name, "\\swap.img");
	assert_int_equal(swap_open("\\swap.img", SWAP_OPEN_ERASE, MIB(4)), -EINVAL);
	assert_int_equal(disk.device.writes, 0);
	set_signature("x");
	assert_int_equal(swap_open("\\swap.img", SWAP_OPEN_TRIAL, MIB(4)), -EINVAL);
	set_signature("");
	assert_int_equal(swap_open("\\swap.img", SWAP_OPEN_TRIAL, MIB(4)), 0);
	strcpy(disk.device.name, "fake");
	end();
}

/* --- Pages --- */

#define LIVE_MOST 2000U

/* What is on the disk. */
static struct live {
	uint64_t slot, hash;
	unsigned int bytes; /* to the next 64 */
} live[LIVE_MOST];
static unsigned int live_count;
static bool some_short; /* pages are given at their turn, and not all of each */

struct out {
	struct swap_batch batch;
	uint8_t pages[SWAP_BATCH_PAGES][PAGE_SIZE];
	unsigned int bytes[SWAP_BATCH_PAGES];
	bool under_way;
};
static struct out outs[SWAP_BATCHES + 1];
static unsigned int outs_done;

static void out_done(struct swap_batch *batch)
{
	struct out *out = container_of(batch, struct out, batch);

	assert_true(out->under_way);
	out->under_way = false;
	outs_done++;
	for (unsigned int i = 0; i < batch->count; i++) {
		if (batch->slots[i] == SWAP_NONE) {
			assert_int_not_equal(batch->error, 0);
			continue;
		}
		assert_in_range(batch->slots[i], 1, SLOTS - 1);
		for (unsigned int k = 0; k < live_count; k++)
			assert_int_not_equal(live[k].slot, batch->slots[i]);
		live[live_count++] = (struct live){ batch->slots[i], hash_page(out->pages[i], 0),
			ROUND_UP(out->bytes[i], 64) };
	}
}

static unsigned int out_load(struct swap_batch *batch, unsigned int index, void *page)
{
	const struct out *out = container_of(batch, struct out, batch);

	memcpy(page, out->pages[index], out->bytes[index]);
	return out->bytes[index];
}

/* What is behind it comes back as zeroes. */
static void give_less(struct out *out, unsigned int index)
{
	unsigned int bytes = 1 + pages_draw(PAGE_SIZE);

	memset(out->pages[index] + bytes, 0, PAGE_SIZE - bytes);
	out->bytes[index] = bytes;
	out->batch.pages[index] = NULL;
}

static int start_out(struct out *out, unsigned int count)
{
	int error;

	assert_false(out->under_way);
	memset(&out->batch, 0xaa, sizeof(out->batch));
	out->batch.count = count;
	out->batch.done = out_done;
	for (unsigned int i = 0; i < count; i++) {
		pages_fill(out->pages[i], pages_draw(PAGES_KINDS));
		out->batch.pages[i] = out->pages[i];
		out->bytes[i] = PAGE_SIZE;
		if (some_short && pages_draw(2))
			give_less(out, i);
	}
	out->batch.load = out_load;
	error = swap_out(&out->batch);
	out->under_way = !error;
	return error;
}

static void run_everything(void)
{
	fake_disk_run(&disk, pages_draw);
	for (unsigned int i = 0; i < ARRAY_SIZE(outs); i++)
		assert_false(outs[i].under_way);
}

static unsigned int reads_done;

static void in_done(struct swap_read *read)
{
	(void)read;
	reads_done++;
}

/* 0: as it was. */
static int read_in(const struct live *from)
{
	struct swap_read read = { .slot = from->slot, .count = 1, .done = in_done };
	uint8_t *page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	unsigned int before = reads_done;
	int bytes;

	read.pages[0] = page;
	if (!swap_in(&read)) {
		while (reads_done == before)
			fake_disk_complete(&disk, pages_draw(disk.pending_count));
	}
	bytes = swap_in_finish(from->slot, read.request.error, page, page);
	if (bytes >= 0) {
		assert_int_equal(bytes, from->bytes);
		assert_true(hash_page(page, 0) == from->hash);
	}
	free(page);
	return MIN(bytes, 0);
}

static void drop_live(unsigned int index)
{
	swap_drop(live[index].slot);
	live[index] = live[--live_count];
}

static void drop_all(void)
{
	struct swap_stats stats;

	while (live_count)
		drop_live(pages_draw(live_count));
	swap_get_stats(&stats);
	assert_int_equal(stats.used, stats.bad);
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 2; round++) {
		struct swap_stats stats;

		begin_open(round, round);
		some_short = true;
		for (unsigned int step = 0; step < 2000; step++) {
			unsigned int what = pages_draw(10);
			struct out *out = &outs[pages_draw(SWAP_BATCHES)];

			if (what < 2 && !out->under_way)
				assert_in_range(start_out(out, 1 + pages_draw(SWAP_BATCH_PAGES)) + ENOSPC, 0, ENOSPC);
			else if (what < 4)
				block_poll();
			else if (what < 6 && disk.pending_count)
				fake_disk_complete(&disk, pages_draw(disk.pending_count));
			else if (what < 8 && live_count)
				assert_int_equal(read_in(&live[pages_draw(live_count)]), 0);
			else if (live_count > 100 + pages_draw(280))
				drop_live(pages_draw(live_count));
		}
		run_everything();
		for (unsigned int i = 0; i < live_count; i++)
			assert_int_equal(read_in(&live[i]), 0);
		swap_get_stats(&stats);
		assert_int_equal(stats.slots, SLOTS - 1);
		assert_int_equal(stats.used, live_count);
		assert_true(stats.written > 300 && stats.read > 300);
		assert_int_equal(stats.bad + stats.damaged + stats.read_errors + stats.write_errors, 0);
		some_short = false;
		drop_all();
		/* Slot 0 is as mkswap left it. */
		assert_memory_equal(disk.data[7] + SECTOR_BYTES - 10, "SWAPSPACE2", 10);
		end();
	}
}

/* What lies on the disk is no page, and the same page never looks the same there. */
static void test_secret(void **state)
{
	uint8_t before[PAGE_SIZE], *slot;

	(void)state;
	begin_open(3, false);
	memset(before, 0, sizeof(before));
	for (unsigned int i = 0; i < 400; i++) {
		struct out *out = &outs[0];

		memset(&out->batch, 0, sizeof(out->batch));
		memset(out->pages[0], 0, PAGE_SIZE);
		out->batch.count = 1;
		out->batch.done = out_done;
		out->batch.pages[0] = out->pages[0];
		out->under_way = true;
		assert_int_equal(swap_out(&out->batch), 0);
		run_everything();
		/* The same slot again and again. */
		slot = disk.data[live[0].slot * SLOT_SECTORS];
		assert_true(memcmp(slot, before, PAGE_SIZE) != 0);
		assert_true(memcmp(slot, out->pages[0], 64) != 0);
		memcpy(before, slot, PAGE_SIZE);
		assert_int_equal(read_in(&live[0]), 0);
		drop_live(0);
	}
	end();
}

/* Each of the requests fails once: its pages stay, all others are there. */
static void test_write_errors(void **state)
{
	(void)state;
	for (int64_t until = 0; until < 6; until++) {
		struct swap_stats stats;
		unsigned int kept = 0;

		begin_open((uint64_t)until, until & 1);
		/* Holes, so that a batch has several runs. */
		for (unsigned int i = 0; i < 70; i++) {
			assert_int_equal(start_out(&outs[0], 16), 0);
			run_everything();
			if (swap.slots.free < 16)
				break;
		}
		for (unsigned int i = 0; i < 150; i++)
			drop_live(pages_draw(live_count));
		disk.until_failure = until;
		for (unsigned int i = 0; i < 4; i++)
			assert_int_equal(start_out(&outs[i], 16), 0);
		run_everything();
		for (unsigned int i = 0; i < 4; i++)
			for (unsigned int k = 0; k < outs[i].batch.count; k++)
				kept += outs[i].batch.slots[k] == SWAP_NONE;
		assert_true(kept > 0);
		swap_get_stats(&stats);
		assert_int_equal(stats.write_errors, kept);
		assert_int_equal(stats.bad, kept);
		assert_int_equal(stats.used, live_count + kept);
		disk.until_failure = -1;
		for (unsigned int i = 0; i < live_count; i++)
			assert_int_equal(read_in(&live[i]), 0);
		drop_all();
		end();
	}
}

static void test_given_up(void **state)
{
	unsigned int tries = 0;

	(void)state;
	begin_open(5, true);
	assert_int_equal(start_out(&outs[0], 16), 0);
	run_everything();
	disk.until_failure = 0;
	for (; swap_available(); tries++) {
		assert_int_equal(start_out(&outs[0], 3), 0);
		run_everything();
		assert_int_equal(outs[0].batch.error, -EIO);
	}
	assert_int_equal(tries, 8);
	assert_int_equal(start_out(&outs[0], 3), -ENODEV);
	/* What is there can still be read, where it can. */
	assert_int_equal(read_in(&live[0]), -EIO);
	disk.until_failure = -1;
	for (unsigned int i = 0; i < live_count; i++)
		assert_int_equal(read_in(&live[i]), 0);
	drop_all();
	end();
}

static void test_full(void **state)
{
	(void)state;
	begin_open(6, true);
	for (unsigned int i = 0; i < SWAP_BATCHES; i++)
		assert_int_equal(start_out(&outs[i], 16), 0);
	assert_int_equal(start_out(&outs[SWAP_BATCHES], 16), -EBUSY);
	run_everything();
	while (swap_available()) {
		assert_int_equal(start_out(&outs[0], 13), 0);
		run_everything();
	}
	assert_int_equal(live_count, SLOTS - 1);
	assert_int_equal(outs[0].batch.count, (SLOTS - 1 - 64) % 13);
	assert_int_equal(start_out(&outs[0], 1), -ENOSPC);
	drop_live(200);
	assert_true(swap_available());
	assert_int_equal(start_out(&outs[0], 16), 0);
	assert_int_equal(outs[0].batch.count, 1);
	run_everything();
	for (unsigned int i = 0; i < live_count; i++)
		assert_int_equal(read_in(&live[i]), 0);
	drop_all();
	end();
}

static void test_damage(void **state)
{
	struct swap_stats stats;
	uint8_t *a, *b, keep[PAGE_SIZE];

	(void)state;
	begin_open(7, false);
	assert_int_equal(start_out(&outs[0], 16), 0);
	run_everything();
	a = disk.data[live[0].slot * SLOT_SECTORS];
	b = disk.data[live[1].slot * SLOT_SECTORS];
	for (unsigned int i = 0; i < 200; i++) {
		uint32_t at = pages_draw(PAGE_SIZE);
		uint8_t flip = (uint8_t)(1 << pages_draw(8));

		a[at] ^= flip;
		assert_int_equal(read_in(&live[0]), -EIO);
		a[at] ^= flip;
		if (i == 0) {
			swap_get_stats(&stats);
			assert_int_equal(stats.damaged, 1);
			assert_int_equal(stats.read_errors, 0);
		}
	}
	drop_live(0);
	/* Another slot's page, though rightly encrypted; and a page that was there before. */
	a = disk.data[live[0].slot * SLOT_SECTORS];
	memcpy(keep, a, PAGE_SIZE);
	memcpy(a, b, PAGE_SIZE);
	assert_true(a != b);
	assert_int_equal(read_in(&live[0]), -EIO);
	memcpy(a, keep, PAGE_SIZE);
	assert_int_equal(read_in(&live[0]), 0);
	/* Another key. */
	swap.key.words[3] ^= 0x100;
	assert_int_equal(read_in(&live[0]), -EIO);
	swap.key.words[3] ^= 0x100;
	assert_int_equal(read_in(&live[0]), 0);
	/* The disk says no. */
	disk.bad[live[0].slot * SLOT_SECTORS + 3] = true;
	assert_int_equal(read_in(&live[0]), -EIO);
	swap_get_stats(&stats);
	assert_int_equal(stats.read_errors, 1);
	assert_int_equal(stats.damaged, 202);
	drop_all();
	end();
}

/* A slot whose count of writes is at its end is not used again. */
static void test_worn(void **state)
{
	struct swap_stats stats;

	(void)state;
	begin_open(8, false);
	*swap_slots_writes(&swap.slots, 1) = ~0U - 1;
	assert_int_equal(start_out(&outs[0], 1), 0);
	run_everything();
	assert_int_equal(live[0].slot, 1);
	assert_int_equal(read_in(&live[0]), 0);
	drop_live(0);
	assert_true(swap_slots_used(&swap.slots, 1));
	swap_get_stats(&stats);
	assert_int_equal(stats.bad, 1);
	end();
}

static void test_dropped_twice(void **state)
{
	uint64_t slot;

	(void)state;
	begin_open(9, false);
	assert_int_equal(start_out(&outs[0], 1), 0);
	run_everything();
	slot = live[0].slot;
	drop_live(0);
	assert_true(PANICS(swap_drop(slot)));
	end();
}

/* Slots against a model: several segments, any lengths, full and nearly full. */
static void test_slots(void **state)
{
	static bool used[3 * SWAP_SEGMENT_SLOTS];
	const uint64_t count = 2 * SWAP_SEGMENT_SLOTS + 777;
	struct swap_slots slots;
	uint64_t taken = 1, long_runs = 0, runs = 0, first;

	(void)state;
	pages_seed(10);
	assert_int_equal(swap_slots_init(&slots, count), 0);
	used[0] = true;
	for (unsigned int step = 0; step < 400000; step++) {
		bool grow = step / 50000 % 2 == 0;
		unsigned int got;

		if (pages_draw(20) < (grow ? 4 : 1)) {
			got = swap_slots_take(&slots, 1 + pages_draw(16), &first);
			assert_int_equal(got == 0, taken == count);
			for (unsigned int i = 0; i < got; i++) {
				assert_true(first + i < count && !used[first + i]);
				used[first + i] = true;
			}
			taken += got;
			runs++;
			long_runs += got > 3;
		} else {
			uint64_t slot = 1 + pages_draw((uint32_t)count - 1);

			assert_int_equal(swap_slots_used(&slots, slot), used[slot]);
			if (used[slot] && (!grow || pages_draw(20) == 0)) {
				swap_slots_free(&slots, slot);
				used[slot] = false;
				taken--;
			}
		}
		assert_int_equal(slots.free, count - taken);
	}
	while (swap_slots_take(&slots, 16, &first))
		;
	assert_int_equal(slots.free, 0);
	print_message("%lu of %lu runs were longer than 3 slots\n", long_runs, runs);
	assert_true(long_runs > runs / 5);
	swap_slots_destroy(&slots);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_open_failures),
		cmocka_unit_test(test_open_file),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_write_errors),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_worn),
		cmocka_unit_test(test_dropped_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
