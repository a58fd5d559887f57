/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a compressed page, and as a page: what is not a block is refused without an access outside, what
 * liblz4's format allows comes back as it was.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/lz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A page and its block back, in buffers of the exact size. */
static void there_and_back(const uint8_t *page, uint8_t *scratch, size_t capacity)
{
	size_t bytes = lz_compress(page, scratch, capacity);
	uint8_t *block, *again;

	assert(bytes <= capacity);
	if (!bytes)
		return;
	block = malloc(bytes);
	again = malloc(PAGE_SIZE);
	memcpy(block, scratch, bytes);
	assert(lz_decompress(block, bytes, again) == 0);
	assert(memcmp(page, again, PAGE_SIZE) == 0);
	free(block);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *page = calloc(1, PAGE_SIZE), *scratch;
	size_t capacity = size >= 2 ? (size_t)(data[0] | data[1] << 8) % 4352 : 0;

	scratch = malloc(capacity + 1);
	there_and_back(page, scratch, capacity);
	if (lz_decompress(data, size, page) == 0)
		there_and_back(page, scratch, capacity);
	memcpy(page, data, size < PAGE_SIZE ? size : PAGE_SIZE);
	there_and_back(page, scratch, capacity);
	free(scratch);
	free(page);
	return 0;
}
