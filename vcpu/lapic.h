/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual local APIC, xAPIC and x2APIC (Intel SDM vol. 3, "Advanced Programmable Interrupt
 * Controller (APIC)"; AMD APM vol. 2, same title). One for each vCPU. Registers belong to the
 * vCPU's own CPU; only IRR and TMR may be set from others, by lapic_deliver().
 */
#ifndef BALLAST_VCPU_LAPIC_H
#define BALLAST_VCPU_LAPIC_H

#include "host/clock.h"
#include "lib/util.h"

struct vcpu;
struct vm;
struct lapic;

/*
 * Input clock of the timer, before its divider. CPUID leaf 0x15 names it as the crystal clock, from
 * which Linux computes both TSC and LAPIC frequency in 32-bit kHz arithmetic: that bounds it.
 */
#define LAPIC_TIMER_HZ 25000000ULL

enum lapic_delivery {
	DELIVERY_FIXED = 0, DELIVERY_LOWEST = 1, DELIVERY_SMI = 2, DELIVERY_NMI = 4,
	DELIVERY_INIT = 5, DELIVERY_STARTUP = 6, DELIVERY_EXTINT = 7,
};

/* An interrupt message, from an ICR, an IOAPIC entry or an MSI. */
struct apic_message {
	/*
	 * APIC id or logical id, as the mode says. A physical destination 0xff, all that 8-bit
	 * senders have for "everybody", is a broadcast as 0xffffffff is: no vCPU has the id 255.
	 */
	uint32_t destination;
	bool logical;
	bool level;            /* trigger mode: sets TMR, EOI is broadcast to the IOAPICs */
	bool assert;           /* of a level message: INIT de-assert is false */
	bool tick;             /* vm_tick_taken() is to be called when a vCPU takes it */
	enum lapic_delivery delivery;
	uint8_t vector;
};

/* vcpu->lapic, to be reset before use; -ENOMEM. */
int lapic_create(struct vcpu *vcpu) __must_check;
void lapic_destroy(struct vcpu *vcpu);
/* After power-up or INIT; stops the timer. */
void lapic_reset(struct vcpu *vcpu, bool init);

/* Route a message to all vCPUs it addresses. Any CPU; takes no lock but the targets' requests. */
void lapic_deliver(struct vm *vm, const struct apic_message *message);

/* Does any vCPU of the VM have this vector requested, and not yet taken? Any CPU. */
bool lapic_any_requested(const struct vm *vm, uint8_t vector);

/* The highest vector in IRR above ISR's priority, whatever TPR says, or -1. */
int lapic_waiting_vector(struct vcpu *vcpu);
/* Does this TPR, a vCPU's, let in what waits? Not -1. */
static inline bool lapic_tpr_passes(uint8_t tpr, int waiting)
{
	return (waiting >> 4) > (tpr >> 4);
}
/* It is delivered: from IRR to ISR. Without vm.lock, which it takes if the vector is a tick's. */
void lapic_accept(struct vcpu *vcpu, uint8_t vector);
/* Does LINT0 pass the PIC's interrupts now (ExtINT unmasked, or the LAPIC disabled)? */
bool lapic_accepts_extint(struct vcpu *vcpu);

/*
 * The MMIO page, in xAPIC mode: 4-byte accesses at 16-byte steps; others read what is there and
 * write nothing. Without vm.lock: the end of a level-triggered interrupt takes it. The page can be
 * moved, but not over RAM: there the guest would not exit.
 */
bool lapic_claims(struct vcpu *vcpu, uint64_t gpa);
uint64_t lapic_mmio_read(struct vcpu *vcpu, uint64_t gpa, unsigned int size);
void lapic_mmio_write(struct vcpu *vcpu, uint64_t gpa, unsigned int size, uint64_t value);

/*
 * x2APIC MSRs 0x800-0x8ff, IA32_APIC_BASE, IA32_TSC_DEADLINE. 0, or -EIO for #GP. Without vm.lock,
 * as above.
 */
int lapic_rdmsr(struct vcpu *vcpu, uint32_t msr, uint64_t *value) __must_check;
int lapic_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t value) __must_check;

/* The guest moved its TSC (vcpu->tsc_offset): a TSC deadline now falls on another moment. */
void lapic_tsc_changed(struct vcpu *vcpu);

/*
 * Before the in-service bits are used, or the guest's record moves: if the guest has been offered
 * to end what is in service without an exit (vcpu/pv_eoi.h), see whether it has, and offer it no
 * longer. Own CPU, without vm.lock.
 */
void lapic_settle_eoi(struct vcpu *vcpu);

/*
 * The vCPU has come to this CPU: so does its timer, whose callback is to run where the vCPU does.
 * Waits for one that runs on the CPU where it was.
 */
void lapic_timer_follow(struct vcpu *vcpu);

/* For CPUID: is the APIC enabled in IA32_APIC_BASE? */
bool lapic_enabled(const struct vcpu *vcpu);

#endif
