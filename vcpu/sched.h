/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which vCPU a CPU runs. Each CPU has a run queue of its own; vcpu/sched_queue.h says who is next
 * there. A vCPU stays where it is while that is well: it goes to an idle CPU when it wakes or
 * waits, and now and then to one with less to do. Queues' locks are leaves but for timers.
 */
#ifndef BALLAST_VCPU_SCHED_H
#define BALLAST_VCPU_SCHED_H

#include "host/cpu_set.h"
#include "vcpu/sched_queue.h"
#include "vcpu/vcpu.h"

#define VM_NAME_BYTES 32 /* with its end; here, because vcpu/vm.h includes this */

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
 * [I] set before there are VMs: one that may run on all CPUs stays off the boot CPU, if there are
 * two others and they are ready by then.
 */
extern bool sched_spares_boot_cpu;

/* A VM's part of the scheduler, with the standard parameters; -ENOMEM. */
int sched_vm_init(struct vm *vm) __must_check;
/* Also of one for which sched_vm_init() failed, or was not called. */
void sched_vm_destroy(struct vm *vm);
/* It starts: each vCPU gets a CPU, and its times begin; none may have been woken yet. Boot CPU. */
void sched_vm_start(struct vm *vm);
/* It is to stop, as vm->stop says: nothing keeps its vCPUs from running to that end. Any CPU. */
void sched_release(struct vm *vm);

/*
 * Choose a CPU for a vCPU that does not run: of those where its VM may run and that are open, the
 * one with the fewest. The boot CPU is open always.
 */
void sched_place(struct vcpu *vcpu);
/* The running vCPU stops for good, and is put already: it no longer counts on its CPU. */
void sched_unplace(struct vcpu *vcpu);

/* Let it run if it is blocked: on its CPU or, when that is busy, on an idle one. Any CPU. */
void sched_wake(struct vcpu *vcpu);
/*
 * The running vCPU waits in `state`: true when it has left its CPU. False: it runs on, because a
 * request came meanwhile, or because it was alone here and an interrupt of this CPU has woken it.
 * That may have kicked the CPU as well: cpu->kick tells. Own CPU.
 */
bool sched_block(struct vcpu *vcpu, enum vcpu_state state);

/*
 * Set how a VM shares time, at once, whether it runs or not. -EINVAL, and nothing changes, when no
 * CPU that runs guests is in `cpus`, or a number is out of its range. Boot CPU.
 */
int sched_set(struct vm *vm, const struct sched_params *params) __must_check;
void sched_get(const struct vm *vm, struct sched_params *params);

/*
 * Take a running VM's vCPUs off their CPUs, soon, and keep them off until sched_resume(), or until
 * it is to stop. Real time goes on for the guest: what it missed counts as stolen. Boot CPU.
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
	char vm_name[VM_NAME_BYTES];
	unsigned int vcpu_id;
};
bool sched_occupant(const struct cpu *cpu, struct sched_occupant *out);

/* vCPUs placed on this CPU, for the console. */
unsigned int sched_placed(const struct cpu *cpu);

#endif
