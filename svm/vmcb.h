/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual machine control block (AMD APM vol. 2, appendix "VMCB Layout"): a control area, then
 * the state save area, in one page.
 */
#ifndef BALLAST_SVM_VMCB_H
#define BALLAST_SVM_VMCB_H

#include "vcpu/regs.h"

/* Intercept vectors 3, 4 and 5: bit numbers within their 32-bit words. */
#define INTERCEPT3_INTR BIT(0)
#define INTERCEPT3_NMI BIT(1)
#define INTERCEPT3_INIT BIT(3)
#define INTERCEPT3_VINTR BIT(4)
#define INTERCEPT3_RDPMC BIT(15)
#define INTERCEPT3_CPUID BIT(18)
#define INTERCEPT3_RSM BIT(19)
#define INTERCEPT3_IRET BIT(20)
#define INTERCEPT3_INVD BIT(22)
#define INTERCEPT3_PAUSE BIT(23)
#define INTERCEPT3_HLT BIT(24)
#define INTERCEPT3_INVLPGA BIT(26)
#define INTERCEPT3_IOIO BIT(27)
#define INTERCEPT3_MSR BIT(28)
#define INTERCEPT3_FERR_FREEZE BIT(30)
#define INTERCEPT3_SHUTDOWN BIT(31)

#define INTERCEPT4_VMRUN BIT(0)
#define INTERCEPT4_VMMCALL BIT(1)
#define INTERCEPT4_VMLOAD BIT(2)
#define INTERCEPT4_VMSAVE BIT(3)
#define INTERCEPT4_STGI BIT(4)
#define INTERCEPT4_CLGI BIT(5)
#define INTERCEPT4_SKINIT BIT(6)
#define INTERCEPT4_WBINVD BIT(9)
#define INTERCEPT4_MONITOR BIT(10)
#define INTERCEPT4_MWAIT BIT(11)
#define INTERCEPT4_MWAIT_ARMED BIT(12)
#define INTERCEPT4_XSETBV BIT(13)
#define INTERCEPT4_RDPRU BIT(14)

#define TLB_CONTROL_NOTHING 0
#define TLB_CONTROL_FLUSH_ALL 1
#define TLB_CONTROL_FLUSH_ASID 3 /* with the FlushByAsid feature */

#define INT_CTL_V_TPR 0xfULL
#define INT_CTL_V_IRQ BIT(8)
#define INT_CTL_V_PRIORITY_SHIFT 16
#define INT_CTL_V_PRIORITY (0xfULL << INT_CTL_V_PRIORITY_SHIFT)
#define INT_CTL_V_IGN_TPR BIT(20)
#define INT_CTL_V_INTR_MASKING BIT(24)

#define INT_STATE_SHADOW BIT(0)

#define NESTED_CTL_NPT BIT(0)

/* EVENTINJ and EXITINTINFO have one form. */
#define EVENT_VECTOR 0xffULL
#define EVENT_TYPE_SHIFT 8
#define EVENT_TYPE 7ULL
#define EVENT_ERROR_VALID BIT(11)
#define EVENT_VALID BIT(31)
#define EVENT_ERROR_SHIFT 32

/* VMCB clean field: groups that are unchanged since the last VMRUN on this CPU. */
#define CLEAN_INTERCEPTS BIT(0) /* and TSC offset, pause filter */
#define CLEAN_MAPS BIT(1)
#define CLEAN_ASID BIT(2)
#define CLEAN_TPR BIT(3)        /* virtual interrupt control */
#define CLEAN_NP BIT(4)         /* nested CR3, guest PAT */
#define CLEAN_CR BIT(5)         /* CR0, CR3, CR4, EFER */
#define CLEAN_DR BIT(6)
#define CLEAN_DT BIT(7)         /* GDTR, IDTR */
#define CLEAN_SEG BIT(8)        /* CS, DS, SS, ES, CPL */
#define CLEAN_CR2 BIT(9)
#define CLEAN_LBR BIT(10)
#define CLEAN_ALL (CLEAN_LBR | (CLEAN_LBR - 1))

struct vmcb_control {
	uint16_t intercept_cr_read, intercept_cr_write;
	uint16_t intercept_dr_read, intercept_dr_write;
	uint32_t intercept_exceptions;
	uint32_t intercept3, intercept4, intercept5;
	uint8_t reserved0[0x3c - 0x18];
	uint16_t pause_filter_threshold, pause_filter_count;
	uint64_t iopm_base, msrpm_base;
	uint64_t tsc_offset;
	uint32_t asid;
	uint8_t tlb_control;
	uint8_t reserved1[3];
	uint64_t int_ctl;
	uint64_t int_state;
	uint64_t exit_code;
	uint64_t exit_info1, exit_info2;
	uint64_t exit_int_info;
	uint64_t nested_ctl;
	uint64_t avic_bar, ghcb;
	uint64_t event_inj;
	uint64_t nested_cr3;
	uint64_t virt_ext;
	uint32_t clean;
	uint32_t reserved2;
	uint64_t next_rip;
	uint8_t fetched_count; /* decode assists: how many of the bytes are valid */
	uint8_t fetched_bytes[15];
	uint8_t reserved3[0x400 - 0xe0];
};

struct vmcb_save {
	struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved0[0xcb - 0xa0];
	uint8_t cpl;
	uint32_t reserved1;
	uint64_t efer;
	uint8_t reserved2[0x148 - 0xd8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved3[0x1d8 - 0x180];
	uint64_t rsp;
	uint64_t s_cet, ssp, isst_address;
	uint64_t rax;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t cr2;
	uint8_t reserved4[0x268 - 0x248];
	uint64_t pat;
	uint64_t debug_control, branch_from, branch_to, exception_from, exception_to;
	uint8_t reserved5[0xc00 - 0x298];
};

struct vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
};

_Static_assert(sizeof(struct segment) == 16, "VMCB segment size");
_Static_assert(sizeof(struct vmcb) == 4096, "VMCB size");
#define ASSERT_VMCB_OFFSET(member, at)                                                             \
	_Static_assert(offsetof(struct vmcb, member) == (at), "VMCB offset of " #member)
ASSERT_VMCB_OFFSET(control.intercept_exceptions, 0x008);
ASSERT_VMCB_OFFSET(control.intercept3, 0x00c);
ASSERT_VMCB_OFFSET(control.intercept4, 0x010);
ASSERT_VMCB_OFFSET(control.pause_filter_count, 0x03e);
ASSERT_VMCB_OFFSET(control.iopm_base, 0x040);
ASSERT_VMCB_OFFSET(control.msrpm_base, 0x048);
ASSERT_VMCB_OFFSET(control.tsc_offset, 0x050);
ASSERT_VMCB_OFFSET(control.asid, 0x058);
ASSERT_VMCB_OFFSET(control.tlb_control, 0x05c);
ASSERT_VMCB_OFFSET(control.int_ctl, 0x060);
ASSERT_VMCB_OFFSET(control.int_state, 0x068);
ASSERT_VMCB_OFFSET(control.exit_code, 0x070);
ASSERT_VMCB_OFFSET(control.exit_info1, 0x078);
ASSERT_VMCB_OFFSET(control.exit_info2, 0x080);
ASSERT_VMCB_OFFSET(control.exit_int_info, 0x088);
ASSERT_VMCB_OFFSET(control.nested_ctl, 0x090);
ASSERT_VMCB_OFFSET(control.event_inj, 0x0a8);
ASSERT_VMCB_OFFSET(control.nested_cr3, 0x0b0);
ASSERT_VMCB_OFFSET(control.virt_ext, 0x0b8);
ASSERT_VMCB_OFFSET(control.clean, 0x0c0);
ASSERT_VMCB_OFFSET(control.next_rip, 0x0c8);
ASSERT_VMCB_OFFSET(control.fetched_bytes, 0x0d1);
ASSERT_VMCB_OFFSET(save.es, 0x400);
ASSERT_VMCB_OFFSET(save.gdtr, 0x460);
ASSERT_VMCB_OFFSET(save.tr, 0x490);
ASSERT_VMCB_OFFSET(save.cpl, 0x4cb);
ASSERT_VMCB_OFFSET(save.efer, 0x4d0);
ASSERT_VMCB_OFFSET(save.cr4, 0x548);
ASSERT_VMCB_OFFSET(save.cr3, 0x550);
ASSERT_VMCB_OFFSET(save.cr0, 0x558);
ASSERT_VMCB_OFFSET(save.dr7, 0x560);
ASSERT_VMCB_OFFSET(save.dr6, 0x568);
ASSERT_VMCB_OFFSET(save.rflags, 0x570);
ASSERT_VMCB_OFFSET(save.rip, 0x578);
ASSERT_VMCB_OFFSET(save.rsp, 0x5d8);
ASSERT_VMCB_OFFSET(save.rax, 0x5f8);
ASSERT_VMCB_OFFSET(save.star, 0x600);
ASSERT_VMCB_OFFSET(save.kernel_gs_base, 0x620);
ASSERT_VMCB_OFFSET(save.sysenter_eip, 0x638);
ASSERT_VMCB_OFFSET(save.cr2, 0x640);
ASSERT_VMCB_OFFSET(save.pat, 0x668);
ASSERT_VMCB_OFFSET(save.debug_control, 0x670);
#undef ASSERT_VMCB_OFFSET

/* EXITCODE (AMD APM vol. 2, appendix "SVM Intercept Exit Codes"). */
#define SVM_EXIT_CR_READ 0x00ULL
#define SVM_EXIT_CR_WRITE 0x10ULL
#define SVM_EXIT_EXCEPTION 0x40ULL
#define SVM_EXIT_INTR 0x60ULL
#define SVM_EXIT_NMI 0x61ULL
#define SVM_EXIT_INIT 0x63ULL
#define SVM_EXIT_VINTR 0x64ULL
#define SVM_EXIT_RDPMC 0x6fULL
#define SVM_EXIT_CPUID 0x72ULL
#define SVM_EXIT_RSM 0x73ULL
#define SVM_EXIT_IRET 0x74ULL
#define SVM_EXIT_INVD 0x76ULL
#define SVM_EXIT_PAUSE 0x77ULL
#define SVM_EXIT_HLT 0x78ULL
#define SVM_EXIT_INVLPGA 0x7aULL
#define SVM_EXIT_IOIO 0x7bULL
#define SVM_EXIT_MSR 0x7cULL
#define SVM_EXIT_TASK_SWITCH 0x7dULL
#define SVM_EXIT_FERR_FREEZE 0x7eULL
#define SVM_EXIT_SHUTDOWN 0x7fULL
#define SVM_EXIT_VMRUN 0x80ULL
#define SVM_EXIT_VMMCALL 0x81ULL
#define SVM_EXIT_VMLOAD 0x82ULL
#define SVM_EXIT_VMSAVE 0x83ULL
#define SVM_EXIT_STGI 0x84ULL
#define SVM_EXIT_CLGI 0x85ULL
#define SVM_EXIT_SKINIT 0x86ULL
#define SVM_EXIT_WBINVD 0x89ULL
#define SVM_EXIT_MONITOR 0x8aULL
#define SVM_EXIT_MWAIT 0x8bULL
#define SVM_EXIT_MWAIT_ARMED 0x8cULL
#define SVM_EXIT_XSETBV 0x8dULL
#define SVM_EXIT_RDPRU 0x8eULL
#define SVM_EXIT_NPF 0x400ULL
#define SVM_EXIT_INVALID (~0ULL)

/* EXITINFO1 of IOIO. */
#define IOIO_IN BIT(0)
#define IOIO_STRING BIT(2)
#define IOIO_REPEAT BIT(3)
#define IOIO_SIZE_SHIFT 4    /* 3 bits: 1, 2, 4 bytes */
#define IOIO_ADDRESS_SHIFT 7 /* 3 bits: 16, 32, 64 bits */
#define IOIO_SEGMENT_SHIFT 10
#define IOIO_PORT_SHIFT 16

/* EXITINFO1 of a nested page fault: a page-fault error code, and where it happened. */
#define NPF_FINAL BIT(32) /* on the access itself */
#define NPF_WALK BIT(33)  /* on the walk of the guest's page tables */

#endif
