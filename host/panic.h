/* SPDX-License-Identifier: BSD-2-Clause */
/* The ways into panic() that other parts of host/ use. */
#ifndef BALLAST_HOST_PANIC_H
#define BALLAST_HOST_PANIC_H

#include "host/trap.h"
#include "lib/util.h"

/* panic() for an exception: with the registers of the frame, and a backtrace from there. */
void panic_trap(const struct trap_frame *frame, const char *name) __noreturn;
/* In the NMI handler: does not return when a CPU has panicked. */
void panic_stop_if_requested(void);
/* Stop all CPUs but the calling one, for good: before power goes off. */
void panic_stop_others(void);

#endif
