/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial line's output: lines and answers; see mgmt/console.h. */
#include "host/clock.h"
#include "host/cpu.h"
#include "host/memory.h"
#include "host/serial.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/console_state.h"

#define FLUSH_NS NS_PER_SEC
/* Of a flood of lines not each is followed by a prompt: after so much silence, or in such steps. */
#define PROMPT_QUIET_NS (50 * NS_PER_MS)
#define PROMPT_STEP_NS (500 * NS_PER_MS)

struct console_state console;

void console_poll_soon(void)
{
	cpu_notify(cpu_by_id(0));
}

/* The serial port received something or has room; in irq_window(), so no lock is held here. */
static void serial_changed(void)
{
	bool wanted = console_receive();

	spin_lock(&console.lock);
	queue_pump(&console.queue);
	wanted = wanted || console_wants_more(console.attached) || console_wants_prompt();
	spin_unlock(&console.lock);
	if (wanted)
		console_poll_soon();
}

int console_init(void)
{
	console.queue.ring = heap_alloc(CONSOLE_QUEUE_BYTES, FRAME_HOST);
	if (!console.queue.ring)
		return -ENOMEM;
	console.queue.at_start = true;
	serial_set_notify(serial_changed);
	return 0;
}

#ifdef BALLAST_UNIT_TEST
void console_test_reset(void)
{
	heap_free(console.queue.ring);
	memset(&console, 0, sizeof(console));
	console_input_test_reset();
}
#endif

/* The row that the editor had is left. */
bool console_put_line(const char *line)
{
	bool screen = console.mode == MODE_SCREEN;
	bool put = screen ? console_screen_hold(line) : queue_put_line(&console.queue, line);

	if (!put)
		console.queue.lost++;
	if (put && console.prompt) {
		console.prompt = false;
		console.prompt_lost_ns = clock_now_ns();
		console_poll_soon();
	}
	queue_pump(&console.queue);
	/* A line held back behind a guest's escape sequence needs a look at the clock. */
	if (console.queue.hold_ns)
		console_poll_soon();
	return put;
}

void console_line(const char *line)
{
	spin_lock(&console.lock);
	console_put_line(line);
	spin_unlock(&console.lock);
}

void console_linef(const char *format, ...)
{
	char line[CONSOLE_LINE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	console_line(line);
}

bool console_line_if_idle(const char *line)
{
	bool put = false;

	spin_lock(&console.lock);
	if (console.mode == MODE_SHELL &&
		CONSOLE_QUEUE_BYTES - queue_room(&console.queue) < CONSOLE_IDLE_BYTES &&
		serial_write_pending() < CONSOLE_IDLE_BYTES)
		put = console_put_line(line);
	if (put)
		console.prompt_after_ns = MIN(clock_now_ns() + PROMPT_QUIET_NS,
			console.prompt_lost_ns + PROMPT_STEP_NS);
	spin_unlock(&console.lock);
	return put;
}

void console_print(const char *format, ...)
{
	char text[CONSOLE_LINE_BYTES];
	const char *at = text, *end;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	spin_lock(&console.lock);
	while ((end = strchr(at, '\n')) != NULL) {
		queue_put(&console.queue, at, (size_t)(end - at));
		queue_put(&console.queue, "\r\n", 2);
		at = end + 1;
	}
	queue_put(&console.queue, at, strlen(at));
	queue_pump(&console.queue);
	spin_unlock(&console.lock);
}

void console_edit(const char *bytes, size_t count)
{
	spin_lock(&console.lock);
	if (console.prompt) {
		queue_put(&console.queue, bytes, count);
		queue_pump(&console.queue);
	}
	spin_unlock(&console.lock);
}

void console_edit_done(void)
{
	spin_lock(&console.lock);
	console.prompt = false;
	spin_unlock(&console.lock);
}

void console_flush(void)
{
	uint64_t limit = clock_now_ns() + FLUSH_NS;
	bool done;

	do {
		spin_lock(&console.lock);
		queue_pump(&console.queue);
		done = queue_is_empty(&console.queue);
		spin_unlock(&console.lock);
		if (!done)
			irq_window();
	} while (!done && clock_now_ns() < limit);
}

void console_close(void)
{
	if (console.attached)
		console_leave(NULL);
	spin_lock(&console.lock);
	console.mode = MODE_CLOSED;
	console.prompt = false;
	spin_unlock(&console.lock);
}

/* Lines that were lost are worth one. Under the lock. */
static void confess(void)
{
	char line[CONSOLE_LINE_BYTES];
	uint32_t lost = console.queue.lost;

	if (!lost || console.mode == MODE_SCREEN ||
		queue_room(&console.queue) < CONSOLE_ANSWER_BYTES)
		return;
	console.queue.lost = 0;
	snprintf(line, sizeof(line), "(%u lines were not shown: the console is too slow)", lost);
	console_put_line(line);
}

uint64_t console_poll(void)
{
	uint64_t now = clock_now_ns(), again;
	bool more;

	console_receive();
	spin_lock(&console.lock);
	queue_pump(&console.queue);
	confess();
	more = console_wants_more(console.attached);
	if (more)
		console.attached->refused = false;
	spin_unlock(&console.lock);
	if (more)
		console.attached->output_ready(console.attached);
	again = console_serve_input(now);
	again = clock_sooner(again, console_screen_poll(now));
	spin_lock(&console.lock);
	again = clock_sooner(again, console.queue.hold_ns);
	spin_unlock(&console.lock);
	return again;
}
