/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may have how much, and how it is had back: the machine's part; see balloon/economy.h. */
#include "balloon/economy.h"

#include "balloon/cycle.h"
#include "balloon/keep.h"
#include "balloon/pager.h"
#include "balloon/share.h"
#include "balloon/store.h"
#include "host/clock.h"
#include "host/cpu.h"
#include "host/log.h"
#include "lib/string.h"
#include "vcpu/balloon_port.h"

#define POLICY_NS (250 * NS_PER_MS)
#define RATE_NS NS_PER_SEC
/* A guest is asked for its own figures so often. */
#define STATS_NS (10 * NS_PER_SEC)
/* What needs the boot CPU within this time need not wake it: it comes by itself. */
#define SOON_NS (10 * NS_PER_MS)
/* The store takes at most this part of what guests have. */
#define STORE_PART 2
/* Entries of the table of contents that are looked at in each step of the policy. */
#define PRUNE_ENTRIES 4096U
/* Devices that wait for memory look again so often, even if nothing is known to have come. */
#define DEVICES_NS (2 * NS_PER_MS)
/* Looking after memory takes at most this part of the boot CPU's time: guests need the rest. */
static const unsigned int part_percent[POLICY_STATES] = { 10, 10, 50, 67 };
/* One turn takes no longer; the next one goes on with the guests that come then. */
#define TURN_NS (500 * NS_PER_US)
/* What is due for many guests, one soon after the other, is done at one time. */
#define LEAST_REST_NS NS_PER_MS
/* A guest that waits longer than this is told of. */
#define TELL_NS NS_PER_SEC

static struct vm_economy *all[POLICY_GUESTS_MAX];
static unsigned int count;
static enum policy_state state;
static uint64_t state_ns[POLICY_STATES], state_since_ns; /* since then it has not been counted */
static uint64_t policy_ns;  /* the next step of the policy */
/* In the worst state: who stands at its target waits, so all give more than that. */
static uint64_t missing_pages;
/* For a VM that starts when they are there. */
static uint64_t room_pages, room_until_ns;
static bool soon;           /* [a] economy_poll() comes within SOON_NS */
static bool ready;          /* the table of equal pages is there */
static bool watches;        /* somebody takes part and runs */

/* ---- what guest memory asks for, on any CPU ---- */

static void needed(struct guest_memory *memory)
{
	(void)memory;
	if (!__atomic_exchange_n(&soon, true, __ATOMIC_ACQ_REL))
		cpu_notify(cpu_by_id(0));
}

/* A guest waits for what has come; its devices are told by the boot CPU. */
static void came(struct guest_memory *memory)
{
	vm_memory_came(container_of(memory, struct vm, memory), false);
	if (!__atomic_load_n(&memory->devices_wait, __ATOMIC_ACQUIRE))
		return;
	__atomic_store_n(&memory->came, true, __ATOMIC_RELEASE);
	cpu_notify(cpu_by_id(0));
}

static const struct memory_keeper keeper = {
	.fetch = keep_fetch, .forget = keep_forget, .needed = needed };

/* ---- who takes part ---- */

int economy_init(void)
{
	int error = store_init();

	return !error && swap_available() ? pager_init(came) : error;
}

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

/* The table of contents is made for the first VM from which something may be taken. */
static int get_ready(void)
{
	struct memory_stats stats;

	if (ready)
		return 0;
	frame_get_stats(&stats);
	if (share_init(stats.total_frames))
		return -ENOMEM;
	store_set_limit(stats.total_frames / STORE_PART);
	ready = true;
	return 0;
}

void economy_set_terms(struct vm *vm, const struct economy_terms *terms)
{
	struct vm_economy *economy = vm->economy;

	economy->terms = *terms;
	economy->due_ns = 0;
	if (economy_takes_part(economy) && get_ready()) {
		log_line("vm %s: no memory for the table of equal pages: nothing is taken from it",
			vm->name);
		economy->terms.min_pages = economy->terms.memory_pages;
	}
	__atomic_store_n(&vm->memory.guaranteed_pages, economy->terms.min_pages, __ATOMIC_RELAXED);
	if (!economy_takes_part(economy)) {
		__atomic_store_n(&vm->memory.ceiling_pages, UINT64_MAX, __ATOMIC_RELAXED);
		__atomic_store_n(&vm->memory.by_page, false, __ATOMIC_RELAXED);
	}
	if (vm->balloon)
		retarget(vm->balloon, base_of(economy));
	policy_ns = 0;
	needed(&vm->memory);
}

int economy_add(struct vm *vm, const struct economy_terms *terms)
{
	struct vm_economy *economy;

	if (count == POLICY_GUESTS_MAX)
		return -ENOSPC;
	economy = heap_alloc(sizeof(*economy), FRAME_VM);
	if (!economy)
		return -ENOMEM;
	economy->vm = vm;
	economy->sampling.random = vm->domain * 0x9e3779b97f4a7c15ULL + clock_tsc();
	vm->economy = economy;
	vm->memory.keeper = &keeper;
	all[count++] = economy;
	economy_set_terms(vm, terms);
	cycle_reset(economy);
	return 0;
}

void economy_remove(struct vm *vm)
{
	for (unsigned int i = 0; i < count; i++) {
		if (all[i] != vm->economy)
			continue;
		all[i] = all[--count];
		pager_cancel(&vm->memory);
		heap_free(vm->economy);
		vm->economy = NULL;
		policy_ns = 0;
		return;
	}
}

/* ---- the policy ---- */

static bool runs(const struct vm_economy *economy)
{
	return economy->vm->state == VM_RUNNING &&
		__atomic_load_n(&economy->vm->stop, __ATOMIC_ACQUIRE) == VM_STOP_NONE;
}

static void set_targets(uint64_t total_pages)
{
	static struct policy_guest guests[POLICY_GUESTS_MAX];

	for (unsigned int i = 0; i < count; i++) {
		struct vm_economy *economy = all[i];
		struct policy_guest *guest = &economy->guest;

		guest->shares = economy->terms.shares;
		guest->min_pages = economy->terms.min_pages;
		guest->max_pages = economy->terms.memory_pages;
		guest->resident_pages = economy->vm->memory.resident_pages;
		guest->active_pages =
			estimate_active_pages(&economy->sampling.estimate, guest->resident_pages);
		if (!runs(economy))
			guest->min_pages = guest->max_pages = 0;
		guests[i] = *guest;
	}
	policy_targets(&policy_settings, total_pages, guests, count);
	for (unsigned int i = 0; i < count; i++)
		all[i]->guest = guests[i];
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
	else if (policy_state_permits(state) & POLICY_MAY_BALLOON)
		retarget(balloon, wanted);
	else /* Nothing is taken, but one whose target has grown has it: others then give. */
		retarget(balloon, MIN(wanted, __atomic_load_n(&balloon->target_pages,
			__ATOMIC_RELAXED)));
}

/* It waits when there is nothing for it now, and never below what is guaranteed. */
static void set_limits(struct vm_economy *economy)
{
	struct guest_memory *memory = &economy->vm->memory;
	uint64_t resident = memory->resident_pages, ceiling = UINT64_MAX;
	bool part = economy_takes_part(economy);

	if (part && state == POLICY_LOW)
		ceiling = policy_ceiling(
			economy->guest.target_pages, resident, economy->resident_before);
	economy->resident_before = resident;
	__atomic_store_n(&memory->ceiling_pages, ceiling, __ATOMIC_RELAXED);
	__atomic_store_n(&memory->by_page, part && state != POLICY_HIGH, __ATOMIC_RELAXED);
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
	return now_ns < room_until_ns ? room_pages : 0;
}

/* Of the free pages those that are guaranteed, and not there yet. */
static uint64_t unclaimed_pages(uint64_t now_ns)
{
	uint64_t pages = room_for_starts(now_ns);

	for (unsigned int i = 0; i < count; i++) {
		uint64_t resident = all[i]->vm->memory.resident_pages;

		if (runs(all[i]) && all[i]->terms.min_pages > resident)
			pages += all[i]->terms.min_pages - resident;
	}
	return pages;
}

static void count_state(uint64_t now_ns)
{
	state_ns[state] += now_ns - MIN(now_ns, state_since_ns);
	state_since_ns = now_ns;
}

static void policy_step(uint64_t now_ns)
{
	struct policy_thresholds thresholds;
	uint64_t total, free, unclaimed = unclaimed_pages(now_ns);
	struct memory_stats stats;

	frame_get_stats(&stats);
	total = frame_guest_total(&stats);
	free = stats.frames[FRAME_FREE] - MIN(stats.frames[FRAME_FREE], unclaimed);
	count_state(now_ns);
	thresholds = policy_thresholds(&policy_settings, total);
	state = policy_state_next(&policy_settings, state, free, total);
	missing_pages = state == POLICY_LOW ?
		thresholds.soft_pages - MIN(free, thresholds.soft_pages) : 0;
	/* Room for a start is made, not kept: else nobody had a page before all of it is there. */
	guest_memory_set_floor(unclaimed - room_for_starts(now_ns) + thresholds.low_pages / 2,
		thresholds.low_pages / 4);
	/* Targets are of pages that are one guest's own. */
	set_targets(total - stats.frames[FRAME_SHARED] - stats.frames[FRAME_STORE] -
		room_for_starts(now_ns));
	for (unsigned int i = 0; i < count; i++) {
		if (!runs(all[i]))
			continue;
		if (economy_takes_part(all[i]))
			set_balloon(all[i], free > 2 * thresholds.high_pages, now_ns);
		set_limits(all[i]);
		watch_waits(all[i], unclaimed, now_ns);
	}
}

bool economy_make_room(uint64_t pages)
{
	uint64_t now_ns = clock_now_ns(), kept;

	if (!watches)
		return true;
	room_until_ns = 0;
	kept = unclaimed_pages(now_ns);
	room_pages = pages;
	room_until_ns = now_ns + ECONOMY_ROOM_NS;
	return frame_free_count() >= kept + pages;
}

/* Frames that nobody shows any more. After all who shared have gone, so has the table. */
static void prune(void)
{
	struct share_stats shares;

	share_prune(state == POLICY_HIGH ? PRUNE_ENTRIES : 16 * PRUNE_ENTRIES);
	share_get_stats(&shares);
	for (unsigned int i = 0; i < count; i++)
		if (economy_takes_part(all[i]))
			return;
	if (shares.frames)
		return;
	share_exit();
	ready = false;
}

/* How many pages the VM is to lose by other means than its balloon. */
static uint64_t wanted_of(const struct vm_economy *economy)
{
	uint64_t resident = economy->vm->memory.resident_pages;
	uint64_t target = economy->guest.target_pages;
	uint64_t least = MAX(target - MIN(target, missing_pages), economy->terms.min_pages);

	/* When guests wait for memory, balloons are too slow. */
	if (economy->balloon_serves && state != POLICY_LOW)
		return 0;
	return resident > least ? resident - least : 0;
}

/* Nobody takes part any more: all that runs has what it is guaranteed. */
static void relax(void)
{
	state = POLICY_HIGH;
	missing_pages = 0;
	guest_memory_set_floor(0, 0);
}

/* Devices that wait for memory which may have come look again. When to come again. */
static uint64_t tell(struct vm_economy *economy, uint64_t now_ns)
{
	struct guest_memory *memory = &economy->vm->memory;
	bool came = __atomic_exchange_n(&memory->came, false, __ATOMIC_ACQ_REL), look = false;

	if (__atomic_load_n(&memory->lost, __ATOMIC_RELAXED))
		vm_stop(economy->vm, VM_STOP_FAULT, 0,
			"a page of its memory could not be read back");
	if (came || now_ns >= economy->devices_ns)
		look = __atomic_exchange_n(&memory->devices_wait, false, __ATOMIC_ACQ_REL);
	if (look) {
		economy->devices_ns = now_ns + DEVICES_NS;
		vm_memory_came(economy->vm, true);
	}
	return look || __atomic_load_n(&memory->devices_wait, __ATOMIC_RELAXED) ?
		economy->devices_ns : 0;
}

/* One guest's step, if it is due: when its next one is. */
static uint64_t cycle_of(struct vm_economy *economy, uint64_t now_ns)
{
	const struct guest_limbo *limbo = &economy->vm->memory.limbo;
	bool given_up = __atomic_load_n(&limbo->filling_count, __ATOMIC_RELAXED);
	uint64_t again;

	if (now_ns < economy->due_ns && !given_up)
		return economy->due_ns;
	again = cycle_step(
		economy, policy_state_permits(state), wanted_of(economy), now_ns);
	/* By then the policy may have thought of something else. */
	economy->due_ns = clock_sooner(again, now_ns + POLICY_NS);
	return again;
}

/*
 * A part of each guest's sampling, scanning and reclaiming, of all in turn: when to come again; 0:
 * nothing is left to do.
 */
static uint64_t cycles(uint64_t now_ns)
{
	static uint64_t rest_ns;
	static unsigned int next;
	uint64_t again = 0, until_ns = now_ns;

	if (now_ns < rest_ns)
		return rest_ns;
	for (unsigned int i = 0; i < count; i++) {
		struct vm_economy *economy = all[next++ % count];

		if (!runs(economy))
			continue;
		again = clock_sooner(again, cycle_of(economy, now_ns));
		until_ns = clock_now_ns();
		if (until_ns - now_ns < TURN_NS)
			continue;
		again = until_ns;
		break;
	}
	rest_ns = until_ns + MAX((until_ns - now_ns) * (100 - part_percent[state]) /
		part_percent[state], (uint64_t)LEAST_REST_NS);
	return again ? MAX(again, rest_ns) : 0;
}

uint64_t economy_poll(void)
{
	uint64_t now_ns = clock_now_ns(), again = 0;
	bool part = false;

	/* What is asked for from here on wakes this CPU anew. */
	__atomic_store_n(&soon, false, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < count; i++)
		part |= economy_takes_part(all[i]) && runs(all[i]);
	if (watches && !part)
		relax();
	if (!watches)
		state_since_ns = now_ns;
	watches = part;
	if ((part || ready) && now_ns >= policy_ns) {
		if (part)
			policy_step(now_ns);
		if (ready)
			prune();
		policy_ns = now_ns + POLICY_NS;
	}
	for (unsigned int i = 0; i < count; i++) {
		uint64_t life_ns = runs(all[i]) ? all[i]->vm->started_ns : 0;

		/* Its memory is new with each start. */
		if (all[i]->started_ns != life_ns)
			cycle_reset(all[i]);
		all[i]->started_ns = life_ns;
		if (runs(all[i]))
			again = clock_sooner(again, tell(all[i], now_ns));
	}
	again = clock_sooner(again, cycles(now_ns));
	if (part || ready)
		again = clock_sooner(again, policy_ns);
	if (again && again <= now_ns + SOON_NS)
		__atomic_store_n(&soon, true, __ATOMIC_RELEASE);
	return again;
}

/* ---- what is shown ---- */

static void add_cost(struct sampling_cost *sum, const struct sampling_cost *cost)
{
	sum->pages += cost->pages;
	sum->faults += cost->faults;
	sum->ticks += cost->ticks;
	sum->faults_per_1000_s += cost->faults_per_1000_s;
	sum->ns_per_s += cost->ns_per_s;
}

void economy_view(struct memory_view *view)
{
	struct store_stats store;
	struct memory_stats stats;
	uint64_t shown = 0;

	frame_get_stats(&stats);
	store_get_stats(&store);
	*view = (struct memory_view){
		.state = state,
		.total_pages = frame_guest_total(&stats),
		.free_pages = stats.frames[FRAME_FREE],
		.private_pages = stats.frames[FRAME_GUEST],
		.shared_pages = stats.frames[FRAME_SHARED],
		.compressed_pages = store.pages,
		.store_pages = store.frames,
		.overhead_pages = stats.frames[FRAME_VM],
	};
	memcpy(view->state_ns, state_ns, sizeof(state_ns));
	for (unsigned int i = 0; i < count; i++) {
		const struct guest_memory *memory = &all[i]->vm->memory;
		const struct vm_balloon *balloon = all[i]->vm->balloon;

		shown += memory->shared_pages;
		view->zero_pages += memory->zero_pages;
		view->swapped_pages += memory->kept_pages[PAGE_SWAPPED];
		add_cost(&view->sampling, &all[i]->sampling.cost);
		if (balloon)
			view->ballooned_pages +=
				__atomic_load_n(&balloon->actual_pages, __ATOMIC_RELAXED);
	}
	view->saved_pages = shown - MIN(shown, view->shared_pages);
	if (!watches)
		view->state = policy_state_next(&policy_settings, POLICY_HIGH, view->free_pages,
			view->total_pages);
}

/* Its part of what sharing saves, as if all shared frames were shown by as many pages. */
static uint64_t saved_of(const struct guest_memory *memory)
{
	struct memory_view machine;

	/* All guests are asked in turn, and each would ask for all. */
	if (!memory->shared_pages)
		return 0;
	economy_view(&machine);
	if (!machine.saved_pages)
		return 0;
	return memory->shared_pages * machine.saved_pages /
		(machine.saved_pages + machine.shared_pages);
}

bool economy_view_vm(const struct vm *vm, struct vm_memory_view *view)
{
	const struct vm_economy *economy = vm->economy;
	const struct guest_memory *memory = &vm->memory;
	const struct vm_balloon *balloon = vm->balloon;

	if (!economy)
		return false;
	*view = (struct vm_memory_view){
		.memory_pages = economy->terms.memory_pages,
		.max_pages = memory->limit_pages,
		.min_pages = economy->terms.min_pages,
		.shares = economy->terms.shares,
		.entitled_pages = economy->guest.entitled_pages,
		.target_pages = economy->guest.target_pages,
		.resident_pages =
			memory->resident_pages + memory->shared_pages + memory->zero_pages,
		.active_pages = estimate_active_pages(&economy->sampling.estimate,
			memory->resident_pages),
		.price = economy->guest.price,
		.has_balloon = balloon && __atomic_load_n(&balloon->live, __ATOMIC_RELAXED),
		.shared_pages = memory->shared_pages,
		.saved_pages = saved_of(memory),
		.zero_pages = memory->zero_pages,
		.compressed_pages = memory->kept_pages[PAGE_COMPRESSED],
		.swapped_pages = memory->kept_pages[PAGE_SWAPPED],
		.pinned_pages = guest_memory_pinned(&economy->vm->memory),
		.faults_per_second = economy->fault_rate,
		.sampling = economy->sampling.cost,
		.waiting_since_ns = economy->waiting_since_ns,
	};
	if (balloon) {
		view->balloon_target_pages =
			__atomic_load_n(&balloon->target_pages, __ATOMIC_RELAXED);
		view->balloon_pages = __atomic_load_n(&balloon->actual_pages, __ATOMIC_RELAXED);
	}
	return true;
}
