/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translations that VMX caches (Intel SDM vol. 3, "Caching Translation Information"): linear and
 * combined ones are tagged by VPID, guest-physical and combined ones by the EPT root. Without VPIDs
 * each entry flushes the former; the latter stay in any case.
 */
#include "host/cpu.h"
#include "host/memory.h"
#include "vmx/vmx.h"

#define VPIDS 0x10000

int vmx_tlb_create(struct cpu *cpu)
{
	struct vmx_cpu *own = heap_alloc(sizeof(*own), FRAME_HOST);

	if (!own)
		return -ENOMEM;
	tlb_tags_init(&own->vpids, VPIDS);
	cpu->hw_data = own;
	return 0;
}

void vmx_tlb_flush_everything(void)
{
	uint64_t have = vmx_capabilities.ept_vpid;

	if (have & EPT_CAP_INVEPT_ALL)
		vmx_invept(INVALIDATE_ALL, 0);
	if ((have & VPID_CAP_INVVPID) && (have & VPID_CAP_INVVPID_ALL))
		vmx_invvpid(INVALIDATE_ALL, 0);
}

/* A VPID under which this CPU has cached nothing. */
static void take_vpid(struct vmx_vcpu *hw_state, struct vmx_cpu *own)
{
	uint64_t have = vmx_capabilities.ept_vpid;
	bool used_up = tlb_tag_take(&own->vpids, &hw_state->vpid);

	if (have & VPID_CAP_INVVPID_ALL) {
		if (used_up)
			vmx_invvpid(INVALIDATE_ALL, 0);
	} else {
		/* Not all at once: then each when it is taken. */
		vmx_invvpid(INVALIDATE_SINGLE, hw_state->vpid.number);
	}
	vmwrite(VMCS_VPID, hw_state->vpid.number);
}

static void flush_guest(struct vmx_vcpu *hw_state)
{
	if (!(vmx_controls.proc2 & PROC2_VPID))
		return;
	if (vmx_capabilities.ept_vpid & VPID_CAP_INVVPID_SINGLE)
		vmx_invvpid(INVALIDATE_SINGLE, hw_state->vpid.number);
	else
		take_vpid(hw_state, this_cpu()->hw_data);
}

void vmx_flush_tlb(struct vcpu *vcpu, enum tlb_scope scope)
{
	if (scope == TLB_GUEST)
		flush_guest(vmx_of(vcpu));
	else if (vmx_capabilities.ept_vpid & EPT_CAP_INVEPT_SINGLE)
		vmx_invept(INVALIDATE_SINGLE, vmx_of(vcpu)->eptp);
	else
		vmx_invept(INVALIDATE_ALL, 0);
}

void vmx_tlb_load(struct vmx_vcpu *hw_state, struct cpu *cpu)
{
	struct vmx_cpu *own = cpu->hw_data;

	if (!(vmx_controls.proc2 & PROC2_VPID))
		return;
	/* The guest changed its tables elsewhere, and flushed there. */
	if (hw_state->last != cpu || !tlb_tag_holds(&own->vpids, &hw_state->vpid))
		take_vpid(hw_state, own);
}
