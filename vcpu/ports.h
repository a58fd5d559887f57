/* SPDX-License-Identifier: BSD-2-Clause */
/* Port accesses of a guest, under the VM's lock: from exits and from the emulator. */
#ifndef BALLAST_VCPU_PORTS_H
#define BALLAST_VCPU_PORTS_H

#include "vcpu/vm.h"

/* `size` is 1, 2 or 4; reads are zero-extended. */
uint32_t port_read(struct vcpu *vcpu, uint16_t port, unsigned int size);
void port_write(struct vcpu *vcpu, uint16_t port, unsigned int size, uint32_t value);

#endif
