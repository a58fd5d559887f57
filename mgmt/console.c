/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has the serial line; see mgmt/console.h. */
#include "mgmt/console.h"

#include "host/clock.h"
#include "host/cpu.h"
#include "host/lock.h"
#include "host/memory.h"
#include "host/serial.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/console_queue.h"

#define INPUT_RING 4096
#define ESCAPE_KEY 0x1d /* Ctrl-] */
#define LINE_BYTES 256
/* A command is begun only when there is room for the longest answer. */
#define ANSWER_BYTES (64 * 1024)
/* Lines that may be left out wait in the queue up to here: a fifth of a second at 115200 baud. */
#define IDLE_BYTES 2048
/* The terminal's answers come so long after a question at the latest. */
#define QUERY_LIFE_NS (5 * NS_PER_SEC)
/* After a guest has lost the console: silence on the line, and how long at most to wait for it. */
#define SETTLE_QUIET_NS (250 * NS_PER_MS)
#define SETTLE_LIMIT_NS (3 * NS_PER_SEC)
/* A guest that takes no more input now says when it does; a reset may make it forget that. */
#define INPUT_RETRY_NS (100 * NS_PER_MS)
/* Of what the operator has seen of a guest already, so much is shown again when he comes back. */
#define CONTEXT_BYTES 1024
#define FLUSH_NS NS_PER_SEC

enum console_mode {
	MODE_SHELL,
	MODE_GUEST,
	MODE_SETTLE, /* after a guest: input is thrown away */
	MODE_CLOSED, /* the machine ends: likewise */
};

static struct {
	struct spinlock lock;
	struct console_queue queue;    /* [lock] */
	enum console_mode mode;        /* [lock] changed by the boot CPU */
	struct console_port *attached; /* [lock] changed by the boot CPU; with MODE_GUEST */
	bool draining;                 /* [lock] all that the attached guest writes is queued */
	bool prompt;                   /* [lock] the line editor has the last row */
} console;

/* Boot CPU. */
static struct {
	uint8_t ring[INPUT_RING];      /* received */
	uint32_t head, tail;           /* free-running */
	uint8_t typed[INPUT_RING];     /* for the attached guest */
	size_t typed_count;
	bool escape;                   /* the escape key was the last one */
	uint64_t settle_limit_ns;
	uint64_t quiet_ns;             /* since then the line is silent */
} input;

static void poll_soon(void)
{
	cpu_kick(cpu_by_id(0));
}

static void receive(void)
{
	int byte;

	while (input.head - input.tail < INPUT_RING && (byte = serial_read()) >= 0)
		input.ring[input.head++ % INPUT_RING] = (uint8_t)byte;
}

/* Under the lock. Is it worthwhile to ask the attached guest for what was refused? */
static bool wants_more(const struct console_port *port)
{
	return port && port->refused && queue_is_empty(&console.queue) &&
		serial_write_pending() < IDLE_BYTES;
}

/* Under the lock. Is there room for the prompt, and for what a command may answer? */
static bool wants_prompt(void)
{
	return console.mode == MODE_SHELL && !console.prompt &&
		queue_room(&console.queue) >= ANSWER_BYTES;
}

/* The serial port received something or has room; in irq_window(), so no lock is held here. */
static void serial_changed(void)
{
	bool wanted;

	receive();
	spin_lock(&console.lock);
	queue_pump(&console.queue);
	wanted = input.head != input.tail || wants_more(console.attached) || wants_prompt();
	spin_unlock(&console.lock);
	if (wanted)
		poll_soon();
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
	memset(&input, 0, sizeof(input));
}
#endif

int console_port_init(struct console_port *port)
{
	port->written = port->seen = 0;
	port->refused = false;
	port->scrollback = heap_alloc(CONSOLE_SCROLLBACK, FRAME_VM);
	return port->scrollback ? 0 : -ENOMEM;
}

void console_port_destroy(struct console_port *port)
{
	console_port_ended(port);
	heap_free(port->scrollback);
	port->scrollback = NULL;
}

/* --- Output --- */

/* Under the lock: the row that the editor had is left, and the prompt comes again later. */
static bool put_line(const char *line)
{
	bool put = queue_put_line(&console.queue, line);

	if (!put)
		console.queue.lost++;
	if (put && console.prompt) {
		console.prompt = false;
		poll_soon();
	}
	queue_pump(&console.queue);
	/* A line held back behind a guest's escape sequence needs a look at the clock. */
	if (console.queue.hold_ns)
		poll_soon();
	return put;
}

void console_line(const char *line)
{
	spin_lock(&console.lock);
	put_line(line);
	spin_unlock(&console.lock);
}

void console_linef(const char *format, ...)
{
	char line[LINE_BYTES];
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
		CONSOLE_QUEUE_BYTES - queue_room(&console.queue) < IDLE_BYTES &&
		serial_write_pending() < IDLE_BYTES)
		put = put_line(line);
	spin_unlock(&console.lock);
	return put;
}

void console_print(const char *format, ...)
{
	char text[LINE_BYTES];
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

/* --- Guests' output --- */

static void keep(struct console_port *port, const uint8_t *bytes, size_t count)
{
	while (count--)
		port->scrollback[port->written++ % CONSOLE_SCROLLBACK] = (char)*bytes++;
}

/* Under the lock. */
static size_t attached_output(const uint8_t *bytes, size_t count)
{
	if (!console.draining)
		return queue_pass(&console.queue, bytes, count);
	if (!queue_put(&console.queue, (const char *)bytes, count))
		return 0;
	queue_follow(&console.queue, bytes, count);
	return count;
}

size_t console_port_output(struct console_port *port, const uint8_t *bytes, size_t count)
{
	size_t taken = count;
	bool attached;

	spin_lock(&console.lock);
	attached = console.attached == port;
	if (attached)
		taken = attached_output(bytes, count);
	keep(port, bytes, taken);
	if (attached)
		port->seen = port->written;
	port->refused = taken < count;
	spin_unlock(&console.lock);
	return taken;
}

void console_port_input_ready(struct console_port *port)
{
	if (console.attached == port)
		poll_soon();
}

/* The first byte of the scrollback to show: what is new, with some context, whole rows. */
static uint64_t replay_start(const struct console_port *port)
{
	uint64_t oldest = port->written - MIN(port->written, (uint64_t)CONSOLE_SCROLLBACK);
	uint64_t context = port->written - MIN(port->written, (uint64_t)CONTEXT_BYTES);
	uint64_t start = MAX(oldest, MIN(port->seen, context));
	/* What was before the oldest byte is not known any more. */
	uint64_t row = start + (start == oldest);

	if (start == 0)
		return 0;
	while (row < port->written && port->scrollback[(row - 1) % CONSOLE_SCROLLBACK] != '\n')
		row++;
	return row < port->written ? row : start;
}

/*
 * Text alone: a question to the terminal that is asked again would be answered again, into the
 * guest's shell.
 */
static void replay(struct console_port *port)
{
	struct ansi_scan scan = {0};

	for (uint64_t at = replay_start(port); at < port->written; at++) {
		char c = port->scrollback[at % CONSOLE_SCROLLBACK];
		unsigned int seen = ansi_feed(&scan, (uint8_t)c);

		if (seen == 0 && (c >= ' ' || c == '\n' || c == '\r' || c == '\b' || c == '\t'))
			queue_put(&console.queue, &c, 1);
	}
	port->seen = port->written;
}

/* The guest loses the console; `line` may be NULL. */
static void leave(const char *line)
{
	struct console_port *port = console.attached;
	uint64_t now = clock_now_ns();
	bool asked;

	spin_lock(&console.lock);
	asked = console.queue.query_ns && now < console.queue.query_ns + QUERY_LIFE_NS;
	console.attached = NULL;
	if (console.mode == MODE_GUEST)
		console.mode = asked ? MODE_SETTLE : MODE_SHELL;
	queue_reset_terminal(&console.queue);
	if (line)
		put_line(line);
	spin_unlock(&console.lock);
	input.settle_limit_ns = now + SETTLE_LIMIT_NS;
	input.quiet_ns = now;
	shell_forget();
	/* What the port refused while it was attached goes to the scrollback. */
	port->output_ready(port);
	poll_soon();
}

void console_attach(struct console_port *port)
{
	char line[LINE_BYTES];

	if (console.attached)
		leave(NULL);
	snprintf(line, sizeof(line), "--- console of vm %s: " CONSOLE_KEY_NAME " d leaves, "
		CONSOLE_KEY_NAME " twice sends one ---", port->name);
	spin_lock(&console.lock);
	put_line(line);
	replay(port);
	console.prompt = false;
	console.attached = port;
	console.mode = MODE_GUEST;
	console.queue.query_ns = 0;
	port->refused = true;
	queue_pump(&console.queue);
	spin_unlock(&console.lock);
	input.typed_count = 0;
	input.escape = false;
	poll_soon();
}

bool console_is_attached(const struct console_port *port)
{
	return console.attached == port;
}

void console_show(struct console_port *port)
{
	spin_lock(&console.lock);
	replay(port);
	if (!console.queue.at_start)
		queue_put(&console.queue, "\r\n", 2);
	queue_pump(&console.queue);
	spin_unlock(&console.lock);
}

void console_port_drain(struct console_port *port)
{
	spin_lock(&console.lock);
	console.draining = true;
	spin_unlock(&console.lock);
	port->output_ready(port);
	spin_lock(&console.lock);
	console.draining = false;
	spin_unlock(&console.lock);
}

void console_port_ended(struct console_port *port)
{
	if (console.attached == port)
		leave(NULL);
}

void console_close(void)
{
	if (console.attached)
		leave(NULL);
	spin_lock(&console.lock);
	console.mode = MODE_CLOSED;
	console.prompt = false;
	spin_unlock(&console.lock);
}

/* --- Input --- */

static void type_to_guest(uint8_t byte)
{
	/* A guest that reads nothing loses what comes last, as on a real line. */
	if (input.typed_count < sizeof(input.typed))
		input.typed[input.typed_count++] = byte;
}

static void escape_key(uint8_t byte)
{
	char line[LINE_BYTES];

	switch (byte) {
	case 'd':
	case 'D':
		snprintf(line, sizeof(line), "--- left the console of vm %s ---",
			console.attached->name);
		leave(line);
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
 * earlier answers fill the queue.
 */
static bool show_prompt(void)
{
	bool shown, draw;

	spin_lock(&console.lock);
	draw = wants_prompt();
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

		if (console.mode == MODE_SHELL && !show_prompt())
			return;
		input.tail++;
		switch (console.mode) {
		case MODE_SHELL:
			shell_input(byte);
			break;
		case MODE_GUEST:
			guest_byte(byte);
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

/* Lines that were lost are worth one. Under the lock. */
static void confess(void)
{
	char line[LINE_BYTES];
	uint32_t lost = console.queue.lost;

	if (!lost || queue_room(&console.queue) < ANSWER_BYTES)
		return;
	console.queue.lost = 0;
	snprintf(line, sizeof(line), "(%u lines were not shown: the console is too slow)", lost);
	put_line(line);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a && (!b || a < b) ? a : b;
}

uint64_t console_poll(void)
{
	uint64_t now = clock_now_ns(), again = 0;
	bool more;

	receive();
	spin_lock(&console.lock);
	queue_pump(&console.queue);
	confess();
	more = wants_more(console.attached);
	if (more)
		console.attached->refused = false;
	spin_unlock(&console.lock);
	if (more)
		console.attached->output_ready(console.attached);
	serve_input();
	give_typed();
	if (input.typed_count && console.attached)
		again = now + INPUT_RETRY_NS;
	if (console.mode == MODE_SETTLE) {
		settle(now);
		again = sooner(again, now + SETTLE_QUIET_NS / 4);
	}
	show_prompt();
	return sooner(again, console.queue.hold_ns);
}
