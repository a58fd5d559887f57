/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways of a PC to reset itself: the reset control register 0xcf9 and port 0x92 (Intel ICH data
 * sheets, "Reset Control Register", "Fast A20 and Init Register"). Address line 20 is never
 * masked: the bit for it is only remembered.
 */
#ifndef BALLAST_DEVICES_RESET_H
#define BALLAST_DEVICES_RESET_H

#include "vcpu/vm.h"

struct reset {
	struct device device;
	struct io_region port92;
	uint8_t control;      /* [vm.lock] 0xcf9 */
	uint8_t port92_value; /* [vm.lock] */
};

int reset_create(struct vm *vm, struct reset **out) __must_check;
/* Register 0xcf9 lies inside the PCI address port and is reached through it. Under vm.lock. */
uint8_t reset_read_control(const struct reset *reset);
void reset_write_control(struct reset *reset, uint8_t value);

#endif
