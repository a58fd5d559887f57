/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550A with its FIFOs (National PC16550D data sheet). The line has no speed: a byte leaves as
 * soon as the other side takes it, bytes arrive as fast as the receiver has room for them, and a
 * receiver below its trigger level reports the character timeout at once.
 *
 * The other side (mgmt/) calls in and is called under vm.lock.
 */
#ifndef BALLAST_DEVICES_UART_H
#define BALLAST_DEVICES_UART_H

#include "vcpu/vm.h"

#define UART_FIFO_BYTES 16

/* A FIFO of received characters with their error bits, or of characters to be sent. */
struct uart_fifo {
	uint8_t bytes[UART_FIFO_BYTES];
	uint8_t errors[UART_FIFO_BYTES]; /* UART_LSR_BI, ... of each received character */
	uint8_t first;
	uint8_t count;
};

struct uart {
	struct device device;
	struct io_region region;
	unsigned int irq;        /* [I] */

	/*
	 * The guest sends: returns how many of the bytes were taken. When it is fewer, the rest
	 * waits in the transmitter until uart_output_ready(). NULL: bytes vanish.
	 */
	size_t (*output)(struct uart *uart, const uint8_t *bytes, size_t count);
	/* The receiver has room again after uart_input() took less than offered. May be NULL. */
	void (*input_ready)(struct uart *uart);
	void *owner;             /* the other side's own */

	/* All [vm.lock]. */
	struct uart_fifo receiver;
	struct uart_fifo transmitter;
	uint16_t divisor;
	uint8_t ier, fcr, lcr, mcr, msr, scratch;
	uint8_t line_errors;     /* LSR error bits, cleared by reading it */
	bool thre_pending;       /* the transmitter became empty and nobody has noticed */
	bool input_refused;
	bool level;              /* of the interrupt line */
};

/* `out` lives as long as the VM. */
int uart_create(struct vm *vm, uint16_t port, unsigned int irq, struct uart **out) __must_check;

/* Bytes for the guest; returns how many the receiver had room for. In loopback mode: none. */
size_t uart_input(struct uart *uart, const uint8_t *bytes, size_t count);
/* A break on the line. */
void uart_send_break(struct uart *uart);
/* The other side can take bytes again. */
void uart_output_ready(struct uart *uart);

#endif
