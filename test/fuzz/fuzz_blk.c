/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of virtio-blk that does anything: the input is what it writes to its rings, when it notifies and resets,
 * and when and how the disk answers.
 */
#undef NDEBUG
#include <assert.h>
#include <stdlib.h>

#include "test/unit/fake_blk.h"
#include "test/unit/fake_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input, *input_end;

static uint8_t byte(void)
{
	return input < input_end ? *input++ : 0;
}

static uint32_t word(void)
{
	uint32_t value = byte();

	return value | (uint32_t)byte() << 8;
}

/* Addresses that matter: small and large pages, the rings themselves, ends of RAM, nowhere. */
static gpa_t address(void)
{
	static const gpa_t places[] = { 0, FAKE_BLK_FREE, FAKE_BLK_RINGS(0), FAKE_BLK_RINGS(1), MIB(1) - 0x1000,
		FAKE_BLK_RAM_BYTES - 0x8000, ~0ULL - 0x8000, GIB(3) };
	unsigned int place = byte();

	return places[place % ARRAY_SIZE(places)] + (place & 0x80 ? 0 : word());
}

static uint32_t length(void)
{
	static const uint32_t usual[] = { 0, 1, 16, 32, 512, 4096, 0x10000, 0x100000, ~0U };
	unsigned int which = byte();

	return which < ARRAY_SIZE(usual) ? usual[which] : word();
}

static void write_header(gpa_t gpa)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_DISCARD,
		VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_GET_ID };
	uint8_t type = byte();
	struct virtio_blk_outhdr header = { type < ARRAY_SIZE(types) ? types[type] : type, 0, word() };
	struct virtio_blk_discard_write_zeroes range = { word(), word(), byte() & 3 };

	if (byte() & 1)
		header.sector = FAKE_DISK_SECTORS - header.sector % 32;
	fake_driver_set(&fake_blk.drivers[0], gpa, &header, sizeof(header));
	fake_driver_set(&fake_blk.drivers[0], gpa + sizeof(header), &range, sizeof(range));
}

/* A chain that is nearly right: header, data, status. */
static void offer(unsigned int queue)
{
	struct fake_driver *driver = &fake_blk.drivers[queue];
	unsigned int head = byte() % FAKE_BLK_QUEUE_SIZE, parts = byte() % 8, index = head;
	gpa_t table = byte() & 1 ? FAKE_BLK_FREE + 0x8000 : driver->descriptors;
	gpa_t header = FAKE_BLK_FREE + 0x100 * (byte() % 64);

	write_header(header);
	if (table != driver->descriptors) {
		fake_driver_describe(driver, head, table, 16 * (parts + 2), VRING_DESC_F_INDIRECT, 0);
		index = 0;
	}
	fake_driver_describe_at(driver, table, index, header, length(), VRING_DESC_F_NEXT, (uint16_t)(index + 1));
	for (unsigned int i = 0; i < parts; i++) {
		index = (index + 1) % FAKE_BLK_QUEUE_SIZE;
		fake_driver_describe_at(driver, table, index, address(), length(), byte() & 7,
			(uint16_t)((index + 1) % FAKE_BLK_QUEUE_SIZE));
	}
	index = (index + 1) % FAKE_BLK_QUEUE_SIZE;
	fake_driver_describe_at(driver, table, index, header + 0x80, 1, VRING_DESC_F_WRITE, 0);
	fake_driver_offer(driver, (uint16_t)head);
}

static void complete(void)
{
	struct fake_disk *disk = &fake_blk.disk;

	disk->until_failure = byte() & 1 ? -1 : 0;
	if (disk->pending_count)
		fake_disk_complete(disk, byte() % disk->pending_count);
}

static void step(uint8_t what)
{
	unsigned int queue = (what >> 4) % fake_blk.device->ring_count;
	struct fake_driver *driver = &fake_blk.drivers[queue];

	switch (what & 7) {
	case 0:
	case 1:
		offer(queue);
		break;
	case 2:
		fake_blk_notify(queue);
		break;
	case 3:
		complete();
		break;
	case 4:
		vm_work_run(&fake_blk.vm);
		break;
	case 5:
		fake_blk_write_status(0);
		if (fake_blk.device->status == 0)
			fake_blk_start(word() & fake_blk.device->offered);
		break;
	case 6:
		fake_driver_set16(driver, driver->available + (byte() & 0xfe), (uint16_t)word());
		break;
	case 7:
		fake_driver_set16(driver, FAKE_BLK_RINGS(queue) + (word() & 0x3ffe), (uint16_t)word());
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int error;

	input = data;
	input_end = data + size;
	fake_blk_begin(1 + byte() % 4);
	fake_blk.disk.asynchronous = byte() & 1;
	if (byte() & 1)
		fake_blk.disk.device.logical_bytes = 4096;
	error = fake_blk_create("fuzz", byte() & 1 ? BLOCK_OPEN_READ : BLOCK_OPEN_WRITE);
	assert(!error);
	fake_blk_start(fake_blk.device->offered);
	while (input < input_end)
		step(byte());
	/* Whatever it did, the disk becomes quiet, and a reset helps. */
	fake_blk_write_status(0);
	while (fake_blk.disk.pending_count)
		fake_disk_complete(&fake_blk.disk, 0);
	fake_blk_work();
	assert(fake_blk.device->status == 0);
	assert(virtio_blk_in_flight(fake_blk.blk) == 0);
	fake_blk_end();
	assert(fake_frames_in_use == 0);
	return 0;
}
