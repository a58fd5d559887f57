/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Following a guest's output just so far as to know where an escape sequence begins and ends, and
 * whether a terminal may answer it: an answer arrives as if the operator had typed it. (ECMA-48,
 * "Control Functions for Coded Character Sets"; what xterm and its kin add to it.) Pure.
 */
#ifndef BALLAST_MGMT_ANSI_H
#define BALLAST_MGMT_ANSI_H

#include "lib/util.h"

struct ansi_scan {
	enum ansi_state {
		ANSI_GROUND,
		ANSI_ESCAPE,     /* ESC, perhaps with intermediate bytes */
		ANSI_CONTROL,    /* ESC [ ... */
		ANSI_STRING,     /* ESC ], P, X, ^, _ ... up to BEL or the next ESC */
	} state;
	bool special; /* ANSI_CONTROL: a private or intermediate byte was seen */
};

#define ANSI_PART BIT(0)  /* the byte belongs to an escape sequence */
#define ANSI_QUERY BIT(1) /* with this byte something is complete that a terminal may answer */

/* Follow one byte; a zeroed scan stands at the start. */
unsigned int ansi_feed(struct ansi_scan *scan, uint8_t byte);

#endif
