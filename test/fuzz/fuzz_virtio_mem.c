/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-mem, whose driver does what the input says, on a host that takes as many pages as the input says: what is
 * plugged is never more than was requested when it grew, all figures agree, nothing is taken from what is plugged,
 * a go is bounded, work always comes to an end, and after a reset all can be unplugged.
 */
#include <linux/virtio_mem.h>
#include <string.h>

#include "devices/virtio/mem.h"
#include "ept/guest_hotplug.h"
#include "test/fuzz/driver.h"
#include "test/unit/fake_clock.h"

#define REGION GIB(1)
#define BLOCK VIRTIO_MEM_BLOCK
#define BLOCKS 200ULL
#define GO 70
#define WORK_LIMIT 20000

static struct fake_virtio guest;
static struct virtio_mem *mem;
static unsigned int discards, room;
static uint64_t plugged_before;

uint64_t guest_memory_discard(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	require(guest_hotplug_count(memory, ROUND_DOWN(gpa, BLOCK), BLOCK) == 0);
	require(bytes && gpa % BLOCK + bytes <= BLOCK && IS_ALIGNED(gpa | bytes, PAGE_SIZE));
	discards++;
	if (!room)
		return 0;
	room--;
	return MIN(bytes, room & 1 ? KIB(16) : BLOCK);
}

static void create(void)
{
	fake_clock_reset(0);
	fake_virtio_create(&guest, "guest");
	require(guest_hotplug_add(&guest.vm.memory, REGION, BLOCKS * BLOCK) == 0);
	require(virtio_mem_create(&guest.vm, NULL, REGION, BLOCKS * BLOCK, &mem) == 0);
}

static void request(void)
{
	struct virtio_mem_req wanted = { .type = next8() & 7 };
	uint8_t odd = next8();

	wanted.u.plug.addr = REGION + next8() * BLOCK;
	wanted.u.plug.nb_blocks = next8();
	if (odd < 16)
		wanted.u.plug.addr = (uint64_t)next16() << (odd * 4);
	fake_driver_set(&guest.queues[0], DATA + 0x1000ULL * (next8() & 31), &wanted, sizeof(wanted));
}

static void describe(void)
{
	unsigned int index = next8() % guest.queues[0].size;
	uint8_t kind = next8();
	uint32_t bytes = kind & 1 ? 24 : next8();

	fake_driver_describe(&guest.queues[0], index, place_of((uint8_t)(kind | 4), 1), bytes, next8() & 7, next8());
}

static void step(void)
{
	uint8_t what = next8();
	unsigned int before = discards;

	switch (what & 15) {
	case 0:
		fake_virtio_start(&guest, guest.device->offered, (uint16_t)(8 << (what >> 7)));
		break;
	case 1:
		fake_virtio_reset(&guest);
		break;
	case 2:
		fake_virtio_work(1);
		break;
	case 3:
	case 4:
		fake_virtio_notify(&guest, 0);
		break;
	case 5:
		virtio_mem_request(mem, (uint64_t)next16() << 13);
		break;
	case 6:
		room = next8();
		break;
	case 7:
		fake_clock_advance(NS_PER_MS * (what >> 4));
		break;
	case 8:
		(void)guest.device->operations->config_read(guest.device, next8() % 53, 4);
		break;
	case 9:
		fake_driver_set_index(&guest.queues[0], next16());
		break;
	case 10:
	case 11:
		fake_driver_offer(&guest.queues[0], next8());
		break;
	case 12:
	case 13:
		request();
		break;
	default:
		describe();
	}
	require(discards - before <= GO);
}

static void check(void)
{
	const struct guest_memory *memory = &guest.vm.memory;
	struct virtio_mem_state state = virtio_mem_look(mem);

	require(guest_hotplug_count(memory, REGION, BLOCKS * BLOCK) == state.plugged_bytes);
	require(memory->limit_pages == memory->boot_pages + state.plugged_bytes / PAGE_SIZE);
	require(state.plugged_bytes <= plugged_before || state.plugged_bytes <= state.requested_bytes);
	plugged_before = state.plugged_bytes;
}

/* Whatever was done: a reset mends it. */
static void check_that_it_works(void)
{
	const struct virtio_mem_req all = { .type = VIRTIO_MEM_REQ_UNPLUG_ALL };
	struct fake_driver *driver = &guest.queues[0];

	fake_virtio_start(&guest, guest.device->offered, 8);
	fake_driver_set(driver, DATA, &all, sizeof(all));
	fake_driver_describe(driver, 0, DATA, sizeof(all), VRING_DESC_F_NEXT, 1);
	fake_driver_describe(driver, 1, DATA + 64, sizeof(struct virtio_mem_resp), VRING_DESC_F_WRITE, 0);
	fake_driver_offer(driver, 0);
	fake_virtio_notify(&guest, 0);
	require(fake_virtio_work(WORK_LIMIT) < WORK_LIMIT);
	require(fake_driver_used_index(driver) == 1);
	require(virtio_mem_look(mem).plugged_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!guest.device)
		create();
	input_begin(data, size);
	room = ~0U;
	fake_virtio_start(&guest, guest.device->offered, 16);
	virtio_mem_request(mem, BLOCKS * BLOCK / 2);
	plugged_before = 0;
	while (input_left) {
		step();
		check();
	}
	room = ~0U;
	fake_clock_advance(NS_PER_MS);
	require(fake_virtio_work(WORK_LIMIT) < WORK_LIMIT);
	check_that_it_works();
	fake_virtio_reset(&guest);
	return 0;
}
