/* SPDX-License-Identifier: BSD-2-Clause */
/* Ones in a word: how many, and runs of them: of 64 places those with a one are free. */
#ifndef BALLAST_LIB_BITS_H
#define BALLAST_LIB_BITS_H

#include "lib/util.h"

/* There is no library, and not every CPU has an instruction for it. */
static inline unsigned int bits_count(uint64_t word)
{
	word -= word >> 1 & 0x5555555555555555ULL;
	word = (word & 0x3333333333333333ULL) + (word >> 2 & 0x3333333333333333ULL);
	word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (unsigned int)(word * 0x0101010101010101ULL >> 56);
}

/* For each power of two, from 1 to 32: where a run of so many ones begins. */
struct bits_runs {
	uint64_t starts[6];
};

static inline void bits_find_runs(uint64_t word, struct bits_runs *runs)
{
	runs->starts[0] = word;
	for (unsigned int i = 1; i < 6; i++)
		runs->starts[i] = runs->starts[i - 1] & runs->starts[i - 1] >> (1U << (i - 1));
}

/* The length of the longest run, 0 to 64; `*start` is where the lowest such begins. */
static inline unsigned int bits_longest_run(uint64_t word, unsigned int *start)
{
	struct bits_runs runs;
	unsigned int length = 0;
	uint64_t at = ~0ULL;

	bits_find_runs(word, &runs);
	for (int i = 5; i >= 0; i--) {
		uint64_t longer = at & runs.starts[i] >> length;

		if (longer) {
			at = longer;
			length += 1U << i;
		}
	}
	*start = (unsigned int)__builtin_ctzll(at);
	/* 63 is the most that the powers add up to. */
	return length == 63 && word == ~0ULL ? 64 : length;
}

/* Where the lowest run of `length` ones begins, 1 to 63; 64: there is none. */
static inline unsigned int bits_find_run(uint64_t word, unsigned int length)
{
	struct bits_runs runs;
	unsigned int done = 0;
	uint64_t at = ~0ULL;

	bits_find_runs(word, &runs);
	for (unsigned int i = 0; i < 6; i++) {
		if (length & 1U << i) {
			at &= runs.starts[i] >> done;
			done += 1U << i;
		}
	}
	return at ? (unsigned int)__builtin_ctzll(at) : 64;
}

/* `length` ones from bit `start` on; 1 to 64, within the word. */
static inline uint64_t bits_run(unsigned int start, unsigned int length)
{
	return (~0ULL >> (64 - length)) << start;
}

#endif
