/* SPDX-License-Identifier: BSD-2-Clause */
/* The IOAPIC: identity, redirection of the PIT's and the UART's lines, masks. */
#include "guest.h"

#define IOAPIC 0xfec00000ULL
#define TIMER 0x71
#define SERIAL 0x72
#define MASKED (1U << 16)
#define LEVEL (1U << 15)
#define MS 1000000ULL
#define COM1 0x3f8

static uint32_t read(uint32_t reg)
{
	*mmio32(IOAPIC) = reg;
	return *mmio32(IOAPIC + 0x10);
}

static void write(uint32_t reg, uint32_t value)
{
	*mmio32(IOAPIC) = reg;
	*mmio32(IOAPIC + 0x10) = value;
}

static void route(unsigned int pin, uint32_t low)
{
	write(0x11 + 2 * pin, 0);
	write(0x10 + 2 * pin, low);
}

static void on_interrupt(struct frame *frame)
{
	(void)frame;
	lapic_write(LAPIC_EOI, 0);
}

static void check_identity(void)
{
	uint32_t version = read(1);

	CHECK_EQUAL(version >> 16 & 0xff, 23);
	CHECK_RANGE(version & 0xff, 0x11, 0x20);
	write(0, 5 << 24);
	CHECK_EQUAL(read(0) >> 24 & 0xf, 5);
	CHECK(read(0x10) & MASKED);
	write(0x11 + 2 * 9, 0x0f000000);
	CHECK_EQUAL(read(0x11 + 2 * 9), 0x0f000000);
}

/* The PIT is ISA interrupt 0, which is wired to pin 2. */
static void check_edge(void)
{
	uint64_t count;

	guest_set_handler(TIMER, on_interrupt);
	out8(0x43, 0x34);
	out8(0x40, 11932 & 0xff);
	out8(0x40, 11932 >> 8);
	route(2, TIMER);
	sti();
	CHECK(guest_wait_for(&guest_interrupts[TIMER], 3, 1000 * MS));
	route(2, TIMER | MASKED);
	count = guest_interrupts[TIMER];
	guest_delay_ns(25 * MS);
	CHECK_EQUAL(guest_interrupts[TIMER], count);
	cli();
}

/* Level: as long as the line is high, EOI brings the interrupt back; remote IRR says so. */
static void on_serial(struct frame *frame)
{
	(void)frame;
	if (guest_interrupts[SERIAL] == 1)
		CHECK(read(0x10 + 2 * 4) & 1 << 14);
	if (guest_interrupts[SERIAL] == 3)
		out8(COM1 + 1, 0);
	lapic_write(LAPIC_EOI, 0);
}

static void check_level(void)
{
	guest_set_handler(SERIAL, on_serial);
	route(4, SERIAL | LEVEL);
	out8(COM1 + 4, 0x08);
	out8(COM1 + 1, 0x02); /* transmitter empty: the line is high and stays so */
	sti();
	CHECK(guest_wait_for(&guest_interrupts[SERIAL], 3, 1000 * MS));
	guest_delay_ns(5 * MS);
	cli();
	CHECK_EQUAL(guest_interrupts[SERIAL], 3);
	CHECK(!(read(0x10 + 2 * 4) & 1 << 14));
	route(4, MASKED);
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	lapic_enable();
	check_identity();
	check_edge();
	check_level();
	return guest_failures();
}
