/* SPDX-License-Identifier: BSD-2-Clause */
/* Generations of second-level translations, and the shootdown; see vcpu/tlb.h. */
#include "vcpu/tlb.h"

#include "host/cpu.h"
#include "host/memory.h"
#include "vcpu/vm.h"

int tlb_init(struct vm *vm)
{
	vm->tlb.generation = 1;
	if (hw->tlb_by_tag)
		return 0;
	vm->tlb.seen = heap_alloc(cpu_count() * sizeof(*vm->tlb.seen), FRAME_VM);
	return vm->tlb.seen ? 0 : -ENOMEM;
}

void tlb_destroy(struct vm *vm)
{
	heap_free(vm->tlb.seen);
}

void tlb_changed(struct vm *vm)
{
	__atomic_fetch_add(&vm->tlb.generation, 1, __ATOMIC_SEQ_CST);
}

void tlb_catch_up(struct vcpu *vcpu)
{
	struct vm_tlb *tlb = &vcpu->vm->tlb;
	uint64_t now = __atomic_load_n(&tlb->generation, __ATOMIC_SEQ_CST);
	uint64_t seen = tlb->seen ? tlb->seen[this_cpu()->id] : vcpu->tlb_seen;

	if (seen != now)
		hw->flush_tlb(vcpu, TLB_SECOND_LEVEL);
	if (tlb->seen)
		tlb->seen[this_cpu()->id] = now;
	__atomic_store_n(&vcpu->tlb_seen, now, __ATOMIC_RELEASE);
}

/* In the guest, perhaps with translations older than `generation`. */
static bool uses_older(const struct vcpu *vcpu, uint64_t generation)
{
	return __atomic_load_n(&vcpu->in_guest, __ATOMIC_SEQ_CST) &&
		__atomic_load_n(&vcpu->tlb_seen, __ATOMIC_ACQUIRE) < generation;
}

/*
 * The request first, then a look at in_guest; vcpu_begin_guest() does it the other way round. So a
 * vCPU that is not seen in the guest here sees the request there.
 */
void vm_shootdown(struct vm *vm)
{
	uint64_t generation = __atomic_add_fetch(&vm->tlb.generation, 1, __ATOMIC_SEQ_CST);

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];

		__atomic_fetch_or(&vcpu->requests, REQUEST_TLB_SECOND_LEVEL, __ATOMIC_SEQ_CST);
		/* It may leave the guest, and its CPU, at any time: one interrupt too many. */
		if (uses_older(vcpu, generation))
			cpu_poke(__atomic_load_n(&vcpu->cpu, __ATOMIC_RELAXED));
	}
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		while (uses_older(vm->vcpus[i], generation))
			__builtin_ia32_pause();
	}
}
