/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the machine's ACPI tables once, into a record that needs them no more. The tables come
 * from the firmware and may be wrong: every length is checked, and what does not fit is left out.
 * Knows no hardware: tables are reached through a function of the caller.
 */
#ifndef BALLAST_HOST_ACPI_H
#define BALLAST_HOST_ACPI_H

#include "lib/util.h"

#define ACPI_MAX_CPUS 256
#define ACPI_MAX_IOAPICS 16
#define ACPI_ISA_IRQS 16
#define ACPI_MAX_ECAMS 16

struct acpi_ioapic {
	uint64_t address;
	uint32_t gsi_base;
};

/* Configuration space in memory of some of a segment's buses (PCI Firmware Specification, MCFG). */
struct acpi_ecam {
	uint64_t address; /* of bus 0, even if that is not among them */
	uint16_t segment;
	uint8_t first_bus, last_bus;
};

/* How an ISA interrupt is wired, from the MADT's overrides or the bus' own habit. */
struct acpi_isa_irq {
	uint32_t gsi;
	bool active_low;
	bool level;
};

/* A register of the Generic Address Structure or of the FADT's older fields; port 0: none. */
struct acpi_port {
	uint16_t port;
	uint8_t bytes;
};

struct acpi_info {
	bool present;
	uint32_t cpu_apic_ids[ACPI_MAX_CPUS]; /* enabled CPUs in the order of the MADT */
	size_t cpu_count;
	size_t cpus_beyond; /* CPUs left out for want of room */
	struct acpi_ioapic ioapics[ACPI_MAX_IOAPICS];
	size_t ioapic_count;
	struct acpi_isa_irq isa_irqs[ACPI_ISA_IRQS];
	struct acpi_ecam ecams[ACPI_MAX_ECAMS];
	size_t ecam_count;

	bool has_spcr;
	uint16_t serial_port; /* 0: the SPCR names no port that is I/O space */
	uint32_t serial_baud; /* 0: as the firmware left it */
	uint8_t serial_isa_irq;

	struct acpi_port pm_timer;
	bool pm_timer_32bit;
	struct acpi_port pm1a_control, pm1b_control;
	bool has_s5;
	uint8_t s5_type_a, s5_type_b;
	struct acpi_port reset_port; /* I/O space reset register */
	uint8_t reset_value;
};

/*
 * Fill `info` from the tables behind the RSDP. `map` tells how to reach `bytes` bytes of physical
 * memory at `address`: a pointer, or NULL when that is not memory; it is asked for each piece.
 * 0, or -ENOENT when there is no valid root table.
 */
int acpi_read(uint64_t rsdp, const void *(*map)(uint64_t address, uint64_t bytes),
	struct acpi_info *info) __must_check;

#endif
