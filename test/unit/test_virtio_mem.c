/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-mem: a driver over a real ring and real slots; a host that takes as much as the test lets it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/virtio_mem.h>
#include <string.h>

#include "devices/virtio/mem.h"
#include "ept/guest_hotplug.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_frames.h"
#include "test/unit/fake_virtio.h"

#define REGION GIB(1)
#define BLOCKS 100ULL
#define BLOCK VIRTIO_MEM_BLOCK
#define REQUEST 0x100000ULL
#define ANSWER 0x101000ULL
#define WORK_LIMIT 10000

static struct fake_virtio guest;
static struct virtio_mem *mem;
static uint64_t room;                 /* calls that take something, before too much waits */
static gpa_t discarded[2 * BLOCKS];   /* in this order */
static unsigned int discards, flushes, discards_at_flush;

/* Half a block at a time. */
uint64_t guest_memory_discard(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	assert_int_equal(guest_hotplug_count(memory, ROUND_DOWN(gpa, BLOCK), BLOCK), 0);
	assert_true(bytes && bytes <= BLOCK);
	if (!room)
		return 0;
	room--;
	discarded[discards++ % ARRAY_SIZE(discarded)] = gpa;
	return MIN(bytes, BLOCK / 2);
}

static void flushed(struct guest_memory *memory)
{
	(void)memory;
	flushes++;
	discards_at_flush = discards;
}

static int begin(void **state)
{
	(void)state;
	fake_clock_reset(0);
	fake_virtio_create(&guest, "guest");
	guest.vm.memory.flush = flushed;
	assert_int_equal(guest_hotplug_add(&guest.vm.memory, REGION, BLOCKS * BLOCK), 0);
	assert_int_equal(virtio_mem_create(&guest.vm, NULL, REGION, BLOCKS * BLOCK, &mem), 0);
	fake_virtio_start(&guest, guest.device->offered, 16);
	room = ~0ULL;
	discards = flushes = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_virtio_destroy(&guest);
	assert_int_equal(fake_virtio_work(1), 0);
	assert_int_equal(fake_clock_armed(), 0);
	assert_int_equal(fake_frames_in_use, 0);
	return 0;
}

static uint16_t used(void)
{
	return fake_driver_used_index(&guest.queues[0]);
}

static void send(const void *request, uint32_t bytes, uint32_t answer_bytes)
{
	struct fake_driver *driver = &guest.queues[0];
	unsigned int slot = driver->index % 8 * 2;

	fake_driver_set(driver, REQUEST, request, bytes);
	fake_driver_describe(driver, slot, REQUEST, bytes, VRING_DESC_F_NEXT, (uint16_t)(slot + 1));
	fake_driver_describe(driver, slot + 1, ANSWER, answer_bytes, VRING_DESC_F_WRITE, 0);
	fake_driver_offer(driver, (uint16_t)slot);
	fake_virtio_notify(&guest, 0);
}

static void begin_request(uint16_t type, gpa_t start, uint16_t blocks)
{
	struct virtio_mem_req request = { .type = type, .u.plug = { .addr = start, .nb_blocks = blocks } };

	send(&request, sizeof(request), sizeof(struct virtio_mem_resp));
}

static struct virtio_mem_resp answered(void)
{
	struct virtio_mem_resp response;

	memcpy(&response, guest_memory_ptr(&guest.vm.memory, ANSWER, S2_READ, NULL), sizeof(response));
	return response;
}

static uint16_t ask(uint16_t type, gpa_t start, uint16_t blocks)
{
	uint16_t before = used();

	begin_request(type, start, blocks);
	assert_in_range(fake_virtio_work(WORK_LIMIT), 0, WORK_LIMIT - 1);
	assert_int_equal((uint16_t)(used() - before), 1);
	return answered().type;
}

static void assert_plugged(uint64_t blocks)
{
	assert_int_equal(virtio_mem_look(mem).plugged_bytes, blocks * BLOCK);
	assert_int_equal(guest.vm.memory.limit_pages - guest.vm.memory.boot_pages, blocks * BLOCK / PAGE_SIZE);
	assert_int_equal(guest_hotplug_count(&guest.vm.memory, REGION, BLOCKS * BLOCK), blocks * BLOCK);
}

static void test_plugs_what_is_requested(void **state)
{
	(void)state;
	assert_int_equal(guest_memory_fault(&guest.vm.memory, REGION, S2_READ), MEMORY_MMIO);
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION, 1), VIRTIO_MEM_RESP_NACK);
	virtio_mem_request(mem, 70 * BLOCK + BLOCK / 2);
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION + BLOCK, 66), VIRTIO_MEM_RESP_ACK);
	assert_plugged(66);
	assert_int_equal(guest_memory_fault(&guest.vm.memory, REGION, S2_WRITE), MEMORY_MMIO);
	assert_int_equal(guest_memory_fault(&guest.vm.memory, REGION + BLOCK, S2_WRITE), MEMORY_MAPPED);
	assert_int_equal(guest_memory_fault(&guest.vm.memory, REGION + 67 * BLOCK - 1, S2_WRITE), MEMORY_MAPPED);
	assert_int_equal(guest_memory_fault(&guest.vm.memory, REGION + 67 * BLOCK, S2_WRITE), MEMORY_MMIO);
	assert_null(guest_memory_ptr(&guest.vm.memory, REGION, S2_READ, NULL));
	assert_non_null(guest_memory_ptr(&guest.vm.memory, REGION + 2 * BLOCK, S2_READ, NULL));
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION + 67 * BLOCK, 5), VIRTIO_MEM_RESP_NACK);
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION + 67 * BLOCK, 4), VIRTIO_MEM_RESP_ACK);
	assert_plugged(70);
	assert_in_range(guest.signals[0], 1, 5);
}

static void test_odd_requests_change_nothing(void **state)
{
	static const struct {
		gpa_t start;
		uint16_t blocks;
	} odd[] = {
		{ REGION, 0 }, { REGION + PAGE_SIZE, 1 }, { REGION - BLOCK, 2 }, { 0, 1 },
		{ REGION + BLOCKS * BLOCK, 1 }, { REGION + 90 * BLOCK, 11 }, { REGION, 0xffff },
		{ 0 - BLOCK, 1 }, { 0 - BLOCK, 3 }, { 1ULL << 46, 1 },
	};

	(void)state;
	virtio_mem_request(mem, ~0ULL);
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION + 4 * BLOCK, 2), VIRTIO_MEM_RESP_ACK);
	for (unsigned int i = 0; i < ARRAY_SIZE(odd); i++)
		for (uint16_t type = 0; type < 5; type++)
			if (type != VIRTIO_MEM_REQ_UNPLUG_ALL)
				assert_int_equal(ask(type, odd[i].start, odd[i].blocks), VIRTIO_MEM_RESP_ERROR);
	/* There already, and not there. */
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION + 3 * BLOCK, 2), VIRTIO_MEM_RESP_ERROR);
	assert_int_equal(ask(VIRTIO_MEM_REQ_UNPLUG, REGION + 5 * BLOCK, 2), VIRTIO_MEM_RESP_ERROR);
	assert_plugged(2);
	assert_int_equal(discards, 0);
}

static void test_unplugs(void **state)
{
	(void)state;
	virtio_mem_request(mem, BLOCKS * BLOCK);
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION, BLOCKS), VIRTIO_MEM_RESP_ACK);
	assert_int_equal(ask(VIRTIO_MEM_REQ_UNPLUG, REGION + 60 * BLOCK, 10), VIRTIO_MEM_RESP_ACK);
	assert_plugged(90);
	assert_int_equal(discards, 20);
	assert_int_equal(discarded[1], REGION + 60 * BLOCK + BLOCK / 2);
	assert_int_equal(flushes, 1);
	assert_int_equal(discards_at_flush, 20);
	assert_int_equal(guest_memory_fault(&guest.vm.memory, REGION + 69 * BLOCK, S2_READ), MEMORY_MMIO);
	assert_int_equal(ask(VIRTIO_MEM_REQ_STATE, REGION + 50 * BLOCK, 10), VIRTIO_MEM_RESP_ACK);
	assert_int_equal(answered().u.state.state, VIRTIO_MEM_STATE_PLUGGED);
	assert_int_equal(ask(VIRTIO_MEM_REQ_STATE, REGION + 60 * BLOCK, 10), VIRTIO_MEM_RESP_ACK);
	assert_int_equal(answered().u.state.state, VIRTIO_MEM_STATE_UNPLUGGED);
	assert_int_equal(ask(VIRTIO_MEM_REQ_STATE, REGION + 50 * BLOCK, 11), VIRTIO_MEM_RESP_ACK);
	assert_int_equal(answered().u.state.state, VIRTIO_MEM_STATE_MIXED);
	assert_int_equal(ask(VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0), VIRTIO_MEM_RESP_ACK);
	assert_plugged(0);
	assert_int_equal(discards, 220);
}

/* An answer comes when nothing is left of what was unplugged, and the next request after that. */
static void test_the_rest_waits(void **state)
{
	(void)state;
	virtio_mem_request(mem, BLOCKS * BLOCK);
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION, 8), VIRTIO_MEM_RESP_ACK);
	room = 3;
	begin_request(VIRTIO_MEM_REQ_UNPLUG, REGION, 4);
	begin_request(VIRTIO_MEM_REQ_PLUG, REGION, 1);
	assert_int_equal(used(), 1);
	assert_int_equal(fake_virtio_work(WORK_LIMIT), 0);
	room = ~0ULL;
	fake_clock_advance(NS_PER_MS);
	assert_in_range(fake_virtio_work(WORK_LIMIT), 1, 10);
	assert_int_equal(used(), 3);
	assert_int_equal(discards, 8);
	assert_plugged(5);
}

static void test_a_go_is_bounded(void **state)
{
	(void)state;
	virtio_mem_request(mem, BLOCKS * BLOCK);
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION, BLOCKS), VIRTIO_MEM_RESP_ACK);
	begin_request(VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0);
	assert_in_range(discards, 1, 64);
	assert_int_equal(fake_virtio_work(1), 1);
	assert_in_range(discards, 65, 128);
	assert_int_equal(used(), 1);
}

static void test_reset_with_the_rest_pending(void **state)
{
	(void)state;
	virtio_mem_request(mem, BLOCKS * BLOCK);
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION, 8), VIRTIO_MEM_RESP_ACK);
	room = 2;
	begin_request(VIRTIO_MEM_REQ_UNPLUG, REGION, 2);
	fake_virtio_reset(&guest);
	assert_false(virtio_mem_look(mem).live);
	room = ~0ULL;
	assert_in_range(fake_virtio_work(WORK_LIMIT), 1, 10);
	assert_int_equal(discards, 4);
	/* What a driver left is there for the next one, and no answer from before comes. */
	assert_plugged(6);
	fake_virtio_start(&guest, guest.device->offered, 16);
	assert_int_equal(used(), 0);
	assert_int_equal(ask(VIRTIO_MEM_REQ_UNPLUG, REGION + 2 * BLOCK, 6), VIRTIO_MEM_RESP_ACK);
	assert_plugged(0);
}

static void test_vm_reset_unplugs_all(void **state)
{
	(void)state;
	virtio_mem_request(mem, 10 * BLOCK);
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION, 10), VIRTIO_MEM_RESP_ACK);
	assert_int_equal(guest_memory_fault(&guest.vm.memory, REGION, S2_WRITE), MEMORY_MAPPED);
	fake_virtio_reset(&guest);
	guest_memory_clear(&guest.vm.memory);
	assert_plugged(0);
	assert_int_equal(guest_memory_fault(&guest.vm.memory, REGION, S2_WRITE), MEMORY_MMIO);
	assert_int_equal(virtio_mem_look(mem).requested_bytes, 10 * BLOCK);
}

static uint64_t config(unsigned int offset)
{
	const struct virtio_operations *operations = guest.device->operations;

	return operations->config_read(guest.device, offset, 4) |
		(uint64_t)operations->config_read(guest.device, offset + 4, 4) << 32;
}

static void test_tells_the_driver(void **state)
{
	(void)state;
	assert_int_equal(guest.device->operations->id, 24);
	assert_int_equal(guest.device->operations->config_bytes, 56);
	assert_int_equal(config(0), BLOCK);
	assert_int_equal(config(16), REGION);
	assert_int_equal(config(24), BLOCKS * BLOCK);
	assert_int_equal(config(32), BLOCKS * BLOCK);
	virtio_mem_request(mem, 5 * BLOCK);
	virtio_mem_request(mem, 5 * BLOCK + 1);
	assert_int_equal(fake_virtio_work(WORK_LIMIT), 1);
	assert_int_equal(guest.config_signals, 1);
	assert_int_equal(ask(VIRTIO_MEM_REQ_PLUG, REGION, 3), VIRTIO_MEM_RESP_ACK);
	assert_int_equal(config(40), 3 * BLOCK);
	assert_int_equal(config(48), 5 * BLOCK);
	fake_virtio_reset(&guest);
	virtio_mem_request(mem, 6 * BLOCK);
	assert_int_equal(fake_virtio_work(WORK_LIMIT), 0);
	assert_int_equal(config(48), 6 * BLOCK);
}

static void test_broken_requests(void **state)
{
	const struct virtio_mem_req request = { .type = VIRTIO_MEM_REQ_UNPLUG_ALL };

	(void)state;
	send(&request, sizeof(request) - 1, sizeof(struct virtio_mem_resp));
	assert_true(fake_virtio_is_broken(&guest));
	fake_virtio_reset(&guest);
	fake_virtio_start(&guest, guest.device->offered, 16);
	send(&request, sizeof(request), sizeof(struct virtio_mem_resp) - 1);
	assert_true(fake_virtio_is_broken(&guest));
	fake_virtio_reset(&guest);
	fake_virtio_start(&guest, guest.device->offered, 16);
	assert_int_equal(ask(VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0), VIRTIO_MEM_RESP_ACK);
}

static void test_creation_fails(void **state)
{
	static struct fake_virtio other;
	struct virtio_mem *created;

	(void)state;
	fake_virtio_create(&other, "other");
	fake_frames_until_failure = 0;
	assert_int_equal(guest_hotplug_add(&other.vm.memory, REGION, BLOCK), -ENOMEM);
	assert_int_equal(virtio_mem_create(&other.vm, NULL, REGION, BLOCK, &created), -ENOMEM);
	fake_frames_until_failure = -1;
	assert_int_equal(guest_hotplug_add(&other.vm.memory, REGION + PAGE_SIZE, BLOCK), -EINVAL);
	assert_int_equal(guest_hotplug_add(&other.vm.memory, 0, BLOCK), -EINVAL);
	assert_int_equal(guest_hotplug_count(&other.vm.memory, 0, BLOCK), HOTPLUG_NONE);
	fake_virtio_destroy(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plugs_what_is_requested, begin, end),
		cmocka_unit_test_setup_teardown(test_odd_requests_change_nothing, begin, end),
		cmocka_unit_test_setup_teardown(test_unplugs, begin, end),
		cmocka_unit_test_setup_teardown(test_the_rest_waits, begin, end),
		cmocka_unit_test_setup_teardown(test_a_go_is_bounded, begin, end),
		cmocka_unit_test_setup_teardown(test_reset_with_the_rest_pending, begin, end),
		cmocka_unit_test_setup_teardown(test_vm_reset_unplugs_all, begin, end),
		cmocka_unit_test_setup_teardown(test_tells_the_driver, begin, end),
		cmocka_unit_test_setup_teardown(test_broken_requests, begin, end),
		cmocka_unit_test_setup_teardown(test_creation_fails, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
