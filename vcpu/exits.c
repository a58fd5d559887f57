/* SPDX-License-Identifier: BSD-2-Clause */
/* The exit dispatch table, and the handlers too small for a file of their own. */
#include "vcpu/exits.h"

#include "host/log.h"
#include "host/x86.h"
#include "lib/printf.h"
#include "vcpu/emulate.h"
#include "vcpu/lapic.h"
#include "vcpu/pause.h"
#include "vcpu/vm.h"

static enum exit_action exit_host(struct vcpu *vcpu)
{
	(void)vcpu;
	return ACTION_RESUME;
}

static enum exit_action exit_window(struct vcpu *vcpu)
{
	vcpu->window = 0;
	vcpu_look_again(vcpu);
	return ACTION_RESUME;
}

static enum exit_action exit_hlt(struct vcpu *vcpu)
{
	(void)vcpu;
	return ACTION_BLOCK;
}

/* CPUID offers no MONITOR, so neither instruction exists here. */
static enum exit_action exit_undefined(struct vcpu *vcpu)
{
	vcpu_inject_ud(vcpu);
	return ACTION_RESUME;
}

/*
 * The host's caches are coherent with everything a guest can reach without a device of its own,
 * so writing them back would only slow the others down.
 */
static enum exit_action exit_wbinvd(struct vcpu *vcpu)
{
	(void)vcpu;
	return ACTION_ADVANCE;
}

/* No performance counters are offered: every counter index is out of range. */
static enum exit_action exit_rdpmc(struct vcpu *vcpu)
{
	vcpu_inject_gp(vcpu);
	return ACTION_RESUME;
}

static enum exit_action exit_exception(struct vcpu *vcpu)
{
	const struct exit_exception *exception = &vcpu->exit.u.exception;

	if (exception->vector == VECTOR_MC)
		panic("machine check while VM %s ran", vcpu->vm->name);
	if (exception->vector == VECTOR_DB && exception->qualification) {
		vcpu_need(vcpu, REG_DEBUG);
		vcpu->special.dr6 = (vcpu->special.dr6 & ~DR6_STATUS) | DR6_FIXED |
			(exception->qualification & DR6_STATUS);
		vcpu->special.dr7 &= ~DR7_GENERAL_DETECT;
		vcpu_set_dirty(vcpu, REG_DEBUG);
	}
	if (exception->has_error)
		vcpu_inject_exception_error(vcpu, exception->vector, exception->error);
	else
		vcpu_inject_exception(vcpu, exception->vector);
	return ACTION_RESUME;
}

static enum exit_action exit_device_memory(struct vcpu *vcpu)
{
	const struct exit_memory *memory = &vcpu->exit.u.memory;

	if (vcpu->reinject.valid) {
		vm_stop(vcpu->vm, VM_STOP_FAULT, 0,
			"an event could not be delivered: its table or stack is not in RAM");
		return ACTION_STOP;
	}
	if (memory->walk) {
		vm_stop(vcpu->vm, VM_STOP_FAULT, 0, "the guest's page tables are not in RAM");
		return ACTION_STOP;
	}
	/* Where nothing answers a fetch reads all ones, which is no instruction. */
	if (memory->access & S2_EXEC)
		return exit_undefined(vcpu);
	return emulate_instruction(vcpu, memory->bytes, memory->byte_count);
}

static enum exit_action exit_memory(struct vcpu *vcpu)
{
	struct exit_memory *memory = &vcpu->exit.u.memory;

	/* The most frequent by far, where it is used at all; its page is no memory. */
	memory->lapic = lapic_claims(vcpu, memory->gpa);
	if (memory->lapic)
		return exit_device_memory(vcpu);
	switch (guest_memory_fault(&vcpu->vm->memory, memory->gpa, memory->access)) {
	case MEMORY_MAPPED:
		return ACTION_RESUME;
	case MEMORY_WAIT:
		return ACTION_WAIT;
	case MEMORY_LOST:
		vm_stop(vcpu->vm, VM_STOP_FAULT, 0, "a page of its memory could not be read back");
		return ACTION_STOP;
	case MEMORY_MMIO:
	case MEMORY_DENIED:
		break;
	}
	return exit_device_memory(vcpu);
}

static enum exit_action stop_with(struct vcpu *vcpu, const char *what)
{
	char reason[sizeof(vcpu->vm->stop_reason)];

	snprintf(reason, sizeof(reason), "%s (exit code %llx, info %llx %llx)", what,
		(unsigned long long)vcpu->exit.code, (unsigned long long)vcpu->exit.info[0],
		(unsigned long long)vcpu->exit.info[1]);
	vm_stop(vcpu->vm, VM_STOP_FAULT, 0, reason);
	return ACTION_STOP;
}

static enum exit_action exit_task_switch(struct vcpu *vcpu)
{
	return stop_with(vcpu, "hardware task switches are not emulated");
}

static enum exit_action exit_triple_fault(struct vcpu *vcpu)
{
	vm_stop(vcpu->vm, VM_STOP_FAULT, 0, "triple fault");
	return ACTION_STOP;
}

static enum exit_action exit_entry_failed(struct vcpu *vcpu)
{
	return stop_with(vcpu, "the CPU refused to enter the guest");
}

static enum exit_action exit_unknown(struct vcpu *vcpu)
{
	return stop_with(vcpu, "an exit that Ballast does not know");
}

enum exit_action (*const exit_handlers[EXIT_KINDS])(struct vcpu *vcpu) = {
	[EXIT_HOST_INTERRUPT] = exit_host,
	[EXIT_INTERRUPT_WINDOW] = exit_window,
	[EXIT_NMI_WINDOW] = exit_window,
	[EXIT_TPR] = exit_window,
	[EXIT_CPUID] = exit_cpuid,
	[EXIT_HLT] = exit_hlt,
	[EXIT_PORT] = exit_port,
	[EXIT_PORT_STRING] = exit_port_string,
	[EXIT_RDMSR] = exit_rdmsr,
	[EXIT_WRMSR] = exit_wrmsr,
	[EXIT_CR] = exit_cr,
	[EXIT_MEMORY] = exit_memory,
	[EXIT_EXCEPTION] = exit_exception,
	[EXIT_HYPERCALL] = exit_hypercall,
	[EXIT_XSETBV] = exit_xsetbv,
	[EXIT_WBINVD] = exit_wbinvd,
	[EXIT_PAUSE] = exit_pause,
	[EXIT_MONITOR] = exit_undefined,
	[EXIT_MWAIT] = exit_undefined,
	[EXIT_RDPMC] = exit_rdpmc,
	[EXIT_VIRTUALIZATION] = exit_undefined,
	[EXIT_TASK_SWITCH] = exit_task_switch,
	[EXIT_TRIPLE_FAULT] = exit_triple_fault,
	[EXIT_INIT] = exit_host,
	[EXIT_ENTRY_FAILED] = exit_entry_failed,
	[EXIT_UNKNOWN] = exit_unknown,
};

static const char *const exit_names[EXIT_KINDS] = {
	[EXIT_HOST_INTERRUPT] = "host interrupt",
	[EXIT_INTERRUPT_WINDOW] = "interrupt window",
	[EXIT_NMI_WINDOW] = "NMI window",
	[EXIT_TPR] = "TPR",
	[EXIT_CPUID] = "CPUID",
	[EXIT_HLT] = "HLT",
	[EXIT_PORT] = "port",
	[EXIT_PORT_STRING] = "string port",
	[EXIT_RDMSR] = "RDMSR",
	[EXIT_WRMSR] = "WRMSR",
	[EXIT_CR] = "control register",
	[EXIT_MEMORY] = "memory",
	[EXIT_EXCEPTION] = "exception",
	[EXIT_HYPERCALL] = "hypercall",
	[EXIT_XSETBV] = "XSETBV",
	[EXIT_WBINVD] = "WBINVD",
	[EXIT_PAUSE] = "PAUSE",
	[EXIT_MONITOR] = "MONITOR",
	[EXIT_MWAIT] = "MWAIT",
	[EXIT_RDPMC] = "RDPMC",
	[EXIT_VIRTUALIZATION] = "virtualization",
	[EXIT_TASK_SWITCH] = "task switch",
	[EXIT_TRIPLE_FAULT] = "triple fault",
	[EXIT_INIT] = "INIT",
	[EXIT_ENTRY_FAILED] = "entry failed",
	[EXIT_UNKNOWN] = "unknown",
};

const char *exit_kind_name(enum exit_kind kind)
{
	return kind < EXIT_KINDS ? exit_names[kind] : "?";
}
