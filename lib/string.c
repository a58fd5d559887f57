/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copying and comparing bytes with the general registers alone. Executed instructions are what
 * counts here: medium sizes go eight bytes at a time with an overlapping tail, long ones by the
 * string instructions, which every processor of the last ten years runs at full width.
 */
#include "lib/string.h"

#include "lib/util.h"

#define STRING_INSTRUCTION_BYTES 256

/* An unaligned 8, 4 or 2 byte access to anything. */
struct any64 { uint64_t v; } __packed __attribute__((may_alias));
struct any32 { uint32_t v; } __packed __attribute__((may_alias));
struct any16 { uint16_t v; } __packed __attribute__((may_alias));

static inline uint64_t load64(const void *at)
{
	return ((const struct any64 *)at)->v;
}

static inline void store64(void *at, uint64_t value)
{
	((struct any64 *)at)->v = value;
}

static inline uint32_t load32(const void *at)
{
	return ((const struct any32 *)at)->v;
}

static inline void store32(void *at, uint32_t value)
{
	((struct any32 *)at)->v = value;
}

static inline uint16_t load16(const void *at)
{
	return ((const struct any16 *)at)->v;
}

static inline void store16(void *at, uint16_t value)
{
	((struct any16 *)at)->v = value;
}

/* Up to 16 bytes: all is read before anything is written, so it serves memmove() too. */
static inline void copy_small(uint8_t *to, const uint8_t *from, size_t size)
{
	if (size >= 8) {
		uint64_t first = load64(from), last = load64(from + size - 8);

		store64(to, first);
		store64(to + size - 8, last);
	} else if (size >= 4) {
		uint32_t first = load32(from), last = load32(from + size - 4);

		store32(to, first);
		store32(to + size - 4, last);
	} else if (size >= 2) {
		uint16_t first = load16(from), last = load16(from + size - 2);

		store16(to, first);
		store16(to + size - 2, last);
	} else if (size) {
		*to = *from;
	}
}

/* More than 16 bytes; correct for overlapping buffers when `to` is below `from`. */
static void copy_up(uint8_t *to, const uint8_t *from, size_t size)
{
	uint64_t tail = load64(from + size - 8);
	uint8_t *tail_at = to + size - 8;
	size_t words = (size - 1) / 8;

	if (size >= STRING_INSTRUCTION_BYTES) {
		__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
	} else {
		for (size_t i = 0; i < words; i++)
			store64(to + i * 8, load64(from + i * 8));
	}
	store64(tail_at, tail);
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	if (size <= 16)
		copy_small(to, from, size);
	else
		copy_up(to, from, size);
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	uint8_t *t = to;
	const uint8_t *f = from;
	uint64_t head;

	if (size <= 16) {
		copy_small(t, f, size);
		return to;
	}
	/* Below, or no overlap at all: the unsigned distance is large in both cases. */
	if ((uintptr_t)t - (uintptr_t)f >= size) {
		copy_up(t, f, size);
		return to;
	}
	head = load64(f);
	for (size_t left = size; left > 8; left -= 8)
		store64(t + left - 8, load64(f + left - 8));
	store64(t, head);
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	uint64_t pattern = (uint8_t)byte * 0x0101010101010101ULL;
	uint8_t *t = to;

	if (size >= STRING_INSTRUCTION_BYTES) {
		uint8_t *at = t;
		size_t words = size / 8;

		__asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(pattern) : "memory");
		store64(t + size - 8, pattern);
	} else if (size >= 8) {
		for (size_t i = 0; i + 8 <= size; i += 8)
			store64(t + i, pattern);
		store64(t + size - 8, pattern);
	} else if (size >= 4) {
		store32(t, (uint32_t)pattern);
		store32(t + size - 4, (uint32_t)pattern);
	} else if (size >= 2) {
		store16(t, (uint16_t)pattern);
		store16(t + size - 2, (uint16_t)pattern);
	} else if (size) {
		*t = (uint8_t)byte;
	}
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;
	size_t i = 0;

	while (i + 8 <= size && load64(x + i) == load64(y + i))
		i += 8;
	for (; i < size; i++)
		if (x[i] != y[i])
			return x[i] - y[i];
	return 0;
}

void *memchr(const void *start, int byte, size_t size)
{
	const uint8_t *at = start;

	for (size_t i = 0; i < size; i++)
		if (at[i] == (uint8_t)byte)
			return (void *)(uintptr_t)(at + i);
	return NULL;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

size_t strnlen(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t max)
{
	for (; max; a++, b++, max--) {
		if (*a != *b)
			return (uint8_t)*a - (uint8_t)*b;
		if (!*a)
			break;
	}
	return 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
	}
}
