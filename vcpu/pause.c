/* SPDX-License-Identifier: BSD-2-Clause */
/* Loops of PAUSE; see vcpu/pause.h. */
#include "vcpu/pause.h"

#include "vcpu/sched.h"
#include "vcpu/vm.h"

/* So many exits are a loop: some microseconds, as with the hardware's filters. */
#define PAUSES_OF_A_LOOP 8

/* It could run, and does not. A guess: it may change at any time. */
static bool waits_for_cpu(const struct vcpu *vcpu)
{
	const struct cpu *cpu = __atomic_load_n(&vcpu->cpu, __ATOMIC_RELAXED);

	return __atomic_load_n(&vcpu->state, __ATOMIC_RELAXED) == VCPU_RUNNABLE && cpu &&
		__atomic_load_n(&cpu->running, __ATOMIC_RELAXED) != vcpu;
}

static bool sister_waits(const struct vcpu *vcpu)
{
	const struct vm *vm = vcpu->vm;

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		if (vm->vcpus[i] != vcpu && waits_for_cpu(vm->vcpus[i]))
			return true;
	}
	return false;
}

void pause_scheduled(struct vcpu *vcpu)
{
	if (vcpu->vm->vcpu_count == 1 || !hw->pause_exits)
		return;
	vcpu->pauses_left = hw->pause_exits(vcpu, sister_waits(vcpu)) ? PAUSES_OF_A_LOOP : 0;
}

enum exit_action exit_pause(struct vcpu *vcpu)
{
	if (vcpu->pauses_left && --vcpu->pauses_left)
		return ACTION_ADVANCE;
	sched_yield_to(vcpu, NULL);
	if (__atomic_load_n(&vcpu->requests, __ATOMIC_RELAXED) & REQUEST_PREEMPT)
		vcpu->pause_yields++;
	else if (hw->pause_exits)
		(void)hw->pause_exits(vcpu, false); /* nobody to yield to: until the next turn */
	return ACTION_ADVANCE;
}
