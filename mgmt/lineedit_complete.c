/* SPDX-License-Identifier: BSD-2-Clause */
/* Tab completion of the word before the cursor. */
#include "mgmt/lineedit_complete.h"

#include "lib/string.h"

/* Candidates asked for, at most. */
#define CANDIDATES 512
#define COLUMN_GAP 2

struct matches {
	size_t count;
	char first[LINEEDIT_BYTES];
	size_t common; /* leading bytes that all have in common */
	size_t widest;
};

/* Going through those that begin with the typed part. */
struct walk {
	size_t start;
	size_t index;
	char word[LINEEDIT_BYTES]; /* the match found last */
};

/* The next match that is not the one before. Words too long for the line do not count. */
static bool next_match(struct lineedit *edit, struct walk *walk)
{
	const char *word;

	while (walk->index < CANDIDATES &&
		(word = edit->candidate(edit, walk->start, walk->index++)) != NULL) {
		size_t length = strlen(word);

		if (length >= sizeof(walk->word) || strcmp(word, walk->word) == 0 ||
			strncmp(word, edit->line + walk->start, edit->cursor - walk->start) != 0)
			continue;
		memcpy(walk->word, word, length + 1);
		return true;
	}
	return false;
}

static void count_match(struct matches *matches, const char *word)
{
	size_t same = 0;

	if (matches->count++ == 0) {
		matches->common = strlen(word);
		memcpy(matches->first, word, matches->common + 1);
	}
	while (same < matches->common && word[same] == matches->first[same])
		same++;
	matches->common = same;
	matches->widest = MAX(matches->widest, strlen(word));
}

static void list_matches(struct lineedit *edit, size_t start, const struct matches *matches)
{
	static const char blanks[] = "                                ";
	size_t width = matches->widest + COLUMN_GAP, column = 0;
	struct walk walk = {.start = start};

	/* The cursor may be anywhere in the row, but the row has no more than this one. */
	while (next_match(edit, &walk)) {
		size_t length = strlen(walk.word), pad = width - length;

		if (column == 0 || column + width >= LINEEDIT_COLUMNS) {
			lineedit_put(edit, "\r\n", 2);
			column = 0;
		}
		lineedit_put(edit, walk.word, length);
		lineedit_put(edit, blanks, MIN(pad, sizeof(blanks) - 1));
		column += width;
	}
	lineedit_put(edit, "\r\n", 2);
	lineedit_show(edit);
}

void lineedit_complete(struct lineedit *edit)
{
	struct matches matches = {.count = 0, .common = 0, .widest = 0};
	size_t start = edit->cursor, typed;
	struct walk walk = {.index = 0};

	while (start && edit->line[start - 1] != ' ')
		start--;
	typed = edit->cursor - start;
	walk.start = start;
	while (next_match(edit, &walk))
		count_match(&matches, walk.word);
	if (matches.count == 0) {
		lineedit_ring(edit);
		return;
	}
	if (matches.count > 1 && matches.common == typed) {
		list_matches(edit, start, &matches);
		return;
	}
	lineedit_insert(edit, matches.first + typed, matches.common - typed);
	if (matches.count == 1 && edit->line[edit->cursor] != ' ' &&
		matches.first[matches.common - 1] != '=')
		lineedit_insert(edit, " ", 1);
}
