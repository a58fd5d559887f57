/* SPDX-License-Identifier: BSD-2-Clause */
#include "balloon/swap_slots.h"

#include "host/memory.h"
#include "lib/bits.h"

/* Words that are looked at for a run as long as wanted; after that the longest found will do. */
#define LOOK_WORDS 64U

static struct swap_segment *segment_of_word(const struct swap_slots *slots, uint64_t word)
{
	return slots->segments[word / SWAP_SEGMENT_WORDS];
}

/* A run of free slots within a word. */
struct run {
	uint64_t word;
	unsigned int start, length;
};

/* From `word` on, the next one with a free slot; whole segments without are passed over. */
static uint64_t next_with_free(const struct swap_slots *slots, uint64_t word)
{
	for (;;) {
		const struct swap_segment *segment;

		if (word >= slots->words)
			word = 0;
		segment = segment_of_word(slots, word);
		if (!segment->free_count)
			word = (word / SWAP_SEGMENT_WORDS + 1) * SWAP_SEGMENT_WORDS;
		else if (!segment->free[word % SWAP_SEGMENT_WORDS])
			word++;
		else
			return word;
	}
}

static struct run run_in(const struct swap_slots *slots, uint64_t word, unsigned int want)
{
	uint64_t bits = segment_of_word(slots, word)->free[word % SWAP_SEGMENT_WORDS];
	struct run run = { word, bits_find_run(bits, want), want };

	if (run.start == 64)
		run.length = bits_longest_run(bits, &run.start);
	return run;
}

static struct run find_run(const struct swap_slots *slots, unsigned int want)
{
	uint64_t word = next_with_free(slots, slots->cursor);
	struct run best = run_in(slots, word, want), run;

	for (unsigned int looked = 1; looked < LOOK_WORDS && best.length < want; looked++) {
		word = next_with_free(slots, word + 1);
		run = run_in(slots, word, want);
		if (run.length > best.length)
			best = run;
	}
	return best;
}

unsigned int swap_slots_take(struct swap_slots *slots, unsigned int want, uint64_t *first)
{
	struct swap_segment *segment;
	struct run run;

	if (!slots->free)
		return 0;
	run = find_run(slots, want);
	segment = segment_of_word(slots, run.word);
	segment->free[run.word % SWAP_SEGMENT_WORDS] &= ~bits_run(run.start, run.length);
	segment->free_count -= run.length;
	slots->free -= run.length;
	slots->cursor = run.word;
	*first = run.word * 64 + run.start;
	return run.length;
}

static uint64_t *word_of(const struct swap_slots *slots, uint64_t slot)
{
	return &segment_of_word(slots, slot / 64)->free[slot / 64 % SWAP_SEGMENT_WORDS];
}

bool swap_slots_used(const struct swap_slots *slots, uint64_t slot)
{
	return slot && slot < slots->count && !(*word_of(slots, slot) & BIT(slot % 64));
}

void swap_slots_free(struct swap_slots *slots, uint64_t slot)
{
	*word_of(slots, slot) |= BIT(slot % 64);
	segment_of_word(slots, slot / 64)->free_count++;
	slots->free++;
}

/* All of its first `count` slots are free. */
static void fill_segment(struct swap_segment *segment, uint64_t count)
{
	for (uint64_t slot = 0; slot < count; slot += 64)
		segment->free[slot / 64] = bits_run(0, (unsigned int)MIN(64, count - slot));
	segment->free_count = (uint32_t)count;
}

int swap_slots_init(struct swap_slots *slots, uint64_t count)
{
	uint64_t segments = (count + SWAP_SEGMENT_SLOTS - 1) / SWAP_SEGMENT_SLOTS;

	*slots = (struct swap_slots){ .words = segments * SWAP_SEGMENT_WORDS, .count = count };
	slots->segments = heap_alloc(segments * sizeof(*slots->segments), FRAME_HOST);
	for (uint64_t i = 0; slots->segments && i < segments; i++) {
		slots->segments[i] = heap_alloc(sizeof(struct swap_segment), FRAME_HOST);
		if (!slots->segments[i])
			break;
	}
	if (!slots->segments || !slots->segments[segments - 1]) {
		swap_slots_destroy(slots);
		return -ENOMEM;
	}
	for (uint64_t i = 0; i < segments; i++)
		fill_segment(slots->segments[i],
			MIN(SWAP_SEGMENT_SLOTS, count - i * SWAP_SEGMENT_SLOTS));
	slots->segments[0]->free[0] &= ~1ULL;
	slots->segments[0]->free_count--;
	slots->free = count - 1;
	return 0;
}

void swap_slots_destroy(struct swap_slots *slots)
{
	uint64_t segments = slots->words / SWAP_SEGMENT_WORDS;

	for (uint64_t i = 0; slots->segments && i < segments; i++)
		heap_free(slots->segments[i]);
	heap_free(slots->segments);
	*slots = (struct swap_slots){ 0 };
}
