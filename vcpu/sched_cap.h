/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM's cap, policy only: a leaky bucket in one atomic number, for all its vCPUs on all CPUs.
 * `full_ns` is when all the time that was handed out will have been earned; a vCPU may have more
 * as long as that lies no further ahead than the tolerance. What was handed out and not used goes
 * back; what was used beyond it is owed, so in the long run the cap is exact.
 */
#ifndef BALLAST_VCPU_SCHED_CAP_H
#define BALLAST_VCPU_SCHED_CAP_H

#include "lib/util.h"

#define SCHED_CAP_TOLERANCE_NS (20 * NS_PER_MS)
#define SCHED_CAP_QUANTUM_NS (5 * NS_PER_MS)
#define SCHED_CAP_QUANTUM_MIN_NS NS_PER_MS

struct sched_cap {
	uint64_t full_ns;    /* [a] */
	uint32_t scale;      /* [a] ns of the bucket for one ns of run time, 16 fractional bits */
	uint32_t quantum_ns; /* [a] handed out at once; 0: no cap */
};

/* In percent of one CPU; 0: no limit. Any CPU, at any time. */
void sched_cap_set(struct sched_cap *cap, uint32_t percent);
static inline bool sched_cap_limits(const struct sched_cap *cap)
{
	return __atomic_load_n(&cap->quantum_ns, __ATOMIC_RELAXED) != 0;
}
/* Time to run, in ns; 0: none before `*again_ns`. */
uint64_t sched_cap_reserve(struct sched_cap *cap, uint64_t now_ns, uint64_t *again_ns);
/* Of what was reserved, so much was used. */
void sched_cap_settle(struct sched_cap *cap, uint64_t reserved_ns, uint64_t used_ns);

#endif
