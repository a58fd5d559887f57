/* SPDX-License-Identifier: BSD-2-Clause */
/* The networks of a VM, and those of the machine. Boot CPU. */
#ifndef BALLAST_MGMT_VM_NETS_H
#define BALLAST_MGMT_VM_NETS_H

#include "mgmt/vms.h"

#define MAC_TEXT_BYTES 18

/* The devices, into a VM that is being built. 0, or -E... with half a sentence. */
int vm_nets_create(struct managed_vm *managed, char *why, size_t size) __must_check;
/* The last network of the configuration, into a VM that runs. */
int vm_nets_plug(struct managed_vm *managed, char *why, size_t size) __must_check;
/* The VM's devices are gone. */
void vm_nets_forget(struct managed_vm *managed);

/* Plug the machine's NICs into the networks, as the configuration says. Once. */
void nets_plug_nics(const struct config *config);

/* "02:00:00:00:00:01" */
struct mac_text {
	char chars[MAC_TEXT_BYTES];
};
struct mac_text mac_text(const uint8_t mac[CONFIG_MAC_BYTES]);

#endif
