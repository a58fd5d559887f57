/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's policy on one and on several queues, driven by hand: shares, turns, sleep, caps, moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "vcpu/sched_queue.h"

enum { QUEUES = 2, GROUPS = 4, ENTITIES = 8 };

static struct sched_queue queues[QUEUES];
static struct sched_group groups[GROUPS];
static struct sched_share shares[GROUPS][QUEUES];
static struct sched_entity entities[ENTITIES];
static uint64_t ran_ns[ENTITIES];
static uint64_t now;

static int setup(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < QUEUES; i++)
		sched_queue_init(&queues[i], i);
	for (unsigned int i = 0; i < GROUPS; i++)
		sched_group_init(&groups[i], shares[i], QUEUES);
	memset(ran_ns, 0, sizeof(ran_ns));
	now = 1000 * NS_PER_SEC;
	return 0;
}

static struct sched_entity *add(unsigned int entity, unsigned int group, unsigned int queue)
{
	sched_entity_init(&entities[entity], &groups[group]);
	sched_queue_add(&queues[queue], &entities[entity], now);
	return &entities[entity];
}

/* Hogs: all run to the end of their turns. */
static void run(unsigned int queue, uint64_t ns)
{
	struct sched_queue *on = &queues[queue];
	uint64_t end = now + ns;

	while (now < end) {
		struct sched_entity *entity = sched_queue_pick(on, now);
		uint64_t until = entity ? on->until_ns : sched_queue_unpark_at(on);

		assert_true(until > now);
		until = until < end ? until : end;
		if (entity) {
			ran_ns[entity - entities] += until - now;
			sched_queue_put(on, SCHED_WAITS, until);
		}
		now = until;
	}
}

static void assert_part(unsigned int entity, uint64_t of_ns, unsigned int permille, unsigned int tolerance)
{
	unsigned int is = (unsigned int)(ran_ns[entity] * 1000 / of_ns);

	assert_in_range(is, permille - tolerance, permille + tolerance);
}

static void weights_are_shares(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		sched_group_set_weight(&groups[i], 100U << i);
		add(i, i, 0);
	}
	run(0, 10 * NS_PER_SEC);
	assert_part(0, 10 * NS_PER_SEC, 143, 2);
	assert_part(1, 10 * NS_PER_SEC, 286, 2);
	assert_part(2, 10 * NS_PER_SEC, 571, 2);
}

static void more_vcpus_win_nothing(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		add(i, 0, 0);
	add(4, 1, 0);
	run(0, 10 * NS_PER_SEC);
	assert_part(4, 10 * NS_PER_SEC, 500, 2);
	for (unsigned int i = 0; i < 4; i++)
		assert_part(i, 10 * NS_PER_SEC, 125, 2);
}

static void a_weight_is_divided_among_queues(void **state)
{
	(void)state;
	add(0, 0, 0);
	add(1, 0, 1); /* it does not run in this test, but it is not asleep */
	add(2, 1, 0);
	run(0, 10 * NS_PER_SEC);
	assert_part(0, 10 * NS_PER_SEC, 333, 2);
	assert_part(2, 10 * NS_PER_SEC, 667, 2);
}

static void nobody_waits_no_timer(void **state)
{
	struct sched_entity *one;

	(void)state;
	assert_null(sched_queue_pick(&queues[0], now));
	one = add(0, 0, 0);
	assert_ptr_equal(sched_queue_pick(&queues[0], now), one);
	assert_int_equal(queues[0].until_ns, SCHED_NEVER);
	/* Another one: the turn has been long enough already, or ends in time. */
	now += NS_PER_MS;
	sched_entity_init(&entities[1], &groups[1]);
	assert_true(sched_queue_add(&queues[0], &entities[1], now));
	assert_true(queues[0].until_ns <= now + SCHED_SLICE_NS);
}

static void a_sleeper_runs_soon(void **state)
{
	struct sched_entity *sleeper;

	(void)state;
	sleeper = add(0, 0, 0);
	add(1, 1, 0);
	add(2, 2, 0);
	sched_queue_remove(&queues[0], sleeper, SCHED_SLEEPS);
	run(0, NS_PER_SEC);
	for (unsigned int i = 0; i < 100; i++) {
		struct sched_entity *hog = sched_queue_pick(&queues[0], now);

		assert_non_null(hog);
		now += 100 * NS_PER_US;
		assert_true(sched_queue_add(&queues[0], sleeper, now));
		/* At once but for the turn that has just begun. */
		assert_true(queues[0].until_ns - now < SCHED_SLICE_MIN_NS);
		now = queues[0].until_ns;
		sched_queue_put(&queues[0], SCHED_WAITS, now);
		assert_ptr_equal(sched_queue_pick(&queues[0], now), sleeper);
		now += NS_PER_MS;
		sched_queue_put(&queues[0], SCHED_SLEEPS, now);
		run(0, 5 * NS_PER_MS);
	}
}

/* One vCPU after the other of the same VM wakes, runs and sleeps: fresh ones, but not a fresh VM. */
static void siblings_that_sleep_in_turn_win_nothing(void **state)
{
	uint64_t end = now + 10 * NS_PER_SEC, hog_ns = 0;
	unsigned int next = 1;

	(void)state;
	add(0, 0, 0);
	for (unsigned int i = 1; i < 5; i++)
		sched_entity_init(&entities[i], &groups[1]);
	sched_queue_add(&queues[0], &entities[1], now);
	while (now < end) {
		struct sched_entity *entity = sched_queue_pick(&queues[0], now);

		assert_non_null(entity);
		if (entity == &entities[0]) {
			uint64_t until = queues[0].until_ns;

			hog_ns += until - now;
			now = until;
			sched_queue_put(&queues[0], SCHED_WAITS, now);
			continue;
		}
		now += 900 * NS_PER_US;
		next = next % 4 + 1;
		if (&entities[next] != entity && entities[next].where == SCHED_OUT)
			sched_queue_add(&queues[0], &entities[next], now);
		sched_queue_put(&queues[0], SCHED_SLEEPS, now);
	}
	assert_in_range(hog_ns / NS_PER_MS, 4900, 5100);
}

static void a_cap_holds(void **state)
{
	(void)state;
	sched_cap_set(&groups[0].cap, 25);
	add(0, 0, 0);
	add(1, 0, 0);
	run(0, 10 * NS_PER_SEC);
	assert_in_range(ran_ns[0] + ran_ns[1], 2490 * NS_PER_MS, 2520 * NS_PER_MS);
	/* Beside another it gets no more, and the other the rest. */
	ran_ns[0] = ran_ns[1] = 0;
	add(2, 1, 0);
	run(0, 10 * NS_PER_SEC);
	assert_in_range(ran_ns[0] + ran_ns[1], 2490 * NS_PER_MS, 2510 * NS_PER_MS);
	assert_part(2, 10 * NS_PER_SEC, 750, 2);
	/* Taken away, it does not matter what was owed. */
	sched_cap_set(&groups[0].cap, 0);
	sched_queue_unpark(&queues[0], SCHED_NEVER);
	ran_ns[0] = ran_ns[1] = ran_ns[2] = 0;
	run(0, NS_PER_SEC);
	assert_part(2, NS_PER_SEC, 500, 20);
}

static void what_a_cap_does_not_use_is_not_lost(void **state)
{
	uint64_t ran = 0, end;

	(void)state;
	sched_cap_set(&groups[0].cap, 50);
	add(0, 0, 0);
	/* Each time it runs for 10 us of the 5 ms that it was given, and comes back at once. */
	for (end = now + NS_PER_SEC; now < end;) {
		if (sched_queue_pick(&queues[0], now)) {
			now += 10 * NS_PER_US;
			ran += 10 * NS_PER_US;
			sched_queue_put(&queues[0], SCHED_WAITS, now);
		} else {
			now = sched_queue_unpark_at(&queues[0]);
		}
	}
	assert_in_range(ran / NS_PER_MS, 490, 520);
}

static void the_rest_of_a_turn_goes_to_a_sibling(void **state)
{
	struct sched_entity *spinner, *holder;

	(void)state;
	spinner = add(0, 0, 0);
	assert_ptr_equal(sched_queue_pick(&queues[0], now), spinner);
	holder = add(1, 0, 0);
	add(2, 1, 0);
	now += 500 * NS_PER_US;
	sched_queue_update(&queues[0], now);
	sched_queue_favour(&queues[0], holder);
	sched_queue_put(&queues[0], SCHED_WAITS, now);
	assert_ptr_equal(sched_queue_pick(&queues[0], now), holder);
	assert_true(queues[0].until_ns - now <= SCHED_SLICE_NS - 500 * NS_PER_US);
	sched_queue_put(&queues[0], SCHED_SLEEPS, now);
	/* Not one of another VM. */
	assert_non_null(sched_queue_pick(&queues[0], now));
	sched_queue_favour(&queues[0], queues[0].current == spinner ? &entities[2] : spinner);
	assert_null(queues[0].favoured);
}

static uint32_t any(const struct sched_entity *entity, void *argument)
{
	(void)argument;
	return sched_entity_load(entity);
}

static void one_moves(void **state)
{
	struct sched_entity *found;

	(void)state;
	add(0, 0, 0);
	add(1, 1, 0);
	sched_group_set_weight(&groups[2], 300);
	add(2, 2, 0);
	assert_int_equal(queues[0].load, 500 * SCHED_LOAD_UNIT);
	found = sched_queue_find(&queues[0], any, NULL, 8);
	assert_ptr_equal(found, &entities[2]);
	sched_queue_remove(&queues[0], found, SCHED_MOVES);
	assert_int_equal(queues[0].load, 200 * SCHED_LOAD_UNIT);
	assert_int_equal(groups[2].active, 1);
	sched_queue_add(&queues[1], found, now);
	assert_int_equal(queues[1].load, 300 * SCHED_LOAD_UNIT);
	assert_ptr_equal(sched_queue_pick(&queues[1], now), found);
}

static void assert_same(const struct sched_queue *a, const struct sched_queue *b)
{
	assert_int_equal(a->virtual_ns, b->virtual_ns);
	assert_int_equal(a->charged_ns, b->charged_ns);
	assert_int_equal(a->started_ns, b->started_ns);
	assert_int_equal(a->until_ns, b->until_ns);
	assert_int_equal(a->load, b->load);
	assert_int_equal(a->waiting, b->waiting);
	assert_int_equal(a->reserved_ns, b->reserved_ns);
	assert_true(sched_queue_is_empty(a) && sched_queue_is_empty(b));
}

/* One that is alone: two queues go through the same, only that here add and pick are one step. */
static void to_start_is_to_add_and_pick(void **state)
{
	struct sched_entity *one = &entities[0], *other = &entities[1];

	(void)state;
	sched_entity_init(one, &groups[0]);
	sched_entity_init(other, &groups[1]);
	for (unsigned int i = 0; i < 50; i++) {
		assert_true(sched_queue_start(&queues[0], one, now));
		sched_queue_add(&queues[1], other, now);
		assert_ptr_equal(sched_queue_pick(&queues[1], now), other);
		assert_int_equal(one->where, SCHED_CURRENT);
		assert_int_equal(groups[0].active, 1);
		assert_same(&queues[0], &queues[1]);
		now += (i % 7 + 1) * 3 * NS_PER_MS;
		sched_queue_put(&queues[0], SCHED_SLEEPS, now);
		sched_queue_put(&queues[1], SCHED_SLEEPS, now);
		assert_same(&queues[0], &queues[1]);
		assert_int_equal(one->inner_ns, other->inner_ns);
		assert_int_equal(shares[0][0].virtual_ns, shares[1][1].virtual_ns);
		assert_int_equal(groups[0].active, 0);
		now += (i % 5) * 4 * NS_PER_MS;
	}
}

static void not_alone_is_not_started(void **state)
{
	struct sched_entity *entity = &entities[1];

	(void)state;
	sched_entity_init(entity, &groups[1]);
	add(0, 0, 0);
	assert_false(sched_queue_start(&queues[0], entity, now)); /* one waits */
	sched_queue_pick(&queues[0], now);
	assert_false(sched_queue_start(&queues[0], entity, now)); /* one runs */
	sched_queue_put(&queues[0], SCHED_SLEEPS, now);
	sched_cap_set(&groups[1].cap, 50);
	assert_false(sched_queue_start(&queues[0], entity, now));
	sched_cap_set(&groups[1].cap, 0);
	assert_int_equal(groups[1].active, 0);
	assert_int_equal(queues[0].load, 0);
	assert_true(sched_queue_start(&queues[0], entity, now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(weights_are_shares, setup),
		cmocka_unit_test_setup(more_vcpus_win_nothing, setup),
		cmocka_unit_test_setup(a_weight_is_divided_among_queues, setup),
		cmocka_unit_test_setup(nobody_waits_no_timer, setup),
		cmocka_unit_test_setup(a_sleeper_runs_soon, setup),
		cmocka_unit_test_setup(siblings_that_sleep_in_turn_win_nothing, setup),
		cmocka_unit_test_setup(a_cap_holds, setup),
		cmocka_unit_test_setup(what_a_cap_does_not_use_is_not_lost, setup),
		cmocka_unit_test_setup(the_rest_of_a_turn_goes_to_a_sibling, setup),
		cmocka_unit_test_setup(one_moves, setup),
		cmocka_unit_test_setup(to_start_is_to_add_and_pick, setup),
		cmocka_unit_test_setup(not_alone_is_not_started, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
