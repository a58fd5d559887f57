/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/string.c and lib/printf.c against libc's functions, over sizes, overlaps and formats. */
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

void *ballast_memcpy(void *restrict to, const void *restrict from, size_t size);
void *ballast_memmove(void *to, const void *from, size_t size);
void *ballast_memset(void *to, int byte, size_t size);
int ballast_memcmp(const void *a, const void *b, size_t size);
void *ballast_memchr(const void *start, int byte, size_t size);
size_t ballast_strlen(const char *s);
size_t ballast_strnlen(const char *s, size_t max);
int ballast_strcmp(const char *a, const char *b);
int ballast_strncmp(const char *a, const char *b, size_t max);
char *ballast_strchr(const char *s, int c);
int ballast_snprintf(char *restrict to, size_t size, const char *restrict format, ...);

#define ROOM 1024

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

static void fill_random(uint8_t *to, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)rand();
}

static void memcpy_copies_every_size(void **state)
{
	uint8_t from[ROOM], ours[ROOM], theirs[ROOM];

	(void)state;
	for (size_t size = 0; size <= 600; size++) {
		for (size_t offset = 0; offset < 9; offset++) {
			fill_random(from, ROOM);
			fill_random(ours, ROOM);
			memcpy(theirs, ours, ROOM);
			memcpy(theirs + 16 + offset, from + offset / 2, size);
			assert_ptr_equal(ballast_memcpy(ours + 16 + offset, from + offset / 2, size),
					 ours + 16 + offset);
			assert_memory_equal(ours, theirs, ROOM);
		}
	}
}

static void memmove_copies_every_overlap(void **state)
{
	uint8_t ours[ROOM], theirs[ROOM];

	(void)state;
	for (size_t size = 0; size <= 320; size += 1 + size / 40) {
		for (int distance = -70; distance <= 70; distance++) {
			fill_random(ours, ROOM);
			memcpy(theirs, ours, ROOM);
			memmove(theirs + 100 + distance, theirs + 100, size);
			ballast_memmove(ours + 100 + distance, ours + 100, size);
			assert_memory_equal(ours, theirs, ROOM);
		}
	}
}

static void memset_fills_every_size(void **state)
{
	uint8_t ours[ROOM], theirs[ROOM];

	(void)state;
	for (size_t size = 0; size <= 600; size++) {
		fill_random(ours, ROOM);
		memcpy(theirs, ours, ROOM);
		memset(theirs + 7, (int)size * 37, size);
		assert_ptr_equal(ballast_memset(ours + 7, (int)size * 37, size), ours + 7);
		assert_memory_equal(ours, theirs, ROOM);
	}
}

static void comparisons_agree(void **state)
{
	static const char *const words[] = {"", "a", "ab", "abc", "abd", "b", "\xff", "a\xff",
					    "console", "consolf", "0123456789abcdef",
					    "0123456789abcdeg"};
	uint8_t a[64], b[64];

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t size = (size_t)rand() % sizeof(a);

		fill_random(a, sizeof(a));
		memcpy(b, a, sizeof(a));
		b[(size_t)rand() % sizeof(b)] ^= (uint8_t)(rand() & rand());
		assert_int_equal(sign(ballast_memcmp(a, b, size)), sign(memcmp(a, b, size)));
		assert_ptr_equal(ballast_memchr(a, b[0], size), memchr(a, b[0], size));
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		assert_int_equal(ballast_strlen(words[i]), strlen(words[i]));
		for (size_t max = 0; max < 20; max++)
			assert_int_equal(ballast_strnlen(words[i], max), strnlen(words[i], max));
		for (const char *c = "ab\xff\x39"; ; c++) {
			assert_ptr_equal(ballast_strchr(words[i], *c), strchr(words[i], *c));
			if (!*c)
				break;
		}
		for (size_t j = 0; j < sizeof(words) / sizeof(*words); j++) {
			assert_int_equal(sign(ballast_strcmp(words[i], words[j])),
					 sign(strcmp(words[i], words[j])));
			for (size_t max = 0; max < 18; max++)
				assert_int_equal(sign(ballast_strncmp(words[i], words[j], max)),
						 sign(strncmp(words[i], words[j], max)));
		}
	}
}

/* Every buffer size from none to plenty: text, terminator and returned length agree. */
#define SAME(...)                                                                                  \
	do {                                                                                       \
		for (size_t size_ = 0; size_ < 90; size_++) {                                      \
			char ours_[100], theirs_[100];                                             \
			memset(ours_, 'Z', sizeof(ours_));                                         \
			memset(theirs_, 'Z', sizeof(theirs_));                                     \
			assert_int_equal(ballast_snprintf(ours_, size_, __VA_ARGS__),              \
					 snprintf(theirs_, size_, __VA_ARGS__));                   \
			if (size_)                                                                 \
				assert_string_equal(ours_, theirs_);                               \
			assert_int_equal(ours_[size_], 'Z');                                       \
		}                                                                                  \
	} while (0)

#pragma GCC diagnostic ignored "-Wformat-truncation"
#pragma GCC diagnostic ignored "-Wformat"

static void printf_agrees(void **state)
{
	(void)state;
	SAME("plain %% text%c", 'x');
	SAME("[%d] [%5d] [%-5d] [%05d] [%.3d] [%8.3d] [%-8.3d]", 0, 42, 42, 42, 7, -7, -7);
	SAME("%d %d %ld %ld %lld", INT_MIN, INT_MAX, LONG_MIN, LONG_MAX, LLONG_MIN);
	SAME("%i %u %u %lu %zu", -1, 0u, UINT_MAX, ULONG_MAX, (size_t)SIZE_MAX);
	SAME("%hhd %hd %hhu %hu %hhx %hx", 300, 70000, 300, 70000, 0xabc, 0xabcde);
	SAME("%x %X %08x %-8x| %.8lx %16lx", 0xbeef, 0xbeef, 0xbeef, 0xbeef, 0xbeefUL, 0xfUL);
	SAME("%05d %06d %0*d", -42, 42, 7, -1);
	SAME("%s [%10s] [%-10s] [%.2s] [%10.2s] [%.*s] [%*s]", "abc", "abc", "abc", "abc", "abc",
	     1, "abc", -6, "abc");
	SAME("[%c] [%3c] [%-3c]", 'a', 'b', 'c');
	SAME("[%.0d] [%.0x] [%.0d] [%5.0d]", 0, 0, 1, 0);
	SAME("%p %p", (void *)0x1234, (void *)0xffffffffffffffff);
	SAME("%.*d %.*s", -1, 5, -1, "whole");
}

static void printf_survives_mistakes(void **state)
{
	char text[32];
	int length;

	(void)state;
	length = ballast_snprintf(text, sizeof(text), "%s", (char *)NULL);
	assert_string_equal(text, "(null)");
	assert_int_equal(length, 6);
	length = ballast_snprintf(text, sizeof(text), "%q end %");
	assert_string_equal(text, "%q end %");
	assert_int_equal(length, 8);
	assert_int_equal(ballast_snprintf(text, 4, "%99999999999d", 1), 999999);
	assert_string_equal(text, "   ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memcpy_copies_every_size),
		cmocka_unit_test(memmove_copies_every_overlap),
		cmocka_unit_test(memset_fills_every_size),
		cmocka_unit_test(comparisons_agree),
		cmocka_unit_test(printf_agrees),
		cmocka_unit_test(printf_survives_mistakes),
	};

	srand(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
