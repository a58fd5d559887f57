/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line editor on a stream of bytes from a terminal: cursor keys, history, completion. Pure: it
 * writes through a hook, and knows the terminal only by backspace, carriage return and printable
 * characters, so it works on every terminal of 80 columns; a line longer than that scrolls sideways
 * and never wraps.
 *
 * Keys: Left Right Home End Up Down Delete Backspace Tab, ^A ^E ^B ^F ^P ^N begin, end, back,
 * forward, older, newer; ^K ^U ^W delete to the end, all before the cursor, the word before it;
 * ^C gives the line up, ^D deletes, ^L redraws on an empty screen. Escape sequences may arrive in
 * pieces; unknown ones, and strings that a terminal sends as a reply, are swallowed.
 */
#ifndef BALLAST_MGMT_LINEEDIT_H
#define BALLAST_MGMT_LINEEDIT_H

#include "lib/util.h"

#define LINEEDIT_BYTES 512  /* longest line, with its end */
#define LINEEDIT_HISTORY 32
#define LINEEDIT_COLUMNS 80

enum lineedit_escape {
	ESCAPE_NONE,
	ESCAPE_START,      /* ESC */
	ESCAPE_CONTROL,    /* ESC [ */
	ESCAPE_SHIFT,      /* ESC O: one more */
	ESCAPE_STRING,     /* ESC P, ] and their like: up to ST or BEL */
	ESCAPE_STRING_END, /* ESC inside one */
};

struct lineedit {
	const char *prompt; /* [I] printable, short */
	/* One call for each key, but for lists of completions. */
	void (*write)(struct lineedit *edit, const char *bytes, size_t count);
	/*
	 * The index-th word that may stand at offset `start` of the line, given what is before it;
	 * NULL after the last. It need not last longer than to the next call, nor match what is
	 * typed; repetitions are passed over when they follow each other. One that ends in '='
	 * is not a whole word yet.
	 */
	const char *(*candidate)(struct lineedit *edit, size_t start, size_t index);

	char line[LINEEDIT_BYTES]; /* terminated */
	size_t length, cursor;

	char shown[LINEEDIT_COLUMNS]; /* what stands behind the prompt */
	size_t shown_length, shown_cursor;
	size_t left; /* offset in the line of the first column */

	char history[LINEEDIT_HISTORY][LINEEDIT_BYTES];
	size_t history_count;         /* lines ever entered */
	size_t history_back;          /* 0: the new line; n: the n-th before it */
	char draft[LINEEDIT_BYTES];   /* the new line while an older one is shown */

	enum lineedit_escape escape;
	unsigned int escape_number;   /* first parameter of a control sequence */
	unsigned int escape_bytes;    /* of a string; in a control sequence 1 after it */
	bool after_cr;

	char out[512];
	size_t out_length;
};

enum lineedit_event {
	LINEEDIT_NONE,
	LINEEDIT_LINE,      /* edit->line is complete; the cursor is at the start of a new row */
	LINEEDIT_ABANDONED, /* ^C; likewise */
};

/* The hooks and the prompt are set; all else becomes empty. */
void lineedit_init(struct lineedit *edit);
/* An empty line, and nothing left over of an escape sequence. Writes nothing. */
void lineedit_clear(struct lineedit *edit);
/* Draw prompt and line; the cursor is at the start of an empty row. */
void lineedit_draw(struct lineedit *edit);
/*
 * One received byte. After LINEEDIT_LINE and LINEEDIT_ABANDONED the caller clears and draws when it
 * is ready for the next line.
 */
enum lineedit_event lineedit_feed(struct lineedit *edit, uint8_t byte);

#endif
