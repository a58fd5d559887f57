/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What CPUID tells a guest: the host's answer through a table of what is hidden and why, and the
 * hypervisor leaves. Computed once for each VM; registers that depend on the vCPU's state (APIC id,
 * OSXSAVE, size of the XSAVE area) are patched in at the exit.
 */
#ifndef BALLAST_VCPU_CPUID_H
#define BALLAST_VCPU_CPUID_H

#include "host/x86.h"
#include "vcpu/vcpu.h"

#define CPUID_BASIC_LEAVES 0x20
#define CPUID_EXTENDED_LEAVES 0x22
#define CPUID_SUBLEAVES 24

struct cpuid_leaf {
	struct cpuid_result registers;
	bool has_subleaves; /* look in the subleaf table */
};

struct cpuid_subleaf {
	uint32_t leaf, subleaf;
	struct cpuid_result registers;
};

struct cpuid_table {
	uint32_t basic_max, extended_max;
	struct cpuid_leaf basic[CPUID_BASIC_LEAVES];
	struct cpuid_leaf extended[CPUID_EXTENDED_LEAVES];
	struct cpuid_subleaf subleaves[CPUID_SUBLEAVES];
	size_t subleaf_count;
	/* What follows from it: bits that the guest may set. */
	uint64_t cr4_allowed;
	uint64_t efer_allowed;
	uint64_t xcr0_allowed;
	uint8_t physical_bits;
	bool intel;
};

/* The machine's own CPUID through the policy; `vcpu_count` shapes the topology leaves. */
void cpuid_table_build(struct cpuid_table *table, unsigned int vcpu_count);
/*
 * The TSC's frequency as a multiple of the LAPIC timer's clock, so that Intel guests need not
 * calibrate (Intel SDM vol. 2, CPUID leaf 15H). At first it is the machine's.
 */
void cpuid_set_tsc_hz(struct cpuid_table *table, uint64_t hz);
/* Size of an XSAVE area with these components (XCR0 bits), in the standard and compacted format. */
uint32_t cpuid_xsave_bytes(const struct cpuid_table *table, uint64_t components);
uint32_t cpuid_xsave_compacted_bytes(const struct cpuid_table *table, uint64_t components);
enum exit_action exit_cpuid(struct vcpu *vcpu);

#endif
