/* SPDX-License-Identifier: BSD-2-Clause */
/* See pages.h. */
#include "test/unit/pages.h"

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 1;

void pages_seed(uint64_t seed)
{
	state = seed + 1;
}

uint64_t pages_draw64(void)
{
	uint64_t mixed = state += 0x9e3779b97f4a7c15ULL;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ULL;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebULL;
	return mixed ^ mixed >> 31;
}

uint32_t pages_draw(uint32_t below)
{
	return (uint32_t)(((pages_draw64() >> 32) * below) >> 32);
}

static void fill_zero(uint8_t *to, size_t bytes)
{
	memset(to, 0, bytes);
	for (uint32_t n = pages_draw(4) ? 0 : pages_draw(10); n; n--)
		to[pages_draw((uint32_t)bytes)] = (uint8_t)pages_draw(256);
}

static void fill_text(uint8_t *to, size_t bytes)
{
	static const char *const words[] = { "the ", "page ", "of ", "memory", " was ", "found", ", ", ".\n", "and ",
		"not ", "kernel: ", "[    0.000000] ", "error", "ing ", "device ", "a ", "to ", "guest", "disk", "s ",
		"in ", "is ", "for ", "/usr/lib/", "x86_64", "-linux-gnu/", "lib", ".so", "(", ") ", "return ", "0x" };
	size_t at = 0;

	while (at < bytes) {
		const char *word = words[pages_draw(pages_draw(3) ? 12 : ARRAY_SIZE(words))];
		char number[24];

		if (pages_draw(8) == 0) {
			snprintf(number, sizeof(number), "%u ", pages_draw(100000));
			word = number;
		}
		for (; *word && at < bytes; at++)
			to[at] = (uint8_t)*word++;
	}
}

static void fill_pointers(uint8_t *to, size_t bytes)
{
	uint64_t base = 0xffff888000000000ULL + ((uint64_t)pages_draw(1 << 20) << 12), value;

	for (size_t at = 0; at + 8 <= bytes; at += 8) {
		uint32_t what = pages_draw(8);

		value = what < 3 ? 0 : what < 6 ? base + (pages_draw(1 << 14) & ~7U) : what == 6 ? pages_draw(300) :
			pages_draw64();
		memcpy(to + at, &value, 8);
	}
}

static void fill_code(uint8_t *to, size_t bytes)
{
	static uint8_t *program;
	static uint32_t size;

	if (!program) {
		FILE *file = fopen("/proc/self/exe", "rb");

		program = malloc(MIB(2));
		assert(file && program);
		size = (uint32_t)fread(program, 1, MIB(2), file);
		assert(size > PAGE_SIZE);
		fclose(file);
	}
	memcpy(to, program + pages_draw(size - (uint32_t)bytes), bytes);
}

static void fill_repeat(uint8_t *to, size_t bytes)
{
	uint32_t period = 1 + pages_draw(pages_draw(2) ? 20 : 1500);

	for (size_t at = 0; at < bytes; at++)
		to[at] = at < period ? (uint8_t)pages_draw(256) : to[at - period];
	if (pages_draw(2))
		to[pages_draw((uint32_t)bytes)] ^= 1;
}

static void fill_random(uint8_t *to, size_t bytes)
{
	for (size_t at = 0; at < bytes; at++)
		to[at] = (uint8_t)pages_draw64();
}

static void fill(uint8_t *to, size_t bytes, enum page_kind kind)
{
	static void (*const fills[PAGES_KINDS])(uint8_t *, size_t) = {
		[PAGES_ZERO] = fill_zero,
		[PAGES_TEXT] = fill_text,
		[PAGES_POINTERS] = fill_pointers,
		[PAGES_CODE] = fill_code,
		[PAGES_REPEAT] = fill_repeat,
		[PAGES_RANDOM] = fill_random,
	};

	fills[kind](to, bytes);
}

void pages_fill(uint8_t page[PAGE_SIZE], enum page_kind kind)
{
	if (kind != PAGES_MIXED) {
		fill(page, PAGE_SIZE, kind);
		return;
	}
	for (uint32_t at = 0, bytes; at < PAGE_SIZE; at += bytes) {
		enum page_kind piece = pages_draw(PAGES_KINDS);

		bytes = 1 + pages_draw(pages_draw(2) ? 60 : 2000);
		bytes = MIN(bytes, (uint32_t)PAGE_SIZE - at);
		if (piece == PAGES_MIXED && at) /* what was there before */
			memmove(page + at, page + pages_draw(at), MIN(bytes, at));
		else
			fill(page + at, bytes, piece == PAGES_MIXED ? PAGES_TEXT : piece);
	}
}

const char *pages_name(enum page_kind kind)
{
	static const char *const names[PAGES_KINDS] = { "zero", "text", "pointers", "code", "repeat", "mixed",
		"random" };

	return names[kind];
}
