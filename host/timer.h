/* SPDX-License-Identifier: BSD-2-Clause */
/* The side of the timer queues that host/ itself uses; everybody else reads host/clock.h. */
#ifndef BALLAST_HOST_TIMER_H
#define BALLAST_HOST_TIMER_H

#include "host/clock.h"

struct cpu;

/* Run what has expired on the calling CPU and program the next interrupt. */
void timer_interrupt(void);

#endif
