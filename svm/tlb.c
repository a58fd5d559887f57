/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ASIDs: they tag all that the CPU caches for a vCPU, the guest's own translations and the nested
 * ones alike (AMD APM vol. 2, "TLB Control", "ASID").
 *
 * A flush in the VMCB is done by the next VMRUN with it, which may be long in coming, or never
 * come. For one ASID that is as well: nobody else uses it. But when the ASIDs of a CPU begin anew,
 * all must have been flushed before anyone gets in: so whoever is loaded flushes, until one did.
 */
#include "svm/svm.h"

static void take_asid(struct svm_vcpu *svm)
{
	struct vmcb_control *control = &svm->vmcb->control;

	if (tlb_tag_take(&svm->cpu->asids, &svm->asid))
		control->tlb_control = TLB_CONTROL_FLUSH_ALL;
	else if (control->tlb_control != TLB_CONTROL_FLUSH_ALL)
		control->tlb_control = TLB_CONTROL_NOTHING;
	control->asid = svm->asid.number;
	control->clean &= ~CLEAN_ASID;
}

void svm_flush_tlb(struct vcpu *vcpu, enum tlb_scope scope)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	uint8_t *control = &svm->vmcb->control.tlb_control;

	(void)scope; /* the ASID tags both */
	if (*control == TLB_CONTROL_FLUSH_ALL)
		return;
	if (svm_features.flush_by_asid)
		*control = TLB_CONTROL_FLUSH_ASID;
	else
		take_asid(svm);
}

void svm_tlb_load(struct svm_vcpu *svm, struct svm_cpu *cpu)
{
	/*
	 * What another CPU cached is not known here, and what was left here may be stale: the guest
	 * has changed its tables and flushed there since.
	 */
	if (svm->cpu != cpu) {
		svm->cpu = cpu;
		svm->asid.generation = 0;
	}
	if (cpu->flush_all)
		svm->vmcb->control.tlb_control = TLB_CONTROL_FLUSH_ALL;
	cpu->flush_all = false;
	if (!tlb_tag_holds(&cpu->asids, &svm->asid))
		take_asid(svm);
}

void svm_tlb_put(struct svm_vcpu *svm)
{
	uint8_t *control = &svm->vmcb->control.tlb_control;

	if (*control != TLB_CONTROL_FLUSH_ALL)
		return;
	/* It never came to VMRUN. */
	svm->cpu->flush_all = true;
	*control = TLB_CONTROL_NOTHING;
}
