/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-balloon, whose driver does what the input says, on a host that takes as many pages as the input says:
 * nothing is given up but whole pages that the guest can write (the fake of guest memory looks), counts stay within
 * the guest's memory, a go is bounded, work always comes to an end, and after a reset pages are taken in.
 */
#include <string.h>

#include "devices/virtio/balloon.h"
#include "test/fuzz/driver.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_discard.h"
#include "vcpu/balloon_port.h"

#define ROM MIB(16)
#define PAGES ((FAKE_VIRTIO_RAM + KIB(64)) / PAGE_SIZE)
#define GO_PAGES 1100  /* of two queues, and a bit */
#define WORK_LIMIT 20000

static struct fake_virtio guest;
static struct vm_balloon *balloon;

static void start(uint64_t features)
{
	fake_virtio_start(&guest, features & guest.device->offered, (uint16_t)(8 << (next8() & 3)));
}

static void create(void)
{
	fake_clock_reset(0);
	fake_virtio_create(&guest, "guest");
	require(guest_memory_add(&guest.vm.memory, ROM, KIB(64), true) == 0);
	guest.vm.memory.limit_pages = PAGES;
	require(virtio_balloon_create(&guest.vm, NULL) == 0);
	balloon = guest.vm.balloon;
}

static gpa_t place(void)
{
	uint8_t kind = next8();

	switch (kind & 7) {
	case 4:
		return ROM + next16();
	case 5:
		return MIB(2) + 0x10000ULL * (kind >> 3);
	default:
		return place_of(kind, 5);
	}
}

static void describe(struct fake_driver *driver)
{
	unsigned int index = next8() % driver->size;
	gpa_t gpa = place();
	uint32_t bytes = next16();

	if (bytes & 1)
		bytes <<= 8;
	fake_driver_describe(driver, index, gpa, bytes, next8() & 7, next8());
}

/* Numbers of pages: a run, upwards, downwards or with gaps; or of nothing. */
static void write_pages(struct fake_driver *driver)
{
	gpa_t at = DATA + 0x1000ULL * (next8() & 31);
	uint32_t pfn = next16();
	uint8_t kind = next8();

	for (unsigned int i = 0; i < 1U + (kind >> 2); i++) {
		fake_driver_set(driver, at + 4 * i, &pfn, sizeof(pfn));
		pfn += (kind & 3) - 1U;
	}
}

static void write_statistic(struct fake_driver *driver)
{
	struct virtio_balloon_stat stat = { next8() & 15, next16() };

	fake_driver_set(driver, DATA + 0x1000ULL * (next8() & 31) + 10 * (next8() & 7), &stat, sizeof(stat));
}

static void configure(uint8_t what)
{
	unsigned int size = 1U << (what & 1 ? 2 : what >> 1 & 1), offset = next8() % (17 - size);
	const struct virtio_operations *operations = guest.device->operations;

	if (what & 4)
		(void)operations->config_read(guest.device, offset, size);
	else
		operations->config_write(guest.device, offset, size, next16());
}

static void economy(uint8_t what)
{
	switch (what & 3) {
	case 0:
		balloon->target_pages = (uint64_t)next16() << (what >> 2);
		balloon->retarget(balloon);
		break;
	case 1:
		balloon->want_stats(balloon);
		break;
	case 2:
		fake_discard_room = next8();
		break;
	default:
		fake_clock_advance(NS_PER_MS * (what >> 4));
	}
}

static void step(void)
{
	uint8_t what = next8();
	unsigned int queue = (what >> 4) % guest.device->ring_count;
	struct fake_driver *driver = &guest.queues[queue];
	unsigned int calls = fake_discard_count;

	switch (what & 15) {
	case 0:
		start(next8() & 7 ? ~0ULL : next16());
		break;
	case 1:
		fake_virtio_reset(&guest);
		break;
	case 2:
		fake_virtio_work(1);
		break;
	case 3:
	case 4:
		fake_virtio_notify(&guest, queue);
		break;
	case 5:
		write_statistic(driver);
		break;
	case 6:
		write_pages(driver);
		break;
	case 7:
		economy(next8());
		break;
	case 8:
		fake_driver_set_index(driver, next16());
		break;
	case 9:
		configure(next8());
		break;
	case 10:
		fake_driver_set16(driver, place() % (FAKE_VIRTIO_RAM - 2), next16());
		break;
	case 11:
	case 12:
		fake_driver_offer(driver, next8());
		break;
	default:
		describe(driver);
	}
	require(balloon->actual_pages <= PAGES);
	require(fake_discard_count - calls <= GO_PAGES / 4);
}

/* No call was one for memory that the guest cannot write. */
static void check_calls(void)
{
	for (unsigned int i = 0; i < MIN(fake_discard_count, FAKE_DISCARDS); i++)
		require(fake_discards[i].gpa + fake_discards[i].bytes <= FAKE_VIRTIO_RAM);
}

/* Whatever was done: a reset mends it. */
static void check_that_it_works(void)
{
	const uint32_t pfns[] = { 0x300, 0x301, 0x302 };

	fake_virtio_start(&guest, 0, 8);
	fake_discard_reset();
	fake_driver_set(&guest.queues[0], DATA, pfns, sizeof(pfns));
	fake_driver_describe(&guest.queues[0], 0, DATA, sizeof(pfns), 0, 0);
	fake_driver_offer(&guest.queues[0], 0);
	fake_virtio_notify(&guest, 0);
	require(balloon->actual_pages == 3 && fake_discard_count == 1);
	require(fake_driver_used_index(&guest.queues[0]) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!guest.device)
		create();
	input_begin(data, size);
	fake_discard_reset();
	balloon->target_pages = 0;
	start(~0ULL);
	while (input_left)
		step();
	fake_discard_room = ~0ULL;
	fake_clock_advance(NS_PER_MS);
	require(fake_virtio_work(WORK_LIMIT) < WORK_LIMIT);
	check_calls();
	check_that_it_works();
	fake_virtio_reset(&guest);
	return 0;
}
