/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_clock.h. */
#include "test/unit/fake_clock.h"

#undef NDEBUG /* its checks are part of the tests, in every kind of build */
#include <assert.h>
#include <string.h>

#define START_TSC 1000000007ULL
#define TIMERS 64

uint64_t clock_tsc_hz = FAKE_TSC_HZ;

static uint64_t now_tsc, wall_start_ns;
static struct timer *armed[TIMERS];
static unsigned int expiries;
static char some_cpu; /* only its address is used: a timer in a queue names a CPU */

uint64_t clock_tsc(void)
{
	return now_tsc;
}

uint64_t clock_ns_from_tsc(uint64_t tsc)
{
	return mul_div(tsc, NS_PER_SEC, FAKE_TSC_HZ);
}

uint64_t clock_tsc_from_ns(uint64_t ns)
{
	/* As host/clock.c: what does not fit 64 bits is as far away as can be said. */
	if (ns / NS_PER_SEC >= ~0ULL / FAKE_TSC_HZ)
		return ~0ULL;
	return mul_div(ns, FAKE_TSC_HZ, NS_PER_SEC);
}

void clock_wait(uint64_t ns)
{
	fake_clock_stall(ns);
}

uint64_t clock_wall_ns(void)
{
	return wall_start_ns + clock_ns_from_tsc(now_tsc - START_TSC);
}

static unsigned int slot_of(const struct timer *timer)
{
	unsigned int i = 0;

	while (i < TIMERS && armed[i] != timer)
		i++;
	return i;
}

void timer_init(struct timer *timer, void (*expired)(struct timer *))
{
	*timer = (struct timer){ .expired = expired };
}

void timer_set(struct timer *timer, uint64_t deadline_tsc)
{
	unsigned int slot = slot_of(timer);

	assert(timer->expired);
	if (slot == TIMERS)
		slot = slot_of(NULL);
	assert(slot < TIMERS);
	armed[slot] = timer;
	timer->node.key = deadline_tsc;
	timer->cpu = (struct cpu *)&some_cpu;
}

void timer_cancel(struct timer *timer)
{
	unsigned int slot = slot_of(timer);

	if (slot < TIMERS)
		armed[slot] = NULL;
	timer->cpu = NULL;
}

void fake_clock_reset(uint64_t wall_ns)
{
	now_tsc = START_TSC;
	wall_start_ns = wall_ns;
	memset(armed, 0, sizeof(armed));
	expiries = 0;
}

static struct timer *earliest(void)
{
	struct timer *first = NULL;

	for (unsigned int i = 0; i < TIMERS; i++) {
		if (armed[i] && (!first || armed[i]->node.key < first->node.key))
			first = armed[i];
	}
	return first;
}

void fake_clock_advance(uint64_t ns)
{
	uint64_t target = now_tsc + clock_tsc_from_ns(ns);
	struct timer *timer;

	while ((timer = earliest()) && timer->node.key <= target) {
		if (now_tsc < timer->node.key)
			now_tsc = timer->node.key;
		timer_cancel(timer);
		expiries++;
		timer->expired(timer);
	}
	now_tsc = target;
}

void fake_clock_stall(uint64_t ns)
{
	now_tsc += clock_tsc_from_ns(ns);
}

unsigned int fake_clock_expiries(void)
{
	return expiries;
}

unsigned int fake_clock_armed(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < TIMERS; i++)
		count += armed[i] != NULL;
	return count;
}
