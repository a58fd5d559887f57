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

/* Forget what was seen: the next look is on all since the VM's start. */
void vm_load_forget(struct managed_vm *managed);
/* All zero for a VM that does not run. Boot CPU. */
void vm_load_take(struct managed_vm *managed, uint64_t now_ns, struct vm_load *load);

#endif
