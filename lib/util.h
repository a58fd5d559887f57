/* SPDX-License-Identifier: BSD-2-Clause */
/* Types, attributes and small arithmetic that every part of Ballast uses. */
#ifndef BALLAST_LIB_UTIL_H
#define BALLAST_LIB_UTIL_H

#include <asm/errno.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kernel's header has only the other name of it. */
#ifndef ENOTSUP
#define ENOTSUP EOPNOTSUPP
#endif

/* The three address spaces. Host virtual addresses are plain pointers. */
typedef uint64_t gva_t; /* guest virtual (linear) */
typedef uint64_t gpa_t; /* guest physical */
typedef uint64_t hpa_t; /* host physical */

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ULL
#define PAGE_MASK (PAGE_SIZE - 1)
#define LARGE_PAGE_SHIFT 21
#define LARGE_PAGE_SIZE (1ULL << LARGE_PAGE_SHIFT)

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define NS_PER_SEC 1000000000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_US 1000ULL

#define BIT(n) (1ULL << (n))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
/* `align` is a power of two. */
#define ROUND_DOWN(x, align) ((x) & ~((typeof(x))(align)-1))
#define ROUND_UP(x, align) ROUND_DOWN((x) + ((typeof(x))(align)-1), align)
#define IS_ALIGNED(x, align) (((x) & ((align)-1)) == 0)

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define __must_check __attribute__((warn_unused_result))
#define __noreturn __attribute__((noreturn))
#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#define __printf(fmt, args) __attribute__((format(printf, fmt, args)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* How many bits are ones. There is no libgcc here, whose help the compiler's own would ask for. */
static inline unsigned int bit_count(uint64_t value)
{
	unsigned int count = 0;

	for (; value; value &= value - 1)
		count++;
	return count;
}

/* True when a + b does not fit 64 bits; the sum is stored either way. */
static inline bool add_overflows(uint64_t a, uint64_t b, uint64_t *sum)
{
	return __builtin_add_overflow(a, b, sum);
}

/* True when [start, start + length) lies in [0, limit) without wrapping. */
static inline bool range_within(uint64_t start, uint64_t length, uint64_t limit)
{
	return start <= limit && length <= limit - start;
}

/* All ones in the low `bytes` bytes; `bytes` is 0 to 8. */
static inline uint64_t byte_mask(unsigned int bytes)
{
	return bytes >= 8 ? ~0ULL : (1ULL << (bytes * 8)) - 1;
}

/* (a * b) / c with a 128-bit product; c is not zero and the result must fit 64 bits. */
static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t high, low, quotient, remainder;

	__asm__("mulq %3" : "=a"(low), "=d"(high) : "a"(a), "rm"(b));
	__asm__("divq %4" : "=a"(quotient), "=d"(remainder) : "a"(low), "d"(high), "rm"(c));
	(void)remainder;
	return quotient;
}

#endif
