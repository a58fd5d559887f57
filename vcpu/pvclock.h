/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's paravirtual clock (Linux, Documentation/virt/kvm/x86/msr.rst and cpuid.rst): unmodified
 * Linux learns the TSC's frequency and its own system time from it, without calibrating.
 */
#ifndef BALLAST_VCPU_PVCLOCK_H
#define BALLAST_VCPU_PVCLOCK_H

#include "vcpu/vcpu.h"

#define MSR_PVCLOCK_WALL 0x4b564d00
#define MSR_PVCLOCK_SYSTEM 0x4b564d01

/* CPUID leaf of the ABI, base + 1, EAX. */
#define PVCLOCK_FEATURE_NOP_IO_DELAY BIT(1)
#define PVCLOCK_FEATURE_CLOCKSOURCE2 BIT(3)
#define PVCLOCK_FEATURE_STABLE BIT(24)

/*
 * The two MSRs above. Writing one stores the guest physical address of a record and fills it in,
 * once: the TSC is the same on all CPUs and never stops, so it holds until the guest moves its TSC.
 * 0, or -EIO for #GP when the record does not lie in RAM. Own vCPU.
 */
int pvclock_rdmsr(struct vcpu *vcpu, uint32_t msr, uint64_t *value) __must_check;
/* The guest's TSC has moved: its record is written anew. */
void pvclock_tsc_changed(struct vcpu *vcpu);
int pvclock_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t value) __must_check;

#endif
