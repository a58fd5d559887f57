/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMCS's raw fields, for a reader with the SDM's "VM-Entry Checks" beside him. */
#include "vmx/vmx.h"

struct dumped_field {
	enum vmcs_field field;
	const char *name;
};

static const struct dumped_field fields[] = {
	{ VMCS_PIN, "pin" }, { VMCS_PROC, "proc" }, { VMCS_PROC2, "proc2" },
	{ VMCS_EXIT_CONTROLS, "exit" }, { VMCS_ENTRY_CONTROLS, "entry" },
	{ VMCS_EXCEPTION_BITMAP, "exceptions" }, { VMCS_EPTP, "eptp" },
	{ VMCS_TPR_THRESHOLD, "tpr threshold" }, { VMCS_TSC_OFFSET, "tsc offset" },
	{ VMCS_ENTRY_EVENT, "entry event" }, { VMCS_ENTRY_ERROR, "entry error" },
	{ VMCS_ENTRY_LENGTH, "entry length" }, { VMCS_INSTRUCTION_ERROR, "instruction error" },
	{ VMCS_EXIT_REASON, "exit reason" }, { VMCS_QUALIFICATION, "qualification" },
	{ VMCS_EXIT_EVENT, "exit event" }, { VMCS_IDT_VECTORING, "idt vectoring" },
	{ VMCS_GUEST_PHYSICAL, "guest physical" }, { VMCS_INTERRUPTIBILITY, "interruptibility" },
	{ VMCS_ACTIVITY, "activity" }, { VMCS_PENDING_DEBUG, "pending debug" },
	{ VMCS_GUEST_CR0, "real cr0" }, { VMCS_CR0_MASK, "cr0 mask" },
	{ VMCS_GUEST_CR4, "real cr4" }, { VMCS_CR4_MASK, "cr4 mask" },
	{ VMCS_GUEST_EFER, "real efer" }, { VMCS_GUEST_PDPTE0, "pdpte0" },
	{ VMCS_GUEST_PDPTE0 + 2, "pdpte1" }, { VMCS_GUEST_PDPTE0 + 4, "pdpte2" },
	{ VMCS_GUEST_PDPTE0 + 6, "pdpte3" }, { VMCS_GUEST_DR7, "dr7" },
	{ VMCS_SEGMENT(VMCS_GUEST_ACCESS, SEG_CS), "cs rights" },
	{ VMCS_SEGMENT(VMCS_GUEST_ACCESS, SEG_SS), "ss rights" },
	{ VMCS_SEGMENT(VMCS_GUEST_ACCESS, SEG_TR), "tr rights" },
	{ VMCS_SEGMENT(VMCS_GUEST_ACCESS, SEG_LDTR), "ldtr rights" },
	{ VMCS_LINK, "link" },
};
#define FIELDS_PER_LINE 3

static void dump_fields(void (*line)(const char *format, ...))
{
	_Static_assert(ARRAY_SIZE(fields) % FIELDS_PER_LINE == 0, "whole lines");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i += FIELDS_PER_LINE)
		line("%-17s %016llx  %-17s %016llx  %-17s %016llx",
			fields[i].name, (unsigned long long)vmread(fields[i].field),
			fields[i + 1].name, (unsigned long long)vmread(fields[i + 1].field),
			fields[i + 2].name, (unsigned long long)vmread(fields[i + 2].field));
}

/* The vCPU does not run: either this CPU has its VMCS, or none has and this one may borrow it. */
void vmx_dump(struct vcpu *vcpu, void (*line)(const char *format, ...))
{
	const struct vmx_vcpu *hw_state = vmx_of(vcpu);
	struct cpu *cpu = this_cpu();

	line("VMCS (CR0, CR4, EFER as the CPU has them, not as the guest sees them):");
	if (!hw_state->formatted) {
		line("not written yet");
	} else if (hw_state->holder == cpu) {
		dump_fields(line);
	} else if (hw_state->holder) {
		line("held by CPU %u", hw_state->holder->id);
	} else {
		vmcs_make_current(hw_state->vmcs);
		dump_fields(line);
		vmcs_clear(hw_state->vmcs);
		if (cpu->loaded)
			vmcs_make_current(vmx_of(cpu->loaded)->vmcs);
	}
}
