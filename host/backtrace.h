/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who called whom, from a stack: every word on it that points behind a call in our own text is
 * taken for a return address. Frames that have ended may show, so it is to be read with the source
 * at hand. No locks, no memory but the stack's: also for an NMI's handler and for panic().
 */
#ifndef BALLAST_HOST_BACKTRACE_H
#define BALLAST_HOST_BACKTRACE_H

#include "lib/util.h"

#define BACKTRACE_TEXT_BYTES 128

/*
 * Return addresses on the stack that `rsp` is on, the innermost first, at most `most`; returns how
 * many. None when `rsp` is on none of our stacks. Any context; the stack's CPU stands still.
 */
unsigned int backtrace_scan(uint64_t rsp, uint64_t *addresses, unsigned int most);

/* "function+0x12 (image+0x3456)", or the bare address outside of Ballast. */
void backtrace_describe(uint64_t address, char text[BACKTRACE_TEXT_BYTES]);

#endif
