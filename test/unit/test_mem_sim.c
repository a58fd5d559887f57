/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory policy in simulated time: the published experiments with the tax on idle memory, and pace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "test/unit/mem_sim.h"

#define MEMORY 256  /* MiB of each guest */
#define MACHINE 360 /* MiB to be had for two of them */

static struct mem_sim sim;
static struct mem_guest *a, *b;

static unsigned int mib_of(const struct mem_guest *guest)
{
	return MIBS(mem_sim_resident(guest));
}

static unsigned int target_of(const struct mem_guest *guest)
{
	return MIBS(sim.policy[guest - sim.guests].target_pages);
}

static void show(const char *what)
{
	printf("%-44s", what);
	for (unsigned int i = 0; i < sim.count; i++)
		printf("  %c %3u MiB, target %3u, active %3u, price %5u", 'A' + i, mib_of(&sim.guests[i]),
		       target_of(&sim.guests[i]), MIBS(sim.policy[i].active_pages),
		       (unsigned int)sim.policy[i].price);
	printf("; free %u, %s\n", MIBS(mem_sim_free(&sim)), policy_state_name(sim.state));
}

static void assert_near(unsigned int is, unsigned int wanted, unsigned int slack)
{
	assert_in_range(is, wanted - MIN(slack, wanted), wanted + slack);
}

/* A has touched all of its memory and rests; B would like all of its own. */
static void idle_and_busy(uint32_t tax, uint32_t shares_a, uint32_t shares_b)
{
	mem_sim_begin(&sim, PAGES(MACHINE), tax);
	a = mem_sim_add(&sim, PAGES(MEMORY), PAGES(32), shares_a, PAGES(MEMORY));
	mem_sim_run(&sim, 60);
	a->working = PAGES(10);
	b = mem_sim_add(&sim, PAGES(MEMORY), PAGES(32), shares_b, PAGES(MEMORY));
	mem_sim_run(&sim, 900);
}

static void test_without_tax_idle_memory_counts_like_any_other(void **state)
{
	(void)state;
	idle_and_busy(0, 1000, 1000);
	show("tax 0: A idle, B busy");
	assert_near(mib_of(a), MACHINE / 2, 6);
	assert_near(mib_of(b), MACHINE / 2, 6);
}

static void test_tax_gives_the_busy_guest_the_idle_memory(void **state)
{
	unsigned int before, seconds;

	(void)state;
	idle_and_busy(0, 1000, 1000);
	before = mib_of(b);
	idle_and_busy(75, 1000, 1000);
	show("tax 75 %: A idle, B busy");
	printf("  B gains %u %% of what it had without the tax\n", (mib_of(b) - before) * 100 / before);
	assert_true(mib_of(b) > before * 130 / 100);
	assert_true(mib_of(a) >= 32);

	a->working = PAGES(MEMORY);
	seconds = mem_sim_until(&sim, a, PAGES(MACHINE / 2 - 10), 1800);
	show("A woke");
	printf("  it has its share again after %u s, %u sampling periods\n", seconds,
	       (seconds + MEM_SIM_PERIOD - 1) / MEM_SIM_PERIOD);
	assert_true(seconds < 10 * MEM_SIM_PERIOD);
	mem_sim_run(&sim, 600);
	show("ten minutes later");
	assert_near(mib_of(a), MACHINE / 2, 10);
	assert_near(mib_of(b), MACHINE / 2, 10);
}

static void test_guests_that_both_work_have_memory_by_their_shares(void **state)
{
	(void)state;
	for (unsigned int tax = 0; tax <= 75; tax += 75) {
		mem_sim_begin(&sim, PAGES(MACHINE), tax);
		a = mem_sim_add(&sim, PAGES(MEMORY), PAGES(32), 2000, PAGES(MEMORY));
		b = mem_sim_add(&sim, PAGES(MEMORY), PAGES(32), 1000, PAGES(MEMORY));
		mem_sim_run(&sim, 900);
		show(tax ? "shares 2:1, both busy, tax 75 %" : "shares 2:1, both busy, tax 0");
		assert_near(mib_of(a), 240, 8);
		assert_near(mib_of(b), 120, 8);
	}
}

static void test_min_is_kept_whatever_the_shares(void **state)
{
	(void)state;
	mem_sim_begin(&sim, PAGES(MACHINE), 99);
	a = mem_sim_add(&sim, PAGES(MEMORY), PAGES(150), 1, PAGES(MEMORY));
	b = mem_sim_add(&sim, PAGES(MEMORY), PAGES(32), 1000000, PAGES(MEMORY));
	mem_sim_run(&sim, 60);
	a->working = 0;
	for (unsigned int i = 0; i < 600; i++) {
		mem_sim_run(&sim, 1);
		assert_true(sim.policy[0].target_pages >= PAGES(150));
	}
	show("A: 1 share, min 150; B: 10^6 shares");
	assert_near(mib_of(a), 150, 5);
}

/* What A never touched is nobody's loss: B has it, and A gets no balloon to please a target. */
static void test_memory_that_nobody_touches_is_had_by_who_needs_it(void **state)
{
	(void)state;
	mem_sim_begin(&sim, PAGES(MACHINE), 0);
	a = mem_sim_add(&sim, PAGES(MEMORY), PAGES(32), 1000, PAGES(60));
	b = mem_sim_add(&sim, PAGES(MEMORY), PAGES(32), 1000, PAGES(MEMORY));
	mem_sim_run(&sim, 300);
	show("A touches 60 MiB only, tax 0");
	assert_int_equal(mib_of(a), 60);
	assert_int_equal(mib_of(b), MEMORY);
	a->working = PAGES(MEMORY);
	mem_sim_run(&sim, 600);
	show("A wants all");
	assert_near(mib_of(a), MACHINE / 2, 8);
}

static void test_targets_are_quiet_under_a_noisy_estimate(void **state)
{
	uint64_t last[2], moves = 0, far = 0;

	(void)state;
	mem_sim_begin(&sim, PAGES(MACHINE), 75);
	a = mem_sim_add(&sim, PAGES(MEMORY), PAGES(32), 1000, PAGES(MEMORY));
	mem_sim_run(&sim, 60);
	a->working = PAGES(100);
	b = mem_sim_add(&sim, PAGES(MEMORY), PAGES(32), 1000, PAGES(MEMORY));
	mem_sim_run(&sim, 900);
	show("A works with 100 MiB, B with all");
	for (unsigned int i = 0; i < 3600; i++) {
		last[0] = sim.policy[0].target_pages;
		last[1] = sim.policy[1].target_pages;
		mem_sim_run(&sim, 1);
		for (unsigned int j = 0; j < 2; j++) {
			uint64_t now = sim.policy[j].target_pages;
			uint64_t by = MAX(now, last[j]) - MIN(now, last[j]);

			moves += !!by;
			far = MAX(far, by);
		}
	}
	show("an hour later");
	printf("  targets moved %u times in that hour, by %u KiB at most\n", (unsigned int)moves,
	       (unsigned int)far * 4);
	assert_true(far <= PAGES(MEMORY) * policy_defaults.step_percent / 100);
	assert_true(moves < 400);
	assert_near(target_of(a) + target_of(b), MACHINE, 8);
}

/* Eight guests that work and rest by turns: the sum fits in each second, and nobody starves. */
static void test_many_guests_that_come_and_go_fit_all_the_time(void **state)
{
	uint64_t reserve, worst = ~0ULL;

	(void)state;
	mem_sim_begin(&sim, PAGES(1000), 75);
	reserve = policy_thresholds(&sim.settings, sim.total).high_pages;
	for (unsigned int i = 0; i < MEM_SIM_GUESTS; i++)
		mem_sim_add(&sim, PAGES(MEMORY), PAGES(32), 500 + 250 * i, PAGES(40));
	for (unsigned int second = 0; second < 7200; second++) {
		uint64_t sum = 0;

		if (second % 240 == 0)
			for (unsigned int i = 0; i < MEM_SIM_GUESTS; i++)
				sim.guests[i].working = PAGES((second / 240 + i) % 4 ? 40 : MEMORY);
		mem_sim_run(&sim, 1);
		for (unsigned int i = 0; i < MEM_SIM_GUESTS; i++) {
			assert_in_range(sim.policy[i].target_pages, PAGES(32), PAGES(MEMORY));
			sum += sim.policy[i].target_pages;
		}
		if (sum > sim.total - reserve)
			fail_msg("after %u s targets add up to %u MiB of %u", second, MIBS(sum),
				 MIBS(sim.total - reserve));
		worst = MIN(worst, mem_sim_free(&sim));
	}
	show("eight guests, two of them busy by turns");
	printf("  never less than %u MiB free of %u; seconds of waiting:", MIBS(worst), MIBS(sim.total));
	for (unsigned int i = 0; i < MEM_SIM_GUESTS; i++)
		printf(" %u", (unsigned int)sim.guests[i].waits);
	printf("\n");
}

static void test_balloon_that_does_not_move_is_found_and_trusted_again(void **state)
{
	(void)state;
	idle_and_busy(75, 1000, 1000);
	a->refuses = true;
	a->balloon = 0;
	a->idle = a->memory - a->active;
	b->balloon = b->memory - PAGES(90);
	b->active = PAGES(90);
	mem_sim_run(&sim, 5);
	assert_true(a->served);
	mem_sim_run(&sim, 30);
	show("A's balloon does not move");
	assert_false(a->served);
	assert_true(b->served);
	a->refuses = false;
	mem_sim_run(&sim, 5);
	assert_true(a->served);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_tax_idle_memory_counts_like_any_other),
		cmocka_unit_test(test_tax_gives_the_busy_guest_the_idle_memory),
		cmocka_unit_test(test_guests_that_both_work_have_memory_by_their_shares),
		cmocka_unit_test(test_min_is_kept_whatever_the_shares),
		cmocka_unit_test(test_memory_that_nobody_touches_is_had_by_who_needs_it),
		cmocka_unit_test(test_targets_are_quiet_under_a_noisy_estimate),
		cmocka_unit_test(test_many_guests_that_come_and_go_fit_all_the_time),
		cmocka_unit_test(test_balloon_that_does_not_move_is_found_and_trusted_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
