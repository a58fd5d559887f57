/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/hash.h"

/*
 * Of the header only XXH64 is used; it is compiled in here, without vectors, and reads words and
 * not by calls of memcpy().
 */
#define XXH_INLINE_ALL
#define XXH_VECTOR 0
#define XXH_FORCE_MEMORY_ACCESS 1
#include <xxhash.h>

uint64_t hash_page(const void *page, uint64_t seed)
{
	return XXH64(page, PAGE_SIZE, seed);
}
