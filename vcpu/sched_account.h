/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a vCPU's time went. Each change of state adds the time since the last one to one of three
 * sums, so they add up to the time since the start, to the nanosecond. One writer at a time, under
 * the lock of the vCPU's queue; readers on any CPU, without.
 */
#ifndef BALLAST_VCPU_SCHED_ACCOUNT_H
#define BALLAST_VCPU_SCHED_ACCOUNT_H

#include "lib/util.h"

enum sched_time { SCHED_TIME_RUN, SCHED_TIME_STEAL, SCHED_TIME_HALTED, SCHED_TIME_KINDS };

struct sched_account {
	uint32_t sequence; /* [a] odd while the rest changes */
	uint32_t kind;     /* [a] what counts now; SCHED_TIME_KINDS: nothing */
	uint64_t since_ns; /* [a] up to then it is in the sums */
	uint64_t sums_ns[SCHED_TIME_KINDS]; /* [a] */
};

/* From now on, from zero. */
void sched_account_start(struct sched_account *account, enum sched_time kind, uint64_t now_ns);
/* From now on it is this kind; SCHED_TIME_KINDS ends it. */
void sched_account_change(struct sched_account *account, enum sched_time kind, uint64_t now_ns);
/* The sums as of now. Any CPU. */
void sched_account_read(const struct sched_account *account, uint64_t now_ns,
	uint64_t sums_ns[SCHED_TIME_KINDS]);

#endif
