/* SPDX-License-Identifier: BSD-2-Clause */
/* The RTC: dates against libc's, updates, alarms, interrupts, setting the time, CMOS contents. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <time.h>
#include <cmocka.h>

#include "devices/rtc.h"
#include "devices/rtc_time.h"
#include "test/unit/fake_pc.h"


static bool line;
static unsigned int edges;

static void watch_line(struct irqchip *chip, unsigned int gsi, bool level)
{
	(void)chip;
	assert_int_equal(gsi, IRQ_RTC);
	edges += level && !line;
	line = level;
}

static struct irqchip watcher = { .set_line = watch_line };
static const struct platform_options options = { .low_ram_bytes = GIB(3),
	.high_ram_bytes = GIB(5) };

static int begin(void **state)
{
	(void)state;
	fake_pc_begin(4);
	line = false;
	edges = 0;
	assert_int_equal(vm_add_irqchip(&pc.vm, &watcher), 0);
	assert_int_equal(rtc_create(&pc.vm, &options), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_pc_end();
	return 0;
}

static uint8_t get(uint8_t index)
{
	outb(0x70, index | 0x80);
	return inb(0x71);
}

static void put(uint8_t index, uint8_t value)
{
	outb(0x70, index);
	outb(0x71, value);
}

static void dates_agree_with_libc(void **state)
{
	uint8_t cmos[RTC_BYTES] = { 0 };

	(void)state;
	for (unsigned int i = 0; i < 20000; i++) {
		/* To the year 2500; the first thousands are midnights. */
		uint64_t seconds = (uint64_t)rand() % (530ULL * 31556952);
		struct tm tm;
		time_t t;

		if (i < 5000)
			seconds -= seconds % 86400;
		t = seconds;
		gmtime_r(&t, &tm);
		cmos[RTC_REG_B] = RTC_B_BINARY | RTC_B_24_HOURS;
		rtc_time_store(cmos, seconds);
		assert_int_equal(cmos[RTC_SECONDS], tm.tm_sec);
		assert_int_equal(cmos[RTC_MINUTES], tm.tm_min);
		assert_int_equal(cmos[RTC_HOURS], tm.tm_hour);
		assert_int_equal(cmos[RTC_DAY], tm.tm_mday);
		assert_int_equal(cmos[RTC_MONTH], tm.tm_mon + 1);
		assert_int_equal(cmos[RTC_YEAR] + cmos[RTC_CENTURY] * 100, tm.tm_year + 1900);
		assert_int_equal(cmos[RTC_DAY_OF_WEEK], tm.tm_wday + 1);
		/* In all formats, there and back. */
		for (unsigned int format = 0; format < 8; format += 2) {
			cmos[RTC_REG_B] = format;
			rtc_time_store(cmos, seconds);
			assert_int_equal(rtc_time_load(cmos), seconds);
		}
	}
	/* Nonsense gives some date. */
	for (unsigned int i = 0; i < 20000; i++) {
		for (unsigned int at = 0; at < RTC_BYTES; at++)
			cmos[at] = rand();
		rtc_time_store(cmos, rtc_time_load(cmos));
		rtc_time_next_alarm(cmos, rand());
	}
}

static void formats_are_as_register_b_says(void **state)
{
	uint8_t cmos[RTC_BYTES] = { 0 };

	(void)state;
	rtc_time_store(cmos, 23 * 3600 + 59 * 60 + 58);
	assert_int_equal(cmos[RTC_SECONDS], 0x58);
	assert_int_equal(cmos[RTC_MINUTES], 0x59);
	assert_int_equal(cmos[RTC_HOURS], 0x91); /* 11 p.m. */
	rtc_time_store(cmos, 0);
	assert_int_equal(cmos[RTC_HOURS], 0x12);
	rtc_time_store(cmos, 12 * 3600);
	assert_int_equal(cmos[RTC_HOURS], 0x92);
	assert_int_equal(cmos[RTC_CENTURY], 0x19);
	assert_int_equal(cmos[RTC_YEAR], 0x70);
	cmos[RTC_REG_B] = RTC_B_BINARY;
	rtc_time_store(cmos, 13 * 3600);
	assert_int_equal(cmos[RTC_HOURS], 0x81);
}

static void next_alarm_is_found(void **state)
{
	uint8_t cmos[RTC_BYTES] = { [RTC_REG_B] = RTC_B_24_HOURS };
	const uint64_t day = 86400, noon = 100 * day + 43200;

	(void)state;
	cmos[RTC_HOURS_ALARM] = 0x12;
	assert_int_equal(rtc_time_next_alarm(cmos, noon - 1), noon);
	assert_int_equal(rtc_time_next_alarm(cmos, noon), noon + day);
	cmos[RTC_HOURS_ALARM] = 0xc0;
	assert_int_equal(rtc_time_next_alarm(cmos, noon), noon + 3600);
	cmos[RTC_MINUTES_ALARM] = 0xff;
	cmos[RTC_SECONDS_ALARM] = 0x30;
	assert_int_equal(rtc_time_next_alarm(cmos, noon + 30), noon + 90);
	cmos[RTC_SECONDS_ALARM] = 0xc5;
	assert_int_equal(rtc_time_next_alarm(cmos, noon), noon + 1);
	cmos[RTC_HOURS_ALARM] = 0x11;
	cmos[RTC_MINUTES_ALARM] = 0x59;
	cmos[RTC_SECONDS_ALARM] = 0x59;
	assert_int_equal(rtc_time_next_alarm(cmos, noon), noon + day - 1);
	cmos[RTC_SECONDS_ALARM] = 0x60;
	assert_int_equal(rtc_time_next_alarm(cmos, noon), 0);
	cmos[RTC_REG_B] = 0; /* 12 hours: 11 p.m. */
	cmos[RTC_SECONDS_ALARM] = 0;
	cmos[RTC_MINUTES_ALARM] = 0;
	cmos[RTC_HOURS_ALARM] = 0x91;
	assert_int_equal(rtc_time_next_alarm(cmos, noon), noon + 11 * 3600);
}

static void the_date_is_the_machines(void **state)
{
	(void)state;
	/* 2023-11-14 22:13:20, a Tuesday. */
	assert_int_equal(get(RTC_SECONDS), 0x20);
	assert_int_equal(get(RTC_MINUTES), 0x13);
	assert_int_equal(get(RTC_HOURS), 0x22);
	assert_int_equal(get(RTC_DAY_OF_WEEK), 3);
	assert_int_equal(get(RTC_DAY), 0x14);
	assert_int_equal(get(RTC_MONTH), 0x11);
	assert_int_equal(get(RTC_YEAR), 0x23);
	assert_int_equal(get(RTC_CENTURY), 0x20);
	assert_int_equal(get(RTC_REG_A), 0x26);
	assert_int_equal(get(RTC_REG_B), 0x02);
	assert_int_equal(get(RTC_REG_D), 0x80);
	put(RTC_REG_D, 0);
	assert_int_equal(get(RTC_REG_D), 0x80);
	assert_int_equal(inb(0x70), 0xff);
	fake_clock_advance(876543220);
	assert_int_equal(get(RTC_SECONDS), 0x21);
}

/* mc146818_does_rtc_work(): the bit must come, and go. */
static void uip_announces_each_update(void **state)
{
	unsigned int set = 0, falls = 0;
	uint8_t before = 0;

	(void)state;
	for (unsigned int i = 0; i < 30000; i++) {
		uint8_t now = get(RTC_REG_A) & RTC_A_UIP, seconds = get(RTC_SECONDS);

		set += now != 0;
		fake_clock_advance(100000);
		if (before && !now)
			falls++;
		/* The seconds never change outside of the announced window. */
		if (!now)
			assert_int_equal(get(RTC_SECONDS), seconds);
		before = now;
	}
	assert_int_equal(falls, 3);
	assert_in_range(set, 6, 9);
	/* None while the time is set. */
	put(RTC_REG_B, 0x82);
	for (unsigned int i = 0; i < 20000; i++) {
		fake_clock_advance(100000);
		assert_int_equal(get(RTC_REG_A) & RTC_A_UIP, 0);
	}
	put(RTC_REG_A, 0xa6);
	assert_int_equal(get(RTC_REG_A), 0x26); /* UIP cannot be written */
}

static void update_interrupts_each_second(void **state)
{
	(void)state;
	assert_int_equal(fake_clock_armed(), 0);
	put(RTC_REG_B, 0x12);
	fake_clock_advance(876000000);
	assert_false(line);
	fake_clock_advance(NS_PER_MS);
	assert_true(line);
	assert_int_equal(edges, 1);
	/* Until register C is read there is no other. */
	fake_clock_advance(5 * NS_PER_SEC);
	assert_int_equal(edges, 1);
	assert_int_equal(fake_clock_armed(), 0);
	assert_int_equal(get(RTC_REG_C) & ~RTC_C_PERIODIC, RTC_C_IRQ | RTC_C_UPDATE);
	assert_false(line);
	assert_int_equal(get(RTC_REG_C), 0);
	for (unsigned int i = 0; i < 5; i++) {
		fake_clock_advance(NS_PER_SEC);
		assert_int_equal(edges, 2 + i);
		get(RTC_REG_C);
	}
	put(RTC_REG_B, 0x02);
	fake_clock_advance(2 * NS_PER_SEC);
	assert_int_equal(edges, 6);
	/* The flag is there even so. */
	assert_int_equal(get(RTC_REG_C) & RTC_C_UPDATE, RTC_C_UPDATE);
}

static void periodic_rates(void **state)
{
	(void)state;
	put(RTC_REG_B, 0x42);
	for (unsigned int rate = 1; rate < 16; rate++) {
		uint64_t hz = rate == 1 ? 256 : rate == 2 ? 128 : 32768 >> (rate - 1);

		put(RTC_REG_A, 0x20 | rate);
		get(RTC_REG_C);
		edges = 0;
		for (uint64_t us = 0; us < 2000000; us += 50) {
			fake_clock_advance(50000);
			if (line)
				assert_int_equal(get(RTC_REG_C) & 0xc0, 0xc0);
		}
		assert_in_range(edges, 2 * hz - 1, 2 * hz + 1);
	}
	put(RTC_REG_A, 0x20);
	get(RTC_REG_C);
	edges = 0;
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(edges, 0);
}

/* Read register C for each interrupt as it comes, for so long; how often. */
static unsigned int count_periodic(uint64_t ns)
{
	unsigned int count = 0;

	for (uint64_t at = 0; at < ns; at += 10 * NS_PER_US) {
		if (line && (get(RTC_REG_C) & RTC_C_PERIODIC))
			count++;
		fake_clock_advance(10 * NS_PER_US);
	}
	return count;
}

/* The guest has a quarter of its CPU. */
static void no_periodic_interrupt_is_lost(void **state)
{
	unsigned int count = 0, before;

	(void)state;
	put(RTC_REG_B, 0x42);
	get(RTC_REG_C);
	for (unsigned int turn = 0; turn < 250; turn++) {
		fake_clock_advance(30 * NS_PER_MS);
		count += count_periodic(10 * NS_PER_MS);
	}
	assert_in_range(count, 10 * 1024 - 11, 10 * 1024 + 1);
	/* Nothing is spent on one that does not answer, and what it is owed has a bound. */
	before = fake_clock_expiries();
	fake_clock_advance(100 * TICKS_OWED_NS);
	assert_in_range(fake_clock_expiries() - before, 0, 2);
	assert_in_range(count_periodic(TICKS_OWED_NS / 4), 4000 + 1024, 4000 + 1024 + 2);
	/* Another rate: counted anew. */
	fake_clock_advance(NS_PER_SEC);
	put(RTC_REG_A, 0x2f);
	assert_in_range(count_periodic(4 * NS_PER_SEC), 8, 9);
	/* Disabled and enabled: likewise. */
	fake_clock_advance(4 * NS_PER_SEC);
	put(RTC_REG_B, 0x02);
	get(RTC_REG_C);
	put(RTC_REG_B, 0x42);
	assert_in_range(count_periodic(4 * NS_PER_SEC), 8, 9);
}

static void the_alarm_rings(void **state)
{
	(void)state;
	put(RTC_SECONDS_ALARM, 0x05);
	put(RTC_MINUTES_ALARM, 0x14);
	put(RTC_HOURS_ALARM, 0x22);
	put(RTC_REG_B, 0x22);
	fake_clock_advance(44 * NS_PER_SEC);
	assert_false(line);
	fake_clock_advance(NS_PER_SEC);
	assert_true(line);
	assert_int_equal(get(RTC_SECONDS), 0x05);
	assert_int_equal(get(RTC_REG_C) & 0xa0, 0xa0);
	fake_clock_advance(86390 * NS_PER_SEC);
	assert_false(line);
	fake_clock_advance(10 * NS_PER_SEC);
	assert_true(line);
	/* Without the interrupt the flag is set all the same. */
	get(RTC_REG_C);
	put(RTC_REG_B, 0x02);
	fake_clock_advance(86400 * NS_PER_SEC);
	assert_int_equal(get(RTC_REG_C) & RTC_C_ALARM, RTC_C_ALARM);
	assert_int_equal(edges, 2);
}

/* mach_set_cmos_time() */
static void setting_the_time_as_linux_does(void **state)
{
	uint8_t control = get(RTC_REG_B), frequency = get(RTC_REG_A);

	(void)state;
	put(RTC_REG_B, control | RTC_B_SET);
	put(RTC_REG_A, frequency | 0x70);
	put(RTC_YEAR, 0x30);
	put(RTC_MONTH, 0x02);
	put(RTC_DAY, 0x28);
	put(RTC_HOURS, 0x23);
	put(RTC_MINUTES, 0x59);
	put(RTC_SECONDS, 0x58);
	put(RTC_CENTURY, 0x20);
	fake_clock_advance(3 * NS_PER_SEC);
	assert_int_equal(get(RTC_SECONDS), 0x58);
	put(RTC_REG_B, control);
	put(RTC_REG_A, frequency);
	assert_int_equal(get(RTC_SECONDS), 0x58);
	fake_clock_advance(499 * NS_PER_MS);
	assert_int_equal(get(RTC_SECONDS), 0x58);
	fake_clock_advance(2 * NS_PER_MS);
	assert_int_equal(get(RTC_SECONDS), 0x59);
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(get(RTC_SECONDS), 0);
	assert_int_equal(get(RTC_DAY), 0x01);
	assert_int_equal(get(RTC_MONTH), 0x03);
	assert_int_equal(get(RTC_YEAR), 0x30);
	/* The battery keeps it. */
	fake_pc_reset_devices();
	fake_clock_advance(60 * NS_PER_SEC);
	assert_int_equal(get(RTC_MINUTES), 0x01);
	assert_int_equal(get(RTC_YEAR), 0x30);
	/* A register can be written without SET, too. */
	put(RTC_HOURS, 0x10);
	assert_int_equal(get(RTC_HOURS), 0x10);
	assert_int_equal(get(RTC_MINUTES), 0x01);
}

static void set_clears_the_update_interrupt(void **state)
{
	(void)state;
	put(RTC_REG_B, 0x12);
	put(RTC_REG_B, 0x92);
	assert_int_equal(get(RTC_REG_B), 0x82);
	fake_clock_advance(3 * NS_PER_SEC);
	assert_false(line);
	assert_int_equal(get(RTC_SECONDS), 0x20);
	put(RTC_REG_B, 0x02);
	assert_int_equal(get(RTC_SECONDS), 0x20);
	fake_clock_advance(NS_PER_SEC);
	assert_int_equal(get(RTC_SECONDS), 0x21);
}

static void cmos_tells_the_memory(void **state)
{
	uint16_t sum = 0;

	(void)state;
	assert_int_equal(get(0x15) | get(0x16) << 8, 640);
	assert_int_equal(get(0x17) | get(0x18) << 8, 0xffff);
	assert_int_equal(get(0x30) | get(0x31) << 8, 0xffff);
	assert_int_equal(get(0x34) | get(0x35) << 8, (GIB(3) - MIB(16)) / KIB(64));
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, GIB(5) / KIB(64));
	assert_int_equal(get(0x5f), 3);
	for (unsigned int i = 0x10; i < 0x2e; i++)
		sum += get(i);
	assert_int_equal(get(0x2e) << 8 | get(0x2f), sum);
	/* The rest is memory, and outlives a reset; the sizes are written again. */
	for (unsigned int i = 0x60; i < 0x80; i++)
		put(i, i * 3);
	put(0x34, 0);
	fake_pc_reset_devices();
	assert_int_equal(get(0x34) | get(0x35) << 8, (GIB(3) - MIB(16)) / KIB(64));
	for (unsigned int i = 0x60; i < 0x80; i++)
		assert_int_equal(get(i), (uint8_t)(i * 3));
}

static void any_write_is_survived(void **state)
{
	unsigned int before = fake_clock_expiries();

	(void)state;
	for (unsigned int i = 0; i < 100000; i++) {
		put(rand() & 0x7f, rand());
		get(rand() & 0x0f);
		fake_clock_advance(rand() % 10000);
	}
	assert_true(fake_clock_expiries() - before < 200000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_agree_with_libc),
		cmocka_unit_test(formats_are_as_register_b_says),
		cmocka_unit_test(next_alarm_is_found),
		TEST(the_date_is_the_machines),
		TEST(uip_announces_each_update),
		TEST(update_interrupts_each_second),
		TEST(periodic_rates),
		TEST(no_periodic_interrupt_is_lost),
		TEST(the_alarm_rings),
		TEST(setting_the_time_as_linux_does),
		TEST(set_clears_the_update_interrupt),
		TEST(cmos_tells_the_memory),
		TEST(any_write_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
