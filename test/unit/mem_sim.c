/* SPDX-License-Identifier: BSD-2-Clause */
#include "test/unit/mem_sim.h"

#include <string.h>

void mem_sim_begin(struct mem_sim *sim, uint64_t pages, uint32_t tax_percent)
{
	memset(sim, 0, sizeof(*sim));
	sim->settings = policy_defaults;
	sim->settings.tax_percent = tax_percent;
	sim->random = 42;
	for (sim->total = pages; sim->total - policy_thresholds(&sim->settings, sim->total).high_pages < pages;)
		sim->total++;
}

struct mem_guest *mem_sim_add(struct mem_sim *sim, uint64_t memory, uint64_t min, uint32_t shares, uint64_t working)
{
	struct mem_guest *guest = &sim->guests[sim->count];

	*guest = (struct mem_guest){ .memory = memory, .working = working, .rate = PAGES(20), .served = true };
	sim->policy[sim->count++] = (struct policy_guest){ .shares = shares, .min_pages = min, .max_pages = memory };
	return guest;
}

uint64_t mem_sim_resident(const struct mem_guest *guest)
{
	return guest->active + guest->idle;
}

uint64_t mem_sim_free(const struct mem_sim *sim)
{
	uint64_t used = 0;

	for (unsigned int i = 0; i < sim->count; i++)
		used += mem_sim_resident(&sim->guests[i]);
	return sim->total - used;
}

/* What is no longer worked with is idle; what is wanted is taken from untouched memory, then from idle. */
static void work(struct mem_sim *sim, struct mem_guest *guest)
{
	if (guest->active > guest->working) {
		guest->idle += guest->active - guest->working;
		guest->active = guest->working;
	}
	uint64_t wanted = MIN(guest->rate, guest->working - guest->active);
	uint64_t room = guest->memory - guest->balloon - mem_sim_resident(guest);
	uint64_t fresh = MIN(MIN(wanted, room), mem_sim_free(sim));
	uint64_t again = MIN(wanted - fresh, guest->idle);

	guest->active += fresh + again;
	guest->idle -= again;
	if (fresh + again < wanted)
		guest->waits++;
	guest->peak = MAX(guest->peak, guest->active);
}

static void inflate(struct mem_guest *guest, uint64_t pages)
{
	uint64_t untouched = guest->memory - guest->balloon - mem_sim_resident(guest);
	uint64_t idle, left = pages - MIN(pages, untouched);

	guest->balloon += pages;
	idle = MIN(left, guest->idle);
	guest->idle -= idle;
	guest->active -= left - idle;
}

static void move_balloon(struct mem_sim *sim, struct mem_guest *guest, const struct policy_guest *policy)
{
	uint64_t target = guest->memory - policy->target_pages;

	if (!(policy_state_permits(sim->state) & POLICY_MAY_BALLOON))
		target = MIN(target, guest->balloon);
	if (guest->balloon > target)
		guest->balloon -= MIN(guest->rate, guest->balloon - target);
	else if (!guest->refuses)
		inflate(guest, MIN(guest->rate, target - guest->balloon));
	guest->served = policy_balloon_serves(&sim->settings, &guest->watch, true, target, guest->balloon,
					      (sim->seconds + 1) * NS_PER_SEC);
}

static void sample(struct mem_sim *sim, struct mem_guest *guest)
{
	unsigned int second = sim->seconds % MEM_SIM_PERIOD, touched = 0;

	if (!second) {
		estimate_choose(&sim->random, guest->memory, guest->samples, ESTIMATE_SAMPLES);
		guest->peak = guest->active;
	}
	for (unsigned int i = 0; i < ESTIMATE_SAMPLES; i++)
		touched += guest->samples[i] < guest->peak;
	if (second == MEM_SIM_PERIOD - 1)
		estimate_end_period(&guest->estimate, touched, ESTIMATE_SAMPLES);
	else
		estimate_running(&guest->estimate, touched, ESTIMATE_SAMPLES);
}

static void step(struct mem_sim *sim)
{
	for (unsigned int i = 0; i < sim->count; i++) {
		work(sim, &sim->guests[i]);
		sample(sim, &sim->guests[i]);
		sim->policy[i].resident_pages = mem_sim_resident(&sim->guests[i]);
		sim->policy[i].active_pages = estimate_active_pages(&sim->guests[i].estimate, sim->guests[i].memory);
	}
	sim->state = policy_state_next(&sim->settings, sim->state, mem_sim_free(sim), sim->total);
	policy_targets(&sim->settings, sim->total, sim->policy, sim->count);
	for (unsigned int i = 0; i < sim->count; i++)
		move_balloon(sim, &sim->guests[i], &sim->policy[i]);
	sim->seconds++;
}

void mem_sim_run(struct mem_sim *sim, unsigned int seconds)
{
	while (seconds--)
		step(sim);
}

unsigned int mem_sim_until(struct mem_sim *sim, const struct mem_guest *guest, uint64_t pages, unsigned int limit)
{
	unsigned int seconds = 0;

	for (; seconds < limit && mem_sim_resident(guest) < pages; seconds++)
		step(sim);
	return seconds;
}
