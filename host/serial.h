/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's serial port (16550), as SPCR names it or COM1 at 115200 8N1: interrupt-driven with
 * rings both ways, polled from a timer where no interrupt can be routed. Boot CPU only, except
 * serial_write(), which any CPU may call.
 */
#ifndef BALLAST_HOST_SERIAL_H
#define BALLAST_HOST_SERIAL_H

#include "lib/util.h"

/* Queue bytes for sending; returns how many were taken (fewer when the ring is full). */
size_t serial_write(const char *bytes, size_t count);
/* Bytes taken and not yet given to the port. Any CPU. */
size_t serial_write_pending(void);
/* Next received byte, or -1. */
int serial_read(void);
/* Called after bytes have arrived or room has been made; from irq_window(). May be NULL. */
void serial_set_notify(void (*notify)(void));
/* Wait, bounded in time, until all queued bytes are on the wire: before power-off or a panic. */
void serial_flush(void);
/* Polled and lock-free, for panic(). */
void serial_write_panic(const char *bytes, size_t count);

#endif
