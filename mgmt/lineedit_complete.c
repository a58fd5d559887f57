/* SPDX-License-Identifier: BSD-2-Clause */
/* Tab completion of the word before the cursor. */
#include "mgmt/lineedit_complete.h"

#include "lib/string.h"

/* Candidates asked for, at most. */
#define CANDIDATES 512
#define COLUMN_GAP 2

struct matches {
	size_t count;
	const char *first;
	size_t common; /* leading bytes that all have in common */
	size_t widest;
};

/* The next candidate from *index on that begins with the typed part and is not the one before. */
static const char *next_match(struct lineedit *edit, size_t start, size_t *index,
	const char *before)
{
	const char *word;

	while (*index < CANDIDATES && (word = edit->candidate(edit, start, (*index)++)) != NULL) {
		if (strncmp(word, edit->line + start, edit->cursor - start) != 0)
			continue;
		if (!before || strcmp(word, before) != 0)
			return word;
	}
	return NULL;
}

static void count_match(struct matches *matches, const char *word)
{
	size_t same = 0;

	if (matches->count++ == 0) {
		matches->first = word;
		matches->common = strlen(word);
	}
	while (same < matches->common && word[same] == matches->first[same])
		same++;
	matches->common = same;
	matches->widest = MAX(matches->widest, strlen(word));
}

static void list_matches(struct lineedit *edit, size_t start, const struct matches *matches)
{
	static const char blanks[] = "                                ";
	size_t width = matches->widest + COLUMN_GAP, column = 0, index = 0;
	const char *word = NULL;

	/* The cursor may be anywhere in the row, but the row has no more than this one. */
	while ((word = next_match(edit, start, &index, word)) != NULL) {
		size_t pad = width - strlen(word);

		if (column == 0 || column + width >= LINEEDIT_COLUMNS) {
			lineedit_put(edit, "\r\n", 2);
			column = 0;
		}
		lineedit_put(edit, word, strlen(word));
		lineedit_put(edit, blanks, MIN(pad, sizeof(blanks) - 1));
		column += width;
	}
	lineedit_put(edit, "\r\n", 2);
	lineedit_show(edit);
}

void lineedit_complete(struct lineedit *edit)
{
	struct matches matches = {0};
	size_t start = edit->cursor, index = 0, typed;
	const char *word = NULL;

	while (start && edit->line[start - 1] != ' ')
		start--;
	typed = edit->cursor - start;
	while ((word = next_match(edit, start, &index, word)) != NULL)
		count_match(&matches, word);
	if (matches.count == 0) {
		lineedit_ring(edit);
		return;
	}
	if (matches.count > 1 && matches.common == typed) {
		list_matches(edit, start, &matches);
		return;
	}
	lineedit_insert(edit, matches.first + typed, matches.common - typed);
	if (matches.count == 1 && edit->line[edit->cursor] != ' ')
		lineedit_insert(edit, " ", 1);
}
