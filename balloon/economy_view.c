/* SPDX-License-Identifier: BSD-2-Clause */
/* What is shown of the economy; see balloon/economy.h. */
#include "balloon/economy_internal.h"

#include "balloon/store.h"
#include "host/memory.h"
#include "lib/string.h"
#include "vcpu/balloon_port.h"

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
		.state = pool.state,
		.total_pages = frame_guest_total(&stats),
		.free_pages = stats.frames[FRAME_FREE],
		.private_pages = stats.frames[FRAME_GUEST],
		.shared_pages = stats.frames[FRAME_SHARED],
		.compressed_pages = store.pages,
		.store_pages = store.frames,
		.overhead_pages = stats.frames[FRAME_VM],
	};
	memcpy(view->state_ns, pool.state_ns, sizeof(pool.state_ns));
	for (unsigned int i = 0; i < pool.count; i++) {
		const struct guest_memory *memory = &pool.guests[i]->vm->memory;
		const struct vm_balloon *balloon = pool.guests[i]->vm->balloon;

		shown += memory->shared_pages;
		view->zero_pages += memory->zero_pages;
		view->swapped_pages += memory->kept_pages[PAGE_SWAPPED];
		add_cost(&view->sampling, &pool.guests[i]->sampling.cost);
		if (balloon)
			view->ballooned_pages +=
				__atomic_load_n(&balloon->actual_pages, __ATOMIC_RELAXED);
	}
	view->saved_pages = shown - MIN(shown, view->shared_pages);
	if (!pool.watches)
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
	uint64_t active_pages;

	if (!economy)
		return false;
	active_pages = estimate_active_pages(
		&economy->sampling.estimate, memory->resident_pages);
	*view = (struct vm_memory_view){
		.memory_pages = economy->terms.memory_pages,
		.max_pages = memory->limit_pages,
		.min_pages = economy->terms.min_pages,
		.shares = economy->terms.shares,
		.entitled_pages = economy->terms.memory_pages,
		.target_pages = economy->terms.memory_pages,
		.resident_pages =
			memory->resident_pages + memory->shared_pages + memory->zero_pages,
		.active_pages = active_pages,
		.price = policy_price(&policy_settings, economy->terms.shares,
			memory->resident_pages, active_pages),
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
	/* Where nothing is taken from anybody, nothing is planned. */
	if (pool.watches) {
		view->entitled_pages = economy->guest.entitled_pages;
		view->target_pages = economy->guest.target_pages;
		view->price = economy->guest.price;
	}
	if (balloon) {
		view->balloon_target_pages =
			__atomic_load_n(&balloon->target_pages, __ATOMIC_RELAXED);
		view->balloon_pages = __atomic_load_n(&balloon->actual_pages, __ATOMIC_RELAXED);
	}
	return true;
}
