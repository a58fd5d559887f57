/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The line and its keys; see mgmt/lineedit.h. Every key changes line and cursor only;
 * refresh() then makes the terminal show them, by what differs from what is shown.
 */
#include "mgmt/lineedit.h"

#include "lib/string.h"
#include "mgmt/lineedit_complete.h"

#define CTRL(letter) ((letter) & 0x1f)
#define BELL 0x07
#define ESC 0x1b
#define CANCEL 0x18
#define RUBOUT 0x7f
/* Scrolling sideways moves the text by this much at least. */
#define SCROLL_STEP 20
/* Longest string sequence that is swallowed. */
#define ESCAPE_STRING_BYTES 4096

static void flush(struct lineedit *edit)
{
	if (edit->out_length)
		edit->write(edit, edit->out, edit->out_length);
	edit->out_length = 0;
}

void lineedit_put(struct lineedit *edit, const char *bytes, size_t count)
{
	while (count--) {
		if (edit->out_length == sizeof(edit->out))
			flush(edit);
		edit->out[edit->out_length++] = *bytes++;
	}
}

static void put_char(struct lineedit *edit, char c)
{
	lineedit_put(edit, &c, 1);
}

void lineedit_ring(struct lineedit *edit)
{
	put_char(edit, BELL);
}

/* Columns for text; the terminal's last one is left to the cursor, so that nothing wraps. */
static size_t window_columns(const struct lineedit *edit)
{
	return LINEEDIT_COLUMNS - 1 - strlen(edit->prompt);
}

/* Choose the part of the line to show, so that the cursor does not stand on a mark. */
static void scroll(struct lineedit *edit)
{
	size_t columns = window_columns(edit);

	if (edit->length <= columns)
		edit->left = 0;
	else if (edit->left && edit->cursor <= edit->left)
		edit->left = edit->cursor > SCROLL_STEP ? edit->cursor - SCROLL_STEP : 0;
	else if (edit->cursor - edit->left >= columns - 1)
		edit->left = edit->cursor - columns + SCROLL_STEP;
}

static size_t render(const struct lineedit *edit, char text[LINEEDIT_COLUMNS])
{
	size_t count = MIN(edit->length - edit->left, window_columns(edit));

	memcpy(text, edit->line + edit->left, count);
	if (edit->left)
		text[0] = '<';
	if (edit->left + count < edit->length)
		text[count - 1] = '>';
	return count;
}

/* Move within what is shown; to the right by writing it again. */
static void move_shown(struct lineedit *edit, size_t column)
{
	while (edit->shown_cursor > column) {
		put_char(edit, '\b');
		edit->shown_cursor--;
	}
	lineedit_put(edit, edit->shown + edit->shown_cursor, column - edit->shown_cursor);
	edit->shown_cursor = column;
}

static void refresh(struct lineedit *edit)
{
	char text[LINEEDIT_COLUMNS];
	size_t count, same = 0, old = edit->shown_length;

	scroll(edit);
	count = render(edit, text);
	while (same < count && same < old && text[same] == edit->shown[same])
		same++;
	if (same < count || same < old) {
		move_shown(edit, same);
		lineedit_put(edit, text + same, count - same);
		for (size_t i = count; i < old; i++)
			put_char(edit, ' ');
		memcpy(edit->shown, text, count);
		memset(edit->shown + count, ' ', sizeof(edit->shown) - count);
		edit->shown_length = count;
		edit->shown_cursor = MAX(count, old);
	}
	move_shown(edit, edit->cursor - edit->left);
}

void lineedit_init(struct lineedit *edit)
{
	edit->history_count = 0;
	edit->after_cr = false;
	lineedit_clear(edit);
}

void lineedit_clear(struct lineedit *edit)
{
	edit->length = edit->cursor = edit->left = 0;
	edit->line[0] = '\0';
	edit->history_back = 0;
	edit->escape = ESCAPE_NONE;
	edit->shown_length = edit->shown_cursor = 0;
	edit->out_length = 0;
}

void lineedit_show(struct lineedit *edit)
{
	edit->shown_length = edit->shown_cursor = 0;
	lineedit_put(edit, edit->prompt, strlen(edit->prompt));
	refresh(edit);
}

void lineedit_draw(struct lineedit *edit)
{
	lineedit_show(edit);
	flush(edit);
}

void lineedit_insert(struct lineedit *edit, const char *bytes, size_t count)
{
	size_t room = LINEEDIT_BYTES - 1 - edit->length;

	if (count > room) {
		lineedit_ring(edit);
		count = room;
	}
	memmove(edit->line + edit->cursor + count, edit->line + edit->cursor,
		edit->length - edit->cursor + 1);
	memcpy(edit->line + edit->cursor, bytes, count);
	edit->length += count;
	edit->cursor += count;
}

/* Delete [from, to); the cursor is in it or at one of its ends. */
static void delete_range(struct lineedit *edit, size_t from, size_t to)
{
	memmove(edit->line + from, edit->line + to, edit->length - to + 1);
	edit->length -= to - from;
	edit->cursor = from;
}

static size_t word_start(const struct lineedit *edit)
{
	size_t at = edit->cursor;

	while (at && edit->line[at - 1] == ' ')
		at--;
	while (at && edit->line[at - 1] != ' ')
		at--;
	return at;
}

static char *history_line(struct lineedit *edit, size_t back)
{
	return edit->history[(edit->history_count - back) % LINEEDIT_HISTORY];
}

/* Go `back` lines back; the new line is kept meanwhile. */
static void recall(struct lineedit *edit, size_t back)
{
	const char *from = back ? history_line(edit, back) : edit->draft;

	if (edit->history_back == 0)
		memcpy(edit->draft, edit->line, edit->length + 1);
	edit->length = edit->cursor = strlen(from);
	memcpy(edit->line, from, edit->length + 1);
	edit->history_back = back;
}

static void older(struct lineedit *edit)
{
	if (edit->history_back < MIN(edit->history_count, (size_t)LINEEDIT_HISTORY))
		recall(edit, edit->history_back + 1);
	else
		lineedit_ring(edit);
}

static void newer(struct lineedit *edit)
{
	if (edit->history_back)
		recall(edit, edit->history_back - 1);
	else
		lineedit_ring(edit);
}

static bool is_blank(const char *line)
{
	while (*line == ' ')
		line++;
	return !*line;
}

/* Blank lines and repetitions are not worth a place. */
static void remember(struct lineedit *edit)
{
	if (is_blank(edit->line))
		return;
	if (edit->history_count && strcmp(history_line(edit, 1), edit->line) == 0)
		return;
	memcpy(edit->history[edit->history_count++ % LINEEDIT_HISTORY], edit->line,
		edit->length + 1);
}

/* Leave the row as it stands, whole, and go to a new one. */
static enum lineedit_event finish(struct lineedit *edit, enum lineedit_event event)
{
	edit->cursor = edit->length;
	refresh(edit);
	if (event == LINEEDIT_LINE)
		remember(edit);
	else if (edit->shown_cursor + 2 <= window_columns(edit))
		lineedit_put(edit, "^C", 2);
	lineedit_put(edit, "\r\n", 2);
	flush(edit);
	edit->history_back = 0;
	return event;
}

static void clear_screen(struct lineedit *edit)
{
	static const char sequence[] = "\x1b[H\x1b[2J";

	lineedit_put(edit, sequence, sizeof(sequence) - 1);
	lineedit_show(edit);
}

static void move(struct lineedit *edit, size_t to)
{
	if (to > edit->length)
		lineedit_ring(edit);
	else
		edit->cursor = to;
}

static void delete_char(struct lineedit *edit, bool before)
{
	size_t from = edit->cursor - before;

	if (from < edit->length)
		delete_range(edit, from, from + 1);
	else
		lineedit_ring(edit);
}

/* Left of the start wraps to a place beyond every line's end: the bell. */
static void edit_key(struct lineedit *edit, uint8_t byte)
{
	switch (byte) {
	case CTRL('A'): move(edit, 0); break;
	case CTRL('E'): move(edit, edit->length); break;
	case CTRL('B'): move(edit, edit->cursor - 1); break;
	case CTRL('F'): move(edit, edit->cursor + 1); break;
	case CTRL('P'): older(edit); break;
	case CTRL('N'): newer(edit); break;
	case CTRL('D'): delete_char(edit, false); break;
	case CTRL('H'):
	case RUBOUT: delete_char(edit, true); break;
	case CTRL('K'): delete_range(edit, edit->cursor, edit->length); break;
	case CTRL('U'): delete_range(edit, 0, edit->cursor); break;
	case CTRL('W'): delete_range(edit, word_start(edit), edit->cursor); break;
	case CTRL('L'): clear_screen(edit); break;
	case CTRL('I'): lineedit_complete(edit); break;
	case ESC: edit->escape = ESCAPE_START; break;
	default: lineedit_ring(edit);
	}
}

/* A control sequence's last byte: cursor keys as all terminals of the VT100's family send them. */
static void control_key(struct lineedit *edit, uint8_t final)
{
	static const uint8_t numbered[] = {[1] = CTRL('A'), [3] = CTRL('D'), [4] = CTRL('E'),
		[7] = CTRL('A'), [8] = CTRL('E')};
	uint8_t key = 0;

	switch (final) {
	case 'A': key = CTRL('P'); break;
	case 'B': key = CTRL('N'); break;
	case 'C': key = CTRL('F'); break;
	case 'D': key = CTRL('B'); break;
	case 'H': key = CTRL('A'); break;
	case 'F': key = CTRL('E'); break;
	case '~':
		if (edit->escape_number < sizeof(numbered))
			key = numbered[edit->escape_number];
		break;
	}
	if (key)
		edit_key(edit, key);
}

/* Returns false when the byte does not belong to the sequence, which is then over. */
static bool feed_control(struct lineedit *edit, uint8_t byte)
{
	if (byte >= '0' && byte <= '9') {
		if (!edit->escape_bytes)
			edit->escape_number = MIN(edit->escape_number * 10 + byte - '0', 1000U);
	} else if (byte >= 0x40 && byte <= 0x7e) {
		edit->escape = ESCAPE_NONE;
		control_key(edit, byte);
	} else if (byte < ' ' || byte > '?') {
		edit->escape = ESCAPE_NONE;
		return byte == CANCEL;
	} else {
		/* The first parameter is over. */
		edit->escape_bytes = 1;
	}
	return true;
}

/* The end of a line ends a string, too, but is not obeyed: a reply must not enter a command. */
static void feed_string(struct lineedit *edit, uint8_t byte)
{
	if (byte == ESC)
		edit->escape = ESCAPE_STRING_END;
	else if (byte == BELL || byte == CANCEL || byte == CTRL('C') || byte == '\r' ||
		byte == '\n' || ++edit->escape_bytes > ESCAPE_STRING_BYTES)
		edit->escape = ESCAPE_NONE;
}

static bool feed_escape(struct lineedit *edit, uint8_t byte)
{
	edit->escape_bytes = edit->escape_number = 0;
	switch (byte) {
	case '[': edit->escape = ESCAPE_CONTROL; return true;
	case 'O': edit->escape = ESCAPE_SHIFT; return true;
	case 'P': case ']': case 'X': case '^': case '_':
		edit->escape = ESCAPE_STRING;
		return true;
	case ESC: return true;
	}
	/* The Escape key alone, and then a key that means what it always does. */
	edit->escape = ESCAPE_NONE;
	return false;
}

/* True when the byte was part of an escape sequence. */
static bool feed_sequence(struct lineedit *edit, uint8_t byte)
{
	switch (edit->escape) {
	case ESCAPE_NONE:
		return false;
	case ESCAPE_START:
		return feed_escape(edit, byte);
	case ESCAPE_CONTROL:
		return feed_control(edit, byte);
	case ESCAPE_SHIFT:
		edit->escape = ESCAPE_NONE;
		control_key(edit, byte);
		return byte >= ' ';
	case ESCAPE_STRING:
		feed_string(edit, byte);
		return true;
	case ESCAPE_STRING_END:
		/* ESC \ ends it; anything else went on with the string. */
		edit->escape = ESCAPE_STRING;
		if (byte == '\\')
			edit->escape = ESCAPE_NONE;
		else
			feed_string(edit, byte);
		return true;
	}
	return false;
}

static enum lineedit_event feed(struct lineedit *edit, uint8_t byte)
{
	bool after_cr = edit->after_cr;

	if (feed_sequence(edit, byte))
		return LINEEDIT_NONE;
	edit->after_cr = byte == '\r';
	if (byte == '\n' && after_cr)
		return LINEEDIT_NONE;
	if (byte == '\r' || byte == '\n')
		return finish(edit, LINEEDIT_LINE);
	if (byte == CTRL('C'))
		return finish(edit, LINEEDIT_ABANDONED);
	if (byte >= ' ' && byte < RUBOUT) {
		char c = (char)byte;

		lineedit_insert(edit, &c, 1);
	} else {
		edit_key(edit, byte);
	}
	return LINEEDIT_NONE;
}

enum lineedit_event lineedit_feed(struct lineedit *edit, uint8_t byte)
{
	enum lineedit_event event = feed(edit, byte);

	if (event == LINEEDIT_NONE) {
		refresh(edit);
		flush(edit);
	}
	return event;
}
