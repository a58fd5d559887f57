/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watching some pages of one VM, for its estimate: they are taken away for a period, and each that
 * is touched meanwhile comes back by a fault. What that costs is counted. Boot CPU.
 */
#ifndef BALLAST_BALLOON_SAMPLING_H
#define BALLAST_BALLOON_SAMPLING_H

#include "balloon/estimate.h"
#include "balloon/memory_view.h"
#include "ept/guest_reclaim.h"

struct sampling {
	struct estimate estimate;
	uint64_t random;                 /* the generator's state; set once, to any value */
	gpa_t pages[ESTIMATE_SAMPLES];   /* that are watched */
	unsigned int count, touched;
	uint64_t period_ns;              /* when the running period began; 0: none runs */
	uint64_t look_ns;                /* when they are looked at next, */
	uint64_t rescues;                /* if more were touched than so many, ever */
	bool sealed;                     /* they were taken before the last grace period */
	bool watched;                    /* and it is over */
	struct sampling_cost cost;
	struct sampling_cost cost_before; /* when the running period began */
};

/* Forget all but the generator: the VM's memory is new. */
void sampling_reset(struct sampling *sampling);

/*
 * Begin and end periods of so many seconds, and look at what is touched meanwhile; with 0 none
 * begins, and one that runs ends. `may_begin`: nothing else waits for a grace period. When to come
 * again, 0: not for now.
 */
uint64_t sampling_step(struct sampling *sampling, struct guest_memory *memory, uint32_t period_s,
	bool may_begin, uint64_t now_ns);

/* Pages were taken for which no grace period has begun. */
static inline bool sampling_waits(const struct sampling *sampling)
{
	return sampling->period_ns && !sampling->sealed;
}

/* One has begun, which took so many ticks of the TSC; 0 if it was for others, too. */
void sampling_sealed(struct sampling *sampling, uint64_t ticks);
/* And it is over. */
void sampling_settled(struct sampling *sampling);

#endif
