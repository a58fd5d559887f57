/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A command with the whole screen: rows of text that it draws anew now and then, of which only what
 * has changed goes to the terminal (ECMA-48: CUP, ED, and xterm's hidden cursor).
 */
#include "host/clock.h"
#include "host/serial.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/console_state.h"

/* Lines of Ballast's own that came meanwhile. */
#define HELD_BYTES 8192
/* The line is busy: so long until the next look at it. */
#define BUSY_NS (100 * NS_PER_MS)

#define CLEAR "\x1b[?25l\x1b[2J"
#define END "\x1b[%d;1H\x1b[?25h\r\n"

/* Boot CPU, but for what is held. */
static struct {
	const struct console_screen *owner; /* NULL: there is no screen */
	char shown[CONSOLE_ROWS][CONSOLE_COLUMNS];
	uint64_t due_ns;
	size_t held;             /* [console.lock] bytes; each line ends with its 0 */
	char lines[HELD_BYTES];  /* [console.lock] */
} screen;

static void put(const char *bytes, size_t count)
{
	spin_lock(&console.lock);
	queue_put(&console.queue, bytes, count);
	spin_unlock(&console.lock);
}

bool console_screen_hold(const char *line)
{
	size_t bytes = strlen(line) + 1;

	if (bytes > sizeof(screen.lines) - screen.held)
		return false;
	memcpy(screen.lines + screen.held, line, bytes);
	screen.held += bytes;
	return true;
}

void console_screen_begin(const struct console_screen *owner)
{
	screen.owner = owner;
	screen.due_ns = 0;
	memset(screen.shown, ' ', sizeof(screen.shown));
	spin_lock(&console.lock);
	console.mode = MODE_SCREEN;
	console.prompt = false;
	queue_put(&console.queue, CLEAR, sizeof(CLEAR) - 1);
	spin_unlock(&console.lock);
	console_poll_soon();
}

void console_screen_end(void)
{
	char end[sizeof(END) + 8];

	if (!screen.owner)
		return;
	screen.owner = NULL;
	snprintf(end, sizeof(end), END, CONSOLE_ROWS);
	spin_lock(&console.lock);
	queue_put(&console.queue, end, strlen(end));
	console.mode = MODE_SHELL;
	for (size_t at = 0; at < screen.held; at += strlen(screen.lines + at) + 1)
		console_put_line(screen.lines + at);
	screen.held = 0;
	queue_pump(&console.queue);
	spin_unlock(&console.lock);
	console_poll_soon();
}

/* From the first column that differs to the last one. */
static void draw_row(unsigned int row, const char *text)
{
	char *shown = screen.shown[row], place[16];
	size_t first = 0, last = CONSOLE_COLUMNS;

	while (first < last && text[first] == shown[first])
		first++;
	while (last > first && text[last - 1] == shown[last - 1])
		last--;
	if (first == last)
		return;
	memcpy(shown + first, text + first, last - first);
	snprintf(place, sizeof(place), "\x1b[%u;%zuH", row + 1, first + 1);
	put(place, strlen(place));
	put(shown + first, last - first);
}

void console_screen_row(unsigned int row, const char *text)
{
	char padded[CONSOLE_COLUMNS];
	size_t length = strnlen(text, CONSOLE_COLUMNS);

	memset(padded, ' ', sizeof(padded));
	memcpy(padded, text, length);
	if (row < CONSOLE_ROWS)
		draw_row(row, padded);
}

void console_screen_key(uint8_t byte)
{
	if (screen.owner)
		screen.owner->key(byte);
}

/* Nothing of the last drawing is on its way any more. */
static bool line_is_idle(void)
{
	bool idle;

	spin_lock(&console.lock);
	idle = queue_is_empty(&console.queue) && serial_write_pending() == 0;
	spin_unlock(&console.lock);
	return idle;
}

uint64_t console_screen_poll(uint64_t now_ns)
{
	if (!screen.owner)
		return 0;
	if (now_ns < screen.due_ns)
		return screen.due_ns;
	if (!line_is_idle())
		return now_ns + BUSY_NS;
	screen.due_ns = now_ns + screen.owner->period_ns;
	screen.owner->draw(now_ns);
	spin_lock(&console.lock);
	queue_pump(&console.queue);
	spin_unlock(&console.lock);
	return screen.owner ? screen.due_ns : 0;
}
