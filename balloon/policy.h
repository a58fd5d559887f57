/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who gets how much memory when there is not enough for all: pure arithmetic on whole numbers,
 * which knows no pages, only their counts.
 *
 * A page of a guest costs its shares / its taxed pages, where an active page counts once and an
 * idle one k = 1 / (1 - tax) times: with P pages of which the fraction f is active that is the
 * shares-per-page ratio S / (P * (f + k * (1 - f))) of C. A. Waldspurger, "Memory Resource
 * Management in VMware ESX Server", OSDI 2002. Memory is taken where the price is lowest, until all
 * prices are equal but for those who stand at their least or most. f is of the pages that the guest
 * would have: one that gives up idle pages becomes the more active, and so each solution is the
 * only one.
 *
 * All functions may be called on any CPU; what they work on is the caller's, under the caller's
 * lock.
 */
#ifndef BALLAST_BALLOON_POLICY_H
#define BALLAST_BALLOON_POLICY_H

#include "lib/util.h"

#define POLICY_GUESTS_MAX 256
#define POLICY_PAGES_MAX (1ULL << 32) /* more pages of a guest are taken for so many: 16 TiB */
#define POLICY_SHARES_MAX (1U << 24)  /* more shares likewise, and none for one */
#define POLICY_TAX_MAX 99U            /* percent */

struct policy_settings {
	uint32_t tax_percent;      /* on idle memory: 0 to POLICY_TAX_MAX */
	/* How much of the memory is to be free: policy_thresholds() has what they mean. */
	uint32_t high_percent, soft_percent, hard_percent, low_percent;
	uint32_t step_percent;     /* a target moves by so much of the guest's most in a step */
	uint32_t quantum_permille; /* a target that rests heeds no smaller change than that */
	uint32_t patience_ms;      /* a balloon that has not moved for so long is not waited for */
	/* What is looked at, whatever the need: balloon/cycle.h. */
	uint32_t scan_pages;       /* of each guest in a second, for equal contents; 0: none */
	uint32_t sample_period_s;  /* of the estimate of the working set; 0: there is none */
};

extern const struct policy_settings policy_defaults;
/* What is in force: the operator's. Written and read on the boot CPU. */
extern struct policy_settings policy_settings;

struct policy_guest {
	/* What is known of it. */
	uint32_t shares;
	uint64_t min_pages;       /* guaranteed; more than max_pages counts as those */
	uint64_t max_pages;       /* what it may use now */
	uint64_t resident_pages;  /* that it has */
	uint64_t active_pages;    /* that it works with, by estimate */
	/* The last step's and this one's result. 0 before the first step of a guest. */
	uint64_t target_pages;
	bool moving;              /* the target is on its way to where it should be */
	/* Results. */
	uint64_t entitled_pages;  /* what it would have if all guests used what they may */
	uint64_t price;           /* of a page that it has: policy_price() */
	/* policy_targets()'s own. */
	uint64_t low_pages, high_pages, fill_pages, wanted_pages;
};

/*
 * One step: each guest's target, entitled pages and price. `total_pages` is what there is for
 * guests in all, of which the high threshold is kept free as far as the guarantees leave it.
 *
 * The entitled pages and the targets lie within [min, max] and add up to no more than what is to be
 * had; the entitled ones to exactly that, or to the sum of all `max`. A target moves by no more
 * than a step unless the sum would not fit, and nobody is offered much more than it has as long as
 * another one has a use for it. More shares or more active pages never give a guest fewer entitled
 * pages.
 *
 * Returns 0, or how many pages are missing for what is guaranteed; then all get their `min`. At
 * most POLICY_GUESTS_MAX guests: those behind are not looked at. Some 10^5 operations with so many.
 */
uint64_t policy_targets(const struct policy_settings *settings, uint64_t total_pages,
			struct policy_guest *guests, unsigned int count);

/* The price of a page: thousandths of a share for a MiB of taxed memory. */
uint64_t policy_price(const struct policy_settings *settings, uint32_t shares,
		      uint64_t resident_pages, uint64_t active_pages);

/* How much free memory there is, from the best state to the worst. */
enum policy_state {
	POLICY_HIGH,
	POLICY_SOFT,
	POLICY_HARD,
	POLICY_LOW,
	POLICY_STATES,
};

struct policy_thresholds {
	uint64_t high_pages, soft_pages, hard_pages, low_pages;
};

/*
 * Where guests are held, one above its target gets pages out of a purse, into which at each step
 * goes its part of half of what such guests have lost since the last one, and a little beside. What
 * is in the purses is kept free for them, as against those that grow towards their targets. What
 * one does not need at once stays in its purse, up to `most_pages`: so one that rests and wakes up
 * for a moment has what it needs for that, whatever another one asks for; and one that asks for all
 * that it can get gets half of what is taken from it. Without that they would stand still until
 * everything is given back, and could not even serve their balloons.
 *
 * It is pages got that count, not pages had: who may have back what has just been taken would never
 * have less.
 */
#define POLICY_TRICKLE_PAGES 2
struct policy_purse {
	uint64_t pages;
	uint64_t resident_pages, faults; /* at the last step; faults: pages that it got, ever */
};

/* Pages that the guest has lost since the last step. */
uint64_t policy_purse_lost(
	const struct policy_purse *purse, uint64_t resident_pages, uint64_t faults);
/* The step of a guest that is not held, or not above its target: its purse is full. */
void policy_purse_fill(struct policy_purse *purse, uint64_t resident_pages, uint64_t faults,
		       uint64_t most_pages);
/* And of one that is, which is to get `part_pages` of what was lost. */
void policy_purse_step(struct policy_purse *purse, uint64_t resident_pages, uint64_t faults,
		       uint64_t most_pages, uint64_t part_pages);

/* What is permitted in a state. */
#define POLICY_MAY_BALLOON BIT(0)  /* ask guests for memory */
#define POLICY_MAY_SHARE BIT(1)    /* look for equal pages in a hurry */
#define POLICY_MAY_COMPRESS BIT(2)
#define POLICY_MAY_SWAP BIT(3)
#define POLICY_MAY_HOLD BIT(4)     /* guests above their target wait for memory */

/*
 * The thresholds in pages, each at least one more than the next worse one. The percentages count in
 * full for the first 4 GiB, two thirds up to 12 GiB, a third up to 28 GiB and a sixth of what is
 * beyond: it is the pace of guests that the reserve must outlast, not the size of the machine.
 */
struct policy_thresholds policy_thresholds(const struct policy_settings *settings,
					   uint64_t total_pages);

/*
 * The state after `last`, now that so many pages are free. It gets worse when less is free than the
 * threshold of the worse state, better when there is the threshold of the better one: so between
 * two thresholds it stays what it is.
 */
enum policy_state policy_state_next(const struct policy_settings *settings, enum policy_state last,
				    uint64_t free_pages, uint64_t total_pages);
unsigned int policy_state_permits(enum policy_state state); /* POLICY_MAY_... */
const char *policy_state_name(enum policy_state state);

/* What a guest is promised. */
struct policy_promise {
	uint64_t min_pages;
	uint64_t overhead_pages; /* what the host needs for it beside */
};

struct policy_admission {
	uint64_t min_pages, overhead_pages; /* the sums, ~0 when they do not fit 64 bits */
	uint64_t missing_pages;
};

/* Whether the machine can keep all of these promises at a time; the sums either way. */
bool policy_admit(const struct policy_promise *promises, unsigned int count, uint64_t total_pages,
		  struct policy_admission *admission);

/* Whether a guest's balloon does what it is asked for. All zeroes at first. */
struct policy_balloon {
	uint64_t mark_pages; /* the size at mark_ns */
	uint64_t mark_ns;    /* when it last moved, or was where it should be; 0: never looked at */
	bool stuck;
	/* The last look, and what the guest took out of it although nobody had asked it to. */
	uint64_t last_target_pages, last_actual_pages;
	uint64_t refuge_pages; /* the size down to which it did so */
	uint64_t refuge_ns;    /* when it last did; 0: never, or long ago */
};

/*
 * Look at a balloon of `actual_pages` that is to have `target_pages`, at least once in a second or
 * so. Returns whether the guest is to be served by its balloon: not without a driver that runs
 * (`live`), nor when the balloon has grown by less than a sixteenth of what it lacks for longer
 * than patience_ms. It is trusted again once it moves. One that is to get smaller is never waited
 * for; and one out of which the guest helped itself is not asked for a while, so it does not serve.
 */
bool policy_balloon_serves(const struct policy_settings *settings, struct policy_balloon *balloon,
			   bool live, uint64_t target_pages, uint64_t actual_pages,
			   uint64_t now_ns);

/*
 * The target for a balloon that was looked at just now, where `wanted_pages` are what would be
 * had: a guest that was out of memory and took pages out of its balloon is not asked for them
 * again for POLICY_REFUGE_NS. Taking them would be a fight for the same pages, in which the guest
 * kills its programs; what it is to lose goes otherwise meanwhile.
 */
#define POLICY_REFUGE_NS (30 * NS_PER_SEC)
uint64_t policy_balloon_target(const struct policy_balloon *balloon, uint64_t wanted_pages);

#endif
