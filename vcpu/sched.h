/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which vCPU a CPU runs: a run queue for each CPU, round robin in fixed slices. A vCPU is placed
 * on a CPU when its VM starts and stays there. The queue's lock is a leaf but for timers.
 */
#ifndef BALLAST_VCPU_SCHED_H
#define BALLAST_VCPU_SCHED_H

#include "host/cpu_set.h"
#include "vcpu/sched_queue.h"
#include "vcpu/vcpu.h"

#define SCHED_NAME_BYTES 32 /* VM_NAME_BYTES */

/* How a VM shares the machine's time; the operator's choice. */
struct sched_params {
	uint32_t weight;      /* 1 .. SCHED_WEIGHT_MAX: of contended CPUs' time, against others' */
	uint32_t cap_percent; /* of one CPU, for all its vCPUs together; 0: no limit */
	struct cpu_set cpus;  /* where its vCPUs may run; ids that the machine lacks do not count */
};

/* What became of a vCPU's time since its VM was started; the three add up to the time since. */
struct sched_times {
	uint64_t run_ns;
	uint64_t steal_ns;  /* it could have run: it waited for a CPU, for its cap, or was paused */
	uint64_t halted_ns; /* it had nothing to do, or was not started by the guest */
};

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

/*
 * Set how a VM shares time, at once, whether it runs or not. -EINVAL, and nothing changes, when no
 * CPU that runs guests is in `cpus`, or a number is out of its range. Boot CPU.
 */
int sched_set(struct vm *vm, const struct sched_params *params) __must_check;
void sched_get(const struct vm *vm, struct sched_params *params);

/*
 * Take a running VM's vCPUs off their CPUs, soon, and keep them off until sched_resume(). Real time
 * goes on for the guest: what it missed counts as stolen. Boot CPU.
 */
void sched_pause(struct vm *vm);
void sched_resume(struct vm *vm);

/* Any CPU. */
void sched_times(const struct vcpu *vcpu, struct sched_times *times);

/*
 * The running vCPU spins, or says that it waits for `target` (NULL: unknown, another of its VM that
 * could run): let that one run first if it waits for a CPU. Own CPU; takes effect at the end of
 * the exit.
 */
void sched_yield_to(struct vcpu *vcpu, struct vcpu *target);

/* Who runs there now: a copy, for the VM may be gone soon. False: nobody. Any CPU. */
struct sched_occupant {
	char vm_name[SCHED_NAME_BYTES];
	unsigned int vcpu_id;
};
bool sched_occupant(const struct cpu *cpu, struct sched_occupant *out);

/* vCPUs placed on this CPU, for the console. */
unsigned int sched_placed(const struct cpu *cpu);

#endif
