/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's registers between the VMCS (or the CPU itself) and struct special_regs, by groups. */
#include "ept/guest_memory.h"
#include "host/x86.h"
#include "lib/string.h"
#include "vcpu/vm.h"
#include "vmx/vmx.h"

/* Attributes have no gap where access rights have one, at bits 8 to 11. */
#define ATTRIBUTES_LOW 0x00ff
#define ATTRIBUTES_HIGH 0x0f00
#define ACCESS_HIGH_SHIFT 4

#define TYPE_ACCESSED BIT(0) /* of code and data */
#define TYPE_BUSY BIT(1)     /* of a TSS */
#define DPL_MASK (3 << SEGMENT_DPL_SHIFT)

/* Reserved bits of RFLAGS, which must be 0 at entry; see RFLAGS_FIXED1 too. */
#define RFLAGS_DEFINED 0x3f7fd7ULL

/* What the guest's CPU would do, and VM entry demands; "Checks on Guest Segment Registers". */
uint32_t vmx_access_rights(enum segment_name name, const struct segment *segment)
{
	uint32_t rights = (segment->attributes & ATTRIBUTES_LOW) |
		(segment->attributes & ATTRIBUTES_HIGH) << ACCESS_HIGH_SHIFT;

	if (name == SEG_TR)
		rights |= SEGMENT_P | TYPE_BUSY;
	else if (!(rights & SEGMENT_P))
		return rights | ACCESS_UNUSABLE;
	if (rights & SEGMENT_S)
		rights |= TYPE_ACCESSED;
	/* Granularity must be able to express the limit. */
	if (segment->limit >> 20)
		rights |= SEGMENT_G << ACCESS_HIGH_SHIFT;
	else if ((segment->limit & 0xfff) != 0xfff)
		rights &= ~(SEGMENT_G << ACCESS_HIGH_SHIFT);
	return rights;
}

uint16_t vmx_attributes(uint32_t rights)
{
	uint16_t attributes = (rights & ATTRIBUTES_LOW) |
		(rights >> ACCESS_HIGH_SHIFT & ATTRIBUTES_HIGH);

	return rights & ACCESS_UNUSABLE ? attributes & ~SEGMENT_P : attributes;
}

static void pull_segment(struct vcpu *vcpu, enum segment_name name)
{
	struct segment *segment = &vcpu->special.segments[name];

	segment->selector = vmread(VMCS_SEGMENT(VMCS_GUEST_SELECTOR, name));
	segment->attributes = vmx_attributes(vmread(VMCS_SEGMENT(VMCS_GUEST_ACCESS, name)));
	segment->limit = vmread(VMCS_SEGMENT(VMCS_GUEST_LIMIT, name));
	segment->base = vmread(VMCS_SEGMENT(VMCS_GUEST_BASE, name));
}

/* Limits above 1 MiB end in a whole page. */
static uint32_t expressible_limit(uint32_t limit)
{
	return limit >> 20 ? limit | 0xfff : limit;
}

static void store_segment_rights(struct vcpu *vcpu, enum segment_name name, uint32_t rights)
{
	const struct segment *segment = &vcpu->special.segments[name];

	vmwrite(VMCS_SEGMENT(VMCS_GUEST_SELECTOR, name), segment->selector);
	vmwrite(VMCS_SEGMENT(VMCS_GUEST_ACCESS, name), rights);
	vmwrite(VMCS_SEGMENT(VMCS_GUEST_LIMIT, name), expressible_limit(segment->limit));
	vmwrite(VMCS_SEGMENT(VMCS_GUEST_BASE, name), segment->base);
}

static void store_segment(struct vcpu *vcpu, enum segment_name name)
{
	store_segment_rights(vcpu, name,
		vmx_access_rights(name, &vcpu->special.segments[name]));
}

/* The CPL is the DPL of SS, of an unusable SS too. */
static void store_ss(struct vcpu *vcpu)
{
	uint32_t rights = vmx_access_rights(SEG_SS, &vcpu->special.segments[SEG_SS]);

	rights = (rights & ~DPL_MASK) | (uint32_t)vcpu->special.cpl << SEGMENT_DPL_SHIFT;
	store_segment_rights(vcpu, SEG_SS, rights);
}

static void pull_ss(struct vcpu *vcpu)
{
	pull_segment(vcpu, SEG_SS);
	vcpu->special.cpl =
		(vcpu->special.segments[SEG_SS].attributes & DPL_MASK) >> SEGMENT_DPL_SHIFT;
}

static const enum segment_name other_segments[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR,
	SEG_TR };

static void pull_segments(struct vcpu *vcpu)
{
	for (size_t i = 0; i < ARRAY_SIZE(other_segments); i++)
		pull_segment(vcpu, other_segments[i]);
}

static void store_segments(struct vcpu *vcpu)
{
	for (size_t i = 0; i < ARRAY_SIZE(other_segments); i++)
		store_segment(vcpu, other_segments[i]);
}

static void pull_tables(struct special_regs *special)
{
	special->gdtr.base = vmread(VMCS_GUEST_GDTR_BASE);
	special->gdtr.limit = vmread(VMCS_GUEST_GDTR_LIMIT);
	special->idtr.base = vmread(VMCS_GUEST_IDTR_BASE);
	special->idtr.limit = vmread(VMCS_GUEST_IDTR_LIMIT);
}

static void store_tables(const struct special_regs *special)
{
	vmwrite(VMCS_GUEST_GDTR_BASE, special->gdtr.base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, special->gdtr.limit);
	vmwrite(VMCS_GUEST_IDTR_BASE, special->idtr.base);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, special->idtr.limit);
}

static uint64_t pull_cr0(const struct vmx_vcpu *hw_state)
{
	uint64_t owned = hw_state->cr0_owned;

	return (vmread(VMCS_GUEST_CR0) & owned) | (vmread(VMCS_CR0_SHADOW) & ~owned);
}

static void store_cr0(const struct vmx_vcpu *hw_state, uint64_t cr0)
{
	uint64_t fixed0 = vmx_capabilities.cr0_fixed0 & ~(CR0_PE | CR0_PG);

	vmwrite(VMCS_CR0_SHADOW, cr0);
	vmwrite(VMCS_GUEST_CR0, (cr0 & hw_state->cr0_owned) | fixed0);
}

static uint64_t pull_cr4(const struct vmx_vcpu *hw_state)
{
	uint64_t owned = hw_state->cr4_owned;

	return (vmread(VMCS_GUEST_CR4) & owned) | (vmread(VMCS_CR4_SHADOW) & ~owned);
}

static void store_cr4(const struct vmx_vcpu *hw_state, uint64_t cr4)
{
	vmwrite(VMCS_CR4_SHADOW, cr4);
	vmwrite(VMCS_GUEST_CR4, (cr4 & hw_state->cr4_owned) | hw_state->cr4_forced);
}

/* The CPU keeps "IA-32e mode guest" in step with LMA at each exit; here it is done by hand. */
static void store_efer(uint64_t efer)
{
	uint32_t entry = vmx_controls.entry;

	if (efer & EFER_LMA)
		entry |= ENTRY_GUEST_64;
	vmwrite(VMCS_GUEST_EFER, efer);
	vmwrite(VMCS_ENTRY_CONTROLS, entry);
}

/*
 * With EPT the four top entries of a PAE hierarchy live in the VMCS; the guest's own MOV to CR3
 * loads them there, and so must what Ballast does in its place. What is not in RAM is not present.
 */
static void store_pdptes(struct vcpu *vcpu)
{
	const struct special_regs *special = &vcpu->special;
	uint64_t entries[4] = { 0 };
	int error;

	vcpu_need(vcpu, REG_CR0 | REG_CR3 | REG_CR4 | REG_EFER);
	if (!(special->cr0 & CR0_PG) || !(special->cr4 & CR4_PAE) || (special->efer & EFER_LMA))
		return;
	error = guest_memory_read(
		&vcpu->vm->memory, special->cr3 & 0xffffffe0, entries, sizeof(entries));
	/* It is there when it is new (exit_cr()); what is not was loaded before. */
	if (error == -EAGAIN)
		return;
	if (error)
		memset(entries, 0, sizeof(entries));
	for (unsigned int i = 0; i < ARRAY_SIZE(entries); i++)
		vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, entries[i]);
}

void vmx_fix_pending_debug(uint32_t interruptibility, uint64_t rflags)
{
	uint64_t pending;

	if (!(interruptibility & (BLOCKING_STI | BLOCKING_MOV_SS)))
		return;
	pending = vmread(VMCS_PENDING_DEBUG) & ~PENDING_DEBUG_BS;
	if (rflags & RFLAGS_TF)
		pending |= PENDING_DEBUG_BS;
	vmwrite(VMCS_PENDING_DEBUG, pending);
}

static void pull_shadow(struct special_regs *special)
{
	uint32_t interruptibility = vmread(VMCS_INTERRUPTIBILITY);

	special->interrupt_shadow = interruptibility & (BLOCKING_STI | BLOCKING_MOV_SS);
	special->nmi_blocked = interruptibility & BLOCKING_NMI;
}

/* Common code knows one shadow; the VMCS has two, and wants IF set with that of STI. */
static uint32_t shadow_bits(uint64_t rflags)
{
	uint32_t before = vmread(VMCS_INTERRUPTIBILITY);

	if (!(rflags & RFLAGS_IF) || (before & BLOCKING_MOV_SS))
		return BLOCKING_MOV_SS;
	return BLOCKING_STI;
}

static void store_shadow(struct vcpu *vcpu)
{
	const struct special_regs *special = &vcpu->special;
	uint32_t interruptibility = special->nmi_blocked ? BLOCKING_NMI : 0;

	if (special->interrupt_shadow) {
		vcpu_need(vcpu, REG_RFLAGS);
		interruptibility |= shadow_bits(special->rflags);
		vmx_fix_pending_debug(interruptibility, special->rflags);
	}
	vmwrite(VMCS_INTERRUPTIBILITY, interruptibility);
}

static void store_rflags(struct vcpu *vcpu)
{
	uint64_t rflags = (vcpu->special.rflags & RFLAGS_DEFINED) | RFLAGS_FIXED1;

	vmwrite(VMCS_GUEST_RFLAGS, rflags);
	if (!(vcpu->dirty & REG_SHADOW))
		vmx_fix_pending_debug(vmread(VMCS_INTERRUPTIBILITY), rflags);
}

static void pull_msrs(struct msr_state *msrs)
{
	msrs->star = rdmsr(MSR_STAR);
	msrs->lstar = rdmsr(MSR_LSTAR);
	msrs->cstar = rdmsr(MSR_CSTAR);
	msrs->sfmask = rdmsr(MSR_SFMASK);
	msrs->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	msrs->sysenter_cs = vmread(VMCS_GUEST_SYSENTER_CS);
	msrs->sysenter_esp = vmread(VMCS_GUEST_SYSENTER_ESP);
	msrs->sysenter_eip = vmread(VMCS_GUEST_SYSENTER_EIP);
	msrs->pat = vmread(VMCS_GUEST_PAT);
	msrs->tsc_aux = vmx_capabilities.has_tsc_aux ? rdmsr(MSR_TSC_AUX) : 0;
}

/* MSRs are stored at reset and INIT alone: so is what has no group of its own. */
static void store_reset(struct vcpu *vcpu)
{
	const struct msr_state *msrs = &vcpu->special.msrs;

	wrmsr(MSR_STAR, msrs->star);
	wrmsr(MSR_LSTAR, msrs->lstar);
	wrmsr(MSR_CSTAR, msrs->cstar);
	wrmsr(MSR_SFMASK, msrs->sfmask);
	wrmsr(MSR_KERNEL_GS_BASE, msrs->kernel_gs_base);
	if (vmx_capabilities.has_tsc_aux)
		wrmsr(MSR_TSC_AUX, msrs->tsc_aux);
	vmwrite(VMCS_GUEST_SYSENTER_CS, msrs->sysenter_cs);
	vmwrite(VMCS_GUEST_SYSENTER_ESP, msrs->sysenter_esp);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, msrs->sysenter_eip);
	vmwrite(VMCS_GUEST_PAT, msrs->pat);
	vmwrite(VMCS_ACTIVITY, 0);
	vmwrite(VMCS_PENDING_DEBUG, 0);
	vmwrite(VMCS_ENTRY_EVENT, 0);
	vmx_drop_windows(vmx_of(vcpu));
}

void vmx_settle_reset(struct vcpu *vcpu)
{
	if (unlikely(vcpu->dirty & REG_MSRS)) {
		store_reset(vcpu);
		vcpu->dirty &= ~REG_MSRS;
	}
}

/* One group, by the number of its REG_... bit: most calls ask for one or two. */
static void pull_group(struct vcpu *vcpu, unsigned int bit)
{
	const struct vmx_vcpu *hw_state = vmx_of(vcpu);
	struct special_regs *special = &vcpu->special;

	switch (BIT(bit)) {
	case REG_RIP:
		special->rip = vmread(VMCS_GUEST_RIP);
		break;
	case REG_RSP:
		vcpu->regs.gpr[GPR_RSP] = vmread(VMCS_GUEST_RSP);
		break;
	case REG_RFLAGS:
		special->rflags = vmread(VMCS_GUEST_RFLAGS);
		break;
	case REG_CR0:
		special->cr0 = pull_cr0(hw_state);
		break;
	case REG_CR3:
		special->cr3 = vmread(VMCS_GUEST_CR3);
		break;
	case REG_CR4:
		special->cr4 = pull_cr4(hw_state);
		break;
	case REG_EFER:
		special->efer = vmread(VMCS_GUEST_EFER);
		break;
	case REG_CS:
		pull_segment(vcpu, SEG_CS);
		break;
	case REG_SS:
		pull_ss(vcpu);
		break;
	case REG_SEGMENTS:
		pull_segments(vcpu);
		break;
	case REG_TABLES:
		pull_tables(special);
		break;
	case REG_CR2:
		special->cr2 = read_cr2();
		break;
	case REG_DEBUG:
		special->dr6 = read_dr6();
		special->dr7 = vmread(VMCS_GUEST_DR7);
		break;
	case REG_SHADOW:
		pull_shadow(special);
		break;
	case REG_TPR:
		special->tpr = hw_state->virtual_apic[VIRTUAL_APIC_TPR];
		break;
	case REG_MSRS:
		pull_msrs(&special->msrs);
		break;
	}
}

void vmx_pull(struct vcpu *vcpu, uint32_t groups)
{
	vcpu->valid |= groups;
	for (; groups; groups &= groups - 1)
		pull_group(vcpu, __builtin_ctz(groups));
}

static void store_group(struct vcpu *vcpu, unsigned int bit)
{
	struct vmx_vcpu *hw_state = vmx_of(vcpu);
	const struct special_regs *special = &vcpu->special;

	switch (BIT(bit)) {
	case REG_RIP:
		vmwrite(VMCS_GUEST_RIP, special->rip);
		break;
	case REG_RSP:
		vmwrite(VMCS_GUEST_RSP, vcpu->regs.gpr[GPR_RSP]);
		break;
	case REG_RFLAGS:
		store_rflags(vcpu);
		break;
	case REG_CR0:
		store_cr0(hw_state, special->cr0);
		break;
	case REG_CR3:
		vmwrite(VMCS_GUEST_CR3, special->cr3);
		break;
	case REG_CR4:
		store_cr4(hw_state, special->cr4);
		break;
	case REG_EFER:
		store_efer(special->efer);
		break;
	case REG_CS:
		store_segment(vcpu, SEG_CS);
		break;
	case REG_SS:
		store_ss(vcpu);
		break;
	case REG_SEGMENTS:
		store_segments(vcpu);
		break;
	case REG_TABLES:
		store_tables(special);
		break;
	case REG_CR2:
		write_cr2(special->cr2);
		break;
	case REG_DEBUG:
		write_dr6(special->dr6);
		vmwrite(VMCS_GUEST_DR7, special->dr7);
		break;
	case REG_SHADOW:
		store_shadow(vcpu);
		break;
	case REG_TPR:
		hw_state->virtual_apic[VIRTUAL_APIC_TPR] = special->tpr;
		vmx_apply_windows(vcpu);
		break;
	case REG_TSC:
		vmwrite(VMCS_TSC_OFFSET, vcpu->tsc_offset);
		break;
	case REG_MSRS:
		store_reset(vcpu);
		break;
	}
}

void vmx_store(struct vcpu *vcpu, uint32_t groups)
{
	if (groups & (REG_CR0 | REG_CR3 | REG_CR4 | REG_EFER))
		store_pdptes(vcpu);
	for (; groups; groups &= groups - 1)
		store_group(vcpu, __builtin_ctz(groups));
}
