/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU without hardware, for unit tests of what works on one: RAM in a buffer, a device that
 * remembers its accesses, registers that hold rubbish until they are pulled. One instance.
 */
#ifndef BALLAST_TEST_FAKE_VCPU_H
#define BALLAST_TEST_FAKE_VCPU_H

#include "vcpu/cpuid.h"
#include "vcpu/vm.h"

/* RAM is below, and from the end of the device on; the device is memory that logs. */
#define FAKE_RAM_BYTES MIB(2)
#define FAKE_DEVICE_START 0x40000ULL
#define FAKE_DEVICE_BYTES 0x20000ULL
#define FAKE_ROM_START 0x1f0000ULL /* the last 64 KiB are read-only */
#define FAKE_LOG 64

struct fake_access {
	uint64_t address;
	unsigned int size;
	bool write;
	uint64_t value;
};

struct fake {
	struct vm vm;
	struct vcpu vcpu;
	struct cpuid_table cpuid;
	struct special_regs truth; /* what the hardware would hold */
	uint64_t rsp;              /* likewise */
	uint8_t *ram;              /* FAKE_RAM_BYTES; the device's part of it is its memory */
	bool ram_exhausted;        /* guest_memory_ptr() finds nothing */
	gpa_t ram_away;            /* nor this page of RAM; 0: none */

	struct fake_access device[FAKE_LOG]; /* accesses to the device and to nothing */
	unsigned int device_count;
	struct fake_access ports[FAKE_LOG];
	unsigned int port_count;
	uint64_t port_value;       /* what the next read from a port gives; counts up */

	unsigned int exceptions;
	uint8_t vector;
	bool has_error;
	uint32_t error;
	uint64_t fault_address;
	unsigned int stops;
	char reason[96];
};

extern struct fake fake;
/* XMM and YMM registers; fake_reset() leaves them alone. */
extern uint8_t fake_vectors[16][32];

/* A guest in 16-bit real mode, 32-bit flat or 64-bit mode at CPL 0, paging off (64: identity). */
void fake_reset(unsigned int mode_bits);
/* As after an exit: nothing valid, what is not yet pulled is poisoned; logs are cleared. */
void fake_begin(void);
/* As at the next entry: dirty registers go back to `truth`. Checks that dirty ones are valid. */
void fake_end(void);

/* Identity-map the first 2 MiB by 4 KiB pages, all rights, in 4-level tables at `tables`. */
#define FAKE_TABLES 0x100000ULL
void fake_map_identity(uint64_t tables);

#endif
