/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/topology.h"

#define LEVEL_THREAD 1
#define FEATURE_HTT BIT(28)    /* 1, EDX */
#define FEATURE_TOPOLOGY BIT(22) /* 0x80000001, ECX */

bool topology_siblings_allowed;

static unsigned int bits_for(unsigned int count)
{
	unsigned int bits = 0;

	while (bits < 8 && 1U << bits < count)
		bits++;
	return bits;
}

/* Leaf 0x1f or 0xb: a level of threads, if the CPU tells of it at all. */
static bool by_levels(struct cpuid_result (*query)(uint32_t leaf, uint32_t subleaf), uint32_t leaf,
	unsigned int *bits)
{
	struct cpuid_result level = query(leaf, 0);

	if (!level.ebx || (level.ecx >> 8 & 0xff) != LEVEL_THREAD)
		return false;
	/* A core with one thread in use has no siblings; Bochs then tells of bits all the same. */
	*bits = level.ebx > 1 ? level.eax & 0x1f : 0;
	return true;
}

/* CPUs of before those leaves: logical processors of a package over its cores. */
static unsigned int by_counts(struct cpuid_result (*query)(uint32_t leaf, uint32_t subleaf),
	uint32_t last)
{
	struct cpuid_result features = query(1, 0);
	unsigned int logical = features.ebx >> 16 & 0xff, cores = 1;

	if (!(features.edx & FEATURE_HTT) || last < 4)
		return 0;
	cores += query(4, 0).eax >> 26;
	return logical > cores ? bits_for(logical) - bits_for(cores) : 0;
}

unsigned int topology_thread_bits(struct cpuid_result (*query)(uint32_t leaf, uint32_t subleaf))
{
	uint32_t last = query(0, 0).eax, last_extended = query(0x80000000, 0).eax;
	unsigned int bits = 0;

	if (last >= 0x1f && by_levels(query, 0x1f, &bits))
		return bits;
	if (last >= 0xb && by_levels(query, 0xb, &bits))
		return bits;
	if (last_extended >= 0x8000001e && last_extended < 0x80010000 &&
		(query(0x80000001, 0).ecx & FEATURE_TOPOLOGY))
		return bits_for((query(0x8000001e, 0).ebx >> 8 & 0xff) + 1);
	return by_counts(query, last);
}

static struct cpuid_result own_cpuid(uint32_t leaf, uint32_t subleaf)
{
	return cpuid(leaf, subleaf);
}

bool topology_is_sibling(const struct cpu *cpu)
{
	unsigned int bits = topology_thread_bits(own_cpuid);

	for (unsigned int id = 0; id < cpu->id; id++)
		if (cpu_by_id(id)->apic_id >> bits == cpu->apic_id >> bits)
			return true;
	return false;
}
