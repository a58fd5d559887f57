/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-balloon: a driver over real rings; a host that takes as many pages as the test lets it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "devices/virtio/balloon.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_discard.h"
#include "test/unit/fake_frames.h"
#include "test/unit/fake_guest_memory.h"
#include "test/unit/fake_virtio.h"
#include "vcpu/balloon_port.h"

#define INFLATE 0
#define DEFLATE 1
#define STATS 2
#define HINT 3
#define REPORTING 4

#define ARRAY 0x100000ULL      /* where page numbers and statistics lie */
#define FIRST 0x200            /* first page number that is given up */
#define MORE_RAM FAKE_VIRTIO_RAM /* a second slot, right behind the first */
#define MORE_BYTES MIB(4)
#define ROM MIB(16)
#define PAGES ((FAKE_VIRTIO_RAM + MORE_BYTES + KIB(64)) / PAGE_SIZE)
#define WORK_LIMIT 1000
#define GO 512                 /* pages in one go */

#define STATS_VQ BIT(VIRTIO_BALLOON_F_STATS_VQ)
#define POISON BIT(VIRTIO_BALLOON_F_PAGE_POISON)
#define HINTS BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT)
#define REPORTS BIT(VIRTIO_BALLOON_F_REPORTING)
#define ALL (guest.device->offered)

static struct fake_virtio guest;
static struct vm_balloon *balloon;

static void start(uint64_t features)
{
	fake_virtio_start(&guest, features, 64);
	fake_discard_reset();
}

static int begin(void **state)
{
	(void)state;
	fake_clock_reset(0);
	fake_virtio_create(&guest, "guest");
	assert_int_equal(guest_memory_add(&guest.vm.memory, MORE_RAM, MORE_BYTES, false), 0);
	assert_int_equal(guest_memory_add(&guest.vm.memory, ROM, KIB(64), true), 0);
	guest.vm.memory.limit_pages = PAGES;
	assert_int_equal(virtio_balloon_create(&guest.vm, NULL), 0);
	balloon = guest.vm.balloon;
	assert_non_null(balloon);
	start(ALL);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_virtio_destroy(&guest);
	assert_null(guest.vm.balloon);
	assert_int_equal(fake_virtio_work(1), 0);
	assert_int_equal(fake_clock_armed(), 0);
	assert_int_equal(fake_frames_in_use, 0);
	return 0;
}

static void work(void)
{
	assert_in_range(fake_virtio_work(WORK_LIMIT), 0, WORK_LIMIT - 1);
}

static uint32_t config32(unsigned int offset)
{
	return guest.device->operations->config_read(guest.device, offset, 4);
}

static void set_config(unsigned int offset, unsigned int size, uint32_t value)
{
	guest.device->operations->config_write(guest.device, offset, size, value);
}

static uint16_t used(unsigned int queue)
{
	return fake_driver_used_index(&guest.queues[queue]);
}

/* One buffer of one segment. */
static void send(unsigned int queue, gpa_t gpa, uint32_t bytes, bool writable)
{
	struct fake_driver *driver = &guest.queues[queue];
	uint16_t slot = driver->index % driver->size;

	fake_driver_describe(driver, slot, gpa, bytes, writable ? VRING_DESC_F_WRITE : 0, 0);
	fake_driver_offer(driver, slot);
	fake_virtio_notify(&guest, queue);
}

static void send_pages(unsigned int queue, const uint32_t *pfns, unsigned int count)
{
	fake_driver_set(&guest.queues[queue], ARRAY, pfns, count * sizeof(*pfns));
	send(queue, ARRAY, count * sizeof(*pfns), false);
}

static void send_run(unsigned int queue, uint32_t first, int step, unsigned int count)
{
	static uint32_t pfns[8192];

	assert_in_range(count, 1, ARRAY_SIZE(pfns));
	for (unsigned int i = 0; i < count; i++)
		pfns[i] = first + (uint32_t)((int)i * step);
	send_pages(queue, pfns, count);
}

static void assert_call(unsigned int index, uint64_t pfn, uint64_t pages)
{
	assert_in_range(index, 0, fake_discard_count - 1);
	assert_int_equal(fake_discards[index].gpa, pfn * PAGE_SIZE);
	assert_int_equal(fake_discards[index].bytes, pages * PAGE_SIZE);
}

/* --- Inflating and deflating --- */

static void test_inflates_runs(void **state)
{
	const uint32_t pfns[] = { 0x210, 0x211, 0x212, 0x300, 0x2ff, 0x2fe, 0x2fd, 0x400, 0x402, 0x401 };

	(void)state;
	send_pages(INFLATE, pfns, ARRAY_SIZE(pfns));
	assert_int_equal(fake_discard_count, 4);
	assert_call(0, 0x210, 3);
	assert_call(1, 0x2fd, 4);
	assert_call(2, 0x400, 1);
	assert_call(3, 0x401, 2);
	assert_int_equal(balloon->actual_pages, ARRAY_SIZE(pfns));
	assert_int_equal(used(INFLATE), 1);
	assert_int_equal(fake_driver_used(&guest.queues[INFLATE], 0).len, 0);
	assert_int_equal(guest.signals[INFLATE], 1);
	assert_int_equal(balloon->skipped_pages, 0);
}

static void test_inflates_what_linux_sends(void **state)
{
	(void)state;
	/* 256 neighbours, downwards, within a large page and across the end of one. */
	send_run(INFLATE, 0x2ff, -1, 256);
	assert_int_equal(fake_discard_count, 1);
	assert_call(0, 0x200, 256);
	send_run(INFLATE, 0x47f, -1, 256);
	assert_int_equal(fake_discard_count, 3);
	assert_call(1, 0x380, 128);
	assert_call(2, 0x400, 128);
	assert_int_equal(used(INFLATE), 2);
	assert_int_equal(balloon->actual_pages, 512);
	send_run(DEFLATE, 0x200, 1, 256);
	assert_int_equal(balloon->actual_pages, 256);
	assert_int_equal(used(DEFLATE), 1);
	assert_int_equal(guest.signals[DEFLATE], 1);
	assert_int_equal(fake_discard_count, 3);
}

/* A run ends where a slot does, and what cannot be written cannot be given up. */
static void test_pages_are_of_ram(void **state)
{
	const uint32_t pfns[] = { MORE_RAM / PAGE_SIZE - 1, MORE_RAM / PAGE_SIZE, MORE_RAM / PAGE_SIZE + 1,
		(MORE_RAM + MORE_BYTES) / PAGE_SIZE, ROM / PAGE_SIZE, ~0U, 0xfee00, 0x600 };
	const uint32_t none[] = { ~0U, ~0U - 1, 0 - 5U };

	(void)state;
	send_pages(INFLATE, pfns, ARRAY_SIZE(pfns));
	assert_int_equal(fake_discard_count, 3);
	assert_call(0, MORE_RAM / PAGE_SIZE - 1, 1);
	assert_call(1, MORE_RAM / PAGE_SIZE, 2);
	assert_call(2, 0x600, 1);
	assert_int_equal(balloon->actual_pages, 4);
	assert_int_equal(balloon->skipped_pages, 4);
	send_pages(INFLATE, none, ARRAY_SIZE(none));
	send_pages(DEFLATE, none, ARRAY_SIZE(none));
	assert_int_equal(balloon->actual_pages, 4);
	assert_int_equal(balloon->skipped_pages, 10);
	assert_int_equal(used(INFLATE), 2);
	assert_int_equal(used(DEFLATE), 1);
	assert_false(fake_virtio_is_broken(&guest));
}

static void test_counts_stay_sane(void **state)
{
	(void)state;
	send_run(DEFLATE, FIRST, 1, 100);
	assert_int_equal(balloon->actual_pages, 0);
	for (unsigned int i = 0; i < PAGES / 256 + 3; i++) {
		send_run(INFLATE, FIRST, 1, 256);
		work();
	}
	assert_int_equal(balloon->actual_pages, PAGES);
	send_run(DEFLATE, FIRST, 1, 100);
	assert_int_equal(balloon->actual_pages, PAGES - 100);
}

static void test_odd_buffers(void **state)
{
	struct fake_driver *driver = &guest.queues[INFLATE];
	const uint32_t pfns[] = { 0x300, 0x301, 0x302 };

	(void)state;
	/* Nothing; not even a number; two numbers and a bit; one that is to be written. */
	send(INFLATE, ARRAY, 0, false);
	send(INFLATE, ARRAY, 3, false);
	assert_int_equal(fake_discard_count, 0);
	fake_driver_set(driver, ARRAY, pfns, sizeof(pfns));
	send(INFLATE, ARRAY, 11, false);
	assert_int_equal(fake_discard_count, 1);
	assert_call(0, 0x300, 2);
	send(INFLATE, ARRAY, 12, true);
	assert_int_equal(fake_discard_count, 1);
	/* A number in two segments. */
	fake_driver_describe(driver, 10, ARRAY, 6, VRING_DESC_F_NEXT, 11);
	fake_driver_describe(driver, 11, ARRAY + 6, 6, 0, 0);
	fake_driver_offer(driver, 10);
	fake_virtio_notify(&guest, INFLATE);
	assert_int_equal(fake_discard_count, 2);
	assert_call(1, 0x300, 3);
	assert_int_equal(used(INFLATE), 5);
	assert_false(fake_virtio_is_broken(&guest));
}

/* --- Bounds --- */

static void test_a_go_is_bounded(void **state)
{
	unsigned int goes = 0;

	(void)state;
	send_run(INFLATE, FIRST + 8 * 256, -8, 256); /* each by itself, and a call */
	assert_in_range(fake_discard_count, 1, GO / 4);
	assert_int_equal(used(INFLATE), 0);
	while (fake_virtio_work(1))
		goes++;
	assert_in_range(goes, 1, 5);
	assert_int_equal(fake_discard_count, 256);
	assert_int_equal(balloon->actual_pages, 256);
	assert_int_equal(used(INFLATE), 1);
	/* Numbers that are of nothing cost, too. */
	fake_discard_reset();
	send_run(INFLATE, 0x100000, 1, 4096);
	assert_int_equal(used(INFLATE), 1);
	assert_in_range(fake_virtio_work(WORK_LIMIT), 6, 10);
	assert_int_equal(used(INFLATE), 2);
	assert_int_equal(balloon->skipped_pages, 4096);
	/* And so do empty buffers. */
	for (unsigned int i = 0; i < 300; i++)
		send(DEFLATE, ARRAY, 0, false);
	work();
	assert_int_equal(used(DEFLATE), 300);
}

static void test_the_rest_waits(void **state)
{
	(void)state;
	fake_discard_room = 10;
	send_run(INFLATE, FIRST, 1, 100);
	assert_int_equal(fake_discard_count, 2);
	assert_int_equal(balloon->actual_pages, 10);
	assert_int_equal(used(INFLATE), 0);
	/* However often the guest calls: nothing happens before its time. Deflating does. */
	for (unsigned int i = 0; i < 20; i++)
		fake_virtio_notify(&guest, INFLATE);
	work();
	assert_int_equal(fake_discard_count, 2);
	send_run(DEFLATE, FIRST, 1, 3);
	assert_int_equal(used(DEFLATE), 1);
	assert_int_equal(balloon->actual_pages, 7);
	/* There is no room yet. */
	fake_clock_advance(NS_PER_MS);
	work();
	assert_int_equal(fake_discard_count, 3);
	assert_int_equal(used(INFLATE), 0);
	fake_discard_room = 1000;
	fake_clock_advance(NS_PER_MS);
	work();
	assert_call(3, FIRST + 10, 90);
	assert_int_equal(used(INFLATE), 1);
	assert_int_equal(balloon->actual_pages, 97);
	assert_int_equal(fake_clock_armed(), 0);
}

/* A call that does a part only is followed by the next one at once. */
static void test_calls_may_do_a_part(void **state)
{
	(void)state;
	fake_discard_step = 7;
	send_run(INFLATE, FIRST, 1, 20);
	assert_int_equal(fake_discard_count, 3);
	assert_call(2, FIRST + 14, 6);
	assert_int_equal(balloon->actual_pages, 20);
	assert_int_equal(used(INFLATE), 1);
	assert_int_equal(fake_clock_armed(), 0);
}

/* What is reported or hinted at need not be there: it is not fetched in order to be thrown away. */
static void test_free_pages_stay_where_they_are(void **state)
{
	uint64_t touched;

	(void)state;
	guest.vm.memory.may_swap = true;
	send(REPORTING, ARRAY, 0x1000, true);
	touched = fake_guest_memory_touched();
	fake_guest_memory_set_limit(0);
	send(REPORTING, 0x400000, 0x200000, true);
	work();
	assert_int_equal(used(REPORTING), 2);
	assert_int_equal(fake_discards[fake_discard_count - 1].gpa + fake_discards[fake_discard_count - 1].bytes,
		0x600000);
	send(HINT, 0x400000, 0x200000, true);
	assert_int_equal(used(HINT), 1);
	assert_int_equal(fake_guest_memory_touched(), touched);
	assert_false(guest.vm.memory.devices_wait);
	/* The numbers of those that go into the balloon have to be read. */
	send(INFLATE, 0x600000, 4, false);
	assert_int_equal(used(INFLATE), 0);
	assert_true(guest.vm.memory.devices_wait);
	guest.vm.memory.may_swap = false;
}

/* Before the guest may have them back, and only where something was given up, and not for each range. */
static void test_flushes_before_it_answers(void **state)
{
	const uint32_t none[] = { ~0U };

	(void)state;
	send_run(INFLATE, FIRST, 2, 20);
	assert_int_equal(used(INFLATE), 1);
	assert_int_equal(fake_flushes, 1);
	assert_int_equal(fake_flushed, 20);
	send_run(DEFLATE, FIRST, 1, 20);
	send_pages(INFLATE, none, 1);
	send(HINT, 0x400000, 0x200000, true);
	assert_int_equal(fake_flushes, 1);
	send(REPORTING, 0x400000, 0x400000, true);
	assert_int_equal(used(REPORTING), 0);
	assert_int_equal(fake_flushes, 1);
	work();
	assert_int_equal(used(REPORTING), 1);
	assert_int_equal(fake_flushes, 2);
	assert_int_equal(fake_flushed, 22);
	/* A driver that resets the device has them back as well. */
	fake_discard_room = 5;
	send_run(INFLATE, FIRST, 1, 20);
	assert_int_equal(fake_flushes, 2);
	fake_virtio_reset(&guest);
	assert_int_equal(fake_flushes, 3);
	assert_int_equal(fake_flushed, fake_discard_count);
	fake_virtio_reset(&guest);
	assert_int_equal(fake_flushes, 3);
}

static void test_memory_for_the_array_waits(void **state)
{
	(void)state;
	/* It lies where the guest has never been, and the host has no frame. */
	fake_guest_memory_set_limit(0);
	send(INFLATE, 0x700000, 8, false);
	assert_int_equal(used(INFLATE), 0);
	fake_clock_advance(NS_PER_MS);
	work();
	assert_int_equal(used(INFLATE), 0);
	fake_guest_memory_set_limit(100);
	fake_clock_advance(NS_PER_MS);
	work();
	assert_int_equal(used(INFLATE), 1);
	assert_int_equal(balloon->actual_pages, 2); /* twice the page 0 */
}

static void test_reset_with_the_rest_pending(void **state)
{
	(void)state;
	fake_discard_room = 10;
	send_run(INFLATE, FIRST, 1, 100);
	send(REPORTING, 0x400000, 0x200000, true);
	fake_virtio_reset(&guest);
	assert_int_equal(balloon->actual_pages, 0);
	assert_false(balloon->live);
	start(ALL);
	assert_true(balloon->live);
	fake_clock_advance(10 * NS_PER_MS);
	work();
	assert_int_equal(fake_discard_count, 0);
	assert_int_equal(used(INFLATE), 0);
	/* A reset between two goes. */
	send_run(INFLATE, FIRST, 8, 128);
	fake_virtio_reset(&guest);
	assert_int_equal(fake_virtio_work(1), 0);
	start(ALL);
	send_run(INFLATE, FIRST, 1, 4);
	assert_int_equal(fake_discard_count, 1);
	assert_int_equal(balloon->actual_pages, 4);
	/* The VM's own. */
	guest.device->device.reset(&guest.device->device);
	assert_int_equal(balloon->actual_pages, 0);
	assert_false(balloon->live);
}

/* --- Reports and hints --- */

static void test_reports(void **state)
{
	struct fake_driver *driver = &guest.queues[REPORTING];

	(void)state;
	/* As Linux does it: several large blocks in one buffer. */
	fake_driver_describe(driver, 0, 0x200000, 0x200000, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	fake_driver_describe(driver, 1, 0x400000, 0x400000, VRING_DESC_F_WRITE, 0);
	fake_driver_offer(driver, 0);
	fake_virtio_notify(&guest, REPORTING);
	assert_int_equal(fake_discard_count, 1); /* a go */
	assert_int_equal(used(REPORTING), 0);
	work();
	assert_int_equal(fake_discard_count, 3);
	assert_call(0, 0x200, 512);
	assert_call(1, 0x400, 512);
	assert_call(2, 0x600, 512);
	assert_int_equal(used(REPORTING), 1);
	assert_int_equal(fake_driver_used(driver, 0).len, 0);
	assert_int_equal(guest.signals[REPORTING], 1);
	assert_int_equal(balloon->reported_pages, 1536);
	assert_int_equal(balloon->actual_pages, 0);
}

static void test_reports_whole_pages(void **state)
{
	(void)state;
	send(REPORTING, 0x300800, 0x1000, true);
	send(REPORTING, 0x300001, 0xfff, true);
	assert_int_equal(fake_discard_count, 0);
	send(REPORTING, 0x300fff, 0x2001, false);
	assert_int_equal(fake_discard_count, 1);
	assert_call(0, 0x301, 2);
	send(REPORTING, ROM, 0x4000, true);
	assert_int_equal(fake_discard_count, 1);
	assert_int_equal(used(REPORTING), 4);
}

static void test_reports_wait(void **state)
{
	(void)state;
	fake_discard_room = 100;
	send(REPORTING, 0x400000, 0x200000, true);
	assert_int_equal(used(REPORTING), 0);
	fake_discard_room = ~0ULL;
	send(REPORTING, 0x600000, 0x100000, true);
	assert_int_equal(fake_discard_count, 2);
	fake_clock_advance(NS_PER_MS);
	work();
	assert_int_equal(used(REPORTING), 2);
	assert_call(2, 0x400 + 100, 412);
	assert_call(3, 0x600, 256);
	assert_int_equal(balloon->reported_pages, 768);
}

static void negotiate(uint64_t features)
{
	fake_virtio_reset(&guest);
	virtio_write_status(guest.device, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	guest.device->accepted = features | BIT(VIRTIO_F_VERSION_1);
	virtio_write_status(guest.device, guest.device->status | VIRTIO_CONFIG_S_FEATURES_OK);
}

/* A driver that enables the queues of these numbers, and has a buffer of pages in each. */
static void enable(uint32_t queues)
{
	for (unsigned int i = 0; i < guest.device->ring_count; i++) {
		struct virtio_ring *ring = &guest.device->rings[i];
		struct fake_driver *driver = &guest.queues[i];

		if (!(queues & BIT(i)))
			continue;
		ring->descriptors = driver->descriptors;
		ring->available = driver->available;
		ring->used = driver->used;
		fake_driver_set16(driver, driver->used + 2, 0);
		fake_driver_set_index(driver, 0);
		virtio_enable_queue(guest.device, i);
	}
	virtio_write_status(guest.device, guest.device->status | VIRTIO_CONFIG_S_DRIVER_OK);
	fake_discard_reset();
}

static void test_poison(void **state)
{
	const struct { uint64_t features; uint32_t value; bool counts; } cases[] = {
		{ REPORTS | POISON, 0xaaaaaaaa, false },
		{ REPORTS | POISON, 0, true },
		{ REPORTS, 0xaaaaaaaa, true }, /* which is not heard */
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t before = balloon->reported_pages;

		negotiate(cases[i].features);
		set_config(12, 4, cases[i].value);
		assert_int_equal(config32(12), cases[i].features & POISON ? cases[i].value : 0);
		enable(BIT(INFLATE) | BIT(DEFLATE) | BIT(REPORTING));
		set_config(12, 4, 0x12345678);
		assert_int_equal(config32(12), cases[i].features & POISON ? cases[i].value : 0);
		send(REPORTING, 0x300000, 0x4000, true);
		assert_int_equal(fake_discard_count, cases[i].counts);
		assert_int_equal(balloon->reported_pages - before, cases[i].counts ? 4 : 0);
		assert_int_equal(used(REPORTING), 1);
		/* What is in the balloon is written anew by the guest in any case. */
		send_run(INFLATE, 0x400, 1, 4);
		assert_int_equal(balloon->actual_pages, 4);
	}
}

static void test_hints_change_nothing(void **state)
{
	const uint32_t command = 7;

	(void)state;
	assert_int_equal(config32(8), VIRTIO_BALLOON_CMD_ID_STOP);
	set_config(8, 4, 9);
	assert_int_equal(config32(8), VIRTIO_BALLOON_CMD_ID_STOP);
	fake_driver_set(&guest.queues[HINT], ARRAY, &command, sizeof(command));
	send(HINT, ARRAY, sizeof(command), false);
	send(HINT, 0x400000, 0x200000, true);
	assert_int_equal(used(HINT), 2);
	assert_int_equal(fake_discard_count, 0);
	assert_false(fake_virtio_is_broken(&guest));
}

/* The numbers of the queues, with gaps and without. */
static void test_numbering(void **state)
{
	const struct { uint64_t features; uint32_t queues; unsigned int stats, reporting; } cases[] = {
		{ STATS_VQ | HINTS | REPORTS, 0x1f, 2, 4 },
		{ STATS_VQ | REPORTS, 0x17, 2, 4 },
		{ STATS_VQ | REPORTS, 0x0f, 2, 3 },
		{ HINTS | REPORTS, 0x1b, 0, 4 },
		{ HINTS | REPORTS, 0x0f, 0, 3 },
		{ REPORTS, 0x13, 0, 4 },
		{ REPORTS, 0x07, 0, 2 },
		{ STATS_VQ, 0x07, 2, 0 },
		{ 0, 0x03, 0, 0 },
	};
	const struct virtio_balloon_stat free = { VIRTIO_BALLOON_S_MEMFREE, 0x1234 };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		negotiate(cases[i].features);
		enable(cases[i].queues);
		send_run(INFLATE, 0x400, 1, 4);
		assert_int_equal(balloon->actual_pages, 4);
		if (cases[i].stats) {
			fake_driver_set(&guest.queues[cases[i].stats], ARRAY, &free, sizeof(free));
			send(cases[i].stats, ARRAY, sizeof(free), false);
			assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_MEMFREE], 0x1234);
			assert_int_equal(used(cases[i].stats), 0);
		} else {
			assert_int_equal(balloon->stats_ns, 0);
			balloon->want_stats(balloon);
			work();
		}
		if (cases[i].reporting) {
			fake_discard_reset();
			send(cases[i].reporting, 0x300000, 0x2000, true);
			assert_int_equal(fake_discard_count, 1);
			assert_int_equal(used(cases[i].reporting), 1);
		}
	}
	/* One that has no meaning is left alone. */
	negotiate(0);
	enable(0x1f);
	send(REPORTING, 0x300000, 0x2000, true);
	send(STATS, ARRAY, 10, false);
	assert_int_equal(fake_discard_count, 0);
	assert_int_equal(balloon->stats_ns, 0);
}

/* --- Statistics --- */

static void tell(const struct virtio_balloon_stat *stats, unsigned int count)
{
	fake_driver_set(&guest.queues[STATS], ARRAY, stats, count * sizeof(*stats));
	send(STATS, ARRAY, count * sizeof(*stats), false);
}

static void test_statistics(void **state)
{
	const struct virtio_balloon_stat first[] = { { VIRTIO_BALLOON_S_MEMTOT, MIB(512) }, { 77, 5 },
		{ VIRTIO_BALLOON_S_AVAIL, MIB(300) }, { 0xffff, 1 }, { VIRTIO_BALLOON_S_SWAP_IN, 0 } };
	const struct virtio_balloon_stat second[] = { { VIRTIO_BALLOON_S_AVAIL, MIB(200) } };

	(void)state;
	for (unsigned int i = 0; i < VIRTIO_BALLOON_S_NR; i++)
		assert_int_equal(balloon->stats[i], BALLOON_STAT_UNKNOWN);
	assert_int_equal(balloon->stats_ns, 0);
	/* Nothing to ask with. */
	balloon->want_stats(balloon);
	work();
	tell(first, ARRAY_SIZE(first));
	assert_int_equal(used(STATS), 0);
	assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_MEMTOT], MIB(512));
	assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_AVAIL], MIB(300));
	assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_SWAP_IN], 0);
	assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_CACHES], BALLOON_STAT_UNKNOWN);
	assert_int_equal(balloon->stats_ns, clock_now_ns());
	fake_clock_advance(NS_PER_SEC);
	balloon->want_stats(balloon);
	balloon->want_stats(balloon);
	assert_int_equal(used(STATS), 0);
	work();
	assert_int_equal(used(STATS), 1);
	assert_int_equal(guest.signals[STATS], 1);
	balloon->want_stats(balloon);
	work();
	assert_int_equal(used(STATS), 1);
	tell(second, ARRAY_SIZE(second));
	assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_AVAIL], MIB(200));
	assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_MEMTOT], BALLOON_STAT_UNKNOWN);
	assert_int_equal(balloon->stats_ns, clock_now_ns());
	fake_virtio_reset(&guest);
	assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_AVAIL], BALLOON_STAT_UNKNOWN);
	assert_int_equal(balloon->stats_ns, 0);
}

/* Linux has a buffer there before DRIVER_OK, and does not tell again. */
static void test_statistics_from_the_start(void **state)
{
	const struct virtio_balloon_stat stat = { VIRTIO_BALLOON_S_MEMFREE, 99 };
	struct fake_driver *driver = &guest.queues[STATS];

	(void)state;
	negotiate(ALL);
	fake_driver_set(driver, ARRAY, &stat, sizeof(stat));
	for (unsigned int i = 0; i < guest.device->ring_count; i++) {
		guest.device->rings[i].descriptors = guest.queues[i].descriptors;
		guest.device->rings[i].available = guest.queues[i].available;
		guest.device->rings[i].used = guest.queues[i].used;
		fake_driver_set16(&guest.queues[i], guest.queues[i].used + 2, 0);
		fake_driver_set_index(&guest.queues[i], 0);
		virtio_enable_queue(guest.device, i);
	}
	fake_driver_describe(driver, 0, ARRAY, sizeof(stat), 0, 0);
	fake_driver_offer(driver, 0);
	fake_virtio_notify(&guest, STATS);
	assert_int_equal(balloon->stats_ns, 0);
	assert_false(balloon->live);
	virtio_write_status(guest.device, guest.device->status | VIRTIO_CONFIG_S_DRIVER_OK);
	assert_true(balloon->live);
	assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_MEMFREE], 99);
	/* The driver is asked to tell of the next. */
	assert_int_equal(fake_driver_available_event(driver), 1);
}

static void test_odd_statistics(void **state)
{
	static struct virtio_balloon_stat many[70];

	(void)state;
	many[63] = (struct virtio_balloon_stat){ VIRTIO_BALLOON_S_MAJFLT, 1 };
	many[64] = (struct virtio_balloon_stat){ VIRTIO_BALLOON_S_MINFLT, 1 };
	tell(many, ARRAY_SIZE(many));
	assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_MAJFLT], 1);
	assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_MINFLT], BALLOON_STAT_UNKNOWN);
	balloon->want_stats(balloon);
	work();
	send(STATS, ARRAY, 9, false); /* not even one */
	assert_int_equal(balloon->stats[VIRTIO_BALLOON_S_MAJFLT], BALLOON_STAT_UNKNOWN);
	assert_false(fake_virtio_is_broken(&guest));
	/* There is never more than one. */
	send(STATS, ARRAY, 10, false);
	assert_true(fake_virtio_is_broken(&guest));
	assert_false(balloon->live);
	start(ALL);
	fake_driver_describe(&guest.queues[STATS], 0, ARRAY, 10, 0, 0);
	fake_driver_offer(&guest.queues[STATS], 0);
	fake_driver_offer(&guest.queues[STATS], 0);
	fake_virtio_notify(&guest, STATS);
	assert_true(fake_virtio_is_broken(&guest));
}

/* --- Targets, configuration, rules --- */

static void test_target(void **state)
{
	unsigned int generation = guest.device->config_generation;

	(void)state;
	assert_int_equal(config32(0), 0);
	balloon->target_pages = 1000;
	balloon->retarget(balloon);
	assert_int_equal(guest.config_signals, 0);
	work();
	assert_int_equal(guest.config_signals, 1);
	assert_int_not_equal(guest.device->config_generation, generation);
	assert_int_equal(config32(0), 1000);
	assert_int_equal(guest.device->operations->config_read(guest.device, 0, 2), 1000);
	assert_int_equal(guest.device->operations->config_read(guest.device, 1, 1), 3);
	balloon->target_pages = BIT(40);
	assert_int_equal(config32(0), PAGES);
	/* Nobody is there to be told. */
	fake_virtio_reset(&guest);
	balloon->retarget(balloon);
	work();
	assert_int_equal(guest.config_signals, 1);
}

static void test_actual_is_the_drivers(void **state)
{
	(void)state;
	set_config(4, 4, 0x11223344);
	assert_int_equal(config32(4), 0x11223344);
	set_config(5, 1, 0x55);
	set_config(6, 2, 0x6677);
	assert_int_equal(config32(4), 0x66775544);
	/* Across the end of its field, and where nothing is the driver's. */
	set_config(6, 4, 0xffffffff);
	assert_int_equal(config32(4), 0xffff5544);
	assert_int_equal(config32(8), 0);
	set_config(0, 4, 123);
	assert_int_equal(config32(0), 0);
	set_config(12, 4, 123);
	assert_int_equal(config32(12), 0);
	assert_int_equal(balloon->actual_pages, 0);
	fake_virtio_reset(&guest);
	assert_int_equal(config32(4), 0);
}

static void test_broken_rings(void **state)
{
	(void)state;
	for (unsigned int queue = 0; queue < 5; queue++) {
		start(ALL);
		assert_true(balloon->live);
		fake_driver_describe(&guest.queues[queue], 0, GIB(1), 8, 0, 0);
		fake_driver_offer(&guest.queues[queue], 0);
		fake_virtio_notify(&guest, queue);
		assert_true(fake_virtio_is_broken(&guest));
		assert_false(balloon->live);
		/* Nothing more until it is reset. */
		send_run(queue ? INFLATE : DEFLATE, FIRST, 1, 4);
		balloon->want_stats(balloon);
		balloon->retarget(balloon);
		work();
		assert_int_equal(fake_discard_count, 0);
	}
}

/* In the middle of a buffer: what is at hand ends there. */
static void test_ring_breaks_while_pages_wait(void **state)
{
	(void)state;
	fake_discard_room = 3;
	send_run(INFLATE, FIRST, 1, 8);
	fake_driver_set_index(&guest.queues[DEFLATE], 1000);
	fake_virtio_notify(&guest, DEFLATE);
	assert_true(fake_virtio_is_broken(&guest));
	fake_clock_advance(NS_PER_MS);
	work();
	assert_int_equal(fake_discard_count, 2);
	start(ALL);
	send_run(INFLATE, FIRST, 1, 8);
	assert_int_equal(used(INFLATE), 1);
}

static void test_features(void **state)
{
	(void)state;
	assert_int_equal(guest.device->offered & 63, BIT(VIRTIO_BALLOON_F_STATS_VQ) |
		BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) | HINTS | POISON | REPORTS);
	assert_int_equal(guest.device->operations->config_bytes, 16);
	assert_int_equal(guest.device->ring_count, 5);
	for (unsigned int i = 0; i < 5; i++)
		assert_in_range(guest.device->rings[i].size_max, 32, 128);
}

static void test_creation_fails(void **state)
{
	static struct fake_virtio other;

	(void)state;
	fake_virtio_destroy(&guest);
	fake_virtio_create(&other, "other");
	fake_frames_until_failure = 0;
	assert_int_equal(virtio_balloon_create(&other.vm, NULL), -ENOMEM);
	fake_frames_until_failure = -1;
	assert_null(other.vm.balloon);
	other.add_error = -ENOSPC;
	assert_int_equal(virtio_balloon_create(&other.vm, NULL), -ENOSPC);
	fake_virtio_destroy(&other);
	begin(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_inflates_runs, begin, end),
		cmocka_unit_test_setup_teardown(test_inflates_what_linux_sends, begin, end),
		cmocka_unit_test_setup_teardown(test_pages_are_of_ram, begin, end),
		cmocka_unit_test_setup_teardown(test_counts_stay_sane, begin, end),
		cmocka_unit_test_setup_teardown(test_odd_buffers, begin, end),
		cmocka_unit_test_setup_teardown(test_a_go_is_bounded, begin, end),
		cmocka_unit_test_setup_teardown(test_the_rest_waits, begin, end),
		cmocka_unit_test_setup_teardown(test_calls_may_do_a_part, begin, end),
		cmocka_unit_test_setup_teardown(test_free_pages_stay_where_they_are, begin, end),
		cmocka_unit_test_setup_teardown(test_flushes_before_it_answers, begin, end),
		cmocka_unit_test_setup_teardown(test_memory_for_the_array_waits, begin, end),
		cmocka_unit_test_setup_teardown(test_reset_with_the_rest_pending, begin, end),
		cmocka_unit_test_setup_teardown(test_reports, begin, end),
		cmocka_unit_test_setup_teardown(test_reports_whole_pages, begin, end),
		cmocka_unit_test_setup_teardown(test_reports_wait, begin, end),
		cmocka_unit_test_setup_teardown(test_poison, begin, end),
		cmocka_unit_test_setup_teardown(test_hints_change_nothing, begin, end),
		cmocka_unit_test_setup_teardown(test_numbering, begin, end),
		cmocka_unit_test_setup_teardown(test_statistics, begin, end),
		cmocka_unit_test_setup_teardown(test_statistics_from_the_start, begin, end),
		cmocka_unit_test_setup_teardown(test_odd_statistics, begin, end),
		cmocka_unit_test_setup_teardown(test_target, begin, end),
		cmocka_unit_test_setup_teardown(test_actual_is_the_drivers, begin, end),
		cmocka_unit_test_setup_teardown(test_broken_rings, begin, end),
		cmocka_unit_test_setup_teardown(test_ring_breaks_while_pages_wait, begin, end),
		cmocka_unit_test_setup_teardown(test_features, begin, end),
		cmocka_unit_test_setup_teardown(test_creation_fails, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
