/* SPDX-License-Identifier: BSD-2-Clause */
/* Steal time, and TLB flushes that other vCPUs leave to this one; see vcpu/pv.h. */
#include "vcpu/pv.h"

#include "vcpu/lapic.h"
#include "vcpu/pv_record.h"
#include "vcpu/pvclock.h"
#include "vcpu/sched.h"
#include "vcpu/vm.h"

/* The ABI's record. `version` is odd while the rest changes. */
struct steal_record {
	uint64_t steal_ns;
	uint32_t version;
	uint32_t flags;
	uint8_t preempted; /* STEAL_... */
	uint8_t pad[47];
};
_Static_assert(sizeof(struct steal_record) == 64, "the ABI's record");
_Static_assert(offsetof(struct steal_record, preempted) == 16, "the ABI's record");

#define STEAL_PREEMPTED BIT(0)
#define STEAL_FLUSH_TLB BIT(1) /* set by other vCPUs, with the one above only */

static void write_steal(struct vcpu *vcpu, struct steal_record *record)
{
	uint32_t version = __atomic_load_n(&record->version, __ATOMIC_RELAXED) | 1;
	struct sched_times times;

	sched_times(vcpu, &times);
	__atomic_store_n(&record->version, version, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	__atomic_store_n(&record->steal_ns, times.steal_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&record->version, version + 1, __ATOMIC_RELEASE);
}

void pv_scheduled(struct vcpu *vcpu)
{
	struct steal_record *record = pv_record_find(vcpu, &vcpu->pv.steal);

	if (!record)
		return;
	/*
	 * One step: from it on others send their flushes as interrupts again, and those that they
	 * left here before are seen.
	 */
	if (__atomic_exchange_n(&record->preempted, 0, __ATOMIC_SEQ_CST) & STEAL_FLUSH_TLB)
		__atomic_fetch_or(&vcpu->requests, REQUEST_TLB_GUEST, __ATOMIC_RELAXED);
	write_steal(vcpu, record);
}

void pv_descheduled(struct vcpu *vcpu, bool preempted)
{
	struct steal_record *record;

	/*
	 * One that has nothing to do is not called preempted: Linux would not give it work, and a
	 * wake-up costs its waker the same as a flush.
	 */
	if (!preempted)
		return;
	record = pv_record_find(vcpu, &vcpu->pv.steal);
	if (record)
		__atomic_store_n(&record->preempted, STEAL_PREEMPTED, __ATOMIC_SEQ_CST);
}

int pv_rdmsr(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	*value = msr == MSR_PV_EOI ? vcpu->pv.eoi.msr : vcpu->pv.steal.msr;
	return 0;
}

static int write_steal_msr(struct vcpu *vcpu, uint64_t value)
{
	int error = pv_record_set(vcpu, &vcpu->pv.steal, value, sizeof(struct steal_record));

	if (error)
		return error;
	pv_scheduled(vcpu);
	return 0;
}

static int write_eoi_msr(struct vcpu *vcpu, uint64_t value)
{
	lapic_settle_eoi(vcpu);
	return pv_record_set(vcpu, &vcpu->pv.eoi, value, sizeof(uint32_t));
}

int pv_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	return msr == MSR_PV_EOI ? write_eoi_msr(vcpu, value) : write_steal_msr(vcpu, value);
}

void pv_reset(struct vcpu *vcpu)
{
	pv_record_forget(vcpu, &vcpu->pv.steal);
	pv_record_forget(vcpu, &vcpu->pv.eoi);
	pvclock_forget(vcpu);
	vcpu->pv = (struct vcpu_pv){ 0 };
}
