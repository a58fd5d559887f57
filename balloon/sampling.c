/* SPDX-License-Identifier: BSD-2-Clause */
/* Sampling periods of one VM; see balloon/sampling.h. */
#include "balloon/sampling.h"

#include "host/clock.h"

/* What is touched is looked at so often, as the policy makes a step. */
#define LOOK_NS (250 * NS_PER_MS)
/* While a period cannot begin or end yet. */
#define AGAIN_NS (2 * NS_PER_MS)

void sampling_reset(struct sampling *sampling)
{
	*sampling = (struct sampling){ .random = sampling->random };
}

/* The nth page of the guest's RAM. */
static gpa_t nth_page(const struct guest_memory *memory, uint64_t n)
{
	for (size_t i = 0; i < memory->slot_count; i++) {
		uint64_t pages = memory->slots[i].bytes >> PAGE_SHIFT;

		if (n < pages)
			return memory->slots[i].start + (n << PAGE_SHIFT);
		n -= pages;
	}
	return 0;
}

/* Of pages that were taken away, watched ones and others. */
static uint64_t touches(const struct guest_memory *memory)
{
	return __atomic_load_n(&memory->rescues, __ATOMIC_RELAXED);
}

static void begin_period(struct sampling *sampling, struct guest_memory *memory, uint64_t now_ns)
{
	uint64_t chosen[ESTIMATE_SAMPLES];
	unsigned int count = estimate_choose(&sampling->random, memory->limit_pages, chosen,
		ESTIMATE_SAMPLES);

	sampling->count = sampling->touched = 0;
	for (unsigned int i = 0; i < count; i++) {
		gpa_t gpa = nth_page(memory, chosen[i]);

		/* One that is not there is idle too, but says nothing of those that are. */
		if (guest_memory_take(memory, gpa) == 0)
			sampling->pages[sampling->count++] = gpa;
	}
	sampling->cost.pages += sampling->count;
	sampling->period_ns = now_ns;
	sampling->look_ns = now_ns;
	sampling->rescues = touches(memory);
	sampling->watched = sampling->sealed = false;
}

static void look(struct sampling *sampling, const struct guest_memory *memory)
{
	unsigned int touched = 0;

	sampling->rescues = touches(memory);
	for (unsigned int i = 0; i < sampling->count; i++) {
		enum page_state is = guest_memory_state(memory, sampling->pages[i], NULL);

		/* One that the guest gave up was not in use. */
		touched += is != PAGE_STATE_LEAVING && is != PAGE_STATE_UNTOUCHED;
	}
	if (touched > sampling->touched)
		sampling->cost.faults += touched - sampling->touched;
	sampling->touched = touched;
}

/* What the period that ends has cost, for each second of it. */
static void tell_rates(struct sampling *sampling, uint64_t ns)
{
	struct sampling_cost *cost = &sampling->cost, *before = &sampling->cost_before;

	ns = MAX(ns, 1U);
	cost->faults_per_1000_s = mul_div(cost->faults - before->faults, 1000 * NS_PER_SEC, ns);
	cost->ns_per_s =
		mul_div(clock_ns_from_tsc(cost->ticks - before->ticks), NS_PER_SEC, ns);
	*before = *cost;
}

static void end_period(struct sampling *sampling, struct guest_memory *memory, uint64_t now_ns)
{
	look(sampling, memory);
	estimate_end_period(&sampling->estimate, sampling->touched, sampling->count);
	for (unsigned int i = 0; i < sampling->count; i++)
		guest_memory_put_back(memory, sampling->pages[i]);
	tell_rates(sampling, now_ns - sampling->period_ns);
	sampling->count = 0;
	sampling->period_ns = 0;
}

static uint64_t step(struct sampling *sampling, struct guest_memory *memory, uint64_t period_ns,
	bool may_begin, uint64_t now_ns)
{
	if (sampling->watched && now_ns - sampling->period_ns >= period_ns)
		end_period(sampling, memory, now_ns);
	if (!sampling->period_ns && period_ns && may_begin)
		begin_period(sampling, memory, now_ns);
	if (sampling->watched && now_ns >= sampling->look_ns) {
		if (sampling->rescues != touches(memory))
			look(sampling, memory);
		estimate_running(&sampling->estimate, sampling->touched, sampling->count);
		sampling->look_ns = now_ns + LOOK_NS;
	}
	if (!sampling->period_ns)
		return period_ns ? now_ns + AGAIN_NS : 0;
	return MAX(sampling->period_ns + period_ns, now_ns + AGAIN_NS);
}

uint64_t sampling_step(struct sampling *sampling, struct guest_memory *memory, uint32_t period_s,
	bool may_begin, uint64_t now_ns)
{
	uint64_t began = clock_tsc();
	uint64_t again = step(sampling, memory, period_s * NS_PER_SEC, may_begin, now_ns);

	sampling->cost.ticks += clock_tsc() - began;
	return again;
}

void sampling_sealed(struct sampling *sampling, uint64_t ticks)
{
	sampling->sealed = sampling->period_ns != 0;
	sampling->cost.ticks += ticks;
}

void sampling_settled(struct sampling *sampling)
{
	sampling->watched = sampling->sealed;
}
