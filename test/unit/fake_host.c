/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of the host tests take as it comes: memory from the C library, a TSC that counts nanoseconds
 * (clock_tsc() is the test's own), a watchdog that answers at once.
 */
#include <stdlib.h>

#include "host/clock.h"
#include "host/memory.h"
#include "host/watchdog.h"

uint64_t clock_tsc_hz = NS_PER_SEC;

uint64_t clock_ns_from_tsc(uint64_t tsc)
{
	return tsc;
}

uint64_t clock_tsc_from_ns(uint64_t ns)
{
	return ns;
}

void *heap_alloc(size_t bytes, enum frame_use use)
{
	(void)use;
	return calloc(1, bytes);
}

void heap_free(void *object)
{
	free(object);
}

void watchdog_call(struct cpu *cpu)
{
	cpu->unwatched = false;
}
