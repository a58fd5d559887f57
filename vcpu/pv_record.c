/* SPDX-License-Identifier: BSD-2-Clause */
/* See vcpu/pv_record.h. */
#include "vcpu/pv_record.h"

#include "vcpu/vm.h"

static uint64_t generation_of(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->vm->memory.generation, __ATOMIC_ACQUIRE);
}

static void *locate(struct vcpu *vcpu, struct pv_record *record)
{
	/* First the generation: taking memory away meanwhile makes what is found stale again. */
	record->generation = generation_of(vcpu);
	record->host = guest_memory_ptr(
		&vcpu->vm->memory, record->msr & ~PV_RECORD_ENABLED, S2_WRITE, NULL);
	return record->host;
}

/* It is written before and after each run, when there is no way to wait for its page. */
static int pin(struct vcpu *vcpu, struct pv_record *record)
{
	gpa_t gpa = record->msr & ~PV_RECORD_ENABLED;
	struct guest_memory *memory = &vcpu->vm->memory;

	if (!guest_memory_is_ram(memory, gpa) || guest_memory_pin(memory, gpa, 1))
		return -EIO;
	if (locate(vcpu, record))
		return 0;
	guest_memory_unpin(memory, gpa, 1);
	return -EAGAIN;
}

int pv_record_set(struct vcpu *vcpu, struct pv_record *record, uint64_t msr, uint64_t bytes)
{
	struct pv_record new = { .msr = msr };
	int error;

	if (msr & (bytes - 1) & ~PV_RECORD_ENABLED)
		return -EIO;
	error = pv_record_enabled(&new) ? pin(vcpu, &new) : 0;
	if (error)
		return error;
	pv_record_forget(vcpu, record);
	*record = new;
	return 0;
}

void pv_record_forget(struct vcpu *vcpu, struct pv_record *record)
{
	if (pv_record_enabled(record))
		guest_memory_unpin(&vcpu->vm->memory, record->msr & ~PV_RECORD_ENABLED, 1);
	*record = (struct pv_record){ 0 };
}

void *pv_record_find(struct vcpu *vcpu, struct pv_record *record)
{
	if (!pv_record_enabled(record))
		return NULL;
	if (likely(record->host && record->generation == generation_of(vcpu)))
		return record->host;
	return locate(vcpu, record);
}
