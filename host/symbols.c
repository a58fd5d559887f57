/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/symbols.h"

#include "host/init.h"
#include "lib/string.h"

extern const uint8_t symbol_table[], symbol_table_end[];

static uint64_t read_leb128(const uint8_t **at)
{
	uint64_t value = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		byte = *(*at)++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return value;
}

bool symbol_find(uint64_t address, char name[SYMBOL_NAME_BYTES], uint64_t *offset)
{
	const uint8_t *at = symbol_table;
	uint64_t start = (uint64_t)(uintptr_t)image_text;
	char current[SYMBOL_NAME_BYTES] = "";
	bool found = false;

	if (address < start || address >= (uint64_t)(uintptr_t)image_text_end)
		return false;
	while (at < symbol_table_end) {
		size_t shared, length;

		start += read_leb128(&at);
		if (start > address)
			break;
		shared = *at++;
		shared = MIN(shared, sizeof(current) - 1);
		length = strlen((const char *)at);
		memcpy(current + shared, at, MIN(length + 1, sizeof(current) - shared));
		current[sizeof(current) - 1] = '\0';
		at += length + 1;
		memcpy(name, current, sizeof(current));
		*offset = address - start;
		found = true;
	}
	return found;
}
