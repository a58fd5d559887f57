/* SPDX-License-Identifier: BSD-2-Clause */
/* The guests' side of the console: what they write, and who is attached; see mgmt/console.h. */
#include "host/clock.h"
#include "host/memory.h"
#include "host/serial.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/console_state.h"

/* The terminal's answers come so long after a question at the latest. */
#define QUERY_LIFE_NS (5 * NS_PER_SEC)
/* Of what the operator has seen of a guest already, so much is shown again when he comes back. */
#define CONTEXT_BYTES 1024

int console_port_init(struct console_port *port)
{
	port->written = port->seen = 0;
	port->typed_ns = port->answered_ns = 0;
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

/* The port was attached a moment ago; it may not be any more. */
static size_t shown_output(struct console_port *port, const uint8_t *bytes, size_t count)
{
	size_t taken = count;
	bool attached;

	spin_lock(&console.lock);
	attached = console.attached == port;
	if (attached)
		taken = attached_output(bytes, count);
	port->refused = taken < count;
	spin_lock(&port->lock);
	keep(port, bytes, taken);
	if (attached) {
		port->seen = port->written;
		port->answered_ns = taken ? clock_now_ns() : port->answered_ns;
	}
	spin_unlock(&port->lock);
	spin_unlock(&console.lock);
	return taken;
}

bool console_port_answer_ns(struct console_port *port, uint64_t *ns)
{
	bool answered;

	spin_lock(&port->lock);
	answered = port->typed_ns && port->answered_ns >= port->typed_ns;
	*ns = port->answered_ns - port->typed_ns;
	spin_unlock(&port->lock);
	return answered;
}

size_t console_port_output(struct console_port *port, const uint8_t *bytes, size_t count)
{
	bool attached;

	spin_lock(&port->lock);
	attached = __atomic_load_n(&console.attached, __ATOMIC_RELAXED) == port;
	if (!attached)
		keep(port, bytes, count);
	spin_unlock(&port->lock);
	return attached ? shown_output(port, bytes, count) : count;
}

void console_port_input_ready(struct console_port *port)
{
	if (__atomic_load_n(&console.attached, __ATOMIC_RELAXED) == port)
		console_poll_soon();
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

void console_leave(const char *line)
{
	struct console_port *port = console.attached;
	uint64_t now = clock_now_ns();
	bool asked;

	spin_lock(&console.lock);
	asked = console.queue.query_ns && now < console.queue.query_ns + QUERY_LIFE_NS;
	__atomic_store_n(&console.attached, NULL, __ATOMIC_RELAXED);
	if (console.mode == MODE_GUEST)
		console.mode = asked ? MODE_SETTLE : MODE_SHELL;
	queue_reset_terminal(&console.queue);
	if (line)
		console_put_line(line);
	spin_unlock(&console.lock);
	console_input_left(now);
	shell_forget();
	/* What the port refused while it was attached goes to the scrollback. */
	port->output_ready(port);
	console_poll_soon();
}

void console_attach(struct console_port *port)
{
	char line[CONSOLE_LINE_BYTES];

	if (console.attached)
		console_leave(NULL);
	snprintf(line, sizeof(line), "--- console of vm %s: " CONSOLE_KEY_NAME " d leaves, "
		CONSOLE_KEY_NAME " twice sends one ---", port->name);
	spin_lock(&console.lock);
	console_put_line(line);
	/* What the guest writes is either among this already, or finds the port attached. */
	spin_lock(&port->lock);
	replay(port);
	__atomic_store_n(&console.attached, port, __ATOMIC_RELAXED);
	spin_unlock(&port->lock);
	console.prompt = false;
	console.mode = MODE_GUEST;
	console.queue.query_ns = 0;
	port->refused = true;
	queue_pump(&console.queue);
	spin_unlock(&console.lock);
	console_input_attached();
	console_poll_soon();
}

bool console_is_attached(const struct console_port *port)
{
	return console.attached == port;
}

void console_show(struct console_port *port)
{
	spin_lock(&console.lock);
	spin_lock(&port->lock);
	replay(port);
	spin_unlock(&port->lock);
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
		console_leave(NULL);
}

bool console_wants_more(const struct console_port *port)
{
	return port && port->refused && queue_is_empty(&console.queue) &&
		serial_write_pending() < CONSOLE_IDLE_BYTES;
}
