/* SPDX-License-Identifier: BSD-2-Clause */
/* The 16550: identification, loopback with its FIFO and modem lines, interrupts in their order. */
#include "guest.h"

#define COM1 0x3f8
#define IRQ4 0x24
#define MS 1000000ULL

enum { DATA, IER, FCR_IIR, LCR, MCR, LSR, MSR, SCRATCH };

static uint8_t read(unsigned int reg)
{
	return in8(COM1 + reg);
}

static void write(unsigned int reg, uint8_t value)
{
	out8(COM1 + reg, value);
}

static void check_registers(void)
{
	write(SCRATCH, 0xa5);
	CHECK_EQUAL(read(SCRATCH), 0xa5);
	write(LCR, 0x83);
	write(DATA, 1);
	write(IER, 0);
	CHECK_EQUAL(read(DATA), 1);
	CHECK_EQUAL(read(IER), 0);
	write(LCR, 0x03);
	CHECK_EQUAL(read(LCR), 0x03);
	write(FCR_IIR, 0);
	CHECK_EQUAL(read(FCR_IIR) & 0xc0, 0);
	write(FCR_IIR, 1);
	CHECK_EQUAL(read(FCR_IIR) & 0xc0, 0xc0); /* a 16550A */
	CHECK_EQUAL(read(LSR) & 0x60, 0x60);
}

static void check_loopback(void)
{
	write(FCR_IIR, 7);
	write(MCR, 0x1a); /* loop, OUT2, RTS */
	CHECK_EQUAL(read(MSR) & 0xf0, 0x90); /* as kernels probe for a UART */
	for (unsigned int i = 0; i < 16; i++)
		write(DATA, 'a' + i);
	guest_delay_ns(2 * MS);
	for (unsigned int i = 0; i < 16; i++) {
		CHECK(read(LSR) & 1);
		CHECK_EQUAL(read(DATA), 'a' + i);
	}
	CHECK(!(read(LSR) & 1));
	/* One too many overruns. */
	for (unsigned int i = 0; i < 17; i++)
		write(DATA, i);
	guest_delay_ns(2 * MS);
	CHECK(read(LSR) & 2);
	CHECK(!(read(LSR) & 2));
	write(FCR_IIR, 7);
	CHECK(!(read(LSR) & 1));
}

static volatile uint8_t causes[8];

static void on_serial(struct frame *frame)
{
	uint64_t n = guest_interrupts[IRQ4];
	uint8_t cause = read(FCR_IIR) & 0x0f;

	(void)frame;
	if (n <= 8)
		causes[n - 1] = cause;
	if (cause == 4 || cause == 12)
		read(DATA);
	if (n == 8)
		write(IER, 0);
	out8(0x20, 0x20);
}

static void check_interrupts(void)
{
	guest_set_handler(IRQ4, on_serial);
	out8(0x21, 0xef);
	sti();
	write(IER, 2);
	CHECK(guest_wait_for(&guest_interrupts[IRQ4], 1, 100 * MS));
	CHECK_EQUAL(causes[0], 2); /* transmitter empty; reading IIR cleared it */
	guest_delay_ns(2 * MS);
	CHECK_EQUAL(guest_interrupts[IRQ4], 1);
	write(IER, 1);
	write(FCR_IIR, 1); /* threshold: one byte */
	write(DATA, 'x');
	CHECK(guest_wait_for(&guest_interrupts[IRQ4], 2, 100 * MS));
	CHECK_EQUAL(causes[1], 4); /* data */
	write(IER, 0);
	cli();
	out8(0x21, 0xff);
	write(MCR, 0);
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	check_registers();
	check_loopback();
	check_interrupts();
	return guest_failures();
}
