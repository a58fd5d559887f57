/* SPDX-License-Identifier: BSD-2-Clause */
/* Events into the guest, and exits at the moment when it can take one. */
#include "vmx/vmx.h"

void vmx_inject(struct vcpu *vcpu, const struct vcpu_event *event)
{
	uint32_t info = EVENT_INFO_VALID | event->vector |
		(uint32_t)event->type << EVENT_INFO_TYPE_SHIFT;

	vmx_settle_reset(vcpu);
	if (event->has_error) {
		info |= EVENT_INFO_HAS_ERROR;
		vmwrite(VMCS_ENTRY_ERROR, event->error);
	}
	if (event->type >= EVENT_SOFTWARE_INTERRUPT)
		vmwrite(VMCS_ENTRY_LENGTH, event->instruction_length);
	vmwrite(VMCS_ENTRY_EVENT, info);
}

static void set_controls(struct vmx_vcpu *hw_state, uint32_t proc, uint8_t threshold)
{
	if (hw_state->proc != proc) {
		hw_state->proc = proc;
		vmwrite(VMCS_PROC, proc);
	}
	if (hw_state->tpr_threshold != threshold) {
		hw_state->tpr_threshold = threshold;
		vmwrite(VMCS_TPR_THRESHOLD, threshold);
	}
}

/*
 * An NMI window opens although STI still shades the instruction after it, and no NMI may be
 * injected then. So the guest is let run for one instruction first.
 */
static uint32_t nmi_window_control(struct vcpu *vcpu)
{
	vcpu_need(vcpu, REG_SHADOW);
	if (!vcpu->special.interrupt_shadow)
		return PROC_NMI_WINDOW;
	if (vmx_capabilities.proc >> 32 & PROC_MONITOR_TRAP)
		return PROC_MONITOR_TRAP;
	return PROC_INTERRUPT_WINDOW;
}

void vmx_apply_windows(struct vcpu *vcpu)
{
	struct vmx_vcpu *hw_state = vmx_of(vcpu);
	uint32_t proc = vmx_controls.proc | hw_state->pause;
	uint8_t threshold = 0;

	if (hw_state->windows & WINDOW_INTERRUPT) {
		/*
		 * Held back by its priority, the interrupt waits for the TPR: the CPU watches it,
		 * or, without TPR shadow, every change of it is an exit anyhow.
		 */
		vcpu_need(vcpu, REG_TPR);
		if (vcpu->special.tpr >> 4 < hw_state->priority)
			proc |= PROC_INTERRUPT_WINDOW;
		else if (proc & PROC_TPR_SHADOW)
			threshold = hw_state->priority;
	}
	if (hw_state->windows & WINDOW_NMI)
		proc |= nmi_window_control(vcpu);
	set_controls(hw_state, proc, threshold);
}

void vmx_want_window(struct vcpu *vcpu, uint32_t windows, uint8_t priority)
{
	struct vmx_vcpu *hw_state = vmx_of(vcpu);

	vmx_settle_reset(vcpu);
	hw_state->windows = windows;
	hw_state->priority = priority;
	/* A TPR or a shadow that is still to be stored counts already: vcpu->special has it. */
	vmx_apply_windows(vcpu);
}

void vmx_drop_windows(struct vmx_vcpu *hw_state)
{
	hw_state->windows = 0;
	set_controls(hw_state, vmx_controls.proc | hw_state->pause, 0);
}

bool vmx_pause_exits(struct vcpu *vcpu, bool every)
{
	struct vmx_vcpu *hw_state = vmx_of(vcpu);

	if (vmx_capabilities.proc2 >> 32 & PROC2_PAUSE_LOOP ||
		!(vmx_capabilities.proc >> 32 & PROC_PAUSE))
		return false;
	hw_state->pause = every ? PROC_PAUSE : 0;
	set_controls(hw_state, (hw_state->proc & ~PROC_PAUSE) | hw_state->pause,
		hw_state->tpr_threshold);
	return true;
}
