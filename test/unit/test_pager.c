/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests' pages on their way to the disk and back, over real guest memory, store and swap: what is wanted, what comes
 * along, who waits and is woken, and what a disk does to it that fails, is full, or outlives the guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "balloon/keep.h"
#include "balloon/pager.h"
#include "balloon/store.h"
#include "balloon/swap_internal.h"
#include "ept/guest_reclaim.h"
#include "host/clock.h"
#include "host/cpu.h"
#include "host/grace.h"
#include "host/random.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_disk.h"
#include "test/unit/pages.h"

#define RAM_START MIB(256)
#define RAM_BYTES MIB(48)
#define GUEST_BYTES MIB(8)
#define GUESTS 4
#define SLOTS 1500U

static const struct s2_format format = {
	.name = "test", .table_bits = 7, .large_bit = BIT(7), .present = 7, .read = 1, .write = 2, .exec = 4,
};

static struct fake_disk disk;
static struct block_device whole; /* of which the fake disk is a partition */
static struct cpu cpu;
static struct guest_memory guests[GUESTS];
static unsigned int woken[GUESTS], left;

struct cpu *this_cpu(void)
{
	return &cpu;
}

unsigned int cpu_count(void)
{
	return 1;
}

int random_bytes(void *buffer, size_t bytes)
{
	uint8_t *to = buffer;

	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)pages_draw64();
	return 0;
}

void irq_window(void)
{
	if (disk.pending_count)
		fake_disk_complete(&disk, 0);
}

uint64_t grace_begin(void)
{
	return 1;
}

bool grace_is_over(uint64_t ticket)
{
	(void)ticket;
	return true;
}

/* ---- guests and their keeper ---- */

static void needed(struct guest_memory *memory)
{
	(void)memory;
}

static const struct memory_keeper keeper = { .fetch = keep_fetch, .forget = keep_forget, .needed = needed };

static void came(struct guest_memory *memory)
{
	woken[memory - guests]++;
}

static gpa_t at(unsigned int page)
{
	return (gpa_t)page << PAGE_SHIFT;
}

static void fill_guest(struct guest_memory *memory, unsigned int pages)
{
	assert_int_equal(guest_memory_init(memory, &format), 0);
	assert_int_equal(guest_memory_add(memory, 0, GUEST_BYTES, false), 0);
	memory->keeper = &keeper;
	for (unsigned int i = 0; i < pages; i++) {
		pages_seed((uint64_t)(memory - guests) << 32 | i);
		pages_fill(guest_memory_ptr(memory, at(i), S2_WRITE, NULL), PAGES_RANDOM);
	}
}

static void has(struct guest_memory *memory, unsigned int page)
{
	static uint8_t expected[PAGE_SIZE];
	const void *found = guest_memory_ptr(memory, at(page), S2_READ, NULL);

	pages_seed((uint64_t)(memory - guests) << 32 | page);
	pages_fill(expected, PAGES_RANDOM);
	assert_non_null(found);
	assert_memory_equal(found, expected, PAGE_SIZE);
}

static enum page_state state_of(struct guest_memory *memory, unsigned int page)
{
	return guest_memory_state(memory, at(page), NULL);
}

static enum memory_answer touch(struct guest_memory *memory, unsigned int page)
{
	return guest_memory_fault(memory, at(page), S2_READ);
}

static void run_disk(void)
{
	fake_disk_run(&disk, pages_draw);
}

/* Pages are taken, and it is decided that they go. */
static void take(struct guest_memory *memory, unsigned int first, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(guest_memory_take(memory, at(first + i)), 0);
	assert_true(guest_memory_seal(memory));
	while (!guest_memory_settle(memory))
		;
}

static int send(struct guest_memory *memory, unsigned int first, unsigned int count)
{
	gpa_t gpas[SWAP_BATCH_PAGES];

	for (unsigned int i = 0; i < count; i++)
		gpas[i] = at(first + i);
	return pager_out(memory, gpas, count, &left);
}

static void swap_pages(struct guest_memory *memory, unsigned int first, unsigned int count)
{
	take(memory, first, count);
	for (unsigned int i = 0; i < count; i += SWAP_BATCH_PAGES) {
		assert_int_equal(send(memory, first + i, MIN(count - i, (unsigned int)SWAP_BATCH_PAGES)), 0);
		run_disk();
	}
	assert_int_equal(left, 0);
}

static uint64_t used(void)
{
	struct swap_stats stats;

	swap_get_stats(&stats);
	return stats.used - stats.bad;
}

static struct pager_stats stats(void)
{
	struct pager_stats stats;

	pager_get_stats(&stats);
	return stats;
}

/* ---- before and after each ---- */

static int begin(void **state)
{
	static bool first = true;
	struct list link = disk.device.link;
	struct memory_range ram = { RAM_START, RAM_BYTES };

	(void)state;
	if (first && mmap((void *)RAM_START, RAM_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != (void *)RAM_START)
		return -1;
	fake_clock_reset(0);
	fake_disk_init(&disk);
	disk.device.parent = &whole;
	disk.device.linux_swap = true;
	/* The list of devices is for ever: so is its one member. */
	disk.device.link = link;
	if (first) {
		frame_init(&ram, 1);
		if (store_init())
			return -1;
		store_set_limit(1000);
		block_register(&disk.device);
	}
	first = false;
	memset(woken, 0, sizeof(woken));
	disk.asynchronous = true;
	if (swap_open("fake", SWAP_OPEN_ERASE, SLOTS * PAGE_SIZE) || pager_init(came))
		return -1;
	return 0;
}

static int end(void **state)
{
	(void)state;
	run_disk();
	assert_int_equal(used(), 0);
	pager_test_close();
	swap_test_close();
	fake_disk_free(&disk);
	return 0;
}

static void end_guest(struct guest_memory *memory)
{
	assert_null(guest_memory_check(memory));
	pager_cancel(memory);
	guest_memory_destroy(memory);
}

/* ---- the tests ---- */

static void neighbours_come_along(void **state)
{
	struct guest_memory *memory = &guests[0];

	(void)state;
	fill_guest(memory, 64);
	swap_pages(memory, 0, 64);
	assert_int_equal(memory->kept_pages[PAGE_SWAPPED], 64);
	/* One request brings the 16 pages around it, and the touch waits for it. */
	assert_int_equal(touch(memory, 21), MEMORY_WAIT);
	assert_int_equal(disk.pending_count, 1);
	assert_int_equal(touch(memory, 21), MEMORY_WAIT);
	assert_int_equal(touch(memory, 22), MEMORY_WAIT);
	assert_int_equal(disk.pending_count, 1);
	assert_int_equal(woken[0], 0);
	fake_disk_complete(&disk, 0);
	assert_int_equal(woken[0], 1);
	for (unsigned int i = 16; i < 32; i++) {
		assert_int_equal(touch(memory, i), MEMORY_MAPPED);
		has(memory, i);
	}
	assert_int_equal(disk.pending_count, 0);
	assert_int_equal(stats().requests, 1);
	assert_int_equal(stats().ahead, 15);
	assert_int_equal(stats().hits, 15);
	/* What is not on the disk, or elsewhere there, does not come along. */
	assert_int_equal(touch(memory, 33), MEMORY_WAIT);
	run_disk();
	has(memory, 40);
	swap_pages(memory, 40, 1);
	assert_int_equal(touch(memory, 40), MEMORY_WAIT);
	assert_int_equal(stats().ahead, 30);
	end_guest(memory);
}

/* What only came along makes room for what is wanted, and less of it comes when it was of no use. */
static void useless_neighbours_make_room(void **state)
{
	struct guest_memory *memory = &guests[0];

	(void)state;
	fill_guest(memory, 1024);
	swap_pages(memory, 0, 1024);
	for (unsigned int i = 0; i < 64; i++) {
		assert_int_equal(touch(memory, i * 16 + 5), MEMORY_WAIT);
		run_disk();
		assert_int_equal(touch(memory, i * 16 + 5), MEMORY_MAPPED);
		has(memory, i * 16 + 5);
	}
	assert_int_equal(stats().requests, 64);
	assert_int_equal(memory->read_ahead, 2);
	assert_in_range(stats().ahead, 15, 64 * 5);
	end_guest(memory);
}

/* A guest that wants more at once than there is room for does not take it all. */
static void others_have_room(void **state)
{
	unsigned int begun, all = 0;

	(void)state;
	for (unsigned int g = 0; g < GUESTS; g++) {
		fill_guest(&guests[g], 320);
		swap_pages(&guests[g], 0, 320);
	}
	for (unsigned int g = 0; g < GUESTS; g++) {
		for (unsigned int i = 0; i < 320; i++)
			assert_int_equal(touch(&guests[g], i), MEMORY_WAIT);
		/* Each finds some. */
		assert_true(disk.pending_count > 0);
		begun = 0;
		for (unsigned int i = 0; i < disk.pending_count; i++)
			begun += disk.pending[i]->sectors / SLOT_SECTORS;
		assert_true(begun > all && begun <= PAGER_READS);
		all = begun;
	}
	/* All go on until all is there. */
	for (unsigned int g = 0, i = 0; g < GUESTS; g++, i = 0)
		while (i < 320) {
			if (touch(&guests[g], i) == MEMORY_MAPPED)
				has(&guests[g], i++);
			else
				run_disk();
		}
	for (unsigned int g = 0; g < GUESTS; g++) {
		assert_true(woken[g] > 0);
		end_guest(&guests[g]);
	}
}

/* Who wanted a page and never comes for it loses the place after a second. */
static void abandoned_pages_make_room(void **state)
{
	struct guest_memory *memory = &guests[0];

	(void)state;
	fill_guest(memory, 1024);
	for (unsigned int i = 0; i < 64; i++)
		swap_pages(memory, i * 16, 1);
	for (unsigned int i = 0; i < 64; i++)
		touch(memory, i * 16);
	assert_in_range(disk.pending_count, 40, 44);
	run_disk();
	assert_int_equal(touch(memory, 63 * 16), MEMORY_WAIT);
	assert_int_equal(disk.pending_count, 0);
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(touch(memory, 63 * 16), MEMORY_WAIT);
	assert_int_equal(disk.pending_count, 1);
	run_disk();
	assert_int_equal(touch(memory, 63 * 16), MEMORY_MAPPED);
	end_guest(memory);
}

static void a_touch_rescues_what_is_written(void **state)
{
	struct guest_memory *memory = &guests[0];

	(void)state;
	fill_guest(memory, 16);
	take(memory, 0, 16);
	assert_int_equal(send(memory, 0, 16), 0);
	assert_int_equal(left, 1);
	block_poll();
	assert_int_equal(touch(memory, 3), MEMORY_MAPPED);
	memset(guest_memory_ptr(memory, at(3), S2_WRITE, NULL), 9, 1);
	assert_int_equal(guest_memory_discard(memory, at(4), PAGE_SIZE), PAGE_SIZE);
	run_disk();
	assert_int_equal(left, 0);
	assert_int_equal(state_of(memory, 3), PAGE_STATE_PRIVATE);
	assert_int_equal(*(uint8_t *)guest_memory_ptr(memory, at(3), S2_READ, NULL), 9);
	assert_int_equal(state_of(memory, 4), PAGE_STATE_UNTOUCHED);
	assert_int_equal(memory->kept_pages[PAGE_SWAPPED], 14);
	assert_int_equal(used(), 14);
	end_guest(memory);
}

static void failed_writes_leave_pages(void **state)
{
	struct guest_memory *memory = &guests[0];

	(void)state;
	fill_guest(memory, 32);
	take(memory, 0, 32);
	assert_int_equal(send(memory, 0, 16), 0);
	disk.until_failure = 0;
	run_disk();
	disk.until_failure = -1;
	for (unsigned int i = 0; i < 16; i++) {
		assert_int_equal(state_of(memory, i), PAGE_STATE_PRIVATE);
		has(memory, i);
	}
	assert_int_equal(send(memory, 16, 16), 0);
	run_disk();
	assert_int_equal(memory->kept_pages[PAGE_SWAPPED], 16);
	/* After eight failures in a row nothing is written any more; all that was to go stays. */
	disk.until_failure = 0;
	for (unsigned int i = 0; i < 8; i++) {
		assert_true(pager_available());
		take(memory, 0, 2);
		assert_int_equal(send(memory, 0, 2), 0);
		run_disk();
	}
	assert_false(pager_available());
	take(memory, 0, 2);
	assert_int_equal(send(memory, 0, 2), -ENODEV);
	assert_int_equal(state_of(memory, 0), PAGE_STATE_PRIVATE);
	disk.until_failure = -1;
	assert_int_equal(touch(memory, 20), MEMORY_WAIT);
	run_disk();
	has(memory, 20);
	end_guest(memory);
}

/* Of several pages that are read together one cannot be read: the others can, and what is lost is told. */
static void failed_reads_are_of_one_page(void **state)
{
	struct guest_memory *memory = &guests[0];
	uint64_t slot;

	(void)state;
	fill_guest(memory, 16);
	swap_pages(memory, 0, 16);
	slot = guest_memory_handle(memory, at(7), PAGE_SWAPPED);
	disk.bad[fake_disk_cell(slot * SLOT_SECTORS)] = true;
	for (unsigned int i = 0; i < 16; i++) {
		if (i == 7)
			continue;
		while (touch(memory, i) == MEMORY_WAIT)
			run_disk();
		assert_int_equal(touch(memory, i), MEMORY_MAPPED);
		has(memory, i);
	}
	assert_false(memory->lost);
	while (touch(memory, 7) == MEMORY_WAIT)
		run_disk();
	assert_int_equal(touch(memory, 7), MEMORY_WAIT); /* it is read once more */
	run_disk();
	assert_int_equal(touch(memory, 7), MEMORY_LOST);
	assert_true(memory->lost);
	assert_null(guest_memory_ptr(memory, at(7), S2_READ, NULL));
	end_guest(memory);
}

/* What comes back is not what went out. */
static void damage_is_found(void **state)
{
	struct guest_memory *memory = &guests[0];
	uint64_t slot;

	(void)state;
	fill_guest(memory, 2);
	swap_pages(memory, 0, 2);
	slot = guest_memory_handle(memory, at(1), PAGE_SWAPPED);
	disk.data[fake_disk_cell(slot * SLOT_SECTORS + 3)][100] ^= 1;
	assert_int_equal(touch(memory, 1), MEMORY_WAIT);
	run_disk();
	assert_int_equal(touch(memory, 1), MEMORY_LOST);
	assert_int_equal(touch(memory, 0), MEMORY_MAPPED);
	end_guest(memory);
}

static void guests_end_while_the_disk_works(void **state)
{
	struct guest_memory *memory = &guests[0];

	(void)state;
	/* Encrypted, submitted, and read. */
	for (unsigned int round = 0; round < 3; round++) {
		fill_guest(memory, 64);
		swap_pages(memory, 0, 32);
		take(memory, 32, 16);
		assert_int_equal(send(memory, 32, 16), 0);
		for (unsigned int i = 0; round && i < 10; i++)
			block_poll();
		assert_int_equal(touch(memory, 3), MEMORY_WAIT);
		assert_true(disk.pending_count > 0);
		if (round == 2)
			fake_disk_complete(&disk, 0);
		woken[0] = 0;
		pager_cancel(memory);
		if (round == 1) {
			guest_memory_clear(memory);
			assert_int_equal(touch(memory, 3), MEMORY_MAPPED);
		}
		guest_memory_destroy(memory);
		run_disk();
		/* Nobody is there to be woken. */
		assert_int_equal(woken[0], 0);
		assert_int_equal(used(), 0);
		left = 0;
	}
}

static void a_full_disk_takes_what_it_can(void **state)
{
	struct guest_memory *memory = &guests[0];
	unsigned int page = 0;

	(void)state;
	fill_guest(memory, SLOTS + 20);
	while (used() + SWAP_BATCH_PAGES <= SLOTS - 1) {
		swap_pages(memory, page, SWAP_BATCH_PAGES);
		page += SWAP_BATCH_PAGES;
	}
	take(memory, page, SWAP_BATCH_PAGES);
	assert_int_equal(send(memory, page, SWAP_BATCH_PAGES), 0);
	run_disk();
	assert_int_equal(used(), SLOTS - 1);
	assert_false(pager_available());
	assert_int_equal(state_of(memory, SLOTS - 2), PAGE_STATE_SWAPPED);
	assert_int_equal(state_of(memory, SLOTS - 1), PAGE_STATE_PRIVATE);
	take(memory, SLOTS, 1);
	assert_int_equal(send(memory, SLOTS, 1), -ENOSPC);
	assert_int_equal(state_of(memory, SLOTS), PAGE_STATE_PRIVATE);
	for (unsigned int i = 0; i < SLOTS + 20; i++) {
		while (touch(memory, i) == MEMORY_WAIT)
			run_disk();
		has(memory, i);
	}
	assert_true(stats().hits * 16 >= stats().ahead * 15);
	end_guest(memory);
}

static void writes_are_bounded(void **state)
{
	struct guest_memory *memory = &guests[0];
	int error = 0;
	unsigned int sent;

	(void)state;
	fill_guest(memory, 16 * 8);
	take(memory, 0, 16 * 8);
	for (sent = 0; !error; sent += !error)
		error = send(memory, sent * 16, 16);
	assert_int_equal(error, -EBUSY);
	assert_int_equal(sent, 4);
	/* What found no room is leaving still. */
	assert_int_equal(state_of(memory, 16 * 4), PAGE_STATE_LEAVING);
	run_disk();
	assert_int_equal(left, 0);
	assert_int_equal(memory->kept_pages[PAGE_SWAPPED], 64);
	end_guest(memory);
}

/* ---- compressed pages go on ---- */

static struct page_fate compress(const void *page, hpa_t frame, void *arg)
{
	struct page_fate fate = { .fate = FATE_KEPT, .keep = PAGE_COMPRESSED };

	(void)frame, (void)arg;
	assert_int_equal(store_put(page, &fate.handle), 0);
	return fate;
}

static void compress_text(struct guest_memory *memory, unsigned int count)
{
	fill_guest(memory, 0);
	for (unsigned int i = 0; i < count; i++)
		memset(guest_memory_ptr(memory, at(i), S2_WRITE, NULL), (int)i + 1, PAGE_SIZE);
	take(memory, 0, count);
	for (unsigned int i = 0; i < count; i++)
		assert_true(guest_memory_decide(memory, at(i), compress, NULL));
	assert_int_equal(memory->kept_pages[PAGE_COMPRESSED], count);
}

static void has_text(struct guest_memory *memory, unsigned int page)
{
	const uint8_t *found = guest_memory_ptr(memory, at(page), S2_READ, NULL);

	assert_non_null(found);
	assert_int_equal(found[0], page + 1);
	assert_int_equal(found[PAGE_SIZE - 1], page + 1);
}

static int send_compressed(struct guest_memory *memory, unsigned int first, unsigned int count)
{
	gpa_t gpas[SWAP_BATCH_PAGES];

	for (unsigned int i = 0; i < count; i++)
		gpas[i] = at(first + i);
	return pager_out_compressed(memory, gpas, count, &left);
}

static void compressed_pages_go_on(void **state)
{
	struct guest_memory *memory = &guests[0];
	struct store_stats store;

	(void)state;
	compress_text(memory, 48);
	store_get_stats(&store);
	assert_int_equal(store.pages, 48);
	assert_int_equal(send_compressed(memory, 0, 16), 0);
	run_disk();
	assert_int_equal(memory->kept_pages[PAGE_COMPRESSED], 32);
	assert_int_equal(memory->kept_pages[PAGE_SWAPPED], 16);
	assert_null(guest_memory_check(memory));
	/* Touched before it is read, or while it is written: it is the guest's, and nothing of it is on the disk. */
	assert_int_equal(send_compressed(memory, 16, 16), 0);
	assert_int_equal(touch(memory, 16 + 15), MEMORY_MAPPED);
	for (unsigned int i = 0; i < 9; i++)
		block_poll();
	assert_true(disk.pending_count > 0);
	assert_int_equal(touch(memory, 16), MEMORY_MAPPED);
	assert_int_equal(guest_memory_discard(memory, at(17), PAGE_SIZE), PAGE_SIZE);
	run_disk();
	assert_int_equal(left, 0);
	assert_int_equal(used(), 16 + 13);
	/* A write that fails leaves it where it is. */
	assert_int_equal(send_compressed(memory, 32, 16), 0);
	disk.until_failure = 0;
	run_disk();
	disk.until_failure = -1;
	assert_int_equal(memory->kept_pages[PAGE_COMPRESSED], 16);
	for (unsigned int i = 0; i < 48; i++) {
		while (touch(memory, i) == MEMORY_WAIT)
			run_disk();
		if (i != 17)
			has_text(memory, i);
	}
	store_get_stats(&store);
	assert_int_equal(store.pages, 0);
	end_guest(memory);
}

static void compressed_guest_ends_while_the_disk_works(void **state)
{
	struct guest_memory *memory = &guests[0];

	(void)state;
	compress_text(memory, 32);
	assert_int_equal(send_compressed(memory, 0, 16), 0);
	assert_int_equal(send_compressed(memory, 16, 16), 0);
	block_poll();
	pager_cancel(memory);
	guest_memory_destroy(memory);
	run_disk();
	left = 0;
	assert_int_equal(used(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(neighbours_come_along),
		TEST(useless_neighbours_make_room),
		TEST(others_have_room),
		TEST(abandoned_pages_make_room),
		TEST(a_touch_rescues_what_is_written),
		TEST(failed_writes_leave_pages),
		TEST(failed_reads_are_of_one_page),
		TEST(damage_is_found),
		TEST(guests_end_while_the_disk_works),
		TEST(a_full_disk_takes_what_it_can),
		TEST(writes_are_bounded),
		TEST(compressed_pages_go_on),
		TEST(compressed_guest_ends_while_the_disk_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
