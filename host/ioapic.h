/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's IOAPICs: those of the MADT, else one at the customary address. Boot CPU only. */
#ifndef BALLAST_HOST_IOAPIC_H
#define BALLAST_HOST_IOAPIC_H

#include "lib/util.h"

/* Find them and mask every pin. */
void ioapic_init(void);
/* Route a global system interrupt to a CPU. 0, or -ENODEV when no IOAPIC has this pin. */
int ioapic_route(uint32_t gsi, bool active_low, bool level, uint32_t apic_id,
	uint8_t vector) __must_check;

#endif
