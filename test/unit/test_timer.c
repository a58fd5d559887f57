/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The timer queues, with this test in the hardware's place. Deadlines lie either behind or far
 * ahead of the real TSC, so the outcome does not depend on how fast the test runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "host/apic.h"
#include "host/init.h"
#include "host/timer.h"
#include "host/watchdog.h"

#define FAR (1ULL << 62)
#define TIMERS 300

static struct cpu cpus[2];
static uint64_t programmed[2];     /* what each CPU's hardware waits for; 0: nothing */
static unsigned int program_count;
static uint64_t hardware_limit = ~0ULL; /* the farthest deadline that the hardware takes */

static unsigned int current_id;

struct cpu *this_cpu(void)
{
	return &cpus[current_id];
}

static unsigned int current(void)
{
	return current_id;
}

static void become(unsigned int id)
{
	current_id = id;
}

uint64_t apic_timer_program(uint64_t deadline_tsc)
{
	program_count++;
	programmed[current()] = MIN(deadline_tsc, hardware_limit);
	return programmed[current()];
}

static struct timer timers[TIMERS];
static struct timer *expired[TIMERS * 2];
static unsigned int expired_count;

static void note(struct timer *timer)
{
	assert_false(timer_armed(timer));
	expired[expired_count++] = timer;
}

static int set_up(void **state)
{
	(void)state;
	for (unsigned int id = 0; id < 2; id++) {
		cpus[id] = (struct cpu){.self = &cpus[id], .id = id};
		timer_init_cpu(&cpus[id]);
		programmed[id] = 0;
	}
	for (int i = 0; i < TIMERS; i++)
		timer_init(&timers[i], note);
	expired_count = 0;
	program_count = 0;
	hardware_limit = ~0ULL;
	become(0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned int id = 0; id < 2; id++)
		free(cpus[id].timers);
	return 0;
}

/* The interrupt comes again as long as the hardware waits for something that is not far away. */
static void serve(void)
{
	while (programmed[current()] && programmed[current()] < FAR / 2) {
		programmed[current()] = 0;
		timer_interrupt();
	}
}

static void expire_in_order(void **state)
{
	(void)state;
	for (int i = 0; i < TIMERS; i++)
		timer_set(&timers[i], 1 + (uint64_t)rand() % 1000);
	serve();
	assert_int_equal(expired_count, TIMERS);
	for (int i = 1; i < TIMERS; i++)
		assert_true(expired[i - 1]->node.key <= expired[i]->node.key);
}

static void the_future_waits(void **state)
{
	(void)state;
	timer_set(&timers[0], FAR + 5);
	assert_int_equal(programmed[0], FAR + 5);
	timer_set(&timers[1], FAR + 9);
	assert_int_equal(program_count, 1); /* later than the programmed one: no need */
	timer_set(&timers[2], 1);
	assert_int_equal(programmed[0], 1);
	serve();
	assert_int_equal(expired_count, 1);
	assert_ptr_equal(expired[0], &timers[2]);
	assert_int_equal(programmed[0], FAR + 5);
	assert_true(timer_armed(&timers[0]));
	assert_true(timer_armed(&timers[1]));
}

static void the_end_of_time_does_not_come(void **state)
{
	(void)state;
	timer_set(&timers[0], ~0ULL);
	timer_set(&timers[1], INT64_MAX);
	timer_set(&timers[2], 1ULL << 63);
	assert_int_equal(program_count, 0);
	timer_set(&timers[3], 1);
	timer_set(&timers[4], FAR);
	timer_set(&timers[5], 2);
	serve();
	assert_int_equal(expired_count, 2);
	assert_ptr_equal(expired[0], &timers[3]);
	assert_ptr_equal(expired[1], &timers[5]);
	assert_int_equal(programmed[0], FAR);
	for (int i = 0; i < 3; i++)
		assert_true(timer_armed(&timers[i]));
}

static void cancelled_ones_stay_silent(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		unsigned int cancelled = 0;

		set_up(NULL);
		for (int i = 0; i < TIMERS; i++)
			timer_set(&timers[i], 1 + (uint64_t)rand() % 50);
		for (int i = 0; i < TIMERS; i++) {
			struct timer *timer = &timers[rand() % TIMERS];

			if (rand() % 2) {
				timer_set(timer, 1 + (uint64_t)rand() % 50);
				continue;
			}
			timer_cancel(timer);
			assert_false(timer_armed(timer));
		}
		for (int i = 0; i < TIMERS; i++)
			cancelled += !timer_armed(&timers[i]);
		serve();
		assert_int_equal(expired_count, TIMERS - cancelled);
		for (unsigned int i = 1; i < expired_count; i++)
			assert_true(expired[i - 1]->node.key <= expired[i]->node.key);
		tear_down(NULL);
	}
	set_up(NULL);
	timer_cancel(&timers[0]); /* never armed */
	timer_set(&timers[0], FAR);
	timer_cancel(&timers[0]);
	timer_cancel(&timers[0]);
	assert_false(timer_armed(&timers[0]));
	tear_down(NULL);
}

static void setting_again_moves(void **state)
{
	(void)state;
	timer_set(&timers[0], FAR + 1);
	timer_set(&timers[1], FAR + 2);
	timer_set(&timers[0], 7);
	serve();
	assert_int_equal(expired_count, 1);
	timer_set(&timers[1], 8);
	timer_set(&timers[1], FAR + 3);
	serve();
	assert_int_equal(expired_count, 1);
	assert_true(timer_armed(&timers[1]));
}

static void each_cpu_serves_its_own(void **state)
{
	(void)state;
	timer_set(&timers[0], 1);
	become(1);
	timer_set(&timers[1], 2);
	timer_set(&timers[0], 3); /* moves here */
	assert_ptr_equal(timers[0].cpu, &cpus[1]);
	become(0);
	serve();
	assert_int_equal(expired_count, 0);
	timer_cancel(&timers[1]); /* from elsewhere */
	become(1);
	serve();
	assert_int_equal(expired_count, 1);
	assert_ptr_equal(expired[0], &timers[0]);
}

static struct timer periodic;
static unsigned int periods;

static void again_in_the_past(struct timer *timer)
{
	periods++;
	timer_set(timer, 1);
}

static void a_timer_that_rearms_in_the_past_does_not_hold_the_cpu(void **state)
{
	(void)state;
	timer_init(&periodic, again_in_the_past);
	periods = 0;
	timer_set(&periodic, 1);
	programmed[0] = 0;
	timer_interrupt();
	assert_true(periods > 0);
	assert_true(periods < 100);
	/* And the next interrupt is not at once. */
	assert_true(programmed[0] > clock_tsc() - 1000000000);
	timer_cancel(&periodic);
}

static void cancel_itself(struct timer *timer)
{
	periods++;
	timer_set(timer, FAR);
	timer_cancel(timer);
}

static void a_callback_may_arm_and_cancel_itself(void **state)
{
	(void)state;
	timer_init(&periodic, cancel_itself);
	periods = 0;
	timer_set(&periodic, 1);
	serve();
	assert_int_equal(periods, 1);
	assert_false(timer_armed(&periodic));
}

static void a_clock_of_its_own_is_trusted(void **state)
{
	(void)state;
	/* The hardware fires; the TSC is not there yet: the timer expires all the same. */
	timer_set(&timers[0], FAR);
	programmed[0] = 0;
	timer_interrupt();
	assert_int_equal(expired_count, 1);
	/* But not when the hardware could not wait as long as it was to. */
	hardware_limit = FAR / 2;
	timer_set(&timers[0], FAR);
	programmed[0] = 0;
	timer_interrupt();
	assert_int_equal(expired_count, 1);
	assert_true(timer_armed(&timers[0]));
	assert_int_equal(programmed[0], FAR / 2);
}

static void lateness_counts_from_when_the_interrupt_was_due(void **state)
{
	uint64_t due;

	(void)state;
	/* A deadline of the past cannot be met: what counts is when the hardware was told. */
	timer_set(&timers[0], 1);
	due = clock_tsc();
	while (clock_tsc() < due + 2000000)
		;
	serve();
	assert_true(cpus[0].timer_late_tsc >= 2000000);
	assert_true(cpus[0].timer_late_tsc <= clock_tsc() - due + 2000000);
	assert_true(cpus[0].timer_late_at_tsc >= due + 2000000);
	/* Less than that is no news. */
	due = cpus[0].timer_late_tsc = ~0ULL >> 1;
	timer_set(&timers[0], 1);
	serve();
	assert_int_equal(cpus[0].timer_late_tsc, due);
	/* The hardware's own clock may run ahead of the TSC. */
	cpus[0].timer_late_tsc = 0;
	timer_set(&timers[0], FAR);
	programmed[0] = 0;
	timer_interrupt();
	assert_int_equal(cpus[0].timer_late_tsc, 0);
}

static void a_watcher_is_wanted_for_work_only(void **state)
{
	(void)state;
	cpus[0].unwatched = true;
	timers[0].watches = true;
	timer_set(&timers[0], 1);
	serve();
	assert_true(cpus[0].unwatched);
	timer_set(&timers[1], 1);
	serve();
	assert_false(cpus[0].unwatched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(expire_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_future_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_end_of_time_does_not_come, set_up, tear_down),
		cmocka_unit_test(cancelled_ones_stay_silent),
		cmocka_unit_test_setup_teardown(setting_again_moves, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_cpu_serves_its_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_timer_that_rearms_in_the_past_does_not_hold_the_cpu, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_callback_may_arm_and_cancel_itself, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_clock_of_its_own_is_trusted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lateness_counts_from_when_the_interrupt_was_due, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_watcher_is_wanted_for_work_only, set_up, tear_down),
	};

	srand(3);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
