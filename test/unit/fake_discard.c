/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_discard.h. */
#include "test/unit/fake_discard.h"

#undef NDEBUG
#include <assert.h>
#include <sys/mman.h>

#include "test/unit/fake_guest_memory.h"

struct fake_discard fake_discards[FAKE_DISCARDS];
unsigned int fake_discard_count, fake_flushes, fake_flushed;
uint64_t fake_discard_room, fake_discard_step;

void fake_discard_reset(void)
{
	fake_discard_count = fake_flushes = fake_flushed = 0;
	fake_discard_room = fake_discard_step = ~0ULL;
}

int guest_memory_init(struct guest_memory *memory, const struct s2_format *format)
{
	(void)format;
	fake_guest_memory_reset(memory);
	fake_discard_reset();
	return 0;
}

void guest_memory_destroy(struct guest_memory *memory)
{
	fake_guest_memory_reset(memory);
}

uint64_t guest_memory_discard(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	uint64_t given = MIN(bytes / PAGE_SIZE, MIN(fake_discard_room, fake_discard_step)) * PAGE_SIZE;
	int error;

	/* Whole pages of one slot are all that is asked for. */
	assert(bytes && IS_ALIGNED(gpa | bytes, PAGE_SIZE) && guest_memory_contains(memory, gpa, bytes));
	fake_discard_room -= given / PAGE_SIZE;
	error = given ? madvise(fake_guest_memory_at(gpa), given, MADV_DONTNEED) : 0;
	assert(!error);
	if (fake_discard_count < FAKE_DISCARDS)
		fake_discards[fake_discard_count] = (struct fake_discard){ gpa, given };
	fake_discard_count++;
	return given;
}

void guest_memory_flush(struct guest_memory *memory)
{
	__atomic_fetch_add(&memory->generation, 1, __ATOMIC_SEQ_CST);
	fake_flushes++;
	fake_flushed = fake_discard_count;
}
