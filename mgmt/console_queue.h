/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What Ballast itself has to say and the serial port had no room for yet; and what is known of the
 * terminal: whether its cursor is at the start of a row or amid an escape sequence of a guest.
 * Only console*.c; all of it under console.lock.
 */
#ifndef BALLAST_MGMT_CONSOLE_QUEUE_H
#define BALLAST_MGMT_CONSOLE_QUEUE_H

#include "mgmt/ansi.h"

#define CONSOLE_QUEUE_BYTES (256 * 1024)

struct console_queue {
	char *ring;
	uint32_t head, tail;    /* free-running */
	uint32_t lost;          /* lines that found no room */
	bool at_start;          /* behind all that is queued the cursor is at the start of a row */
	bool styled;            /* a guest may have changed the terminal's modes */
	struct ansi_scan scan;  /* of the guest's output that went to the serial port */
	uint64_t query_ns;      /* when it last asked the terminal something; 0: never */
	uint64_t hold_ns;       /* until then, wait for its escape sequence's end; 0: no need */
};

bool queue_is_empty(const struct console_queue *queue);
size_t queue_room(const struct console_queue *queue);
/* All or nothing. */
bool queue_put(struct console_queue *queue, const char *bytes, size_t count);
/* A line on a row of its own, if there is room. */
bool queue_put_line(struct console_queue *queue, const char *line);
/* Hand on what the serial port has room for. */
void queue_pump(struct console_queue *queue);

/* Output of the attached guest, past the queue; returns how many bytes went. */
size_t queue_pass(struct console_queue *queue, const uint8_t *bytes, size_t count);
/* Note what a guest's bytes do to the terminal. */
void queue_follow(struct console_queue *queue, const uint8_t *bytes, size_t count);
/* Undo what a guest did to the terminal's modes. */
void queue_reset_terminal(struct console_queue *queue);

#endif
