/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame allocator and heap on the build machine: libc's memory, with counts and failures on demand. */
#include "test/unit/fake_frames.h"

#include <stdlib.h>
#include <string.h>

int64_t fake_frames_in_use;
int64_t fake_frames_until_failure = -1;
uint64_t fake_frames_free = ~0ULL;

/* Blocks handed out: frames come back in smaller pieces than they went, as the contract allows. */
static struct block {
	hpa_t start;
	uint64_t frames, left;
} blocks[65536];
static size_t block_count;

static bool fails(void)
{
	if (fake_frames_until_failure < 0)
		return false;
	if (fake_frames_until_failure == 0)
		return true;
	fake_frames_until_failure--;
	return false;
}

hpa_t frame_alloc(unsigned int order, enum frame_use use)
{
	size_t bytes = PAGE_SIZE << order;
	void *frames;

	(void)use;
	if (fails())
		return HPA_NONE;
	frames = aligned_alloc(bytes, bytes);
	if (!frames)
		return HPA_NONE;
	memset(frames, 0xa5, bytes); /* what a frame held before must never show */
	fake_frames_in_use += BIT(order);
	if (block_count == ARRAY_SIZE(blocks))
		abort();
	blocks[block_count++] = (struct block){ host_phys(frames), BIT(order), BIT(order) };
	return host_phys(frames);
}

hpa_t frame_alloc_zeroed(unsigned int order, enum frame_use use)
{
	hpa_t frames = frame_alloc(order, use);

	if (frames != HPA_NONE)
		memset(host_ptr(frames), 0, PAGE_SIZE << order);
	return frames;
}

void frame_free(hpa_t start, unsigned int order)
{
	for (size_t i = block_count; i-- > 0;) {
		struct block *block = &blocks[i];

		if (start - block->start >= block->frames * PAGE_SIZE)
			continue;
		if (block->left < BIT(order))
			abort(); /* freed twice */
		block->left -= BIT(order);
		fake_frames_in_use -= BIT(order);
		if (!block->left) {
			free(host_ptr(block->start));
			*block = blocks[--block_count];
		}
		return;
	}
	abort(); /* never handed out */
}

void page_zero(void *start, uint64_t bytes)
{
	memset(start, 0, bytes);
}

/* Nobody shares frames here, nor asks whose they are. */
void frame_set_owner(hpa_t start, uint32_t owner, uint64_t gfn)
{
	(void)start, (void)owner, (void)gfn;
}

void frame_drop(hpa_t frame)
{
	(void)frame;
	abort();
}

uint64_t frame_free_count(void)
{
	return fake_frames_free;
}

void *heap_alloc(size_t bytes, enum frame_use use)
{
	void *object;

	(void)use;
	if (fails())
		return NULL;
	if (bytes < PAGE_SIZE)
		return calloc(1, ROUND_UP(bytes, 64));
	/* As the heap does it. */
	object = aligned_alloc(PAGE_SIZE, ROUND_UP(bytes, PAGE_SIZE));
	return object ? memset(object, 0, bytes) : NULL;
}

void heap_free(void *object)
{
	free(object);
}
