/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM did since it was looked at last: its share of the CPUs, and why it left them. */
#ifndef BALLAST_MGMT_VM_LOAD_H
#define BALLAST_MGMT_VM_LOAD_H

#include "mgmt/vms.h"

#define VM_LOAD_KINDS 3

struct vm_load {
	unsigned int run_percent;   /* of one CPU: of all vCPUs together */
	unsigned int steal_percent; /* likewise */
	/* The commonest kinds of exits, the first most; a rate of 0: there are no more. */
	enum exit_kind kinds[VM_LOAD_KINDS];
	uint64_t exits_per_second[VM_LOAD_KINDS];
};

/* Exits of all vCPUs since the VM's start, added to `counts`. Some of just now may be missing. */
void vm_load_add_exits(const struct vm *vm, uint64_t counts[EXIT_KINDS]);
/* The kind with the highest count; of equals the first. */
enum exit_kind vm_load_commonest(const uint64_t counts[EXIT_KINDS]);

/* Forget what was seen: the next look is on all since the VM's start. */
void vm_load_forget(struct managed_vm *managed);
/* All zero for a VM that does not run. Boot CPU. */
void vm_load_take(struct managed_vm *managed, uint64_t now_ns, struct vm_load *load);

#endif
