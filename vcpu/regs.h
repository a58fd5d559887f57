/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers of a guest CPU as common code sees them, vendor-neutral. */
#ifndef BALLAST_VCPU_REGS_H
#define BALLAST_VCPU_REGS_H

#include "lib/util.h"

/* In the order of their encoding in instructions. */
enum gpr {
	GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
	GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15, GPR_COUNT
};

enum segment_name {
	SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT
};

/* The form the VMCB has (AMD APM vol. 2, "VMCB layout"); vmx/ converts. */
struct segment {
	uint16_t selector;
	uint16_t attributes; /* SEGMENT_... */
	uint32_t limit;      /* in bytes, granularity already applied */
	uint64_t base;
};

#define SEGMENT_TYPE 0x00f
#define SEGMENT_S BIT(4)      /* code or data, not system */
#define SEGMENT_DPL_SHIFT 5
#define SEGMENT_P BIT(7)      /* in VMX terms: usable */
#define SEGMENT_AVL BIT(8)
#define SEGMENT_L BIT(9)
#define SEGMENT_DB BIT(10)
#define SEGMENT_G BIT(11)

struct descriptor_table {
	uint64_t base;
	uint16_t limit;
};

/*
 * Register groups: what vcpu_need() pulls from the hardware and vcpu_set_dirty() marks for storing
 * before the next entry.
 */
#define REG_RIP BIT(0)
#define REG_RSP BIT(1)      /* regs.gpr[GPR_RSP] */
#define REG_RFLAGS BIT(2)
#define REG_CR0 BIT(3)      /* as the guest sees it */
#define REG_CR3 BIT(4)
#define REG_CR4 BIT(5)      /* as the guest sees it */
#define REG_EFER BIT(6)     /* as the guest sees it */
#define REG_CS BIT(7)
#define REG_SS BIT(8)       /* and the CPL */
#define REG_SEGMENTS BIT(9) /* ES, DS, FS, GS, LDTR, TR */
#define REG_TABLES BIT(10)  /* GDTR, IDTR */
#define REG_CR2 BIT(11)
#define REG_DEBUG BIT(12)   /* DR6, DR7 */
#define REG_SHADOW BIT(13)  /* interrupt shadow and NMI blocking */
#define REG_TPR BIT(14)     /* CR8 in LAPIC scale: tpr = CR8 << 4 | low bits */
#define REG_TSC BIT(15)     /* TSC offset; never pulled */
#define REG_MSRS BIT(16)    /* struct msr_state: pulled for dumps, stored at reset */
#define REG_ALL (BIT(17) - 1)

/* MSRs that guests access without an exit; the vendor keeps them in VMCS, VMCB or the CPU. */
struct msr_state {
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, tsc_aux;
};

/* The part that the entry code in assembly saves and loads: its offsets are asserted there. */
struct general_regs {
	uint64_t gpr[GPR_COUNT];
};

struct special_regs {
	uint64_t rip, rflags;
	uint64_t cr0, cr2, cr3, cr4;
	uint64_t efer;
	uint64_t dr6, dr7;
	struct segment segments[SEG_COUNT];
	struct descriptor_table gdtr, idtr;
	uint8_t cpl;            /* with REG_SS */
	uint8_t tpr;            /* with REG_TPR */
	bool interrupt_shadow;  /* with REG_SHADOW: after STI, MOV SS, POP SS */
	bool nmi_blocked;       /* with REG_SHADOW: an NMI handler has not yet executed IRET */
	struct msr_state msrs;
};

#endif
