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
/* The same two, by the numbers that the first kernels knew. */
#define MSR_PVCLOCK_WALL_OLD 0x11
#define MSR_PVCLOCK_SYSTEM_OLD 0x12

/* CPUID leaf of the ABI, base + 1, EAX. */
#define PVCLOCK_FEATURE_CLOCKSOURCE BIT(0)
#define PVCLOCK_FEATURE_NOP_IO_DELAY BIT(1)
#define PVCLOCK_FEATURE_CLOCKSOURCE2 BIT(3)
#define PVCLOCK_FEATURE_STABLE BIT(24)

/*
 * The MSRs above. Writing one stores the guest physical address of a record and fills it in; the
 * TSC is the same on all CPUs and never stops, so it holds until the guest moves its TSC or is
 * paused; the record's page is pinned. 0, or -EIO for #GP, and nothing changes, when the record is
 * not in RAM; -EAGAIN when it cannot be had now. Own vCPU.
 */
int pvclock_rdmsr(struct vcpu *vcpu, uint32_t msr, uint64_t *value) __must_check;
int pvclock_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t value) __must_check;

/* The guest has no record any more. Own vCPU, or one that does not run. */
void pvclock_forget(struct vcpu *vcpu);
/* Write the record anew, if the guest has one (REQUEST_CLOCK). Own CPU. */
void pvclock_update(struct vcpu *vcpu);
/*
 * The guest writes its TSC: its offset and its record follow, and where vCPUs' TSCs now differ that
 * did not, or the other way round, all records do. Own CPU, vCPU loaded.
 */
void pvclock_set_tsc(struct vcpu *vcpu, uint64_t tsc);
/*
 * The VM was paused and is about to run again: the records will say so, and Linux' watchdogs for
 * locked-up CPUs forgive the time. Any CPU.
 */
void pvclock_vm_paused(struct vm *vm);

#endif
