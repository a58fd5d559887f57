/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host/clock.h over a clock that stands still until a test moves it. Compile with
 * BALLAST_FAKE_CLOCK. Nothing expires but in fake_clock_advance().
 */
#ifndef BALLAST_TEST_FAKE_CLOCK_H
#define BALLAST_TEST_FAKE_CLOCK_H

#include "host/clock.h"

#define FAKE_TSC_HZ 2400000000ULL

/* TSC to its start value, wall clock to `wall_ns`, no timer armed. */
void fake_clock_reset(uint64_t wall_ns);
/* Let time pass; timers expire in order, the clock standing at their deadlines. */
void fake_clock_advance(uint64_t ns);
/* Let time pass without serving timers: the host is busy elsewhere. */
void fake_clock_stall(uint64_t ns);
/* Callbacks run since the reset. */
unsigned int fake_clock_expiries(void);
unsigned int fake_clock_armed(void);

#endif
