/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keyboard controller with nothing plugged in, for guests that reset the machine through it or
 * wait for its answers (IBM PC AT Technical Reference, "Keyboard Controller"). A byte for the
 * keyboard is answered as a real controller does when no keyboard takes it: 0xfe and the time-out
 * flag. There is no auxiliary port, and a probe for one finds that out by one answer.
 */
#ifndef BALLAST_DEVICES_I8042_H
#define BALLAST_DEVICES_I8042_H

#include "vcpu/vm.h"

int i8042_create(struct vm *vm) __must_check;

#endif
