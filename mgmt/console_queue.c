/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/console_queue.h"

#include "host/clock.h"
#include "host/serial.h"
#include "lib/string.h"

#define SHIFT_OUT 0x0e
#define ESC 0x1b
/* An escape sequence of the guest gets so long to come to its end before a line breaks it off. */
#define HOLD_NS (50 * NS_PER_MS)
/*
 * So much of an attached guest's output waits in the serial port at most: a third of a second at
 * 115200 baud. Ballast's own lines and the way out of the console do not wait longer.
 */
#define GUEST_BACKLOG 4096

bool queue_is_empty(const struct console_queue *queue)
{
	return queue->head == queue->tail;
}

size_t queue_room(const struct console_queue *queue)
{
	return CONSOLE_QUEUE_BYTES - (queue->head - queue->tail);
}

bool queue_put(struct console_queue *queue, const char *bytes, size_t count)
{
	if (count > queue_room(queue))
		return false;
	if (count)
		queue->at_start = bytes[count - 1] == '\n';
	while (count--)
		queue->ring[queue->head++ % CONSOLE_QUEUE_BYTES] = *bytes++;
	return true;
}

bool queue_put_line(struct console_queue *queue, const char *line)
{
	size_t length = strlen(line);

	if (queue_room(queue) < length + 4)
		return false;
	if (!queue->at_start)
		queue_put(queue, "\r\n", 2);
	queue_put(queue, line, length);
	queue_put(queue, "\r\n", 2);
	return true;
}

/* True while the guest's sequence is given time; at the end of that it is broken off. */
static bool must_hold(struct console_queue *queue)
{
	uint64_t now_ns;

	if (queue->scan.state == ANSI_GROUND) {
		queue->hold_ns = 0;
		return false;
	}
	now_ns = clock_now_ns();
	if (!queue->hold_ns)
		queue->hold_ns = now_ns + HOLD_NS;
	if (now_ns < queue->hold_ns || serial_write("\x18", 1) == 0)
		return true;
	queue->scan.state = ANSI_GROUND;
	queue->hold_ns = 0;
	return false;
}

void queue_pump(struct console_queue *queue)
{
	while (!queue_is_empty(queue) && !must_hold(queue)) {
		uint32_t at = queue->tail % CONSOLE_QUEUE_BYTES;
		size_t count = MIN(queue->head - queue->tail, CONSOLE_QUEUE_BYTES - at);
		size_t taken = serial_write(queue->ring + at, count);

		queue->tail += (uint32_t)taken;
		if (taken < count)
			break;
	}
}

void queue_follow(struct console_queue *queue, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t byte = bytes[i];
		unsigned int seen = ansi_feed(&queue->scan, byte);

		if (seen & ANSI_QUERY)
			queue->query_ns = clock_now_ns();
		if (byte == ESC || byte == SHIFT_OUT || byte >= 0x80)
			queue->styled = true;
		if (!(seen & ANSI_PART))
			queue->at_start = byte == '\n' || (byte == '\r' && queue->at_start);
	}
}

/* Of a guest amid an escape sequence, what is left of that: Ballast's line waits for its end. */
static size_t rest_of_sequence(const struct console_queue *queue, const uint8_t *bytes,
	size_t count)
{
	struct ansi_scan scan = queue->scan;
	size_t length = 0;

	while (length < count && scan.state != ANSI_GROUND)
		ansi_feed(&scan, bytes[length++]);
	return length;
}

size_t queue_pass(struct console_queue *queue, const uint8_t *bytes, size_t count)
{
	size_t pending = serial_write_pending(), taken;

	if (!queue_is_empty(queue))
		count = rest_of_sequence(queue, bytes, count);
	else
		count = MIN(count, GUEST_BACKLOG - MIN(pending, (size_t)GUEST_BACKLOG));
	taken = serial_write((const char *)bytes, count);
	queue_follow(queue, bytes, taken);
	return taken;
}

/*
 * Break off a sequence that has no end yet; soft reset (DECSTR), plain characters in the first
 * character set; no reports of mouse, focus or paste.
 */
void queue_reset_terminal(struct console_queue *queue)
{
	static const char end[] = "\x18\x1b\\";
	static const char reset[] = "\x1b[!p\x1b[0m\x0f\x1b[?1000l\x1b[?1002l\x1b[?1003l"
		"\x1b[?1004l\x1b[?2004l";
	bool at_start = queue->at_start;

	if (!queue->styled)
		return;
	if (queue->scan.state != ANSI_GROUND)
		queue_put(queue, end, sizeof(end) - 1);
	queue_put(queue, reset, sizeof(reset) - 1);
	queue->at_start = at_start;
	queue->styled = false;
	queue->scan.state = ANSI_GROUND;
}
