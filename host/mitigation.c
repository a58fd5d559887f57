/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/mitigation.h"

#include "host/log.h"
#include "host/x86.h"
#include "lib/string.h"

#define MITIGATION_CONSTANT(name, value) enum { name = value };
#include "host/mitigation.inc"

#define COUNT_OFFSET(which) offsetof(struct cpu, mitigated[which])
_Static_assert(MITIGATIONS == CPU_MITIGATIONS, "host/cpu.h");
_Static_assert(CPU_COUNT_IBRS == COUNT_OFFSET(MITIGATION_IBRS), "mitigated");
_Static_assert(CPU_COUNT_RSB == COUNT_OFFSET(MITIGATION_RSB), "mitigated");
_Static_assert(CPU_COUNT_VERW == COUNT_OFFSET(MITIGATION_VERW), "mitigated");
_Static_assert(CPU_COUNT_L1D == COUNT_OFFSET(MITIGATION_L1D), "mitigated");
_Static_assert(CPU_L1D_STALE == offsetof(struct cpu, l1d_stale), "l1d_stale");

#define PRED_CMD_IBPB BIT(0)
#define EFER_AIBRSE BIT(21)
#define LEAF7_SPEC_CTRL BIT(26)
#define LEAF7_ARCH_CAPABILITIES BIT(29)
#define AMD_HAS_SPEC_CTRL (BIT(14) | BIT(15) | BIT(24)) /* 0x80000008 EBX */

struct mitigation_plan mitigation_plan;
uint32_t mitigation_steps;
uint32_t mitigation_generation;

/* What SPEC_CTRL is set to at an exit and before an entry, with STEP_IBRS. */
extern uint32_t mitigation_spec_host, mitigation_spec_guest;
uint32_t mitigation_spec_host, mitigation_spec_guest;

static struct mitigation_facts boot_facts;         /* [I] */
static bool has_spec_ctrl;                         /* [I] */
static enum mitigation_mode modes[MITIGATIONS];    /* boot CPU */
static uint32_t ibpb_on;                           /* [a] */
static uint64_t spec_ctrl_now;                     /* [a] SPEC_CTRL on a CPU that follows */
static uint32_t automatic_now;                     /* [a] EFER.AIBRSE likewise */

static void read_intel(struct mitigation_facts *facts)
{
	struct cpuid_result leaf;

	facts->intel = true;
	if (cpuid(0, 0).eax < 7)
		return;
	leaf = cpuid(7, 0);
	facts->leaf7_ebx = leaf.ebx;
	facts->leaf7_edx = leaf.edx;
	if (leaf.eax >= 2)
		facts->leaf7_2_edx = cpuid(7, 2).edx;
	if ((leaf.edx & LEAF7_ARCH_CAPABILITIES) &&
		rdmsr_safe(MSR_ARCH_CAPABILITIES, &facts->capabilities))
		facts->capabilities = 0;
}

static void read_amd(struct mitigation_facts *facts)
{
	uint32_t last = cpuid(0x80000000, 0).eax;
	struct cpuid_result leaf;

	facts->amd = true;
	if (last >= 0x80000008)
		facts->amd_8_ebx = cpuid(0x80000008, 0).ebx;
	if (last < 0x80000021)
		return;
	leaf = cpuid(0x80000021, 0);
	facts->amd_21_eax = leaf.eax;
	facts->amd_21_ecx = leaf.ecx;
}

static void read_facts(struct mitigation_facts *facts)
{
	struct cpuid_result zero = cpuid(0, 0);
	uint32_t name[3] = { zero.ebx, zero.edx, zero.ecx };

	memset(facts, 0, sizeof(*facts));
	if (!memcmp(name, "GenuineIntel", sizeof(name)))
		read_intel(facts);
	else
		read_amd(facts);
}

bool mitigation_is_on(enum mitigation which)
{
	if (modes[which] == MITIGATION_AUTO)
		return mitigation_plan.parts[which].wanted;
	return modes[which] == MITIGATION_ON && mitigation_plan.parts[which].possible;
}

uint64_t mitigation_count(enum mitigation which)
{
	uint64_t sum = 0;

	for (unsigned int id = 0; id < cpu_count(); id++)
		sum += __atomic_load_n(&cpu_by_id(id)->mitigated[which], __ATOMIC_RELAXED);
	return sum;
}

static uint32_t choose_steps(void)
{
	uint32_t steps = 0;

	if (mitigation_is_on(MITIGATION_VERW))
		steps |= STEP_VERW;
	if (mitigation_is_on(MITIGATION_L1D))
		steps |= STEP_L1D;
	if (mitigation_is_on(MITIGATION_RSB))
		steps |= mitigation_plan.rsb_one ? STEP_RSB_ONE : STEP_RSB;
	if (mitigation_is_on(MITIGATION_IBRS) && !mitigation_plan.ibrs_once)
		steps |= STEP_IBRS;
	return steps;
}

/*
 * Steps that are not due any more may be left out at once, and new ones are only reached through a
 * vCPU's load: an entry between the stores does less or more than either choice, but nothing wrong.
 */
static void publish(void)
{
	const struct mitigation_plan *plan = &mitigation_plan;
	bool ibrs = mitigation_is_on(MITIGATION_IBRS);

	mitigation_spec_host = (uint32_t)plan->spec_ctrl;
	mitigation_spec_guest = (uint32_t)plan->spec_ctrl_guest;
	spec_ctrl_now = ibrs ? plan->spec_ctrl :
		modes[MITIGATION_IBRS] == MITIGATION_OFF ? 0 : plan->spec_ctrl_guest;
	automatic_now = ibrs && plan->ibrs_automatic;
	ibpb_on = mitigation_is_on(MITIGATION_IBPB);
	__atomic_store_n(&mitigation_steps, choose_steps(), __ATOMIC_RELEASE);
	__atomic_fetch_add(&mitigation_generation, 1, __ATOMIC_RELEASE);
}

int mitigation_set(enum mitigation which, enum mitigation_mode mode)
{
	if (mode == MITIGATION_ON && !mitigation_plan.parts[which].possible)
		return -ENOTSUP;
	modes[which] = mode;
	publish();
	return 0;
}

void mitigation_init(void)
{
	read_facts(&boot_facts);
	mitigation_decide(&boot_facts, &mitigation_plan);
	has_spec_ctrl = boot_facts.intel ? boot_facts.leaf7_edx & LEAF7_SPEC_CTRL :
		boot_facts.amd_8_ebx & AMD_HAS_SPEC_CTRL;
	publish();
}

int mitigation_init_cpu(struct cpu *cpu)
{
	struct mitigation_facts here;

	read_facts(&here);
	if (memcmp(&here, &boot_facts, sizeof(here))) {
		log_line("cpu %u: its speculation controls differ from the boot CPU's", cpu->id);
		return -ENOTSUP;
	}
	mitigation_follow(cpu);
	return 0;
}

void mitigation_follow(struct cpu *cpu)
{
	uint64_t efer = rdmsr(MSR_EFER);

	/* What changes after this look is met by the next. */
	cpu->mitigation_generation = __atomic_load_n(&mitigation_generation, __ATOMIC_ACQUIRE);
	if (has_spec_ctrl)
		wrmsr(MSR_SPEC_CTRL, spec_ctrl_now);
	if (mitigation_plan.ibrs_automatic)
		wrmsr(MSR_EFER, automatic_now ? efer | EFER_AIBRSE : efer & ~EFER_AIBRSE);
	if ((mitigation_plan.ibrs_once && spec_ctrl_now) || automatic_now)
		cpu->mitigated[MITIGATION_IBRS]++;
}

/* Nothing but a predictor barrier, by itself: tests count it. */
static __attribute__((noinline)) void mitigation_barrier(void)
{
	wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
}

void mitigation_enter_domain(struct cpu *cpu, uint64_t domain)
{
	if (cpu->domain == domain)
		return;
	cpu->domain = domain;
	if (!__atomic_load_n(&ibpb_on, __ATOMIC_RELAXED))
		return;
	mitigation_barrier();
	cpu->mitigated[MITIGATION_IBPB]++;
}
