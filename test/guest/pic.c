/* SPDX-License-Identifier: BSD-2-Clause */
/* The two 8259s and the 8254: interrupts in virtual wire mode, masks, counters. */
#include "guest.h"

#define IRQ0 0x20
#define IRQ7 0x27
#define MS 1000000ULL
#define PIT_HZ 1193182ULL

static void on_tick(struct frame *frame)
{
	(void)frame;
	out8(0x20, 0x20);
}

static void program_channel0(uint16_t divider)
{
	out8(0x43, 0x34);
	out8(0x40, divider & 0xff);
	out8(0x40, divider >> 8);
}

static void check_ticks(void)
{
	uint64_t start;

	guest_set_handler(IRQ0, on_tick);
	program_channel0(11932); /* 100 Hz */
	out8(0x21, 0xfe);
	sti();
	CHECK(guest_wait_for(&guest_interrupts[IRQ0], 1, 1000 * MS));
	start = rdtsc();
	CHECK(guest_wait_for(&guest_interrupts[IRQ0], 6, 1000 * MS));
	CHECK_RANGE((rdtsc() - start) * 1000 / guest_tsc_hz(), 45, 60);
	out8(0x21, 0xff);
	start = guest_interrupts[IRQ0];
	guest_delay_ns(25 * MS);
	CHECK_EQUAL(guest_interrupts[IRQ0], start);
	/* The edge that came while masked is remembered. */
	out8(0x21, 0xfe);
	CHECK(guest_wait_for(&guest_interrupts[IRQ0], start + 1, 5 * MS));
	cli();
	out8(0x21, 0xff);
}

/* Without EOI the same line does not come again, and ISR says so. */
static void on_tick_without_eoi(struct frame *frame)
{
	(void)frame;
	out8(0x20, 0x0b);
	CHECK_EQUAL(in8(0x20) & 1, 1);
}

static void check_in_service(void)
{
	uint64_t before = guest_interrupts[IRQ0];

	guest_set_handler(IRQ0, on_tick_without_eoi);
	out8(0x21, 0xfe);
	sti();
	CHECK(guest_wait_for(&guest_interrupts[IRQ0], before + 1, 1000 * MS));
	guest_delay_ns(25 * MS);
	CHECK_EQUAL(guest_interrupts[IRQ0], before + 1);
	cli();
	out8(0x20, 0x60); /* specific EOI of line 0 */
	out8(0x20, 0x0b);
	CHECK_EQUAL(in8(0x20), 0);
	out8(0x21, 0xff);
}

static void check_masks(void)
{
	out8(0x21, 0x5a);
	out8(0xa1, 0xa5);
	CHECK_EQUAL(in8(0x21), 0x5a);
	CHECK_EQUAL(in8(0xa1), 0xa5);
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
}

/* Channel 2 through port 0x61, as kernels calibrate their TSC with it. */
static void check_channel2(void)
{
	uint64_t start, elapsed;
	unsigned int spins = 0;

	out8(0x61, (in8(0x61) & ~2) | 1);
	out8(0x43, 0xb0); /* mode 0: OUT rises at the terminal count */
	out8(0x42, 11932 & 0xff);
	out8(0x42, 11932 >> 8);
	CHECK(!(in8(0x61) & 0x20));
	start = rdtsc();
	while (!(in8(0x61) & 0x20) && spins < 100000000)
		spins++;
	elapsed = (rdtsc() - start) * 1000000 / guest_tsc_hz();
	CHECK_RANGE(elapsed, 9800, 10300);
}

/* Latched counts go down, and status tells the mode. */
static void check_latch(void)
{
	unsigned int first, second, status;

	program_channel0(0);
	out8(0x43, 0x00);
	first = in8(0x40);
	first |= in8(0x40) << 8;
	guest_delay_ns(MS);
	out8(0x43, 0x00);
	second = in8(0x40);
	second |= in8(0x40) << 8;
	CHECK_RANGE((first - second) & 0xffff, PIT_HZ / 1000 - 100, PIT_HZ / 1000 + 2000);
	out8(0x43, 0xe2); /* read back: status of channel 0 */
	status = in8(0x40);
	CHECK_EQUAL(status & 0x3f, 0x34);
}

/* A line that falls before the INTA cycle reads as IRQ 7, with nothing in service. */
static void check_elcr(void)
{
	uint8_t old = in8(0x4d1);

	out8(0x4d1, 0x0a);
	CHECK_EQUAL(in8(0x4d1) & 0xde, 0x0a);
	out8(0x4d1, old);
}

int guest_main(void)
{
	guest_idt_init();
	pic_init();
	check_masks();
	check_ticks();
	check_in_service();
	check_channel2();
	check_latch();
	check_elcr();
	return guest_failures();
}
