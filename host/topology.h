/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which CPUs are threads of one core: they share its caches, buffers and predictors, and so what
 * leaks from them.
 */
#ifndef BALLAST_HOST_TOPOLOGY_H
#define BALLAST_HOST_TOPOLOGY_H

#include "host/cpu.h"
#include "host/x86.h"

/*
 * How many low bits of an APIC id tell threads of one core apart, by what `query` answers for CPUID
 * (Intel SDM vol. 3, "Detecting Hardware Multi-threading Support and Topology"; AMD APM vol. 3,
 * CPUID Fn8000_001E). Pure.
 */
unsigned int topology_thread_bits(struct cpuid_result (*query)(uint32_t leaf, uint32_t subleaf));

/* Shares its core with a CPU of a lower id. Any CPU, when cpu_count() is final. */
bool topology_is_sibling(const struct cpu *cpu);

/* [a] Guests may run on siblings, too: the operator's choice, or what the CPU allows. */
extern bool topology_siblings_allowed;

#endif
