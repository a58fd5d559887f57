/* SPDX-License-Identifier: BSD-2-Clause */
/* Words at any address, in the order of bytes of this CPU: little-endian. */
#ifndef BALLAST_LIB_LOAD_H
#define BALLAST_LIB_LOAD_H

#include "lib/util.h"

static inline uint32_t load32(const void *at)
{
	uint32_t value;

	__builtin_memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint64_t load64(const void *at)
{
	uint64_t value;

	__builtin_memcpy(&value, at, sizeof(value));
	return value;
}

#endif
