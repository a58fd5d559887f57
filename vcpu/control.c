/* SPDX-License-Identifier: BSD-2-Clause */
/* Control register and XSETBV exits: the checks that the CPU itself would make. */
#include "host/x86.h"
#include "vcpu/exits.h"
#include "vcpu/vm.h"

#define CR0_DEFINED                                                                                \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
		CR0_PG)

/* Bits whose change makes cached translations wrong (Intel SDM vol. 3, "Invalidation of TLBs"). */
#define CR0_FLUSHING (CR0_PG | CR0_WP)
#define CR4_FLUSHING (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_LA57)

static void request_flush(struct vcpu *vcpu)
{
	__atomic_fetch_or(&vcpu->requests, REQUEST_TLB_GUEST, __ATOMIC_RELAXED);
}

/* May paging be turned on in this state? (Intel SDM vol. 3, "Paging-Mode Enable") */
static bool may_enable_paging(struct vcpu *vcpu)
{
	vcpu_need(vcpu, REG_EFER | REG_CR4 | REG_CS);
	if (!(vcpu->special.efer & EFER_LME))
		return true;
	return (vcpu->special.cr4 & CR4_PAE) &&
		!(vcpu->special.segments[SEG_CS].attributes & SEGMENT_L);
}

static bool cr0_valid(struct vcpu *vcpu, uint64_t value, uint64_t old)
{
	if (value >> 32)
		return false;
	if ((value & CR0_PG) && !(value & CR0_PE))
		return false;
	if ((value & CR0_NW) && !(value & CR0_CD))
		return false;
	if ((value & ~old & CR0_PG) && !may_enable_paging(vcpu))
		return false;
	/* Leaving paging: not from 64-bit code, not with PCIDs. */
	if (old & ~value & CR0_PG) {
		vcpu_need(vcpu, REG_CR4 | REG_CS);
		if (vcpu->special.cr4 & CR4_PCIDE)
			return false;
		if (guest_mode_bits(vcpu) == 64)
			return false;
	}
	return true;
}

static void guest_write_cr0(struct vcpu *vcpu, uint64_t value)
{
	struct special_regs *special = &vcpu->special;
	uint64_t old;

	vcpu_need(vcpu, REG_CR0 | REG_EFER);
	old = special->cr0;
	if (!cr0_valid(vcpu, value, old)) {
		vcpu_inject_gp(vcpu);
		return;
	}
	special->cr0 = (value & CR0_DEFINED) | CR0_ET;
	vcpu_set_dirty(vcpu, REG_CR0);
	if ((old ^ value) & CR0_PG) {
		if ((value & CR0_PG) && (special->efer & EFER_LME))
			special->efer |= EFER_LMA;
		else
			special->efer &= ~EFER_LMA;
		vcpu_set_dirty(vcpu, REG_EFER);
	}
	if ((old ^ value) & CR0_FLUSHING)
		request_flush(vcpu);
}

static bool cr4_valid(struct vcpu *vcpu, uint64_t value, uint64_t old)
{
	const struct special_regs *special = &vcpu->special;

	if (value & ~vcpu->vm->cpuid->cr4_allowed)
		return false;
	if (!(special->efer & EFER_LMA))
		return !(value & ~old & CR4_PCIDE);
	if (!(value & CR4_PAE) || ((value ^ old) & CR4_LA57))
		return false;
	vcpu_need(vcpu, REG_CR3);
	return !(value & ~old & CR4_PCIDE) || !(special->cr3 & PAGE_MASK);
}

static void guest_write_cr4(struct vcpu *vcpu, uint64_t value)
{
	uint64_t old;

	vcpu_need(vcpu, REG_CR4 | REG_EFER);
	old = vcpu->special.cr4;
	if (!cr4_valid(vcpu, value, old)) {
		vcpu_inject_gp(vcpu);
		return;
	}
	vcpu->special.cr4 = value;
	vcpu_set_dirty(vcpu, REG_CR4);
	if ((old ^ value) & CR4_FLUSHING)
		request_flush(vcpu);
}

static void guest_write_cr3(struct vcpu *vcpu, uint64_t value)
{
	const struct cpuid_table *cpuid = vcpu->vm->cpuid;

	vcpu_need(vcpu, REG_EFER | REG_CR4);
	if (vcpu->special.efer & EFER_LMA) {
		/* Bit 63 says "keep the TLB" where PCIDs are in use; it is not stored. */
		if (vcpu->special.cr4 & CR4_PCIDE)
			value &= ~BIT(63);
		if (value >> cpuid->physical_bits) {
			vcpu_inject_gp(vcpu);
			return;
		}
	} else {
		value = (uint32_t)value;
	}
	vcpu->special.cr3 = value;
	vcpu_set_dirty(vcpu, REG_CR3);
	request_flush(vcpu);
}

static void guest_write_cr8(struct vcpu *vcpu, uint64_t value)
{
	if (value >> 4) {
		vcpu_inject_gp(vcpu);
		return;
	}
	vcpu->special.tpr = value << 4;
	vcpu_set_dirty(vcpu, REG_TPR);
	__atomic_fetch_or(&vcpu->requests, REQUEST_EVENTS, __ATOMIC_RELAXED);
}

static void write_register(struct vcpu *vcpu, unsigned int number, uint64_t value)
{
	switch (number) {
	case 0:
		guest_write_cr0(vcpu, value);
		break;
	case 3:
		guest_write_cr3(vcpu, value);
		break;
	case 4:
		guest_write_cr4(vcpu, value);
		break;
	case 8:
		guest_write_cr8(vcpu, value);
		break;
	default:
		vcpu_inject_ud(vcpu);
	}
}

static uint64_t read_register(struct vcpu *vcpu, unsigned int number)
{
	static const uint32_t group[] = { [0] = REG_CR0, [3] = REG_CR3, [4] = REG_CR4,
		[8] = REG_TPR };

	if (number < ARRAY_SIZE(group))
		vcpu_need(vcpu, group[number]);
	switch (number) {
	case 0:
		return vcpu->special.cr0;
	case 3:
		return vcpu->special.cr3;
	case 4:
		return vcpu->special.cr4;
	case 8:
		return vcpu->special.tpr >> 4;
	default:
		vcpu_inject_ud(vcpu);
		return 0;
	}
}

/* LMSW sets the low four bits of CR0 and can set but not clear PE. */
static uint64_t lmsw_result(uint64_t cr0, uint16_t source)
{
	uint64_t low = CR0_PE | CR0_MP | CR0_EM | CR0_TS;

	return (cr0 & ~(low & ~CR0_PE)) | (source & low);
}

/*
 * The top of a three-level hierarchy is read where CRs are written, when there is no way to wait.
 */
static bool directory_is_there(struct vcpu *vcpu, const struct exit_cr *cr)
{
	struct guest_memory *memory = &vcpu->vm->memory;
	gpa_t gpa;

	vcpu_need(vcpu, REG_EFER | REG_CR3);
	if (cr->access == CR_READ || vcpu->special.efer & EFER_LMA)
		return true;
	gpa = (uint32_t)(cr->access == CR_WRITE && cr->number == 3 ? vcpu->regs.gpr[cr->gpr] :
		vcpu->special.cr3);
	return !guest_memory_is_ram(memory, gpa) || guest_memory_ptr(memory, gpa, S2_READ, NULL);
}

enum exit_action exit_cr(struct vcpu *vcpu)
{
	const struct exit_cr *cr = &vcpu->exit.u.cr;

	vcpu_need(vcpu, REG_RSP | REG_CR0);
	if (unlikely(vcpu->vm->memory.may_swap) && !directory_is_there(vcpu, cr))
		return ACTION_WAIT;
	switch (cr->access) {
	case CR_WRITE: {
		uint64_t value = vcpu->regs.gpr[cr->gpr];

		write_register(vcpu, cr->number, guest_mode_bits(vcpu) == 64 ? value
									      : (uint32_t)value);
		break;
	}
	case CR_READ:
		vcpu->regs.gpr[cr->gpr] = read_register(vcpu, cr->number);
		if (cr->gpr == GPR_RSP)
			vcpu_set_dirty(vcpu, REG_RSP);
		break;
	case CR_CLTS:
		guest_write_cr0(vcpu, vcpu->special.cr0 & ~CR0_TS);
		break;
	case CR_LMSW:
		guest_write_cr0(vcpu, lmsw_result(vcpu->special.cr0, cr->lmsw));
		break;
	}
	return vcpu->exception.valid ? ACTION_RESUME : ACTION_ADVANCE;
}

/* Intel SDM vol. 1, "Enabling the XSAVE Feature Set and XSAVE-Enabled Features". */
static bool xcr0_valid(const struct cpuid_table *cpuid, uint64_t value)
{
	const uint64_t avx512 = BIT(5) | BIT(6) | BIT(7);

	if (value & ~cpuid->xcr0_allowed || !(value & XCR0_X87))
		return false;
	if ((value & XCR0_AVX) && !(value & XCR0_SSE))
		return false;
	if ((value & avx512) && ((value & avx512) != avx512 || !(value & XCR0_AVX)))
		return false;
	return true;
}

enum exit_action exit_xsetbv(struct vcpu *vcpu)
{
	uint64_t value = vcpu_edx_eax(vcpu);

	vcpu_need(vcpu, REG_CR4 | REG_SS);
	if (!(vcpu->special.cr4 & CR4_OSXSAVE)) {
		vcpu_inject_ud(vcpu);
		return ACTION_RESUME;
	}
	if (vcpu->special.cpl != 0 || (uint32_t)vcpu->regs.gpr[GPR_RCX] != 0 ||
		!xcr0_valid(vcpu->vm->cpuid, value)) {
		vcpu_inject_gp(vcpu);
		return ACTION_RESUME;
	}
	xsetbv(0, value); /* it stays in the CPU while the vCPU is loaded */
	return ACTION_ADVANCE;
}
