/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The disks of a VM: what they are on, and the devices that its guest sees. What is open stays open
 * while there is something of the VM's own: what its guest wrote to a disk with cow lasts until the
 * VM is destroyed, or its configuration names another disk in that place. Boot CPU.
 */
#ifndef BALLAST_MGMT_VM_DISKS_H
#define BALLAST_MGMT_VM_DISKS_H

#include "host/block/overlay.h"
#include "mgmt/vms.h"

/* Find and open what is not open yet. 0, or -E... with half a sentence that says what to do. */
int vm_disks_open(struct managed_vm *managed, char *why, size_t size) __must_check;
/* The devices, into a VM that is being built. */
int vm_disks_create(struct managed_vm *managed, char *why, size_t size) __must_check;
/* The last disk of the configuration, into a VM that runs. The rest as above. */
int vm_disks_plug(struct managed_vm *managed, char *why, size_t size) __must_check;
/* The VM's devices are gone: close all but what holds something of its own. */
void vm_disks_forget(struct managed_vm *managed);
/* Close all. */
void vm_disks_close(struct managed_vm *managed);
/* Close those that are something else, or not there, in a new configuration. It does not run. */
void vm_disks_change(struct managed_vm *managed, const struct vm_config *config);

/* "/images/debian.img", "nvme0p3" */
struct disk_name {
	char chars[CONFIG_PATH_BYTES];
};
struct disk_name vm_disk_name(const struct config_disk *disk);

/* Does this disk have contents of its own? Fills *stats then. */
bool vm_disk_overlay(const struct managed_vm *managed, size_t index, struct overlay_stats *stats);
/* Memory that the overlays of its disks take. */
uint64_t vm_disks_overlay_bytes(const struct managed_vm *managed);
/* Is anything open? */
bool vm_disks_any(const struct managed_vm *managed);
/* Is one of them being written back? The VM must neither start nor go then. */
bool vm_disks_busy(const struct managed_vm *managed);

/*
 * Write to its base what a disk has of its own; or forget it. The VM does not run. 0, or -E... with
 * half a sentence. A commit's end is a state line.
 */
int vm_disk_commit(struct managed_vm *managed, size_t index, char *why, size_t size) __must_check;
int vm_disk_discard(struct managed_vm *managed, size_t index, char *why, size_t size) __must_check;

#endif
