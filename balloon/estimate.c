/* SPDX-License-Identifier: BSD-2-Clause */
/* The working-set estimate: moving averages, and the choice of pages. */
#include "balloon/estimate.h"

/* The weight of a new period, in 64ths. */
#define FAST_GAIN 48
#define SLOW_GAIN 12
#define GAIN_ONE 64

static uint32_t average(uint32_t old, uint32_t value, int gain)
{
	int difference = (int)value - (int)old;

	return (uint32_t)((int)old + difference * gain / GAIN_ONE);
}

static uint32_t part_of(unsigned int touched, unsigned int samples)
{
	return samples ? MIN(touched, samples) * ESTIMATE_ONE / samples : 0;
}

void estimate_running(struct estimate *estimate, unsigned int touched, unsigned int samples)
{
	uint32_t value = average(estimate->fast, part_of(touched, samples), FAST_GAIN);

	estimate->running = MAX(value, estimate->fast);
}

void estimate_end_period(struct estimate *estimate, unsigned int touched, unsigned int samples)
{
	uint32_t value = part_of(touched, samples);

	if (!samples)
		return;
	estimate->fast = estimate->periods ? average(estimate->fast, value, FAST_GAIN) : value;
	estimate->slow = estimate->periods ? average(estimate->slow, value, SLOW_GAIN) : value;
	estimate->running = estimate->fast;
	if (estimate->periods != UINT32_MAX)
		estimate->periods++;
}

uint64_t estimate_active_pages(const struct estimate *estimate, uint64_t pages)
{
	uint32_t part = MAX(MAX(estimate->fast, estimate->slow), estimate->running);

	return estimate->periods ? mul_div(pages, part, ESTIMATE_ONE) : pages;
}

/* SplitMix64: one step of its state, scrambled. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static bool is_chosen(const uint64_t *chosen, unsigned int count, uint64_t number)
{
	while (count)
		if (chosen[--count] == number)
			return true;
	return false;
}

/* R. W. Floyd's: one draw for each, none of them in vain. */
unsigned int estimate_choose(uint64_t *random, uint64_t pages, uint64_t *chosen, unsigned int count)
{
	count = (unsigned int)MIN(count, pages);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t last = pages - count + i;
		uint64_t number = next_random(random) % (last + 1);

		chosen[i] = is_chosen(chosen, i, number) ? last : number;
	}
	return count;
}
