/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel VT-x behind vcpu/hw.h. `vmx_ops` is for everybody else; the rest of this header is what
 * the files of this folder share. Manual: Intel SDM vol. 3, "Virtual Machine Extensions" and what
 * follows.
 */
#ifndef BALLAST_VMX_VMX_H
#define BALLAST_VMX_VMX_H

#include "vcpu/vcpu.h"
#include "vmx/vmcs.h"

extern const struct hw_ops vmx_ops;

/* What CPUID and the capability MSRs say. The control words are the TRUE_ ones where they exist. */
struct vmx_capabilities {
	bool intel;               /* the CPU's vendor is one with VMX */
	bool has_vmx;             /* CPUID offers it; all below is 0 without */
	bool has_tsc_aux;
	uint64_t feature_control; /* IA32_FEATURE_CONTROL */
	uint64_t basic;
	uint64_t misc;
	/* Low half: bits that must be 1; high half: bits that may be 1. */
	uint64_t pin, proc, proc2, exit, entry;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	uint64_t ept_vpid;
};

#define FEATURE_CONTROL_LOCKED BIT(0)
#define FEATURE_CONTROL_VMX BIT(2) /* outside SMX operation */

/* Values of the control words that hold for every vCPU and do not change. */
struct vmx_controls {
	uint32_t pin, proc, proc2, exit, entry;
};

/* One control that Ballast uses, for the choice and for `describe`. */
struct vmx_feature {
	enum vmx_word { WORD_PIN, WORD_PROC, WORD_PROC2, WORD_EXIT, WORD_ENTRY } word;
	uint32_t bit;
	bool needed;              /* else there is a fallback */
	bool later;               /* set and cleared while a vCPU runs: off at first */
	const char *name;
	const char *without;      /* of optional ones: what is done instead */
};
extern const struct vmx_feature vmx_features[];
extern const size_t vmx_feature_count;

/* Does this CPU let the feature's control be 1? */
bool vmx_feature_available(const struct vmx_capabilities *capabilities,
	const struct vmx_feature *feature);

/*
 * Is there all that Ballast needs? 0, or -ENODEV (another vendor's CPU, `why` untouched), or
 * -ENOTSUP with a sentence. Pure, as is the next.
 */
int vmx_capabilities_check(const struct vmx_capabilities *capabilities, char *why, size_t size)
	__must_check;
/* The controls for a CPU that passed the check. */
void vmx_controls_choose(const struct vmx_capabilities *capabilities,
	struct vmx_controls *controls);

/* CPUID and RDMSR on the calling CPU. */
void vmx_capabilities_read(struct vmx_capabilities *capabilities);

/* The boot CPU's, and what was chosen from them; [I] after probe(). */
extern struct vmx_capabilities vmx_capabilities;
extern struct vmx_controls vmx_controls;

/* Ratios of TSCs: none where probe() finds no TSC scaling. */
extern struct tsc_format vmx_tsc_format;

int vmx_probe(char *why, size_t size) __must_check;
void vmx_describe(void (*line)(const char *format, ...));
void vmx_summary(char *text, size_t size);

int vmx_cpu_enable(struct cpu *cpu) __must_check;
void vmx_cpu_disable(struct cpu *cpu);

/* A CPU's own part; cpu->hw_data. */
struct vmx_cpu {
	struct tlb_tags vpids;
};

/* The vendor's part of a vCPU. All but the first three fields is for C alone. */
struct vmx_vcpu {
	uint64_t host_rsp;     /* what VMCS_HOST_RSP holds; see entry.asm */
	uint16_t launched;     /* VMRESUME enters, not VMLAUNCH; see entry.asm */
	uint16_t mitigated;    /* entries and exits take the longer way; see host/mitigation.h */
	uint32_t proc;         /* what VMCS_PROC holds */
	uint32_t pause;        /* PROC_PAUSE while every PAUSE exits, else 0 */
	uint8_t tpr_threshold; /* what VMCS_TPR_THRESHOLD holds */
	uint8_t windows;       /* as asked for by want_window() */
	uint8_t priority;
	bool formatted;        /* the VMCS has its constant fields */
	struct tlb_tag vpid;   /* on `last`; without VPIDs, VM entry and exit flush */
	uint64_t eptp;
	uint64_t cr0_owned;    /* bits that the guest changes without an exit */
	uint64_t cr4_owned;
	uint64_t cr4_forced;   /* bits that are 1 while the guest runs, whatever it sees */
	hpa_t vmcs;
	uint8_t *virtual_apic; /* a page; Ballast uses its TPR */
	struct cpu *holder;    /* whose hardware holds the VMCS now; NULL: none's */
	struct cpu *last;      /* whose host state the VMCS has, and where its VPID is valid */
	/* While not loaded; then they are in the CPU. */
	uint64_t cr2, dr6;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux;
};

static inline struct vmx_vcpu *vmx_of(const struct vcpu *vcpu)
{
	return vcpu->hw;
}

/* Place of the TPR in the virtual-APIC page. */
#define VIRTUAL_APIC_TPR 0x80

/* The MSR bitmap that all guests share: once, before the first vCPU. */
void vmx_msr_bitmap_init(void);

int vmx_vcpu_create(struct vcpu *vcpu) __must_check;
void vmx_vcpu_destroy(struct vcpu *vcpu);
void vmx_vcpu_load(struct vcpu *vcpu);
void vmx_vcpu_put(struct vcpu *vcpu);
void vmx_enter(struct vcpu *vcpu);

/* tlb.c. Allocate the CPU's own part; -ENOMEM. */
int vmx_tlb_create(struct cpu *cpu) __must_check;
/* Translations cached before VMX was last left may be there still. */
void vmx_tlb_flush_everything(void);
void vmx_flush_tlb(struct vcpu *vcpu, enum tlb_scope scope);
/* The vCPU, whose VMCS is current, is going to run on `cpu`: hw->last is where it was. */
void vmx_tlb_load(struct vmx_vcpu *hw, struct cpu *cpu);

/* Register groups (regs.c). */
void vmx_pull(struct vcpu *vcpu, uint32_t groups);
void vmx_store(struct vcpu *vcpu, uint32_t groups);
/*
 * A reset forgets the event and the windows of the vCPU's former life. Call it before a new one is
 * asked for, or storing the reset at the next entry would forget that.
 */
void vmx_settle_reset(struct vcpu *vcpu);
/* Attributes in the VMCB's form to access rights and back; see SEGMENT_... in vcpu/regs.h. */
uint32_t vmx_access_rights(enum segment_name name, const struct segment *segment);
uint16_t vmx_attributes(uint32_t access_rights);
/*
 * VM entry wants BS among the pending debug exceptions when the guest single-steps in an interrupt
 * shadow, and only then (Intel SDM vol. 3, "Checks on Guest Non-Register State").
 */
void vmx_fix_pending_debug(uint32_t interruptibility, uint64_t rflags);

/* Fill vcpu->exit and vcpu->reinject from the current VMCS; entry.asm ends here (exit.c). */
void vmx_decode_exit(struct vcpu *vcpu);
void vmx_decode_refusal(struct vcpu *vcpu, int error);

void vmx_inject(struct vcpu *vcpu, const struct vcpu_event *event);
void vmx_want_window(struct vcpu *vcpu, uint32_t windows, uint8_t priority);
bool vmx_pause_exits(struct vcpu *vcpu, bool every);
/* Bring the VMCS in line with hw->windows: after the TPR changed. */
void vmx_apply_windows(struct vcpu *vcpu);
/* An exit has answered what want_window() asked for. */
void vmx_drop_windows(struct vmx_vcpu *hw);

void vmx_dump(struct vcpu *vcpu, void (*line)(const char *format, ...));

/* EPT entries; probe() fills in what the CPU has. */
extern struct s2_format vmx_ept_format;
void vmx_ept_format_init(uint64_t ept_vpid);

/*
 * entry.asm: run the guest until it exits, and return as vmx_decode_exit() or, when VMLAUNCH or
 * VMRESUME itself failed, as vmx_decode_refusal() does: 1 (no VMCS is current) or 2 (the field
 * VMCS_INSTRUCTION_ERROR says why).
 */
void vmx_entry_run(struct vcpu *vcpu, struct vmx_vcpu *hw);
/* Where exits arrive: goes into VMCS_HOST_RIP. */
extern const uint8_t vmx_entry_exit[], vmx_entry_exit_mitigated[];

#endif
