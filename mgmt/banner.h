/* SPDX-License-Identifier: BSD-2-Clause */
/* What the operator sees first. */
#ifndef BALLAST_MGMT_BANNER_H
#define BALLAST_MGMT_BANNER_H

#include "lib/util.h"

#define CPU_MODEL_BYTES 49

struct banner {
	const char *version;
	const char *cpu;              /* model */
	unsigned int cpu_count;
	uint64_t tsc_hz;
	const char *virtualization;   /* "SVM: NPT, ..." */
	uint64_t found_bytes;         /* memory of the machine */
	uint64_t kept_bytes;          /* of this, for guests */
};

/* Lines of at most 79 columns. Pure. */
void banner_write(const struct banner *banner, void (*line)(const char *line));

/* The name that CPUID gives the CPU, without needless blanks. */
void cpu_model(char model[CPU_MODEL_BYTES]);
/* `brand` is CPUID's 48 bytes, 0-terminated. Pure. */
void cpu_model_tidy(const char *brand, char model[CPU_MODEL_BYTES]);

#endif
