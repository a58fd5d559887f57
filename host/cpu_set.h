/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of physical CPUs, by their ids. */
#ifndef BALLAST_HOST_CPU_SET_H
#define BALLAST_HOST_CPU_SET_H

#include "host/cpu.h"

struct cpu_set {
	uint64_t words[CPU_MAX / 64];
};

#define CPU_SET_ALL ((struct cpu_set){ { ~0ULL, ~0ULL, ~0ULL, ~0ULL } })
_Static_assert(CPU_MAX / 64 == 4, "CPU_SET_ALL has as many words");

static inline bool cpu_set_has(const struct cpu_set *set, unsigned int id)
{
	return id < CPU_MAX && set->words[id / 64] >> id % 64 & 1;
}

static inline void cpu_set_add(struct cpu_set *set, unsigned int id)
{
	if (id < CPU_MAX)
		set->words[id / 64] |= BIT(id % 64);
}

#endif
