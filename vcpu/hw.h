/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boundary to vmx/ and svm/: a dozen coarse verbs. One table is chosen at boot and never
 * changes. Unless said otherwise, a verb runs on the CPU that has the vCPU loaded.
 */
#ifndef BALLAST_VCPU_HW_H
#define BALLAST_VCPU_HW_H

#include "ept/s2.h"
#include "lib/util.h"
#include "vcpu/tlb.h"
#include "vcpu/tsc.h"

struct cpu;
struct vcpu;
struct vcpu_event;

#define WINDOW_INTERRUPT BIT(0)
#define WINDOW_NMI BIT(1)

struct hw_ops {
	const char *name; /* "VMX" or "SVM" */

	/*
	 * May this CPU be used? Reads CPUID and MSRs, changes nothing; firmware is still there.
	 * 0; -ENODEV, `why` untouched, when the CPU is another vendor's; -ENOTSUP when something
	 * is missing or locked, with one sentence in `why`: what it is, and what to do about it.
	 */
	int (*probe)(char *why, size_t size);

	/* Turn virtualization on or off on the calling CPU. -E... after a log line. */
	int (*cpu_enable)(struct cpu *cpu);
	void (*cpu_disable)(struct cpu *cpu);

	/* Any CPU: allocate and free vcpu->hw. create() leaves the state to vcpu_reset(). */
	int (*vcpu_create)(struct vcpu *vcpu);
	void (*vcpu_destroy)(struct vcpu *vcpu);

	/* The vCPU becomes, or ceases to be, the one whose state this CPU's hardware holds. */
	void (*vcpu_load)(struct vcpu *vcpu);
	void (*vcpu_put)(struct vcpu *vcpu);

	/*
	 * Store vcpu->dirty groups, enter the guest, come back, invalidate vcpu->valid, fill
	 * vcpu->exit, and put an interrupted event delivery into vcpu->reinject, which
	 * vcpu_look_again() is to tell. Interrupts are off before and after; an interrupt of the
	 * host that ended the run is still pending. A refused entry is EXIT_ENTRY_FAILED, never a
	 * panic.
	 */
	void (*enter)(struct vcpu *vcpu);

	/* Fill these register groups of vcpu->special (see vcpu_need()). */
	void (*pull)(struct vcpu *vcpu, uint32_t groups);

	/* Deliver this event at the next entry. The caller has checked that it is possible. */
	void (*inject)(struct vcpu *vcpu, const struct vcpu_event *event);

	/*
	 * Exit as soon as the guest can take an interrupt of priority class `priority` (vector
	 * >> 4) or an NMI. Holds until that exit, or until called again; 0 takes it back.
	 */
	void (*want_window)(struct vcpu *vcpu, uint32_t windows, uint8_t priority);

	/*
	 * Forget cached translations before the next entry: TLB_GUEST, at least, what the vCPU
	 * cached on this CPU of the guest's own page tables, for every PCID and global ones too;
	 * TLB_SECOND_LEVEL what this CPU cached of the VM's second-level tables, or, with
	 * tlb_by_tag, what it cached for this vCPU.
	 */
	void (*flush_tlb)(struct vcpu *vcpu, enum tlb_scope scope);
	/*
	 * The hardware tags second-level translations as it does the guest's own, by a number that
	 * each vCPU has (SVM's ASID); else they belong to the tables' root, and all vCPUs of a VM
	 * share them on a CPU (VMX).
	 */
	bool tlb_by_tag;

	/*
	 * In VMs with several vCPUs loops of PAUSE exit where the hardware can tell them. True:
	 * it cannot, and from now on every PAUSE exits, or none. NULL: nothing ever is done here.
	 */
	bool (*pause_exits)(struct vcpu *vcpu, bool every);

	const struct s2_format *s2_format;
	/* Of vcpu->tsc_ratio, which the vendor puts into effect; complete after probe(). */
	const struct tsc_format *tsc_format;

	/* For the `cpu` command and the banner: one line for each feature and the choice made. */
	void (*describe)(void (*line)(const char *format, ...));
	/* Banner: "VMX: EPT, VPID, unrestricted guest, ..." */
	void (*summary)(char *text, size_t size);
	/* The vendor's raw control and state fields, after a failed entry. */
	void (*dump)(struct vcpu *vcpu, void (*line)(const char *format, ...));
};

/* Chosen by hw_probe(). */
extern const struct hw_ops *hw;

/*
 * Choose among the vendors' tables, which boot/ names. 0, or -ENOTSUP with one sentence for the
 * operator in `why`. Executes only CPUID and RDMSR, so it may run while the firmware is there.
 */
int hw_probe(const struct hw_ops *const *vendors, size_t count, char *why, size_t size)
	__must_check;

#endif
