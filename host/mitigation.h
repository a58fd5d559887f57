/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mitigations of host/mitigation_plan.h as they are carried out. When which is due:
 *
 *	ibpb  vcpu_load(), when the CPU's last guest was another VM's
 *	ibrs  once on each CPU; on old CPUs set after each exit and cleared before each entry
 *	rsb   after each exit, before the host's first RET
 *	verw  before each entry, after the host's last access to memory
 *	l1d   before an entry since whose last the CPU did more than to serve the guest's exits: it
 *	      came to the vCPU anew, or served an interrupt of the host
 *
 * What is due at each entry or exit is done by entry code of its own (host/mitigation_entry.inc),
 * which the vendors choose when they load a vCPU: nothing is tested where nothing is due.
 */
#ifndef BALLAST_HOST_MITIGATION_H
#define BALLAST_HOST_MITIGATION_H

#include "host/cpu.h"
#include "host/mitigation_plan.h"

extern struct mitigation_plan mitigation_plan; /* [I] after mitigation_init() */

/* STEP_... of host/mitigation.inc: what is due at each entry or exit. [a] */
extern uint32_t mitigation_steps;
/* [a] Grows with each change; a CPU behind it calls mitigation_follow(). */
extern uint32_t mitigation_generation;

/* Decide by the boot CPU: once, there. */
void mitigation_init(void);
/* The calling CPU has the same controls, and they are set. -ENOTSUP after a log line. */
int mitigation_init_cpu(struct cpu *cpu) __must_check;

static inline bool mitigation_changed(const struct cpu *cpu)
{
	return cpu->mitigation_generation !=
		__atomic_load_n(&mitigation_generation, __ATOMIC_RELAXED);
}
/* Bring the calling CPU's MSRs in line; no guest's state is loaded. */
void mitigation_follow(struct cpu *cpu);
/* The calling CPU is about to load the state of a guest of VM number `domain`. */
void mitigation_enter_domain(struct cpu *cpu, uint64_t domain);

/*
 * The operator's choice; -ENOTSUP for what the CPU cannot do. It holds on a CPU from the next time
 * that it takes up a vCPU. Boot CPU.
 */
int mitigation_set(enum mitigation which, enum mitigation_mode mode) __must_check;
bool mitigation_is_on(enum mitigation which);
/* How often, on all CPUs. */
uint64_t mitigation_count(enum mitigation which);

#endif
