/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines of the log on their way to the console, so that no guest can flood it: what begins with
 * `vm NAME:` is limited for each NAME, a guest's trace is shown while the shell has the console and
 * the line has room. What is left out is counted, and is in the log's ring all the same.
 */
#ifndef BALLAST_MGMT_CONSOLE_LOG_H
#define BALLAST_MGMT_CONSOLE_LOG_H

#include "lib/util.h"

/* Take the log's lines from now on. After console_init(). */
void console_log_init(void);
/* Say what was left out, now and then. Boot CPU. Returns when to call again; 0: no need. */
uint64_t console_log_poll(void);

#endif
