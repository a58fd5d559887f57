/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What boot/ learned from the firmware and hands to everybody else, and the machine as a whole:
 * initialisation order, power. The record lives for ever; nothing in it points to firmware memory.
 */
#ifndef BALLAST_HOST_MACHINE_H
#define BALLAST_HOST_MACHINE_H

#include "host/acpi.h"
#include "host/cpu.h"
#include "host/memory.h"

#define MACHINE_MAX_RANGES 256
#define MACHINE_MAX_FILES 128
#define MACHINE_PATH_BYTES 128

/* How a part of the physical address space is mapped in the host's own page tables. */
enum machine_mapping_kind {
	MAPPING_RAM,          /* cached, writable, never executed */
	MAPPING_RUNTIME_CODE, /* the firmware's runtime services: as the firmware wants it */
	MAPPING_RUNTIME_DATA,
	MAPPING_RUNTIME_MMIO, /* uncached */
};

struct machine_mapping {
	struct memory_range range;
	enum machine_mapping_kind kind;
};

/* A file of the boot volume, kept in memory: paths are as configured, with backslashes. */
struct machine_file {
	char path[MACHINE_PATH_BYTES];
	const uint8_t *data;
	uint64_t bytes;
	int error; /* 0, or -E... why it could not be read: data is NULL then */
};

struct machine {
	struct memory_range memory[MACHINE_MAX_RANGES]; /* free RAM at hand-over, sorted */
	size_t memory_count;
	uint64_t ram_bytes;            /* all RAM of the machine, firmware's part included */
	hpa_t image_start;             /* ballast.efi as loaded */
	uint64_t image_bytes;
	struct machine_mapping mappings[MACHINE_MAX_RANGES]; /* sorted; all RAM is among them */
	size_t mapping_count;
	hpa_t trampoline;              /* three pages below 1 MiB for starting CPUs; 0: none */
	uint64_t reset_system;         /* the firmware's ResetSystem; 0: none */
	uint64_t tsc_at_entry;         /* TSC when the firmware called us */
	hpa_t acpi_rsdp;               /* 0 when there are no ACPI tables */
	struct acpi_info acpi;         /* all zero when there are no ACPI tables */
	uint32_t apic_ids[CPU_MAX];    /* usable CPUs, the boot CPU first */
	size_t cpu_count;
	uint16_t serial_port;          /* I/O port of the console's 16550 */
	uint32_t serial_baud;
	uint8_t serial_isa_irq;
	uint64_t wall_ns_at_boot;      /* UTC, from the firmware's clock */
	uint64_t tsc_at_wall;          /* TSC at that moment */
	char firmware[64];             /* vendor and revision, for the log */
	struct machine_file files[MACHINE_MAX_FILES];
	size_t file_count;
	const char *config_text;       /* ballast.conf; NULL when the volume has none */
	uint64_t config_bytes;
	const char *config_error;      /* why config_text is NULL */
};

extern struct machine machine;

/* Are these names equal, but for kinds of slashes and letter case? */
bool machine_same_name(const char *a, const char *b);
/* NULL when no such file was asked for. Names as above; a slash at the start may be left out. */
const struct machine_file *machine_find_file(const char *path);

/* Both try the firmware's ResetSystem, then the hardware's own ways; they do not return. */
void machine_power_off(void) __noreturn;
void machine_reboot(void) __noreturn;

#endif
