/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8254 and port 0x61: all modes, latches, calibration as systems do it, interrupts. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "devices/pit.h"
#include "devices/platform.h"
#include "test/unit/fake_pc.h"

#define OUT2 0x20
#define STATUS_OUT 0x80
#define STATUS_NULL 0x40

enum guest { TAKES, LEAVES, MASKS };

static unsigned int edges; /* that the guest has taken or, while it masks them, not taken */
static enum guest guest;
static bool waits;

/* Outside of an edge: the guest takes what waits, and what comes then. */
static void take(void)
{
	while (waits) {
		waits = false;
		edges++;
		PC_LOCKED(vm_tick_taken(&pc.vm));
	}
}

static void run(struct timer *timer)
{
	(void)timer;
	take();
}

/* The vCPU comes to it a moment later. */
static struct timer runs;

static void raise_edge(struct irqchip *chip, unsigned int gsi, bool level)
{
	(void)chip;
	assert_int_equal(gsi, IRQ_PIT);
	if (guest == MASKS) {
		edges += level;
		return;
	}
	waits |= level;
	if (guest == TAKES && level)
		timer_set(&runs, clock_tsc());
}

static bool edge_waits(struct irqchip *chip)
{
	(void)chip;
	return waits;
}

static struct irqchip counter = { .set_line = raise_edge, .tick_waits = edge_waits };

static int begin(void **state)
{
	(void)state;
	fake_pc_begin(1);
	edges = 0;
	guest = TAKES;
	waits = false;
	timer_init(&runs, run);
	assert_int_equal(vm_add_irqchip(&pc.vm, &counter), 0);
	assert_int_equal(pit_create(&pc.vm), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_pc_end();
	return 0;
}

static uint64_t ns_of(uint64_t clocks)
{
	/* Rounded up, and so that it survives the rounding to TSC ticks. */
	return mul_div(clocks, NS_PER_SEC, PIT_HZ) + 2;
}

static void program(unsigned int channel, unsigned int mode, uint16_t count)
{
	outb(0x43, channel << 6 | 0x30 | mode << 1);
	outb(0x40 + channel, count);
	outb(0x40 + channel, count >> 8);
}

static uint16_t read_count(unsigned int channel)
{
	uint8_t low;

	outb(0x43, channel << 6);
	low = inb(0x40 + channel);
	return inb(0x40 + channel) << 8 | low;
}

static uint8_t read_status(unsigned int channel)
{
	outb(0x43, 0xe0 | 2 << channel);
	return inb(0x40 + channel);
}

/* The low byte is read first and the high one, unlatched, after it: as pit_expect_msb() does. */
static void linux_calibrates_the_tsc_on_channel_2(void **state)
{
	uint64_t first, last;
	unsigned int reads = 0;
	uint8_t high = 0xff;

	(void)state;
	outb(0x61, (inb(0x61) & ~2) | 1);
	outb(0x43, 0xb0);
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	inb(0x42);
	assert_int_equal(inb(0x42), 0xff);
	first = clock_tsc();
	while (high == 0xff) {
		fake_clock_advance(2000);
		inb(0x42);
		high = inb(0x42);
		assert_true(++reads < 1000);
	}
	assert_int_equal(high, 0xfe);
	last = clock_tsc();
	/* 256 clocks are 214.6 us. */
	assert_in_range(clock_ns_from_tsc(last - first), 212000, 218000);
	/* The long way: wait for OUT2, 10 ms. */
	outb(0x61, (inb(0x61) & ~2) | 1);
	outb(0x43, 0xb0);
	outb(0x42, (PIT_HZ / 100) & 0xff);
	outb(0x42, (PIT_HZ / 100) >> 8);
	first = clock_tsc();
	for (reads = 0; !(inb(0x61) & OUT2); reads++)
		fake_clock_advance(1000);
	assert_in_range(clock_ns_from_tsc(clock_tsc() - first), 9998000, 10002000);
}

static void mode_0_counts_through_zero(void **state)
{
	(void)state;
	outb(0x61, 1);
	program(2, 0, 1000);
	assert_int_equal(read_status(2), 0x30);
	assert_int_equal(inb(0x61) & OUT2, 0);
	fake_clock_advance(ns_of(400));
	assert_int_equal(read_count(2), 600);
	fake_clock_advance(ns_of(600));
	assert_int_equal(inb(0x61) & OUT2, OUT2);
	assert_int_equal(read_count(2), 0);
	fake_clock_advance(ns_of(1));
	assert_int_equal(read_count(2), 0xffff);
	fake_clock_advance(ns_of(0x10000));
	assert_int_equal(inb(0x61) & OUT2, OUT2);
	/* The first byte of a new count stops it and lowers the output. */
	outb(0x42, 10);
	assert_int_equal(inb(0x61) & OUT2, 0);
	assert_int_equal(read_status(2) & STATUS_NULL, STATUS_NULL);
	outb(0x42, 0);
	fake_clock_advance(ns_of(10));
	assert_int_equal(inb(0x61) & OUT2, OUT2);
}

static void a_low_gate_holds_the_count(void **state)
{
	(void)state;
	outb(0x61, 1);
	program(2, 0, 1000);
	fake_clock_advance(ns_of(300));
	outb(0x61, 0);
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(read_count(2), 700);
	outb(0x61, 1);
	fake_clock_advance(ns_of(300));
	assert_in_range(read_count(2), 399, 400);
	/* A periodic one starts again, and its output is high meanwhile. */
	program(2, 2, 1000);
	fake_clock_advance(ns_of(300));
	outb(0x61, 0);
	fake_clock_advance(ns_of(699));
	assert_int_equal(inb(0x61) & OUT2, OUT2);
	outb(0x61, 1);
	assert_int_equal(read_count(2), 1000);
}

static void mode_1_and_5_are_triggered_by_the_gate(void **state)
{
	(void)state;
	program(2, 1, 100);
	assert_int_equal(inb(0x61) & OUT2, OUT2);
	assert_int_equal(read_status(2) & STATUS_NULL, STATUS_NULL);
	fake_clock_advance(NS_PER_MS);
	outb(0x61, 1);
	assert_int_equal(inb(0x61) & OUT2, 0);
	fake_clock_advance(ns_of(50));
	assert_int_equal(read_count(2), 50);
	outb(0x61, 0); /* the falling gate changes nothing */
	assert_int_equal(inb(0x61) & OUT2, 0);
	outb(0x61, 1); /* and the rising one starts again */
	fake_clock_advance(ns_of(99));
	assert_int_equal(inb(0x61) & OUT2, 0);
	fake_clock_advance(ns_of(1));
	assert_int_equal(inb(0x61) & OUT2, OUT2);
	/* The strobe is low for one clock. */
	outb(0x61, 0);
	program(2, 5, 100);
	outb(0x61, 1);
	assert_int_equal(inb(0x61) & OUT2, OUT2);
	fake_clock_advance(ns_of(100));
	assert_int_equal(inb(0x61) & OUT2, 0);
	fake_clock_advance(ns_of(1));
	assert_int_equal(inb(0x61) & OUT2, OUT2);
	/* Triggered without ever a count. */
	outb(0x61, 0);
	outb(0x43, 0xb2);
	outb(0x61, 1);
	assert_int_equal(inb(0x61) & OUT2, OUT2);
}

static void mode_2_and_3_repeat(void **state)
{
	(void)state;
	outb(0x61, 1);
	program(2, 2, 100);
	fake_clock_advance(ns_of(99));
	assert_int_equal(read_count(2), 1);
	assert_int_equal(inb(0x61) & OUT2, 0);
	fake_clock_advance(ns_of(1));
	assert_int_equal(inb(0x61) & OUT2, OUT2);
	assert_in_range(read_count(2), 99, 100);
	/* A square wave: an odd count is high one clock longer, and counts by two. */
	program(2, 3, 101);
	assert_int_equal(read_count(2), 100);
	fake_clock_advance(ns_of(20));
	assert_int_equal(read_count(2), 60);
	fake_clock_advance(ns_of(30) - 1);
	assert_int_equal(inb(0x61) & OUT2, OUT2);
	fake_clock_advance(ns_of(1));
	assert_int_equal(inb(0x61) & OUT2, 0);
	assert_int_equal(read_count(2), 100);
	fake_clock_advance(ns_of(50));
	assert_int_equal(inb(0x61) & OUT2, OUT2);
	/* Modes 6 and 7 are 2 and 3. */
	program(2, 6, 100);
	assert_int_equal(read_status(2) & 0x0e, 4);
}

static void a_new_count_waits_for_the_end_of_the_cycle(void **state)
{
	(void)state;
	outb(0x61, 1);
	program(2, 2, 1000);
	fake_clock_advance(ns_of(400));
	outb(0x42, 50);
	outb(0x42, 0);
	assert_int_equal(read_count(2), 600);
	assert_int_equal(read_status(2) & STATUS_NULL, STATUS_NULL);
	fake_clock_advance(ns_of(610));
	assert_in_range(read_count(2), 38, 40);
	assert_int_equal(read_status(2) & STATUS_NULL, 0);
}

static void bytes_are_read_and_written_as_the_control_word_says(void **state)
{
	(void)state;
	outb(0x61, 1);
	outb(0x43, 0x90); /* low byte only */
	outb(0x42, 200);
	assert_int_equal(inb(0x42), 200);
	assert_int_equal(inb(0x42), 200);
	outb(0x43, 0xa0); /* high byte only */
	outb(0x42, 0x12);
	assert_int_equal(inb(0x42), 0x12);
	outb(0x43, 0x80);
	fake_clock_advance(ns_of(0x300));
	assert_int_equal(inb(0x42), 0x12); /* latched */
	assert_int_equal(inb(0x42), 0x0f);
	/* A latch holds until both bytes are read, and a second command does not replace it. */
	program(2, 0, 0x8000);
	outb(0x43, 0x80);
	fake_clock_advance(ns_of(0x1234));
	outb(0x43, 0x80);
	assert_int_equal(inb(0x42), 0x00);
	assert_int_equal(inb(0x42), 0x80);
	assert_int_equal(read_count(2), 0x8000 - 0x1234);
	assert_int_equal(inb(0x43), 0xff);
}

static void read_back_latches_status_and_count(void **state)
{
	(void)state;
	outb(0x61, 1);
	program(0, 2, 0x1234);
	program(2, 3, 0x2000);
	outb(0x43, 0xc0 | 0x0a); /* both of channels 0 and 2 */
	fake_clock_advance(ns_of(100));
	assert_int_equal(inb(0x40), STATUS_OUT | 0x34);
	assert_int_equal(inb(0x40), 0x34);
	assert_int_equal(inb(0x40), 0x12);
	assert_int_equal(inb(0x42), STATUS_OUT | 0x36);
	assert_int_equal(inb(0x42), 0x00);
	assert_int_equal(inb(0x42), 0x20);
	outb(0x43, 0xb0);
	assert_int_equal(read_status(2), STATUS_NULL | 0x30);
}

static void bcd_counts_in_decimal(void **state)
{
	(void)state;
	outb(0x61, 1);
	outb(0x43, 0xb1);
	outb(0x42, 0x00);
	outb(0x42, 0x10); /* 1000 */
	fake_clock_advance(ns_of(1));
	assert_int_equal(read_count(2), 0x999);
	fake_clock_advance(ns_of(998));
	assert_int_equal(read_count(2), 0x0001);
	fake_clock_advance(ns_of(2));
	assert_in_range(read_count(2), 0x9998, 0x9999);
	/* Zero is ten thousand; digits that are none do no harm. */
	outb(0x42, 0);
	outb(0x42, 0);
	fake_clock_advance(ns_of(1));
	assert_int_equal(read_count(2), 0x9999);
	for (unsigned int mode = 0; mode < 6; mode++) {
		outb(0x43, 0xb1 | mode << 1);
		outb(0x42, 0xff);
		outb(0x42, 0xff);
		fake_clock_advance(ns_of(12345));
		read_count(2);
		read_status(2);
	}
}

static void the_periodic_tick_keeps_its_rate(void **state)
{
	const uint64_t count = 4773; /* HZ=250 */

	(void)state;
	assert_int_equal(fake_clock_armed(), 0);
	program(0, 2, count);
	fake_clock_advance(ns_of(count) - NS_PER_US);
	assert_int_equal(edges, 0);
	fake_clock_advance(2 * NS_PER_US);
	assert_int_equal(edges, 1);
	fake_clock_advance(10 * NS_PER_SEC);
	assert_int_equal(edges, (10 * PIT_HZ + count) / count);
	/* Stopped by a control word without a count. */
	outb(0x43, 0x30);
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(edges, (10 * PIT_HZ + count) / count);
}

static void one_shots_come_once(void **state)
{
	(void)state;
	for (unsigned int mode = 0; mode <= 4; mode += 4) {
		edges = 0;
		program(0, mode, 10000);
		fake_clock_advance(ns_of(10000) - NS_PER_US);
		assert_int_equal(edges, 0);
		fake_clock_advance(3 * NS_PER_US);
		assert_int_equal(edges, 1);
		fake_clock_advance(NS_PER_SEC);
		assert_int_equal(edges, 1);
	}
	/* Nothing triggers these on channel 0. */
	program(0, 1, 100);
	program(0, 5, 100);
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(edges, 1);
}

static void late_ticks_are_made_up_for(void **state)
{
	(void)state;
	program(0, 2, 4773);
	fake_clock_advance(ns_of(4773) + 10);
	fake_clock_stall(20 * ns_of(4773)); /* 80 ms away */
	fake_clock_advance(0);
	assert_int_equal(edges, 2);
	fake_clock_advance(19 * TICK_INTERVAL_MIN_NS + NS_PER_US);
	assert_int_equal(edges, 21);
	fake_clock_advance(ns_of(4773));
	assert_int_equal(edges, 22);
	/* Not without end. */
	edges = 0;
	fake_clock_stall(10 * TICKS_OWED_NS);
	fake_clock_advance(TICKS_OWED_NS / 4);
	assert_in_range(edges, TICKS_OWED_NS / ns_of(4773), 5 * TICKS_OWED_NS / 4 / ns_of(4773));
}

/* The guest has a quarter of its CPU: what comes in its absence waits for it, all of it. */
static void a_guest_that_runs_now_and_then_gets_every_tick(void **state)
{
	const unsigned int turns = 1000;

	(void)state;
	program(0, 2, 4773);
	for (unsigned int turn = 0; turn < turns; turn++) {
		guest = LEAVES;
		fake_clock_advance(30 * NS_PER_MS);
		guest = TAKES;
		take();
		fake_clock_advance(10 * NS_PER_MS);
	}
	assert_in_range(edges, turns * 10 - 10, turns * 10);
}

/* The next ones come when the guest has taken the first, and not before. */
static void ticks_wait_for_one_another(void **state)
{
	unsigned int before;

	(void)state;
	guest = LEAVES;
	program(0, 2, 1193);
	fake_clock_advance(10 * NS_PER_MS + NS_PER_US);
	before = fake_clock_expiries();
	fake_clock_advance(NS_PER_SEC);
	/* It costs little to wait. */
	assert_in_range(fake_clock_expiries() - before, NS_PER_SEC / PIT_LOOK_NS - 1,
		NS_PER_SEC / PIT_LOOK_NS + 1);
	for (unsigned int i = 0; i < 1000; i++) {
		assert_true(waits);
		waits = false;
		PC_LOCKED(vm_tick_taken(&pc.vm));
		fake_clock_advance(TICK_INTERVAL_MIN_NS);
	}
	/* One that vanishes, because its controller forgets it, stops nothing. */
	waits = false;
	fake_clock_advance(PIT_LOOK_NS + NS_PER_US);
	assert_true(waits);
	/* Nor is a tick of the former programme one of the new. */
	program(0, 2, 11932);
	waits = false;
	guest = TAKES;
	PC_LOCKED(vm_tick_taken(&pc.vm));
	edges = 0;
	fake_clock_advance(NS_PER_SEC);
	assert_in_range(edges, 99, 100);
}

static void a_fast_rate_is_no_storm(void **state)
{
	unsigned int before;

	(void)state;
	program(0, 2, 1);
	before = fake_clock_expiries();
	fake_clock_advance(100 * NS_PER_MS);
	assert_in_range(edges, 900, 1001);
	/* Half of them are the guest's. */
	assert_in_range(fake_clock_expiries() - before, 1800, 2200);
}

static void a_guest_that_masks_them_is_owed_none(void **state)
{
	unsigned int before;

	(void)state;
	guest = MASKS;
	program(0, 2, 1);
	before = fake_clock_expiries();
	fake_clock_advance(100 * NS_PER_MS);
	assert_in_range(edges, 95, 105);
	assert_in_range(fake_clock_expiries() - before, 95, 115);
	program(0, 2, 11932);
	fake_clock_advance(NS_PER_SEC);
	guest = TAKES;
	edges = 0;
	fake_clock_advance(NS_PER_SEC);
	assert_in_range(edges, 99, 101);
}

static void a_changed_rate_counts_right(void **state)
{
	(void)state;
	program(0, 2, 10000);
	fake_clock_advance(ns_of(15000));
	assert_int_equal(edges, 1);
	/* Without a control word: at the end of the running cycle, which is 20000. */
	outb(0x40, 1000 & 0xff);
	outb(0x40, 1000 >> 8);
	fake_clock_advance(ns_of(5000) + NS_PER_US);
	assert_int_equal(edges, 2);
	fake_clock_advance(ns_of(10000));
	assert_int_equal(edges, 12);
}

static void port_61_shows_the_refresh_toggle(void **state)
{
	unsigned int toggles = 0;
	uint8_t last;

	(void)state;
	outb(0x61, 0xff);
	assert_int_equal(inb(0x61) & ~0x30, 0x0f);
	outb(0x61, 0);
	last = inb(0x61);
	for (unsigned int us = 0; us < 1000; us++) {
		fake_clock_advance(NS_PER_US);
		toggles += ((inb(0x61) ^ last) & 0x10) != 0;
		last = inb(0x61);
	}
	assert_in_range(toggles, 65, 67);
}

static void reset_silences_it(void **state)
{
	(void)state;
	program(0, 2, 1000);
	fake_pc_reset_devices();
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(edges, 0);
	assert_int_equal(read_status(0) & STATUS_NULL, STATUS_NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(linux_calibrates_the_tsc_on_channel_2),
		TEST(mode_0_counts_through_zero),
		TEST(a_low_gate_holds_the_count),
		TEST(mode_1_and_5_are_triggered_by_the_gate),
		TEST(mode_2_and_3_repeat),
		TEST(a_new_count_waits_for_the_end_of_the_cycle),
		TEST(bytes_are_read_and_written_as_the_control_word_says),
		TEST(read_back_latches_status_and_count),
		TEST(bcd_counts_in_decimal),
		TEST(the_periodic_tick_keeps_its_rate),
		TEST(one_shots_come_once),
		TEST(late_ticks_are_made_up_for),
		TEST(a_guest_that_runs_now_and_then_gets_every_tick),
		TEST(ticks_wait_for_one_another),
		TEST(a_fast_rate_is_no_storm),
		TEST(a_guest_that_masks_them_is_owed_none),
		TEST(a_changed_rate_counts_right),
		TEST(port_61_shows_the_refresh_toggle),
		TEST(reset_silences_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
