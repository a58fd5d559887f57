/* SPDX-License-Identifier: BSD-2-Clause */
/* Split rings over real guest memory: drivers that keep the rules, and drivers that break each of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "test/unit/fake_driver.h"
#include "test/unit/fake_frames.h"

static const struct s2_format format = { .name = "EPT", .table_bits = 7, .leaf_bits = 6 << 3,
	.large_bit = BIT(7), .present = 7, .read = BIT(0), .write = BIT(1), .exec = BIT(2) };

#define LOW_END 0xa0000ULL
#define RAM_END MIB(8)
#define HIGH GIB(4)
#define HIGH_END (HIGH + MIB(4))

#define DESCRIPTORS 0x200000ULL
#define AVAILABLE 0x201000ULL
#define USED 0x202000ULL
#define TABLE 0x300000ULL /* an indirect one */
#define DATA 0x400000ULL

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

static struct guest_memory memory;
static struct virtio_ring ring;
static struct fake_driver driver;
static struct virtio_chain chain;

static void set_up(uint16_t size, gpa_t descriptors, gpa_t available, gpa_t used)
{
	ring_reset(&ring);
	driver = (struct fake_driver){ &memory, descriptors, available, used, size, 0 };
	ring.size = size;
	ring.descriptors = descriptors;
	ring.available = available;
	ring.used = used;
}

/* A ring that works, at the usual place. */
static void enable(uint16_t size)
{
	set_up(size, DESCRIPTORS, AVAILABLE, USED);
	fake_driver_set_index(&driver, 0);
	fake_driver_want(&driver, 0);
	assert_int_equal(ring_enable(&ring), 0);
}

static int begin(void **state)
{
	(void)state;
	assert_int_equal(guest_memory_init(&memory, &format), 0);
	assert_int_equal(guest_memory_add(&memory, 0, LOW_END, false), 0);
	assert_int_equal(guest_memory_add(&memory, MIB(1), RAM_END - MIB(1), false), 0);
	assert_int_equal(guest_memory_add(&memory, HIGH, HIGH_END - HIGH, false), 0);
	ring.memory = &memory;
	ring.size_max = VIRTIO_RING_MAX;
	enable(8);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_frames_until_failure = -1;
	guest_memory_destroy(&memory);
	assert_int_equal(fake_frames_in_use, 0);
	return 0;
}

static void assert_pops(unsigned int readable, unsigned int writable)
{
	assert_int_equal(ring_pop(&ring, &chain), 1);
	assert_int_equal(chain.readable, readable);
	assert_int_equal(chain.writable, writable);
}

/* It is broken: whatever the driver does now, nothing is read and nothing written. */
static void assert_broken(void)
{
	uint16_t used = fake_driver_used_index(&driver);
	uint8_t byte = 0;

	assert_true(ring.broken);
	assert_int_equal(ring_pop(&ring, &chain), -EINVAL);
	assert_false(ring_has_available(&ring));
	assert_false(ring_want_notifications(&ring, true));
	ring_push(&ring, 0, 0);
	assert_int_equal(fake_driver_used_index(&driver), used);
	assert_false(ring_needs_signal(&ring));
	assert_int_equal(chain_read(&ring, &chain, 0, &byte, 1), 0);
	assert_int_equal(chain_map(&ring, &chain, true, 0, 1, NULL, 0), -EFAULT);
	assert_int_equal(ring_enable(&ring), -EINVAL);
	assert_true(ring.broken);
}

/* The chain at descriptor 0 breaks the ring. */
static void assert_breaks(void)
{
	fake_driver_offer(&driver, 0);
	assert_true(ring_has_available(&ring));
	assert_int_equal(ring_pop(&ring, &chain), -EINVAL);
	assert_broken();
	enable(8);
	ring.indirect = true;
}

static void a_chain_comes_and_goes(void **state)
{
	uint8_t bytes[64];

	(void)state;
	assert_false(ring_has_available(&ring));
	assert_int_equal(ring_pop(&ring, &chain), 0);
	fake_driver_describe(&driver, 3, DATA, 10, NEXT, 1);
	fake_driver_describe(&driver, 1, DATA + 100, 20, NEXT, 7);
	fake_driver_describe(&driver, 7, DATA + 200, 30, WRITE | NEXT, 0);
	fake_driver_describe(&driver, 0, DATA + 300, 1, WRITE, 3);
	fake_driver_set(&driver, DATA, "0123456789", 10);
	fake_driver_set(&driver, DATA + 100, "abcdefghijklmnopqrst", 20);
	fake_driver_offer(&driver, 3);
	assert_true(ring_has_available(&ring));
	assert_pops(2, 2);
	assert_int_equal(chain.head, 3);
	assert_int_equal(chain.readable_bytes, 30);
	assert_int_equal(chain.writable_bytes, 31);
	assert_int_equal(chain.segments[2].gpa, DATA + 200);
	assert_int_equal(chain_read(&ring, &chain, 8, bytes, 4), 4);
	assert_memory_equal(bytes, "89ab", 4);
	assert_int_equal(chain_read(&ring, &chain, 10, bytes, 1), 1);
	assert_int_equal(bytes[0], 'a');
	assert_int_equal(chain_read(&ring, &chain, 25, bytes, 64), 5);
	assert_int_equal(chain_read(&ring, &chain, 30, bytes, 1), 0);
	assert_int_equal(chain_read(&ring, &chain, ~0U, bytes, 1), 0);
	assert_int_equal(chain_write(&ring, &chain, 29, "xyz", 3), 2);
	fake_driver_get(&driver, DATA + 229, bytes, 1);
	assert_int_equal(bytes[0], 'x');
	fake_driver_get(&driver, DATA + 300, bytes, 1);
	assert_int_equal(bytes[0], 'y');
	ring_push(&ring, chain.head, 31);
	assert_int_equal(fake_driver_used_index(&driver), 1);
	assert_int_equal(fake_driver_used(&driver, 0).id, 3);
	assert_int_equal(fake_driver_used(&driver, 0).len, 31);
	assert_int_equal(ring_pop(&ring, &chain), 0);
}

static void a_popped_chain_can_be_put_back(void **state)
{
	(void)state;
	fake_driver_describe(&driver, 5, DATA, 10, 0, 0);
	fake_driver_offer(&driver, 5);
	assert_pops(1, 0);
	ring_unpop(&ring);
	assert_true(ring_has_available(&ring));
	assert_true(ring_want_notifications(&ring, true));
	assert_pops(1, 0);
	assert_int_equal(chain.head, 5);
	assert_int_equal(ring_pop(&ring, &chain), 0);
}

static void several_are_given_back_at_once(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		fake_driver_describe(&driver, i, DATA + i, 1, WRITE, 0);
		fake_driver_offer(&driver, i);
	}
	for (unsigned int i = 0; i < 2; i++) {
		assert_pops(0, 1);
		ring_put(&ring, chain.head, 7);
		assert_int_equal(fake_driver_used_index(&driver), 0);
	}
	ring_publish(&ring);
	ring_publish(&ring);
	assert_int_equal(fake_driver_used_index(&driver), 2);
	assert_int_equal(fake_driver_used(&driver, 1).id, 1);
	/* The next one does not come together: it is popped again. */
	assert_pops(0, 1);
	ring_put(&ring, chain.head, 7);
	ring_take_back(&ring);
	assert_int_equal(fake_driver_used_index(&driver), 2);
	assert_pops(0, 1);
	assert_int_equal(chain.head, 2);
	ring_push(&ring, chain.head, 7);
	assert_int_equal(fake_driver_used_index(&driver), 3);
	ring.broken = true;
	ring.generation = ~0ULL;
	ring_put(&ring, 3, 7);
	ring_publish(&ring);
	assert_int_equal(fake_driver_used_index(&driver), 3);
}

static void indices_wrap(void **state)
{
	(void)state;
	fake_driver_describe(&driver, 2, DATA, 10, WRITE, 0);
	ring.event_index = true;
	for (unsigned int i = 0; i < 70000; i++) {
		fake_driver_used_event(&driver, i);
		fake_driver_offer(&driver, 2);
		assert_pops(0, 1);
		ring_push(&ring, chain.head, i);
		assert_int_equal(fake_driver_used_index(&driver), (uint16_t)(i + 1));
		assert_int_equal(fake_driver_used(&driver, i).len, i);
		assert_true(ring_needs_signal(&ring));
		assert_false(ring_needs_signal(&ring));
		assert_false(ring_want_notifications(&ring, true));
		assert_int_equal(fake_driver_available_event(&driver), (uint16_t)(i + 1));
	}
}

static void a_full_ring(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		fake_driver_describe(&driver, i, DATA + i, 1, 0, 0);
		fake_driver_offer(&driver, i);
	}
	for (unsigned int i = 0; i < 8; i++)
		assert_pops(1, 0);
	assert_int_equal(ring_pop(&ring, &chain), 0);
	/* In another order than they came. */
	ring_push(&ring, 7, 0);
	assert_int_equal(fake_driver_used(&driver, 0).id, 7);
	fake_driver_offer(&driver, 7);
	assert_pops(1, 0);
	/* More than there is room for. */
	fake_driver_offer(&driver, 7);
	assert_int_equal(ring_pop(&ring, &chain), -EINVAL);
	assert_broken();
}

static void an_index_that_jumps_breaks(void **state)
{
	static const uint16_t jumps[] = { 9, 10, 0x7fff, 0x8000, 0xffff };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		enable(8);
		fake_driver_set_index(&driver, jumps[i]);
		assert_false(ring_has_available(&ring));
		assert_broken();
	}
	/* Backwards, over what has been popped but not given back. */
	enable(8);
	fake_driver_describe(&driver, 0, DATA, 1, 0, 0);
	fake_driver_offer(&driver, 0);
	fake_driver_offer(&driver, 0);
	assert_pops(1, 0);
	assert_pops(1, 0);
	fake_driver_set_index(&driver, 1);
	assert_int_equal(ring_pop(&ring, &chain), -EINVAL);
	assert_broken();
}

static void heads_and_links_stay_in_the_ring(void **state)
{
	(void)state;
	fake_driver_offer(&driver, 8);
	assert_int_equal(ring_pop(&ring, &chain), -EINVAL);
	assert_broken();
	enable(8);
	fake_driver_offer(&driver, 0xffff);
	assert_int_equal(ring_pop(&ring, &chain), -EINVAL);
	enable(8);
	fake_driver_describe(&driver, 0, DATA, 1, NEXT, 8);
	assert_breaks();
	fake_driver_describe(&driver, 0, DATA, 1, NEXT, 0xffff);
	assert_breaks();
	/* Loops: to itself, of two, of all. */
	fake_driver_describe(&driver, 0, DATA, 1, NEXT, 0);
	assert_breaks();
	fake_driver_describe(&driver, 0, DATA, 0, NEXT, 0);
	assert_breaks();
	fake_driver_describe(&driver, 0, DATA, 1, NEXT, 1);
	fake_driver_describe(&driver, 1, DATA, 1, NEXT, 0);
	assert_breaks();
	for (unsigned int i = 0; i < 8; i++)
		fake_driver_describe(&driver, i, DATA, 1, NEXT, (i + 1) % 8);
	assert_breaks();
	/* As long as it may be. */
	fake_driver_describe(&driver, 7, DATA, 1, 0, 0);
	fake_driver_offer(&driver, 0);
	assert_pops(8, 0);
}

static void segments_lie_in_ram(void **state)
{
	static const struct {
		gpa_t gpa;
		uint32_t bytes;
	} bad[] = { { LOW_END, 1 }, { LOW_END - 1, 2 }, { MIB(1) - 1, 1 }, { RAM_END, 1 }, { RAM_END - 4096, 4097 },
		{ 0xe0000000, 4 }, { 0xfee00000, 4 }, { HIGH_END, 1 }, { HIGH_END - 1, 2 }, { HIGH - 1, 2 },
		{ ~0ULL, 1 }, { ~0ULL, 2 }, { ~0ULL - 4095, 4096 }, { BIT(46) + DATA, 16 }, { BIT(63), 1 },
		{ 0, ~0U }, { DATA, ~0U }, { HIGH, MIB(4) + 1 } };
	static const gpa_t good[] = { 0, LOW_END - 16, MIB(1), RAM_END - 16, HIGH, HIGH_END - 16 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_driver_describe(&driver, 0, bad[i].gpa, bad[i].bytes, 0, 0);
		assert_breaks();
		fake_driver_describe(&driver, 0, bad[i].gpa, bad[i].bytes, WRITE, 0);
		assert_breaks();
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		fake_driver_describe(&driver, 0, good[i], 16, WRITE, 0);
		fake_driver_offer(&driver, 0);
		assert_pops(0, 1);
		assert_int_equal(chain_write(&ring, &chain, 0, "abcdefghijklmnop", 16), 16);
		ring_push(&ring, 0, 16);
	}
}

static void lengths_add_up(void **state)
{
	(void)state;
	/* A driver may say that it has a great deal of memory; more than 32 bits of it is no request. */
	enable(256);
	for (unsigned int i = 0; i < 256; i++)
		fake_driver_describe(&driver, i, 0x100000, MIB(7), i < 255 ? NEXT : 0, i + 1);
	assert_breaks();
	ring.size = 8;
	enable(8);
	fake_driver_describe(&driver, 0, DATA, 0, NEXT, 1);
	fake_driver_describe(&driver, 1, ~0ULL, 0, NEXT, 2); /* nobody looks where nothing lies */
	fake_driver_describe(&driver, 2, DATA, 4, NEXT | WRITE, 3);
	fake_driver_describe(&driver, 3, DATA, 0, WRITE, 0);
	fake_driver_offer(&driver, 0);
	assert_pops(0, 1);
	assert_int_equal(chain.writable_bytes, 4);
	/* Nothing at all is a request, too: the device answers it as it likes. */
	fake_driver_describe(&driver, 0, DATA, 0, 0, 0);
	fake_driver_offer(&driver, 0);
	assert_pops(0, 0);
	assert_int_equal(chain_map(&ring, &chain, false, 0, 0, NULL, 0), 0);
	assert_int_equal(chain_map(&ring, &chain, false, 0, 1, NULL, 0), -EFAULT);
}

static void what_is_read_comes_first(void **state)
{
	(void)state;
	fake_driver_describe(&driver, 0, DATA, 1, WRITE | NEXT, 1);
	fake_driver_describe(&driver, 1, DATA, 1, 0, 0);
	assert_breaks();
	fake_driver_describe(&driver, 0, DATA, 1, NEXT, 1);
	fake_driver_describe(&driver, 1, DATA, 1, WRITE | NEXT, 2);
	fake_driver_describe(&driver, 2, DATA, 1, 0, 0);
	assert_breaks();
}

/* Descriptor 0 is an indirect table of `entries` good ones. */
static void make_table(gpa_t table, unsigned int entries, uint16_t flags)
{
	for (unsigned int i = 0; i < entries; i++)
		fake_driver_describe_at(&driver, table, i, DATA + 16 * i, 8, i + 1 < entries ? NEXT : 0, i + 1);
	fake_driver_describe(&driver, 0, table, 16 * entries, INDIRECT | flags, 0);
}

static void indirect_tables(void **state)
{
	(void)state;
	/* Nobody agreed on them. */
	make_table(TABLE, 2, 0);
	assert_breaks();
	make_table(TABLE, 2, 0);
	fake_driver_offer(&driver, 0);
	assert_pops(2, 0);
	ring_push(&ring, 0, 0);
	/* What it says of writing is ignored. */
	make_table(TABLE, 5, WRITE);
	fake_driver_offer(&driver, 0);
	assert_pops(5, 0);
	assert_int_equal(chain.readable_bytes, 40);
	ring_push(&ring, 0, 0);
	/* At any address, over the edge of a block of memory, more than there are entries in the ring. */
	make_table(0x3fffc1, VIRTIO_CHAIN_SEGMENTS, 0);
	fake_driver_offer(&driver, 0);
	assert_pops(VIRTIO_CHAIN_SEGMENTS, 0);
	assert_int_equal(chain.segments[VIRTIO_CHAIN_SEGMENTS - 1].gpa, DATA + 16 * (VIRTIO_CHAIN_SEGMENTS - 1));
	ring_push(&ring, 0, 0);
	/* After others. */
	make_table(TABLE, 3, 0);
	fake_driver_describe(&driver, 1, TABLE, 48, INDIRECT, 0);
	fake_driver_describe(&driver, 0, DATA + 500, 8, NEXT, 1);
	fake_driver_offer(&driver, 0);
	assert_pops(4, 0);
	ring_push(&ring, 0, 0);
	/* In an order of its own. */
	fake_driver_describe_at(&driver, TABLE, 0, DATA, 1, NEXT, 2);
	fake_driver_describe_at(&driver, TABLE, 2, DATA, 1, NEXT | WRITE, 1);
	fake_driver_describe_at(&driver, TABLE, 1, DATA, 1, WRITE, 0);
	fake_driver_offer(&driver, 0);
	assert_pops(2, 2);
}

static void indirect_tables_that_break(void **state)
{
	(void)state;
	ring.indirect = true;
	make_table(TABLE, 2, NEXT);
	assert_breaks();
	make_table(TABLE, VIRTIO_CHAIN_SEGMENTS + 1, 0);
	assert_breaks();
	/* Nested. */
	fake_driver_describe_at(&driver, TABLE, 0, TABLE, 32, INDIRECT, 0);
	fake_driver_describe(&driver, 0, TABLE, 32, INDIRECT, 0);
	assert_breaks();
	static const uint32_t lengths[] = { 0, 1, 15, 17, 24, 16 * 65537, 0xfffffff0, ~0U };
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		make_table(TABLE, 1, 0);
		fake_driver_describe(&driver, 0, TABLE, lengths[i], INDIRECT, 0);
		assert_breaks();
	}
	/* Not RAM. */
	static const gpa_t places[] = { LOW_END, LOW_END - 16, 0xe0000000, RAM_END - 16, ~0ULL - 15, BIT(46) };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		fake_driver_describe(&driver, 0, places[i], 32, INDIRECT, 0);
		assert_breaks();
	}
	/* Out of the table; loops; empty descriptors without end. */
	fake_driver_describe_at(&driver, TABLE, 0, DATA, 1, NEXT, 2);
	fake_driver_describe(&driver, 0, TABLE, 32, INDIRECT, 0);
	assert_breaks();
	fake_driver_describe_at(&driver, TABLE, 0, DATA, 1, NEXT, 0);
	fake_driver_describe(&driver, 0, TABLE, 32, INDIRECT, 0);
	assert_breaks();
	for (unsigned int i = 0; i < 1000; i++)
		fake_driver_describe_at(&driver, TABLE, i, DATA, 0, NEXT, i + 1);
	fake_driver_describe(&driver, 0, TABLE, 16000, INDIRECT, 0);
	assert_breaks();
}

/* It is as if there were none, until somebody has a reason to look again. */
static void indirect_table_that_comes_later(void **state)
{
	(void)state;
	ring.indirect = true;
	fake_driver_describe(&driver, 0, HIGH + MIB(2), 32, INDIRECT, 0);
	fake_driver_offer(&driver, 0);
	fake_frames_until_failure = 0;
	assert_int_equal(ring_pop(&ring, &chain), 0);
	assert_true(memory.devices_wait);
	assert_false(ring_has_available(&ring));
	assert_false(ring_want_notifications(&ring, true));
	assert_int_equal(ring_pop(&ring, &chain), 0);
	assert_true(ring_look_again(&ring));
	assert_int_equal(ring_pop(&ring, &chain), 0);
	fake_frames_until_failure = -1;
	assert_int_equal(ring_pop(&ring, &chain), 0);
	assert_true(ring_look_again(&ring));
	assert_false(ring_look_again(&ring));
	fake_driver_describe_at(&driver, HIGH + MIB(2), 0, DATA, 8, 0, 0);
	assert_int_equal(ring_pop(&ring, &chain), 1);
	assert_int_equal(ring_pop(&ring, &chain), 0);
	assert_false(ring.absent);
}

/* Where memory may be elsewhere, a chain is popped when all of it is there, and not before. */
static void chain_that_comes_later(void **state)
{
	(void)state;
	memory.may_swap = true;
	fake_driver_describe(&driver, 0, DATA, 16, NEXT, 1);
	fake_driver_describe(&driver, 1, HIGH + MIB(2) - 8, 16, WRITE, 0);
	fake_driver_describe(&driver, 2, DATA, 16, WRITE, 0);
	fake_driver_offer(&driver, 2);
	fake_driver_offer(&driver, 0);
	assert_pops(0, 1);
	fake_frames_until_failure = 0;
	assert_int_equal(ring_pop(&ring, &chain), 0);
	assert_true(ring.absent);
	/* What was popped before can be given back. */
	ring_push(&ring, 2, 16);
	assert_int_equal(fake_driver_used_index(&driver), 1);
	assert_false(ring_want_more(&ring));
	fake_frames_until_failure = -1;
	assert_true(ring_look_again(&ring));
	assert_pops(1, 1);
	assert_int_equal(ring_pop(&ring, &chain), 0);
	assert_false(ring.absent);
	memory.may_swap = false;
}

/* However long it is: in portions, and not beyond what the guest itself may have now. */
static void chain_that_comes_in_portions(void **state)
{
	uint64_t before = memory.resident_pages;
	unsigned int pops = 0;

	(void)state;
	memory.may_swap = memory.by_page = true;
	memory.ceiling_pages = before + 100;
	fake_driver_describe(&driver, 0, HIGH + MIB(2), 200 * PAGE_SIZE, WRITE, 0);
	fake_driver_offer(&driver, 0);
	assert_int_equal(ring_pop(&ring, &chain), 0);
	assert_in_range(memory.resident_pages - before, 1, 64);
	for (int i = 0; i < 10; i++) {
		assert_true(ring_look_again(&ring));
		assert_int_equal(ring_pop(&ring, &chain), 0);
	}
	assert_int_equal(memory.resident_pages, before + 100);
	memory.ceiling_pages = UINT64_MAX;
	while (ring_look_again(&ring) && !ring_pop(&ring, &chain))
		assert_in_range(++pops, 1, 5);
	assert_int_equal(chain.writable_bytes, 200 * PAGE_SIZE);
	assert_int_equal(memory.resident_pages, before + 200);
	memory.may_swap = memory.by_page = false;
}

static void rings_in_bad_places(void **state)
{
	static const struct {
		gpa_t descriptors, available, used;
	} bad[] = {
		{ DESCRIPTORS + 8, AVAILABLE, USED },
		{ DESCRIPTORS, AVAILABLE + 1, USED },
		{ DESCRIPTORS, AVAILABLE, USED + 2 },
		{ 0xe0000000, AVAILABLE, USED },
		{ DESCRIPTORS, 0xfee00000, USED },
		{ DESCRIPTORS, AVAILABLE, 0xfec00000 },
		{ RAM_END - 16 * 8 + 16, AVAILABLE, USED },
		{ DESCRIPTORS, RAM_END - 20, USED },
		{ DESCRIPTORS, AVAILABLE, RAM_END - 68 },
		{ ~0ULL - 15, AVAILABLE, USED },
		{ DESCRIPTORS, ~0ULL - 1, USED },
		{ DESCRIPTORS, AVAILABLE, ~0ULL - 3 },
	};
	static const uint16_t sizes[] = { 0, 3, 255, 512, 0x8000, 0xffff };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		set_up(8, bad[i].descriptors, bad[i].available, bad[i].used);
		assert_int_equal(ring_enable(&ring), -EINVAL);
		assert_true(ring.broken);
		assert_false(ring.enabled);
		assert_int_equal(ring_pop(&ring, &chain), -EINVAL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		set_up(sizes[i], DESCRIPTORS, AVAILABLE, USED);
		assert_int_equal(ring_enable(&ring), -EINVAL);
	}
	ring.size_max = 64;
	set_up(128, DESCRIPTORS, AVAILABLE, USED);
	assert_int_equal(ring_enable(&ring), -EINVAL);
	ring_reset(&ring);
	assert_int_equal(ring.size, 64);
	/* To the last byte of RAM. */
	set_up(8, RAM_END - 128, HIGH_END - 22, RAM_END - 128 - 72);
	assert_int_equal(ring_enable(&ring), 0);
	/* Twice. */
	assert_int_equal(ring_enable(&ring), -EINVAL);
	assert_broken();
	/* Not at all. */
	ring_reset(&ring);
	assert_false(ring_has_available(&ring));
	assert_int_equal(ring_pop(&ring, &chain), 0);
	/* Its memory cannot be had. */
	set_up(8, HIGH, AVAILABLE, USED);
	fake_frames_until_failure = 0;
	assert_int_equal(ring_enable(&ring), 0);
	assert_true(ring.absent);
	assert_int_equal(ring_pop(&ring, &chain), 0);
	assert_true(ring_look_again(&ring));
	assert_int_equal(ring_pop(&ring, &chain), 0);
	assert_true(ring_look_again(&ring));
	assert_false(ring_has_available(&ring));
	fake_frames_until_failure = -1;
	assert_true(ring_look_again(&ring));
	assert_int_equal(ring_pop(&ring, &chain), 0);
	assert_true(ring.mapped);
	assert_false(ring.absent || ring.broken);
	/* Its pages are not taken from the guest, until it is reset. */
	assert_true(memory.pins.count >= 3);
	ring_reset(&ring);
	assert_int_equal(memory.pins.count, 0);
}

static void signals_by_flag(void **state)
{
	(void)state;
	fake_driver_describe(&driver, 0, DATA, 10, WRITE, 0);
	assert_false(ring_needs_signal(&ring));
	for (unsigned int i = 0; i < 3; i++) {
		fake_driver_offer(&driver, 0);
		assert_pops(0, 1);
		ring_push(&ring, 0, 0);
		fake_driver_want(&driver, i == 1 ? VRING_AVAIL_F_NO_INTERRUPT : 0);
		assert_int_equal(ring_needs_signal(&ring), i != 1);
		assert_false(ring_needs_signal(&ring));
	}
}

static void signals_by_event(void **state)
{
	(void)state;
	ring.event_index = true;
	fake_driver_want(&driver, VRING_AVAIL_F_NO_INTERRUPT); /* means nothing here */
	fake_driver_describe(&driver, 0, DATA, 10, WRITE, 0);
	fake_driver_used_event(&driver, 3);
	for (unsigned int i = 0; i < 8; i++) {
		fake_driver_offer(&driver, 0);
		assert_pops(0, 1);
		ring_push(&ring, 0, 0);
		assert_int_equal(ring_needs_signal(&ring), i == 3);
	}
	/* Several at once, passing it. */
	fake_driver_used_event(&driver, 9);
	for (unsigned int i = 0; i < 4; i++) {
		fake_driver_offer(&driver, 0);
		assert_pops(0, 1);
		ring_push(&ring, 0, 0);
	}
	assert_true(ring_needs_signal(&ring));
}

static void notifications_by_flag(void **state)
{
	(void)state;
	assert_false(ring_want_notifications(&ring, false));
	assert_int_equal(fake_driver_used_flags(&driver), VRING_USED_F_NO_NOTIFY);
	fake_driver_describe(&driver, 0, DATA, 10, WRITE, 0);
	assert_false(ring_want_notifications(&ring, true));
	assert_int_equal(fake_driver_used_flags(&driver), 0);
	assert_false(ring_want_notifications(&ring, false));
	fake_driver_offer(&driver, 0);
	assert_true(ring_want_notifications(&ring, true));
	assert_pops(0, 1);
	/* What is written is what has changed. */
	fake_driver_set16(&driver, USED, 0x55);
	assert_false(ring_want_notifications(&ring, true));
	assert_int_equal(fake_driver_used_flags(&driver), 0x55);
	/* An index that has jumped meanwhile. */
	fake_driver_set_index(&driver, 100);
	assert_false(ring_want_notifications(&ring, true));
	assert_broken();
}

static void notifications_by_event(void **state)
{
	(void)state;
	ring.event_index = true;
	fake_driver_describe(&driver, 0, DATA, 10, WRITE, 0);
	fake_driver_offer(&driver, 0);
	assert_pops(0, 1);
	assert_false(ring_want_notifications(&ring, false));
	assert_int_equal(fake_driver_available_event(&driver), 0);
	assert_int_equal(fake_driver_used_flags(&driver), 0);
	assert_false(ring_want_notifications(&ring, true));
	assert_int_equal(fake_driver_available_event(&driver), 1);
	fake_driver_offer(&driver, 0);
	assert_true(ring_want_notifications(&ring, true));
}

/* Small pages in any order: nothing of the ring nor of the data is contiguous in the host. */
static void pieces_everywhere(void **state)
{
	uint8_t bytes[3 * PAGE_SIZE], back[3 * PAGE_SIZE];
	struct block_segment segments[8];

	(void)state;
	/* The page at LOW_END - 1 fits no larger block than 64 KiB; one by one where frames are short. */
	set_up(256, 0x97f00, 0x9bf00, 0x8ff04);
	for (gpa_t page = 0x80000; page < LOW_END; page += 2 * PAGE_SIZE) {
		hpa_t frame = frame_alloc_zeroed(0, FRAME_GUEST);

		assert_int_equal(s2_map(&memory.s2, page, frame, 0, S2_ALL), 0);
	}
	fake_driver_set_index(&driver, 0);
	ring.event_index = true;
	assert_int_equal(ring_enable(&ring), 0);
	assert_null(ring.host_descriptors);
	assert_null(ring.host_available);
	assert_null(ring.host_used);
	for (unsigned int i = 0; i < 1000; i++) {
		unsigned int head = i % 256;

		memset(bytes, i, sizeof(bytes));
		fake_driver_set(&driver, 0x81234, bytes, sizeof(bytes));
		fake_driver_describe(&driver, head, 0x81234, sizeof(bytes), NEXT, (head + 1) % 256);
		fake_driver_describe(&driver, (head + 1) % 256, 0x88fff, sizeof(bytes), WRITE, 0);
		fake_driver_used_event(&driver, i);
		fake_driver_offer(&driver, head);
		assert_pops(1, 1);
		assert_int_equal(chain_read(&ring, &chain, 0, back, sizeof(back)), sizeof(back));
		assert_memory_equal(bytes, back, sizeof(back));
		assert_int_equal(chain_write(&ring, &chain, 0, back, sizeof(back)), sizeof(back));
		fake_driver_get(&driver, 0x88fff, back, sizeof(back));
		assert_memory_equal(bytes, back, sizeof(back));
		assert_in_range(chain_map(&ring, &chain, true, 0, sizeof(back), segments, 8), 2, 4);
		ring_push(&ring, head, i);
		assert_int_equal(fake_driver_used(&driver, i).id, head);
		assert_int_equal(fake_driver_used(&driver, i).len, i);
		assert_true(ring_needs_signal(&ring));
		assert_false(ring_want_notifications(&ring, true));
	}
}

static void chains_become_host_memory(void **state)
{
	struct block_segment segments[4];
	uint64_t room;

	(void)state;
	fake_driver_describe(&driver, 0, DATA, 16, NEXT, 1);
	fake_driver_describe(&driver, 1, DATA + 0x1ff000, 0x2000, NEXT | WRITE, 2);
	fake_driver_describe(&driver, 2, DATA + 0x10000, 0x1000, NEXT | WRITE, 3);
	fake_driver_describe(&driver, 3, DATA + 0x11000, 0x1000, WRITE, 0);
	fake_driver_offer(&driver, 0);
	assert_pops(1, 3);
	assert_int_equal(chain_map(&ring, &chain, false, 0, 16, segments, 4), 1);
	assert_int_equal(segments[0].start, host_phys(guest_memory_ptr(&memory, DATA, S2_WRITE, &room)));
	assert_int_equal(segments[0].bytes, 16);
	assert_int_equal(chain_map(&ring, &chain, false, 4, 8, segments, 4), 1);
	assert_int_equal(segments[0].bytes, 8);
	assert_int_equal(chain_map(&ring, &chain, false, 4, 13, segments, 4), -EFAULT);
	/* Over the edge of two blocks, which may be neighbours in the host; then two neighbours. */
	int count = chain_map(&ring, &chain, true, 0, 0x4000, segments, 4);
	assert_in_range(count, 2, 3);
	assert_int_equal(segments[count - 1].bytes, 0x2000);
	assert_int_equal(segments[count - 1].start,
		host_phys(guest_memory_ptr(&memory, DATA + 0x10000, S2_WRITE, &room)));
	assert_int_equal(chain_map(&ring, &chain, true, 0x2800, 0x1000, segments, 1), 1);
	assert_int_equal(chain_map(&ring, &chain, true, 0, 0x4000, segments, 1), -ENOSPC);
	assert_int_equal(chain_map(&ring, &chain, true, 0, 0x4001, segments, 4), -EFAULT);
	assert_int_equal(chain_map(&ring, &chain, true, 0x4000, 1, segments, 4), -EFAULT);
}

static void memory_that_cannot_be_had(void **state)
{
	struct block_segment segments[4];
	uint8_t bytes[32] = { 0 };

	(void)state;
	fake_driver_describe(&driver, 0, DATA, 16, NEXT, 1);
	fake_driver_describe(&driver, 1, HIGH, 16, NEXT, 2);
	fake_driver_describe(&driver, 2, HIGH + 32, 16, WRITE, 2);
	fake_driver_set(&driver, DATA, bytes, 16);
	fake_driver_offer(&driver, 0);
	fake_frames_until_failure = 0;
	assert_pops(2, 1);
	assert_int_equal(chain_read(&ring, &chain, 0, bytes, 32), 16);
	assert_int_equal(chain_write(&ring, &chain, 0, bytes, 16), 0);
	assert_int_equal(chain_map(&ring, &chain, true, 0, 16, segments, 4), -EFAULT);
	/* The ring is none the worse for it. */
	fake_frames_until_failure = -1;
	assert_int_equal(chain_write(&ring, &chain, 0, bytes, 16), 16);
	ring_push(&ring, 0, 16);
	assert_int_equal(fake_driver_used_index(&driver), 1);
}

/* What is kept of places in host memory is forgotten when memory is taken away. */
static void backing_comes_and_goes(void **state)
{
	uint8_t *before = ring.host_used;

	(void)state;
	fake_driver_describe(&driver, 0, DATA, 16, WRITE, 0);
	fake_driver_offer(&driver, 0);
	assert_pops(0, 1);
	assert_int_equal(chain_write(&ring, &chain, 0, "x", 1), 1);
	void *held = aligned_alloc(MIB(2), MIB(2));
	guest_memory_clear(&memory);
	/* All of it is zeroes now, so there is one chain less than has been popped. */
	assert_int_equal(chain_write(&ring, &chain, 0, "y", 1), 1);
	assert_true(ring.host_used != before || ring.generation == memory.generation);
	assert_int_equal(ring_pop(&ring, &chain), -EINVAL);
	assert_broken();
	enable(8);
	guest_memory_clear(&memory);
	fake_frames_until_failure = 0;
	assert_false(ring_has_available(&ring));
	assert_true(ring.broken);
	free(held);
}

/* Parts in pieces, whose memory is gone when they are used. */
static void pieces_go(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 4; round++) {
		struct s2_mapping old;

		fake_frames_until_failure = -1;
		set_up(256, 0x97f00, 0x9bf00, 0x8ff04);
		fake_driver_set_index(&driver, 0);
		for (gpa_t page = 0x80000; page < LOW_END; page += PAGE_SIZE)
			guest_memory_ptr(&memory, page, S2_WRITE, NULL);
		assert_int_equal(ring_enable(&ring), 0);
		ring.host_descriptors = NULL;
		ring.host_available = NULL;
		ring.host_used = NULL;
		fake_driver_describe(&driver, 0, DATA, 16, WRITE, 0);
		fake_driver_offer(&driver, 0);
		assert_pops(0, 1);
		fake_driver_offer(&driver, 0);
		static const gpa_t pages[] = { 0x97000, 0x9b000, 0x8f000, 0x9c000 };
		fake_driver_set16(&driver, 0x9c000, 0);
		if (round == 3) {
			/* The entry is on another page than the index. */
			for (unsigned int i = 0; i < 200; i++) {
				ring_push(&ring, 0, 0);
				assert_pops(0, 1);
				fake_driver_offer(&driver, 0);
			}
		}
		assert_int_equal(s2_unmap(&memory.s2, pages[round], &old), 0);
		fake_frames_until_failure = 0;
		if (round == 2)
			ring_push(&ring, 0, 0);
		else
			assert_int_equal(ring_pop(&ring, &chain), round ? -EINVAL : 0);
		assert_true(round ? ring.broken : ring.absent);
		frame_free(old.hpa, 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_chain_comes_and_goes),
		TEST(a_popped_chain_can_be_put_back),
		TEST(several_are_given_back_at_once),
		TEST(indices_wrap),
		TEST(a_full_ring),
		TEST(an_index_that_jumps_breaks),
		TEST(heads_and_links_stay_in_the_ring),
		TEST(segments_lie_in_ram),
		TEST(lengths_add_up),
		TEST(what_is_read_comes_first),
		TEST(indirect_tables),
		TEST(indirect_tables_that_break),
		TEST(indirect_table_that_comes_later),
		TEST(chain_that_comes_later),
		TEST(chain_that_comes_in_portions),
		TEST(rings_in_bad_places),
		TEST(signals_by_flag),
		TEST(signals_by_event),
		TEST(notifications_by_flag),
		TEST(notifications_by_event),
		TEST(pieces_everywhere),
		TEST(chains_become_host_memory),
		TEST(memory_that_cannot_be_had),
		TEST(backing_comes_and_goes),
		TEST(pieces_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
