/* SPDX-License-Identifier: BSD-2-Clause */
/* See vcpu/sched_cap.h. */
#include "vcpu/sched_cap.h"

#define SCALE_SHIFT 16

void sched_cap_set(struct sched_cap *cap, uint32_t percent)
{
	uint64_t quantum = SCHED_CAP_TOLERANCE_NS / 100 * percent;

	/* The operator's new choice begins now, whatever was owed. */
	__atomic_store_n(&cap->full_ns, 0, __ATOMIC_RELAXED);
	if (!percent) {
		__atomic_store_n(&cap->quantum_ns, 0, __ATOMIC_RELAXED);
		return;
	}
	quantum = MIN(MAX(quantum, SCHED_CAP_QUANTUM_MIN_NS), SCHED_CAP_QUANTUM_NS);
	__atomic_store_n(&cap->scale, (100U << SCALE_SHIFT) / percent, __ATOMIC_RELAXED);
	__atomic_store_n(&cap->quantum_ns, (uint32_t)quantum, __ATOMIC_RELAXED);
}

uint64_t sched_cap_reserve(struct sched_cap *cap, uint64_t now_ns, uint64_t *again_ns)
{
	uint64_t quantum = __atomic_load_n(&cap->quantum_ns, __ATOMIC_RELAXED);
	uint64_t scale = __atomic_load_n(&cap->scale, __ATOMIC_RELAXED);
	uint64_t full = __atomic_load_n(&cap->full_ns, __ATOMIC_RELAXED), after;

	do {
		/* Signed: what goes back from before sched_cap_set() may take it below 0. */
		if ((int64_t)(full - now_ns) > (int64_t)SCHED_CAP_TOLERANCE_NS) {
			*again_ns = full - SCHED_CAP_TOLERANCE_NS;
			return 0;
		}
		after = (int64_t)(full - now_ns) > 0 ? full : now_ns;
		after += quantum * scale >> SCALE_SHIFT;
	} while (!__atomic_compare_exchange_n(
		&cap->full_ns, &full, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return quantum;
}

void sched_cap_settle(struct sched_cap *cap, uint64_t reserved_ns, uint64_t used_ns)
{
	uint64_t scale = __atomic_load_n(&cap->scale, __ATOMIC_RELAXED);

	if (used_ns > reserved_ns)
		__atomic_fetch_add(&cap->full_ns, (used_ns - reserved_ns) * scale >> SCALE_SHIFT,
			__ATOMIC_RELAXED);
	else
		__atomic_fetch_sub(&cap->full_ns, (reserved_ns - used_ns) * scale >> SCALE_SHIFT,
			__ATOMIC_RELAXED);
}
