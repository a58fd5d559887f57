/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk as drivers see it: good ones, by a model and with disks that answer late, and bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "test/unit/fake_blk.h"
#include "test/unit/fake_frames.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define FEATURES (BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_BLK_F_FLUSH) |     \
	BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES))

#define FRESH 0xee /* a status that nobody has written */

/*
 * A request's own places, in `large` memory: table, header, status, range. Its data is elsewhere. SLOTS of them,
 * each with its own part of the disk.
 */
#define SLOTS 60
#define SLOT(slot) (FAKE_BLK_FREE + (slot) * 0x1000ULL)
#define SLOT_HEADER(slot) (SLOT(slot) + 0xf00)
#define SLOT_RANGE(slot) (SLOT(slot) + 0xf20)
#define SLOT_STATUS(slot) (SLOT(slot) + 0xf40)
#define SLOT_DATA(slot) ((slot) % 2 ? MIB(5) + (slot) * 0x10000ULL : 0x1000 + (slot) * 0x10000ULL)
#define SLOT_DATA_BYTES 0x10000U
#define SLOT_SECTORS 200U

static struct fake_driver *const any = &fake_blk.drivers[0]; /* for access to memory */

static void fill_header(unsigned int slot, uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr header = { .type = type, .ioprio = 7, .sector = sector };
	uint8_t status = FRESH;

	fake_driver_set(any, SLOT_HEADER(slot), &header, sizeof(header));
	fake_driver_set(any, SLOT_STATUS(slot), &status, 1);
}

static uint8_t status_of(unsigned int slot)
{
	uint8_t status;

	fake_driver_get(any, SLOT_STATUS(slot), &status, 1);
	return status;
}

struct part {
	gpa_t gpa;
	uint32_t bytes;
};

/* An indirect table: header, parts of data, status. */
static void fill_table(unsigned int slot, const struct part *parts, unsigned int count, bool writable)
{
	fake_driver_describe_at(any, SLOT(slot), 0, SLOT_HEADER(slot), 16, NEXT, 1);
	for (unsigned int i = 0; i < count; i++)
		fake_driver_describe_at(any, SLOT(slot), i + 1, parts[i].gpa, parts[i].bytes,
			NEXT | (writable ? WRITE : 0), (uint16_t)(i + 2));
	fake_driver_describe_at(any, SLOT(slot), count + 1, SLOT_STATUS(slot), 1, WRITE, 0);
}

static void offer_table(unsigned int queue, unsigned int slot, unsigned int entries)
{
	fake_driver_describe(&fake_blk.drivers[queue], slot, SLOT(slot), 16 * entries, INDIRECT, 0);
	fake_blk_offer(queue, (uint16_t)slot, virtio_has(fake_blk.device, VIRTIO_RING_F_EVENT_IDX));
}

/* One request in `slot` of queue 0: its status. */
static uint8_t ask(unsigned int slot, uint32_t type, uint64_t sector, const struct part *parts, unsigned int count,
	bool writable)
{
	fill_header(slot, type, sector);
	fill_table(slot, parts, count, writable);
	offer_table(0, slot, count + 2);
	fake_blk_work();
	while (fake_blk.disk.pending_count) {
		fake_disk_complete(&fake_blk.disk, 0);
		fake_blk_work();
	}
	return status_of(slot);
}

static uint8_t ask_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes range = { sector, sectors, flags };
	struct part part = { SLOT_RANGE(0), sizeof(range) };

	fake_driver_set(any, part.gpa, &range, sizeof(range));
	return ask(0, type, 0, &part, 1, false);
}

static uint32_t last_written(void)
{
	return fake_driver_used(any, (uint16_t)(fake_driver_used_index(any) - 1)).len;
}

static int setup(void **state)
{
	(void)state;
	fake_frames_until_failure = -1;
	fake_blk_begin(1);
	assert_int_equal(fake_blk_create("serial-0123456789-too-long", BLOCK_OPEN_WRITE), 0);
	fake_blk_start(FEATURES);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_blk_end();
	assert_int_equal(fake_frames_in_use, 0);
	return 0;
}

static uint32_t config(size_t offset, unsigned int size)
{
	return fake_blk.device->operations->config_read(fake_blk.device, offset, size);
}

#define CONFIG(member) config(offsetof(struct virtio_blk_config, member), \
	sizeof(((struct virtio_blk_config *)0)->member))

static void test_configuration(void **state)
{
	uint64_t offered = fake_blk.device->offered;

	(void)state;
	assert_int_equal(fake_blk.device->operations->id, VIRTIO_ID_BLOCK);
	assert_int_equal(config(0, 4), (uint32_t)FAKE_DISK_SECTORS);
	assert_int_equal(config(4, 4), FAKE_DISK_SECTORS >> 32);
	assert_int_equal(CONFIG(seg_max), 126);
	assert_int_equal(CONFIG(geometry.heads), 16);
	assert_int_equal(CONFIG(geometry.sectors), 63);
	assert_int_equal(CONFIG(geometry.cylinders), FAKE_DISK_SECTORS / 1008);
	assert_int_equal(CONFIG(blk_size), 512);
	assert_int_equal(CONFIG(physical_block_exp), 0);
	assert_int_equal(CONFIG(num_queues), 1);
	assert_int_equal(CONFIG(max_discard_sectors), 8192);
	assert_int_equal(CONFIG(max_write_zeroes_seg), 1);
	assert_true(offered & BIT(VIRTIO_BLK_F_FLUSH));
	assert_true(offered & BIT(VIRTIO_BLK_F_DISCARD));
	assert_false(offered & BIT(VIRTIO_BLK_F_MQ));
	assert_false(offered & BIT(VIRTIO_BLK_F_RO));
	fake_blk_end();

	fake_blk_begin(9);
	fake_blk.disk.device.physical_bytes = 4096;
	fake_blk.disk.device.can_discard = fake_blk.disk.device.can_write_zeroes = false;
	fake_blk.disk.device.sectors = GIB(1000);
	assert_int_equal(fake_blk_create("", BLOCK_OPEN_WRITE), 0);
	offered = fake_blk.device->offered;
	assert_int_equal(CONFIG(num_queues), 4);
	assert_int_equal(CONFIG(physical_block_exp), 3);
	assert_int_equal(CONFIG(min_io_size), 8);
	assert_int_equal(CONFIG(geometry.cylinders), 65535);
	assert_true(offered & BIT(VIRTIO_BLK_F_MQ));
	assert_false(offered & (BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES)));
	fake_blk.disk.device.sectors = FAKE_DISK_SECTORS;
}

static void test_no_memory(void **state)
{
	(void)state;
	fake_blk_end();
	for (int64_t allowed = 0; allowed < 2; allowed++) {
		fake_blk_begin(1);
		fake_frames_until_failure = allowed;
		assert_int_equal(fake_blk_create("", BLOCK_OPEN_WRITE), -ENOMEM);
		assert_true(list_empty(&fake_blk.vm.devices));
		fake_frames_until_failure = -1;
		fake_blk_end();
	}
	setup(state);
}

static void test_simple(void **state)
{
	uint8_t data[4096], seen[4096];
	struct part parts[] = { { MIB(6) + 100, 1000 }, { 0x2ff0, 3096 } };

	(void)state;
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 3 + i / 256);
	fake_driver_set(any, parts[0].gpa, data, 1000);
	fake_driver_set(any, parts[1].gpa, data + 1000, 3096);
	assert_int_equal(ask(0, VIRTIO_BLK_T_OUT, 5, parts, 2, false), VIRTIO_BLK_S_OK);
	assert_int_equal(last_written(), 1);
	assert_memory_equal(fake_blk.disk.data[5], data, 4096);
	parts[0].gpa = 0x10010;
	assert_int_equal(ask(1, VIRTIO_BLK_T_IN, 5, parts, 2, true), VIRTIO_BLK_S_OK);
	assert_int_equal(last_written(), 4097);
	fake_driver_get(any, parts[0].gpa, seen, 1000);
	fake_driver_get(any, parts[1].gpa, seen + 1000, 3096);
	assert_memory_equal(seen, data, 4096);
	assert_int_equal(ask(2, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, false), VIRTIO_BLK_S_OK);
	assert_int_equal(fake_blk.disk.flushes, 1);
	assert_int_equal(fake_blk.signals[0], 1); /* used_event is where it was */
	assert_int_equal(virtio_blk_in_flight(fake_blk.blk), 0);
}

static void test_identity(void **state)
{
	char serial[33];
	struct part part = { MIB(6), 20 };

	(void)state;
	assert_int_equal(ask(0, VIRTIO_BLK_T_GET_ID, 0, &part, 1, true), VIRTIO_BLK_S_OK);
	assert_int_equal(last_written(), 21);
	fake_driver_get(any, part.gpa, serial, 20);
	assert_memory_equal(serial, "serial-0123456789-to", 20);
	/* More room than it takes stays as it was. */
	part.bytes = 32;
	memset(serial, 'x', 32);
	fake_driver_set(any, part.gpa, serial, 32);
	assert_int_equal(ask(0, VIRTIO_BLK_T_GET_ID, 0, &part, 1, true), VIRTIO_BLK_S_OK);
	fake_driver_get(any, part.gpa, serial, 32);
	assert_int_equal(serial[20], 'x');
	assert_int_equal(last_written(), 0);
	part.bytes = 4;
	assert_int_equal(ask(0, VIRTIO_BLK_T_GET_ID, 0, &part, 1, true), VIRTIO_BLK_S_OK);
	assert_int_equal(last_written(), 5);
}

static void test_ranges(void **state)
{
	(void)state;
	assert_int_equal(ask_range(VIRTIO_BLK_T_WRITE_ZEROES, 3, 2, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(fake_blk.disk.data[3][0] | fake_blk.disk.data[4][511], 0);
	assert_int_not_equal(fake_blk.disk.data[5][511], 0);
	assert_int_equal(ask_range(VIRTIO_BLK_T_WRITE_ZEROES, 6, 1, 1), VIRTIO_BLK_S_OK);
	assert_int_equal(ask_range(VIRTIO_BLK_T_WRITE_ZEROES, 6, 1, 2), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(ask_range(VIRTIO_BLK_T_DISCARD, 7, 3, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(ask_range(VIRTIO_BLK_T_DISCARD, 7, 3, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(ask_range(VIRTIO_BLK_T_DISCARD, 0, 8193, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask_range(VIRTIO_BLK_T_DISCARD, 0, 0, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask_range(VIRTIO_BLK_T_DISCARD, FAKE_DISK_SECTORS - 1, 2, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask_range(VIRTIO_BLK_T_DISCARD, ~0ULL, 2, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(0, VIRTIO_BLK_T_DISCARD, 0, NULL, 0, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(0, VIRTIO_BLK_T_DISCARD, 0, &(struct part){ SLOT_RANGE(0), 32 }, 1, false),
		VIRTIO_BLK_S_IOERR);
	/* Who has not asked for them does not get them. */
	fake_blk_start(BIT(VIRTIO_RING_F_INDIRECT_DESC));
	assert_int_equal(ask_range(VIRTIO_BLK_T_DISCARD, 7, 3, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(ask_range(VIRTIO_BLK_T_WRITE_ZEROES, 7, 3, 0), VIRTIO_BLK_S_UNSUPP);
}

static void test_refused(void **state)
{
	struct part part = { MIB(6), 512 };

	(void)state;
	assert_int_equal(ask(0, VIRTIO_BLK_T_SECURE_ERASE, 0, &part, 1, false), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(ask(0, VIRTIO_BLK_T_SCSI_CMD, 0, &part, 1, true), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(ask(0, ~0U, 0, NULL, 0, true), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(last_written(), 1);
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, FAKE_DISK_SECTORS, &part, 1, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(last_written(), 0);
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, ~0ULL, &part, 1, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(0, VIRTIO_BLK_T_OUT, ~0ULL >> 9, &part, 1, false), VIRTIO_BLK_S_IOERR);
	/* Data of the wrong direction is no data. */
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 0, &part, 1, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(0, VIRTIO_BLK_T_OUT, 0, &part, 1, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 0, NULL, 0, true), VIRTIO_BLK_S_IOERR);
	part.bytes = 511;
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 0, &part, 1, true), VIRTIO_BLK_S_IOERR);
	/* Not one byte of a request that goes beyond the end. */
	part.bytes = 1024;
	fake_driver_set(any, part.gpa, "unchanged", 9);
	assert_int_equal(ask(0, VIRTIO_BLK_T_OUT, FAKE_DISK_SECTORS - 1, &part, 1, false), VIRTIO_BLK_S_IOERR);
	assert_memory_not_equal(fake_blk.disk.data[FAKE_DISK_CELLS - 1], "unchanged", 9);
	fake_blk.disk.bad[4] = true;
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 3, &part, 1, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 2, &part, 1, true), VIRTIO_BLK_S_OK);
	assert_int_equal(fake_blk.config_signals, 0);

	/* A sector in more pieces than a disk takes. */
	struct part bits[100];

	for (unsigned int i = 0; i < 100; i++)
		bits[i] = (struct part){ 0x1000 * (i + 1ULL), i == 99 ? 413 : 1 };
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 0, bits, 100, true), VIRTIO_BLK_S_IOERR);
}

static void test_short_header(void **state)
{
	(void)state;
	fill_header(0, VIRTIO_BLK_T_FLUSH, 0);
	fake_driver_describe_at(any, SLOT(0), 0, SLOT_HEADER(0), 15, NEXT, 1);
	fake_driver_describe_at(any, SLOT(0), 1, SLOT_STATUS(0), 1, WRITE, 0);
	offer_table(0, 0, 2);
	assert_int_equal(status_of(0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(fake_blk.disk.flushes, 0);
	/* A header in pieces is one. */
	fill_header(0, VIRTIO_BLK_T_FLUSH, 0);
	fake_driver_describe_at(any, SLOT(0), 0, SLOT_HEADER(0), 3, NEXT, 1);
	fake_driver_describe_at(any, SLOT(0), 1, SLOT_HEADER(0) + 3, 13, NEXT, 2);
	fake_driver_describe_at(any, SLOT(0), 2, SLOT_STATUS(0), 1, WRITE, 0);
	offer_table(0, 0, 3);
	assert_int_equal(status_of(0), VIRTIO_BLK_S_OK);
	assert_int_equal(fake_blk.disk.flushes, 1);
}

static void assert_needs_reset(void)
{
	assert_true(fake_blk.device->status & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(fake_blk.config_signals, 1);
	fill_header(1, VIRTIO_BLK_T_FLUSH, 0);
	fill_table(1, NULL, 0, false);
	offer_table(0, 1, 2);
	fake_blk_notify(0);
	fake_blk_work();
	assert_int_equal(status_of(1), FRESH);
	fake_blk_start(FEATURES);
	assert_int_equal(ask(1, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, false), VIRTIO_BLK_S_OK);
}

static void test_breaks(void **state)
{
	struct part outside = { FAKE_BLK_RAM_BYTES - 100, 512 };

	(void)state;
	/* No place for a status. */
	fill_header(0, VIRTIO_BLK_T_FLUSH, 0);
	fake_driver_describe_at(any, SLOT(0), 0, SLOT_HEADER(0), 16, 0, 0);
	offer_table(0, 0, 1);
	assert_needs_reset();

	fake_blk.config_signals = 0;
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 0, &outside, 1, true), FRESH);
	assert_needs_reset();

	/* Found by work, not by the notification. */
	fake_blk.config_signals = 0;
	fake_blk.disk.asynchronous = true;
	for (unsigned int slot = 0; slot < 40; slot++) {
		fill_header(slot, VIRTIO_BLK_T_FLUSH, 0);
		fill_table(slot, NULL, 0, false);
		offer_table(0, slot, 2);
	}
	fake_driver_describe(any, 39, SLOT(39), 7, INDIRECT, 0);
	fake_blk_work();
	assert_int_equal(fake_blk.disk.pending_count, 32);
	while (fake_blk.disk.pending_count) {
		fake_disk_complete(&fake_blk.disk, 0);
		fake_blk_work();
	}
	fake_blk.disk.asynchronous = false;
	assert_needs_reset();
}

/* What was opened for reading is read-only to the guest, whatever it writes. */
static void test_read_only(void **state)
{
	struct part part = { MIB(6), 512 };

	(void)state;
	fake_blk_end();
	fake_blk_begin(1);
	assert_int_equal(fake_blk_create("x", BLOCK_OPEN_READ), 0);
	assert_true(fake_blk.device->offered & BIT(VIRTIO_BLK_F_RO));
	assert_false(fake_blk.device->offered & BIT(VIRTIO_BLK_F_DISCARD));
	fake_blk_start(BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_BLK_F_RO));
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 0, &part, 1, true), VIRTIO_BLK_S_OK);
	assert_int_equal(ask(0, VIRTIO_BLK_T_OUT, 0, &part, 1, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ask(0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, false), VIRTIO_BLK_S_OK);
	/* It need not have taken note of it. */
	fake_blk_start(BIT(VIRTIO_RING_F_INDIRECT_DESC));
	assert_int_equal(ask(0, VIRTIO_BLK_T_OUT, 0, &part, 1, false), VIRTIO_BLK_S_IOERR);
}

/* More than a disk takes at once, over pages that lie anywhere in the host. */
static void test_large(void **state)
{
	static uint8_t data[MIB(2)];
	struct part part = { MIB(1), sizeof(data) };

	(void)state;
	for (unsigned int round = 0; round < 2; round++) {
		fake_blk.disk.asynchronous = round;
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = (uint8_t)(i * 7 + i / 4096 + round);
		fake_driver_set(any, part.gpa, data, sizeof(data));
		assert_int_equal(ask(0, VIRTIO_BLK_T_OUT, 100, &part, 1, false), VIRTIO_BLK_S_OK);
		assert_memory_equal(fake_blk.disk.data[100], data, sizeof(data));
		memset(data, 0, sizeof(data));
		fake_driver_set(any, part.gpa, data, sizeof(data));
		assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 100, &part, 1, true), VIRTIO_BLK_S_OK);
		fake_driver_get(any, part.gpa, data, sizeof(data));
		assert_memory_equal(fake_blk.disk.data[100], data, sizeof(data));
		/* One bad sector in the midst fails the whole. */
		fake_blk.disk.bad[3000] = true;
		assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 100, &part, 1, true), VIRTIO_BLK_S_IOERR);
		fake_blk.disk.bad[3000] = false;
	}
	assert_int_equal(virtio_blk_in_flight(fake_blk.blk), 0);
}

/* A full queue of large requests is served in steps, between which the guest runs. */
static void test_bounded(void **state)
{
	unsigned int turns;

	(void)state;
	for (unsigned int slot = 0; slot < 60; slot++) {
		struct part part = { SLOT_DATA(slot), SLOT_DATA_BYTES };

		fill_header(slot, VIRTIO_BLK_T_IN, slot);
		fill_table(slot, &part, 1, true);
		fake_driver_describe(any, slot, SLOT(slot), 48, INDIRECT, 0);
		fake_driver_offer(any, (uint16_t)slot);
	}
	fake_blk_notify(0);
	assert_in_range(fake_driver_used_index(any), 1, 16);
	turns = fake_blk_work();
	assert_int_equal(fake_driver_used_index(any), 60);
	assert_true(turns >= 1);
	for (unsigned int slot = 0; slot < 60; slot++)
		assert_int_equal(status_of(slot), VIRTIO_BLK_S_OK);
}

/* The driver resets while the disk is at work: the reset is over when the disk is. */
static void test_reset_in_flight(void **state)
{
	struct part part = { MIB(6), 4096 };
	uint16_t used;

	(void)state;
	fake_blk.disk.asynchronous = true;
	for (unsigned int slot = 0; slot < 3; slot++) {
		fill_header(slot, VIRTIO_BLK_T_IN, slot);
		fill_table(slot, &part, 1, true);
		offer_table(0, slot, 3);
	}
	assert_int_equal(virtio_blk_in_flight(fake_blk.blk), 3);
	fake_disk_complete(&fake_blk.disk, 0);
	fake_blk_write_status(0);
	assert_int_not_equal(fake_blk.device->status, 0);
	assert_int_equal(virtio_blk_in_flight(fake_blk.blk), 2);
	used = fake_driver_used_index(any);
	fake_disk_complete(&fake_blk.disk, 0);
	fake_blk_work();
	assert_int_not_equal(fake_blk.device->status, 0);
	fake_disk_complete(&fake_blk.disk, 0);
	fake_blk_work();
	assert_int_equal(fake_blk.device->status, 0);
	assert_int_equal(fake_driver_used_index(any), used);
	for (unsigned int slot = 0; slot < 3; slot++)
		assert_int_equal(status_of(slot), FRESH);
	fake_blk_start(FEATURES);
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 0, &part, 1, true), VIRTIO_BLK_S_OK);
}

/* A VM that is stopped has no vCPU to do work, and yet its stop does not hang. */
static void test_stop_in_flight(void **state)
{
	struct part part = { 0x1000, 600 * 1024 };

	(void)state;
	fake_blk.disk.asynchronous = true;
	for (unsigned int slot = 0; slot < 2; slot++) {
		fill_header(slot, VIRTIO_BLK_T_IN, 0);
		fill_table(slot, &part, 1, true);
		offer_table(0, slot, 3);
	}
	fake_blk_work();
	fake_disk_complete(&fake_blk.disk, 0);
	assert_false(vm_io_has_ended(&fake_blk.vm));
	fake_disk_complete(&fake_blk.disk, 0);
	assert_true(vm_io_has_ended(&fake_blk.vm));
	/* Not the rest of the request: there is nobody for it. */
	assert_int_equal(fake_blk.disk.pending_count, 0);
	spin_lock(&fake_blk.vm.lock);
	fake_blk.device->device.reset(&fake_blk.device->device);
	spin_unlock(&fake_blk.vm.lock);
	assert_int_equal(fake_blk.device->status, 0);
	assert_int_equal(virtio_blk_in_flight(fake_blk.blk), 0);
	fake_blk_work();
	fake_blk_start(FEATURES);
	assert_int_equal(ask(0, VIRTIO_BLK_T_IN, 0, &part, 1, true), VIRTIO_BLK_S_OK);

	/* Destroyed with completions that nobody has looked at. */
	fill_header(0, VIRTIO_BLK_T_IN, 0);
	fill_table(0, &part, 1, true);
	offer_table(0, 0, 3);
	fake_disk_complete(&fake_blk.disk, 0);
	assert_true(vm_io_has_ended(&fake_blk.vm));
}

/* A driver by the book, against a model. */
static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

static struct slot {
	bool busy;
	uint32_t type;
	unsigned int queue;
	uint64_t sector;
	uint32_t sectors;
	uint8_t expected; /* status */
	uint8_t *data;    /* of a write */
} slots[SLOTS];

static uint8_t (*model)[SECTOR_BYTES];
static uint16_t seen_used[FAKE_BLK_QUEUES];
static unsigned int seen_signals[FAKE_BLK_QUEUES];
static unsigned int completions;

static unsigned int cut(struct part *parts, gpa_t gpa, uint32_t bytes)
{
	unsigned int count = 0;

	while (bytes) {
		uint32_t part = count == 20 ? bytes : 1 + draw(draw(3) ? bytes : 700);

		part = MIN(part, bytes);
		parts[count++] = (struct part){ gpa, part };
		gpa += part;
		bytes -= part;
	}
	return count;
}

static void issue(unsigned int number)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_OUT,
		VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_DISCARD };
	struct slot *slot = &slots[number];
	unsigned int within = draw(SLOT_SECTORS - 1), count = 0;
	struct part parts[32];

	slot->busy = true;
	slot->type = types[draw(ARRAY_SIZE(types))];
	slot->queue = draw(fake_blk.device->ring_count);
	slot->sector = number * SLOT_SECTORS + within;
	slot->sectors = 1 + draw(MIN(SLOT_SECTORS - within, SLOT_DATA_BYTES / SECTOR_BYTES));
	slot->expected = VIRTIO_BLK_S_OK;
	for (uint32_t i = 0; i < slot->sectors; i++)
		if (slot->type != VIRTIO_BLK_T_FLUSH && fake_blk.disk.bad[slot->sector + i])
			slot->expected = VIRTIO_BLK_S_IOERR;
	fill_header(number, slot->type, slot->sector);
	if (slot->type == VIRTIO_BLK_T_IN || slot->type == VIRTIO_BLK_T_OUT) {
		uint32_t bytes = slot->sectors * SECTOR_BYTES;

		count = cut(parts, SLOT_DATA(number), bytes);
		slot->data = malloc(bytes);
		memset(slot->data, (int)draw(256), bytes);
		fake_driver_set(any, SLOT_DATA(number), slot->data, bytes);
	} else if (slot->type != VIRTIO_BLK_T_FLUSH) {
		struct virtio_blk_discard_write_zeroes range = { slot->sector, slot->sectors, 0 };

		fake_driver_set(any, SLOT_RANGE(number), &range, sizeof(range));
		parts[count++] = (struct part){ SLOT_RANGE(number), sizeof(range) };
	}
	fill_table(number, parts, count, slot->type == VIRTIO_BLK_T_IN);
	offer_table(slot->queue, number, count + 2);
}

static void check_done(unsigned int number)
{
	struct slot *slot = &slots[number];
	uint8_t data[SLOT_DATA_BYTES];
	uint32_t bytes = slot->sectors * SECTOR_BYTES;

	assert_true(slot->busy);
	assert_int_equal(status_of(number), slot->expected);
	if (slot->expected == VIRTIO_BLK_S_OK && slot->type == VIRTIO_BLK_T_OUT)
		memcpy(model[slot->sector], slot->data, bytes);
	else if (slot->expected == VIRTIO_BLK_S_OK && slot->type == VIRTIO_BLK_T_WRITE_ZEROES)
		memset(model[slot->sector], 0, bytes);
	if (slot->expected == VIRTIO_BLK_S_OK && slot->type == VIRTIO_BLK_T_IN) {
		fake_driver_get(any, SLOT_DATA(number), data, bytes);
		assert_memory_equal(data, model[slot->sector], bytes);
	}
	free(slot->data);
	*slot = (struct slot){ 0 };
	completions++;
}

/* The driver's interrupt handler; it comes only when there was an interrupt. */
static void collect(unsigned int queue)
{
	struct fake_driver *driver = &fake_blk.drivers[queue];
	uint16_t used = fake_driver_used_index(driver);

	/* It has always asked for one for the next. */
	assert_int_equal(used != seen_used[queue], fake_blk.signals[queue] != seen_signals[queue]);
	seen_signals[queue] = fake_blk.signals[queue];
	while (seen_used[queue] != used)
		check_done(fake_driver_used(driver, seen_used[queue]++).id);
	fake_driver_used_event(driver, used);
}

static void random_run(unsigned int steps)
{
	unsigned int issued = 0;

	memset(seen_used, 0, sizeof(seen_used));
	memcpy(seen_signals, fake_blk.signals, sizeof(seen_signals));
	completions = 0;
	for (unsigned int i = 0; i < steps; i++) {
		unsigned int number = draw(SLOTS);

		if (!slots[number].busy) {
			issue(number);
			issued++;
		}
		if (draw(3) == 0 && fake_blk.disk.pending_count)
			fake_disk_complete(&fake_blk.disk, draw(fake_blk.disk.pending_count));
		if (draw(4) == 0)
			vm_work_run(&fake_blk.vm);
		if (draw(4) == 0)
			collect(draw(fake_blk.device->ring_count));
	}
	/* No further notification: those that were wanted were enough. */
	do {
		while (fake_blk.disk.pending_count)
			fake_disk_complete(&fake_blk.disk, draw(fake_blk.disk.pending_count));
		fake_blk_work();
	} while (fake_blk.disk.pending_count);
	for (unsigned int queue = 0; queue < fake_blk.device->ring_count; queue++)
		collect(queue);
	assert_int_equal(completions, issued);
	assert_int_equal(virtio_blk_in_flight(fake_blk.blk), 0);
	assert_int_equal(fake_blk.vm.io_in_flight, 0);
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 8; round++) {
		fake_blk_end();
		seed = round;
		fake_blk_begin(round % 4 + 1);
		assert_int_equal(fake_blk_create("", BLOCK_OPEN_WRITE), 0);
		fake_blk_start(round & 4 ? FEATURES & ~BIT(VIRTIO_RING_F_EVENT_IDX) : FEATURES);
		model = malloc(FAKE_DISK_CELLS * SECTOR_BYTES);
		memcpy(model, fake_blk.disk.data, FAKE_DISK_CELLS * SECTOR_BYTES);
		fake_blk.disk.asynchronous = round % 3;
		for (unsigned int i = 0; i < 20 * (round & 1); i++)
			fake_blk.disk.bad[draw(SLOTS * SLOT_SECTORS)] = true;
		random_run(1500);
		for (unsigned int i = 0; i < SLOTS * SLOT_SECTORS; i++)
			if (!fake_blk.disk.bad[i])
				assert_memory_equal(model[i], fake_blk.disk.data[i], SECTOR_BYTES);
		free(model);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_simple, setup, teardown),
		cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_breaks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_in_flight, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_in_flight, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
