/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a PC's firmware would have left in memory for the guest: interrupt vectors that say "not
 * supported", BIOS data area, EBDA, a reset vector, and the ACPI tables (RSDP, RSDT, XSDT, FADT,
 * FACS, MADT, MCFG, DSDT).
 */
#ifndef BALLAST_MGMT_GUEST_FIRMWARE_H
#define BALLAST_MGMT_GUEST_FIRMWARE_H

#include "lib/util.h"

struct guest_memory;

/* Where the stubs of the BIOS area begin; ACPI tables end below. */
#define FIRMWARE_STUBS 0xfff00ULL

/*
 * Write all of it into a guest's memory; *rsdp is where the RSDP lies. -EFAULT as
 * guest_memory_write(), -ENOSPC should the tables not fit.
 */
int guest_firmware_write(struct guest_memory *memory, unsigned int vcpu_count, gpa_t *rsdp)
	__must_check;

/* The ACPI tables alone, in [start, end), the RSDP first; `start` is 64-byte aligned. */
int guest_acpi_write(struct guest_memory *memory, gpa_t start, gpa_t end, unsigned int vcpu_count)
	__must_check;

/* The DSDT as iasl compiled it from mgmt/dsdt.asl. */
extern const uint8_t guest_dsdt[];
extern const size_t guest_dsdt_bytes;

#endif
