/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSR exits: one table says what each MSR is here and why. What the table does not name raises
 * #GP, as an MSR that does not exist; the log notes it.
 */
#include "vcpu/msr.h"

#include "host/log.h"
#include "host/x86.h"
#include "vcpu/exits.h"
#include "vcpu/lapic.h"
#include "vcpu/pv.h"
#include "vcpu/pvclock.h"
#include "vcpu/vm.h"

const uint32_t msr_passthrough[] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_PAT, MSR_TSC_AUX,
};
const size_t msr_passthrough_count = ARRAY_SIZE(msr_passthrough);

#define MTRR_VARIABLE_COUNT 8
#define MTRR_CAP_FIXED BIT(8)
#define MTRR_CAP_WC BIT(10)
#define MTRR_DEF_ENABLE BIT(11)
#define MTRR_DEF_FIXED_ENABLE BIT(10)

struct msr_policy {
	uint32_t first, last;
	/*
	 * 0, or -EIO for #GP; a write -EAGAIN to be made again in a while. NULL: reads as `value`,
	 * or takes any write and forgets it.
	 */
	int (*read)(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
	int (*write)(struct vcpu *vcpu, uint32_t msr, uint64_t value);
	uint64_t value;
	const char *why;
};

static int write_refused(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	(void)vcpu, (void)msr, (void)value;
	return -EIO;
}

static int write_zero_only(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	(void)vcpu, (void)msr;
	return value ? -EIO : 0;
}

static int read_efer(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	(void)msr;
	vcpu_need(vcpu, REG_EFER);
	*value = vcpu->special.efer;
	return 0;
}

static int write_efer(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	uint64_t old;

	(void)msr;
	vcpu_need(vcpu, REG_EFER | REG_CR0);
	old = vcpu->special.efer;
	if (value & ~(vcpu->vm->cpuid->efer_allowed | EFER_LMA))
		return -EIO;
	if (((old ^ value) & EFER_LME) && (vcpu->special.cr0 & CR0_PG))
		return -EIO;
	/* LMA follows CR0.PG and LME; software cannot write it. */
	vcpu->special.efer = (value & ~EFER_LMA) | (old & EFER_LMA);
	vcpu_set_dirty(vcpu, REG_EFER);
	if ((old ^ value) & EFER_NXE)
		__atomic_fetch_or(&vcpu->requests, REQUEST_TLB_GUEST, __ATOMIC_RELAXED);
	return 0;
}

static int read_tsc(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = vcpu_tsc(vcpu);
	return 0;
}

static int write_tsc(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	(void)msr;
	pvclock_set_tsc(vcpu, value);
	lapic_tsc_changed(vcpu); /* an armed deadline is one of the new TSC's */
	return 0;
}

static int write_bios_sign(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	(void)msr;
	vcpu->msrs.bios_sign = value;
	return 0;
}

static int read_misc_enable(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = vcpu->msrs.misc_enable;
	return 0;
}

static int write_misc_enable(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	(void)msr;
	/* Linux clears "limit CPUID maximum" and sets fast strings; nothing here hangs on them. */
	vcpu->msrs.misc_enable = value | BIT(11) | BIT(12);
	return 0;
}

/* The storage behind a fixed-range MTRR, NULL for another number. */
static uint64_t *mtrr_fixed(struct vcpu *vcpu, uint32_t msr)
{
	if (msr == 0x250)
		return &vcpu->msrs.mtrr_fixed[0];
	if (msr == 0x258 || msr == 0x259)
		return &vcpu->msrs.mtrr_fixed[1 + (msr - 0x258)];
	if (msr >= 0x268 && msr <= 0x26f)
		return &vcpu->msrs.mtrr_fixed[3 + (msr - 0x268)];
	return NULL;
}

static uint64_t *mtrr_storage(struct vcpu *vcpu, uint32_t msr)
{
	if (msr == MSR_MTRR_DEF_TYPE)
		return &vcpu->msrs.mtrr_def_type;
	if (msr >= MSR_MTRR_PHYSBASE0 && msr < MSR_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE_COUNT)
		return &vcpu->msrs.mtrr_variable[msr - MSR_MTRR_PHYSBASE0];
	return mtrr_fixed(vcpu, msr);
}

static bool memory_type_valid(uint8_t type)
{
	return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

/* Reserved bits and types raise #GP (Intel SDM vol. 3, "Memory Type Range Registers"). */
static bool mtrr_valid(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (msr == MSR_MTRR_DEF_TYPE)
		return memory_type_valid(value & 0xff) &&
			!(value & ~(0xffULL | MTRR_DEF_ENABLE | MTRR_DEF_FIXED_ENABLE));
	if (msr < 0x250) {
		uint64_t reserved = ~(BIT(vcpu->vm->cpuid->physical_bits) - 1);

		if (msr & 1)
			return !(value & (reserved | 0x7ff));
		return !(value & (reserved | 0xf00)) && memory_type_valid(value & 0xff);
	}
	for (unsigned int i = 0; i < 8; i++) {
		if (!memory_type_valid(value >> (8 * i)))
			return false;
	}
	return true;
}

static int read_mtrr(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const uint64_t *storage = mtrr_storage(vcpu, msr);

	if (!storage)
		return -EIO;
	*value = *storage;
	return 0;
}

static int write_mtrr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	uint64_t *storage = mtrr_storage(vcpu, msr);

	if (!storage || !mtrr_valid(vcpu, msr, value))
		return -EIO;
	*storage = value;
	return 0;
}

/* In ascending order of `first`: found by binary search. */
static const struct msr_policy policies[] = {
	{ MSR_TSC, MSR_TSC, read_tsc, write_tsc, 0, "moves the VM's offset" },
	{ MSR_PVCLOCK_WALL_OLD, MSR_PVCLOCK_SYSTEM_OLD, pvclock_rdmsr, pvclock_wrmsr, 0,
		"KVM's clock" },
	{ MSR_APIC_BASE, MSR_APIC_BASE, lapic_rdmsr, lapic_wrmsr, 0, "virtual LAPIC" },
	{ MSR_BIOS_SIGN, MSR_BIOS_SIGN, NULL, write_bios_sign, 0, "no microcode revision" },
	{ MSR_PLATFORM_INFO, MSR_PLATFORM_INFO, NULL, write_refused, 0, "no turbo ratios" },
	{ MSR_MTRRCAP, MSR_MTRRCAP, NULL, write_refused,
		MTRR_VARIABLE_COUNT | MTRR_CAP_FIXED | MTRR_CAP_WC, "as real CPUs have it" },
	{ 0x140, 0x140, NULL, write_zero_only, 0, "MISC_FEATURES_ENABLES: none" },
	{ MSR_MCG_CAP, MSR_MCG_STATUS, NULL, write_zero_only, 0, "no machine check banks" },
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, read_misc_enable, write_misc_enable, 0, "kept" },
	{ MSR_DEBUGCTL, MSR_DEBUGCTL, NULL, write_zero_only, 0, "no branch records" },
	/* Memory types come from the second-level tables and the PAT: these are only stored. */
	{ MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE_COUNT - 1, read_mtrr,
		write_mtrr, 0, "kept" },
	{ 0x250, 0x26f, read_mtrr, write_mtrr, 0, "fixed MTRRs, kept" },
	{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, read_mtrr, write_mtrr, 0, "kept" },
	{ MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, lapic_rdmsr, lapic_wrmsr, 0, "virtual LAPIC" },
	{ MSR_X2APIC_FIRST, MSR_X2APIC_LAST, lapic_rdmsr, lapic_wrmsr, 0, "virtual LAPIC" },
	{ MSR_PVCLOCK_WALL, MSR_PVCLOCK_SYSTEM, pvclock_rdmsr, pvclock_wrmsr, 0, "KVM's clock" },
	{ MSR_PV_STEAL_TIME, MSR_PV_EOI, pv_rdmsr, pv_wrmsr, 0, "KVM's steal time and EOI" },
	{ MSR_EFER, MSR_EFER, read_efer, write_efer, 0, "checked" },
	{ 0xc0010000, 0xc0010007, NULL, NULL, 0, "K7 performance counters: none counts" },
	{ 0xc0010010, 0xc0010010, NULL, NULL, 0, "SYSCFG: no memory encryption" },
	{ 0xc0010015, 0xc0010015, NULL, NULL, BIT(24), "HWCR: the TSC counts at P0" },
	{ 0xc001001f, 0xc001001f, NULL, NULL, 0, "NB_CFG" },
	{ 0xc0010055, 0xc0010055, NULL, NULL, 0, "interrupt pending message: none" },
	{ 0xc0010058, 0xc0010058, NULL, NULL, 0, "no MMIO configuration space" },
	{ MSR_VM_CR, MSR_VM_CR, NULL, write_refused, BIT(4) | BIT(3), "SVM locked off" },
	{ 0xc0011029, 0xc0011029, NULL, NULL, BIT(1), "DE_CFG: LFENCE serialises" },
};

static const struct msr_policy *find_policy(uint32_t msr)
{
	size_t low = 0, high = ARRAY_SIZE(policies);

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (msr > policies[middle].last)
			low = middle + 1;
		else if (msr < policies[middle].first)
			high = middle;
		else
			return &policies[middle];
	}
	return NULL;
}

/* One note for each number and VM would need memory that a guest could fill: a few are enough. */
#define UNKNOWN_NOTES 64

static int unknown_msr(struct vcpu *vcpu, const char *what, uint32_t msr)
{
	if (vcpu->msrs.unknown_notes < UNKNOWN_NOTES) {
		vcpu->msrs.unknown_notes++;
		log_note("vm %s: %s of unknown MSR 0x%x: #GP", vcpu->vm->name, what, msr);
	}
	return -EIO;
}

static int read_policy(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const struct msr_policy *policy = find_policy(msr);

	if (!policy)
		return unknown_msr(vcpu, "read", msr);
	if (policy->read)
		return policy->read(vcpu, msr, value);
	*value = policy->value;
	return 0;
}

static int write_policy(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	const struct msr_policy *policy = find_policy(msr);

	if (!policy)
		return unknown_msr(vcpu, "write", msr);
	return policy->write ? policy->write(vcpu, msr, value) : 0;
}

/* The LAPIC's MSRs are by far the most frequent: they skip the search. */
static bool is_lapic_msr(uint32_t msr)
{
	return msr - MSR_X2APIC_FIRST < 0x100 || msr == MSR_TSC_DEADLINE ||
		msr == MSR_APIC_BASE;
}

enum exit_action exit_rdmsr(struct vcpu *vcpu)
{
	uint32_t msr = vcpu->regs.gpr[GPR_RCX];
	uint64_t value = 0;
	int error;

	if (is_lapic_msr(msr))
		error = lapic_rdmsr(vcpu, msr, &value);
	else
		error = read_policy(vcpu, msr, &value);
	if (error) {
		vcpu_inject_gp(vcpu);
		return ACTION_RESUME;
	}
	vcpu_set_edx_eax(vcpu, value);
	return ACTION_ADVANCE;
}

enum exit_action exit_wrmsr(struct vcpu *vcpu)
{
	uint32_t msr = vcpu->regs.gpr[GPR_RCX];
	uint64_t value = vcpu_edx_eax(vcpu);
	int error;

	if (is_lapic_msr(msr))
		error = lapic_wrmsr(vcpu, msr, value);
	else
		error = write_policy(vcpu, msr, value);
	if (unlikely(error)) {
		if (error == -EAGAIN)
			return ACTION_WAIT;
		vcpu_inject_gp(vcpu);
		return ACTION_RESUME;
	}
	return ACTION_ADVANCE;
}
