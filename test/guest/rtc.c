/* SPDX-License-Identifier: BSD-2-Clause */
/* The MC146818: a date that moves, its update cycle, and the periodic interrupt. */
#include "guest.h"

#define IRQ8 0x28
#define MS 1000000ULL

static uint8_t read(uint8_t reg)
{
	out8(0x70, reg);
	return in8(0x71);
}

static void write(uint8_t reg, uint8_t value)
{
	out8(0x70, reg);
	out8(0x71, value);
}

static unsigned int from_bcd(uint8_t value)
{
	return (value >> 4) * 10 + (value & 0xf);
}

static void wait_for_update_end(void)
{
	for (unsigned int i = 0; i < 100000000 && (read(0x0a) & 0x80); i++)
		;
}

static void check_date(void)
{
	wait_for_update_end();
	CHECK(!(read(0x0b) & 4)); /* BCD, as firmware leaves it */
	CHECK_RANGE(from_bcd(read(0)), 0, 59);
	CHECK_RANGE(from_bcd(read(2)), 0, 59);
	CHECK_RANGE(from_bcd(read(4)), 0, 23);
	CHECK_RANGE(from_bcd(read(7)), 1, 31);
	CHECK_RANGE(from_bcd(read(8)), 1, 12);
	CHECK_RANGE(from_bcd(read(9)), 20, 99);
	CHECK_EQUAL(read(0x32), 0x20);
	CHECK(read(0x0d) & 0x80); /* the battery is good */
}

static void check_seconds(void)
{
	uint8_t first, second;

	wait_for_update_end();
	first = read(0);
	guest_delay_ns(1100 * MS);
	wait_for_update_end();
	second = read(0);
	CHECK_RANGE((from_bcd(second) + 60 - from_bcd(first)) % 60, 1, 2);
}

static void on_rtc(struct frame *frame)
{
	(void)frame;
	CHECK(read(0x0c) & 0x80);
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
}

static void check_periodic(void)
{
	uint64_t start;

	guest_set_handler(IRQ8, on_rtc);
	read(0x0c);
	write(0x0a, 0x26); /* 1024 Hz */
	write(0x0b, read(0x0b) | 0x40);
	out8(0x21, 0xfb);
	out8(0xa1, 0xfe);
	sti();
	CHECK(guest_wait_for(&guest_interrupts[IRQ8], 1, 1000 * MS));
	start = rdtsc();
	/* A late tick is made up for, so that only the rate over many is a promise. */
	CHECK(guest_wait_for(&guest_interrupts[IRQ8], 65, 1000 * MS));
	CHECK_RANGE((rdtsc() - start) * 1000 / guest_tsc_hz(), 45, 120);
	write(0x0b, read(0x0b) & ~0x40);
	cli();
}

static void check_memory(void)
{
	write(0x40, 0x3c);
	CHECK_EQUAL(read(0x40), 0x3c);
	CHECK_EQUAL(read(0x15) | read(0x16) << 8, 640);
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	check_date();
	check_memory();
	check_periodic();
	check_seconds();
	return guest_failures();
}
