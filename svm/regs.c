/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Register groups between vcpu->special and the VMCB. The VMCB is ordinary memory, so what nearly
 * every exit needs is copied always (svm/exit.c), the rest on demand, and only what common code
 * changed goes back.
 */
#include "svm/svm.h"

/* Groups that software decoding of an instruction needs, all at once: cheaper than one by one. */
#define PAGING_GROUPS (REG_CR0 | REG_CR3 | REG_CR4 | REG_EFER | REG_CS | REG_SS)

static void pull_paging(struct special_regs *special, const struct vmcb_save *save)
{
	special->cr0 = save->cr0;
	special->cr3 = save->cr3;
	special->cr4 = save->cr4;
	special->efer = save->efer & ~EFER_SVME;
	special->segments[SEG_CS] = save->cs;
	special->segments[SEG_SS] = save->ss;
	special->cpl = save->cpl;
}

static void pull_segments(struct special_regs *special, const struct vmcb_save *save)
{
	special->segments[SEG_ES] = save->es;
	special->segments[SEG_DS] = save->ds;
	special->segments[SEG_FS] = save->fs;
	special->segments[SEG_GS] = save->gs;
	special->segments[SEG_LDTR] = save->ldtr;
	special->segments[SEG_TR] = save->tr;
}

static void pull_tables(struct special_regs *special, const struct vmcb_save *save)
{
	special->gdtr.base = save->gdtr.base;
	special->gdtr.limit = (uint16_t)save->gdtr.limit;
	special->idtr.base = save->idtr.base;
	special->idtr.limit = (uint16_t)save->idtr.limit;
}

/* V_TPR has the upper half of TPR only; MOV to CR8 clears the lower one. */
static void pull_tpr(struct special_regs *special, const struct vmcb_control *control)
{
	uint8_t class = control->int_ctl & INT_CTL_V_TPR;

	if (special->tpr >> 4 != class)
		special->tpr = class << 4;
}

static void pull_msrs(struct msr_state *msrs, const struct vmcb_save *save)
{
	msrs->star = save->star;
	msrs->lstar = save->lstar;
	msrs->cstar = save->cstar;
	msrs->sfmask = save->sfmask;
	msrs->kernel_gs_base = save->kernel_gs_base;
	msrs->sysenter_cs = save->sysenter_cs;
	msrs->sysenter_esp = save->sysenter_esp;
	msrs->sysenter_eip = save->sysenter_eip;
	msrs->pat = save->pat;
	if (svm_features.tsc_aux)
		msrs->tsc_aux = rdmsr(MSR_TSC_AUX);
}

static void pull_group(struct vcpu *vcpu, const struct vmcb *vmcb, uint32_t group)
{
	struct special_regs *special = &vcpu->special;
	const struct vmcb_save *save = &vmcb->save;

	switch (group) {
	case REG_RIP:
		special->rip = save->rip;
		break;
	case REG_RSP:
		vcpu->regs.gpr[GPR_RSP] = save->rsp;
		break;
	case REG_RFLAGS:
		special->rflags = save->rflags;
		break;
	case REG_CR0:
		special->cr0 = save->cr0;
		break;
	case REG_CR3:
		special->cr3 = save->cr3;
		break;
	case REG_CR4:
		special->cr4 = save->cr4;
		break;
	case REG_EFER:
		special->efer = save->efer & ~EFER_SVME;
		break;
	case REG_CS:
		special->segments[SEG_CS] = save->cs;
		break;
	case REG_SS:
		special->segments[SEG_SS] = save->ss;
		special->cpl = save->cpl;
		break;
	case REG_SEGMENTS:
		pull_segments(special, save);
		break;
	case REG_TABLES:
		pull_tables(special, save);
		break;
	case REG_CR2:
		special->cr2 = save->cr2;
		break;
	case REG_DEBUG:
		special->dr6 = save->dr6;
		special->dr7 = save->dr7;
		break;
	case REG_SHADOW:
		special->interrupt_shadow = vmcb->control.int_state & INT_STATE_SHADOW;
		break;
	case REG_TPR:
		pull_tpr(special, &vmcb->control);
		break;
	case REG_MSRS:
		pull_msrs(&special->msrs, save);
		break;
	default:
		break;
	}
}

void svm_pull(struct vcpu *vcpu, uint32_t groups)
{
	const struct vmcb *vmcb = svm_of(vcpu)->vmcb;

	vcpu->valid |= groups;
	if ((groups & PAGING_GROUPS) == PAGING_GROUPS) {
		pull_paging(&vcpu->special, &vmcb->save);
		groups &= ~PAGING_GROUPS;
	}
	for (; groups; groups &= groups - 1)
		pull_group(vcpu, vmcb, groups & -groups);
}

static void store_segments(const struct special_regs *special, struct vmcb_save *save)
{
	save->es = special->segments[SEG_ES];
	save->ds = special->segments[SEG_DS];
	save->fs = special->segments[SEG_FS];
	save->gs = special->segments[SEG_GS];
	save->ldtr = special->segments[SEG_LDTR];
	save->tr = special->segments[SEG_TR];
}

static void store_tables(const struct special_regs *special, struct vmcb_save *save)
{
	save->gdtr.base = special->gdtr.base;
	save->gdtr.limit = special->gdtr.limit;
	save->idtr.base = special->idtr.base;
	save->idtr.limit = special->idtr.limit;
}

static void store_msrs(const struct msr_state *msrs, struct vmcb_save *save)
{
	save->star = msrs->star;
	save->lstar = msrs->lstar;
	save->cstar = msrs->cstar;
	save->sfmask = msrs->sfmask;
	save->kernel_gs_base = msrs->kernel_gs_base;
	save->sysenter_cs = msrs->sysenter_cs;
	save->sysenter_esp = msrs->sysenter_esp;
	save->sysenter_eip = msrs->sysenter_eip;
	save->pat = msrs->pat;
	if (svm_features.tsc_aux)
		wrmsr(MSR_TSC_AUX, msrs->tsc_aux);
}

static void store_tpr(const struct special_regs *special, struct svm_vcpu *svm)
{
	struct vmcb_control *control = &svm->vmcb->control;

	control->int_ctl = (control->int_ctl & ~INT_CTL_V_TPR) | special->tpr >> 4;
	if (svm->windows)
		svm_update_windows(svm);
}

/* Returns the clean bits that the group takes away. */
static uint32_t store_group(const struct vcpu *vcpu, struct svm_vcpu *svm, uint32_t group)
{
	const struct special_regs *special = &vcpu->special;
	struct vmcb_control *control = &svm->vmcb->control;
	struct vmcb_save *save = &svm->vmcb->save;

	switch (group) {
	case REG_RIP:
		save->rip = special->rip;
		return 0;
	case REG_RSP:
		save->rsp = vcpu->regs.gpr[GPR_RSP];
		return 0;
	case REG_RFLAGS:
		save->rflags = special->rflags | RFLAGS_FIXED1;
		return 0;
	case REG_CR0:
		save->cr0 = special->cr0;
		return CLEAN_CR;
	case REG_CR3:
		save->cr3 = special->cr3;
		return CLEAN_CR;
	case REG_CR4:
		save->cr4 = special->cr4;
		return CLEAN_CR;
	case REG_EFER:
		save->efer = special->efer | EFER_SVME;
		return CLEAN_CR;
	case REG_CS:
		save->cs = special->segments[SEG_CS];
		return CLEAN_SEG;
	case REG_SS:
		save->ss = special->segments[SEG_SS];
		save->cpl = special->cpl;
		return CLEAN_SEG;
	case REG_SEGMENTS:
		store_segments(special, save);
		return CLEAN_SEG;
	case REG_TABLES:
		store_tables(special, save);
		return CLEAN_DT;
	case REG_CR2:
		save->cr2 = special->cr2;
		svm_write_cr2(special->cr2);
		return CLEAN_CR2;
	case REG_DEBUG:
		save->dr6 = special->dr6;
		save->dr7 = special->dr7;
		return CLEAN_DR;
	case REG_SHADOW:
		control->int_state = special->interrupt_shadow ? INT_STATE_SHADOW : 0;
		svm_set_nmi_blocked(svm, special->nmi_blocked);
		return 0;
	case REG_TPR:
		store_tpr(special, svm);
		return CLEAN_TPR;
	case REG_TSC:
		control->tsc_offset = vcpu->tsc_offset;
		return CLEAN_INTERCEPTS;
	case REG_MSRS:
		store_msrs(&special->msrs, save);
		return CLEAN_NP;
	default:
		return 0;
	}
}

void svm_store(struct vcpu *vcpu, struct svm_vcpu *svm)
{
	uint32_t changed = 0;

	for (uint32_t groups = vcpu->dirty; groups; groups &= groups - 1)
		changed |= store_group(vcpu, svm, groups & -groups);
	vcpu->dirty = 0;
	svm->vmcb->control.clean &= ~changed;
}
