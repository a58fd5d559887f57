/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The line editor, against a small terminal of 80 columns: what is on the screen is the line, and
 * the cursor stands where it should, whatever was typed. And the follower of escape sequences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mgmt/ansi.h"
#include "mgmt/lineedit.h"

#define PROMPT "ballast> "
#define ROWS 400

/* The terminal: printable characters, \a \b \r \n, and clearing the screen; nothing else. */
static struct {
	char cell[ROWS][LINEEDIT_COLUMNS + 1];
	unsigned int row, column, bells, writes;
} screen;

static void screen_clear(void)
{
	memset(&screen, 0, sizeof(screen));
	memset(screen.cell, ' ', sizeof(screen.cell));
	for (unsigned int i = 0; i < ROWS; i++)
		screen.cell[i][LINEEDIT_COLUMNS] = '\0';
}

static void screen_byte(char c)
{
	switch (c) {
	case '\a': screen.bells++; return;
	case '\r': screen.column = 0; return;
	case '\n': screen.row++; assert_true(screen.row < ROWS); return;
	case '\b': assert_true(screen.column > 0); screen.column--; return;
	}
	assert_true(c >= ' ' && c <= '~');
	/* The last column is never written: no terminal has to decide about wrapping. */
	assert_true(screen.column < LINEEDIT_COLUMNS - 1);
	screen.cell[screen.row][screen.column++] = c;
}

static void screen_write(struct lineedit *edit, const char *bytes, size_t count)
{
	static const char clear[] = "\x1b[H\x1b[2J";

	(void)edit;
	screen.writes++;
	if (count >= sizeof(clear) - 1 && memcmp(bytes, clear, sizeof(clear) - 1) == 0) {
		screen_clear();
		bytes += sizeof(clear) - 1;
		count -= sizeof(clear) - 1;
	}
	while (count--)
		screen_byte(*bytes++);
}

static const char *const words[] = {"vm", "vm", "version", "start", "stop", "status", NULL};

static const char *candidate(struct lineedit *edit, size_t start, size_t index)
{
	/* The first word is one of the first three, others are of the rest. */
	if (start == 0)
		return index < 3 ? words[index] : NULL;
	(void)edit;
	return words[3 + index];
}

static struct lineedit edit;

static int setup(void **state)
{
	(void)state;
	screen_clear();
	edit = (struct lineedit){.prompt = PROMPT, .write = screen_write, .candidate = candidate};
	lineedit_init(&edit);
	lineedit_draw(&edit);
	return 0;
}

static enum lineedit_event type_bytes(const char *bytes, size_t count)
{
	enum lineedit_event event = LINEEDIT_NONE;

	while (count--) {
		assert_int_equal(event, LINEEDIT_NONE);
		event = lineedit_feed(&edit, (uint8_t)*bytes++);
	}
	return event;
}

static enum lineedit_event type(const char *text)
{
	return type_bytes(text, strlen(text));
}

static void next_line(void)
{
	lineedit_clear(&edit);
	lineedit_draw(&edit);
}

/* The row of the cursor without blanks at its end. */
static const char *row_text(unsigned int row)
{
	static char text[LINEEDIT_COLUMNS + 1];
	size_t length = LINEEDIT_COLUMNS;

	memcpy(text, screen.cell[row], sizeof(text));
	while (length && text[length - 1] == ' ')
		text[--length] = '\0';
	return text;
}

static void assert_shows(const char *line, size_t cursor)
{
	char expected[LINEEDIT_COLUMNS * 4];

	assert_string_equal(edit.line, line);
	assert_int_equal(edit.length, strlen(line));
	assert_int_equal(edit.cursor, cursor);
	snprintf(expected, sizeof(expected), PROMPT "%s", line);
	while (expected[0] && expected[strlen(expected) - 1] == ' ')
		expected[strlen(expected) - 1] = '\0';
	assert_string_equal(row_text(screen.row), expected);
	assert_int_equal(screen.column, strlen(PROMPT) + cursor);
}

static void typing_and_moving(void **state)
{
	(void)state;
	type("vm lst");
	assert_shows("vm lst", 6);
	type("\x1b[D\x1b[D");
	assert_shows("vm lst", 4);
	type("i");
	assert_shows("vm list", 5);
	type("\x01#");
	assert_shows("#vm list", 1);
	type("\x1b[F!");
	assert_shows("#vm list!", 9);
	type("\b\x1b[H\x1b[3~");
	assert_shows("vm list", 0);
	type("\x1bOC\x1bOC\x0b");
	assert_shows("vm", 2);
	type(" show debian  ");
	type("\x17");
	assert_shows("vm show ", 8);
	type("\x17");
	assert_shows("vm ", 3);
	type("abc\x02\x02\x15");
	assert_shows("bc", 0);
	type("\x04\x04\x06");
	assert_shows("", 0);
	assert_int_equal(screen.row, 0);
}

static void one_write_for_each_key(void **state)
{
	unsigned int before = screen.writes;

	(void)state;
	type("abcdef\x1b[D\x1b[Dx\x15");
	/* Six letters, two moves, a letter in the midst, and one that deletes. */
	assert_int_equal(screen.writes - before, 10);
}

static void enter_in_all_forms(void **state)
{
	(void)state;
	assert_int_equal(type("mem\r"), LINEEDIT_LINE);
	assert_string_equal(edit.line, "mem");
	assert_int_equal(screen.row, 1);
	assert_int_equal(screen.column, 0);
	next_line();
	assert_int_equal(type("\ncpu"), LINEEDIT_NONE);
	assert_shows("cpu", 3);
	assert_int_equal(type("\n"), LINEEDIT_LINE);
	assert_string_equal(edit.line, "cpu");
	next_line();
	/* The second LF is a line of its own. */
	assert_int_equal(type("\n"), LINEEDIT_LINE);
	assert_string_equal(edit.line, "");
	next_line();
	/* In the midst of the line, all of it counts and all of it stays on the screen. */
	assert_int_equal(type("log 5\x01\r"), LINEEDIT_LINE);
	assert_string_equal(edit.line, "log 5");
	assert_string_equal(row_text(screen.row - 1), PROMPT "log 5");
}

static void control_c_gives_up(void **state)
{
	(void)state;
	assert_int_equal(type("poweroff\x03"), LINEEDIT_ABANDONED);
	assert_string_equal(row_text(0), PROMPT "poweroff^C");
	next_line();
	assert_shows("", 0);
	/* And is not remembered. */
	type("\x1b[A");
	assert_shows("", 0);
	assert_int_equal(screen.bells, 1);
}

static void history_is_browsed_and_edited(void **state)
{
	(void)state;
	type("one\r");
	next_line();
	type("  \r");
	next_line();
	type("two\r");
	next_line();
	type("two\r");
	next_line();
	type("new\x1b[A");
	assert_shows("two", 3);
	type("\x1b[A");
	assert_shows("one", 3);
	type("\x1b[A");
	assert_shows("one", 3);
	assert_int_equal(screen.bells, 1);
	type("s\x1b[B");
	assert_shows("two", 3);
	type("\x1b[B");
	assert_shows("new", 3);
	type("\x0e");
	assert_int_equal(screen.bells, 2);
	type("\x10\x10");
	assert_shows("one", 3);
	type("!\r");
	next_line();
	type("\x1b[A\x1b[A");
	assert_shows("two", 3);
}

static void history_keeps_the_last(void **state)
{
	char line[32];

	(void)state;
	for (int i = 0; i < LINEEDIT_HISTORY + 8; i++) {
		snprintf(line, sizeof(line), "line %d\r", i);
		type(line);
		next_line();
	}
	for (int i = 0; i < LINEEDIT_HISTORY; i++)
		type("\x1b[A");
	assert_int_equal(screen.bells, 0);
	assert_shows("line 8", 6);
	type("\x1b[A");
	assert_int_equal(screen.bells, 1);
	assert_shows("line 8", 6);
}

static void sequences_may_come_in_pieces(void **state)
{
	(void)state;
	type("ab");
	type("\x1b");
	assert_shows("ab", 2);
	type("[");
	assert_shows("ab", 2);
	type("D");
	assert_shows("ab", 1);
	/* With modifiers, unknown ones, and the Escape key alone. */
	type("\x1b[1;5Dx\x1b[24~\x1b[?1;2c\x1b[5n\x1b[200~y\x1b[201~\x1bOP\x1bz");
	assert_shows("xyzab", 3);
	/* A sequence that never ends does not take Enter with it. */
	assert_int_equal(type("\x1b[12\r"), LINEEDIT_LINE);
	assert_string_equal(edit.line, "xyzab");
}

static void replies_of_the_terminal_are_no_input(void **state)
{
	(void)state;
	type("\x1b[24;80R\x1b[?62;22c\x1b[0n\x1b]lpoweroff\x1b\\\x1b]11;rgb:0000/0000/0000\x07");
	type("\x1bP1$r0m\x1b\\");
	assert_shows("", 0);
	/* Even one with an end of line in it enters no command. */
	assert_int_equal(type("\x1bPpoweroff\r"), LINEEDIT_NONE);
	assert_shows("", 0);
	/* A string without an end is given up after a while. */
	type("\x1b]");
	for (int i = 0; i < 5000; i++)
		lineedit_feed(&edit, 'x');
	assert_true(edit.length > 0);
}

static void nothing_else_gets_in(void **state)
{
	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		if ((byte >= ' ' && byte <= '~') || byte == '\r' || byte == '\n' || byte == 3)
			continue;
		type("q");
		lineedit_feed(&edit, (uint8_t)byte);
		for (size_t i = 0; i < edit.length; i++)
			assert_true(edit.line[i] >= ' ' && edit.line[i] <= '~');
		/* Out of any sequence that the byte began. */
		lineedit_clear(&edit);
		screen_clear();
		lineedit_draw(&edit);
	}
}

static void full_line_rings(void **state)
{
	(void)state;
	for (int i = 0; i < LINEEDIT_BYTES - 1; i++)
		lineedit_feed(&edit, (uint8_t)('a' + i % 26));
	assert_int_equal(screen.bells, 0);
	assert_int_equal(edit.length, LINEEDIT_BYTES - 1);
	type("!");
	assert_int_equal(screen.bells, 1);
	assert_int_equal(edit.length, LINEEDIT_BYTES - 1);
	assert_null(strchr(edit.line, '!'));
	assert_int_equal(screen.row, 0);
	/* The end is in sight, and a mark says that there is more to the left. */
	assert_int_equal(screen.cell[0][strlen(PROMPT)], '<');
	assert_int_equal(screen.cell[0][screen.column - 1], edit.line[edit.length - 1]);
	type("\x01");
	assert_int_equal(screen.column, strlen(PROMPT));
	assert_memory_equal(screen.cell[0] + strlen(PROMPT), edit.line, 60);
	assert_int_equal(screen.cell[0][LINEEDIT_COLUMNS - 2], '>');
}

static void clear_screen_keeps_the_line(void **state)
{
	(void)state;
	type("mem\r");
	next_line();
	type("half\x02\x0c");
	assert_int_equal(screen.row, 0);
	assert_shows("half", 3);
}

static void completion_inserts_and_lists(void **state)
{
	(void)state;
	type("ve\t");
	assert_shows("version ", 8);
	type("\x15v\t");
	/* "vm" twice in a row is one; with "version" nothing more is common. */
	assert_string_equal(row_text(1), "vm       version");
	assert_int_equal(screen.row, 2);
	assert_shows("v", 1);
	type("m\t");
	assert_shows("vm ", 3);
	type("s\t");
	assert_shows("vm st", 5);
	type("\t");
	assert_string_equal(row_text(3), "start   stop    status");
	assert_shows("vm st", 5);
	type("o\t");
	assert_shows("vm stop ", 8);
	assert_int_equal(screen.bells, 0);
	type("zz\t");
	assert_int_equal(screen.bells, 1);
	assert_shows("vm stop zz", 10);
	/* In the midst: what follows the cursor stays. */
	type("\x15" "ver x\x02\x02\t");
	assert_shows("version x", 7);
	/* An empty word can be completed, too. */
	type("\x05\x15\t");
	assert_shows("v", 1);
}

static void redraw_after_another_line(void **state)
{
	(void)state;
	type("vm stop deb\x02");
	/* The console wrote a line and stands at the start of a new row. */
	screen.row += 2;
	screen.column = 0;
	lineedit_draw(&edit);
	assert_shows("vm stop deb", 10);
	type("i");
	assert_shows("vm stop deib", 11);
}

/* A second opinion on what each key does; the screen is checked after every one of them. */
struct model {
	char line[LINEEDIT_BYTES];
	size_t cursor;
};

static void model_delete(struct model *model, size_t from, size_t to)
{
	memmove(model->line + from, model->line + to, strlen(model->line + to) + 1);
	model->cursor = from;
}

static void model_key(struct model *model, int key, char letter)
{
	size_t length = strlen(model->line), word = model->cursor;

	switch (key) {
	case 0:
		if (model->cursor)
			model->cursor--;
		break;
	case 1:
		if (model->cursor < length)
			model->cursor++;
		break;
	case 2: model->cursor = 0; break;
	case 3: model->cursor = length; break;
	case 4:
		if (model->cursor)
			model_delete(model, model->cursor - 1, model->cursor);
		break;
	case 5:
		if (model->cursor < length)
			model_delete(model, model->cursor, model->cursor + 1);
		break;
	case 6: model->line[model->cursor] = '\0'; break;
	case 7: model_delete(model, 0, model->cursor); break;
	case 8:
		while (word && model->line[word - 1] == ' ')
			word--;
		while (word && model->line[word - 1] != ' ')
			word--;
		model_delete(model, word, model->cursor);
		break;
	default:
		if (length == LINEEDIT_BYTES - 1)
			break;
		memmove(model->line + model->cursor + 1, model->line + model->cursor,
			length - model->cursor + 1);
		model->line[model->cursor++] = letter;
	}
}

/* What a window on the line may show, without saying which one it is. */
static void assert_window(const struct model *model)
{
	const char *row = screen.cell[screen.row] + strlen(PROMPT);
	size_t room = LINEEDIT_COLUMNS - 1 - strlen(PROMPT), length = strlen(model->line), left;

	assert_string_equal(edit.line, model->line);
	assert_int_equal(edit.cursor, model->cursor);
	assert_memory_equal(screen.cell[screen.row], PROMPT, strlen(PROMPT));
	assert_true(screen.column >= strlen(PROMPT));
	left = model->cursor - (screen.column - strlen(PROMPT));
	assert_true(left <= model->cursor);
	assert_true(length > room || left == 0);
	for (size_t i = 0; i < room; i++) {
		char expected = left + i < length ? model->line[left + i] : ' ';

		if (i == 0 && left)
			expected = '<';
		else if (i == room - 1 && left + room < length)
			expected = '>';
		assert_int_equal(row[i], expected);
	}
	/* The character at the cursor is no mark. */
	assert_true(!left || screen.column > strlen(PROMPT));
	assert_true(left + room >= length || screen.column < LINEEDIT_COLUMNS - 2);
}

static void random_keys_keep_screen_and_line(void **state)
{
	static const char *const keys[] = {"\x1b[D", "\x1b[C", "\x01", "\x05", "\x7f", "\x1b[3~",
		"\x0b", "\x15", "\x17"};
	struct model model = {{0}, 0};
	uint32_t random = 12345;

	(void)state;
	for (int i = 0; i < 60000; i++) {
		int key;
		char letter;

		random = random * 1664525 + 1013904223;
		/* Phases of much typing and of much deleting. */
		key = (int)((random >> 16) % ((i / 500) % 3 ? 60 : 12));
		letter = (random >> 8) % 5 ? (char)('a' + (random >> 10) % 26) : ' ';
		if (key < (int)ARRAY_SIZE(keys) && !(key >= 6 && (random >> 28)))
			type(keys[key]);
		else if (key < (int)ARRAY_SIZE(keys))
			continue;
		else
			type_bytes(&letter, 1);
		model_key(&model, key, letter);
		assert_window(&model);
		if (i % 97 == 0) {
			screen_clear();
			lineedit_draw(&edit);
			assert_window(&model);
		}
	}
	assert_int_equal(screen.row, 0);
}

static void garbage_is_harmless(void **state)
{
	uint32_t random = 777;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint8_t byte;

		random = random * 1664525 + 1013904223;
		byte = (uint8_t)(random >> 24);
		if (byte > 0xd0)
			byte = "\x1b[O]P;1~\t\x0c\x1b[A\b\r\x03"[(random >> 12) % 17];
		if (lineedit_feed(&edit, byte) != LINEEDIT_NONE)
			next_line();
		assert_true(edit.length < LINEEDIT_BYTES);
		assert_int_equal(strlen(edit.line), edit.length);
		assert_true(edit.cursor <= edit.length);
		if (screen.row > ROWS - 20) {
			screen_clear();
			lineedit_draw(&edit);
		}
	}
}

/* Of all bytes together. */
static unsigned int scan_text(struct ansi_scan *scan, const char *text)
{
	unsigned int seen = 0;

	while (*text)
		seen |= ansi_feed(scan, (uint8_t)*text++);
	return seen;
}

static void questions_to_the_terminal_are_seen(void **state)
{
	static const char *const questions[] = {"\x05", "\x1b[6n", "\x1b[?6n", "\x1b[c", "\x1b[>c",
		"\x1b[0c", "\x1bZ", "\x1b[21t", "\x1b[x", "\x1b[?1$p", "\x1b[>q", "\x1b[?u",
		"\x1b[?1;1;0S", "\x1b]11;?\x07", "\x1b]4;1;?\x1b\\", "\x1bP$qm\x1b\\", "\x9a",
		"\x9b" "6n", "\x1b_Gi=1;\x1b\\", "\x1b]0;\x1b[6n", "\x1b[1\x05m", "\x1b[12\x18\x1b[5n"};
	static const char *const silent[] = {"hello\r\n\t\b\a", "\x1b[31;1mred\x1b[0m", "\x1b[2J",
		"\x1b[?25l\x1b[?1049h", "\x1b[10;20H\x1b[K\x1b[J", "\x1b]0;a title\x07", "\x1b(B",
		"\x1b" "7\x1b" "8\x1bM\x1b=\x1b>", "\x1b[1;24r", "\x1b[5C\x1b[s\x1b[u"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		struct ansi_scan scan = {0};

		if (!(scan_text(&scan, questions[i]) & ANSI_QUERY))
			fail_msg("question %zu was not seen", i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
		struct ansi_scan scan = {0};

		if (scan_text(&scan, silent[i]) & ANSI_QUERY)
			fail_msg("%zu was taken for a question", i);
		assert_int_equal(scan.state, ANSI_GROUND);
	}
}

static void text_and_sequences_are_told_apart(void **state)
{
	static const char text[] = "a\x1b[31mb\x1b]0;t\x07" "c\x1b(Bd\x1b[?1$pe\x1bP1\x1b\\f\x1b[\x18g\x1b[3\nm";
	struct ansi_scan scan = {0};
	char plain[32];
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		if (!ansi_feed(&scan, (uint8_t)text[i]))
			plain[count++] = text[i];
	plain[count] = '\0';
	assert_string_equal(plain, "abcdefg\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(typing_and_moving, setup),
		cmocka_unit_test_setup(one_write_for_each_key, setup),
		cmocka_unit_test_setup(enter_in_all_forms, setup),
		cmocka_unit_test_setup(control_c_gives_up, setup),
		cmocka_unit_test_setup(history_is_browsed_and_edited, setup),
		cmocka_unit_test_setup(history_keeps_the_last, setup),
		cmocka_unit_test_setup(sequences_may_come_in_pieces, setup),
		cmocka_unit_test_setup(replies_of_the_terminal_are_no_input, setup),
		cmocka_unit_test_setup(nothing_else_gets_in, setup),
		cmocka_unit_test_setup(full_line_rings, setup),
		cmocka_unit_test_setup(clear_screen_keeps_the_line, setup),
		cmocka_unit_test_setup(completion_inserts_and_lists, setup),
		cmocka_unit_test_setup(redraw_after_another_line, setup),
		cmocka_unit_test_setup(random_keys_keep_screen_and_line, setup),
		cmocka_unit_test_setup(garbage_is_harmless, setup),
		cmocka_unit_test(questions_to_the_terminal_are_seen),
		cmocka_unit_test(text_and_sequences_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
