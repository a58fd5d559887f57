/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Targets. All of them come from fill(), which shares out pages between given bounds so that the
 * prices are equal: once between `min` and `max` for what guests are entitled to, once with what
 * they have in view, and once within the reach of a step from the last targets.
 */
#include "balloon/policy.h"

/*
 * Where the water stands: taxed hundredths of a page for a share, with LEVEL_SHIFT binary places,
 * so that one more is at most one page more for a guest of POLICY_SHARES_MAX shares.
 */
#define LEVEL_SHIFT 24
#define LEVEL_MAX (1ULL << 63)
#define STEP_PAGES_MIN 256U /* 1 MiB: small guests are not to take for ever */
#define PAGES_PER_MIB 256U

#define DEFAULTS                                                                                   \
	{                                                                                          \
		.tax_percent = 75,                                                                 \
		.high_percent = 6,                                                                 \
		.soft_percent = 4,                                                                 \
		.hard_percent = 2,                                                                 \
		.low_percent = 1,                                                                  \
		.step_percent = 6,                                                                 \
		.quantum_permille = 15,                                                            \
		.patience_ms = 10000,                                                              \
		.scan_pages = 2000,                                                                \
		.sample_period_s = 30,                                                             \
	}

const struct policy_settings policy_defaults = DEFAULTS;
struct policy_settings policy_settings = DEFAULTS;

/* What an active page costs, in hundredths of what an idle one costs. */
static uint64_t active_cost(const struct policy_settings *settings)
{
	return 100 - MIN(settings->tax_percent, POLICY_TAX_MAX);
}

/* Below 2^39, so that with shares it fits 64 bits. */
static uint64_t cost_of(const struct policy_settings *settings, uint64_t pages, uint64_t active)
{
	active = MIN(active, pages);
	return active * active_cost(settings) + (pages - active) * 100;
}

uint64_t policy_price(const struct policy_settings *settings, uint32_t shares,
		      uint64_t resident_pages, uint64_t active_pages)
{
	uint64_t pages = MIN(MAX(resident_pages, 1U), POLICY_PAGES_MAX);
	uint64_t cost = cost_of(settings, pages, resident_pages ? active_pages : pages);

	return (uint64_t)shares * PAGES_PER_MIB * 1000 * active_cost(settings) / cost;
}

/* The most pages that the guest can pay for at this level, its bounds aside. */
static uint64_t pages_at(const struct policy_settings *settings, const struct policy_guest *guest,
			 uint64_t level)
{
	uint64_t fraction = level & (BIT(LEVEL_SHIFT) - 1);
	uint64_t cost = (level >> LEVEL_SHIFT) * guest->shares +
			((fraction * guest->shares) >> LEVEL_SHIFT);
	uint64_t active = guest->active_pages * active_cost(settings);

	if (cost <= active)
		return cost / active_cost(settings);
	return guest->active_pages + (cost - active) / 100;
}

static uint64_t fill_at(const struct policy_settings *settings, const struct policy_guest *guest,
			uint64_t level)
{
	uint64_t pages = pages_at(settings, guest, level);

	return MIN(MAX(pages, guest->low_pages), guest->high_pages);
}

static uint64_t fill_all(const struct policy_settings *settings, struct policy_guest *guests,
			 unsigned int count, uint64_t level)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < count; i++) {
		guests[i].fill_pages = fill_at(settings, &guests[i], level);
		sum += guests[i].fill_pages;
	}
	return sum;
}

/* A further page is cheaper for `a`, by its exact price. */
static bool next_is_cheaper(const struct policy_settings *settings, const struct policy_guest *a,
			    const struct policy_guest *b)
{
	return cost_of(settings, a->fill_pages + 1, a->active_pages) * b->shares <
	       cost_of(settings, b->fill_pages + 1, b->active_pages) * a->shares;
}

/* Whose next page comes first between `level` and the next one, or NULL. */
static struct policy_guest *next_to_grow(const struct policy_settings *settings,
					 struct policy_guest *guests, unsigned int count,
					 uint64_t level)
{
	struct policy_guest *best = NULL;

	for (unsigned int i = 0; i < count; i++) {
		if (fill_at(settings, &guests[i], level + 1) == guests[i].fill_pages)
			continue;
		if (!best || next_is_cheaper(settings, &guests[i], best))
			best = &guests[i];
	}
	return best;
}

/*
 * fill_pages of each guest within [low_pages, high_pages] at equal prices, `pages` in all; as far
 * as the bounds let it. What is left at the highest level that fits is less than a page for each
 * guest.
 */
static void fill(const struct policy_settings *settings, struct policy_guest *guests,
		 unsigned int count, uint64_t pages)
{
	uint64_t fits = 0, overflows = LEVEL_MAX;
	uint64_t sum = fill_all(settings, guests, count, overflows);

	if (sum <= pages)
		return;
	while (overflows - fits > 1) {
		uint64_t level = fits + (overflows - fits) / 2;

		if (fill_all(settings, guests, count, level) <= pages)
			fits = level;
		else
			overflows = level;
	}
	for (sum = fill_all(settings, guests, count, fits); sum < pages; sum++) {
		struct policy_guest *guest = next_to_grow(settings, guests, count, fits);

		if (!guest)
			return;
		guest->fill_pages++;
	}
}

static uint64_t step_pages(const struct policy_settings *settings, const struct policy_guest *guest)
{
	return MAX(guest->max_pages * settings->step_percent / 100, STEP_PAGES_MIN);
}

/* What it may find a use for soon. */
static uint64_t demand_pages(const struct policy_settings *settings,
			     const struct policy_guest *guest)
{
	uint64_t pages = guest->resident_pages + step_pages(settings, guest);

	return MIN(MAX(pages, guest->min_pages), guest->max_pages);
}

static void tidy_guest(struct policy_guest *guest)
{
	guest->shares = MIN(MAX(guest->shares, 1U), POLICY_SHARES_MAX);
	guest->max_pages = MIN(guest->max_pages, POLICY_PAGES_MAX);
	guest->min_pages = MIN(guest->min_pages, guest->max_pages);
	guest->resident_pages = MIN(guest->resident_pages, POLICY_PAGES_MAX);
	guest->active_pages = MIN(guest->active_pages, guest->max_pages);
	if (guest->target_pages)
		guest->target_pages =
			MIN(MAX(guest->target_pages, guest->min_pages), guest->max_pages);
}

static uint64_t sum_low(const struct policy_guest *guests, unsigned int count)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < count; i++)
		sum += guests[i].low_pages;
	return sum;
}

static void plan_entitled(const struct policy_settings *settings, struct policy_guest *guests,
			  unsigned int count, uint64_t pages)
{
	fill(settings, guests, count, pages);
	for (unsigned int i = 0; i < count; i++)
		guests[i].entitled_pages = guests[i].fill_pages;
}

/* The same with demands in view: what nobody has a use for is shared out after them. */
static void plan_wanted(const struct policy_settings *settings, struct policy_guest *guests,
			unsigned int count, uint64_t pages)
{
	for (unsigned int i = 0; i < count; i++)
		guests[i].low_pages = demand_pages(settings, &guests[i]);
	bool enough = sum_low(guests, count) <= pages;

	for (unsigned int i = 0; i < count; i++) {
		struct policy_guest *guest = &guests[i];

		guest->high_pages = enough ? guest->max_pages : guest->low_pages;
		if (!enough)
			guest->low_pages = guest->min_pages;
	}
	fill(settings, guests, count, pages);
	for (unsigned int i = 0; i < count; i++)
		guests[i].wanted_pages = guests[i].fill_pages;
}

static bool rests(const struct policy_settings *settings, const struct policy_guest *guest)
{
	uint64_t a = guest->target_pages, b = guest->wanted_pages;
	uint64_t quantum = guest->max_pages * settings->quantum_permille / 1000;

	quantum = MIN(quantum, step_pages(settings, guest) / 2);
	return !guest->moving && MAX(a, b) - MIN(a, b) < quantum;
}

/* How far the target may go from the last one. */
static void set_reach(const struct policy_settings *settings, struct policy_guest *guest)
{
	uint64_t last = guest->target_pages, wanted = guest->wanted_pages;
	uint64_t step = step_pages(settings, guest);

	if (!last) {
		guest->low_pages = guest->min_pages;
		guest->high_pages = wanted;
	} else if (rests(settings, guest)) {
		guest->low_pages = guest->high_pages = last;
	} else if (wanted >= last) {
		guest->low_pages = last;
		guest->high_pages = MIN(wanted, last + step);
	} else {
		/* What it does not use it gives up at once. */
		last = MIN(last, demand_pages(settings, guest));
		guest->low_pages = MAX(wanted, last > step ? last - step : 0);
		guest->high_pages = guest->low_pages;
	}
}

static void plan_step(const struct policy_settings *settings, struct policy_guest *guests,
		      unsigned int count, uint64_t pages)
{
	for (unsigned int i = 0; i < count; i++)
		set_reach(settings, &guests[i]);
	bool fits = sum_low(guests, count) <= pages;

	for (unsigned int i = 0; !fits && i < count; i++) {
		guests[i].high_pages = guests[i].low_pages;
		guests[i].low_pages = MIN(guests[i].low_pages, guests[i].wanted_pages);
	}
	fill(settings, guests, count, pages);
	for (unsigned int i = 0; i < count; i++) {
		struct policy_guest *guest = &guests[i];
		bool rested = guest->target_pages == guest->fill_pages &&
			      rests(settings, guest);

		guest->target_pages = guest->fill_pages;
		guest->moving = !rested && guest->target_pages != guest->wanted_pages;
	}
}

uint64_t policy_targets(const struct policy_settings *settings, uint64_t total_pages,
			struct policy_guest *guests, unsigned int count)
{
	uint64_t reserve = policy_thresholds(settings, total_pages).high_pages;
	uint64_t pages = total_pages > reserve ? total_pages - reserve : 0;

	count = MIN(count, (unsigned int)POLICY_GUESTS_MAX);
	for (unsigned int i = 0; i < count; i++) {
		struct policy_guest *guest = &guests[i];

		tidy_guest(guest);
		guest->low_pages = guest->min_pages;
		guest->high_pages = guest->max_pages;
		guest->price = policy_price(settings, guest->shares, guest->resident_pages,
					    guest->active_pages);
	}
	uint64_t promised = sum_low(guests, count);

	pages = MAX(pages, promised);
	plan_entitled(settings, guests, count, pages);
	plan_wanted(settings, guests, count, pages);
	plan_step(settings, guests, count, pages);
	return promised > total_pages ? promised - total_pages : 0;
}
