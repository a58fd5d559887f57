/* SPDX-License-Identifier: BSD-2-Clause */
/* Sampling periods of a guest of some pages, and what they cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "balloon/sampling.h"
#include "test/unit/fake_clock.h"

#define PAGES 1000U
#define FIRST_PAGES 160U /* in its first slot; the others are in one behind a hole */
#define SECOND_START 0x100000U
#define TAKE_NS 700U
#define SEAL_NS 5000U
#define PERIOD_S 30U

static struct guest_memory memory = {
	.slots = { { .start = 0, .bytes = FIRST_PAGES * PAGE_SIZE },
		{ .start = SECOND_START, .bytes = (PAGES - FIRST_PAGES) * PAGE_SIZE } },
	.slot_count = 2,
	.limit_pages = PAGES,
};
static enum page_state states[PAGES];
static struct sampling sampling;
static unsigned int looks;

static unsigned int index_of(gpa_t gpa)
{
	if (gpa < FIRST_PAGES * PAGE_SIZE)
		return (unsigned int)(gpa >> PAGE_SHIFT);
	assert_in_range(gpa, SECOND_START, SECOND_START + (PAGES - FIRST_PAGES - 1) * PAGE_SIZE);
	return (unsigned int)((gpa - SECOND_START) >> PAGE_SHIFT) + FIRST_PAGES;
}

int guest_memory_take(struct guest_memory *of, gpa_t gpa)
{
	unsigned int page = index_of(gpa);

	assert_ptr_equal(of, &memory);
	fake_clock_stall(TAKE_NS);
	if (states[page] != PAGE_STATE_PRIVATE)
		return -ENOENT;
	states[page] = PAGE_STATE_LEAVING;
	return 0;
}

void guest_memory_put_back(struct guest_memory *of, gpa_t gpa)
{
	unsigned int page = index_of(gpa);

	assert_ptr_equal(of, &memory);
	if (states[page] == PAGE_STATE_LEAVING)
		states[page] = PAGE_STATE_PRIVATE;
}

enum page_state guest_memory_state(const struct guest_memory *of, gpa_t gpa, struct s2_mapping *mapping)
{
	assert_ptr_equal(of, &memory);
	assert_null(mapping);
	looks++;
	return states[index_of(gpa)];
}

static unsigned int leaving(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		count += states[i] == PAGE_STATE_LEAVING;
	return count;
}

/* The guest touches its first pages. */
static void touch(unsigned int pages)
{
	for (unsigned int i = 0; i < pages; i++) {
		memory.rescues += states[i] == PAGE_STATE_LEAVING;
		states[i] = PAGE_STATE_PRIVATE;
	}
}

static uint64_t go_on(uint32_t period_s, bool may_begin)
{
	return sampling_step(&sampling, &memory, period_s, may_begin, clock_now_ns());
}

static void begin(void)
{
	go_on(PERIOD_S, true);
	assert_true(sampling_waits(&sampling));
	sampling_sealed(&sampling, clock_tsc_from_ns(SEAL_NS));
	assert_false(sampling_waits(&sampling));
	sampling_settled(&sampling);
}

static void end(void)
{
	fake_clock_advance(PERIOD_S * NS_PER_SEC);
	go_on(PERIOD_S, false);
}

static int setup(void **state)
{
	(void)state;
	fake_clock_reset(0);
	memset(&sampling, 0, sizeof(sampling));
	for (unsigned int i = 0; i < PAGES; i++)
		states[i] = PAGE_STATE_PRIVATE;
	looks = 0;
	return 0;
}

static unsigned int us(uint64_t ticks)
{
	return (unsigned int)(clock_ns_from_tsc(ticks) / 1000);
}

static void test_period_costs_its_faults_and_its_time(void **state)
{
	const struct sampling_cost *cost = &sampling.cost;
	unsigned int touched;

	(void)state;
	begin();
	assert_int_equal(leaving(), ESTIMATE_SAMPLES);
	touch(PAGES / 2);
	touched = ESTIMATE_SAMPLES - leaving();
	assert_in_range(touched, 30, 70);
	end();
	assert_int_equal(leaving(), 0);
	assert_int_equal(cost->pages, ESTIMATE_SAMPLES);
	assert_int_equal(cost->faults, touched);
	assert_in_range(us(cost->ticks), 74, 75); /* a hundred takes, and the grace period */
	assert_in_range(cost->faults_per_1000_s, touched * 1000 / PERIOD_S - 1, touched * 1000 / PERIOD_S);
	assert_in_range(cost->ns_per_s, 75000 / PERIOD_S - 1, 75000 / PERIOD_S);
	assert_in_range(estimate_active_pages(&sampling.estimate, 100), touched - 1, touched);
	/* The next one, in which nothing is touched. */
	begin();
	end();
	assert_int_equal(cost->pages, 2 * ESTIMATE_SAMPLES);
	assert_int_equal(cost->faults, touched);
	assert_int_equal(cost->faults_per_1000_s, 0);
	assert_in_range(cost->ns_per_s, 75000 / PERIOD_S - 1, 75000 / PERIOD_S);
}

static void test_touches_count_while_the_period_runs(void **state)
{
	unsigned int before;

	(void)state;
	begin();
	end();
	begin();
	go_on(PERIOD_S, true);
	assert_int_equal(estimate_active_pages(&sampling.estimate, 100), 0);
	touch(PAGES);
	/* Not before it is time to look again. */
	before = looks;
	go_on(PERIOD_S, true);
	assert_int_equal(looks, before);
	fake_clock_advance(250 * NS_PER_MS);
	go_on(PERIOD_S, true);
	assert_int_equal(looks, before + ESTIMATE_SAMPLES);
	assert_int_equal(sampling.cost.faults, ESTIMATE_SAMPLES);
	/* And not while nothing more is touched. */
	fake_clock_advance(250 * NS_PER_MS);
	go_on(PERIOD_S, true);
	assert_int_equal(looks, before + ESTIMATE_SAMPLES);
	assert_in_range(estimate_active_pages(&sampling.estimate, 100), 70, 80);
	/* They are not counted twice, nor less when the guest gives them up. */
	for (unsigned int i = 0; i < PAGES; i++)
		states[i] = PAGE_STATE_UNTOUCHED;
	end();
	assert_int_equal(sampling.cost.faults, ESTIMATE_SAMPLES);
}

static void test_grace_periods_of_others_cost_nothing(void **state)
{
	uint64_t before;

	(void)state;
	go_on(PERIOD_S, true);
	before = sampling.cost.ticks;
	sampling_sealed(&sampling, 0);
	assert_int_equal(sampling.cost.ticks, before);
	/* Nor is one without a period one of sampling's. */
	sampling_settled(&sampling);
	end();
	sampling_sealed(&sampling, 0);
	sampling_settled(&sampling);
	assert_false(sampling.watched);
}

static void test_period_waits_for_its_turn(void **state)
{
	uint64_t now;

	(void)state;
	assert_true(go_on(PERIOD_S, false) > clock_now_ns());
	assert_false(sampling_waits(&sampling));
	go_on(PERIOD_S, true);
	now = clock_now_ns();
	/* Until its grace period is over it does not end, however long that takes. */
	fake_clock_advance(2 * PERIOD_S * NS_PER_SEC);
	assert_true(go_on(PERIOD_S, true) > now);
	assert_int_equal(leaving(), ESTIMATE_SAMPLES);
	assert_int_equal(sampling.estimate.periods, 0);
}

static void test_no_period_means_no_page_is_watched(void **state)
{
	(void)state;
	assert_int_equal(go_on(0, true), 0);
	assert_int_equal(leaving(), 0);
	begin();
	assert_int_equal(leaving(), ESTIMATE_SAMPLES);
	assert_int_equal(go_on(0, true), 0);
	assert_int_equal(leaving(), 0);
}

static void test_pages_that_are_not_there_are_not_watched(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < PAGES; i++)
		states[i] = i < 10 ? PAGE_STATE_PRIVATE : PAGE_STATE_UNTOUCHED;
	begin();
	assert_int_equal(sampling.cost.pages, leaving());
	assert_true(leaving() <= 10);
	touch(10);
	end();
	/* Memory that is new has no past. */
	sampling.random = 77;
	sampling_reset(&sampling);
	assert_int_equal(sampling.random, 77);
	assert_int_equal(sampling.cost.ticks, 0);
	assert_int_equal(sampling.estimate.periods, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_period_costs_its_faults_and_its_time, setup),
		cmocka_unit_test_setup(test_touches_count_while_the_period_runs, setup),
		cmocka_unit_test_setup(test_grace_periods_of_others_cost_nothing, setup),
		cmocka_unit_test_setup(test_period_waits_for_its_turn, setup),
		cmocka_unit_test_setup(test_no_period_means_no_page_is_watched, setup),
		cmocka_unit_test_setup(test_pages_that_are_not_there_are_not_watched, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
