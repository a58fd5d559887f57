/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's VMCB: created, taken to a CPU and away from it. */
#include "host/cpu.h"
#include "host/memory.h"
#include "host/mitigation.h"
#include "svm/svm.h"
#include "vcpu/vm.h"

/*
 * Nested paging walks as many levels as the host's own paging has (AMD APM vol. 2, "Nested
 * Paging"). The VM's tables have four; where the firmware left five, one more goes on top.
 */
static int create_nested_root(struct vcpu *vcpu, struct svm_vcpu *svm)
{
	hpa_t table;

	if (!(read_cr4() & CR4_LA57))
		return 0;
	table = frame_alloc_zeroed(FRAME_ORDER_4K, FRAME_VM);
	if (table == HPA_NONE)
		return -ENOMEM;
	svm->nested_root = host_ptr(table);
	svm->nested_root[0] = vcpu->vm->memory.s2.root | svm_npt_format.table_bits;
	return 0;
}

int svm_vcpu_create(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = heap_alloc(sizeof(*svm), FRAME_VM);
	hpa_t page;

	if (!svm)
		return -ENOMEM;
	page = frame_alloc_zeroed(FRAME_ORDER_4K, FRAME_VM);
	if (page == HPA_NONE)
		goto fail;
	svm->vmcb = host_ptr(page);
	if (create_nested_root(vcpu, svm))
		goto fail_page;
	svm->clean = svm_features.clean_bits ? CLEAN_ALL : 0;
	svm_init_controls(svm->vmcb);
	svm->vmcb->control.nested_cr3 =
		svm->nested_root ? host_phys(svm->nested_root) : vcpu->vm->memory.s2.root;
	vcpu->hw = svm;
	return 0;

fail_page:
	frame_free(page, FRAME_ORDER_4K);
fail:
	heap_free(svm);
	return -ENOMEM;
}

void svm_vcpu_destroy(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	if (svm->nested_root)
		frame_free(host_phys(svm->nested_root), FRAME_ORDER_4K);
	frame_free(host_phys(svm->vmcb), FRAME_ORDER_4K);
	heap_free(svm);
	vcpu->hw = NULL;
}

void svm_write_cr2(uint64_t value)
{
	write_cr2(value);
}

/* Writing the MSR takes its time: only where the CPU's last guest had another ratio. */
static void load_tsc_ratio(const struct vcpu *vcpu, struct svm_cpu *cpu)
{
	uint64_t ratio = vcpu->tsc_ratio ? vcpu->tsc_ratio : SVM_TSC_RATIO_ONE;

	if (likely(cpu->tsc_ratio == ratio))
		return;
	wrmsr(MSR_TSC_RATIO, ratio);
	cpu->tsc_ratio = ratio;
}

void svm_vcpu_load(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	svm_tlb_load(svm, this_cpu()->hw_data);
	load_tsc_ratio(vcpu, this_cpu()->hw_data);
	svm->mitigated = __atomic_load_n(&mitigation_steps, __ATOMIC_RELAXED);
	svm->vmcb->control.clean = 0;
	svm_write_cr2(svm->vmcb->save.cr2);
	if (svm_features.tsc_aux)
		wrmsr(MSR_TSC_AUX, svm->tsc_aux);
}

void svm_vcpu_put(struct vcpu *vcpu)
{
	svm_tlb_put(svm_of(vcpu));
	if (svm_features.tsc_aux)
		svm_of(vcpu)->tsc_aux = rdmsr(MSR_TSC_AUX);
}
