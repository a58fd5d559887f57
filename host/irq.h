/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's interrupt vectors and who serves them. */
#ifndef BALLAST_HOST_IRQ_H
#define BALLAST_HOST_IRQ_H

#include "lib/util.h"

#define IRQ_VECTOR_PIC 0x20   /* 16: where the masked 8259s would deliver a spurious one */
#define IRQ_VECTOR_ISA 0x30   /* 16: routed by an IOAPIC */
#define IRQ_VECTOR_MESSAGE 0x40 /* to 0xef: handed out, each to one device on one CPU */
#define IRQ_MESSAGES 176
#define IRQ_VECTOR_WATCH 0xfb
#define IRQ_VECTOR_ERROR 0xfc
#define IRQ_VECTOR_KICK 0xfd
#define IRQ_VECTOR_TIMER 0xfe
#define IRQ_VECTOR_SPURIOUS 0xff

/*
 * Serve one interrupt and end it at the LAPIC. Called by the entry code in irq_window() and
 * cpu_idle(), and for the vendor that takes vectors off the hardware itself. Interrupts are off.
 */
void irq_dispatch(uint64_t vector);

/*
 * A vector of its own for a device's message; the same one on all CPUs. `handler` runs on the CPU
 * to which the device sends it, in irq_window() or cpu_idle(), interrupts off. -ENOSPC: all are
 * taken; none is given back. Boot CPU.
 */
int irq_register_message(void (*handler)(void *argument), void *argument) __must_check;

/* Silence the 8259s, once, on the boot CPU. */
void irq_init(void);

#endif
