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

/*
 * The vCPU gets its CPU, before its first entry there; or loses it, `preempted` when it could run
 * on. Own CPU, vCPU loaded.
 */
void pv_scheduled(struct vcpu *vcpu);
void pv_descheduled(struct vcpu *vcpu, bool preempted);

#endif
