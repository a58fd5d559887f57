/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of an interrupt without an exit: an offer in guest memory, see vcpu/pv_eoi.h. */
#include "vcpu/pv_eoi.h"

#include "vcpu/pv_record.h"

#define EOI_OFFERED BIT(0)

static uint8_t *find_word(struct lapic *lapic)
{
	return pv_record_find(lapic->vcpu, &lapic->vcpu->pv.eoi);
}

void pv_eoi_offer(struct lapic *lapic)
{
	uint8_t *word = find_word(lapic);

	if (!word)
		return;
	__atomic_store_n(word, EOI_OFFERED, __ATOMIC_RELAXED);
	__atomic_store_n(&lapic->eoi_offered, true, __ATOMIC_RELAXED);
}

bool pv_eoi_withdraw(struct lapic *lapic)
{
	uint8_t *word = find_word(lapic);

	__atomic_store_n(&lapic->eoi_offered, false, __ATOMIC_RELAXED);
	/*
	 * Where the memory is gone nobody knows any more. To take the interrupt for ended is the
	 * lesser evil: one EOI too many does nothing, one too few keeps others waiting for ever.
	 */
	if (!word || !(__atomic_load_n(word, __ATOMIC_RELAXED) & EOI_OFFERED))
		return true;
	__atomic_store_n(word, 0, __ATOMIC_RELAXED);
	return false;
}
