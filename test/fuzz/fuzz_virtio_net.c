/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two guests with virtio-net on one switch, whose drivers do what the input says: descriptors, indices,
 * notifications, commands, resets, in any order. Neither touches memory that is not its own (the sanitizers
 * look), work always comes to an end, and after a reset a frame goes through.
 */
#include <string.h>

#include "devices/virtio/net_internal.h"
#include "host/net/internal.h"
#include "test/fuzz/driver.h"
#include "test/unit/fake_clock.h"

#define WORK_LIMIT 100000

static struct fake_virtio guests[2];
static struct virtio_net *nics[2];

static void start(unsigned int guest, uint64_t features)
{
	fake_virtio_start(&guests[guest], features & guests[guest].device->offered, (uint16_t)(8 << (next8() & 5)));
}

static void create(void)
{
	struct net_switch *net = net_find("lan0", true);

	fake_clock_reset(0);
	for (unsigned int i = 0; i < 2; i++) {
		struct virtio_net_options options = { .name = "vm", .mac = { 2, 0, 0, 0, 0, (uint8_t)i } };

		fake_virtio_create(&guests[i], "vm");
		require(virtio_net_create(&guests[i].vm, NULL, net, &options, &nics[i]) == 0);
	}
}

static void describe(struct fake_driver *driver)
{
	unsigned int index = next8() % driver->size;
	gpa_t gpa = place_of(next8(), 3);
	uint32_t bytes = next16();

	fake_driver_describe(driver, index, gpa, bytes, next8() & 7, next8());
}

/* A frame's beginning, with a header in front. */
static void write_data(struct fake_driver *driver, unsigned int guest)
{
	uint8_t bytes[96] = { 0 };
	gpa_t at = DATA + 0x1000ULL * (next8() & 31);
	unsigned int count = next8() % sizeof(bytes);

	bytes[12] = 2;
	bytes[17] = (uint8_t)!guest;
	bytes[18] = 2;
	bytes[23] = (uint8_t)guest;
	for (unsigned int i = 0; i < count; i++)
		bytes[i] ^= next8();
	fake_driver_set(driver, at, bytes, sizeof(bytes));
}

static void step(void)
{
	uint8_t what = next8();
	unsigned int guest = what >> 7, queue = (what >> 5 & 3) % NET_QUEUES;
	struct fake_virtio *fake = &guests[guest];
	struct fake_driver *driver = &fake->queues[queue];

	switch (what & 15) {
	case 0:
		start(guest, ~0ULL);
		break;
	case 1:
		start(guest, (uint64_t)next16() << 16 | next16() | BIT(VIRTIO_RING_F_EVENT_IDX));
		break;
	case 2:
		fake_virtio_reset(fake);
		break;
	case 3:
		fake_virtio_work(1 + next8());
		break;
	case 4:
	case 5:
		fake_virtio_notify(fake, queue);
		break;
	case 6:
	case 7:
		write_data(driver, guest);
		break;
	case 8:
		fake_driver_set_index(driver, next16());
		break;
	case 9:
		fake_driver_used_event(driver, next16());
		break;
	case 10:
		fake_driver_set16(driver, place_of(next8(), 3) % (FAKE_VIRTIO_RAM - 2), next16());
		break;
	case 11:
	case 12:
		fake_driver_offer(driver, next8());
		break;
	default:
		describe(driver);
	}
}

/* Whatever was done: a reset mends it. */
static void check_that_it_works(void)
{
	static const uint8_t frame[74] = { [12] = 2, [17] = 1, [18] = 2 };

	for (unsigned int i = 0; i < 2; i++)
		fake_virtio_start(&guests[i], guests[i].device->offered, 8);
	fake_driver_describe(&guests[1].queues[0], 0, DATA, 1600, VRING_DESC_F_WRITE, 0);
	fake_driver_offer(&guests[1].queues[0], 0);
	fake_driver_set(&guests[0].queues[1], DATA, frame, sizeof(frame));
	fake_driver_describe(&guests[0].queues[1], 0, DATA, sizeof(frame), 0, 0);
	fake_driver_offer(&guests[0].queues[1], 0);
	fake_virtio_notify(&guests[0], 1);
	require(fake_virtio_work(WORK_LIMIT) < WORK_LIMIT);
	require(fake_driver_used_index(&guests[1].queues[0]) == 1);
	require(fake_driver_used(&guests[1].queues[0], 0).len == sizeof(frame));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!guests[0].device)
		create();
	input_begin(data, size);
	start(0, ~0ULL);
	start(1, ~0ULL);
	while (input_left)
		step();
	require(fake_virtio_work(WORK_LIMIT) < WORK_LIMIT);
	check_that_it_works();
	for (unsigned int i = 0; i < 2; i++)
		fake_virtio_reset(&guests[i]);
	require(net_pool_bytes() <= 512 * PAGE_SIZE);
	return 0;
}
