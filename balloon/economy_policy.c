/* SPDX-License-Identifier: BSD-2-Clause */
/* A step of the policy for the guests that there are; see balloon/economy_internal.h. */
#include "balloon/economy_internal.h"

#include "host/clock.h"
#include "host/log.h"
#include "vcpu/balloon_port.h"

#define RATE_NS NS_PER_SEC
/* A guest is asked for its own figures so often. */
#define STATS_NS (10 * NS_PER_SEC)
/* A guest that waits longer than this is told of. */
#define TELL_NS NS_PER_SEC

static void retarget(struct vm_balloon *balloon, uint64_t target_pages)
{
	if (__atomic_load_n(&balloon->target_pages, __ATOMIC_RELAXED) == target_pages)
		return;
	__atomic_store_n(&balloon->target_pages, target_pages, __ATOMIC_RELAXED);
	balloon->retarget(balloon);
}

/*
 * What the balloon has when nothing is short: the RAM that the VM may not use. What was plugged in
 * is had back by unplugging.
 */
static uint64_t base_of(const struct vm_economy *economy)
{
	uint64_t boot = economy->vm->memory.boot_pages;

	return boot - MIN(boot, economy->terms.memory_pages);
}

void economy_reset_balloon(struct vm_economy *economy)
{
	if (economy->vm->balloon)
		retarget(economy->vm->balloon, base_of(economy));
}

static void set_targets(uint64_t total_pages)
{
	static struct policy_guest guests[POLICY_GUESTS_MAX];

	for (unsigned int i = 0; i < pool.count; i++) {
		struct vm_economy *economy = pool.guests[i];
		struct policy_guest *guest = &economy->guest;

		guest->shares = economy->terms.shares;
		guest->min_pages = economy->terms.min_pages;
		guest->max_pages = economy->terms.memory_pages;
		guest->resident_pages = economy->vm->memory.resident_pages;
		guest->active_pages =
			estimate_active_pages(&economy->sampling.estimate, guest->resident_pages);
		if (!economy_runs(economy))
			guest->min_pages = guest->max_pages = 0;
		guests[i] = *guest;
	}
	policy_targets(&policy_settings, total_pages, guests, pool.count);
	for (unsigned int i = 0; i < pool.count; i++)
		pool.guests[i]->guest = guests[i];
}

/* What a balloon has when its guest has what is meant for it; what takes no frames is left out. */
static uint64_t balloon_for(const struct vm_economy *economy)
{
	const struct guest_memory *memory = &economy->vm->memory;
	uint64_t pages = MAX(economy->guest.target_pages, economy->terms.min_pages) +
		memory->shared_pages + memory->zero_pages;

	return memory->limit_pages - MIN(memory->limit_pages, pages);
}

static void set_balloon(struct vm_economy *economy, bool plenty, uint64_t now_ns)
{
	struct vm_balloon *balloon = economy->vm->balloon;
	uint64_t wanted = MAX(balloon_for(economy), base_of(economy));

	if (!balloon)
		return;
	if (now_ns - economy->stats_ns >= STATS_NS) {
		economy->stats_ns = now_ns;
		balloon->want_stats(balloon);
	}
	economy->balloon_serves = policy_balloon_serves(&policy_settings, &economy->balloon,
		__atomic_load_n(&balloon->live, __ATOMIC_RELAXED),
		__atomic_load_n(&balloon->target_pages, __ATOMIC_RELAXED),
		__atomic_load_n(&balloon->actual_pages, __ATOMIC_RELAXED), now_ns);
	wanted = policy_balloon_target(&economy->balloon, wanted);
	if (plenty)
		retarget(balloon, base_of(economy));
	else if (policy_state_permits(pool.state) & POLICY_MAY_BALLOON)
		retarget(balloon, wanted);
	else /* Nothing is taken, but one whose target has grown has it: others then give. */
		retarget(balloon, MIN(wanted, __atomic_load_n(&balloon->target_pages,
			__ATOMIC_RELAXED)));
}

/* Those who take part and are above their targets. */
struct excess {
	unsigned int count;
	uint64_t pages;      /* that they have beyond them */
	uint64_t lost_pages; /* that they have lost since the last step */
};

static bool is_above(const struct vm_economy *economy)
{
	return economy_takes_part(economy) &&
		economy->vm->memory.resident_pages > economy->guest.target_pages;
}

static struct excess look_for_excess(void)
{
	struct excess excess = { 0 };

	for (unsigned int i = 0; i < pool.count; i++) {
		const struct vm_economy *economy = pool.guests[i];
		const struct guest_memory *memory = &economy->vm->memory;

		if (!economy_runs(economy) || !is_above(economy))
			continue;
		excess.count++;
		excess.pages += memory->resident_pages - economy->guest.target_pages;
		excess.lost_pages += policy_purse_lost(
			&economy->purse, memory->resident_pages, memory->faults);
	}
	return excess;
}

/* What one of them has in its purse at most, and gets now of what all have lost. */
struct part {
	uint64_t most_pages, pages;
};

/*
 * Where it is held it waits above its target, and never below what is guaranteed. How many pages
 * are kept for it.
 */
static uint64_t set_limits(struct vm_economy *economy, bool holds, const struct part *part)
{
	struct guest_memory *memory = &economy->vm->memory;
	uint64_t resident = memory->resident_pages, faults = memory->faults;
	struct policy_purse *purse = &economy->purse;
	bool takes_part = economy_takes_part(economy);
	bool held = holds && is_above(economy);

	if (held)
		policy_purse_step(purse, resident, faults, part->most_pages, part->pages);
	else
		policy_purse_fill(purse, resident, faults, part->most_pages);
	__atomic_store_n(&memory->ceiling_faults, faults + purse->pages, __ATOMIC_RELAXED);
	__atomic_store_n(&memory->ceiling_pages,
		holds && takes_part ? economy->guest.target_pages : UINT64_MAX, __ATOMIC_RELAXED);
	__atomic_store_n(&memory->by_page, takes_part && pool.state != POLICY_HIGH,
		__ATOMIC_RELAXED);
	return held ? purse->pages : 0;
}

static unsigned long long mib_of(uint64_t pages)
{
	return pages >> (20 - PAGE_SHIFT);
}

static void watch_waits(struct vm_economy *economy, uint64_t promised_pages, uint64_t now_ns)
{
	const struct guest_memory *memory = &economy->vm->memory;

	if (memory->waits == economy->waits_before) {
		economy->waiting_since_ns = 0;
		economy->told = false;
	} else if (!economy->waiting_since_ns) {
		economy->waiting_since_ns = now_ns;
	} else if (!economy->told && now_ns - economy->waiting_since_ns >= TELL_NS) {
		economy->told = true;
		log_line("vm %s waits for memory: the machine has %llu MiB free, %llu are promised,"
			" and others have not given theirs back yet ('mem' shows who has it)",
			economy->vm->name, mib_of(frame_free_count()), mib_of(promised_pages));
	}
	economy->waits_before = memory->waits;
	if (now_ns - economy->rate_ns >= RATE_NS) {
		economy->fault_rate = (memory->faults - economy->faults_before) * NS_PER_SEC /
			MAX(now_ns - economy->rate_ns, 1U);
		economy->faults_before = memory->faults;
		economy->rate_ns = now_ns;
	}
}

static uint64_t room_for_starts(uint64_t now_ns)
{
	return now_ns < pool.room_until_ns ? pool.room_pages : 0;
}

/* Of the free pages those that are guaranteed to guests that run, and that they do not have yet. */
static uint64_t unclaimed_pages(void)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < pool.count; i++) {
		uint64_t resident = pool.guests[i]->vm->memory.resident_pages;

		if (economy_runs(pool.guests[i]) && pool.guests[i]->terms.min_pages > resident)
			pages += pool.guests[i]->terms.min_pages - resident;
	}
	return pages;
}

static void count_state(uint64_t now_ns)
{
	pool.state_ns[pool.state] += now_ns - MIN(now_ns, pool.since_ns);
	pool.since_ns = now_ns;
}

/* For one that does not run yet nobody who runs gives more than what is above its target. */
static void next_state(uint64_t free, uint64_t room, uint64_t total)
{
	enum policy_state starts = policy_state_next(
		&policy_settings, pool.state, free - MIN(free, room), total);
	enum policy_state runs_on = policy_state_next(&policy_settings, pool.state, free, total);

	pool.state = MAX(runs_on, MIN(starts, POLICY_HARD));
}

/* Each guest's part of the step, when all targets are known. */
static void serve_guests(uint64_t free, uint64_t unclaimed, uint64_t room,
	const struct policy_thresholds *at, uint64_t now_ns)
{
	struct excess excess = look_for_excess();
	/* Half of the reserve is for those that are held, half of what they lose, too. */
	struct part part = {
		MAX(at->low_pages / 2 / MAX(pool.count, 1U), (uint64_t)POLICY_TRICKLE_PAGES),
		excess.lost_pages / 2 / MAX(excess.count, 1U),
	};
	bool holds = pool.state == POLICY_LOW || (room && pool.state == POLICY_HARD);
	uint64_t kept = 0;

	pool.missing_pages = pool.state == POLICY_LOW ?
		at->soft_pages - MIN(free + excess.pages, at->soft_pages) : 0;
	for (unsigned int i = 0; i < pool.count; i++) {
		struct vm_economy *economy = pool.guests[i];

		if (!economy_runs(economy))
			continue;
		if (economy_takes_part(economy))
			set_balloon(economy, free > room + 2 * at->high_pages, now_ns);
		kept += set_limits(economy, holds, &part);
		watch_waits(economy, unclaimed + room, now_ns);
	}
	/*
	 * Up to there guests are not held. Room for a start is made, not kept: else nobody had a
	 * page before all of it is there.
	 */
	guest_memory_set_floor(unclaimed + (holds ? at->low_pages / 2 : at->low_pages - 1), kept,
		at->low_pages / 4);
}

void economy_policy_step(uint64_t now_ns)
{
	uint64_t room = room_for_starts(now_ns), unclaimed = unclaimed_pages(), total, free;
	struct policy_thresholds thresholds;
	struct memory_stats stats;

	frame_get_stats(&stats);
	total = frame_guest_total(&stats);
	free = stats.frames[FRAME_FREE] - MIN(stats.frames[FRAME_FREE], unclaimed);
	thresholds = policy_thresholds(&policy_settings, total);
	count_state(now_ns);
	next_state(free, room, total);
	/* Targets are of pages that are one guest's own. */
	set_targets(total - stats.frames[FRAME_SHARED] - stats.frames[FRAME_STORE] - room);
	serve_guests(free, unclaimed, room, &thresholds, now_ns);
}

bool economy_make_room(uint64_t pages)
{
	if (!pool.watches)
		return true;
	pool.room_pages = pages;
	pool.room_until_ns = clock_now_ns() + ECONOMY_ROOM_NS;
	return frame_free_count() >= unclaimed_pages() + pages;
}

uint64_t economy_wanted_pages(const struct vm_economy *economy, uint64_t now_ns)
{
	uint64_t resident = economy->vm->memory.resident_pages;
	uint64_t target = economy->guest.target_pages;
	uint64_t least = MAX(target - MIN(target, pool.missing_pages), economy->terms.min_pages);

	/* When somebody waits for memory, balloons are too slow. */
	if (economy->balloon_serves && pool.state != POLICY_LOW && !room_for_starts(now_ns))
		return 0;
	return resident > least ? resident - least : 0;
}

void economy_relax(void)
{
	pool.state = POLICY_HIGH;
	pool.missing_pages = 0;
	guest_memory_set_floor(0, 0, 0);
}

