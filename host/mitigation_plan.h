/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which mitigations of speculation's side channels a CPU needs at a guest's boundary, and which it
 * has the means for: decided by what it enumerates, and by nothing else (Intel, "CPUID Enumeration
 * and Architectural MSRs" of its guidance on side channels; AMD APM vol. 2 and 3, "Speculation
 * Control MSRs", CPUID Fn8000_0008_EBX and Fn8000_0021). Pure.
 */
#ifndef BALLAST_HOST_MITIGATION_PLAN_H
#define BALLAST_HOST_MITIGATION_PLAN_H

#include "lib/util.h"

/* In the order of the counters in struct cpu. */
enum mitigation {
	MITIGATION_IBPB, /* branch predictions of one VM are forgotten before another runs */
	MITIGATION_IBRS, /* guests' branch predictions do not steer the host */
	MITIGATION_RSB,  /* nor do return addresses which they left, after each exit */
	MITIGATION_VERW, /* buffers that could leak are overwritten before each entry */
	MITIGATION_L1D,  /* the L1 data cache is flushed before entries that need it */
	MITIGATIONS
};

enum mitigation_mode { MITIGATION_AUTO, MITIGATION_ON, MITIGATION_OFF };

/* What CPUID and IA32_ARCH_CAPABILITIES say; 0 for leaves and MSRs that the CPU lacks. */
struct mitigation_facts {
	bool intel, amd;           /* and compatible ones */
	uint32_t leaf7_ebx, leaf7_edx, leaf7_2_edx;
	uint64_t capabilities;     /* IA32_ARCH_CAPABILITIES */
	uint32_t amd_8_ebx;        /* 0x80000008 */
	uint32_t amd_21_eax, amd_21_ecx; /* 0x80000021 */
};

struct mitigation_plan {
	struct {
		bool possible;      /* the CPU has what it takes */
		bool wanted;        /* and, with MITIGATION_AUTO, it is done */
		const char *reason; /* why it is wanted, or why not */
	} parts[MITIGATIONS];
	bool ibrs_once;       /* IBRS is set once for all; else it is written at each exit */
	bool ibrs_automatic;  /* it is EFER.AIBRSE; else SPEC_CTRL */
	uint64_t spec_ctrl;   /* SPEC_CTRL while the host runs, with IBRS on */
	uint64_t spec_ctrl_guest; /* and while a guest runs */
	bool rsb_one;         /* one return address will do */
	bool smt_leaks;       /* a sibling thread sees what it should not */
	const char *smt_reason;
};

void mitigation_decide(const struct mitigation_facts *facts, struct mitigation_plan *plan);

/* "ibpb"; NULL beyond the last. */
const char *mitigation_name(unsigned int mitigation);
/* "IBPB when a CPU changes VM", for the operator. */
const char *mitigation_title(unsigned int mitigation);
/* -1: none of this name. */
int mitigation_find(const char *name, size_t length);

#endif
