/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's interrupt vectors and who serves them. */
#ifndef BALLAST_HOST_IRQ_H
#define BALLAST_HOST_IRQ_H

#include "lib/util.h"

#define IRQ_VECTOR_PIC 0x20   /* 16: where the masked 8259s would deliver a spurious one */
#define IRQ_VECTOR_ISA 0x30   /* 16: routed by an IOAPIC */
#define IRQ_VECTOR_LAST 0x3f
#define IRQ_VECTOR_HIGH 0xf0  /* local ones, from here to 0xff */
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

/* Silence the 8259s, once, on the boot CPU. */
void irq_init(void);

#endif
