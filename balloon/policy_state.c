/* SPDX-License-Identifier: BSD-2-Clause */
/* The states of free memory, what may be promised, and balloons that do not move. */
#include "balloon/policy.h"

#define PROGRESS_PART 16 /* of what a balloon lacks: more is a movement */

/* The pages of the machine as the percentages count them: policy_thresholds() tells why. */
static uint64_t weighed_pages(uint64_t total)
{
	static const struct {
		uint64_t up_to;
		unsigned int sixths;
	} parts[] = {
		{ GIB(4) >> PAGE_SHIFT, 6 },
		{ GIB(12) >> PAGE_SHIFT, 4 },
		{ GIB(28) >> PAGE_SHIFT, 2 },
		{ UINT64_MAX >> 4, 1 },
	};
	uint64_t from = 0, sixths = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(parts) && total > from; i++) {
		sixths += (MIN(total, parts[i].up_to) - from) * parts[i].sixths;
		from = parts[i].up_to;
	}
	return sixths / 6;
}

struct policy_thresholds policy_thresholds(const struct policy_settings *settings,
					   uint64_t total_pages)
{
	uint64_t pages = weighed_pages(total_pages);
	struct policy_thresholds at = { .low_pages = pages * settings->low_percent / 100 };

	at.hard_pages = MAX(pages * settings->hard_percent / 100, at.low_pages + 1);
	at.soft_pages = MAX(pages * settings->soft_percent / 100, at.hard_pages + 1);
	at.high_pages = MAX(pages * settings->high_percent / 100, at.soft_pages + 1);
	return at;
}

enum policy_state policy_state_next(const struct policy_settings *settings, enum policy_state last,
				    uint64_t free_pages, uint64_t total_pages)
{
	struct policy_thresholds at = policy_thresholds(settings, total_pages);
	/* No better than that, and no worse. */
	enum policy_state at_best = free_pages < at.low_pages    ? POLICY_LOW
				    : free_pages < at.hard_pages ? POLICY_HARD
				    : free_pages < at.soft_pages ? POLICY_SOFT
								 : POLICY_HIGH;
	enum policy_state at_worst = free_pages >= at.high_pages   ? POLICY_HIGH
				     : free_pages >= at.soft_pages ? POLICY_SOFT
				     : free_pages >= at.hard_pages ? POLICY_HARD
								   : POLICY_LOW;

	return MIN(MAX(last, at_best), at_worst);
}

unsigned int policy_state_permits(enum policy_state state)
{
	static const unsigned int permits[POLICY_STATES] = {
		[POLICY_SOFT] = POLICY_MAY_BALLOON,
		[POLICY_HARD] = POLICY_MAY_BALLOON | POLICY_MAY_SHARE | POLICY_MAY_COMPRESS |
				POLICY_MAY_SWAP,
		[POLICY_LOW] = POLICY_MAY_BALLOON | POLICY_MAY_SHARE | POLICY_MAY_COMPRESS |
			       POLICY_MAY_SWAP | POLICY_MAY_HOLD,
	};

	return permits[state];
}

const char *policy_state_name(enum policy_state state)
{
	static const char *const names[POLICY_STATES] = {
		[POLICY_HIGH] = "high",
		[POLICY_SOFT] = "soft",
		[POLICY_HARD] = "hard",
		[POLICY_LOW] = "low",
	};

	return names[state];
}

uint64_t policy_purse_lost(
	const struct policy_purse *purse, uint64_t resident_pages, uint64_t faults)
{
	uint64_t had = purse->resident_pages + (faults - purse->faults);

	return had - MIN(had, resident_pages);
}

void policy_purse_fill(struct policy_purse *purse, uint64_t resident_pages, uint64_t faults,
		       uint64_t most_pages)
{
	*purse = (struct policy_purse){ most_pages, resident_pages, faults };
}

void policy_purse_step(struct policy_purse *purse, uint64_t resident_pages, uint64_t faults,
		       uint64_t most_pages, uint64_t part_pages)
{
	uint64_t left = purse->pages - MIN(purse->pages, faults - purse->faults);
	uint64_t pages = left + part_pages + POLICY_TRICKLE_PAGES;

	policy_purse_fill(purse, resident_pages, faults, MIN(pages, most_pages));
}

static void add_or_saturate(uint64_t *sum, uint64_t pages)
{
	if (add_overflows(*sum, pages, sum))
		*sum = ~0ULL;
}

bool policy_admit(const struct policy_promise *promises, unsigned int count, uint64_t total_pages,
		  struct policy_admission *admission)
{
	uint64_t needed;

	*admission = (struct policy_admission){ 0 };
	for (unsigned int i = 0; i < count; i++) {
		add_or_saturate(&admission->min_pages, promises[i].min_pages);
		add_or_saturate(&admission->overhead_pages, promises[i].overhead_pages);
	}
	needed = admission->min_pages;
	add_or_saturate(&needed, admission->overhead_pages);
	admission->missing_pages = needed > total_pages ? needed - total_pages : 0;
	return !admission->missing_pages;
}

/* It got smaller although it was below its target, and is so still. */
static void watch_refuge(struct policy_balloon *balloon, bool live, uint64_t target_pages,
			 uint64_t actual_pages, uint64_t now_ns)
{
	bool helped_itself = actual_pages < balloon->last_actual_pages &&
			     actual_pages < MIN(balloon->last_target_pages, target_pages);

	if (!live || (balloon->refuge_ns && now_ns - balloon->refuge_ns >= POLICY_REFUGE_NS))
		balloon->refuge_ns = 0;
	if (live && helped_itself) {
		balloon->refuge_ns = now_ns;
		balloon->refuge_pages = actual_pages;
	}
	balloon->last_target_pages = live ? target_pages : 0;
	balloon->last_actual_pages = live ? actual_pages : 0;
}

uint64_t policy_balloon_target(const struct policy_balloon *balloon, uint64_t wanted_pages)
{
	return balloon->refuge_ns ? MIN(wanted_pages, balloon->refuge_pages) : wanted_pages;
}

bool policy_balloon_serves(const struct policy_settings *settings, struct policy_balloon *balloon,
			   bool live, uint64_t target_pages, uint64_t actual_pages, uint64_t now_ns)
{
	uint64_t mark = MIN(balloon->mark_pages, target_pages);
	uint64_t progress = MAX((target_pages - mark) / PROGRESS_PART, 1U);
	bool first = !balloon->mark_ns || !live;
	bool content = actual_pages >= target_pages;

	if (first || content || actual_pages >= mark + progress) {
		balloon->mark_pages = actual_pages;
		balloon->mark_ns = now_ns;
		balloon->stuck = false;
	} else if (now_ns - balloon->mark_ns > settings->patience_ms * NS_PER_MS) {
		balloon->stuck = true;
	}
	/* Pages given back count anew. */
	balloon->mark_pages = MIN(balloon->mark_pages, actual_pages);
	watch_refuge(balloon, live, target_pages, actual_pages, now_ns);
	return live && !balloon->stuck && !balloon->refuge_ns;
}
