/* SPDX-License-Identifier: BSD-2-Clause */
/* The log ring: the last lines, numbered from 0 for ever. Locks: log_lock is a leaf. */
#include "host/log.h"

#include "host/clock.h"
#include "host/lock.h"
#include "host/serial.h"
#include "lib/printf.h"
#include "lib/string.h"

#define LOG_LINE_BYTES 200
#define LOG_LINES 256

struct log_entry {
	uint64_t time_ns;
	char text[LOG_LINE_BYTES];
};

static struct spinlock log_lock;
static struct log_entry entries[LOG_LINES]; /* [log_lock] */
static uint64_t entries_written;            /* [log_lock] */
static void (*sink)(const char *line);      /* [a] */

static void make_line(char line[LOG_LINE_BYTES], const char *format, va_list args)
{
	vsnprintf(line, LOG_LINE_BYTES, format, args);
	for (char *c = line; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static void keep(const char *line)
{
	struct log_entry *entry;

	spin_lock(&log_lock);
	entry = &entries[entries_written++ % LOG_LINES];
	entry->time_ns = clock_now_ns();
	memcpy(entry->text, line, strlen(line) + 1);
	spin_unlock(&log_lock);
}

static void show(const char *line)
{
	void (*to)(const char *) = __atomic_load_n(&sink, __ATOMIC_ACQUIRE);

	if (to) {
		to(line);
		return;
	}
	serial_write(line, strlen(line));
	serial_write("\r\n", 2);
}

void log_line(const char *format, ...)
{
	char line[LOG_LINE_BYTES];
	va_list args;

	va_start(args, format);
	make_line(line, format, args);
	va_end(args);
	keep(line);
	show(line);
}

void log_note(const char *format, ...)
{
	char line[LOG_LINE_BYTES];
	va_list args;

	va_start(args, format);
	make_line(line, format, args);
	va_end(args);
	keep(line);
}

void log_set_sink(void (*new_sink)(const char *line))
{
	__atomic_store_n(&sink, new_sink, __ATOMIC_RELEASE);
}

bool log_read(uint64_t *cursor, char *line, size_t size, uint64_t *time_ns)
{
	const struct log_entry *entry;
	bool found;

	spin_lock(&log_lock);
	if (entries_written > LOG_LINES && *cursor < entries_written - LOG_LINES)
		*cursor = entries_written - LOG_LINES;
	found = *cursor < entries_written;
	if (found) {
		entry = &entries[(*cursor)++ % LOG_LINES];
		*time_ns = entry->time_ns;
		snprintf(line, size, "%s", entry->text);
	}
	spin_unlock(&log_lock);
	return found;
}
