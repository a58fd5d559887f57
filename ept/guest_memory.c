/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory slots and their backing on first touch; see ept/guest_memory.h. */
#include "ept/guest_memory.h"

#include "lib/string.h"

int guest_memory_init(struct guest_memory *memory, const struct s2_format *format)
{
	memset(memory, 0, sizeof(*memory));
	return s2_init(&memory->s2, format);
}

int guest_memory_add(struct guest_memory *memory, gpa_t start, uint64_t bytes, bool read_only)
{
	size_t at = memory->slot_count;

	if (bytes == 0 || !IS_ALIGNED(start, PAGE_SIZE) || !IS_ALIGNED(bytes, PAGE_SIZE) ||
		!range_within(start, bytes, GUEST_PHYSICAL_LIMIT))
		return -EINVAL;
	if (at == GUEST_MEMORY_SLOTS)
		return -ENOSPC;
	while (at > 0 && memory->slots[at - 1].start > start)
		at--;
	if (at > 0 && memory->slots[at - 1].start + memory->slots[at - 1].bytes > start)
		return -EINVAL;
	if (at < memory->slot_count && start + bytes > memory->slots[at].start)
		return -EINVAL;
	memmove(&memory->slots[at + 1], &memory->slots[at],
		(memory->slot_count - at) * sizeof(memory->slots[0]));
	memory->slots[at] = (struct memory_slot){ start, bytes, read_only };
	memory->slot_count++;
	memory->limit_pages += bytes >> PAGE_SHIFT;
	return 0;
}

static const struct memory_slot *find_slot(const struct guest_memory *memory, gpa_t gpa)
{
	for (size_t i = 0; i < memory->slot_count; i++) {
		if (gpa - memory->slots[i].start < memory->slots[i].bytes)
			return &memory->slots[i];
	}
	return NULL;
}

bool guest_memory_is_ram(const struct guest_memory *memory, gpa_t gpa)
{
	return find_slot(memory, gpa) != NULL;
}

static void free_leaf(gpa_t gpa, const struct s2_mapping *mapping, void *arg)
{
	(void)gpa;
	(void)arg;
	frame_free(mapping->hpa, mapping->order);
}

static void free_backing(struct guest_memory *memory)
{
	s2_for_each(&memory->s2, free_leaf, NULL);
	memory->resident_pages = 0;
	memory->generation++;
}

void guest_memory_clear(struct guest_memory *memory)
{
	spin_lock(&memory->lock);
	free_backing(memory);
	s2_clear(&memory->s2);
	spin_unlock(&memory->lock);
}

void guest_memory_destroy(struct guest_memory *memory)
{
	free_backing(memory);
	s2_destroy(&memory->s2);
}

/* Does the naturally aligned block of this order around gpa lie inside the slot? */
static bool block_fits(const struct memory_slot *slot, gpa_t gpa, unsigned int order)
{
	uint64_t bytes = PAGE_SIZE << order;
	gpa_t start = ROUND_DOWN(gpa, bytes);

	return start >= slot->start && start + bytes <= slot->start + slot->bytes;
}

static int populate_order(
	struct guest_memory *memory, const struct memory_slot *slot, gpa_t gpa, unsigned int order)
{
	gpa_t start = ROUND_DOWN(gpa, PAGE_SIZE << order);
	uint64_t access = slot->read_only ? S2_READ | S2_EXEC : S2_ALL;
	hpa_t frame = frame_alloc_zeroed(order, FRAME_GUEST);
	int error;

	if (frame == HPA_NONE)
		return -ENOMEM;
	error = s2_map(&memory->s2, start, frame, order, access);
	if (error)
		frame_free(frame, order);
	else
		memory->resident_pages += BIT(order);
	return error;
}

/*
 * Frames mapped by 4 KiB leaves where a 2 MiB leaf does not fit (the first megabyte around the VGA
 * window is touched page by page at every boot): so many at once spare as many exits.
 */
#define SMALL_ORDER 4

/* A block of small leaves around gpa; all of it is in the slot and none of it is mapped. */
static int populate_small(
	struct guest_memory *memory, const struct memory_slot *slot, gpa_t gpa)
{
	gpa_t start = ROUND_DOWN(gpa, PAGE_SIZE << SMALL_ORDER);
	uint64_t access = slot->read_only ? S2_READ | S2_EXEC : S2_ALL;
	struct s2_mapping mapping;
	hpa_t frames;

	for (uint64_t page = 0; page < BIT(SMALL_ORDER); page++) {
		if (s2_lookup(&memory->s2, start + page * PAGE_SIZE, &mapping))
			return -EEXIST;
	}
	frames = frame_alloc_zeroed(SMALL_ORDER, FRAME_GUEST);
	if (frames == HPA_NONE)
		return -ENOMEM;
	for (uint64_t page = 0; page < BIT(SMALL_ORDER); page++) {
		hpa_t frame = frames + page * PAGE_SIZE;

		/* The first may want a table, the others find it: what fails, fails at once. */
		if (s2_map(&memory->s2, start + page * PAGE_SIZE, frame, FRAME_ORDER_4K, access)) {
			frame_free(frames, SMALL_ORDER);
			return -ENOMEM;
		}
	}
	memory->resident_pages += BIT(SMALL_ORDER);
	return 0;
}

/*
 * Back the page at gpa: 2 MiB where it fits and the host has such a block, else a block of 4 KiB
 * pages, else the one page. (1 GiB is not tried: zeroing it would keep the CPU from its other work
 * for tens of milliseconds.) A block that is mapped in part already answers -EEXIST, and the next
 * smaller one is tried.
 */
static int populate(struct guest_memory *memory, const struct memory_slot *slot, gpa_t gpa)
{
	int error = -ENOMEM;

	if (block_fits(slot, gpa, FRAME_ORDER_2M))
		error = populate_order(memory, slot, gpa, FRAME_ORDER_2M);
	else if (block_fits(slot, gpa, SMALL_ORDER))
		error = populate_small(memory, slot, gpa);
	if (error)
		error = populate_order(memory, slot, gpa, FRAME_ORDER_4K);
	if (error == -ENOMEM && memory->reclaim && memory->reclaim(memory, FRAME_ORDER_4K))
		error = populate_order(memory, slot, gpa, FRAME_ORDER_4K);
	return error;
}

enum memory_answer guest_memory_fault(struct guest_memory *memory, gpa_t gpa, uint64_t access)
{
	const struct memory_slot *slot = find_slot(memory, gpa);
	enum memory_answer answer = MEMORY_MAPPED;
	struct s2_mapping mapping;

	if (!slot)
		return MEMORY_MMIO;
	if ((access & S2_WRITE) && slot->read_only)
		return MEMORY_DENIED;
	spin_lock(&memory->lock);
	if (!s2_lookup(&memory->s2, gpa, &mapping) && populate(memory, slot, gpa))
		answer = MEMORY_EXHAUSTED;
	spin_unlock(&memory->lock);
	return answer;
}

void *guest_memory_ptr(struct guest_memory *memory, gpa_t gpa, uint64_t *bytes)
{
	struct s2_mapping mapping;
	uint64_t block;

	/* The walker looks at 48 bits; an address beyond must not alias one below. */
	if (unlikely(gpa >= GUEST_PHYSICAL_LIMIT))
		return NULL;
	/* Tables are never freed while the guest lives, so looking is free of the lock. */
	if (unlikely(!s2_lookup(&memory->s2, gpa, &mapping))) {
		if (guest_memory_fault(memory, gpa, S2_READ) != MEMORY_MAPPED ||
			!s2_lookup(&memory->s2, gpa, &mapping))
			return NULL;
	}
	if (bytes) {
		block = PAGE_SIZE << mapping.order;
		*bytes = block - (gpa & (block - 1));
	}
	return host_ptr(mapping.hpa);
}

static int copy(struct guest_memory *memory, gpa_t gpa, void *buffer, uint64_t bytes, bool write)
{
	while (bytes > 0) {
		uint64_t room;
		void *ptr = guest_memory_ptr(memory, gpa, &room);
		uint64_t now;

		if (!ptr)
			return -EFAULT;
		now = MIN(room, bytes);
		if (write)
			memcpy(ptr, buffer, now);
		else
			memcpy(buffer, ptr, now);
		gpa += now;
		buffer = (char *)buffer + now;
		bytes -= now;
	}
	return 0;
}

int guest_memory_read(struct guest_memory *memory, gpa_t gpa, void *to, uint64_t bytes)
{
	return copy(memory, gpa, to, bytes, false);
}

int guest_memory_write(struct guest_memory *memory, gpa_t gpa, const void *from, uint64_t bytes)
{
	return copy(memory, gpa, (void *)(uintptr_t)from, bytes, true);
}
