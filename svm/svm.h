/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD-V: the vendor table, and what the files of svm/ share (AMD APM vol. 2, "Secure Virtual
 * Machine"). Nothing but `svm_ops` is for others.
 *
 * A guest runs between CLGI and STGI, so that the host takes interrupts and NMIs only after all of
 * its own state is back. An interrupt or NMI of the host ends the run and stays pending: the NMI
 * is taken through the host's IDT right after STGI, the interrupt in irq_window().
 */
#ifndef BALLAST_SVM_SVM_H
#define BALLAST_SVM_SVM_H

#include "host/x86.h"
#include "svm/vmcb.h"
#include "vcpu/vcpu.h"

extern const struct hw_ops svm_ops;

/* What CPUID says of SVM on this machine. */
struct svm_features {
	uint32_t revision;
	uint32_t asids;       /* usable ASIDs are 1 .. asids - 1 */
	bool next_rip;        /* NRIPS: the VMCB tells where the next instruction is */
	bool decode_assists;  /* bytes and operands of intercepted instructions */
	bool flush_by_asid;
	bool clean_bits;      /* the CPU may keep unchanged parts of the VMCB */
	bool huge_pages;      /* 1 GiB pages */
	bool pause_filter;    /* PAUSEs can be counted before one exits */
	bool pause_threshold; /* only those that follow each other closely count */
	bool tsc_aux;         /* RDTSCP, and so its MSR */
	bool rdpru;
	bool tsc_ratio;       /* guests' TSCs can be scaled */
	/*
	 * QEMU's emulation (seen in 7.2) aborts, all of the machine, when a guest writes CR8 while
	 * V_IRQ is set, and takes V_IRQ at a priority equal to V_TPR: see svm/event.c.
	 */
	bool fragile_virtual_irq;
	/*
	 * The same emulation forgets to forget an interrupt that it has injected: when something
	 * asks for the CPU's attention between two looks, be it another thread or with -icount a
	 * timer of the machine, the guest gets it twice, even with RFLAGS.IF clear. So a guest that
	 * is given an interrupt leaves at once, for an exit ends the memory of it. With -icount
	 * shift=0 this is off: there is measured what hardware executes.
	 */
	bool injects_twice;
	/*
	 * It has a thread for each CPU, unless it counts instructions (-icount). VMRUN shares the
	 * CPU's word of pending interrupts with other threads, but takes no lock: one that arrives
	 * while V_IRQ is set can be lost, and waits in the APIC then. So the APIC is asked again
	 * where that may have happened.
	 *
	 * And whatever loads x87 state, on any CPU and in any guest, also writes the first CPU's
	 * word of virtualization flags, to lower IGNNE#. What VMRUN or #VMEXIT there changes
	 * just then is undone: nested paging is off in the guest, or on in the host, GIF likewise,
	 * and all of the machine ends in a triple fault. So no guest runs there if others are left.
	 */
	bool threaded_tcg;
};
extern struct svm_features svm_features; /* [I] after probe() */

/* Ratios of TSCs: none where probe() finds no TSC ratio MSR. */
extern struct tsc_format svm_tsc_format;

#define SVM_TSC_FRACTION_BITS 32
#define SVM_TSC_WHOLE_BITS 8
#define SVM_TSC_RATIO_ONE BIT(SVM_TSC_FRACTION_BITS)

/* A CPU's own part; cpu->hw_data. */
struct svm_cpu {
	hpa_t host_vmcb;           /* [I] VMSAVE'd host state that VMEXIT does not restore */
	struct tlb_tags asids;
	bool flush_all;            /* before anything else: an ASID may have stale translations */
	uint64_t tsc_ratio;        /* what the TSC ratio MSR holds, which is for guests alone */
};

/* NMI blocking, which SVM leaves to software: from an NMI's injection until IRET has executed. */
enum svm_nmi_state {
	SVM_NMI_OPEN,
	SVM_NMI_HANDLER, /* IRET is intercepted */
	SVM_NMI_IRET,    /* at the IRET, which has not executed yet */
};

/* vcpu->hw */
struct svm_vcpu {
	struct vmcb *vmcb;         /* [I] */
	struct svm_cpu *cpu;       /* own CPU: the one that loaded it */
	struct tlb_tag asid;       /* the one in the VMCB */
	uint64_t *nested_root;     /* [I] table above the VM's own where the host has 5 levels */
	uint64_t tsc_aux;          /* while not loaded */
	uint64_t iret_rip;         /* with SVM_NMI_IRET */
	uint64_t step_dr6;         /* DR6 before stepping */
	uint64_t soft_rip;         /* of the instruction whose software event is being injected */
	uint32_t clean;            /* [I] CLEAN_ALL, or 0 where the CPU has no clean bits */
	uint8_t windows;           /* WINDOW_... wanted */
	uint8_t window_priority;
	union {
		uint32_t prepare;          /* not 0: an entry needs more than to load registers */
		struct {
			bool stepping;     /* over an IRET, by RFLAGS.TF; every fault exits */
			bool mitigated;    /* the longer way: see host/mitigation.h */
			bool leaves;       /* with an interrupt: svm_features.injects_twice */
		};
	};
	bool guest_tf;             /* the guest's own RFLAGS.TF while stepping */
	union {
		uint16_t attention;            /* not 0: an exit needs a closer look */
		struct {
			uint8_t nmi_state;     /* enum svm_nmi_state */
			bool soft_moved_rip;   /* RIP was moved past soft_rip's instruction */
		};
	};
};

static inline struct svm_vcpu *svm_of(const struct vcpu *vcpu)
{
	return vcpu->hw;
}

/* svm/probe.c */

/* CPUID and RDMSR, or what a test puts in their place. */
struct svm_source {
	struct cpuid_result (*cpuid)(uint32_t leaf, uint32_t subleaf);
	uint64_t (*rdmsr)(uint32_t msr);
};
/* hw_ops.probe() on any source; fills `features` when it returns 0. */
int svm_detect(const struct svm_source *source, struct svm_features *features, char *why,
	size_t size) __must_check;
/* The same for the calling CPU. */
int svm_detect_here(struct svm_features *features, char *why, size_t size) __must_check;
int svm_probe(char *why, size_t size);
void svm_describe(void (*line)(const char *format, ...));
void svm_summary(char *text, size_t size);

/* svm/cpu.c */
int svm_cpu_enable(struct cpu *cpu);
void svm_cpu_disable(struct cpu *cpu);

/* svm/tlb.c */
void svm_flush_tlb(struct vcpu *vcpu, enum tlb_scope scope);
/* The vCPU is going to run on `cpu`, with an ASID that holds no stale translations there. */
void svm_tlb_load(struct svm_vcpu *svm, struct svm_cpu *cpu);
/* It stops running there. */
void svm_tlb_put(struct svm_vcpu *svm);

/* svm/controls.c */
#define SVM_MSRPM_BYTES 8192
#define SVM_IOPM_BYTES 12288
/* Let the guest read and write `msr` without an exit; false when the map has no bits for it. */
bool svm_msrpm_allow(uint8_t *msrpm, uint32_t msr);
void svm_fill_msrpm(uint8_t *msrpm);
/* Build both maps once; every CPU calls it. -ENOMEM. */
int svm_prepare_maps(void) __must_check;
void svm_init_controls(struct vmcb *vmcb);
bool svm_pause_exits(struct vcpu *vcpu, bool every);

/* svm/vcpu.c */
int svm_vcpu_create(struct vcpu *vcpu);
void svm_vcpu_destroy(struct vcpu *vcpu);
void svm_vcpu_load(struct vcpu *vcpu);
void svm_vcpu_put(struct vcpu *vcpu);
/* VMRUN loads CR2 from the VMCB; Bochs' does not, so the CPU's own gets the guest's value too. */
void svm_write_cr2(uint64_t value);

/* svm/regs.c */
void svm_pull(struct vcpu *vcpu, uint32_t groups);
/* Write the groups of vcpu->dirty to the VMCB. */
void svm_store(struct vcpu *vcpu, struct svm_vcpu *svm);

/* svm/exit.c */
void svm_enter(struct vcpu *vcpu);
/* From the VMCB to vcpu->exit, vcpu->reinject and the registers that every exit needs. */
void svm_decode_exit(struct vcpu *vcpu);

/*
 * svm/entry.asm: run the guest once, then svm_decode_exit(). Interrupts are off; both VMCBs by
 * physical address.
 */
void svm_run_guest(struct vcpu *vcpu, hpa_t guest_vmcb, hpa_t host_vmcb);
/* The same with what mitigation_steps asks for. */
void svm_run_guest_mitigated(struct vcpu *vcpu, hpa_t guest_vmcb, hpa_t host_vmcb);
/* Where the host takes an NMI that ended the run. */
extern const uint8_t svm_run_guest_open[] __asm__("svm_run_guest.open");

/* svm/event.c */
void svm_inject(struct vcpu *vcpu, const struct vcpu_event *event);
void svm_want_window(struct vcpu *vcpu, uint32_t windows, uint8_t priority);
/* Make the VMCB's intercepts and V_IRQ follow what is wanted and V_TPR. */
void svm_update_windows(struct svm_vcpu *svm);
/* An exit ended a window: none is wanted any more. */
void svm_close_windows(struct svm_vcpu *svm);
/* The guest's NMI blocking as common code stored it. */
void svm_set_nmi_blocked(struct svm_vcpu *svm, bool blocked);
/* EXITINTINFO is valid: keep the event for its next delivery. */
void svm_requeue_event(struct vcpu *vcpu, struct svm_vcpu *svm);
/* After an exit with NMIs blocked: has IRET executed? True when `vcpu->exit` is made. */
bool svm_track_nmi(struct vcpu *vcpu, struct svm_vcpu *svm);
bool svm_exception_has_error(unsigned int vector);

/* svm/npt_format.c */
extern struct s2_format svm_npt_format;

/* svm/dump.c */
void svm_dump(struct vcpu *vcpu, void (*line)(const char *format, ...));
/* One line for each rule of VMRUN that this VMCB breaks; returns how many. */
unsigned int svm_check_vmcb(const struct vmcb *vmcb, void (*line)(const char *format, ...));

#endif
