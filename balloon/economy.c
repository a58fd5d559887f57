/* SPDX-License-Identifier: BSD-2-Clause */
/* Who takes part, and whose turn it is; see balloon/economy.h. */
#include "balloon/economy_internal.h"

#include "balloon/keep.h"
#include "balloon/pager.h"
#include "balloon/share.h"
#include "balloon/store.h"
#include "host/clock.h"
#include "host/cpu.h"
#include "host/log.h"

#define POLICY_NS (250 * NS_PER_MS)
/* What needs the boot CPU within this time need not wake it: it comes by itself. */
#define SOON_NS (10 * NS_PER_MS)
/* The store takes at most this part of what guests have. */
#define STORE_PART 2
/* Entries of the table of contents that are looked at in each step of the policy, */
#define PRUNE_ENTRIES 4096U
#define PRUNE_MOST 16U /* and up to so many times as many when memory is short. */
/* Devices that wait for memory look again so often, even if nothing is known to have come. */
#define DEVICES_NS (2 * NS_PER_MS)
/* Looking after memory takes at most this part of the boot CPU's time: guests need the rest. */
static const unsigned int part_percent[POLICY_STATES] = { 10, 10, 50, 67 };
/* One turn takes no longer; the next one goes on with the guests that come then. */
#define TURN_NS (500 * NS_PER_US)
/* What is due for many guests, one soon after the other, is done at one time. */
#define LEAST_REST_NS NS_PER_MS

struct economy_pool pool;

static uint64_t policy_ns;  /* the next step of the policy */
static bool soon;           /* [a] economy_poll() comes within SOON_NS */
static bool ready;          /* the table of equal pages is there */
static bool pending;        /* the last poll left something to do */

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
	__atomic_store_n(&soon, true, __ATOMIC_RELEASE);
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
	economy_reset_balloon(economy);
	policy_ns = 0;
	needed(&vm->memory);
}

int economy_add(struct vm *vm, const struct economy_terms *terms)
{
	struct vm_economy *economy;

	if (pool.count == POLICY_GUESTS_MAX)
		return -ENOSPC;
	economy = heap_alloc(sizeof(*economy), FRAME_VM);
	if (!economy)
		return -ENOMEM;
	economy->vm = vm;
	economy->sampling.random = vm->domain * 0x9e3779b97f4a7c15ULL + clock_tsc();
	vm->economy = economy;
	vm->memory.keeper = &keeper;
	pool.guests[pool.count++] = economy;
	economy_set_terms(vm, terms);
	cycle_reset(economy);
	return 0;
}

void economy_remove(struct vm *vm)
{
	for (unsigned int i = 0; i < pool.count; i++) {
		if (pool.guests[i] != vm->economy)
			continue;
		pool.guests[i] = pool.guests[--pool.count];
		pager_cancel(&vm->memory);
		heap_free(vm->economy);
		vm->economy = NULL;
		policy_ns = 0;
		return;
	}
}

/* Frames that nobody shows any more. After all who shared have gone, so has the table. */
static void prune(void)
{
	uint64_t begin_ns = clock_now_ns();
	struct share_stats shares;
	unsigned int portions = 0;

	do {
		share_prune(PRUNE_ENTRIES);
	} while (pool.state != POLICY_HIGH && ++portions < PRUNE_MOST &&
		clock_now_ns() - begin_ns < TURN_NS);
	share_get_stats(&shares);
	for (unsigned int i = 0; i < pool.count; i++)
		if (economy_takes_part(pool.guests[i]))
			return;
	if (shares.frames)
		return;
	share_exit();
	ready = false;
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
	again = cycle_step(economy, policy_state_permits(pool.state),
		economy_wanted_pages(economy, now_ns), now_ns);
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
	for (unsigned int i = 0; i < pool.count; i++) {
		struct vm_economy *economy = pool.guests[next++ % pool.count];

		if (!economy_runs(economy))
			continue;
		again = clock_sooner(again, cycle_of(economy, now_ns));
		until_ns = clock_now_ns();
		if (until_ns - now_ns < TURN_NS)
			continue;
		again = until_ns;
		break;
	}
	rest_ns = until_ns + MAX((until_ns - now_ns) * (100 - part_percent[pool.state]) /
		part_percent[pool.state], (uint64_t)LEAST_REST_NS);
	return again ? MAX(again, rest_ns) : 0;
}

static uint64_t life_of(const struct vm_economy *economy)
{
	return economy_runs(economy) ? economy->vm->started_ns : 0;
}

/* Does somebody take part and run? Is any of them another than before, in *changed. */
static bool look_around(bool *changed, uint64_t now_ns)
{
	bool part = false;

	*changed = false;
	for (unsigned int i = 0; i < pool.count; i++) {
		const struct vm_economy *economy = pool.guests[i];

		part |= economy_takes_part(economy) && economy_runs(economy);
		*changed |= economy->started_ns != life_of(economy);
	}
	if (pool.watches && !part)
		economy_relax();
	if (!pool.watches)
		pool.since_ns = now_ns;
	pool.watches = part;
	return part;
}

/* One guest's part of a poll, but for what takes time. When to come again. */
static uint64_t attend(struct vm_economy *economy, uint64_t now_ns)
{
	uint64_t life_ns = life_of(economy);

	/* Its memory is new with each start. */
	if (economy->started_ns != life_ns)
		cycle_reset(economy);
	economy->started_ns = life_ns;
	return economy_runs(economy) ? tell(economy, now_ns) : 0;
}

uint64_t economy_poll(void)
{
	/* What is asked for from here on wakes this CPU anew. */
	bool asked = __atomic_exchange_n(&soon, false, __ATOMIC_SEQ_CST), changed;
	uint64_t now_ns = clock_now_ns(), again = 0;
	bool part = look_around(&changed, now_ns);

	if (!part && !ready && !pending && !asked && !changed)
		return 0;
	if ((part || ready) && now_ns >= policy_ns) {
		if (part)
			economy_policy_step(now_ns);
		if (ready)
			prune();
		policy_ns = now_ns + POLICY_NS;
	}
	for (unsigned int i = 0; i < pool.count; i++)
		again = clock_sooner(again, attend(pool.guests[i], now_ns));
	again = clock_sooner(again, cycles(now_ns));
	pending = again != 0;
	if (part || ready)
		again = clock_sooner(again, policy_ns);
	if (again && again <= now_ns + SOON_NS)
		__atomic_store_n(&soon, true, __ATOMIC_RELEASE);
	return again;
}
