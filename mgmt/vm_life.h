/* SPDX-License-Identifier: BSD-2-Clause */
/* What vms.c and vm_life.c ask of each other. Boot CPU. */
#ifndef BALLAST_MGMT_VM_LIFE_H
#define BALLAST_MGMT_VM_LIFE_H

#include "mgmt/vms.h"

/* The state line. It is shown whatever the guest did before: the log's own limits are passed by. */
void vm_tell(struct managed_vm *managed, const char *format, ...) __printf(2, 3);
/* Serve a VM that has stopped; it may be gone then. Returns when to call again; 0: no need. */
uint64_t vm_life_poll(struct managed_vm *managed, uint64_t now_ns);
/* Out of the list; the record is freed. It holds nothing any more. */
void vms_remove(struct managed_vm *managed);

#endif
