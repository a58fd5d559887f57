/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest's serial port and the ports of its virtio console lead to: COM1 and hvc0 each to a
 * port of the console, `org.ballast.log` to Ballast's log. Boot CPU.
 */
#ifndef BALLAST_MGMT_VM_CONSOLE_H
#define BALLAST_MGMT_VM_CONSOLE_H

#include "mgmt/vms.h"

/* Of a VM that has its platform. -ENOMEM, -ENOSPC. */
int vm_console_connect(struct managed_vm *managed) __must_check;
/* Before the VM is destroyed; also when connecting it failed. */
void vm_console_disconnect(struct managed_vm *managed);
/* The names that the ports show have changed place. */
void vm_console_rename(struct managed_vm *managed);
/* The VM has stopped: take what its devices still hold; it has ended if it does not start again. */
void vm_console_drain(struct managed_vm *managed);
void vm_console_ended(struct managed_vm *managed);

#endif
