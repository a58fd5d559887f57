/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Grace periods. Whatever code of Ballast found before one began (a pointer into a guest's memory,
 * say) is in use no more when it is over: every CPU has taken an interrupt since. Interrupts are
 * taken between exits' handlers, in idle CPUs and by guests, never while a pointer is held; I/O
 * that goes on by itself is counted by others.
 *
 * What was done before grace_begin() is seen by whoever looks afterwards.
 */
#ifndef BALLAST_HOST_GRACE_H
#define BALLAST_HOST_GRACE_H

#include "lib/util.h"

/* A new one begins, for the price of an interrupt on each CPU. Any CPU. */
uint64_t grace_begin(void) __must_check;
/* Is the one with this ticket over? Any CPU. */
bool grace_is_over(uint64_t ticket);
/* This CPU takes an interrupt: irq_dispatch() alone says so. */
void grace_pass(void);

#endif
