/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's paravirtual EOI (Linux, Documentation/virt/kvm/x86/msr.rst, MSR_KVM_EOI_EN). With an
 * interrupt whose end nobody waits for the guest gets an offer, a bit in its memory: it ends the
 * interrupt by clearing the bit and leaves the write to its LAPIC out. Whether it has done so is
 * looked at only when it matters: the virtual LAPIC settles the offer before it uses its in-service
 * bits (vcpu/lapic.c). No exit pays for it, and while an offer stands nobody else sets the bit.
 * All on the vCPU's own CPU, not in the guest.
 */
#ifndef BALLAST_VCPU_PV_EOI_H
#define BALLAST_VCPU_PV_EOI_H

#include "vcpu/lapic_state.h"

static inline bool pv_eoi_offered(const struct lapic *lapic)
{
	return __atomic_load_n(&lapic->eoi_offered, __ATOMIC_RELAXED);
}

/* Of the vector in service, the last one accepted; the record is enabled. */
void pv_eoi_offer(struct lapic *lapic);
/* Take back an offer that stands. True when the guest has used it: that interrupt has ended. */
bool pv_eoi_withdraw(struct lapic *lapic);

#endif
