/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID for guests. A VM's table starts as the machine's own answers; the policy below takes away
 * what Ballast does not virtualize, with the reason, and adds what it provides itself.
 */
#include "vcpu/cpuid.h"

#include "host/x86.h"
#include "lib/string.h"
#include "vcpu/fpu.h"
#include "vcpu/lapic.h"
#include "vcpu/pv.h"
#include "vcpu/pvclock.h"
#include "vcpu/vm.h"

enum cpuid_register { EAX, EBX, ECX, EDX };

/* Bits removed from (hide) or added to (offer) one register of one leaf, subleaf 0. */
struct cpuid_rule {
	uint32_t leaf;
	enum cpuid_register reg;
	uint32_t hide, offer;
	const char *why;
};

#define B(n) (1U << (n))

static const struct cpuid_rule rules[] = {
	{ 1, ECX, B(2) | B(4) | B(7) | B(8) | B(10) | B(11) | B(14) | B(15) | B(18), 0,
		"debug store, thermal, speed step, debug, xTPR, PMU and DCA: the machine's own" },
	{ 1, ECX, B(3), 0, "MONITOR: a guest that waits must leave the CPU to others" },
	{ 1, ECX, B(5) | B(6), 0, "VMX and SMX: no nested guests" },
	{ 1, ECX, B(27), 0, "OSXSAVE: from the guest's CR4, at the exit" },
	{ 1, ECX, 0, B(31) | B(24) | B(21), "hypervisor; TSC deadline and x2APIC: emulated" },
	{ 1, EDX, B(7) | B(14), 0, "MCE and MCA: machine checks are the host's" },
	{ 1, EDX, B(18) | B(21) | B(22) | B(29) | B(30) | B(31), 0,
		"serial number, debug store, thermal control: the machine's own" },
	{ 1, EDX, B(28), 0, "HTT: set again with more than one vCPU" },
	{ 1, EDX, 0, B(9) | B(12), "the APIC and MTRRs are emulated" },
	{ 6, EAX, ~0U, B(2), "power management is the host's; the LAPIC timer never stops" },
	{ 6, EBX, ~0U, 0, "power management is the host's" },
	{ 6, ECX, ~0U, 0, "power management is the host's" },
	{ 7, EBX, B(1), 0, "TSC_ADJUST: moves the TSC of one CPU against the others" },
	{ 7, EBX, B(2) | B(4) | B(11), 0, "SGX and transactional memory" },
	{ 7, EBX, B(12) | B(14) | B(15) | B(25), 0, "RDT, MPX, processor trace: not switched" },
	{ 7, ECX, B(5) | B(7) | B(13) | B(16), 0, "WAITPKG, shadow stacks, TME, 5-level paging" },
	{ 7, ECX, B(23) | B(24) | B(29) | B(30) | B(31), 0,
		"key locker, bus lock traps, ENQCMD, SGX, supervisor keys: state not switched" },
	{ 7, ECX, B(4), 0, "OSPKE: from the guest's CR4, at the exit" },
	{ 7, EDX, B(5) | B(20) | B(22) | B(24) | B(25), 0, "UINTR, CET, AMX: not switched" },
	{ 7, EDX, B(9) | B(11) | B(13) | B(18) | B(19), 0, "their MSRs are not offered" },
	{ 7, EDX, 0xfc000000, 0, "speculation control MSRs are not switched yet" },
	{ 0x80000001, ECX, B(2) | B(3) | B(10) | B(12) | B(13) | B(15) | B(19) | B(22), 0,
		"SVM, extended APIC space, IBS, SKINIT, watchdog, LWP, node ids, topology leaves" },
	{ 0x80000001, ECX, B(9) | B(23) | B(24) | B(26) | B(27) | B(28) | B(29), 0,
		"OSVW, performance counters, data breakpoints, MONITORX" },
	{ 0x80000001, EDX, B(7) | B(14), 0, "MCE and MCA: machine checks are the host's" },
	{ 0x80000007, EAX, ~0U, 0, "RAS is the host's" },
	{ 0x80000007, EBX, ~0U, 0, "RAS is the host's" },
	{ 0x80000007, ECX, ~0U, 0, "power reporting is the host's" },
	{ 0x80000007, EDX, ~B(8), 0, "of power management only the invariant TSC is a promise" },
	{ 0x80000008, EBX, ~(B(0) | B(2)), 0,
		"of these only CLZERO and saving of FPU error pointers need no MSR" },
	{ 0x80000021, EAX, ~(B(2) | B(6)), 0, "only what needs no MSR" },
};

/* Leaves that are all zero here: nothing behind them is virtualized. */
static const uint32_t zero_leaves[] = { 5, 8, 9, 0xa, 0xc, 0xe, 0xf, 0x10, 0x11, 0x12, 0x13, 0x14,
	0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x8000000a, 0x8000001b, 0x8000001c,
	0x8000001d, 0x8000001e, 0x8000001f, 0x80000020 };

static struct cpuid_result *leaf_of(struct cpuid_table *table, uint32_t leaf)
{
	if (leaf < CPUID_BASIC_LEAVES && leaf <= table->basic_max)
		return &table->basic[leaf].registers;
	if (leaf - 0x80000000U < CPUID_EXTENDED_LEAVES && leaf <= table->extended_max)
		return &table->extended[leaf - 0x80000000U].registers;
	return NULL;
}

static uint32_t *register_of(struct cpuid_result *result, enum cpuid_register reg)
{
	uint32_t *const registers[] = { &result->eax, &result->ebx, &result->ecx, &result->edx };

	return registers[reg];
}

static void apply_rules(struct cpuid_table *table)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct cpuid_result *result = leaf_of(table, rules[i].leaf);

		if (result) {
			uint32_t *reg = register_of(result, rules[i].reg);

			*reg = (*reg & ~rules[i].hide) | rules[i].offer;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(zero_leaves); i++) {
		struct cpuid_result *result = leaf_of(table, zero_leaves[i]);

		if (result)
			*result = (struct cpuid_result){ 0 };
	}
}

static void add_subleaf(
	struct cpuid_table *table, uint32_t leaf, uint32_t subleaf, struct cpuid_result registers)
{
	if (table->subleaf_count == CPUID_SUBLEAVES || leaf > table->basic_max)
		return;
	table->basic[leaf].has_subleaves = true;
	table->subleaves[table->subleaf_count++] =
		(struct cpuid_subleaf){ leaf, subleaf, registers };
}

/* Each vCPU is a core of its own with its own caches: nothing about sharing would be true. */
static void build_caches(struct cpuid_table *table, unsigned int vcpu_count)
{
	for (uint32_t subleaf = 0; subleaf < 5; subleaf++) {
		struct cpuid_result cache = cpuid(4, subleaf);

		if (!(cache.eax & 0x1f))
			break;
		cache.eax = (cache.eax & 0x3fff) | (MIN(vcpu_count, 64U) - 1) << 26;
		add_subleaf(table, 4, subleaf, cache);
	}
}

/* One thread a core, all cores in one package. */
static void build_topology(struct cpuid_table *table, uint32_t leaf, unsigned int vcpu_count)
{
	unsigned int bits = 0;

	while ((1U << bits) < vcpu_count)
		bits++;
	add_subleaf(table, leaf, 0, (struct cpuid_result){ 0, 1, 1 << 8, 0 });
	add_subleaf(table, leaf, 1, (struct cpuid_result){ bits, vcpu_count, 2 << 8 | 1, 0 });
}

#define XSAVE_LEGACY_BYTES (512 + 64)
#define XSAVE_ALIGNED B(1) /* leaf 0xd, subleaves from 2, ECX */

/* The compacted form: the components in use one after the other. */
uint32_t cpuid_xsave_compacted_bytes(const struct cpuid_table *table, uint64_t components)
{
	uint32_t bytes = XSAVE_LEGACY_BYTES;

	for (size_t i = 0; i < table->subleaf_count; i++) {
		const struct cpuid_subleaf *entry = &table->subleaves[i];

		if (entry->leaf != 0xd || entry->subleaf < 2 || !(components & BIT(entry->subleaf)))
			continue;
		if (entry->registers.ecx & XSAVE_ALIGNED)
			bytes = ROUND_UP(bytes, 64);
		bytes += entry->registers.eax;
	}
	return bytes;
}

/* The standard form: each component at its own offset. */
uint32_t cpuid_xsave_bytes(const struct cpuid_table *table, uint64_t components)
{
	uint32_t bytes = XSAVE_LEGACY_BYTES;

	for (size_t i = 0; i < table->subleaf_count; i++) {
		const struct cpuid_subleaf *entry = &table->subleaves[i];

		if (entry->leaf == 0xd && entry->subleaf >= 2 &&
			(components & BIT(entry->subleaf)))
			bytes = MAX(bytes, entry->registers.ebx + entry->registers.eax);
	}
	return bytes;
}

static void build_xsave(struct cpuid_table *table)
{
	const uint32_t offered = B(0) | B(1) | B(2); /* XSAVEOPT, XSAVEC, XGETBV with ECX = 1 */
	uint64_t components = fpu_components();
	struct cpuid_result one = cpuid(0xd, 1);

	if (table->basic_max < 0xd)
		return;
	for (uint32_t i = 2; i < 32; i++) {
		if (components & BIT(i))
			add_subleaf(table, 0xd, i, cpuid(0xd, i));
	}
	/* EBX of both depends on the guest's XCR0 and is patched at the exit. */
	add_subleaf(table, 0xd, 0,
		(struct cpuid_result){ components, 0, cpuid_xsave_bytes(table, components),
			components >> 32 });
	add_subleaf(table, 0xd, 1, (struct cpuid_result){ one.eax & offered, 0, 0, 0 });
	table->xcr0_allowed = components;
}

/* AVX-VNNI, AVX512-BF16, short string operations: state that is switched already. */
static void build_extended_features(struct cpuid_table *table)
{
	const uint32_t offered = B(4) | B(5) | B(10) | B(11) | B(12);

	if (table->basic_max < 7)
		return;
	table->basic[7].registers.eax = MIN(table->basic[7].registers.eax, 1U);
	add_subleaf(table, 7, 0, table->basic[7].registers);
	if (table->basic[7].registers.eax)
		add_subleaf(
			table, 7, 1, (struct cpuid_result){ cpuid(7, 1).eax & offered, 0, 0, 0 });
}

void cpuid_set_tsc_hz(struct cpuid_table *table, uint64_t hz)
{
	const uint32_t denominator = 1000;
	uint32_t numerator = mul_div(hz, denominator, LAPIC_TIMER_HZ);

	if (table->intel && table->basic_max >= 0x15)
		table->basic[0x15].registers =
			(struct cpuid_result){ denominator, numerator, LAPIC_TIMER_HZ, 0 };
}

/* What CR4, EFER and XCR0 may hold follows from what CPUID offers. */
static void derive_control_bits(struct cpuid_table *table)
{
	const struct {
		uint32_t leaf;
		enum cpuid_register reg;
		uint32_t bit;
		uint64_t cr4;
	} map[] = {
		{ 1, EDX, B(1), CR4_VME | CR4_PVI }, { 1, EDX, B(2), CR4_DE },
		{ 1, EDX, B(3), CR4_PSE }, { 1, EDX, B(4), CR4_TSD }, { 1, EDX, B(6), CR4_PAE },
		{ 1, EDX, B(13), CR4_PGE }, { 1, EDX, B(24), CR4_OSFXSR },
		{ 1, EDX, B(25), CR4_OSXMMEXCPT }, { 1, ECX, B(26), CR4_OSXSAVE },
		{ 1, ECX, B(17), CR4_PCIDE }, { 7, EBX, B(0), CR4_FSGSBASE },
		{ 7, EBX, B(7), CR4_SMEP }, { 7, EBX, B(20), CR4_SMAP },
		{ 7, ECX, B(2), CR4_UMIP }, { 7, ECX, B(3), CR4_PKE },
	};
	const struct cpuid_result *extended = leaf_of(table, 0x80000001);

	/* MCE may be set whatever CPUID says: old kernels do, and no harm follows. */
	table->cr4_allowed = CR4_PCE | CR4_MCE;
	for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
		struct cpuid_result *result = leaf_of(table, map[i].leaf);

		if (result && (*register_of(result, map[i].reg) & map[i].bit))
			table->cr4_allowed |= map[i].cr4;
	}
	if (!extended)
		return;
	if (extended->edx & B(11))
		table->efer_allowed |= EFER_SCE;
	if (extended->edx & B(20))
		table->efer_allowed |= EFER_NXE;
	if (extended->edx & B(29))
		table->efer_allowed |= EFER_LME;
	if (extended->edx & B(25))
		table->efer_allowed |= EFER_FFXSR;
}

static void build_processor_counts(struct cpuid_table *table, unsigned int vcpu_count)
{
	struct cpuid_result *one = &table->basic[1].registers;
	struct cpuid_result *eight = leaf_of(table, 0x80000008);

	/* Bits 31-24 are the APIC id, 23-16 the count of logical processors. */
	one->ebx = (one->ebx & 0xff00) | vcpu_count << 16;
	if (vcpu_count > 1)
		one->edx |= B(28);
	if (eight)
		eight->ecx = vcpu_count - 1;
}

static void copy_host(struct cpuid_table *table)
{
	struct cpuid_result zero = cpuid(0, 0);

	table->intel = zero.ebx == 0x756e6547; /* "Genu" */
	table->basic_max = MIN(zero.eax, CPUID_BASIC_LEAVES - 1U);
	table->extended_max = MIN(cpuid(0x80000000, 0).eax,
		0x80000000U + CPUID_EXTENDED_LEAVES - 1U);
	for (uint32_t i = 0; i <= table->basic_max; i++)
		table->basic[i].registers = cpuid(i, 0);
	for (uint32_t i = 0x80000000; i <= table->extended_max; i++)
		table->extended[i - 0x80000000].registers = cpuid(i, 0);
	/* Intel guests get the TSC's frequency from leaf 0x15 even where the machine lacks it. */
	if (table->intel)
		table->basic_max = MAX(table->basic_max, 0x15U);
	table->basic[0].registers.eax = table->basic_max;
	table->extended[0].registers.eax = table->extended_max;
}

void cpuid_table_build(struct cpuid_table *table, unsigned int vcpu_count)
{
	const struct cpuid_result *eight;

	memset(table, 0, sizeof(*table));
	copy_host(table);
	apply_rules(table);
	build_processor_counts(table, vcpu_count);
	build_extended_features(table);
	build_caches(table, vcpu_count);
	build_topology(table, 0xb, vcpu_count);
	if (table->basic_max >= 0x1f)
		build_topology(table, 0x1f, vcpu_count);
	build_xsave(table);
	if (!table->xcr0_allowed)
		table->basic[1].registers.ecx &= ~(B(26) | B(28));
	cpuid_set_tsc_hz(table, clock_tsc_hz);
	derive_control_bits(table);
	eight = leaf_of(table, 0x80000008);
	table->physical_bits = eight ? eight->eax & 0xff : 36;
}
