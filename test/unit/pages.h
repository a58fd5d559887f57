/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages such as guests have, for what compresses and keeps them. The same seed, the same pages. */
#ifndef BALLAST_TEST_PAGES_H
#define BALLAST_TEST_PAGES_H

#include "lib/util.h"

enum page_kind {
	PAGES_ZERO,     /* with a few bytes that are not */
	PAGES_TEXT,
	PAGES_POINTERS, /* a heap's: addresses, small numbers, zeroes */
	PAGES_CODE,     /* from this program's own file */
	PAGES_REPEAT,   /* a pattern of any length */
	PAGES_MIXED,    /* pieces of all the others */
	PAGES_RANDOM,
	PAGES_KINDS
};

void pages_seed(uint64_t seed);
uint32_t pages_draw(uint32_t below);
uint64_t pages_draw64(void);
void pages_fill(uint8_t page[PAGE_SIZE], enum page_kind kind);
const char *pages_name(enum page_kind kind);

#endif
