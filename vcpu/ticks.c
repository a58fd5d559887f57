/* SPDX-License-Identifier: BSD-2-Clause */
/* Ticks owed to a guest; see vcpu/ticks.h. */
#include "vcpu/ticks.h"

#include "host/clock.h"

uint32_t ticks_owed_max(uint64_t period_ns)
{
	return MAX(TICKS_OWED_NS / MAX(period_ns, TICKS_OWED_PERIOD_MIN_NS), 1);
}

void ticks_owe(struct ticks *ticks, uint64_t count, uint64_t period_ns)
{
	uint32_t most = ticks_owed_max(period_ns);

	ticks->owed = MIN(ticks->owed + MIN(count, most), most);
}

uint64_t ticks_soonest_tsc(const struct ticks *ticks)
{
	return ticks->given_tsc + clock_tsc_from_ns(TICK_INTERVAL_MIN_NS);
}

bool ticks_give(struct ticks *ticks, uint64_t now_tsc)
{
	if (!ticks->owed || ticks->waiting || now_tsc < ticks_soonest_tsc(ticks))
		return false;
	ticks->owed--;
	ticks->waiting = true;
	ticks->given_tsc = now_tsc;
	return true;
}
