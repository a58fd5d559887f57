/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log ring and the last words. Each line goes to the ring and, by the sink that mgmt/ sets, to
 * the operator's console. Any CPU; a leaf lock inside. Lines are cut at 200 bytes; bytes that are
 * not printable ASCII are replaced, because parts of a line may come from a guest.
 */
#ifndef BALLAST_HOST_LOG_H
#define BALLAST_HOST_LOG_H

#include "lib/util.h"

/* One line, without its newline. log_note() goes to the ring alone. */
void log_line(const char *format, ...) __printf(1, 2);
void log_note(const char *format, ...) __printf(1, 2);

/* Who shows log_line()s: NULL (the start) means the serial port directly. */
void log_set_sink(void (*sink)(const char *line));

/*
 * Read the ring: copies the line numbered *cursor (or the oldest kept one after it) into `line`,
 * sets *cursor to the next one. False at the end. Start with *cursor = 0.
 */
bool log_read(uint64_t *cursor, char *line, size_t size, uint64_t *time_ns);

/* A broken hypervisor: registers, backtrace by symbol on the serial port, all CPUs stop. */
void panic(const char *format, ...) __printf(1, 2) __noreturn;

#endif
