/* SPDX-License-Identifier: BSD-2-Clause */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ept/guest_hotplug.h"
#include "fake_guest_memory.h"

static uint8_t *backing;
static uint8_t *touched; /* a byte for each page */
static uint64_t touched_pages, limit_pages;

static void *map(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert(at != MAP_FAILED);
	return at;
}

void fake_guest_memory_reset(struct guest_memory *memory)
{
	if (!backing) {
		backing = map(FAKE_GUEST_BYTES);
		touched = map(FAKE_GUEST_BYTES >> PAGE_SHIFT);
	}
	madvise(backing, FAKE_GUEST_BYTES, MADV_DONTNEED);
	madvise(touched, FAKE_GUEST_BYTES >> PAGE_SHIFT, MADV_DONTNEED);
	touched_pages = 0;
	limit_pages = ~0ULL;
	memset(memory, 0, sizeof(*memory));
}

void fake_guest_memory_set_limit(uint64_t pages)
{
	limit_pages = touched_pages + pages;
}

void *fake_guest_memory_at(gpa_t gpa)
{
	assert(gpa < FAKE_GUEST_BYTES);
	return backing + gpa;
}

uint64_t fake_guest_memory_touched(void)
{
	return touched_pages;
}

int guest_memory_add(struct guest_memory *memory, gpa_t start, uint64_t bytes, bool read_only)
{
	uint64_t end;

	if (!bytes || (start | bytes) & PAGE_MASK || add_overflows(start, bytes, &end))
		return -EINVAL;
	for (size_t i = 0; i < memory->slot_count; i++) {
		struct memory_slot *slot = &memory->slots[i];

		if (start < slot->start + slot->bytes && slot->start < end)
			return -EINVAL;
	}
	if (memory->slot_count == GUEST_MEMORY_SLOTS)
		return -ENOSPC;
	memory->slots[memory->slot_count++] = (struct memory_slot){
		.start = start, .bytes = bytes, .read_only = read_only };
	return 0;
}

/* Nothing is plugged in there. */
int guest_hotplug_add(struct guest_memory *memory, gpa_t start, uint64_t bytes)
{
	static struct hotplug_map map;
	int error = guest_memory_add(memory, start, bytes, false);

	if (!error)
		memory->slots[memory->slot_count - 1].hotplug = &map;
	return error;
}

bool guest_memory_is_ram(const struct guest_memory *memory, gpa_t gpa)
{
	for (size_t i = 0; i < memory->slot_count; i++) {
		if (gpa >= memory->slots[i].start &&
			gpa - memory->slots[i].start < memory->slots[i].bytes)
			return gpa < FAKE_GUEST_BYTES;
	}
	return false;
}

void *guest_memory_ptr(struct guest_memory *memory, gpa_t gpa, uint64_t access, uint64_t *bytes)
{
	(void)access;
	if (!guest_memory_is_ram(memory, gpa))
		return NULL;
	if (!touched[gpa >> PAGE_SHIFT]) {
		if (touched_pages >= limit_pages)
			return NULL;
		touched[gpa >> PAGE_SHIFT] = 1;
		touched_pages++;
	}
	if (bytes)
		*bytes = PAGE_SIZE - (gpa & PAGE_MASK);
	return backing + gpa;
}

bool guest_memory_is_mapped(const struct guest_memory *memory, gpa_t gpa, uint64_t access, uint64_t *bytes)
{
	(void)access;
	*bytes = PAGE_SIZE - (gpa & PAGE_MASK);
	return guest_memory_is_ram(memory, gpa) && touched[gpa >> PAGE_SHIFT];
}

enum memory_answer guest_memory_fault(struct guest_memory *memory, gpa_t gpa, uint64_t access)
{
	if (!guest_memory_is_ram(memory, gpa))
		return MEMORY_MMIO;
	return guest_memory_ptr(memory, gpa, access, NULL) ? MEMORY_MAPPED : MEMORY_WAIT;
}

int guest_memory_read(struct guest_memory *memory, gpa_t gpa, void *to, uint64_t bytes)
{
	while (bytes) {
		uint64_t here;
		void *from = guest_memory_ptr(memory, gpa, S2_READ, &here);

		if (!from)
			return guest_memory_is_ram(memory, gpa) ? -EAGAIN : -EFAULT;
		here = MIN(here, bytes);
		memcpy(to, from, here);
		gpa += here;
		to = (uint8_t *)to + here;
		bytes -= here;
	}
	return 0;
}

int guest_memory_write(struct guest_memory *memory, gpa_t gpa, const void *from, uint64_t bytes)
{
	while (bytes) {
		uint64_t here;
		void *to = guest_memory_ptr(memory, gpa, S2_WRITE, &here);

		if (!to)
			return -EFAULT;
		here = MIN(here, bytes);
		memcpy(to, from, here);
		gpa += here;
		from = (const uint8_t *)from + here;
		bytes -= here;
	}
	return 0;
}

/* Nothing is taken from this guest. */
int guest_memory_pin(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	(void)memory, (void)gpa, (void)bytes;
	return 0;
}

void guest_memory_unpin(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	(void)memory, (void)gpa, (void)bytes;
}
