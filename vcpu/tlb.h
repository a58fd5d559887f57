/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cached translations: when they are flushed, and which. There are two kinds.
 *
 * The guest's own (TLB_GUEST) come from its page tables. They are tagged by a number that the vCPU
 * has on the CPU where it runs, a VPID or an ASID: struct tlb_tags hands them out. The guest
 * flushes them itself, without an exit, but only where it runs; so a vCPU that ran elsewhere takes
 * a new tag.
 *
 * Second-level ones (TLB_SECOND_LEVEL) come from the VM's tables, which Ballast changes. Filling in
 * what was not there needs no flush, for neither vendor caches that. All else makes a new
 * `generation`, and nobody enters the guest on a CPU that has not flushed since the newest one:
 * tlb_catch_up() compares when a vCPU is loaded and when it is asked to.
 *
 * Pages that go to another owner. A VM's first vCPU on a CPU finds that the CPU has seen none of
 * its generations (SVM: that it has no tag), and flushes: so a table that lies where another VM's
 * root was, or a new vCPU, never meets what was cached before it. A VM that has stopped flushes
 * nothing: nothing runs with its root or its tags, so nothing is fetched through them until the
 * next owner has flushed. Memory of a VM that runs may be used for something else only after
 * vm_shootdown().
 */
#ifndef BALLAST_VCPU_TLB_H
#define BALLAST_VCPU_TLB_H

#include "lib/util.h"

struct vcpu;
struct vm;

enum tlb_scope {
	TLB_GUEST,        /* what one vCPU cached of the guest's own page tables */
	TLB_SECOND_LEVEL, /* what this CPU cached of the VM's second-level tables, and with them */
};

/* Of a VM. */
struct vm_tlb {
	uint64_t generation; /* [a] counts up when translations were taken away; not 0 */
	/*
	 * [I] a number for each CPU, own CPU only: the generation that it has seen, 0 at first.
	 * NULL where second-level translations belong to the vCPU's tag (hw->tlb_by_tag).
	 */
	uint64_t *seen;
};

/* Before the first vCPU; -ENOMEM. */
int tlb_init(struct vm *vm) __must_check;
void tlb_destroy(struct vm *vm);

/* Second-level translations were taken away while no vCPU of the VM runs. */
void tlb_changed(struct vm *vm);

/*
 * Second-level translations were taken away from a VM that may run: when this returns, no CPU uses
 * them any more, nor will. It waits for vCPUs that are in the guest to leave it, and for nothing
 * else: those that do not run, or whose exit is being handled, flush before they enter. So it may
 * be called with any lock held, also from an exit handler of one of the VM's own vCPUs. Any CPU;
 * the tables have been changed before, and the VM is not destroyed meanwhile.
 */
void vm_shootdown(struct vm *vm);

/*
 * Flush what this CPU has cached of older generations, if it has. Own CPU, vCPU loaded and not in
 * the guest.
 */
void tlb_catch_up(struct vcpu *vcpu);

/*
 * The tags of one CPU: 1 to limit - 1, handed out in turn. When they are used up, a generation
 * ends: all that this CPU has cached under any tag is flushed, and whoever has a tag of an older
 * generation must take a new one. Own CPU.
 */
struct tlb_tags {
	uint64_t generation; /* not 0 */
	uint32_t next;
	uint32_t limit;
};

/* A vCPU's tag on the CPU that it ran on last. */
struct tlb_tag {
	uint64_t generation; /* 0: it has none */
	uint32_t number;
};

static inline void tlb_tags_init(struct tlb_tags *tags, uint32_t limit)
{
	*tags = (struct tlb_tags){ .generation = 1, .next = 1, .limit = limit };
}

/* True: a new generation has begun, and the caller flushes what is cached under every tag. */
static inline bool tlb_tag_take(struct tlb_tags *tags, struct tlb_tag *tag)
{
	bool flush = tags->next >= tags->limit;

	if (flush) {
		tags->generation++;
		tags->next = 1;
	}
	*tag = (struct tlb_tag){ .generation = tags->generation, .number = tags->next++ };
	return flush;
}

static inline bool tlb_tag_holds(const struct tlb_tags *tags, const struct tlb_tag *tag)
{
	return tag->generation == tags->generation;
}

#endif
