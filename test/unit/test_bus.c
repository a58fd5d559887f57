/* SPDX-License-Identifier: BSD-2-Clause */
/* Buses: finding, splitting and refusing; a region that remembers what reached it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "vcpu/bus.h"

#define LOG 16

struct probe {
	struct io_region region;
	unsigned int count;
	struct {
		uint64_t offset, value;
		unsigned int size;
	} log[LOG];
};

static void note(struct probe *probe, uint64_t offset, unsigned int size, uint64_t value)
{
	assert_true(size == 1 || size == 2 || size == 4 || size == 8);
	assert_true(size <= probe->region.max_size);
	assert_true(range_within(offset, size, probe->region.length));
	assert_true(probe->count < LOG);
	probe->log[probe->count].offset = offset;
	probe->log[probe->count].size = size;
	probe->log[probe->count++].value = value;
}

/* Each byte reads as its own offset; above `size` there is rubbish. */
static uint64_t probe_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	uint64_t value = 0xcccccccccccccccc & ~byte_mask(size);

	for (unsigned int i = 0; i < size; i++)
		value |= (offset + i) << (8 * i);
	note(container_of(region, struct probe, region), offset, size, value & byte_mask(size));
	return value;
}

static void probe_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	assert_int_equal(value & ~byte_mask(size), 0);
	note(container_of(region, struct probe, region), offset, size, value);
}

static struct probe make(uint64_t start, uint64_t length, uint8_t max_size)
{
	return (struct probe){ .region = { start, length, max_size, probe_read, probe_write } };
}

static void regions_are_kept_sorted_and_disjoint(void **state)
{
	struct io_bus bus = { 0 };
	struct probe a = make(0x100, 8, 4), b = make(0x80, 0x80, 4), c = make(0x108, 8, 4);
	struct probe over = make(0x10f, 1, 1), under = make(0x7f, 2, 1);
	struct probe around = make(0, 0x1000, 1);
	struct probe empty = make(5, 0, 1), wraps = make(~0ULL, 2, 1), odd = make(0x400, 4, 3);

	(void)state;
	assert_int_equal(io_bus_add(&bus, &a.region), 0);
	assert_int_equal(io_bus_add(&bus, &b.region), 0);
	assert_int_equal(io_bus_add(&bus, &c.region), 0);
	assert_int_equal(io_bus_add(&bus, &a.region), -EEXIST);
	assert_int_equal(io_bus_add(&bus, &over.region), -EEXIST);
	assert_int_equal(io_bus_add(&bus, &under.region), -EEXIST);
	assert_int_equal(io_bus_add(&bus, &around.region), -EEXIST);
	assert_int_equal(io_bus_add(&bus, &empty.region), -EINVAL);
	assert_int_equal(io_bus_add(&bus, &wraps.region), -EINVAL);
	assert_int_equal(io_bus_add(&bus, &odd.region), -EINVAL);
	assert_int_equal(bus.count, 3);
	assert_int_equal(io_bus_read(&bus, 0xff, 1), 0x7f);
	assert_int_equal(io_bus_read(&bus, 0x107, 1), 7);
	assert_int_equal(io_bus_read(&bus, 0x108, 1), 0);
	assert_int_equal(io_bus_read(&bus, 0x110, 1), 0xff);
	assert_int_equal(io_bus_read(&bus, 0x7f, 1), 0xff);
}

static void a_full_bus_says_so(void **state)
{
	struct io_bus bus = { 0 };
	struct probe probes[IO_BUS_REGIONS + 1];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(probes); i++) {
		/* Inserted from the outside to the middle. */
		probes[i] = make(i % 2 ? 1000 - i : i, 1, 1);
		assert_int_equal(io_bus_add(&bus, &probes[i].region),
			i < IO_BUS_REGIONS ? 0 : -ENOSPC);
	}
	for (unsigned int i = 0; i + 1 < bus.count; i++)
		assert_true(bus.regions[i]->start < bus.regions[i + 1]->start);
	for (unsigned int i = 0; i < IO_BUS_REGIONS; i++)
		assert_int_equal(io_bus_read(&bus, probes[i].region.start, 1), 0);
}

static void regions_come_and_go(void **state)
{
	struct io_bus bus = { 0 };
	struct probe a = make(0x10, 8, 4), b = make(0x18, 8, 4), c = make(0x20, 8, 4);

	(void)state;
	assert_int_equal(io_bus_add(&bus, &c.region), 0);
	assert_int_equal(io_bus_add(&bus, &a.region), 0);
	assert_int_equal(io_bus_add(&bus, &b.region), 0);
	/* The one that was found last is forgotten with it. */
	assert_int_equal(io_bus_read(&bus, 0x18, 1), 0);
	io_bus_remove(&bus, &b.region);
	assert_int_equal(bus.count, 2);
	assert_int_equal(io_bus_read(&bus, 0x18, 1), 0xff);
	assert_int_equal(io_bus_read(&bus, 0x13, 1), 3);
	io_bus_remove(&bus, &c.region);
	assert_int_equal(io_bus_read(&bus, 0x13, 1), 3);
	assert_int_equal(io_bus_read(&bus, 0x20, 4), 0xffffffff);
	b.region.start = 0x100;
	assert_int_equal(io_bus_add(&bus, &b.region), 0);
	assert_int_equal(io_bus_read(&bus, 0x105, 1), 5);
	io_bus_remove(&bus, &a.region);
	io_bus_remove(&bus, &b.region);
	assert_int_equal(bus.count, 0);
	assert_int_equal(io_bus_read(&bus, 0x105, 1), 0xff);
}

static void wide_accesses_are_split_low_bytes_first(void **state)
{
	struct io_bus bus = { 0 };
	struct probe bytes = make(0x10, 8, 1), words = make(0x18, 8, 2);

	(void)state;
	assert_int_equal(io_bus_add(&bus, &bytes.region), 0);
	assert_int_equal(io_bus_add(&bus, &words.region), 0);
	io_bus_write(&bus, 0x10, 4, 0xffffffff44332211);
	assert_int_equal(bytes.count, 4);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(bytes.log[i].offset, i);
		assert_int_equal(bytes.log[i].value, 0x11 * (i + 1));
	}
	assert_int_equal(io_bus_read(&bus, 0x18, 8), 0x0706050403020100);
	assert_int_equal(words.count, 4);
	/* Over the border between two, and over the end into nothing. */
	bytes.count = words.count = 0;
	assert_int_equal(io_bus_read(&bus, 0x15, 8), 0x0403020100070605);
	assert_int_equal(bytes.count, 3);
	assert_int_equal(words.log[0].size, 2);
	assert_int_equal(words.log[2].size, 1);
	assert_int_equal(io_bus_read(&bus, 0x1e, 4), 0xffff0706);
	assert_int_equal(io_bus_read(&bus, 0x0e, 4), 0x0100ffff);
	io_bus_write(&bus, 0x1f, 4, 0x44332211);
	/* Just before a region: none of it. */
	bytes.count = 0;
	assert_int_equal(io_bus_read(&bus, 0x0c, 4), 0xffffffff);
	io_bus_write(&bus, 0x0c, 4, 0);
	assert_int_equal(bytes.count, 0);
	io_bus_write(&bus, 0x0d, 4, 0x44332211);
	assert_int_equal(bytes.count, 1);
	assert_int_equal(bytes.log[0].value, 0x44);
	io_bus_write(&bus, 0x1000, 8, 1);
	assert_int_equal(io_bus_read(&bus, ~0ULL - 1, 8) & 0xffff, 0xffff);
}

static void rubbish_above_the_size_is_cut_off(void **state)
{
	struct io_bus bus = { 0 };
	struct probe probe = make(0, 16, 8);

	(void)state;
	assert_int_equal(io_bus_add(&bus, &probe.region), 0);
	assert_int_equal(io_bus_read(&bus, 4, 1), 4);
	assert_int_equal(io_bus_read(&bus, 4, 2), 0x0504);
	io_bus_write(&bus, 0, 2, 0xffff1234);
	assert_int_equal(probe.log[2].value, 0x1234);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_are_kept_sorted_and_disjoint),
		cmocka_unit_test(a_full_bus_says_so),
		cmocka_unit_test(regions_come_and_go),
		cmocka_unit_test(wide_accesses_are_split_low_bytes_first),
		cmocka_unit_test(rubbish_above_the_size_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
