/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of KVM's paravirtual ABI concerns scheduling and interrupts (Linux,
 * Documentation/virt/kvm/x86/cpuid.rst, msr.rst, hypercalls.rst): steal time with its "preempted"
 * byte, TLB flushes left to a vCPU that does not run, EOI without an exit, IPIs to many, yield and
 * kick. Clocks are in vcpu/pvclock.h.
 */
#ifndef BALLAST_VCPU_PV_H
#define BALLAST_VCPU_PV_H

#include "vcpu/vcpu.h"

#define MSR_PV_STEAL_TIME 0x4b564d03
#define MSR_PV_EOI 0x4b564d04 /* vcpu/pv_eoi.h */

/* CPUID leaf of the ABI, base + 1, EAX; those of the clock are in vcpu/pvclock.h. */
#define PV_FEATURE_STEAL_TIME BIT(5)
#define PV_FEATURE_EOI BIT(6)
#define PV_FEATURE_UNHALT BIT(7)
#define PV_FEATURE_TLB_FLUSH BIT(9)
#define PV_FEATURE_SEND_IPI BIT(11)
#define PV_FEATURE_SCHED_YIELD BIT(13)

/*
 * The vCPU gets its CPU, before its first entry there; or loses it, `preempted` when it could run
 * on. Own CPU, vCPU loaded.
 */
void pv_scheduled(struct vcpu *vcpu);
void pv_descheduled(struct vcpu *vcpu, bool preempted);

/* The MSRs above. 0, or -EIO for #GP: reserved bits, or a record that is not in RAM. Own vCPU. */
int pv_rdmsr(struct vcpu *vcpu, uint32_t msr, uint64_t *value) __must_check;
int pv_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t value) __must_check;

/* After power-up or INIT the guest uses none of it, nor the clock. Own CPU, or a stopped VM. */
void pv_reset(struct vcpu *vcpu);

#endif
