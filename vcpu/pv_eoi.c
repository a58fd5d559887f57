/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of an interrupt without an exit: an offer in guest memory, see vcpu/pv_eoi.h. */
#include "vcpu/pv_eoi.h"

#include "vcpu/pv_record.h"

#define EOI_OFFERED BIT(0)

void pv_eoi_offer(struct vcpu *vcpu)
{
	uint8_t *word = pv_record_find(vcpu, &vcpu->pv.eoi);

	if (!word)
		return;
	__atomic_store_n(word, EOI_OFFERED, __ATOMIC_RELAXED);
	__atomic_store_n(&vcpu->pv.eoi_offered, true, __ATOMIC_RELAXED);
}

bool pv_eoi_withdraw(struct vcpu *vcpu)
{
	uint8_t *word = pv_record_find(vcpu, &vcpu->pv.eoi);

	__atomic_store_n(&vcpu->pv.eoi_offered, false, __ATOMIC_RELAXED);
	/*
	 * Where the memory is gone nobody knows any more. To take the interrupt for ended is the lesser
	 * evil: an EOI too many does nothing, one too few would keep others waiting for ever.
	 */
	if (!word || !(__atomic_load_n(word, __ATOMIC_RELAXED) & EOI_OFFERED))
		return true;
	__atomic_store_n(word, 0, __ATOMIC_RELAXED);
	return false;
}
