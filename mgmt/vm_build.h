/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From configuration to a VM with memory, devices and console, and back. Only vms.c and vm_life.c.
 * Boot CPU.
 */
#ifndef BALLAST_MGMT_VM_BUILD_H
#define BALLAST_MGMT_VM_BUILD_H

#include "mgmt/vms.h"

/*
 * What is guaranteed to all that run, and to this one with such a configuration, must be there. 0,
 * or -ENOMEM with half a sentence.
 */
int vm_build_admit(const struct managed_vm *managed, const struct vm_config *config, char *why,
	size_t size) __must_check;
struct loader_files;
/*
 * Is free what is guaranteed to it, and what loading it takes? If not, it is had back from others:
 * ask again soon. `why` holds half a sentence then.
 */
bool vm_build_has_room(const struct managed_vm *managed, const struct loader_files *files,
	char *why, size_t size);
/* managed->vm is NULL before. 0, or -E... with half a sentence and nothing left behind. */
int vm_build(struct managed_vm *managed, char *why, size_t size) __must_check;
/* What the VM may use now is what its configuration says. The VM is there. */
void vm_build_set_memory(struct managed_vm *managed);
/*
 * All that the VM holds is given back but what its disks have of their own; it may hold nothing. It
 * does not run.
 */
void vm_unbuild(struct managed_vm *managed);

#endif
