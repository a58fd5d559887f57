/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/text.h"

#include "lib/printf.h"
#include "lib/string.h"

#define COLUMNS 79
/* A smaller unit as long as the number has no more digits than this. */
#define SIZE_LIMIT 10240

struct text text_size(uint64_t bytes)
{
	static const char units[] = "KMGT";
	uint64_t number = bytes >> 10;
	struct text text;
	size_t unit = 0;

	/* Whole numbers of a larger unit read better, whatever their size. */
	while (unit + 1 < sizeof(units) - 1 && number >= 1024 &&
		(number >= SIZE_LIMIT || number % 1024 == 0)) {
		number >>= 10;
		unit++;
	}
	snprintf(text.chars, sizeof(text.chars), "%llu %ciB", (unsigned long long)number,
		units[unit]);
	return text;
}

struct text text_short_size(uint64_t bytes)
{
	static const char units[] = "KMGT";
	uint64_t number = bytes >> 10;
	struct text text;
	size_t unit = 0;

	while (number > 9999 && unit + 2 < sizeof(units)) {
		number >>= 10;
		unit++;
	}
	snprintf(text.chars, sizeof(text.chars), "%llu%c", (unsigned long long)number, units[unit]);
	return text;
}

struct text text_duration(uint64_t ns)
{
	uint64_t seconds = ns / NS_PER_SEC;
	unsigned int days = (unsigned int)(seconds / 86400);
	unsigned int hours = (unsigned int)(seconds / 3600 % 24);
	unsigned int minutes = (unsigned int)(seconds / 60 % 60);
	struct text text;

	if (days)
		snprintf(text.chars, sizeof(text.chars), "%ud %02u:%02u:%02u", days, hours, minutes,
			(unsigned int)(seconds % 60));
	else
		snprintf(text.chars, sizeof(text.chars), "%u:%02u:%02u", hours, minutes,
			(unsigned int)(seconds % 60));
	return text;
}

struct text text_share(uint64_t part, uint64_t whole)
{
	/* Both shifted alike until a thousandth fits. */
	struct text text;
	uint64_t tenths;

	while (part >> 50) {
		part >>= 1;
		whole >>= 1;
	}
	tenths = whole ? part * 1000 / whole : 0;
	snprintf(text.chars, sizeof(text.chars), "%llu.%llu%%", (unsigned long long)(tenths / 10),
		(unsigned long long)(tenths % 10));
	return text;
}

/* How many bytes of `words` go into `room` columns. */
static size_t fitting(const char *words, size_t room)
{
	size_t length = strlen(words), cut = room;

	if (length <= room)
		return length;
	while (cut && words[cut] != ' ')
		cut--;
	return cut ? cut : room;
}

void text_wrap(const char *label, const char *words, void (*line)(const char *line))
{
	char row[COLUMNS + 1];
	size_t indent = MIN(strlen(label), (size_t)COLUMNS / 2);

	memcpy(row, label, indent);
	do {
		size_t count = fitting(words, COLUMNS - indent);

		memcpy(row + indent, words, count);
		row[indent + count] = '\0';
		line(row);
		memset(row, ' ', indent);
		words += count;
		while (*words == ' ')
			words++;
	} while (*words);
}
