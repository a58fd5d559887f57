/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who has the serial line: prompt, state lines and guests on one wire; backpressure; the way into a
 * guest's console and out of it; and what a guest cannot do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/log.h"
#include "mgmt/console.h"
#include "mgmt/console_log.h"
#include "mgmt/lineedit.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_serial.h"

#define PROMPT "ballast> "
#define LEAVE "\x1d" "d"

/* --- A shell that echoes commands, and a guest with an unlimited FIFO --- */

static struct lineedit edit;
static char executed[4096];
static size_t answer_bytes;

static void edit_write(struct lineedit *unused, const char *bytes, size_t count)
{
	(void)unused;
	console_edit(bytes, count);
}

static const char *no_candidate(struct lineedit *unused, size_t start, size_t index)
{
	(void)unused;
	(void)start;
	(void)index;
	return NULL;
}

void shell_draw(void)
{
	lineedit_draw(&edit);
}

void shell_forget(void)
{
	lineedit_clear(&edit);
}

void shell_input(uint8_t byte)
{
	if (lineedit_feed(&edit, byte) == LINEEDIT_NONE)
		return;
	snprintf(executed + strlen(executed), sizeof(executed) - strlen(executed), "%s;", edit.line);
	console_edit_done();
	lineedit_clear(&edit);
	for (size_t i = 0; i < answer_bytes / 64; i++)
		console_print("%-63s\n", "answer");
}

/* The log is this program's: lines go straight to the sink. */
static void (*log_sink)(const char *line);

void log_set_sink(void (*sink)(const char *line))
{
	log_sink = sink;
}

struct guest {
	struct console_port port;
	char wants[65536];      /* to be sent still */
	size_t wants_count;
	char got[16384];        /* received */
	size_t got_count;
	size_t takes;           /* so many input bytes at a time */
};

static size_t guest_input(struct console_port *port, const uint8_t *bytes, size_t count)
{
	struct guest *guest = container_of(port, struct guest, port);

	count = MIN(count, guest->takes);
	memcpy(guest->got + guest->got_count, bytes, count);
	guest->got_count += count;
	return count;
}

/* As a UART: a byte at a time, until one is refused. */
static void guest_push(struct console_port *port)
{
	struct guest *guest = container_of(port, struct guest, port);
	size_t done = 0;

	while (done < guest->wants_count &&
		console_port_output(port, (uint8_t *)guest->wants + done, 1))
		done++;
	guest->wants_count -= done;
	memmove(guest->wants, guest->wants + done, guest->wants_count);
}

static void guest_says_bytes(struct guest *guest, const char *bytes, size_t count)
{
	assert_true(guest->wants_count + count <= sizeof(guest->wants));
	memcpy(guest->wants + guest->wants_count, bytes, count);
	guest->wants_count += count;
	guest_push(&guest->port);
}

static void guest_says(struct guest *guest, const char *text)
{
	guest_says_bytes(guest, text, strlen(text));
}

static const char *guest_got(struct guest *guest)
{
	guest->got[guest->got_count] = '\0';
	guest->got_count = 0;
	return guest->got;
}

static struct guest alpha, beta;

static void guest_setup(struct guest *guest, const char *name)
{
	memset(guest, 0, sizeof(*guest));
	guest->port = (struct console_port){.name = name, .input = guest_input,
		.output_ready = guest_push};
	guest->takes = SIZE_MAX;
	assert_int_equal(console_port_init(&guest->port), 0);
}

static void poll(void)
{
	console_poll();
	console_log_poll();
}

static void type(const char *text)
{
	fake_serial_type(text, strlen(text));
	poll();
}

static int setup(void **state)
{
	(void)state;
	fake_serial_reset();
	fake_clock_reset(0);
	/* Far enough from the tests before for all of the log's allowances. */
	fake_clock_advance(3600 * NS_PER_SEC);
	edit = (struct lineedit){.prompt = PROMPT, .write = edit_write, .candidate = no_candidate};
	lineedit_init(&edit);
	executed[0] = '\0';
	answer_bytes = 0;
	console_test_reset();
	assert_int_equal(console_init(), 0);
	console_log_init();
	guest_setup(&alpha, "alpha");
	guest_setup(&beta, "beta");
	poll();
	assert_string_equal(fake_serial_take(), PROMPT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	console_port_destroy(&alpha.port);
	console_port_destroy(&beta.port);
	console_test_reset();
	return 0;
}

/* What stands in the rows of a terminal; good for text, \r, \n and \b. */
static const char *rendered(const char *bytes)
{
	static char text[65536];
	size_t row = 0, column = 0, length = 0;

	for (; *bytes; bytes++) {
		if (*bytes == '\r') {
			column = 0;
		} else if (*bytes == '\n') {
			text[length++] = '\n';
			row = length;
			column = 0;
		} else if (*bytes == '\b') {
			column--;
		} else {
			text[row + column++] = *bytes;
			length = MAX(length, row + column);
		}
	}
	text[length] = '\0';
	return text;
}

/* --- The shell has the line --- */

static void keys_reach_the_shell(void **state)
{
	(void)state;
	type("vm list\r");
	assert_string_equal(executed, "vm list;");
	assert_string_equal(fake_serial_take(), "vm list\r\n" PROMPT);
	type("a\rb\r\nc");
	assert_string_equal(executed, "vm list;a;b;");
	assert_string_equal(rendered(fake_serial_take()), "a\n" PROMPT "b\n" PROMPT "c");
}

static void keys_wake_the_boot_cpu(void **state)
{
	unsigned int before = fake_serial_kicks();

	(void)state;
	fake_serial_type("x", 1);
	assert_true(fake_serial_kicks() > before);
}

static void a_line_leaves_half_typed_input_alone(void **state)
{
	(void)state;
	type("vm st");
	fake_serial_take();
	console_line("vm alpha: powered off");
	console_line("vm beta: started");
	/* Lines are whole rows from their first byte on; the prompt comes back once. */
	assert_string_equal(fake_serial_sent(), "\r\nvm alpha: powered off\r\nvm beta: started\r\n");
	poll();
	assert_string_equal(fake_serial_take(),
		"\r\nvm alpha: powered off\r\nvm beta: started\r\n" PROMPT "vm st");
	type("op x\r");
	assert_string_equal(executed, "vm stop x;");
}

static void a_key_after_a_line_is_drawn_whole(void **state)
{
	(void)state;
	type("mem");
	console_line("vm alpha: reset");
	fake_serial_take();
	/* Before the prompt is back: the key must not be echoed alone. */
	type("o");
	assert_string_equal(fake_serial_take(), PROMPT "memo");
}

static void lines_between_answers_start_rows(void **state)
{
	(void)state;
	console_edit_done();
	console_print("half a row");
	console_line("vm alpha: started");
	console_print("next\n");
	assert_string_equal(strchr(fake_serial_take(), 'h'),
		"half a row\r\nvm alpha: started\r\nnext\r\n");
}

static void long_answers_do_not_block(void **state)
{
	unsigned int rounds = 0;

	(void)state;
	fake_serial_hold();
	answer_bytes = 90 * 1024;
	/* The third answer would not fit: that command waits, and nothing is lost. */
	type("one\rtwo\rthree\r");
	assert_string_equal(executed, "one;two;");
	while (strcmp(executed, "one;two;three;") != 0 && rounds++ < 1000) {
		fake_serial_transmit(500);
		poll();
	}
	assert_string_equal(executed, "one;two;three;");
	for (int i = 0; i < 1000; i++)
		fake_serial_transmit(500);
	poll();
	fake_serial_release();
	/* Rows of 63 columns, their newline sent as two bytes. */
	assert_int_equal(strlen(fake_serial_sent()), 3 * 90 * 1024 / 64 * 65 +
		strlen("one\r\ntwo\r\nthree\r\n") + 3 * strlen(PROMPT));
}

static void a_flood_of_lines_has_few_prompts(void **state)
{
	const char *at;
	size_t prompts = 0;

	(void)state;
	/* A line in each of 5 ms. */
	for (int i = 0; i < 400; i++) {
		assert_true(console_line_if_idle("trace"));
		fake_clock_advance(5 * NS_PER_MS);
		poll();
	}
	for (at = fake_serial_take(); (at = strstr(at, PROMPT)); at++)
		prompts++;
	assert_in_range(prompts, 2, 5);
	/* What is typed has its prompt at once; and so has silence, soon. */
	console_line_if_idle("trace");
	poll();
	assert_null(strstr(fake_serial_take(), PROMPT));
	type("x");
	assert_non_null(strstr(fake_serial_take(), PROMPT "x"));
	console_line_if_idle("trace");
	poll();
	fake_clock_advance(50 * NS_PER_MS);
	poll();
	assert_non_null(strstr(fake_serial_take(), PROMPT "x"));
	type("\x15");
	/* Other lines do not delay it. */
	fake_serial_take();
	console_line("vm alpha: started");
	poll();
	assert_non_null(strstr(fake_serial_take(), "started\r\n" PROMPT));
}

static void a_full_console_says_what_it_lost(void **state)
{
	char line[200];

	(void)state;
	fake_serial_hold();
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; i < 2000; i++)
		console_line(line);
	for (int i = 0; i < 100; i++) {
		fake_serial_transmit(4096);
		poll();
	}
	assert_non_null(strstr(fake_serial_sent(), " lines were not shown: the console is too slow)"));
}

/* --- A command with the whole screen --- */

static unsigned int frames, last_frame;
static char screen_row[100];

static void draw_frame(uint64_t now_ns)
{
	(void)now_ns;
	frames++;
	console_screen_row(0, screen_row);
	console_screen_row(23, "the last");
	if (frames == last_frame)
		console_screen_end();
}

static void screen_key(uint8_t byte)
{
	if (byte == 'q')
		console_screen_end();
}

static const struct console_screen frame_screen = {
	.period_ns = NS_PER_SEC, .draw = draw_frame, .key = screen_key,
};

static void begin_screen(unsigned int last)
{
	poll();
	fake_serial_take();
	frames = 0;
	last_frame = last;
	strcpy(screen_row, "count 1");
	console_edit_done();
	console_screen_begin(&frame_screen);
	poll();
	assert_string_equal(fake_serial_take(), "\x1b[?25l\x1b[2J\x1b[1;1Hcount 1\x1b[24;1Hthe last");
}

static void a_screen_is_drawn_by_what_changes(void **state)
{
	(void)state;
	begin_screen(0);
	poll();
	assert_string_equal(fake_serial_take(), "");
	fake_clock_advance(NS_PER_SEC);
	poll();
	assert_string_equal(fake_serial_take(), "");
	assert_int_equal(frames, 2);
	strcpy(screen_row, "count 23");
	fake_clock_advance(NS_PER_SEC);
	poll();
	assert_string_equal(fake_serial_take(), "\x1b[1;7H23");
	strcpy(screen_row, "c");
	fake_clock_advance(NS_PER_SEC);
	poll();
	assert_string_equal(fake_serial_take(), "\x1b[1;2H       ");
	type("xq");
	assert_string_equal(fake_serial_take(), "\x1b[24;1H\x1b[?25h\r\n" PROMPT);
	assert_int_equal(frames, 4);
	/* The shell reads again. */
	type("one\r");
	assert_string_equal(executed, "one;");
}

static void lines_come_after_the_screen(void **state)
{
	char line[100];

	(void)state;
	begin_screen(2);
	console_line("vm alpha: started");
	assert_false(console_line_if_idle("trace"));
	console_line("vm alpha: stopped");
	poll();
	assert_string_equal(fake_serial_take(), "");
	fake_clock_advance(NS_PER_SEC);
	poll();
	poll();
	assert_string_equal(fake_serial_take(), "\x1b[24;1H\x1b[?25h\r\nvm alpha: started\r\n"
		"vm alpha: stopped\r\n" PROMPT);
	/* More than can be kept is counted. */
	begin_screen(0);
	memset(line, 'l', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; i < 100; i++)
		console_line(line);
	type("q");
	poll();
	assert_non_null(strstr(fake_serial_sent(), "\r\n(19 lines were not shown"));
}

static void a_slow_line_leaves_frames_out(void **state)
{
	(void)state;
	begin_screen(0);
	fake_serial_hold();
	for (int i = 0; i < 5; i++) {
		screen_row[6] = (char)('2' + i);
		fake_clock_advance(NS_PER_SEC);
		poll();
	}
	assert_int_equal(frames, 2);
	fake_serial_transmit(100);
	fake_clock_advance(NS_PER_SEC / 10);
	poll();
	assert_int_equal(frames, 3);
	fake_serial_release();
	assert_string_equal(fake_serial_take(), "\x1b[1;7H2\x1b[1;7H6");
	type("q");
}

static void a_closed_console_has_no_prompt(void **state)
{
	(void)state;
	type("poweroff\rmem\r");
	fake_serial_take();
	executed[0] = '\0';
	console_close();
	console_line("vm alpha: stopped");
	type("mem\r");
	fake_clock_advance(10 * NS_PER_SEC);
	poll();
	assert_string_equal(executed, "");
	assert_string_equal(fake_serial_take(), "\r\nvm alpha: stopped\r\n");
}

/* --- A guest has the line --- */

static void attach(struct guest *guest)
{
	console_attach(&guest->port);
	poll();
	fake_serial_take();
}

static void attached_guest_talks_both_ways(void **state)
{
	(void)state;
	console_attach(&alpha.port);
	assert_string_equal(fake_serial_take(), "\r\n--- console of vm alpha: Ctrl-] d leaves, "
		"Ctrl-] twice sends one ---\r\n");
	guest_says(&alpha, "login: ");
	type("root\r\x03\x1b[A\xff");
	assert_string_equal(fake_serial_take(), "login: ");
	assert_string_equal(guest_got(&alpha), "root\r\x03\x1b[A\xff");
	assert_string_equal(executed, "");
}

static void other_guests_are_kept_for_later(void **state)
{
	(void)state;
	attach(&alpha);
	guest_says(&beta, "not now\r\n");
	assert_string_equal(fake_serial_take(), "");
	type(LEAVE);
	fake_serial_take();
	guest_says(&alpha, "behind your back\r\n");
	poll();
	assert_string_equal(fake_serial_take(), "");
	console_attach(&beta.port);
	assert_string_equal(strstr(fake_serial_take(), "one ---\r\n"), "one ---\r\nnot now\r\n");
}

static void the_key_leaves_and_nothing_else(void **state)
{
	(void)state;
	attach(&alpha);
	guest_says(&alpha, "guest# ");
	type("\x1d");
	assert_true(console_is_attached(&alpha.port));
	type("d");
	assert_false(console_is_attached(&alpha.port));
	assert_string_equal(fake_serial_take(),
		"guest# \r\n--- left the console of vm alpha ---\r\n" PROMPT);
	assert_string_equal(guest_got(&alpha), "");
	type("mem\r");
	assert_string_equal(executed, "mem;");
	/* What the guest writes itself, its keys included, is output only. */
	attach(&alpha);
	guest_says(&alpha, LEAVE "\x1d\x1d");
	poll();
	assert_true(console_is_attached(&alpha.port));
}

static void the_key_twice_goes_to_the_guest(void **state)
{
	(void)state;
	attach(&alpha);
	type("a\x1d\x1d" "b");
	assert_string_equal(guest_got(&alpha), "a\x1d" "b");
	assert_true(console_is_attached(&alpha.port));
	/* Anything else is explained, and swallowed. */
	type("\x1dx");
	assert_string_equal(guest_got(&alpha), "");
	assert_non_null(strstr(fake_serial_take(), "Ctrl-] d leaves this console"));
	type("d");
	assert_string_equal(guest_got(&alpha), "d");
}

static void typed_ahead_of_the_prompt_is_kept(void **state)
{
	(void)state;
	attach(&alpha);
	guest_says(&alpha, "plain text\r\n");
	type(LEAVE "vm list\r");
	assert_string_equal(executed, "vm list;");
}

static void state_lines_start_rows_amid_guest_output(void **state)
{
	(void)state;
	attach(&alpha);
	guest_says(&alpha, "half");
	console_line("vm beta: powered off");
	guest_says(&alpha, " more\r\n");
	console_line("vm beta: started");
	assert_string_equal(fake_serial_take(),
		"half\r\nvm beta: powered off\r\n more\r\nvm beta: started\r\n");
}

static void a_line_waits_for_the_end_of_a_sequence(void **state)
{
	(void)state;
	attach(&alpha);
	guest_says(&alpha, "red:\x1b[3");
	console_line("vm beta: started");
	assert_string_equal(fake_serial_take(), "red:\x1b[3");
	/* The sequence goes on, then the line, then the rest of the guest's. */
	guest_says(&alpha, "1mtext");
	poll();
	poll();
	assert_string_equal(fake_serial_take(), "1m\r\nvm beta: started\r\ntext");
	/* A guest that never finishes does not hold the line back. */
	guest_says(&alpha, "\x1b]0;title");
	console_line("vm beta: reset");
	assert_string_equal(fake_serial_take(), "\x1b]0;title");
	fake_clock_advance(60 * NS_PER_MS);
	poll();
	assert_string_equal(fake_serial_take(), "\x18\r\nvm beta: reset\r\n");
}

static void a_busy_line_makes_the_guest_wait(void **state)
{
	char text[30000];
	size_t sent = 0;

	(void)state;
	attach(&alpha);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	fake_serial_hold();
	guest_says_bytes(&alpha, text, sizeof(text));
	/* Not much is under way at a time. */
	assert_true(serial_write_pending() <= 4096);
	assert_int_equal(alpha.wants_count, sizeof(text) - serial_write_pending());
	/* A state line comes before what the guest still wants to say. */
	console_line("vm beta: started");
	for (int i = 0; i < 3000 && (alpha.wants_count || serial_write_pending()); i++) {
		fake_serial_transmit(16);
		poll();
	}
	assert_int_equal(alpha.wants_count, 0);
	for (const char *c = fake_serial_sent(); *c; c++) {
		if (strncmp(c, "\r\nvm beta: started\r\n", 20) == 0) {
			assert_true(sent <= 4096);
			c += 19;
			continue;
		}
		assert_int_equal(*c, text[sent]);
		sent++;
	}
	assert_int_equal(sent, sizeof(text));
}

static void the_way_out_is_short_under_a_flood(void **state)
{
	static char flood[60000];

	(void)state;
	attach(&alpha);
	memset(flood, 'x', sizeof(flood));
	fake_serial_hold();
	guest_says_bytes(&alpha, flood, sizeof(flood));
	type(LEAVE "log\r");
	assert_string_equal(executed, "log;");
	/* The rest of the flood went to the scrollback. */
	assert_int_equal(alpha.wants_count, 0);
	fake_serial_release();
	assert_true(strlen(fake_serial_sent()) < 4096 + 200);
}

static void input_waits_for_a_slow_guest(void **state)
{
	(void)state;
	attach(&alpha);
	alpha.takes = 4;
	type("abcdefghij");
	assert_string_equal(guest_got(&alpha), "abcd");
	console_port_input_ready(&alpha.port);
	poll();
	assert_string_equal(guest_got(&alpha), "efgh");
	/* The way out is open although the guest takes nothing. */
	alpha.takes = 0;
	for (int i = 0; i < 2000; i++)
		type("0123456789");
	type(LEAVE);
	assert_false(console_is_attached(&alpha.port));
	/* And what it did not take is gone. */
	alpha.takes = SIZE_MAX;
	attach(&alpha);
	type("z");
	assert_string_equal(guest_got(&alpha), "z");
}

static void scrollback_is_shown_as_text(void **state)
{
	(void)state;
	guest_says(&alpha, "\x1b[2Jboot \x1b[31mred\x1b[0m\r\n\x1b[6n\x05prompt$ ");
	console_attach(&alpha.port);
	assert_string_equal(strstr(fake_serial_take(), "one ---\r\n"),
		"one ---\r\nboot red\r\nprompt$ ");
}

static void scrollback_keeps_the_newest_rows(void **state)
{
	char row[64];
	const char *text;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(row, sizeof(row), "row number %d of a thousand\r\n", i);
		guest_says(&alpha, row);
	}
	console_attach(&alpha.port);
	poll();
	text = strstr(fake_serial_take(), "one ---\r\n") + 9;
	assert_int_equal(strncmp(text, "row number ", 11), 0);
	assert_true(strlen(text) > 16000 && strlen(text) <= CONSOLE_SCROLLBACK);
	assert_string_equal(strrchr(text, 'w') - 2, "row number 999 of a thousand\r\n");
}

static void seen_rows_come_back_as_a_little_context(void **state)
{
	char row[64];
	const char *text;

	(void)state;
	attach(&alpha);
	for (int i = 0; i < 400; i++) {
		snprintf(row, sizeof(row), "row %d\r\n", i);
		guest_says(&alpha, row);
	}
	type(LEAVE);
	guest_says(&alpha, "news\r\n");
	fake_serial_take();
	console_attach(&alpha.port);
	text = strstr(fake_serial_take(), "one ---\r\n") + 9;
	assert_int_equal(strncmp(text, "row ", 4), 0);
	assert_true(strlen(text) <= 1024);
	assert_non_null(strstr(text, "row 399\r\nnews\r\n"));
}

#define MANY 64

/* All write as fast as they can: each is taken as it comes, and kept apart. */
static void many_guests_write_at_once(void **state)
{
	static struct guest many[MANY];
	char name[MANY][32], line[64];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(name[i], sizeof(name[i]), "guest%d", i);
		guest_setup(&many[i], name[i]);
	}
	attach(&many[0]);
	fake_serial_hold();
	for (int round = 0; round < 1000; round++)
		for (int i = 0; i < MANY; i++) {
			snprintf(line, sizeof(line), "g%02d line %04d\r\n", i, round);
			guest_says(&many[i], line);
			/* Who is not attached never waits. */
			assert_true(i == 0 || many[i].wants_count == 0);
		}
	/* Whatever they do, the way out is as short as the line's own backlog. */
	assert_true(serial_write_pending() <= 4096);
	type(LEAVE);
	fake_serial_release();
	poll();
	assert_non_null(strstr(fake_serial_take(), "--- left the console of vm guest0 ---\r\n" PROMPT));
	for (int i = 1; i < MANY; i++) {
		const char *at;

		console_attach(&many[i].port);
		poll();
		at = fake_serial_sent();
		snprintf(line, sizeof(line), "g%02d line 0999\r\n", i);
		assert_non_null(strstr(at, line));
		/* Nobody else's lines are among them. */
		snprintf(line, sizeof(line), "g%02d line ", i);
		while ((at = strstr(at, " line ")) != NULL) {
			assert_memory_equal(at - 3, line, 9);
			at++;
		}
		assert_true(strlen(fake_serial_take()) <= CONSOLE_SCROLLBACK + 100);
	}
	for (int i = 0; i < MANY; i++)
		console_port_destroy(&many[i].port);
}

static void the_end_of_a_guest_gives_the_prompt_back(void **state)
{
	(void)state;
	attach(&alpha);
	fake_serial_hold();
	guest_says(&alpha, "Power down");
	/* The line is busy, and the guest has more in its FIFO. */
	for (int i = 0; i < 500; i++)
		guest_says(&alpha, "0123456789");
	guest_says(&alpha, "last words");
	console_port_drain(&alpha.port);
	console_port_ended(&alpha.port);
	console_line("vm alpha: powered off");
	assert_int_equal(alpha.wants_count, 0);
	poll();
	fake_serial_release();
	assert_non_null(strstr(fake_serial_sent(),
		"last words\r\nvm alpha: powered off\r\n" PROMPT));
}

/* --- Answers of the terminal --- */

static void answers_do_not_reach_the_shell(void **state)
{
	(void)state;
	attach(&alpha);
	/* A guest asks again and again, and hopes that one answer comes after it was left. */
	guest_says(&alpha, "\x1b[6n\x05");
	type(LEAVE);
	assert_string_equal(executed, "");
	assert_null(strstr(fake_serial_sent(), PROMPT));
	type("poweroff\r");
	fake_clock_advance(200 * NS_PER_MS);
	type("\x1b[1;1Rpoweroff\r");
	fake_clock_advance(200 * NS_PER_MS);
	poll();
	assert_null(strstr(fake_serial_sent(), PROMPT));
	/* Silence, then the prompt; now the operator is meant. */
	fake_clock_advance(100 * NS_PER_MS);
	poll();
	assert_non_null(strstr(fake_serial_sent(), "\r\n" PROMPT));
	assert_string_equal(executed, "");
	type("mem\r");
	assert_string_equal(executed, "mem;");
}

static void silence_counts_from_the_last_byte_sent(void **state)
{
	(void)state;
	attach(&alpha);
	fake_serial_hold();
	guest_says(&alpha, "a long text before the question .............. \x1b[6n");
	type(LEAVE);
	fake_clock_advance(400 * NS_PER_MS);
	poll();
	type("poweroff\r");
	fake_serial_release();
	fake_clock_advance(100 * NS_PER_MS);
	type("poweroff\r");
	assert_null(strstr(fake_serial_sent(), PROMPT));
	fake_clock_advance(300 * NS_PER_MS);
	poll();
	assert_non_null(strstr(fake_serial_sent(), PROMPT));
	assert_string_equal(executed, "");
}

static void a_talking_line_settles_in_the_end(void **state)
{
	(void)state;
	attach(&alpha);
	guest_says(&alpha, "\x1b[6n");
	type(LEAVE);
	for (int i = 0; i < 29; i++) {
		fake_clock_advance(100 * NS_PER_MS);
		type("x\r");
	}
	assert_string_equal(executed, "");
	fake_clock_advance(200 * NS_PER_MS);
	poll();
	assert_non_null(strstr(fake_serial_sent(), PROMPT));
}

static void old_questions_do_not_delay_the_prompt(void **state)
{
	(void)state;
	attach(&alpha);
	guest_says(&alpha, "\x1b[6n");
	fake_clock_advance(6 * NS_PER_SEC);
	type(LEAVE "mem\r");
	assert_string_equal(executed, "mem;");
}

static void the_terminal_is_put_in_order(void **state)
{
	const char *sent;

	(void)state;
	attach(&alpha);
	guest_says(&alpha, "\x1b[?1000h\x1b[8m\x1b]0;never ended");
	type(LEAVE);
	sent = fake_serial_take();
	assert_non_null(strstr(sent, "\x18"));
	assert_non_null(strstr(sent, "\x1b[?1000l"));
	assert_true(strstr(sent, "\x1b[0m") < strstr(sent, "--- left"));
	/* A guest of plain text leaves nothing to be put in order. */
	fake_clock_advance(10 * NS_PER_SEC);
	poll();
	attach(&beta);
	guest_says(&beta, "plain\r\n");
	type(LEAVE);
	assert_null(strchr(fake_serial_take(), 0x1b));
}

/* --- The log's lines --- */

static void a_chatty_guest_is_limited(void **state)
{
	unsigned int shown = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		log_sink("vm alpha: something odd, again");
	log_sink("vm beta: something odd, too");
	log_sink("a line about the machine");
	poll();
	for (const char *at = fake_serial_sent(); (at = strstr(at, "vm alpha:")) != NULL; at++)
		shown++;
	assert_int_equal(shown, 10);
	assert_non_null(strstr(fake_serial_sent(), "vm beta: something odd, too\r\n"));
	assert_non_null(strstr(fake_serial_sent(), "a line about the machine\r\n"));
	/* Longer than any report of an earlier test may be ahead. */
	fake_clock_advance(60 * NS_PER_SEC);
	poll();
	assert_non_null(strstr(fake_serial_take(), "(990 lines about vm alpha were left out"));
	/* It earns lines with time. */
	log_sink("vm alpha: once more");
	assert_non_null(strstr(fake_serial_take(), "vm alpha: once more"));
}

static size_t lines_sent(void)
{
	size_t lines = 0;

	for (const char *at = fake_serial_take(); (at = strchr(at, '\n')); at++)
		lines++;
	return lines;
}

static void many_chatty_guests_are_limited(void **state)
{
	char line[100];
	size_t lines = 0;

	(void)state;
	console_log_init();
	poll();
	log_sink("the prompt's row is left");
	fake_serial_take();
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < 1000; i++) {
			snprintf(line, sizeof(line), "vm guest%d: does something", i);
			log_sink(line);
			lines += lines_sent();
		}
	/* Most have to share, but all that are there together do not flood the line. */
	assert_in_range(lines, 1000, 2560);
	/* Names of the past leave room for new ones. */
	fake_clock_advance(60 * NS_PER_SEC);
	poll();
	log_sink("the prompt's row is left");
	fake_serial_take();
	for (int i = 0; i < 10; i++)
		log_sink("vm newcomer: does something");
	assert_int_equal(lines_sent(), 10);
}

static void a_trace_is_shown_as_the_line_can_take_it(void **state)
{
	(void)state;
	log_sink("trace alpha/0: CPUID");
	fake_clock_advance(50 * NS_PER_MS);
	poll();
	assert_string_equal(fake_serial_take(), "\r\ntrace alpha/0: CPUID\r\n" PROMPT);
	fake_serial_hold();
	for (int i = 0; i < 10000; i++)
		log_sink("trace alpha/0: HLT rip=1234567812345678");
	assert_true(serial_write_pending() < 2200);
	/* Keys are served meanwhile, and their echo is not far behind. */
	type("trace alpha off\r");
	assert_string_equal(executed, "trace alpha off;");
	fake_serial_release();
	fake_clock_advance(2 * NS_PER_SEC);
	poll();
	assert_non_null(strstr(fake_serial_take(), " lines of trace were left out)"));
	/* Not at all while a guest has the console. */
	attach(&beta);
	log_sink("trace alpha/0: CPUID");
	assert_string_equal(fake_serial_take(), "");
}

static void a_guests_answer_is_timed(void **state)
{
	uint64_t ns;

	(void)state;
	attach(&alpha);
	guest_says(&alpha, "by itself");
	assert_false(console_port_answer_ns(&alpha.port, &ns));
	fake_clock_advance(5 * NS_PER_MS);
	type("k");
	assert_false(console_port_answer_ns(&alpha.port, &ns));
	fake_clock_advance(30 * NS_PER_MS);
	guest_says(&alpha, "k");
	fake_clock_advance(10 * NS_PER_MS);
	guest_says(&alpha, "answer");
	fake_clock_advance(NS_PER_SEC);
	/* Of what is typed for Ballast the guest knows nothing, and what comes then is no answer. */
	type("\x1d" "d");
	guest_says(&alpha, "later");
	assert_true(console_port_answer_ns(&alpha.port, &ns));
	assert_int_equal(ns, 40 * NS_PER_MS);
	assert_false(console_port_answer_ns(&beta.port, &ns));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(keys_reach_the_shell),
		TEST(keys_wake_the_boot_cpu),
		TEST(a_guests_answer_is_timed),
		TEST(a_line_leaves_half_typed_input_alone),
		TEST(a_key_after_a_line_is_drawn_whole),
		TEST(lines_between_answers_start_rows),
		TEST(long_answers_do_not_block),
		TEST(a_flood_of_lines_has_few_prompts),
		TEST(a_full_console_says_what_it_lost),
		TEST(a_screen_is_drawn_by_what_changes),
		TEST(lines_come_after_the_screen),
		TEST(a_slow_line_leaves_frames_out),
		TEST(a_closed_console_has_no_prompt),
		TEST(attached_guest_talks_both_ways),
		TEST(other_guests_are_kept_for_later),
		TEST(the_key_leaves_and_nothing_else),
		TEST(the_key_twice_goes_to_the_guest),
		TEST(typed_ahead_of_the_prompt_is_kept),
		TEST(state_lines_start_rows_amid_guest_output),
		TEST(a_line_waits_for_the_end_of_a_sequence),
		TEST(a_busy_line_makes_the_guest_wait),
		TEST(the_way_out_is_short_under_a_flood),
		TEST(input_waits_for_a_slow_guest),
		TEST(scrollback_is_shown_as_text),
		TEST(scrollback_keeps_the_newest_rows),
		TEST(seen_rows_come_back_as_a_little_context),
		TEST(many_guests_write_at_once),
		TEST(the_end_of_a_guest_gives_the_prompt_back),
		TEST(answers_do_not_reach_the_shell),
		TEST(silence_counts_from_the_last_byte_sent),
		TEST(a_talking_line_settles_in_the_end),
		TEST(old_questions_do_not_delay_the_prompt),
		TEST(the_terminal_is_put_in_order),
		TEST(a_chatty_guest_is_limited),
		TEST(many_chatty_guests_are_limited),
		TEST(a_trace_is_shown_as_the_line_can_take_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
