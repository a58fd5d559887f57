/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See yield_points.h. Compiled without ThreadSanitizer. The wrappers end in a jump (-O2), so that
 * its reports still name the line that did the operation.
 */
#define _GNU_SOURCE
#include "test/tsan/yield_points.h"

#include <sched.h>
#include <stdbool.h>

#define YIELD_ONE_IN 64

static __thread uint32_t state;

void yield_points_seed(uint32_t seed)
{
	state = seed | 1;
}

static inline void maybe_yield(void)
{
	state = state * 1664525 + 1013904223;
	if (state && (state >> 16) % YIELD_ONE_IN == 0)
		sched_yield();
}

void yield_point(void)
{
	maybe_yield();
}

#define WRAP(result, name, parameters, ...)                                                        \
	result __real_##name parameters;                                                           \
	result __wrap_##name parameters;                                                           \
	result __wrap_##name parameters                                                            \
	{                                                                                          \
		maybe_yield();                                                                     \
		return __real_##name(__VA_ARGS__);                                                 \
	}

#define WRAP_WIDTH(bits, type)                                                                     \
	WRAP(type, __tsan_atomic##bits##_load, (const volatile type *a, int mo), a, mo)            \
	WRAP(void, __tsan_atomic##bits##_store, (volatile type *a, type v, int mo), a, v, mo)      \
	WRAP(type, __tsan_atomic##bits##_exchange, (volatile type *a, type v, int mo), a, v, mo)   \
	WRAP(type, __tsan_atomic##bits##_fetch_add, (volatile type *a, type v, int mo), a, v, mo)  \
	WRAP(type, __tsan_atomic##bits##_fetch_sub, (volatile type *a, type v, int mo), a, v, mo)  \
	WRAP(type, __tsan_atomic##bits##_fetch_and, (volatile type *a, type v, int mo), a, v, mo)  \
	WRAP(type, __tsan_atomic##bits##_fetch_or, (volatile type *a, type v, int mo), a, v, mo)   \
	WRAP(bool, __tsan_atomic##bits##_compare_exchange_strong,                                  \
		(volatile type *a, type *c, type v, int mo, int fail), a, c, v, mo, fail)          \
	WRAP(bool, __tsan_atomic##bits##_compare_exchange_weak,                                    \
		(volatile type *a, type *c, type v, int mo, int fail), a, c, v, mo, fail)

WRAP_WIDTH(8, uint8_t)
WRAP_WIDTH(16, uint16_t)
WRAP_WIDTH(32, uint32_t)
WRAP_WIDTH(64, uint64_t)
