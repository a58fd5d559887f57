/* SPDX-License-Identifier: BSD-2-Clause */
/* The economy among simulated guests: its states, what it asks of whom, who is held, and who may start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "test/unit/fake_economy.h"

#define MIB_PAGES 256ULL
#define TOTAL (360 * MIB_PAGES)
#define MEMORY (192 * MIB_PAGES)
#define MIN_PAGES (48 * MIB_PAGES)
#define SECONDS(count) ((count) * 1000ULL)

static struct policy_thresholds at;
static const struct economy_terms all_guaranteed = { .min_pages = MEMORY, .memory_pages = MEMORY, .shares = 1 };

static int begin(void **state)
{
	(void)state;
	policy_settings = policy_defaults;
	fake_economy_begin(TOTAL);
	at = policy_thresholds(&policy_settings, TOTAL);
	assert_int_equal(economy_init(), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_economy_end();
	assert_int_equal(pool.count, 0);
	assert_false(fake_table);
	assert_int_equal(economy_poll(), 0);
	return 0;
}

/* It has so many pages from one moment on. */
static void has(struct fake_guest *guest, uint64_t pages)
{
	guest->vm.memory.resident_pages = pages;
}

/* All but so many pages are the guest's. */
static void leave_free(struct fake_guest *guest, uint64_t pages)
{
	has(guest, guest->vm.memory.resident_pages + fake_economy_free() - pages);
	fake_economy_run(600);
}

/* --- Who takes part --- */

static void no_one_takes_part(void **state)
{
	struct fake_guest *guest = fake_economy_add(MEMORY, MEMORY, true);
	uint64_t steps;

	(void)state;
	assert_false(economy_takes_part(guest->vm.economy));
	fake_economy_run(SECONDS(1));
	steps = guest->steps;
	fake_polls = 0;
	fake_economy_run(SECONDS(10));
	assert_int_equal(fake_polls, 0);
	/* And whoever calls it nevertheless has it back at once. */
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(economy_poll(), 0);
	assert_int_equal(guest->steps, steps);
	assert_int_equal(guest->vm.memory.ceiling_pages, UINT64_MAX);
	assert_int_equal(guest->balloon.target_pages, 0);
	/* What it gives up by itself is seen to. */
	guest->vm.memory.limbo.filling_count = 1;
	guest->vm.memory.keeper->needed(&guest->vm.memory);
	fake_economy_run(10);
	assert_true(guest->steps > steps);
	guest->vm.memory.limbo.filling_count = 0;
	/* A page that is lost ends it; so does none other. */
	guest->vm.memory.lost = true;
	guest->vm.memory.keeper->needed(&guest->vm.memory);
	fake_economy_run(10);
	assert_int_equal(fake_stopped, 1);
}

static void one_is_added_and_removed(void **state)
{
	struct fake_guest *first = fake_economy_add(MIN_PAGES, MEMORY, true), *second;
	struct vm_memory_view view;
	struct memory_view machine;
	struct vm never = { 0 };

	(void)state;
	assert_int_equal(first->vm.memory.guaranteed_pages, MIN_PAGES);
	fake_economy_run(SECONDS(1));
	assert_true(pool.watches);
	second = fake_economy_add(MIN_PAGES, MEMORY, false);
	fake_economy_run(SECONDS(1));
	assert_int_equal(pool.count, 2);
	assert_true(economy_view_vm(&second->vm, &view));
	assert_int_equal(view.min_pages, MIN_PAGES);
	assert_false(view.has_balloon);
	assert_false(economy_view_vm(&never, &view));
	economy_view(&machine);
	assert_int_equal(machine.total_pages, TOTAL);
	assert_int_equal(machine.state, POLICY_HIGH);
	/* It does not run, and is none that memory is planned for. */
	has(first, 1000);
	fake_economy_stop(second);
	fake_economy_run(SECONDS(1));
	assert_int_equal(second->vm.economy->guest.target_pages, 0);
	assert_int_equal(second->resets, 3); /* when it was added, started, stopped */
	fake_economy_start(second);
	fake_economy_run(SECONDS(1));
	assert_int_equal(second->resets, 4);
	assert_true(second->vm.economy->guest.target_pages >= MIN_PAGES);
	/* All is guaranteed: nobody takes part any more. */
	economy_remove(&second->vm);
	assert_int_equal(pool.count, 1);
	economy_set_terms(&first->vm, &all_guaranteed);
	fake_economy_run(SECONDS(1));
	assert_false(pool.watches);
	assert_int_equal(fake_floor, 0);
	economy_remove(&second->vm);
	assert_int_equal(pool.count, 1);
}

static void there_is_no_memory_for_it(void **state)
{
	struct economy_terms terms = { .min_pages = 1, .memory_pages = MEMORY, .shares = 1 };
	struct fake_guest *guest;
	struct vm vm = { 0 };

	(void)state;
	fake_no_memory = true;
	assert_int_equal(economy_add(&vm, &terms), -ENOMEM);
	fake_no_memory = false;
	guest = fake_economy_add(MEMORY, MEMORY, false);
	/* Without the table of equal pages nothing is taken from anyone. */
	fake_no_memory = true;
	economy_set_terms(&guest->vm, &terms);
	assert_false(economy_takes_part(guest->vm.economy));
	fake_no_memory = false;
	economy_set_terms(&guest->vm, &terms);
	assert_true(economy_takes_part(guest->vm.economy));
}

/* --- States, and what is done in them --- */

static void states_come_and_go(void **state)
{
	struct fake_guest *guest = fake_economy_add(MIN_PAGES, MEMORY, true);
	struct fake_guest *rest = fake_economy_add(1, 2 * MEMORY, false);
	struct memory_view view;

	(void)state;
	fake_take_ns = FAKE_NEVER;
	has(guest, MIN_PAGES + 1000);
	leave_free(rest, at.soft_pages + 10);
	assert_int_equal(pool.state, POLICY_HIGH);
	assert_int_equal(guest->vm.memory.ceiling_pages, UINT64_MAX);
	assert_false(guest->vm.memory.by_page);
	leave_free(rest, at.soft_pages - 10);
	assert_int_equal(pool.state, POLICY_SOFT);
	assert_true(guest->vm.memory.by_page);
	assert_int_equal(guest->permits, POLICY_MAY_BALLOON);
	leave_free(rest, at.hard_pages - 10);
	assert_int_equal(pool.state, POLICY_HARD);
	assert_int_equal(rest->vm.memory.ceiling_pages, UINT64_MAX);
	/* A threshold is enough to get worse, and the next better one to get better. */
	leave_free(rest, at.hard_pages + 10);
	assert_int_equal(pool.state, POLICY_HARD);
	leave_free(rest, at.low_pages - 10);
	assert_int_equal(pool.state, POLICY_LOW);
	assert_true(rest->permits & POLICY_MAY_HOLD);
	assert_in_range(fake_floor, at.low_pages / 2, at.low_pages / 2);
	leave_free(rest, at.hard_pages - 10);
	assert_int_equal(pool.state, POLICY_LOW);
	leave_free(rest, at.hard_pages + 100);
	assert_int_equal(pool.state, POLICY_HARD);
	leave_free(rest, at.high_pages + 10);
	assert_int_equal(pool.state, POLICY_HIGH);
	economy_view(&view);
	for (unsigned int i = 0; i < POLICY_STATES; i++)
		assert_true(view.state_ns[i] >= 250 * NS_PER_MS);
}

static void balloons_are_asked(void **state)
{
	struct fake_guest *one = fake_economy_add(MIN_PAGES, MEMORY, true);
	struct fake_guest *other = fake_economy_add(MIN_PAGES, MEMORY, true);

	(void)state;
	one->inflates_pages = other->inflates_pages = 4000;
	has(one, MEMORY - 100);
	has(other, 100 * MIB_PAGES);
	/* There is plenty, and something. */
	fake_economy_run(SECONDS(2));
	assert_int_equal(one->balloon.target_pages, 0);
	assert_int_equal(one->stats_wanted, 1);
	leave_free(other, at.soft_pages - 100);
	fake_economy_run(SECONDS(1));
	assert_true(one->balloon.target_pages > 0);
	/* They give until there is enough; what is compressed of them is nothing. */
	fake_economy_run(SECONDS(30));
	assert_int_equal(pool.state, POLICY_HIGH);
	assert_int_equal(one->taken_pages + other->taken_pages, 0);
	assert_in_range(one->vm.memory.resident_pages, MIN_PAGES, one->vm.economy->guest.target_pages);
	/* Others have gone: all of it is given back. */
	has(other, MIN_PAGES);
	fake_economy_run(SECONDS(5));
	assert_int_equal(one->balloon.target_pages, 0);
}

/* A guest with all of its memory, another one with the rest but for too little. */
static struct fake_guest *begin_hard(bool balloon, struct fake_guest **rest)
{
	struct fake_guest *guest = fake_economy_add(MIN_PAGES, MEMORY, balloon);

	*rest = fake_economy_add(MIN_PAGES, MEMORY, false);
	has(guest, MEMORY);
	leave_free(*rest, at.hard_pages - 100);
	return guest;
}

static void balloon_that_stands_still(void **state)
{
	struct fake_guest *rest, *guest;

	(void)state;
	fake_take_ns = FAKE_NEVER;
	guest = begin_hard(true, &rest);
	assert_int_equal(pool.state, POLICY_HARD);
	assert_true(guest->balloon.target_pages > 0);
	assert_int_equal(guest->wanted_pages, 0);
	/* One without has what is too much taken at once. */
	assert_true(rest->permits & POLICY_MAY_COMPRESS);
	/* After ten seconds its pages go without it. */
	fake_take_ns = NS_PER_MS;
	fake_economy_run(SECONDS(12));
	assert_int_equal(guest->balloon.actual_pages, 0);
	assert_true(guest->taken_pages > 0);
	fake_economy_run(SECONDS(60));
	assert_true(pool.state < POLICY_HARD);
	assert_true(guest->vm.memory.resident_pages >= MIN_PAGES);
}

static void one_that_helps_itself_is_left_alone(void **state)
{
	struct fake_guest *rest, *guest;

	(void)state;
	fake_take_ns = FAKE_NEVER;
	guest = begin_hard(true, &rest);
	guest->inflates_pages = 500;
	fake_economy_run(SECONDS(3));
	assert_true(guest->balloon.actual_pages > 1000);
	/* It is out of memory. */
	guest->inflates_pages = 0;
	guest->balloon.actual_pages -= 600;
	has(guest, MEMORY - guest->balloon.actual_pages);
	leave_free(rest, at.hard_pages - 100);
	assert_int_equal(pool.state, POLICY_HARD);
	assert_int_equal(guest->balloon.target_pages, guest->balloon.actual_pages);
	assert_true(guest->wanted_pages > 0);
	fake_economy_run(SECONDS(25));
	assert_int_equal(guest->balloon.target_pages, guest->balloon.actual_pages);
	fake_economy_run(SECONDS(10));
	assert_true(guest->balloon.target_pages > guest->balloon.actual_pages);
}

/* --- Guarantees --- */

static void what_is_guaranteed_is_there(void **state)
{
	struct fake_guest *small = fake_economy_add(MIN_PAGES, MEMORY, false);
	struct fake_guest *large = fake_economy_add(1, 2 * MEMORY, false);

	(void)state;
	fake_take_ns = NS_PER_MS;
	has(small, 1000);
	large->touches_pages = 100000;
	large->wants_pages = 2 * MEMORY;
	fake_economy_run(SECONDS(5));
	/* It takes all that there is, but for what the other one may come for. */
	assert_true(fake_economy_free() >= MIN_PAGES - 1000);
	assert_in_range(fake_floor, MIN_PAGES - 1000 + at.low_pages / 2, MIN_PAGES - 1000 + at.low_pages);
	small->touches_pages = 100000;
	small->wants_pages = MIN_PAGES;
	fake_economy_run(SECONDS(2));
	assert_int_equal(small->vm.memory.resident_pages, MIN_PAGES);
	assert_int_equal(small->vm.memory.waits, 0);
	assert_int_equal(small->taken_pages, 0);
}

static void one_starts(void **state)
{
	struct fake_guest *one = fake_economy_add(MIN_PAGES, MEMORY, false);
	struct fake_guest *two = fake_economy_add(MIN_PAGES, MEMORY, false);
	uint64_t room = 88 * MIB_PAGES;
	unsigned int ms = 0;

	(void)state;
	fake_take_ns = 3 * NS_PER_MS;
	has(one, 150 * MIB_PAGES);
	one->hot_pages = 2000;
	has(two, 0);
	leave_free(two, 63 * MIB_PAGES);
	assert_int_equal(pool.state, POLICY_HIGH);
	/* The other one grows, as far as it may. */
	two->touches_pages = 5000;
	two->wants_pages = MEMORY;
	while (!economy_make_room(room) && ms < 300000) {
		fake_economy_run(500);
		ms += 500;
		/* Nobody is held as if there were nothing: that is for those who run. */
		assert_true(pool.state <= POLICY_HARD);
	}
	printf("  room for it after %u s; who runs waited for %llu ms at most\n", ms / 1000,
		(unsigned long long)(one->longest_ns / NS_PER_MS));
	assert_in_range(ms, 1000, 100000);
	assert_true(fake_economy_free() >= room);
	assert_in_range(one->longest_ns, 0, 2 * NS_PER_SEC);
	/* Who does not ask again does not want it any more. */
	fake_economy_run(SECONDS(3));
	assert_true(fake_economy_free() < room);
	/* Where nobody has more than he is guaranteed there is nothing to wait for. */
	economy_remove(&two->vm);
	economy_set_terms(&one->vm, &all_guaranteed);
	fake_economy_run(SECONDS(1));
	assert_true(economy_make_room(TOTAL));
}

/* --- A memory bomb --- */

/* It takes all that it gets; three others hold memory of which they use little: they do not wait for it. */
static void bomb_among_others(void **state)
{
	struct fake_guest *bomb = fake_economy_add(MIN_PAGES, MEMORY, false), *others[3];
	uint64_t longest_ns = 0;
	struct memory_view view;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++) {
		others[i] = fake_economy_add(MIN_PAGES, MEMORY, false);
		has(others[i], 75 * MIB_PAGES);
		others[i]->hot_pages = 3000;
		/* So much is known of them, and tends to take from them what they do not use. */
		others[i]->vm.economy->sampling.estimate = (struct estimate){ .fast = ESTIMATE_ONE / 6,
			.slow = ESTIMATE_ONE / 6, .running = ESTIMATE_ONE / 6, .periods = 5 };
	}
	fake_take_ns = 6 * NS_PER_MS;
	bomb->touches_pages = 20000;
	bomb->wants_pages = MEMORY;
	fake_economy_run(SECONDS(600));
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++) {
		longest_ns = MAX(longest_ns, others[i]->longest_ns);
		assert_true(others[i]->probes > 100);
		assert_true(others[i]->vm.memory.resident_pages >= MIN_PAGES);
	}
	economy_view(&view);
	printf("  low for %llu s; the longest wait of those who are not greedy %llu ms\n",
		(unsigned long long)(view.state_ns[POLICY_LOW] / NS_PER_SEC),
		(unsigned long long)(longest_ns / NS_PER_MS));
	assert_true(view.state_ns[POLICY_LOW] > 0);
	assert_in_range(longest_ns, 0, NS_PER_SEC);
	/* Nothing but Ballast's own reserve was touched. */
	assert_true(fake_economy_free() >= at.low_pages / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_one_takes_part, begin, end),
		cmocka_unit_test_setup_teardown(one_is_added_and_removed, begin, end),
		cmocka_unit_test_setup_teardown(there_is_no_memory_for_it, begin, end),
		cmocka_unit_test_setup_teardown(states_come_and_go, begin, end),
		cmocka_unit_test_setup_teardown(balloons_are_asked, begin, end),
		cmocka_unit_test_setup_teardown(balloon_that_stands_still, begin, end),
		cmocka_unit_test_setup_teardown(one_that_helps_itself_is_left_alone, begin, end),
		cmocka_unit_test_setup_teardown(what_is_guaranteed_is_there, begin, end),
		cmocka_unit_test_setup_teardown(one_starts, begin, end),
		cmocka_unit_test_setup_teardown(bomb_among_others, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
