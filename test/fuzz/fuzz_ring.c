/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing split rings: the input is what a driver writes to a small guest memory, and when, and what the device does in
 * between. Whatever it is: no access outside RAM (the sanitizers watch host memory), walks that end, chains that keep
 * what ring.h promises, no more chains held than the ring has entries, and a broken ring that is never touched again.
 */
#include <string.h>

#include "devices/virtio/ring.h"
#include "test/fuzz/input.h"

#define RAM_BYTES 0x8000ULL /* from address 0, and once more from RAM_HIGH */
#define RAM_HIGH 0x40000ULL
#define SEGMENTS_MAX 8

/* Each page is a block of its own, so that whatever leaves one is seen. */
static struct guest_memory memory;
static uint8_t *pages[2 * RAM_BYTES / PAGE_SIZE];
static bool scattered, exhausted;

static uint8_t *page_of(gpa_t gpa)
{
	if (gpa < RAM_BYTES)
		return pages[gpa / PAGE_SIZE];
	if (gpa - RAM_HIGH < RAM_BYTES)
		return pages[(gpa - RAM_HIGH + RAM_BYTES) / PAGE_SIZE];
	return NULL;
}

void *guest_memory_ptr(struct guest_memory *asked, gpa_t gpa, uint64_t access, uint64_t *bytes)
{
	uint8_t *page = page_of(gpa);

	(void)access;
	require(asked == &memory);
	/* The device asks for what it has checked. */
	require(page);
	if (exhausted)
		return NULL;
	if (bytes)
		*bytes = PAGE_SIZE - (gpa & PAGE_MASK);
	return page + (gpa & PAGE_MASK);
}

bool guest_memory_is_mapped(const struct guest_memory *asked, gpa_t gpa, uint64_t access, uint64_t *bytes)
{
	(void)access;
	require(asked == &memory && page_of(gpa));
	*bytes = PAGE_SIZE - (gpa & PAGE_MASK);
	return !exhausted;
}

enum memory_answer guest_memory_fault(struct guest_memory *asked, gpa_t gpa, uint64_t access)
{
	return guest_memory_ptr(asked, gpa, access, NULL) ? MEMORY_MAPPED : MEMORY_WAIT;
}

static void copy(gpa_t gpa, uint8_t *bytes, uint64_t count, bool write)
{
	for (uint64_t i = 0; i < count; i++) {
		uint8_t *page = page_of(gpa + i);

		if (page && write)
			page[(gpa + i) & PAGE_MASK] = bytes[i];
		else if (page)
			bytes[i] = page[(gpa + i) & PAGE_MASK];
	}
}

int guest_memory_read(struct guest_memory *asked, gpa_t gpa, void *to, uint64_t bytes)
{
	require(asked == &memory && page_of(gpa) && page_of(gpa + bytes - 1));
	if (exhausted)
		return -EAGAIN;
	copy(gpa, to, bytes, false);
	return 0;
}

bool guest_memory_is_ram(const struct guest_memory *asked, gpa_t gpa)
{
	require(asked == &memory);
	return guest_memory_ram(&memory, gpa);
}

int guest_memory_pin(struct guest_memory *asked, gpa_t gpa, uint64_t bytes)
{
	require(asked == &memory && page_of(gpa) && page_of(gpa + bytes - 1));
	return 0;
}

void guest_memory_unpin(struct guest_memory *asked, gpa_t gpa, uint64_t bytes)
{
	require(asked == &memory && page_of(gpa) && page_of(gpa + bytes - 1));
}

static void make_memory(void)
{
	static uint8_t *whole;

	if (!whole) {
		whole = aligned_alloc(PAGE_SIZE, 2 * RAM_BYTES);
		for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
			pages[i] = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
		memory.slots[0] = (struct memory_slot){ .bytes = RAM_BYTES };
		memory.slots[1] = (struct memory_slot){ .start = RAM_HIGH, .bytes = RAM_BYTES };
		memory.slot_count = 2;
	}
	static uint8_t *alone[ARRAY_SIZE(pages)];
	if (!alone[0])
		memcpy(alone, pages, sizeof(alone));
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = scattered ? alone[i] : whole + i * PAGE_SIZE;
		memset(pages[i], 0, PAGE_SIZE);
	}
	memory.generation = 0;
	exhausted = false;
}

static struct virtio_ring ring;
static struct virtio_chain chain;
static bool popped;
static unsigned int held;

/* An address that is mostly in RAM, often near where the rings are, sometimes anything. */
static gpa_t take_gpa(void)
{
	uint8_t kind = take(1);

	if (kind < 0xc0)
		return (kind & 0x40 ? RAM_HIGH : 0) + take(2) % RAM_BYTES;
	return kind < 0xe0 ? RAM_BYTES - (kind & 0x1f) : take(8);
}

static void driver_descriptor(gpa_t table)
{
	struct vring_desc descriptor;
	uint16_t number = take(1);

	descriptor.addr = take_gpa();
	descriptor.len = take(1) & 1 ? take(4) : take(1);
	descriptor.flags = take(1);
	descriptor.next = take(1);
	copy(table + sizeof(descriptor) * number, (uint8_t *)&descriptor, sizeof(descriptor), true);
}

static void driver_16(gpa_t gpa, uint16_t value)
{
	copy(gpa, (uint8_t *)&value, sizeof(value), true);
}

/* One more chain, as a driver that knows the rules offers it. */
static void driver_offer(void)
{
	uint16_t index = 0;

	if (!ring.size)
		return;
	copy(ring.available + 2, (uint8_t *)&index, sizeof(index), false);
	driver_16(ring.available + 4 + 2 * (index % ring.size), take(1) % (ring.size + 1));
	driver_16(ring.available + 2, index + 1);
}

static void check_chain(void)
{
	uint64_t readable = 0, writable = 0;

	require(chain.head < ring.size);
	require(chain.readable + chain.writable <= VIRTIO_CHAIN_SEGMENTS);
	for (unsigned int i = 0; i < chain.readable + chain.writable; i++) {
		const struct virtio_segment *segment = &chain.segments[i];

		require(segment->bytes > 0);
		require(guest_memory_contains(&memory, segment->gpa, segment->bytes));
		*(i < chain.readable ? &readable : &writable) += segment->bytes;
	}
	require(readable == chain.readable_bytes && writable == chain.writable_bytes);
}

static void device_pop(void)
{
	bool broken = ring.broken;
	int result = ring_pop(&ring, &chain);

	popped = result == 1;
	require(result == -EINVAL || !ring.broken);
	if (broken || !ring.enabled)
		require(result <= 0);
	if (result != 1)
		return;
	check_chain();
	require(++held <= ring.size);
}

static void device_copy(bool write)
{
	static uint8_t buffer[0x10000];
	uint32_t part = write ? chain.writable_bytes : chain.readable_bytes;
	uint32_t at = take(2), bytes = take(2), done;

	memset(buffer, 0x5a, bytes);
	done = write ? chain_write(&ring, &chain, at, buffer, bytes) : chain_read(&ring, &chain, at, buffer, bytes);
	require(done <= bytes && done <= (part > at ? part - at : 0));
	if (!ring.broken && ring.enabled && !exhausted)
		require(done == MIN(bytes, part > at ? part - at : 0));
	else if (ring.broken)
		require(done == 0);
}

static void device_map(bool write)
{
	struct block_segment segments[SEGMENTS_MAX];
	uint32_t at = take(2), bytes = take(2);
	unsigned int max = take(1) % (SEGMENTS_MAX + 1);
	int count = chain_map(&ring, &chain, write, at, bytes, segments, max);
	uint64_t sum = 0;

	require(count <= (int)max && (count >= 0 || count == -EFAULT || count == -ENOSPC));
	for (int i = 0; i < count; i++) {
		uint8_t *host = host_ptr(segments[i].start);

		sum += segments[i].bytes;
		/* Both ends are there, or the sanitizer says so. */
		require(host[0] + host[segments[i].bytes - 1] >= 0);
	}
	require(count < 0 || sum == bytes);
}

static void set_up(void)
{
	ring_reset(&ring);
	popped = false;
	held = 0;
	ring.size = take(1) & 1 ? 1U << take(1) % 9 : take(2);
	ring.descriptors = take_gpa();
	ring.available = take_gpa();
	ring.used = take_gpa();
	if (!(take(1) & 1)) {
		ring.descriptors &= ~15ULL;
		ring.available &= ~1ULL;
		ring.used &= ~3ULL;
	}
	ring.event_index = take(1) & 1;
	ring.indirect = take(1) & 1;
	if (ring_enable(&ring))
		require(ring.broken);
}

/* Several that belong together are given back at once, or not at all. */
static void device_batch(void)
{
	unsigned int count = take(1) % 4;
	uint16_t available = ring.next_available, used = ring.next_used;

	for (unsigned int i = 0; i < count; i++) {
		device_pop();
		if (!popped)
			break;
		ring_put(&ring, chain.head, take(2));
		held--;
	}
	popped = false;
	if (take(1) & 1) {
		ring_publish(&ring);
	} else {
		ring_take_back(&ring);
		require(ring.broken || (ring.next_available == available && ring.next_used == used));
	}
}

static void step(void)
{
	switch (take(1) % 21) {
	case 0:
		set_up();
		break;
	case 1:
	case 2:
	case 3:
		driver_descriptor(ring.descriptors);
		break;
	case 4:
	case 5:
		driver_descriptor(take_gpa());
		break;
	case 6:
	case 7:
	case 8:
		driver_offer();
		break;
	case 9:
		driver_16(take_gpa(), take(2));
		break;
	case 10:
		driver_16(ring.available + 2 * (take(1) % 3), take(2));
		break;
	case 11:
	case 12:
		device_pop();
		break;
	case 13:
		/* What is not held cannot be given back. */
		if (popped) {
			ring_push(&ring, chain.head, take(4));
			held--;
			popped = false;
		}
		break;
	case 14:
		if (popped) {
			ring_unpop(&ring);
			held--;
			popped = false;
		}
		break;
	case 15:
		if (popped)
			device_copy(take(1) & 1);
		break;
	case 16:
		if (popped)
			device_map(take(1) & 1);
		break;
	case 17:
		require(!ring_needs_signal(&ring) || !ring_needs_signal(&ring));
		break;
	case 18:
		if (ring_want_notifications(&ring, take(1) & 1))
			require(!ring.broken && ring_has_available(&ring));
		break;
	case 20:
		if (!held)
			device_batch();
		break;
	case 19:
		exhausted = take(1) & 1;
		if (exhausted || take(1) & 1)
			memory.generation++;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input_begin(data, size);
	scattered = take(1) & 1;
	make_memory();
	ring.memory = &memory;
	ring.size_max = 1U << take(1) % 9;
	memset(&chain, 0, sizeof(chain));
	set_up();
	while (input_left)
		step();
	return 0;
}
