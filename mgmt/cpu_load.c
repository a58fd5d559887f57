/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/cpu_load.h"

#include "host/clock.h"
#include "host/cpu.h"

#define PERIOD_NS NS_PER_SEC

/* The two samples taken last: shares count from the older one. */
static struct {
	uint64_t at_tsc;
	uint64_t idle_tsc[CPU_MAX];
} samples[2];
static unsigned int newest;
static uint64_t due_ns;

uint64_t cpu_load_poll(void)
{
	uint64_t now_ns = clock_now_ns();

	if (now_ns < due_ns)
		return due_ns;
	due_ns = now_ns + PERIOD_NS;
	newest = !newest;
	samples[newest].at_tsc = clock_tsc();
	for (unsigned int id = 0; id < cpu_count(); id++)
		samples[newest].idle_tsc[id] = cpu_idle_tsc(cpu_by_id(id));
	return due_ns;
}

unsigned int cpu_load_percent(unsigned int id)
{
	uint64_t elapsed = clock_tsc() - samples[!newest].at_tsc;
	uint64_t idle = cpu_idle_tsc(cpu_by_id(id)) - samples[!newest].idle_tsc[id];

	/* The counters are not read all at once. */
	idle = MIN(idle, elapsed);
	return elapsed ? (unsigned int)mul_div(elapsed - idle, 100, elapsed) : 0;
}
