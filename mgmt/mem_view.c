/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/mem_view.h"

#include "balloon/economy.h"
#include "host/clock.h"
#include "host/memory.h"
#include "mgmt/console.h"
#include "mgmt/vms.h"

static struct mem_machine_history history;
static uint64_t due_ns;

void mem_view_vm(const struct managed_vm *managed, struct vm_memory_view *view)
{
	const struct vm_config *config = managed->config;

	if (managed_is_running(managed) && economy_view_vm(managed->vm, view))
		return;
	*view = (struct vm_memory_view){
		.memory_pages = config->memory_bytes / PAGE_SIZE,
		.max_pages = config_max_memory(config) / PAGE_SIZE,
		.min_pages = config_min_memory(config) / PAGE_SIZE,
		.shares = config_shares(config),
	};
	view->entitled_pages = view->target_pages = view->memory_pages;
}

void mem_view_print_cost(const char *what, const struct sampling_cost *cost)
{
	console_print("%s%llu.%llu faults, %llu us a second; %llu faults, %llu ms in all\n",
		what, (unsigned long long)(cost->faults_per_1000_s / 1000),
		(unsigned long long)(cost->faults_per_1000_s / 100 % 10),
		(unsigned long long)(cost->ns_per_s / 1000), (unsigned long long)cost->faults,
		(unsigned long long)(clock_ns_from_tsc(cost->ticks) / NS_PER_MS));
}

/* --- History --- */

static uint32_t slot_value(uint64_t pages)
{
	return (uint32_t)MIN(pages, UINT32_MAX);
}

static void sample_vm(struct managed_vm *managed, unsigned int slot)
{
	struct mem_history *past = &managed->memory_history;
	struct vm_memory_view view = { 0 };

	if (managed_is_running(managed))
		mem_view_vm(managed, &view);
	past->resident_pages[slot] = slot_value(view.resident_pages);
	past->active_pages[slot] = slot_value(view.active_pages);
	past->target_pages[slot] = slot_value(view.target_pages);
}

static void sample(void)
{
	unsigned int slot = history.samples++ % MEM_HISTORY_SLOTS;
	struct memory_view view;

	economy_view(&view);
	history.seconds[slot] = slot_value(clock_now_ns() / NS_PER_SEC);
	history.free_pages[slot] = slot_value(view.free_pages);
	for (size_t i = 0; i < vms_count(); i++)
		sample_vm(vms_at(i), slot);
}

const struct mem_machine_history *mem_machine_history(void)
{
	return &history;
}

uint64_t mem_history_poll(void)
{
	uint64_t now = clock_now_ns();

	if (now >= due_ns) {
		sample();
		/* Steps that were missed are left out: no sample is taken twice. */
		due_ns = now - now % MEM_HISTORY_PERIOD_NS + MEM_HISTORY_PERIOD_NS;
	}
	return due_ns;
}
