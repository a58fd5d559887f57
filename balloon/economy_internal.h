/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the economy share: economy.c, who takes part and whose turn it is;
 * economy_policy.c, who may have how much; economy_view.c, what is shown. Boot CPU.
 */
#ifndef BALLAST_BALLOON_ECONOMY_INTERNAL_H
#define BALLAST_BALLOON_ECONOMY_INTERNAL_H

#include "balloon/cycle.h"

struct economy_pool {
	struct vm_economy *guests[POLICY_GUESTS_MAX];
	unsigned int count;
	bool watches;                     /* somebody takes part and runs */
	enum policy_state state;
	uint64_t state_ns[POLICY_STATES];
	uint64_t since_ns;                /* since then it has not been counted */
	/* In the worst state: when nobody has enough beyond its target, all give more than that. */
	uint64_t missing_pages;
	/* For a VM that starts when they are there. */
	uint64_t room_pages, room_until_ns;
};

extern struct economy_pool pool;

static inline bool economy_runs(const struct vm_economy *economy)
{
	return economy->vm->state == VM_RUNNING &&
		__atomic_load_n(&economy->vm->stop, __ATOMIC_ACQUIRE) == VM_STOP_NONE;
}

/* The state, and each guest's target, balloon and limits. */
void economy_policy_step(uint64_t now_ns);
/* Nobody takes part any more: all that runs has what it is guaranteed. */
void economy_relax(void);
/* The balloon gets what is its own when nothing is short. */
void economy_reset_balloon(struct vm_economy *economy);
/* How many pages the VM is to lose by other means than its balloon. */
uint64_t economy_wanted_pages(const struct vm_economy *economy, uint64_t now_ns);

#endif
