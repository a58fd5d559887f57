/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IOAPIC: 24 pins, the version with an EOI register (Intel 82093AA and ICH data sheets). Lines
 * are asserted or not; the polarity bits are kept and mean nothing. ISA interrupt 0 is pin 2.
 */
#ifndef BALLAST_DEVICES_IOAPIC_H
#define BALLAST_DEVICES_IOAPIC_H

#include "vcpu/vm.h"

/* At IOAPIC_BASE. */
int ioapic_create(struct vm *vm) __must_check;

#endif
