/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID exits: the VM's table, the hypervisor's leaves, and what depends on the vCPU's state. */
#include "vcpu/cpuid.h"
#include "vcpu/exits.h"
#include "vcpu/fpu.h"
#include "vcpu/lapic.h"
#include "vcpu/pv.h"
#include "vcpu/pvclock.h"
#include "vcpu/vm.h"

static const struct cpuid_result nothing;

/*
 * 0x40000000 is Ballast's own signature; 0x40000100 is the KVM ABI's, which unmodified Linux looks
 * for at every multiple of 0x100 and uses what it offers.
 */
static const struct cpuid_result *hypervisor_leaf(uint32_t leaf)
{
	static const struct cpuid_result own = /* "BallastType1" */
		{ 0x40000000, 0x6c6c6142, 0x54747361, 0x31657079 };
	static const struct cpuid_result kvm = /* "KVMKVMKVM" */
		{ 0x40000101, 0x4b4d564b, 0x564b4d56, 0x4d };
	static const struct cpuid_result kvm_features = {
		PVCLOCK_FEATURE_CLOCKSOURCE | PVCLOCK_FEATURE_CLOCKSOURCE2 |
			PVCLOCK_FEATURE_NOP_IO_DELAY | PVCLOCK_FEATURE_STABLE |
			PV_FEATURE_STEAL_TIME | PV_FEATURE_EOI | PV_FEATURE_UNHALT |
			PV_FEATURE_TLB_FLUSH | PV_FEATURE_SEND_IPI | PV_FEATURE_SCHED_YIELD,
		0, 0, 0 };

	switch (leaf) {
	case 0x40000000:
		return &own;
	case 0x40000100:
		return &kvm;
	case 0x40000101:
		return &kvm_features;
	default:
		return &nothing;
	}
}

static const struct cpuid_result *find_subleaf(
	const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	for (size_t i = 0; i < table->subleaf_count; i++) {
		if (table->subleaves[i].leaf == leaf && table->subleaves[i].subleaf == subleaf)
			return &table->subleaves[i].registers;
	}
	return &nothing;
}

static const struct cpuid_result *find_leaf(
	const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	if (leaf - 0x80000000U < CPUID_EXTENDED_LEAVES && leaf <= table->extended_max)
		return &table->extended[leaf - 0x80000000U].registers;
	if (leaf - 0x40000000U < 0x10000)
		return hypervisor_leaf(leaf);
	/* Intel answers the highest basic leaf for one out of range, AMD zeroes. */
	if (leaf > table->basic_max) {
		if (!table->intel)
			return &nothing;
		leaf = table->basic_max;
	}
	if (table->basic[leaf].has_subleaves)
		return find_subleaf(table, leaf, subleaf);
	return &table->basic[leaf].registers;
}

/* What depends on the vCPU and on what the guest has set up. */
static void patch_leaf(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
	const struct cpuid_table *table = vcpu->vm->cpuid;
	uint64_t *gpr = vcpu->regs.gpr;

	switch (leaf) {
	case 1:
		vcpu_need(vcpu, REG_CR4);
		gpr[GPR_RBX] |= (vcpu->id & 0xff) << 24;
		if (vcpu->special.cr4 & CR4_OSXSAVE)
			gpr[GPR_RCX] |= BIT(27);
		if (!lapic_enabled(vcpu))
			gpr[GPR_RDX] &= ~BIT(9);
		break;
	case 7:
		vcpu_need(vcpu, REG_CR4);
		if (subleaf == 0 && (vcpu->special.cr4 & CR4_PKE))
			gpr[GPR_RCX] |= BIT(4);
		break;
	case 0xb:
	case 0x1f:
		/* A level beyond the last is empty, but for its own number. */
		gpr[GPR_RCX] |= subleaf & 0xff;
		gpr[GPR_RDX] = vcpu->id;
		break;
	case 0xd:
		if (subleaf == 0)
			gpr[GPR_RBX] = cpuid_xsave_bytes(table, fpu_guest_xcr0());
		if (subleaf == 1)
			gpr[GPR_RBX] = cpuid_xsave_compacted_bytes(table, fpu_guest_xcr0());
		break;
	case 0x80000001:
		if (!lapic_enabled(vcpu))
			gpr[GPR_RDX] &= ~BIT(9);
		break;
	}
}

enum exit_action exit_cpuid(struct vcpu *vcpu)
{
	uint64_t *gpr = vcpu->regs.gpr;
	uint32_t leaf = gpr[GPR_RAX], subleaf = gpr[GPR_RCX];
	const struct cpuid_result *result = find_leaf(vcpu->vm->cpuid, leaf, subleaf);

	gpr[GPR_RAX] = result->eax;
	gpr[GPR_RBX] = result->ebx;
	gpr[GPR_RCX] = result->ecx;
	gpr[GPR_RDX] = result->edx;
	if (leaf - 1 < 0x1f || leaf == 0x80000001)
		patch_leaf(vcpu, leaf, subleaf);
	return ACTION_ADVANCE;
}
