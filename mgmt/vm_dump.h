/* SPDX-License-Identifier: BSD-2-Clause */
/* What is left of a VM that Ballast had to stop: a block of text, for the log and `vm show`. */
#ifndef BALLAST_MGMT_VM_DUMP_H
#define BALLAST_MGMT_VM_DUMP_H

#include "vcpu/vm.h"

/*
 * The vCPUs' state and last exits, from `--- vm NAME: exit dump` to `--- end of dump`, into the log
 * and, as lines that end with '\n', into memory that the caller frees; NULL when there is none.
 * The VM has stopped and was not reset yet. Boot CPU.
 */
char *vm_dump_capture(struct vm *vm);

#endif
