/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small records of KVM's ABI in guest memory, named by a guest physical address in an MSR. The
 * guest writes them too, whenever it likes: nothing that is read from one is trusted.
 */
#ifndef BALLAST_VCPU_PV_RECORD_H
#define BALLAST_VCPU_PV_RECORD_H

#include "vcpu/vcpu.h"

#define PV_RECORD_ENABLED BIT(0)

static inline bool pv_record_enabled(const struct pv_record *record)
{
	return record->msr & PV_RECORD_ENABLED;
}

/*
 * Take over what the guest wrote to a record's MSR; `bytes`, a power of two, is size and alignment
 * of the record, so that it lies in one page, which is pinned. -EIO, and nothing changes, for
 * reserved bits and where there is no RAM; -EAGAIN: the page cannot be had now. Own vCPU.
 */
int pv_record_set(struct vcpu *vcpu, struct pv_record *record, uint64_t msr, uint64_t bytes)
	__must_check;
/* It is not enabled any more. Own vCPU, or one that does not run. */
void pv_record_forget(struct vcpu *vcpu, struct pv_record *record);
/*
 * Where the record is in host memory: NULL when it is not enabled or there is no RAM any more. Own
 * vCPU; good until the end of the exit.
 */
void *pv_record_find(struct vcpu *vcpu, struct pv_record *record);

#endif
