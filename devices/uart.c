/* SPDX-License-Identifier: BSD-2-Clause */
/* The 16550A; see devices/uart.h. */
#include "devices/uart.h"

#include <linux/serial_reg.h>

#include "host/memory.h"
#include "lib/string.h"

#define IER_WRITABLE (UART_IER_RDI | UART_IER_THRI | UART_IER_RLSI | UART_IER_MSI)
#define MCR_WRITABLE                                                                               \
	(UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT1 | UART_MCR_OUT2 | UART_MCR_LOOP)
#define IIR_FIFO_ENABLED 0xc0
#define IIR_TIMEOUT 0x0c
#define LSR_FIFO_ERROR 0x80
#define CHARACTER_ERRORS (UART_LSR_PE | UART_LSR_FE | UART_LSR_BI)
/* The other side is always there and ready. */
#define MSR_CONNECTED (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)
#define MSR_LINES 0xf0
#define DIVISOR_AFTER_POWER_UP 12 /* 9600 baud */

static bool fifo_enabled(const struct uart *uart)
{
	return uart->fcr & UART_FCR_ENABLE_FIFO;
}

static size_t fifo_capacity(const struct uart *uart)
{
	return fifo_enabled(uart) ? UART_FIFO_BYTES : 1;
}

static bool fifo_full(const struct uart *uart, const struct uart_fifo *fifo)
{
	return fifo->count >= fifo_capacity(uart);
}

static void fifo_push(struct uart_fifo *fifo, uint8_t byte, uint8_t errors)
{
	unsigned int at = (fifo->first + fifo->count) % UART_FIFO_BYTES;

	fifo->bytes[at] = byte;
	fifo->errors[at] = errors;
	fifo->count++;
}

static uint8_t fifo_pop(struct uart_fifo *fifo)
{
	uint8_t byte = fifo->bytes[fifo->first];

	fifo->first = (fifo->first + 1) % UART_FIFO_BYTES;
	fifo->count--;
	return byte;
}

static void fifo_clear(struct uart_fifo *fifo)
{
	fifo->first = 0;
	fifo->count = 0;
}

static unsigned int trigger_level(const struct uart *uart)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return fifo_enabled(uart) ? levels[uart->fcr >> 6] : 1;
}

/* The reason for an interrupt with the highest priority, as IIR names it. */
static uint8_t interrupt_reason(const struct uart *uart)
{
	if ((uart->ier & UART_IER_RLSI) && uart->line_errors)
		return UART_IIR_RLSI;
	if ((uart->ier & UART_IER_RDI) && uart->receiver.count)
		return uart->receiver.count >= trigger_level(uart) ? UART_IIR_RDI : IIR_TIMEOUT;
	if ((uart->ier & UART_IER_THRI) && uart->thre_pending)
		return UART_IIR_THRI;
	if ((uart->ier & UART_IER_MSI) && (uart->msr & UART_MSR_ANY_DELTA))
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

static void set_line(struct uart *uart, bool level)
{
	if (level == uart->level)
		return;
	uart->level = level;
	vm_set_irq(uart->device.vm, uart->irq, level);
}

/* OUT2 lets the interrupt through to the bus, by the PC's wiring. */
static void update(struct uart *uart)
{
	set_line(uart, (uart->mcr & UART_MCR_OUT2) && interrupt_reason(uart) != UART_IIR_NO_INT);
}

/*
 * An event was served, and another is there at once: the line falls in between, because behind it
 * stands a controller that may look for edges alone.
 */
static void update_with_edge(struct uart *uart)
{
	set_line(uart, false);
	update(uart);
}

/* The error bits of a character show in LSR when it reaches the top of the FIFO. */
static void reveal_errors(struct uart *uart)
{
	struct uart_fifo *fifo = &uart->receiver;

	if (!fifo->count)
		return;
	uart->line_errors |= fifo->errors[fifo->first];
	fifo->errors[fifo->first] = 0;
}

static void receive(struct uart *uart, uint8_t byte, uint8_t errors)
{
	if (fifo_full(uart, &uart->receiver)) {
		uart->line_errors |= UART_LSR_OE;
		if (fifo_enabled(uart))
			return; /* the FIFO keeps what it has */
		fifo_clear(&uart->receiver);
	}
	fifo_push(&uart->receiver, byte, errors);
	reveal_errors(uart);
}

/* Hand over what waits in the transmitter. */
static void transmit(struct uart *uart)
{
	struct uart_fifo *fifo = &uart->transmitter;

	while (fifo->count) {
		uint8_t byte = fifo->bytes[fifo->first];

		if (uart->mcr & UART_MCR_LOOP)
			receive(uart, byte, 0);
		else if (uart->output && uart->output(uart, &byte, 1) == 0)
			return;
		fifo_pop(fifo);
	}
	uart->thre_pending = true;
}

static void write_thr(struct uart *uart, uint8_t byte)
{
	struct uart_fifo *fifo = &uart->transmitter;

	uart->thre_pending = false;
	if (fifo_full(uart, fifo)) {
		/* The program did not wait for room: the holding register is overwritten. */
		fifo->count--;
	}
	fifo_push(fifo, byte, 0);
	transmit(uart);
	update_with_edge(uart);
}

static uint8_t read_rbr(struct uart *uart)
{
	uint8_t byte;

	if (!uart->receiver.count)
		return 0;
	byte = fifo_pop(&uart->receiver);
	reveal_errors(uart);
	if (uart->input_refused && uart->input_ready) {
		uart->input_refused = false;
		uart->input_ready(uart);
	}
	update_with_edge(uart);
	return byte;
}

static bool has_error_in_fifo(const struct uart *uart)
{
	const struct uart_fifo *fifo = &uart->receiver;

	if (!fifo_enabled(uart))
		return false;
	for (unsigned int i = 0; i < fifo->count; i++) {
		if (fifo->errors[(fifo->first + i) % UART_FIFO_BYTES])
			return true;
	}
	return uart->line_errors & CHARACTER_ERRORS;
}

static uint8_t read_lsr(struct uart *uart)
{
	uint8_t value = uart->line_errors;

	if (uart->receiver.count)
		value |= UART_LSR_DR;
	if (!uart->transmitter.count)
		value |= UART_LSR_THRE | UART_LSR_TEMT;
	if (uart->line_errors || uart->receiver.count) {
		if (has_error_in_fifo(uart))
			value |= LSR_FIFO_ERROR;
		uart->line_errors = 0;
		update(uart);
	}
	return value;
}

static uint8_t read_iir(struct uart *uart)
{
	uint8_t reason = interrupt_reason(uart);

	if (reason == UART_IIR_THRI) {
		uart->thre_pending = false;
		update_with_edge(uart);
	}
	return reason | (fifo_enabled(uart) ? IIR_FIFO_ENABLED : 0);
}

/* The modem lines as they are now, into MSR with its delta bits. */
static void update_modem(struct uart *uart)
{
	uint8_t lines = MSR_CONNECTED, changed;

	if (uart->mcr & UART_MCR_LOOP) {
		lines = 0;
		if (uart->mcr & UART_MCR_RTS)
			lines |= UART_MSR_CTS;
		if (uart->mcr & UART_MCR_DTR)
			lines |= UART_MSR_DSR;
		if (uart->mcr & UART_MCR_OUT1)
			lines |= UART_MSR_RI;
		if (uart->mcr & UART_MCR_OUT2)
			lines |= UART_MSR_DCD;
	}
	changed = (uart->msr ^ lines) & MSR_LINES;
	/* Of the ring indicator only the end is an event. */
	if ((changed & UART_MSR_RI) && (lines & UART_MSR_RI))
		changed &= ~UART_MSR_RI;
	uart->msr = lines | (uart->msr & UART_MSR_ANY_DELTA) | changed >> 4;
}

static uint8_t read_msr(struct uart *uart)
{
	uint8_t value = uart->msr;

	uart->msr &= ~UART_MSR_ANY_DELTA;
	update(uart);
	return value;
}

static void write_ier(struct uart *uart, uint8_t value)
{
	uint8_t added = value & ~uart->ier;

	uart->ier = value & IER_WRITABLE;
	/* To enable it while the transmitter is empty is an event, too. */
	if ((added & UART_IER_THRI) && !uart->transmitter.count)
		uart->thre_pending = true;
	update(uart);
}

static void write_fcr(struct uart *uart, uint8_t value)
{
	bool toggled = (value ^ uart->fcr) & UART_FCR_ENABLE_FIFO;

	if (toggled || (value & UART_FCR_CLEAR_RCVR))
		fifo_clear(&uart->receiver);
	if (toggled || (value & UART_FCR_CLEAR_XMIT)) {
		if (uart->transmitter.count)
			uart->thre_pending = true;
		fifo_clear(&uart->transmitter);
	}
	/* The other bits are only taken together with the enable bit. */
	uart->fcr = value & UART_FCR_ENABLE_FIFO ?
		value & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK) : 0;
	if (uart->input_refused && uart->input_ready) {
		uart->input_refused = false;
		uart->input_ready(uart);
	}
	update(uart);
}

static void write_mcr(struct uart *uart, uint8_t value)
{
	uart->mcr = value & MCR_WRITABLE;
	update_modem(uart);
	/* Bytes that wait go where the line now leads. */
	if (uart->transmitter.count)
		transmit(uart);
	update(uart);
}

static uint64_t uart_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct uart *uart = container_of(region, struct uart, region);
	bool dlab = uart->lcr & UART_LCR_DLAB;

	(void)size;
	switch (offset) {
	case UART_RX:
		return dlab ? uart->divisor & 0xff : read_rbr(uart);
	case UART_IER:
		return dlab ? uart->divisor >> 8 : uart->ier;
	case UART_IIR:
		return read_iir(uart);
	case UART_LCR:
		return uart->lcr;
	case UART_MCR:
		return uart->mcr;
	case UART_LSR:
		return read_lsr(uart);
	case UART_MSR:
		return read_msr(uart);
	default:
		return uart->scratch;
	}
}

static void uart_write(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct uart *uart = container_of(region, struct uart, region);
	bool dlab = uart->lcr & UART_LCR_DLAB;

	(void)size;
	switch (offset) {
	case UART_TX:
		if (dlab)
			uart->divisor = (uart->divisor & 0xff00) | value;
		else
			write_thr(uart, value);
		break;
	case UART_IER:
		if (dlab)
			uart->divisor = (uart->divisor & 0xff) | value << 8;
		else
			write_ier(uart, value);
		break;
	case UART_FCR:
		write_fcr(uart, value);
		break;
	case UART_LCR:
		uart->lcr = value;
		break;
	case UART_MCR:
		write_mcr(uart, value);
		break;
	case UART_SCR:
		uart->scratch = value;
		break;
	default: /* LSR and MSR: writing is for factory tests */
		break;
	}
}

size_t uart_input(struct uart *uart, const uint8_t *bytes, size_t count)
{
	size_t taken = 0;

	if (!(uart->mcr & UART_MCR_LOOP)) {
		while (taken < count && !fifo_full(uart, &uart->receiver))
			receive(uart, bytes[taken++], 0);
	}
	if (taken < count)
		uart->input_refused = true;
	update(uart);
	return taken;
}

void uart_send_break(struct uart *uart)
{
	if (uart->mcr & UART_MCR_LOOP)
		return;
	receive(uart, 0, UART_LSR_BI);
	update(uart);
}

void uart_output_ready(struct uart *uart)
{
	if (!uart->transmitter.count)
		return;
	transmit(uart);
	update(uart);
}

static void uart_reset(struct device *device)
{
	struct uart *uart = container_of(device, struct uart, device);

	fifo_clear(&uart->receiver);
	fifo_clear(&uart->transmitter);
	uart->divisor = DIVISOR_AFTER_POWER_UP;
	uart->ier = 0;
	uart->fcr = 0;
	uart->lcr = 0;
	uart->mcr = 0;
	uart->msr = MSR_CONNECTED;
	uart->scratch = 0;
	uart->line_errors = 0;
	uart->thre_pending = false;
	uart->input_refused = false;
	set_line(uart, false);
}

static void uart_destroy(struct device *device)
{
	heap_free(container_of(device, struct uart, device));
}

int uart_create(struct vm *vm, uint16_t port, unsigned int irq, struct uart **out)
{
	struct uart *uart = heap_alloc(sizeof(*uart), FRAME_VM);

	if (!uart)
		return -ENOMEM;
	uart->device =
		(struct device){ .name = "uart", .reset = uart_reset, .destroy = uart_destroy };
	uart->region = (struct io_region){ .start = port, .length = 8, .max_size = 1,
		.read = uart_read, .write = uart_write };
	uart->irq = irq;
	vm_add_device(vm, &uart->device);
	uart_reset(&uart->device);
	*out = uart;
	return io_bus_add(&vm->ports, &uart->region);
}
