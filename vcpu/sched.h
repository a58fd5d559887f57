/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which vCPU a CPU runs: a run queue for each CPU, round robin in fixed slices. A vCPU is placed
 * on a CPU when its VM starts and stays there. The queue's lock is a leaf but for timers.
 */
#ifndef BALLAST_VCPU_SCHED_H
#define BALLAST_VCPU_SCHED_H

#include "vcpu/vcpu.h"

/* After cpu_count() is final; -ENOMEM. */
int sched_init(void) __must_check;

/*
 * Run one vCPU for one slice, or idle until an interrupt, and return: at once when cpu_kick() was
 * called. The boot CPU calls it in turn with the operator's business.
 */
void sched_run(struct cpu *cpu);
/* What all other CPUs do for ever. */
void sched_cpu_loop(void) __noreturn;

/* This CPU can run guests: from now on vCPUs may be placed on it. Any CPU. */
void sched_open(struct cpu *cpu);

/*
 * Choose a CPU for a vCPU that does not run: of those that are open the one with the fewest. The
 * boot CPU is open always.
 */
void sched_place(struct vcpu *vcpu);
/* The vCPU stopped for good: it no longer counts on its CPU. */
void sched_unplace(struct vcpu *vcpu);

/* Into the queue of its CPU, if it is not there; any CPU. */
void sched_wake(struct vcpu *vcpu);
/*
 * The running vCPU waits in `state`; false, and nothing changes, when a request came meanwhile.
 * Own CPU.
 */
bool sched_block(struct vcpu *vcpu, enum vcpu_state state);

/* vCPUs placed on this CPU, for the console. */
unsigned int sched_placed(const struct cpu *cpu);

#endif
