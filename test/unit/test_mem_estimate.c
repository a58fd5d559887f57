/* SPDX-License-Identifier: BSD-2-Clause */
/* The working-set estimate beside the truth, and the choice of pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "balloon/estimate.h"

#define MEMORY_MIB 256
#define MEMORY_PAGES (MEMORY_MIB * 256ULL)
#define PERIOD 30 /* seconds */

static uint64_t seed;

static unsigned int mib(uint64_t pages)
{
	return (unsigned int)((pages + 128) / 256);
}

/* A guest that touches its first `working` pages all the time, a second at a time. */
struct toucher {
	struct estimate estimate;
	uint64_t working, samples[ESTIMATE_SAMPLES];
	bool touched[ESTIMATE_SAMPLES];
	unsigned int seconds, count;
};

static unsigned int estimate_mib(const struct toucher *guest)
{
	return mib(estimate_active_pages(&guest->estimate, MEMORY_PAGES));
}

static void run_second(struct toucher *guest)
{
	if (guest->seconds % PERIOD == 0) {
		estimate_choose(&seed, MEMORY_PAGES, guest->samples, ESTIMATE_SAMPLES);
		memset(guest->touched, 0, sizeof(guest->touched));
		guest->count = 0;
	}
	for (unsigned int i = 0; i < ESTIMATE_SAMPLES; i++)
		if (!guest->touched[i] && guest->samples[i] < guest->working) {
			guest->touched[i] = true;
			guest->count++;
		}
	if (++guest->seconds % PERIOD)
		estimate_running(&guest->estimate, guest->count, ESTIMATE_SAMPLES);
	else
		estimate_end_period(&guest->estimate, guest->count, ESTIMATE_SAMPLES);
}

static void run_seconds(struct toucher *guest, unsigned int working_mib, unsigned int seconds)
{
	guest->working = working_mib * 256;
	while (seconds--)
		run_second(guest);
}

/* As in the published experiment: steps between 50 and 250 MB, some minutes each. */
static void test_estimate_follows_a_guest_that_touches_more_and_less(void **state)
{
	static const unsigned int steps[] = { 50, 100, 150, 200, 250, 150, 50, 250, 50 };
	struct toucher guest = { 0 };

	(void)state;
	seed = 7;
	printf("  truth and estimate in MiB, a figure a minute, 8 minutes a step:\n");
	for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++) {
		unsigned int sum = 0;

		printf("  %4u:", steps[i]);
		for (unsigned int minute = 0; minute < 8; minute++) {
			run_seconds(&guest, steps[i], 60);
			printf(" %4u", estimate_mib(&guest));
			sum += minute >= 4 ? estimate_mib(&guest) : 0;
		}
		printf("\n");
		/* The greatest of several averages is above the truth rather than below. */
		assert_in_range(sum / 4 + 20, steps[i], steps[i] + 60);
	}
}

/* Seconds until the estimate is within a tenth of the whole memory of the truth, mean of many. */
static unsigned int settle_seconds(unsigned int from, unsigned int to)
{
	unsigned int total = 0;

	for (unsigned int round = 0; round < 100; round++) {
		struct toucher guest = { 0 };
		unsigned int seconds = 0;

		run_seconds(&guest, from, 600 + round % PERIOD);
		guest.working = to * 256;
		for (; seconds < 3600; seconds++) {
			int off = (int)estimate_mib(&guest) - (int)to;

			if ((from < to ? -off : off) <= MEMORY_MIB / 10)
				break;
			run_second(&guest);
		}
		total += seconds;
	}
	return total / 100;
}

static void test_estimate_rises_fast_and_falls_slowly(void **state)
{
	unsigned int rise, fall;

	(void)state;
	seed = 8;
	rise = settle_seconds(50, 250);
	fall = settle_seconds(250, 50);
	printf("  50 to 250 MiB: within a tenth after %u s; 250 to 50 MiB: after %u s\n", rise, fall);
	assert_in_range(rise, 1, 2 * PERIOD);
	assert_in_range(fall, 3 * PERIOD, 15 * PERIOD);
}

static void test_waking_is_seen_within_the_running_period(void **state)
{
	struct estimate estimate = { 0 };

	(void)state;
	for (unsigned int i = 0; i < 20; i++)
		estimate_end_period(&estimate, 0, 100);
	assert_int_equal(estimate_active_pages(&estimate, 1000), 0);
	estimate_running(&estimate, 100, 100);
	assert_int_equal(estimate_active_pages(&estimate, 1000), 750);
	/* A period that begins with nothing takes nothing away. */
	estimate_end_period(&estimate, 100, 100);
	estimate_running(&estimate, 0, 100);
	assert_int_equal(estimate_active_pages(&estimate, 1000), 750);
}

static void test_nothing_known_means_active(void **state)
{
	struct estimate estimate = { 0 };

	(void)state;
	assert_int_equal(estimate_active_pages(&estimate, 1234), 1234);
	estimate_end_period(&estimate, 0, 0);
	assert_int_equal(estimate_active_pages(&estimate, 1234), 1234);
	estimate_running(&estimate, 5, 0);
	estimate_end_period(&estimate, 50, 100);
	assert_int_equal(estimate_active_pages(&estimate, 1234), 617);
	/* More touched than watched cannot be; it is no more than all. */
	for (unsigned int i = 0; i < 50; i++)
		estimate_end_period(&estimate, 900, 100);
	assert_true(estimate_active_pages(&estimate, BIT(34)) <= BIT(34));
	assert_true(estimate_active_pages(&estimate, BIT(34)) > BIT(34) - BIT(22));
}

static void test_chosen_pages_are_different_and_below_the_limit(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 50, 99, 100, 101, 150, 65536, BIT(34) };

	(void)state;
	seed = 9;
	for (unsigned int round = 0; round < 500; round++) {
		uint64_t pages = sizes[round % ARRAY_SIZE(sizes)], chosen[ESTIMATE_SAMPLES];
		unsigned int count = estimate_choose(&seed, pages, chosen, ESTIMATE_SAMPLES);

		assert_int_equal(count, MIN(pages, ESTIMATE_SAMPLES));
		for (unsigned int i = 0; i < count; i++) {
			assert_true(chosen[i] < pages);
			for (unsigned int j = 0; j < i; j++)
				assert_true(chosen[i] != chosen[j]);
		}
	}
}

static void test_each_page_is_chosen_as_often(void **state)
{
	unsigned int hits[200] = { 0 }, least = ~0U, most = 0;

	(void)state;
	seed = 10;
	for (unsigned int round = 0; round < 20000; round++) {
		uint64_t chosen[10];

		estimate_choose(&seed, ARRAY_SIZE(hits), chosen, 10);
		for (unsigned int i = 0; i < 10; i++)
			hits[chosen[i]]++;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(hits); i++) {
		least = MIN(least, hits[i]);
		most = MAX(most, hits[i]);
	}
	printf("  20000 times 10 of 200 pages: each between %u and %u times\n", least, most);
	/* 1000 are expected, with a deviation of 31. */
	assert_in_range(least, 860, 1000);
	assert_in_range(most, 1000, 1140);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_estimate_follows_a_guest_that_touches_more_and_less),
		cmocka_unit_test(test_estimate_rises_fast_and_falls_slowly),
		cmocka_unit_test(test_waking_is_seen_within_the_running_period),
		cmocka_unit_test(test_nothing_known_means_active),
		cmocka_unit_test(test_chosen_pages_are_different_and_below_the_limit),
		cmocka_unit_test(test_each_page_is_chosen_as_often),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
