/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory economy: it watches what guests use, decides by policy who may have how much, and
 * takes what has to be taken: by balloons, by sharing equal pages, by compressing pages that nobody
 * touches. Guests wait for memory when there is none; none is ever stopped for it.
 *
 * A VM takes part when less than all of its memory is guaranteed (`min` below `memory`); from one
 * that does not, nothing is taken but what it gives itself.
 *
 * The rules are policy_settings. All of it runs on the boot CPU, in economy_poll(), in steps of
 * some hundred microseconds; what other CPUs need at once (a compressed page, a broken sharing)
 * they do themselves.
 */
#ifndef BALLAST_BALLOON_ECONOMY_H
#define BALLAST_BALLOON_ECONOMY_H

#include "balloon/memory_view.h"
#include "vcpu/vm.h"

/* What the owner says of a VM. */
struct economy_terms {
	uint64_t min_pages;    /* guaranteed */
	uint64_t memory_pages; /* that it may use now; the rest of its RAM is its balloon's */
	uint32_t shares;
	uint64_t group;        /* trust group: contents are shared within; 0: within the VM alone */
};

/* -ENOMEM. Boot CPU, once, with all CPUs online. */
int economy_init(void) __must_check;

/* A VM that has been built and does not run yet; -ENOMEM, -ENOSPC. Before its memory is touched. */
int economy_add(struct vm *vm, const struct economy_terms *terms) __must_check;
void economy_set_terms(struct vm *vm, const struct economy_terms *terms);
/* It is about to be destroyed; nothing happens if it was never added. */
void economy_remove(struct vm *vm);

/*
 * A VM is about to start, and `pages` are guaranteed to it: are they free, beside what is promised
 * to others? If not they are had back from those who have more than they are guaranteed: ask again
 * in a while, within ECONOMY_ROOM_NS, until they are. True also where nobody has such. Boot CPU.
 */
#define ECONOMY_ROOM_NS NS_PER_SEC
bool economy_make_room(uint64_t pages);

/* Do what is due. When to come again, in nanoseconds since the start; 0: when something changes. */
uint64_t economy_poll(void);

void economy_view(struct memory_view *view);
/* False: it was never added. */
bool economy_view_vm(const struct vm *vm, struct vm_memory_view *view);

#endif
