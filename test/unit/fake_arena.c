/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_arena.h. */
#define _GNU_SOURCE
#include "test/unit/fake_arena.h"

#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_START 0x10000000ULL /* below ASan's shadow */

int64_t arena_until_failure = -1;
uint64_t arena_in_use;

static bool used[ARENA_FRAMES];
static uint32_t stack[ARENA_FRAMES];
static size_t stacked;
static bool mapped;

static void map(void)
{
	void *at = mmap(host_ptr(ARENA_START), ARENA_FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	assert(at == host_ptr(ARENA_START));
	mapped = true;
	for (uint32_t i = 0; i < ARENA_FRAMES; i++)
		stack[stacked++] = ARENA_FRAMES - 1 - i;
}

static bool fails(void)
{
	if (arena_until_failure < 0)
		return false;
	return arena_until_failure == 0 || arena_until_failure-- == 0;
}

static uint8_t *arena_frame(size_t index)
{
	return (uint8_t *)host_ptr(ARENA_START) + index * PAGE_SIZE;
}

hpa_t frame_alloc(unsigned int order, enum frame_use use)
{
	uint32_t index;

	assert(order == 0);
	if (!mapped)
		map();
	if (fails() || !stacked)
		return HPA_NONE;
	index = stack[--stacked];
	(void)use;
	used[index] = true;
	arena_in_use++;
	memset(arena_frame(index), 0xa5, PAGE_SIZE); /* what a frame held before must never show */
	return host_phys(arena_frame(index));
}

void frame_free(hpa_t start, unsigned int order)
{
	size_t index = (start - ARENA_START) / PAGE_SIZE;

	assert(order == 0 && index < ARENA_FRAMES && IS_ALIGNED(start, PAGE_SIZE) && used[index]);
	memset(arena_frame(index), 0x5a, PAGE_SIZE);
	used[index] = false;
	arena_in_use--;
	stack[stacked++] = (uint32_t)index;
}

void *heap_alloc(size_t bytes, enum frame_use use)
{
	(void)use;
	return fails() ? NULL : calloc(1, ROUND_UP(bytes, 64));
}

void heap_free(void *object)
{
	free(object);
}
