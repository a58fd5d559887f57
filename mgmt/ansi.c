/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/ansi.h"

#include "lib/string.h"

#define ENQ 0x05
#define BEL 0x07
#define CAN 0x18
#define SUB 0x1a
#define ESC 0x1b

/*
 * What is not known to be silent counts as a question. Cursor movement, erasing, colours, margins,
 * modes: these have no answer; with a private byte most letters mean something else.
 */
static bool control_is_silent(uint8_t final, bool special)
{
	return strchr(special ? "hlJK" : "@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu", final) != NULL;
}

static unsigned int feed_escape(struct ansi_scan *scan, uint8_t byte)
{
	scan->special = false;
	if (byte >= 0x20 && byte <= 0x2f)
		return ANSI_PART; /* ESC ( B and its like: one more */
	scan->state = ANSI_GROUND;
	switch (byte) {
	case '[':
		scan->state = ANSI_CONTROL;
		return ANSI_PART;
	case ']':
		scan->state = ANSI_STRING;
		return ANSI_PART;
	case 'P': case 'X': case '^': case '_':
		scan->state = ANSI_STRING;
		return ANSI_PART | ANSI_QUERY;
	case 'Z':
		return ANSI_PART | ANSI_QUERY;
	}
	return ANSI_PART;
}

static unsigned int feed_control(struct ansi_scan *scan, uint8_t byte)
{
	if (byte >= 0x40 && byte <= 0x7e) {
		scan->state = ANSI_GROUND;
		return control_is_silent(byte, scan->special) ? ANSI_PART : ANSI_PART | ANSI_QUERY;
	}
	if ((byte >= 0x20 && byte <= 0x2f) || (byte >= '<' && byte <= '?'))
		scan->special = true;
	return ANSI_PART;
}

/* Colours and titles are asked for with a question mark in place of the value. */
static unsigned int feed_string(struct ansi_scan *scan, uint8_t byte)
{
	if (byte == BEL)
		scan->state = ANSI_GROUND;
	return byte == '?' ? ANSI_PART | ANSI_QUERY : ANSI_PART;
}

static unsigned int feed_sequence(struct ansi_scan *scan, uint8_t byte)
{
	switch (scan->state) {
	case ANSI_ESCAPE:
		return feed_escape(scan, byte);
	case ANSI_CONTROL:
		return feed_control(scan, byte);
	case ANSI_STRING:
		return feed_string(scan, byte);
	case ANSI_GROUND:
		break;
	}
	return 0;
}

unsigned int ansi_feed(struct ansi_scan *scan, uint8_t byte)
{
	unsigned int part = scan->state == ANSI_GROUND ? 0 : ANSI_PART;

	if (byte == CAN || byte == SUB) {
		scan->state = ANSI_GROUND;
		return part;
	}
	/* Within a string it is its end, or breaks it off. */
	if (byte == ESC) {
		scan->state = ANSI_ESCAPE;
		return ANSI_PART;
	}
	if (byte == ENQ)
		return part | ANSI_QUERY;
	/* The 8-bit forms of the above; in UTF-8 the rest of a letter. */
	if (byte >= 0x80 && byte <= 0x9f)
		return part | ANSI_QUERY;
	/* Other control characters work in the midst of a sequence. */
	if (byte < ' ' && scan->state != ANSI_STRING)
		return 0;
	return feed_sequence(scan, byte);
}
