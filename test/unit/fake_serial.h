/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host/serial.h over a line that a test watches and slows down; with it the few things that the
 * console needs of the host: the heap, and kicks to the boot CPU.
 */
#ifndef BALLAST_TEST_FAKE_SERIAL_H
#define BALLAST_TEST_FAKE_SERIAL_H

#include "host/serial.h"

/* Nothing was sent or received; what is written goes out at once. */
void fake_serial_reset(void);
/* From now on bytes wait until fake_serial_transmit(). */
void fake_serial_hold(void);
/* Up to `count` waiting bytes go out, and whoever asked for it is told of the room. */
void fake_serial_transmit(size_t count);
/* Back to the line without delay. */
void fake_serial_release(void);
/* Bytes arrive. */
void fake_serial_type(const char *bytes, size_t count);

/* All that went out since the last fake_serial_take(), terminated. */
const char *fake_serial_sent(void);
/* The same, and forget it. */
const char *fake_serial_take(void);

/* Kicks to the boot CPU since the reset. */
unsigned int fake_serial_kicks(void);

#endif
