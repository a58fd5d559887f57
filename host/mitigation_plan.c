/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/mitigation_plan.h"

#include "lib/string.h"

/* CPUID 7.0 EBX and EDX, 7.2 EDX. */
#define LEAF7_RTM BIT(11)
#define LEAF7_MD_CLEAR BIT(10)
#define LEAF7_SPEC_CTRL BIT(26) /* IBRS and IBPB */
#define LEAF7_L1D_FLUSH BIT(28)
#define LEAF7_2_BHI_CTRL BIT(4)

/* IA32_ARCH_CAPABILITIES */
#define CAP_RDCL_NO BIT(0)
#define CAP_IBRS_ALL BIT(1)
#define CAP_SKIP_L1DFL BIT(3)
#define CAP_MDS_NO BIT(5)
#define CAP_TAA_NO BIT(8)
#define CAP_SBDR_SSDP_NO BIT(13)
#define CAP_FBSDP_NO BIT(14)
#define CAP_PSDP_NO BIT(15)
#define CAP_FB_CLEAR BIT(17)
#define CAP_BHI_NO BIT(20)
#define CAP_PBRSB_NO BIT(24)
#define CAP_RFDS_NO BIT(27)
#define CAP_RFDS_CLEAR BIT(28)
#define CAP_MMIO_NO (CAP_SBDR_SSDP_NO | CAP_FBSDP_NO | CAP_PSDP_NO)

/* CPUID 0x80000008 EBX, 0x80000021 EAX and ECX. */
#define AMD_IBPB BIT(12)
#define AMD_IBRS BIT(14)
#define AMD_STIBP BIT(15)
#define AMD_AUTO_IBRS BIT(8)
#define AMD_VERW_CLEAR BIT(5)
#define AMD_TSA_SQ_NO BIT(1)
#define AMD_TSA_L1_NO BIT(2)

#define SPEC_CTRL_IBRS BIT(0)
#define SPEC_CTRL_STIBP BIT(1)
#define SPEC_CTRL_BHI_DIS_S BIT(10)

static const struct {
	const char *name, *title;
} names[MITIGATIONS] = {
	[MITIGATION_IBPB] = { "ibpb", "IBPB when a CPU changes VM" },
	[MITIGATION_IBRS] = { "ibrs", "IBRS in the host" },
	[MITIGATION_RSB] = { "rsb", "RSB fill after exits" },
	[MITIGATION_VERW] = { "verw", "VERW before entries" },
	[MITIGATION_L1D] = { "l1d", "L1D flush before entries" },
};

const char *mitigation_name(unsigned int mitigation)
{
	return mitigation < MITIGATIONS ? names[mitigation].name : NULL;
}

const char *mitigation_title(unsigned int mitigation)
{
	return names[mitigation].title;
}

int mitigation_find(const char *name, size_t length)
{
	for (int i = 0; i < MITIGATIONS; i++)
		if (strlen(names[i].name) == length && memcmp(names[i].name, name, length) == 0)
			return i;
	return -1;
}

static void set(struct mitigation_plan *plan, enum mitigation which, bool possible, bool wanted,
	const char *reason)
{
	plan->parts[which].possible = possible;
	plan->parts[which].wanted = possible && wanted;
	plan->parts[which].reason = reason;
}

static bool has_ibpb(const struct mitigation_facts *f)
{
	return f->intel ? f->leaf7_edx & LEAF7_SPEC_CTRL : f->amd_8_ebx & AMD_IBPB;
}

static void decide_ibpb(const struct mitigation_facts *f, struct mitigation_plan *plan)
{
	bool has = has_ibpb(f);

	set(plan, MITIGATION_IBPB, has, true,
		has ? "Spectre v2 between VMs" : "the CPU, or its microcode, has none");
}

/*
 * Set once, IBRS keeps predictions of one privilege and mode from the other (Intel: IBRS_ALL; AMD:
 * automatic IBRS). Older CPUs want it written anew whenever the host is entered, and are slow while
 * it is set.
 */
static void decide_ibrs(const struct mitigation_facts *f, struct mitigation_plan *plan)
{
	bool all = f->intel && (f->leaf7_edx & LEAF7_SPEC_CTRL) && (f->capabilities & CAP_IBRS_ALL);
	bool old = f->intel ? f->leaf7_edx & LEAF7_SPEC_CTRL : f->amd_8_ebx & AMD_IBRS;

	plan->ibrs_automatic = f->amd && (f->amd_21_eax & AMD_AUTO_IBRS);
	plan->ibrs_once = all || plan->ibrs_automatic;
	if (f->amd && (f->amd_8_ebx & AMD_STIBP))
		plan->spec_ctrl |= SPEC_CTRL_STIBP;
	if (all && (f->leaf7_2_edx & LEAF7_2_BHI_CTRL) && !(f->capabilities & CAP_BHI_NO))
		plan->spec_ctrl |= SPEC_CTRL_BHI_DIS_S;
	plan->spec_ctrl_guest = plan->spec_ctrl;
	if (all || (old && !plan->ibrs_automatic))
		plan->spec_ctrl |= SPEC_CTRL_IBRS;
	if (all)
		plan->spec_ctrl_guest |= SPEC_CTRL_IBRS;
	if (all)
		set(plan, MITIGATION_IBRS, true, true, "Spectre v2, enhanced IBRS, set once");
	else if (plan->ibrs_automatic)
		set(plan, MITIGATION_IBRS, true, true, "Spectre v2, automatic IBRS, set once");
	else
		set(plan, MITIGATION_IBRS, old, true, old ? "Spectre v2, written at each exit" :
			"the CPU, or its microcode, has none");
}

/*
 * Filling the return stack alone is no protection where indirect branches are open to the guest all
 * the same: without speculation controls it is left to the operator.
 */
static void decide_rsb(const struct mitigation_facts *f, struct mitigation_plan *plan)
{
	if (plan->ibrs_automatic)
		set(plan, MITIGATION_RSB, true, false, "an exit clears it: automatic IBRS");
	else if (!has_ibpb(f))
		set(plan, MITIGATION_RSB, true, false, "the CPU has no speculation controls");
	else if (!plan->ibrs_once)
		set(plan, MITIGATION_RSB, true, true, "Spectre v2, return addresses");
	else if (f->capabilities & CAP_PBRSB_NO)
		set(plan, MITIGATION_RSB, true, false, "not needed: enhanced IBRS, PBRSB_NO");
	else
		set(plan, MITIGATION_RSB, true, true, "post-barrier return address (PBRSB)");
	plan->rsb_one = plan->ibrs_once && f->intel;
}

/* What leaks from the buffers that VERW overwrites; NULL: nothing, or it does not help. */
static const char *verw_reason(const struct mitigation_facts *f)
{
	uint64_t cap = f->capabilities;
	bool clears = f->leaf7_edx & LEAF7_MD_CLEAR;

	if (f->amd)
		return (f->amd_21_eax & AMD_VERW_CLEAR) &&
			(f->amd_21_ecx & (AMD_TSA_SQ_NO | AMD_TSA_L1_NO)) !=
			(AMD_TSA_SQ_NO | AMD_TSA_L1_NO) ? "TSA" : NULL;
	if (clears && !(cap & CAP_MDS_NO))
		return "MDS";
	if (clears && !(cap & CAP_TAA_NO) && (f->leaf7_ebx & LEAF7_RTM))
		return "TAA";
	if ((cap & CAP_FB_CLEAR) && (cap & CAP_MMIO_NO) != CAP_MMIO_NO)
		return "MMIO stale data";
	if ((cap & CAP_RFDS_CLEAR) && !(cap & CAP_RFDS_NO))
		return "RFDS";
	return NULL;
}

static void decide_verw(const struct mitigation_facts *f, struct mitigation_plan *plan)
{
	const char *reason = verw_reason(f);
	bool blind = f->intel && !(f->leaf7_edx & LEAF7_MD_CLEAR) &&
		!(f->capabilities & CAP_MDS_NO);

	set(plan, MITIGATION_VERW, true, reason, reason ? reason :
		blind ? "it clears nothing: microcode without MD_CLEAR" :
		"the CPU is not affected");
}

static void decide_l1d(const struct mitigation_facts *f, struct mitigation_plan *plan)
{
	bool has = f->leaf7_edx & LEAF7_L1D_FLUSH;

	if (!f->intel || (f->capabilities & CAP_RDCL_NO))
		set(plan, MITIGATION_L1D, f->intel && has, false, "the CPU is not affected");
	else if (f->capabilities & CAP_SKIP_L1DFL)
		set(plan, MITIGATION_L1D, has, false, "not needed, says the CPU or its host");
	else
		set(plan, MITIGATION_L1D, has, true,
			has ? "L1TF" : "L1TF, but the microcode has no flush");
}

static void decide_smt(const struct mitigation_facts *f, struct mitigation_plan *plan)
{
	uint64_t cap = f->capabilities;
	const char *reason = NULL;

	if (f->intel && !(cap & CAP_RDCL_NO))
		reason = "L1TF: siblings share the L1 data cache";
	else if (f->intel && !(cap & CAP_MDS_NO))
		reason = "MDS: siblings share buffers";
	else if (f->intel && !(cap & CAP_TAA_NO) && (f->leaf7_ebx & LEAF7_RTM))
		reason = "TAA: siblings share buffers";
	else if (f->intel ? !(cap & CAP_IBRS_ALL) : !(f->amd_8_ebx & AMD_STIBP))
		reason = "siblings share branch predictions";
	plan->smt_leaks = reason;
	plan->smt_reason = reason ? reason : "siblings are kept apart by the CPU";
}

void mitigation_decide(const struct mitigation_facts *facts, struct mitigation_plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	decide_ibpb(facts, plan);
	decide_ibrs(facts, plan);
	decide_rsb(facts, plan);
	decide_verw(facts, plan);
	decide_l1d(facts, plan);
	decide_smt(facts, plan);
}
