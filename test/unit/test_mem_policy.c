/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory policy's arithmetic: bounds, sums, prices and monotony, in many random settings; states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "balloon/policy.h"

#define ROUNDS 100000
#define FEW 12

static uint64_t seed;

static uint64_t random_below(uint64_t limit)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % limit;
}

/* Of any size from 0 to 2^bits. */
static uint64_t random_size(unsigned int bits)
{
	return random_below(BIT(random_below(bits + 1)) + 1);
}

static struct policy_guest random_guest(void)
{
	struct policy_guest guest = { .shares = (uint32_t)random_size(24) };

	guest.max_pages = random_size(32);
	guest.min_pages = random_below(3) ? random_below(guest.max_pages + 1) : 0;
	guest.resident_pages = random_below(guest.max_pages + 1);
	guest.active_pages = random_below(3) ? random_below(guest.max_pages + 1) : 0;
	return guest;
}

static struct policy_settings random_settings(void)
{
	struct policy_settings settings = policy_defaults;

	settings.tax_percent = (uint32_t)random_below(100);
	return settings;
}

struct case_of_many {
	struct policy_settings settings;
	struct policy_guest guests[FEW];
	unsigned int count;
	uint64_t total, reserve, promised, most;
};

/* Often too little for all, now and then too little for what is promised, or plenty. */
static struct case_of_many random_case(void)
{
	struct case_of_many c = { .settings = random_settings() };

	c.count = 1 + (unsigned int)random_below(FEW);
	for (unsigned int i = 0; i < c.count; i++) {
		c.guests[i] = random_guest();
		c.promised += c.guests[i].min_pages;
		c.most += c.guests[i].max_pages;
	}
	c.total = c.promised + random_below(c.most - c.promised + c.most / 4 + 1);
	if (!random_below(10))
		c.total = random_below(c.promised + 1);
	c.reserve = policy_thresholds(&c.settings, c.total).high_pages;
	return c;
}

static uint64_t to_be_had(const struct case_of_many *c)
{
	return MAX(c->total > c->reserve ? c->total - c->reserve : 0, c->promised);
}

static void check_case(const struct case_of_many *c, unsigned int round)
{
	uint64_t entitled = 0, targets = 0;

	for (unsigned int i = 0; i < c->count; i++) {
		const struct policy_guest *guest = &c->guests[i];

		if (guest->target_pages < guest->min_pages || guest->target_pages > guest->max_pages ||
		    guest->entitled_pages < guest->min_pages || guest->entitled_pages > guest->max_pages)
			fail_msg("round %u, guest %u: target %llu, entitled %llu; min %llu, max %llu", round, i,
				 (unsigned long long)guest->target_pages, (unsigned long long)guest->entitled_pages,
				 (unsigned long long)guest->min_pages, (unsigned long long)guest->max_pages);
		entitled += guest->entitled_pages;
		targets += guest->target_pages;
	}
	if (entitled != MIN(to_be_had(c), c->most) || targets > to_be_had(c))
		fail_msg("round %u: entitled to %llu, targets %llu of %llu pages", round,
			 (unsigned long long)entitled, (unsigned long long)targets,
			 (unsigned long long)to_be_had(c));
}

/* What a guest pays for its pages, in 128 bits: the cost and the shares as the header has them. */
static bool costs_less(const struct policy_settings *settings, const struct policy_guest *a, uint64_t pages_a,
		       const struct policy_guest *b, uint64_t pages_b)
{
	uint64_t tax = settings->tax_percent;
	uint64_t active_a = MIN(a->active_pages, pages_a), active_b = MIN(b->active_pages, pages_b);
	unsigned __int128 cost_a = active_a * (100 - tax) + (pages_a - active_a) * 100;
	unsigned __int128 cost_b = active_b * (100 - tax) + (pages_b - active_b) * 100;

	return cost_a * b->shares < cost_b * a->shares;
}

/* No page would be worth more with another guest: that is what equal prices mean in whole pages. */
static void check_prices(const struct case_of_many *c, unsigned int round)
{
	for (unsigned int i = 0; i < c->count; i++)
		for (unsigned int j = 0; j < c->count; j++) {
			const struct policy_guest *to = &c->guests[i], *from = &c->guests[j];

			if (i == j || to->entitled_pages == to->max_pages ||
			    from->entitled_pages == from->min_pages)
				continue;
			if (costs_less(&c->settings, to, to->entitled_pages + 1, from, from->entitled_pages))
				fail_msg("round %u: guest %u should have a page of guest %u", round, i, j);
		}
}

static void test_bounds_sums_and_prices_hold_in_any_case(void **state)
{
	(void)state;
	seed = 1;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct case_of_many c = random_case();
		uint64_t missing = policy_targets(&c.settings, c.total, c.guests, c.count);

		assert_int_equal(missing, c.promised > c.total ? c.promised - c.total : 0);
		check_case(&c, round);
		check_prices(&c, round);
	}
}

static void test_more_shares_or_more_work_never_give_less(void **state)
{
	(void)state;
	seed = 2;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct case_of_many c = random_case(), more = c;
		unsigned int who = (unsigned int)random_below(c.count);
		struct policy_guest *guest = &more.guests[who];

		if (round & 1)
			guest->shares += (uint32_t)random_size(24);
		else
			guest->active_pages += random_below(guest->max_pages - guest->active_pages + 1);
		policy_targets(&c.settings, c.total, c.guests, c.count);
		policy_targets(&c.settings, c.total, more.guests, c.count);
		if (guest->entitled_pages < c.guests[who].entitled_pages)
			fail_msg("round %u: guest %u is entitled to %llu pages with more %s, to %llu with less", round,
				 who, (unsigned long long)guest->entitled_pages, round & 1 ? "shares" : "work",
				 (unsigned long long)c.guests[who].entitled_pages);
	}
}

/* Targets from whatever there was before, with the machine and the guests changing under them. */
static void test_targets_fit_in_each_step_and_move_by_a_step_at_most(void **state)
{
	uint64_t jumps = 0, moves = 0;

	(void)state;
	seed = 3;
	for (unsigned int round = 0; round < ROUNDS / 10; round++) {
		struct case_of_many c = random_case();

		for (unsigned int turn = 0; turn < 20; turn++) {
			struct policy_guest last[FEW];

			memcpy(last, c.guests, sizeof(last));
			policy_targets(&c.settings, c.total, c.guests, c.count);
			check_case(&c, round);
			for (unsigned int i = 0; i < c.count; i++) {
				struct policy_guest *guest = &c.guests[i];
				uint64_t was = last[i].target_pages, is = guest->target_pages;
				uint64_t step = MAX(guest->max_pages * c.settings.step_percent / 100, 256U);
				uint64_t used = MIN(MAX(was, guest->min_pages), guest->resident_pages + step);

				if (was && is > was)
					assert_true(is - was <= step);
				if (was && is < used && used - is > step)
					jumps++;
				moves += is != was;
				guest->resident_pages = random_below(guest->max_pages + 1);
				guest->active_pages = random_below(guest->max_pages + 1);
			}
		}
	}
	/* Nothing but what guests do changes here, and that always leaves room for a step. */
	printf("  %u targets moved, %u of them down by more than a step\n", (unsigned int)moves, (unsigned int)jumps);
	assert_int_equal(jumps, 0);
}

static void test_targets_come_to_rest(void **state)
{
	unsigned int longest = 0;

	(void)state;
	seed = 4;
	for (unsigned int round = 0; round < ROUNDS / 100; round++) {
		struct case_of_many c = random_case();
		unsigned int last_move = 0;

		for (unsigned int turn = 1; turn <= 200; turn++) {
			for (unsigned int i = 0; i < c.count; i++)
				c.guests[i].resident_pages = c.guests[i].target_pages;
			struct case_of_many before = c;

			policy_targets(&c.settings, c.total, c.guests, c.count);
			for (unsigned int i = 0; i < c.count; i++)
				if (c.guests[i].target_pages != before.guests[i].target_pages)
					last_move = turn;
		}
		longest = MAX(longest, last_move);
	}
	printf("  the longest way to rest took %u steps\n", longest);
	assert_true(longest < 100);
}

static void test_small_changes_do_not_move_a_target_that_rests(void **state)
{
	struct policy_guest guests[2] = {
		{ .shares = 1000, .max_pages = 65536, .resident_pages = 46080, .active_pages = 30000 },
		{ .shares = 1000, .max_pages = 65536, .resident_pages = 46080, .active_pages = 30000 },
	};
	uint64_t target;

	(void)state;
	policy_targets(&policy_defaults, 100000, guests, 2);
	target = guests[0].target_pages;
	for (unsigned int i = 0; i < 100; i++) {
		guests[0].active_pages = 30000 + i % 2 * 300;
		guests[0].resident_pages = target - i;
		policy_targets(&policy_defaults, 100000, guests, 2);
		assert_int_equal(guests[0].target_pages, target);
	}
	guests[0].active_pages = 40000;
	policy_targets(&policy_defaults, 100000, guests, 2);
	assert_true(guests[0].target_pages > target || guests[0].moving);
}

/* A machine that has shrunk beneath its targets cannot wait for steps. */
static void test_targets_fit_also_when_the_machine_has_less(void **state)
{
	struct policy_guest guests[2] = {
		{ .shares = 1000, .max_pages = 65536, .resident_pages = 65536, .active_pages = 65536 },
		{ .shares = 3000, .max_pages = 65536, .resident_pages = 65536, .active_pages = 65536 },
	};

	(void)state;
	policy_targets(&policy_defaults, 200000, guests, 2);
	assert_int_equal(guests[0].target_pages + guests[1].target_pages, 131072);
	policy_targets(&policy_defaults, 50000, guests, 2);
	assert_int_equal(guests[0].target_pages + guests[1].target_pages, 47000);
	assert_int_equal(guests[0].target_pages, 11750);
}

static void test_new_guest_takes_only_what_others_have_given(void **state)
{
	struct policy_guest guests[2] = {
		{ .shares = 1000, .max_pages = 65536, .resident_pages = 65536, .active_pages = 65536 },
		{ .shares = 1000, .min_pages = 1000, .max_pages = 65536, .active_pages = 65536 },
	};
	unsigned int steps = 0;

	(void)state;
	policy_targets(&policy_defaults, 70000, guests, 1);
	assert_int_equal(guests[0].target_pages, 65536);
	do {
		policy_targets(&policy_defaults, 70000, guests, 2);
		guests[0].resident_pages = guests[0].target_pages;
		guests[1].resident_pages = guests[1].target_pages;
		assert_true(guests[0].target_pages + guests[1].target_pages <= 65800);
	} while (guests[1].target_pages < 32900 && ++steps < 100);
	printf("  it has its half after %u steps\n", steps);
	assert_in_range(steps, 4, 20);
}

static void test_extremes_do_not_overflow(void **state)
{
	static struct policy_guest guests[POLICY_GUESTS_MAX + 1];

	(void)state;
	for (unsigned int i = 0; i <= POLICY_GUESTS_MAX; i++)
		guests[i] = (struct policy_guest){
			.shares = i % 2 ? UINT32_MAX : 0, .min_pages = i % 3 ? 0 : UINT64_MAX,
			.max_pages = UINT64_MAX, .resident_pages = UINT64_MAX, .active_pages = i % 5 ? UINT64_MAX : 0,
			.target_pages = i % 7 ? UINT64_MAX : 1,
		};
	policy_targets(&policy_defaults, UINT64_MAX, guests, POLICY_GUESTS_MAX + 1);
	for (unsigned int i = 0; i < POLICY_GUESTS_MAX; i++)
		assert_int_equal(guests[i].entitled_pages, POLICY_PAGES_MAX);
	assert_int_equal(guests[POLICY_GUESTS_MAX].entitled_pages, 0);
	assert_true(policy_targets(&policy_defaults, 0, guests, POLICY_GUESTS_MAX) > 0);
	policy_targets(&policy_defaults, 1000, NULL, 0);
}

static void test_256_guests_are_planned_in_no_time(void **state)
{
	static struct policy_guest guests[POLICY_GUESTS_MAX];
	struct timespec from, to;
	long long us;

	(void)state;
	seed = 5;
	for (unsigned int i = 0; i < POLICY_GUESTS_MAX; i++)
		guests[i] = random_guest();
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned int i = 0; i < 10; i++)
		policy_targets(&policy_defaults, BIT(34), guests, POLICY_GUESTS_MAX);
	clock_gettime(CLOCK_MONOTONIC, &to);
	us = ((to.tv_sec - from.tv_sec) * 1000000LL + (to.tv_nsec - from.tv_nsec) / 1000) / 10;
	printf("  %lld us for a step with %u guests, under the sanitizers\n", us, POLICY_GUESTS_MAX);
	assert_true(us < 1000000);
}

static void test_price_of_a_page_is_the_published_ratio(void **state)
{
	struct policy_settings settings = policy_defaults;

	(void)state;
	/* 1000 shares for 100 MiB that are all active: 10 a MiB; all idle: a quarter of that. */
	assert_int_equal(policy_price(&settings, 1000, 25600, 25600), 10000);
	assert_int_equal(policy_price(&settings, 1000, 25600, 0), 2500);
	assert_int_equal(policy_price(&settings, 1000, 25600, 12800), 4000);
	settings.tax_percent = 0;
	assert_int_equal(policy_price(&settings, 1000, 25600, 0), 10000);
	assert_int_equal(policy_price(&settings, 1000, 0, 0), 256000000);
	settings.tax_percent = 99;
	assert_int_equal(policy_price(&settings, 1000, 25600, 0), 100);
	assert_int_equal(policy_price(&settings, UINT32_MAX, 1, 0), 10995116275200ULL);
}

static void test_thresholds_are_the_published_ones_and_grow_slower_on_big_machines(void **state)
{
	static const struct {
		uint64_t total, high, low;
	} cases[] = {
		{ GIB(1), GIB(1) * 6 / 100, GIB(1) / 100 },
		{ GIB(4), GIB(4) * 6 / 100, GIB(4) / 100 },
		{ GIB(16), GIB(1) * 64 / 100, GIB(1) * 64 / 600 },
		{ GIB(1024), GIB(1) * 1084 / 100, GIB(1) * 1084 / 600 },
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t total = cases[i].total >> PAGE_SHIFT;
		struct policy_thresholds at = policy_thresholds(&policy_defaults, total);

		assert_in_range(at.high_pages, (cases[i].high >> PAGE_SHIFT) - 8, (cases[i].high >> PAGE_SHIFT) + 8);
		assert_in_range(at.low_pages, (cases[i].low >> PAGE_SHIFT) - 8, (cases[i].low >> PAGE_SHIFT) + 8);
		assert_true(at.high_pages > at.soft_pages && at.soft_pages > at.hard_pages &&
			    at.hard_pages > at.low_pages);
	}
	assert_true(policy_thresholds(&policy_defaults, 0).high_pages == 3);
	assert_true(policy_thresholds(&policy_defaults, UINT64_MAX).high_pages < UINT64_MAX / 16);
}

static void test_states_follow_free_memory_with_hysteresis(void **state)
{
	static const struct {
		unsigned int free; /* percent of 100 MiB */
		enum policy_state then;
	} walk[] = {
		{ 50, POLICY_HIGH }, { 5, POLICY_HIGH }, { 3, POLICY_SOFT }, { 5, POLICY_SOFT }, { 6, POLICY_HIGH },
		{ 4, POLICY_HIGH },  { 1, POLICY_HARD }, { 3, POLICY_HARD }, { 4, POLICY_SOFT }, { 2, POLICY_SOFT },
		{ 0, POLICY_LOW },   { 1, POLICY_LOW },  { 2, POLICY_HARD }, { 7, POLICY_HIGH }, { 0, POLICY_LOW },
		{ 5, POLICY_SOFT },
	};
	enum policy_state now = POLICY_HIGH;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(walk); i++) {
		now = policy_state_next(&policy_defaults, now, walk[i].free * 256, 25600);
		if (now != walk[i].then)
			fail_msg("move %u, %u %% free: %s, not %s", i, walk[i].free, policy_state_name(now),
				 policy_state_name(walk[i].then));
	}
}

/* Whatever free memory does between two neighbouring thresholds, the state changes once at most. */
static void test_oscillation_between_thresholds_changes_nothing(void **state)
{
	static const unsigned int bounds[] = { 0, 1, 2, 4, 6, 100 };

	(void)state;
	seed = 6;
	for (unsigned int band = 0; band + 1 < ARRAY_SIZE(bounds); band++)
		for (unsigned int first = 0; first < POLICY_STATES; first++) {
			unsigned int from = bounds[band] * 256, width = bounds[band + 1] * 256 - from;
			enum policy_state settled = policy_state_next(&policy_defaults, first, from, 25600);

			for (unsigned int i = 0; i < 1000; i++) {
				uint64_t free = from + random_below(width);

				assert_int_equal(policy_state_next(&policy_defaults, settled, free, 25600), settled);
			}
		}
}

static void test_each_state_permits_more(void **state)
{
	(void)state;
	assert_int_equal(policy_state_permits(POLICY_HIGH), 0);
	assert_int_equal(policy_state_permits(POLICY_SOFT), POLICY_MAY_BALLOON);
	for (unsigned int i = 1; i < POLICY_STATES; i++)
		assert_int_equal(policy_state_permits(i - 1) & ~policy_state_permits(i), 0);
	assert_int_equal(policy_state_permits(POLICY_HARD) & POLICY_MAY_HOLD, 0);
	assert_true(policy_state_permits(POLICY_LOW) & POLICY_MAY_HOLD);
}

static void test_admission_sums_what_is_guaranteed(void **state)
{
	struct policy_promise promises[3] = { { 1000, 50 }, { 2000, 60 }, { 500, 70 } };
	struct policy_admission sums;

	(void)state;
	assert_true(policy_admit(promises, 3, 3680, &sums));
	assert_int_equal(sums.min_pages, 3500);
	assert_int_equal(sums.overhead_pages, 180);
	assert_int_equal(sums.missing_pages, 0);
	assert_false(policy_admit(promises, 3, 3679, &sums));
	assert_int_equal(sums.missing_pages, 1);
	promises[1].min_pages = UINT64_MAX;
	assert_false(policy_admit(promises, 3, 3680, &sums));
	assert_int_equal(sums.min_pages, UINT64_MAX);
	assert_int_equal(sums.missing_pages, UINT64_MAX - 3680);
	assert_true(policy_admit(promises, 0, 0, &sums));
}

#define PURSE_PAGES 512U

/* Guests that are held: what each has and wants, and what is taken from all that are above their targets. */
struct held_guest {
	struct policy_purse purse;
	uint64_t resident, faults, wants, got;
};

/* All lose `taken` pages each while they get what they want, as far as they may; then comes a step. */
static void held_step(struct held_guest *guests, unsigned int count, uint64_t taken)
{
	uint64_t lost = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct held_guest *guest = &guests[i];

		guest->got = MIN(guest->wants, guest->purse.pages - (guest->faults - guest->purse.faults));
		guest->resident += guest->got - taken;
		guest->faults += guest->got;
		lost += policy_purse_lost(&guest->purse, guest->resident, guest->faults);
	}
	for (unsigned int i = 0; i < count; i++) {
		struct held_guest *guest = &guests[i];

		policy_purse_step(&guest->purse, guest->resident, guest->faults, PURSE_PAGES, lost / 2 / count);
	}
}

static void test_held_guests_go_on_with_half_of_what_is_lost(void **state)
{
	struct held_guest greedy = { .resident = 10000, .wants = UINT64_MAX / 2 };
	unsigned int steps = 0;

	(void)state;
	policy_purse_fill(&greedy.purse, greedy.resident, greedy.faults, PURSE_PAGES);
	held_step(&greedy, 1, 0);
	assert_int_equal(greedy.got, PURSE_PAGES);
	/* When it is empty and nothing is had from anyone it goes on, if slowly. */
	for (int i = 0; i < 10; i++) {
		held_step(&greedy, 1, 0);
		assert_int_equal(greedy.got, POLICY_TRICKLE_PAGES);
	}
	/* It takes all that it may, and 100 pages are taken from it in each step: it comes to its target. */
	for (; greedy.resident > 1000 && steps < 1000; steps++)
		held_step(&greedy, 1, 100);
	assert_in_range(steps, 90, 300);
	/* Pages that it got and lost between two steps count as both. */
	policy_purse_fill(&greedy.purse, 5000, 70, PURSE_PAGES);
	assert_int_equal(policy_purse_lost(&greedy.purse, 5000, 100), 30);
	assert_int_equal(policy_purse_lost(&greedy.purse, 5100, 150), 0);
	assert_int_equal(policy_purse_lost(&greedy.purse, 4900, 70), 100);
	policy_purse_step(&greedy.purse, 5000, 100, PURSE_PAGES, 0);
	assert_int_equal(greedy.purse.pages, PURSE_PAGES - 30 + POLICY_TRICKLE_PAGES);
	policy_purse_step(&greedy.purse, 5000, 100, PURSE_PAGES, 1000);
	assert_int_equal(greedy.purse.pages, PURSE_PAGES);
}

/* One asks for all that it may have, at each step; another one for 60 pages each two seconds, and has them at once. */
static void test_greedy_one_does_not_hold_up_others(void **state)
{
	struct held_guest guests[4];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(guests); i++) {
		guests[i] = (struct held_guest){ .resident = 20000 };
		policy_purse_fill(&guests[i].purse, guests[i].resident, guests[i].faults, PURSE_PAGES);
	}
	guests[0].wants = UINT64_MAX / 2;
	for (unsigned int step = 0; step < 200; step++) {
		guests[1].wants = step % 8 ? 0 : 60;
		held_step(guests, ARRAY_SIZE(guests), 20);
		assert_int_equal(guests[1].got, guests[1].wants);
		if (step)
			assert_int_equal(guests[0].got, 10 + POLICY_TRICKLE_PAGES);
	}
	/* And gets smaller, once it has spent what was in its purse. */
	assert_in_range(guests[0].resident, 20000 - 200 * 8, 20000 - 200 * 8 + PURSE_PAGES);
}

static bool look(struct policy_balloon *balloon, bool live, uint64_t target, uint64_t actual, unsigned int second)
{
	return policy_balloon_serves(&policy_defaults, balloon, live, target, actual, (second + 1) * NS_PER_SEC);
}

static void test_balloon_that_stands_still_is_not_waited_for(void **state)
{
	struct policy_balloon balloon = { 0 };
	unsigned int now = 0;

	(void)state;
	assert_false(look(&balloon, false, 1000, 0, now++));
	for (unsigned int i = 0; i < 10; i++)
		assert_true(look(&balloon, true, 1000 + 100 * i, 10, now++));
	/* A target that rises all the time is no excuse, nor are a few pages. */
	assert_false(look(&balloon, true, 3000, 20, now + 1));
	assert_false(look(&balloon, true, 3000, 30, now + 2));
	assert_true(look(&balloon, true, 3000, 300, now + 3));
	/* It moves on, slowly. */
	for (unsigned int i = 0; i < 60; i++)
		assert_true(look(&balloon, true, 3000, 300 + i * 30, now + 4 + i));
	now += 100;
	assert_false(look(&balloon, true, 3000, 2075, now));
	/* It has what it should; it gives back; the guest takes pages out of it against our will. */
	assert_true(look(&balloon, true, 2100, 2100, ++now));
	assert_true(look(&balloon, true, 0, 2000, now += 20));
	assert_true(look(&balloon, true, 3000, 1900, now += 5));
	assert_false(look(&balloon, true, 3000, 500, now += 5));
	assert_false(look(&balloon, true, 3000, 400, now += 11));
}

static void test_balloon_that_a_guest_in_need_took_from_is_left_alone(void **state)
{
	struct policy_balloon balloon = { 0 };
	unsigned int now = 0, refuge_s = POLICY_REFUGE_NS / NS_PER_SEC;

	(void)state;
	assert_true(look(&balloon, true, 1000, 1000, now++));
	/* It gives back what it was told to give back, and the target rises before it has done so. */
	assert_true(look(&balloon, true, 500, 900, now++));
	assert_true(look(&balloon, true, 950, 800, now++));
	assert_int_equal(policy_balloon_target(&balloon, 950), 950);
	assert_true(look(&balloon, true, 1000, 1000, now++));
	/* Out of memory, it helps itself: the target follows, and the balloon does not serve. */
	assert_false(look(&balloon, true, 1000, 744, now++));
	assert_int_equal(policy_balloon_target(&balloon, 1000), 744);
	assert_int_equal(policy_balloon_target(&balloon, 600), 600);
	assert_false(look(&balloon, true, 744, 488, now++));
	assert_int_equal(policy_balloon_target(&balloon, 1200), 488);
	assert_false(look(&balloon, true, 488, 488, now + refuge_s - 2));
	assert_int_equal(policy_balloon_target(&balloon, 1200), 488);
	/* Then it is asked again. */
	assert_true(look(&balloon, true, 488, 488, now + refuge_s));
	assert_int_equal(policy_balloon_target(&balloon, 1200), 1200);
	assert_true(look(&balloon, true, 1200, 600, now + refuge_s + 1));
	/* A driver that begins anew has an empty balloon, and refuses nothing. */
	assert_false(look(&balloon, false, 1200, 0, now + refuge_s + 2));
	assert_true(look(&balloon, true, 1200, 0, now + refuge_s + 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds_sums_and_prices_hold_in_any_case),
		cmocka_unit_test(test_more_shares_or_more_work_never_give_less),
		cmocka_unit_test(test_targets_fit_in_each_step_and_move_by_a_step_at_most),
		cmocka_unit_test(test_targets_come_to_rest),
		cmocka_unit_test(test_small_changes_do_not_move_a_target_that_rests),
		cmocka_unit_test(test_targets_fit_also_when_the_machine_has_less),
		cmocka_unit_test(test_new_guest_takes_only_what_others_have_given),
		cmocka_unit_test(test_extremes_do_not_overflow),
		cmocka_unit_test(test_256_guests_are_planned_in_no_time),
		cmocka_unit_test(test_price_of_a_page_is_the_published_ratio),
		cmocka_unit_test(test_thresholds_are_the_published_ones_and_grow_slower_on_big_machines),
		cmocka_unit_test(test_states_follow_free_memory_with_hysteresis),
		cmocka_unit_test(test_oscillation_between_thresholds_changes_nothing),
		cmocka_unit_test(test_each_state_permits_more),
		cmocka_unit_test(test_admission_sums_what_is_guaranteed),
		cmocka_unit_test(test_held_guests_go_on_with_half_of_what_is_lost),
		cmocka_unit_test(test_greedy_one_does_not_hold_up_others),
		cmocka_unit_test(test_balloon_that_stands_still_is_not_waited_for),
		cmocka_unit_test(test_balloon_that_a_guest_in_need_took_from_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
