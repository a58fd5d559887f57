/* SPDX-License-Identifier: BSD-2-Clause */
/* What a fuzz target reads its input with; a part of the target, included once. */
#ifndef BALLAST_TEST_FUZZ_INPUT_H
#define BALLAST_TEST_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input;
static size_t input_left;

static inline void input_begin(const uint8_t *data, size_t size)
{
	input = data;
	input_left = size;
}

/* Also where NDEBUG is defined. */
static inline void require(bool condition)
{
	if (!condition)
		abort();
}

/* Big-endian; of an input that ends, what is left of it. */
static inline uint64_t take(unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes-- && input_left) {
		value = value << 8 | *input++;
		input_left--;
	}
	return value;
}

static inline uint8_t next8(void)
{
	return (uint8_t)take(1);
}

/* Little-endian; zeroes behind the end. */
static inline uint16_t next16(void)
{
	uint16_t low = next8();

	return (uint16_t)(low | next8() << 8);
}

#endif
