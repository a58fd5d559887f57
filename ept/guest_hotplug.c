/* SPDX-License-Identifier: BSD-2-Clause */
#include "ept/guest_hotplug.h"

#include "host/memory.h"
#include "lib/bits.h"
#include "lib/string.h"

static size_t blocks_bytes(uint64_t bytes)
{
	return ROUND_UP(bytes / LARGE_PAGE_SIZE, 64) / 8;
}

int guest_hotplug_add(struct guest_memory *memory, gpa_t start, uint64_t bytes)
{
	struct hotplug_map *map;
	int error;

	if (!IS_ALIGNED(start | bytes, LARGE_PAGE_SIZE))
		return -EINVAL;
	map = heap_alloc(sizeof(*map) + blocks_bytes(bytes), FRAME_VM);
	if (!map)
		return -ENOMEM;
	error = guest_memory_add(memory, start, bytes, false);
	if (error) {
		heap_free(map);
		return error;
	}
	for (size_t i = 0; i < memory->slot_count; i++)
		if (memory->slots[i].start == start)
			memory->slots[i].hotplug = map;
	memory->boot_pages -= bytes >> PAGE_SHIFT;
	memory->limit_pages -= bytes >> PAGE_SHIFT;
	return 0;
}

void guest_hotplug_destroy(struct guest_memory *memory)
{
	for (size_t i = 0; i < memory->slot_count; i++)
		heap_free(memory->slots[i].hotplug);
}

void guest_hotplug_clear(struct guest_memory *memory)
{
	for (size_t i = 0; i < memory->slot_count; i++) {
		struct hotplug_map *map = memory->slots[i].hotplug;

		if (!map)
			continue;
		memory->limit_pages -= map->plugged_bytes >> PAGE_SHIFT;
		map->plugged_bytes = 0;
		memset(map->blocks, 0, blocks_bytes(memory->slots[i].bytes));
	}
}

uint64_t guest_hotplug_bytes(const struct guest_memory *memory, gpa_t start)
{
	const struct memory_slot *slot = guest_memory_slot(memory, start);

	return __atomic_load_n(&slot->hotplug->plugged_bytes, __ATOMIC_RELAXED);
}

/* The bits of one word that are blocks from `at` to before *next, which is the end or a word's. */
static uint64_t mask_of(uint64_t at, uint64_t end, uint64_t *next)
{
	uint64_t bits;

	*next = MIN(end, ROUND_DOWN(at, 64) + 64);
	bits = *next - at;
	return bits == 64 ? ~0ULL : (BIT(bits) - 1) << (at % 64);
}

uint64_t guest_hotplug_count(const struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	const struct memory_slot *slot = guest_memory_slot(memory, gpa);
	uint64_t count = 0, at, end, next;

	if (!slot || !slot->hotplug || !IS_ALIGNED(gpa | bytes, LARGE_PAGE_SIZE) ||
		bytes > slot->bytes - (gpa - slot->start))
		return HOTPLUG_NONE;
	at = (gpa - slot->start) / LARGE_PAGE_SIZE;
	for (end = at + bytes / LARGE_PAGE_SIZE; at < end; at = next) {
		uint64_t mask = mask_of(at, end, &next);

		count += bits_count(__atomic_load_n(&slot->hotplug->blocks[at / 64],
			__ATOMIC_RELAXED) & mask);
	}
	return count * LARGE_PAGE_SIZE;
}

void guest_hotplug_set(struct guest_memory *memory, gpa_t gpa, uint64_t bytes, bool plugged)
{
	const struct memory_slot *slot = guest_memory_slot(memory, gpa);
	struct hotplug_map *map = slot->hotplug;
	uint64_t at = (gpa - slot->start) / LARGE_PAGE_SIZE, end = at + bytes / LARGE_PAGE_SIZE;
	uint64_t next, change;

	/* Who is giving the guest a frame of the range has done so, or finds that it is gone. */
	spin_lock(&memory->lock);
	change = (plugged ? bytes : 0) - guest_hotplug_count(memory, gpa, bytes);
	for (; at < end; at = next) {
		uint64_t mask = mask_of(at, end, &next);

		if (plugged)
			__atomic_fetch_or(&map->blocks[at / 64], mask, __ATOMIC_RELEASE);
		else
			__atomic_fetch_and(&map->blocks[at / 64], ~mask, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&map->plugged_bytes, map->plugged_bytes + change, __ATOMIC_RELAXED);
	memory->limit_pages += (uint64_t)((int64_t)change >> PAGE_SHIFT);
	spin_unlock(&memory->lock);
}
