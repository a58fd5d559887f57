/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI's fixed hardware: PM1 event and control blocks, the 32-bit PM timer, and the SMI command
 * port that switches between legacy and ACPI mode without any SMI, and a block of eight
 * general-purpose events (ACPI specification, "ACPI Hardware Specification"). Power-up is in ACPI
 * mode.
 */
#ifndef BALLAST_DEVICES_ACPI_PM_H
#define BALLAST_DEVICES_ACPI_PM_H

#include "devices/device_timer.h"

#define PM_TIMER_HZ 3579545ULL

struct acpi_pm {
	struct device device;
	struct io_region event;       /* status and enable */
	struct io_region control;
	struct io_region timer;
	struct io_region gpe;         /* status and enable, a byte each */
	struct io_region smi;         /* command and a data byte that nothing uses */
	struct device_timer overflow; /* the timer's top bit changes while that is to interrupt */
	/* All [vm.lock]. */
	uint64_t start_tsc;           /* the timer's zero */
	uint64_t halves_seen;         /* changes of the timer's top bit up to the last look */
	uint16_t status;
	uint16_t enable;
	uint16_t control_value;
	uint8_t gpe_status;
	uint8_t gpe_enable;
	uint8_t smi_bytes[2];
};

int acpi_pm_create(struct vm *vm, struct acpi_pm **out) __must_check;
/* A general-purpose event, 0 to 7, has happened. Under vm.lock. */
void acpi_pm_raise(struct acpi_pm *pm, unsigned int event);

#endif
