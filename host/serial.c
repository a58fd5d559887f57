/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console's 16550 (data sheet "PC16550D Universal Asynchronous Receiver/Transmitter
 * with FIFOs"). Bytes to send wait in a ring; whoever finds the transmitter empty fills its FIFO.
 *
 * Locks: serial_lock is a leaf; it covers the transmit side. The receive ring is the boot CPU's.
 */
#include "host/serial.h"

#include "host/clock.h"
#include "host/cpu.h"
#include "host/init.h"
#include "host/lock.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/x86.h"

#define UART_DATA 0
#define UART_IER 1
#define UART_FCR 2
#define UART_IIR 2
#define UART_LCR 3
#define UART_MCR 4
#define UART_LSR 5
#define UART_MSR 6

#define IER_RECEIVED BIT(0)
#define IER_TRANSMITTER BIT(1)
#define FCR_TRIGGER_1 0x07
#define LCR_8N1 0x03
#define LCR_DIVISOR 0x80
#define MCR_DTR_RTS_OUT2 0x0b /* OUT2 gates the interrupt on PCs */
#define LSR_DATA BIT(0)
#define LSR_ROOM BIT(5)  /* the transmit FIFO is empty */
#define LSR_EMPTY BIT(6) /* and the shift register, too */
#define UART_CLOCK 115200
#define UART_FIFO 16

#define SEND_RING 16384
#define RECEIVE_RING 1024
#define POLL_NS NS_PER_MS
/* Receiving in one go, at most: a line that never falls silent must not hold the CPU. */
#define RECEIVE_BURST 256
/* A port read takes about a microsecond: some ten characters' time at 115200. */
#define PANIC_SPINS 100000

static struct spinlock serial_lock;
static uint8_t send_ring[SEND_RING];       /* [serial_lock] */
static uint32_t send_head, send_tail;      /* [serial_lock] free-running */
static uint8_t receive_ring[RECEIVE_RING]; /* boot CPU */
static uint32_t receive_head, receive_tail; /* boot CPU, free-running */
static void (*notify)(void);               /* boot CPU */
static struct timer poll_timer;
static bool present; /* [I] */
static uint16_t base; /* [I] */
static bool by_interrupt; /* [I] after serial_start() */
static bool wants_room;   /* [serial_lock] the transmitter interrupts when it is empty */

static uint8_t uart_read(unsigned int reg)
{
	return in8((uint16_t)(base + reg));
}

static void uart_write(unsigned int reg, uint8_t value)
{
	out8((uint16_t)(base + reg), value);
}

void serial_init(void)
{
	uint32_t baud = machine.serial_baud ? machine.serial_baud : UART_CLOCK;
	uint32_t divisor = MAX(UART_CLOCK / baud, 1U);

	base = machine.serial_port;
	/* Nothing answers with all ones where there is no UART. */
	present = base && uart_read(UART_LSR) != 0xff;
	if (!present)
		return;
	uart_write(UART_IER, 0);
	if (machine.serial_baud) {
		uart_write(UART_LCR, LCR_8N1 | LCR_DIVISOR);
		uart_write(UART_DATA, (uint8_t)divisor);
		uart_write(UART_IER, (uint8_t)(divisor >> 8));
	}
	uart_write(UART_LCR, LCR_8N1);
	uart_write(UART_FCR, FCR_TRIGGER_1);
	uart_write(UART_MCR, MCR_DTR_RTS_OUT2);
}

/* An interrupt is worth its exit only while bytes wait; most output fits into the FIFO at once. */
static void ask_for_room(bool wanted)
{
	if (!by_interrupt || wanted == wants_room)
		return;
	wants_room = wanted;
	uart_write(UART_IER, IER_RECEIVED | (wanted ? IER_TRANSMITTER : 0));
}

/* Fill an empty transmitter. Returns whether bytes went out. */
static bool send_some(void)
{
	bool room = send_head != send_tail && (uart_read(UART_LSR) & LSR_ROOM);

	for (unsigned int i = 0; room && i < UART_FIFO && send_tail != send_head; i++)
		uart_write(UART_DATA, send_ring[send_tail++ % SEND_RING]);
	ask_for_room(send_head != send_tail);
	return room;
}

size_t serial_write(const char *bytes, size_t count)
{
	size_t taken = 0;

	if (!present)
		return count;
	spin_lock(&serial_lock);
	while (taken < count) {
		if (send_head - send_tail == SEND_RING && !send_some())
			break;
		send_ring[send_head++ % SEND_RING] = (uint8_t)bytes[taken++];
	}
	send_some();
	spin_unlock(&serial_lock);
	return taken;
}

size_t serial_write_pending(void)
{
	size_t pending;

	spin_lock(&serial_lock);
	pending = send_head - send_tail;
	spin_unlock(&serial_lock);
	return pending;
}

int serial_read(void)
{
	if (receive_head == receive_tail)
		return -1;
	return receive_ring[receive_tail++ % RECEIVE_RING];
}

void serial_set_notify(void (*new_notify)(void))
{
	notify = new_notify;
}

/* Move bytes both ways; tells mgmt/ when something changed for it. */
static void serve(void)
{
	bool changed = false;

	for (unsigned int i = 0; i < RECEIVE_BURST && (uart_read(UART_LSR) & LSR_DATA); i++) {
		uint8_t byte = uart_read(UART_DATA);

		/* A full ring loses the newest: nobody has read for a thousand bytes. */
		if (receive_head - receive_tail < RECEIVE_RING)
			receive_ring[receive_head++ % RECEIVE_RING] = byte;
		changed = true;
	}
	spin_lock(&serial_lock);
	changed |= send_some();
	spin_unlock(&serial_lock);
	if (changed && notify)
		notify();
}

static void serve_interrupt(void *unused)
{
	(void)unused;
	/* Each cause is taken away by serving it; the bound is for a UART that lies. */
	for (unsigned int i = 0; i < 8 && !(uart_read(UART_IIR) & 1); i++) {
		serve();
		uart_read(UART_MSR);
	}
}

static void poll(struct timer *timer)
{
	serve();
	timer_set(timer, clock_tsc() + clock_tsc_from_ns(POLL_NS));
}

void serial_start(void)
{
	if (!present)
		return;
	if (irq_register_isa(machine.serial_isa_irq, serve_interrupt, NULL) == 0) {
		spin_lock(&serial_lock);
		by_interrupt = true;
		uart_write(UART_IER, IER_RECEIVED);
		send_some();
		spin_unlock(&serial_lock);
		return;
	}
	log_note("serial port 0x%x: no interrupt, polling", base);
	timer_init(&poll_timer, poll);
	timer_set(&poll_timer, clock_tsc());
}

void serial_flush(void)
{
	/* The whole ring at 9600 baud takes 17 s; before calibration there is no limit but this. */
	uint64_t limit = clock_tsc() + (clock_tsc_hz ? clock_tsc_hz : 3000000000ULL) * 20;
	bool done = !present;

	while (!done && clock_tsc() < limit) {
		spin_lock(&serial_lock);
		send_some();
		done = send_head == send_tail && (uart_read(UART_LSR) & LSR_EMPTY);
		spin_unlock(&serial_lock);
		__builtin_ia32_pause();
	}
}

static void wait_for_room(void)
{
	for (unsigned int i = 0; i < PANIC_SPINS && !(uart_read(UART_LSR) & LSR_ROOM); i++)
		__builtin_ia32_pause();
}

void serial_write_panic(const char *bytes, size_t count)
{
	if (!present)
		return;
	/* What was queued comes first: it led to this. The lock's holder may be the broken one. */
	while (send_tail != send_head && send_head - send_tail <= SEND_RING) {
		wait_for_room();
		uart_write(UART_DATA, send_ring[send_tail++ % SEND_RING]);
	}
	while (count--) {
		wait_for_room();
		uart_write(UART_DATA, (uint8_t)*bytes++);
	}
}
