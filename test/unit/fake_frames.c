/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame allocator and heap on the build machine: libc's memory, with counts and failures on demand. */
#include "test/unit/fake_frames.h"

#include <stdlib.h>
#include <string.h>

int64_t fake_frames_in_use;
int64_t fake_frames_until_failure = -1;

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
	free(host_ptr(start));
	fake_frames_in_use -= BIT(order);
}

void *heap_alloc(size_t bytes, enum frame_use use)
{
	(void)use;
	if (fails())
		return NULL;
	return calloc(1, ROUND_UP(bytes, 64));
}

void heap_free(void *object)
{
	free(object);
}
