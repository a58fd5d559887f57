/* SPDX-License-Identifier: BSD-2-Clause */
/* What the operator types, and who gets it; see mgmt/console.h. All of it is the boot CPU's. */
#include "host/clock.h"
#include "host/serial.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/console_state.h"

#define INPUT_RING 4096
#define ESCAPE_KEY 0x1d /* Ctrl-] */
/* After a guest has lost the console: silence on the line, and how long at most to wait for it. */
#define SETTLE_QUIET_NS (250 * NS_PER_MS)
#define SETTLE_LIMIT_NS (3 * NS_PER_SEC)
/* A guest that takes no more input now says when it does; a reset may make it forget that. */
#define INPUT_RETRY_NS (100 * NS_PER_MS)

static struct {
	uint8_t ring[INPUT_RING];      /* received */
	uint32_t head, tail;           /* free-running */
	uint64_t arrived_ns;           /* when the last one came */
	uint8_t typed[INPUT_RING];     /* for the attached guest */
	size_t typed_count;
	bool escape;                   /* the escape key was the last one */
	uint64_t settle_limit_ns;
	uint64_t quiet_ns;             /* since then the line is silent */
} input;

bool console_receive(void)
{
	int byte;

	while (input.head - input.tail < INPUT_RING && (byte = serial_read()) >= 0) {
		input.ring[input.head++ % INPUT_RING] = (uint8_t)byte;
		input.arrived_ns = clock_now_ns();
	}
	return input.head != input.tail;
}

bool console_wants_prompt(void)
{
	return console.mode == MODE_SHELL && !console.prompt &&
		queue_room(&console.queue) >= CONSOLE_ANSWER_BYTES;
}

static void type_to_guest(uint8_t byte)
{
	console.attached->typed_ns = input.arrived_ns;
	/* A guest that reads nothing loses what comes last, as on a real line. */
	if (input.typed_count < sizeof(input.typed))
		input.typed[input.typed_count++] = byte;
}

static void escape_key(uint8_t byte)
{
	char line[CONSOLE_LINE_BYTES];

	switch (byte) {
	case 'd':
	case 'D':
		snprintf(line, sizeof(line), "--- left the console of vm %s ---",
			console.attached->name);
		console_leave(line);
		return;
	case ESCAPE_KEY:
		type_to_guest(ESCAPE_KEY);
		return;
	}
	console_line("--- " CONSOLE_KEY_NAME " d leaves this console, " CONSOLE_KEY_NAME
		" twice sends one ---");
}

static void guest_byte(uint8_t byte)
{
	if (input.escape) {
		input.escape = false;
		escape_key(byte);
	} else if (byte == ESCAPE_KEY) {
		input.escape = true;
	} else {
		type_to_guest(byte);
	}
}

static void give_typed(void)
{
	struct console_port *port = console.attached;
	size_t taken;

	if (!port || !input.typed_count)
		return;
	taken = port->input(port, input.typed, input.typed_count);
	input.typed_count -= taken;
	memmove(input.typed, input.typed + taken, input.typed_count);
}

/*
 * The prompt stands again where the line editor has lost its row. False while there is none:
 * earlier answers fill the queue, or, if nothing was typed, more lines may follow.
 */
static bool show_prompt(bool typed)
{
	bool shown, draw;

	spin_lock(&console.lock);
	draw = console_wants_prompt() && (typed || clock_now_ns() >= console.prompt_after_ns);
	if (draw && !console.queue.at_start)
		queue_put(&console.queue, "\r\n", 2);
	if (draw)
		console.prompt = true;
	shown = console.prompt;
	spin_unlock(&console.lock);
	if (draw)
		shell_draw();
	return shown;
}

static void serve_input(void)
{
	while (input.head != input.tail) {
		uint8_t byte = input.ring[input.tail % INPUT_RING];

		if (console.mode == MODE_SHELL && !show_prompt(true))
			return;
		input.tail++;
		switch (console.mode) {
		case MODE_SHELL:
			shell_input(byte);
			break;
		case MODE_GUEST:
			guest_byte(byte);
			break;
		case MODE_SCREEN:
			console_screen_key(byte);
			break;
		case MODE_SETTLE:
			input.quiet_ns = clock_now_ns();
			break;
		case MODE_CLOSED:
			break;
		}
	}
}

/* Ends when the guest's last output is out and nothing has come in for a while. */
static void settle(uint64_t now_ns)
{
	bool busy;

	spin_lock(&console.lock);
	busy = !queue_is_empty(&console.queue) || serial_write_pending();
	spin_unlock(&console.lock);
	if (busy)
		input.quiet_ns = now_ns;
	if (now_ns < input.quiet_ns + SETTLE_QUIET_NS && now_ns < input.settle_limit_ns)
		return;
	spin_lock(&console.lock);
	console.mode = MODE_SHELL;
	spin_unlock(&console.lock);
	shell_forget();
}

uint64_t console_serve_input(uint64_t now_ns)
{
	uint64_t again = 0;

	serve_input();
	give_typed();
	if (input.typed_count && console.attached)
		again = now_ns + INPUT_RETRY_NS;
	if (console.mode == MODE_SETTLE) {
		settle(now_ns);
		/* While it lasts nobody is attached. */
		again = now_ns + SETTLE_QUIET_NS / 4;
	}
	if (!show_prompt(false) && now_ns < console.prompt_after_ns)
		again = again ? MIN(again, console.prompt_after_ns) : console.prompt_after_ns;
	return again;
}

void console_input_attached(void)
{
	input.typed_count = 0;
	input.escape = false;
}

void console_input_left(uint64_t now_ns)
{
	input.settle_limit_ns = now_ns + SETTLE_LIMIT_NS;
	input.quiet_ns = now_ns;
}

#ifdef BALLAST_UNIT_TEST
void console_input_test_reset(void)
{
	memset(&input, 0, sizeof(input));
}
#endif
