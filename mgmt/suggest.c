/* SPDX-License-Identifier: BSD-2-Clause */
/* Edit distance by the textbook's table, of which three rows are kept. */
#include "mgmt/suggest.h"
#include "lib/string.h"

#define SUGGEST_BYTES 32
#define SUGGEST_ERRORS 2

static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '_' ? '-' : c;
}

/* Levenshtein's distance with swaps of neighbours; both words are at most SUGGEST_BYTES long. */
static unsigned int distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	unsigned int rows[3][SUGGEST_BYTES + 1];
	unsigned int *before = rows[0], *above = rows[1], *row = rows[2], *free_row;

	for (size_t j = 0; j <= b_length; j++)
		above[j] = (unsigned int)j;
	for (size_t i = 1; i <= a_length; i++) {
		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_length; j++) {
			bool same = fold(a[i - 1]) == fold(b[j - 1]);
			unsigned int best = MIN(above[j], row[j - 1]) + 1;

			best = MIN(best, above[j - 1] + !same);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
				fold(a[i - 2]) == fold(b[j - 1]))
				best = MIN(best, before[j - 2] + 1);
			row[j] = best;
		}
		free_row = before;
		before = above;
		above = row;
		row = free_row;
	}
	return above[b_length];
}

const char *suggest_word(const char *word, size_t length, const char *const *candidates,
	size_t count)
{
	unsigned int limit = (unsigned int)MIN((length + 2) / 3, SUGGEST_ERRORS);
	const char *best = NULL;

	if (length == 0 || length > SUGGEST_BYTES)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t candidate_length = strlen(candidates[i]);
		unsigned int errors;

		if (candidate_length > SUGGEST_BYTES)
			continue;
		errors = distance(word, length, candidates[i], candidate_length);
		if (errors <= limit && (!best || errors < limit)) {
			best = candidates[i];
			limit = errors;
		}
	}
	return best;
}
