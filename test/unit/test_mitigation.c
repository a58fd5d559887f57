/* SPDX-License-Identifier: BSD-2-Clause */
/* What is mitigated on which CPU, by what CPUs of both vendors enumerate; and which of them share a core. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/mitigation_plan.h"
#include "host/topology.h"

/* CPUID 7.0 EDX of Intel CPUs with the microcode of 2018, of 2019, and of new ones. */
#define EDX_2018 (BIT(26) | BIT(27) | BIT(31))
#define EDX_2019 (EDX_2018 | BIT(10) | BIT(28))
#define EDX_CAPABILITIES (EDX_2019 | BIT(29))
#define RTM BIT(11)

static const struct {
	const char *cpu;
	struct mitigation_facts facts;
	const char *on;       /* with auto: the letters of IBPB, iBrs, Rsb, Verw, L1d: "i", "b", "r", "v", "l" */
	const char *possible; /* more of them */
	const char *verw, *l1d; /* reasons; NULL: any */
	uint64_t spec_ctrl, spec_ctrl_guest;
	bool once, rsb_one, smt_leaks;
} cpus[] = {
	{ "Skylake-SP with no microcode of since 2017", { .intel = true, .leaf7_ebx = RTM },
		"", "rv", "it clears nothing: microcode without MD_CLEAR", "L1TF, but the microcode has no flush",
		.smt_leaks = true },
	{ "Skylake-SP, 2018", { .intel = true, .leaf7_ebx = RTM, .leaf7_edx = EDX_2018 },
		"ibr", "v", "it clears nothing: microcode without MD_CLEAR", NULL, 1, 0, .smt_leaks = true },
	{ "Skylake-SP, 2019", { .intel = true, .leaf7_ebx = RTM, .leaf7_edx = EDX_2019 },
		"ibrvl", "", "MDS", "L1TF", 1, 0, .smt_leaks = true },
	{ "Cascade Lake-SP with TSX: RDCL_NO, IBRS_ALL, SKIP_L1DFL, MDS_NO",
		{ .intel = true, .leaf7_ebx = RTM, .leaf7_edx = EDX_CAPABILITIES, .capabilities = 0x2b },
		"ibrv", "l", "TAA", "the CPU is not affected", 1, 1, true, true, true },
	{ "the same without TSX", { .intel = true, .leaf7_edx = EDX_CAPABILITIES, .capabilities = 0xab },
		"ibr", "vl", "the CPU is not affected", NULL, 1, 1, true, true, false },
	{ "Ice Lake-SP: TAA_NO, FB_CLEAR, but not immune to stale MMIO data",
		{ .intel = true, .leaf7_edx = EDX_CAPABILITIES, .capabilities = 0x20d6b },
		"ibrv", "l", "MMIO stale data", "the CPU is not affected", 1, 1, true, true, false },
	{ "Sapphire Rapids: all _NO, BHI controls, not PBRSB_NO", { .intel = true, .leaf7_edx = EDX_CAPABILITIES,
		.leaf7_2_edx = BIT(4), .capabilities = 0x2b | BIT(8) | 7 << 13 | BIT(17) },
		"ibr", "vl", "the CPU is not affected", NULL, 0x401, 0x401, true, true, false },
	{ "one with PBRSB_NO and BHI_NO", { .intel = true, .leaf7_edx = EDX_CAPABILITIES, .leaf7_2_edx = BIT(4),
		.capabilities = 0x2b | BIT(8) | 7 << 13 | BIT(20) | BIT(24) },
		"ib", "rvl", "the CPU is not affected", NULL, 1, 1, true, true, false },
	{ "Gracemont: register files leak", { .intel = true, .leaf7_edx = EDX_CAPABILITIES,
		.capabilities = 0x2b | BIT(8) | 7 << 13 | BIT(24) | BIT(28) },
		"ibv", "rl", "RFDS", NULL, 1, 1, true, true, false },
	{ "the same, said not to", { .intel = true, .leaf7_edx = EDX_CAPABILITIES,
		.capabilities = 0x2b | BIT(8) | 7 << 13 | BIT(24) | BIT(27) | BIT(28) },
		"ib", "rvl", "the CPU is not affected", NULL, 1, 1, true, true, false },
	{ "a guest of a host that flushes: SKIP_L1DFL_VMENTRY alone",
		{ .intel = true, .leaf7_edx = EDX_CAPABILITIES, .capabilities = BIT(3) },
		"ibrv", "l", "MDS", "not needed, says the CPU or its host", 1, 0, .smt_leaks = true },
	{ "EPYC 7601 (Zen 1), old microcode", { .amd = true },
		"", "rv", "the CPU is not affected", "the CPU is not affected", .smt_leaks = true },
	{ "EPYC 7601 (Zen 1): IBPB", { .amd = true, .amd_8_ebx = BIT(12) },
		"ir", "v", "the CPU is not affected", NULL, .smt_leaks = true },
	{ "EPYC 7702 (Zen 2): IBPB, IBRS, STIBP, SSBD",
		{ .amd = true, .amd_8_ebx = BIT(12) | BIT(14) | BIT(15) | BIT(24) },
		"ibr", "v", NULL, NULL, 3, 2, false, false, false },
	{ "EPYC 7763 (Zen 3) with VERW_CLEAR: TSA", { .amd = true,
		.amd_8_ebx = BIT(12) | BIT(14) | BIT(15) | BIT(24), .amd_21_eax = BIT(5) },
		"ibrv", "", "TSA", NULL, 3, 2, false, false, false },
	{ "EPYC 9654 (Zen 4): automatic IBRS, TSA", { .amd = true,
		.amd_8_ebx = BIT(12) | BIT(14) | BIT(15) | BIT(24), .amd_21_eax = BIT(5) | BIT(8) },
		"ibv", "r", "TSA", NULL, 2, 2, true, false, false },
	{ "Zen 5: automatic IBRS, not affected by TSA", { .amd = true,
		.amd_8_ebx = BIT(12) | BIT(14) | BIT(15) | BIT(24), .amd_21_eax = BIT(5) | BIT(8), .amd_21_ecx = 6 },
		"ib", "rv", "the CPU is not affected", NULL, 2, 2, true, false, false },
	{ "half affected by TSA", { .amd = true, .amd_8_ebx = BIT(12), .amd_21_eax = BIT(5), .amd_21_ecx = 2 },
		"irv", "", "TSA", NULL, .smt_leaks = true },
};

static const char letters[] = "ibrvl"; /* in the order of enum mitigation */

static void each_cpu_gets_what_it_needs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cpus); i++) {
		struct mitigation_plan plan;

		print_message("%s\n", cpus[i].cpu);
		memset(&plan, 0xff, sizeof(plan));
		mitigation_decide(&cpus[i].facts, &plan);
		for (int m = 0; m < MITIGATIONS; m++) {
			bool on = strchr(cpus[i].on, letters[m]);

			assert_int_equal(plan.parts[m].wanted, on);
			assert_int_equal(plan.parts[m].possible, on || strchr(cpus[i].possible, letters[m]));
			assert_non_null(plan.parts[m].reason);
		}
		if (cpus[i].verw)
			assert_string_equal(plan.parts[MITIGATION_VERW].reason, cpus[i].verw);
		if (cpus[i].l1d)
			assert_string_equal(plan.parts[MITIGATION_L1D].reason, cpus[i].l1d);
		assert_int_equal(plan.spec_ctrl, cpus[i].spec_ctrl);
		assert_int_equal(plan.spec_ctrl_guest, cpus[i].spec_ctrl_guest);
		assert_int_equal(plan.ibrs_once, cpus[i].once);
		assert_int_equal(plan.rsb_one, cpus[i].rsb_one);
		assert_int_equal(plan.smt_leaks, cpus[i].smt_leaks);
	}
}

static void names_are_found(void **state)
{
	(void)state;
	for (unsigned int m = 0; m < MITIGATIONS; m++) {
		assert_int_equal(mitigation_find(mitigation_name(m), strlen(mitigation_name(m))), m);
		assert_non_null(mitigation_title(m));
	}
	assert_null(mitigation_name(MITIGATIONS));
	assert_int_equal(mitigation_find("ibp", 3), -1);
	assert_int_equal(mitigation_find("ibpbx", 4), MITIGATION_IBPB);
	assert_int_equal(mitigation_find("", 0), -1);
}

/* --- Topology --- */

struct answer {
	uint32_t leaf;
	struct cpuid_result result;
};

static const struct answer *answers;

static struct cpuid_result query(uint32_t leaf, uint32_t subleaf)
{
	assert_int_equal(subleaf, 0);
	for (const struct answer *at = answers; at->leaf != 1 || at->result.eax != 0xdead; at++)
		if (at->leaf == leaf)
			return at->result;
	return (struct cpuid_result){ 0 };
}

#define END { 1, { 0xdead, 0, 0, 0 } }
static const struct answer xeon[] = {
	{ 0, { 0x1f, 0, 0, 0 } }, { 0x1f, { 1, 2, 0x100, 0 } }, { 0xb, { 5, 40, 0x100, 0 } }, END };
static const struct answer xeon_0b[] = { { 0, { 0x1f, 0, 0, 0 } }, { 0xb, { 1, 2, 0x100, 0 } }, END };
static const struct answer without_threads[] = { { 0, { 0xd, 0, 0, 0 } }, { 0xb, { 0, 1, 0x100, 0 } }, END };
static const struct answer bochs[] = { { 0, { 0x16, 0, 0, 0 } }, { 0xb, { 1, 1, 0x100, 0 } }, END };
static const struct answer zen1[] = { { 0, { 0xd, 0, 0, 0 } }, { 0x80000000, { 0x8000001e, 0, 0, 0 } },
	{ 0x80000001, { 0, 0, 0x400000, 0 } }, { 0x8000001e, { 0, 0x100, 0, 0 } }, END };
static const struct answer old_amd[] = { { 0, { 0xd, 0, 0, 0 } }, { 0x80000000, { 0x80000008, 0, 0, 0 } }, END };
/* A quad core with threads, before leaf 0xb; of a dual core without any. */
static const struct answer nehalem[] = { { 0, { 0xa, 0, 0, 0 } }, { 1, { 0, 8 << 16, 0, 1 << 28 } },
	{ 4, { 3U << 26, 0, 0, 0 } }, END };
static const struct answer core2[] = { { 0, { 0xa, 0, 0, 0 } }, { 1, { 0, 2 << 16, 0, 1 << 28 } },
	{ 4, { 1U << 26, 0, 0, 0 } }, END };
static const struct answer liar[] = { { 0, { 0x1f, 0, 0, 0 } }, { 0x1f, { 31, 2, 0x100, 0 } }, END };

static void threads_are_told_by_apic_ids(void **state)
{
	static const struct {
		const struct answer *answers;
		unsigned int bits;
	} machines[] = {
		{ xeon, 1 }, { xeon_0b, 1 }, { without_threads, 0 }, { bochs, 0 }, { zen1, 1 }, { old_amd, 0 },
		{ nehalem, 1 }, { core2, 0 }, { liar, 31 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
		answers = machines[i].answers;
		assert_int_equal(topology_thread_bits(query), machines[i].bits);
	}
}

struct cpu *cpu_by_id(unsigned int id)
{
	(void)id;
	return NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_cpu_gets_what_it_needs),
		cmocka_unit_test(names_are_found),
		cmocka_unit_test(threads_are_told_by_apic_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
