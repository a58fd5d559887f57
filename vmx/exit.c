/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From exit reasons to vcpu->exit. Each kind reads what it needs and no more; a delivery that an
 * exit can interrupt is looked for only with the reasons of the Intel SDM's "Information for VM
 * Exits That Occur During Event Delivery".
 */
#include "host/log.h"
#include "host/watchdog.h"
#include "host/x86.h"
#include "vmx/vmx.h"

/* Exit qualification of port accesses, control register accesses and EPT violations. */
#define PORT_SIZE_MASK 7
#define PORT_IN BIT(3)
#define PORT_STRING BIT(4)
#define PORT_REPEAT BIT(5)
#define PORT_NUMBER_SHIFT 16
#define CR_NUMBER_MASK 0xf
#define CR_ACCESS_SHIFT 4
#define CR_ACCESS_MASK 3
#define CR_GPR_SHIFT 8
#define CR_LMSW_SHIFT 16
#define EPT_WRITE BIT(1)
#define EPT_FETCH BIT(2)
#define EPT_LINEAR_VALID BIT(7)
#define EPT_LINEAR_ACCESS BIT(8) /* with the former: not a load of paging structures */
#define EPT_NMI_UNBLOCKED BIT(12)

/* VM-exit instruction information of INS and OUTS, where IA32_VMX_BASIC promises it. */
#define BASIC_STRING_INFORMATION BIT(54)
#define STRING_ADDRESS_SHIFT 7
#define STRING_ADDRESS_MASK 7
#define STRING_SEGMENT_SHIFT 15
#define STRING_SEGMENT_MASK 7

/*
 * Out of line, so that the frequent kinds save no registers for the sake of the others.
 */
#define APART __attribute__((noinline))

/* What every kind that the guest's own instruction caused wants: the run loop moves past it. */
static inline void decode_instruction(struct vcpu *vcpu, enum exit_kind kind)
{
	struct special_regs *special = &vcpu->special;
	uint32_t interruptibility = vmread(VMCS_INTERRUPTIBILITY);

	vcpu->exit.kind = kind;
	vcpu->exit.instruction_length = vmread(VMCS_EXIT_LENGTH);
	special->rip = vmread(VMCS_GUEST_RIP);
	special->rflags = vmread(VMCS_GUEST_RFLAGS);
	special->interrupt_shadow = interruptibility & (BLOCKING_STI | BLOCKING_MOV_SS);
	special->nmi_blocked = interruptibility & BLOCKING_NMI;
	vcpu->valid = REG_RIP | REG_RFLAGS | REG_SHADOW;
}

static APART void decode_string(struct vcpu *vcpu, uint64_t qualification)
{
	struct exit_port *port = &vcpu->exit.u.port;
	uint32_t information;

	port->repeat = qualification & PORT_REPEAT;
	port->address_size = 0;
	port->segment_valid = false;
	if (!(vmx_capabilities.basic & BASIC_STRING_INFORMATION))
		return;
	information = vmread(VMCS_EXIT_INSTRUCTION);
	port->address_size = 2 << (information >> STRING_ADDRESS_SHIFT & STRING_ADDRESS_MASK);
	port->segment = information >> STRING_SEGMENT_SHIFT & STRING_SEGMENT_MASK;
	port->segment_valid = !port->in;
}

static void decode_port(struct vcpu *vcpu)
{
	uint64_t qualification = vmread(VMCS_QUALIFICATION);
	struct exit_port *port = &vcpu->exit.u.port;

	decode_instruction(vcpu, qualification & PORT_STRING ? EXIT_PORT_STRING : EXIT_PORT);
	vcpu->exit.info[0] = qualification;
	port->port = qualification >> PORT_NUMBER_SHIFT;
	port->size = (qualification & PORT_SIZE_MASK) + 1;
	port->in = qualification & PORT_IN;
	if (unlikely(qualification & PORT_STRING))
		decode_string(vcpu, qualification);
}

static APART void decode_cr(struct vcpu *vcpu)
{
	static const enum exit_cr_access accesses[] = { CR_WRITE, CR_READ, CR_CLTS, CR_LMSW };
	uint64_t qualification = vmread(VMCS_QUALIFICATION);
	struct exit_cr *cr = &vcpu->exit.u.cr;

	decode_instruction(vcpu, EXIT_CR);
	vcpu->exit.info[0] = qualification;
	cr->number = qualification & CR_NUMBER_MASK;
	cr->access = accesses[qualification >> CR_ACCESS_SHIFT & CR_ACCESS_MASK];
	cr->gpr = qualification >> CR_GPR_SHIFT & 0xf;
	cr->lmsw = qualification >> CR_LMSW_SHIFT;
}

/* An NMI whose delivery is to be repeated blocks others only once it has been delivered. */
static void unblock_nmi(void)
{
	vmwrite(VMCS_INTERRUPTIBILITY, vmread(VMCS_INTERRUPTIBILITY) & ~BLOCKING_NMI);
}

/* True when the exit interrupted the delivery of an event, which then is in vcpu->reinject. */
static bool decode_interrupted_delivery(struct vcpu *vcpu)
{
	uint32_t info = vmread(VMCS_IDT_VECTORING);
	struct vcpu_event *event = &vcpu->reinject;

	if (likely(!(info & EVENT_INFO_VALID)))
		return false;
	event->valid = true;
	event->type = info >> EVENT_INFO_TYPE_SHIFT & EVENT_INFO_TYPE_MASK;
	event->vector = info;
	event->has_error = info & EVENT_INFO_HAS_ERROR;
	if (event->has_error)
		event->error = vmread(VMCS_IDT_VECTORING_ERROR);
	if (event->type >= EVENT_SOFTWARE_INTERRUPT)
		event->instruction_length = vmread(VMCS_EXIT_LENGTH);
	if (event->type == EVENT_NMI)
		unblock_nmi();
	vcpu_look_again(vcpu);
	return true;
}

/*
 * IRET ended NMI blocking and then faulted: it will be executed again, and until then NMIs are
 * blocked (Intel SDM vol. 3, "Resuming Guest Software after Handling an Exception").
 */
static void block_nmi_again(void)
{
	vmwrite(VMCS_INTERRUPTIBILITY, vmread(VMCS_INTERRUPTIBILITY) | BLOCKING_NMI);
}

static void decode_ept_violation(struct vcpu *vcpu)
{
	const uint64_t linear = EPT_LINEAR_VALID | EPT_LINEAR_ACCESS;
	uint64_t qualification = vmread(VMCS_QUALIFICATION);
	struct exit_memory *memory = &vcpu->exit.u.memory;

	vcpu->exit.kind = EXIT_MEMORY;
	vcpu->exit.instruction_length = 0;
	/* The run loop records it. */
	vcpu->special.rip = vmread(VMCS_GUEST_RIP);
	vcpu->valid = REG_RIP;
	vcpu->exit.info[0] = qualification;
	memory->gpa = vmread(VMCS_GUEST_PHYSICAL);
	vcpu->exit.info[1] = memory->gpa;
	memory->access = qualification & EPT_FETCH ? S2_EXEC
		: qualification & EPT_WRITE	   ? S2_WRITE
						   : S2_READ;
	memory->walk = (qualification & linear) != linear;
	memory->byte_count = 0;
	if (!decode_interrupted_delivery(vcpu) && unlikely(qualification & EPT_NMI_UNBLOCKED))
		block_nmi_again();
}

/*
 * The NMI has been taken: until an IRET no other comes. This interrupt goes through the host's own
 * handler and ends with one.
 */
static void take_host_nmi(struct vcpu *vcpu)
{
	vcpu->exit.kind = EXIT_HOST_INTERRUPT;
#ifndef BALLAST_UNIT_TEST
	__asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
			 "movq %%rax, %0\n\t"
			 "int $2\n"
			 "1:"
			 : "=m"(watchdog_guest_rip)
			 :
			 : "rax", "memory");
#endif
}

/* INT1 is not the guest's fault: it is delivered as what it was, with its length. */
static void repeat_int1(struct vcpu *vcpu)
{
	vcpu->exit.kind = EXIT_HOST_INTERRUPT;
	vcpu->reinject = (struct vcpu_event){ .valid = true, .type = EVENT_PRIVILEGED_EXCEPTION,
		.vector = VECTOR_DB, .instruction_length = vmread(VMCS_EXIT_LENGTH) };
	vcpu_look_again(vcpu);
}

static APART void decode_exception(struct vcpu *vcpu)
{
	struct exit_exception *exception = &vcpu->exit.u.exception;
	uint32_t info = vmread(VMCS_EXIT_EVENT);
	uint32_t type = info >> EVENT_INFO_TYPE_SHIFT & EVENT_INFO_TYPE_MASK;
	bool interrupted;

	if (type == EVENT_NMI) {
		take_host_nmi(vcpu);
		return;
	}
	vmx_fix_pending_debug(vmread(VMCS_INTERRUPTIBILITY), vmread(VMCS_GUEST_RFLAGS));
	interrupted = decode_interrupted_delivery(vcpu);
	if (!interrupted && (info & EVENT_INFO_NMI_UNBLOCKED) && (uint8_t)info != VECTOR_DF)
		block_nmi_again();
	if (type == EVENT_PRIVILEGED_EXCEPTION) {
		repeat_int1(vcpu);
		return;
	}
	vcpu->exit.kind = EXIT_EXCEPTION;
	vcpu->exit.instruction_length = 0;
	vcpu->exit.info[0] = vmread(VMCS_QUALIFICATION);
	vcpu->exit.info[1] = info;
	exception->vector = info;
	exception->has_error = info & EVENT_INFO_HAS_ERROR;
	exception->error = exception->has_error ? vmread(VMCS_EXIT_ERROR) : 0;
	exception->qualification = exception->vector == VECTOR_DB ? vcpu->exit.info[0] : 0;
}

/* A machine check during entry is what one in the guest is. */
static void decode_machine_check(struct vcpu *vcpu)
{
	vcpu->exit.kind = EXIT_EXCEPTION;
	vcpu->exit.u.exception = (struct exit_exception){ .vector = VECTOR_MC };
}

static APART void decode_window(struct vcpu *vcpu, enum exit_kind kind)
{
	vcpu->exit.kind = kind;
	vmx_drop_windows(vmx_of(vcpu));
}

/* Everything else that is no instruction: rare, and of interest to a reader of the log. */
static void decode_other(struct vcpu *vcpu, enum exit_kind kind)
{
	vcpu->exit.kind = kind;
	vcpu->exit.info[0] = vmread(VMCS_QUALIFICATION);
}

static void decode_misconfiguration(struct vcpu *vcpu)
{
	vcpu->exit.kind = EXIT_UNKNOWN;
	vcpu->exit.info[1] = vmread(VMCS_GUEST_PHYSICAL);
	log_line("VMX: bad EPT entry for guest address %llx",
		(unsigned long long)vcpu->exit.info[1]);
}

/* Qualifications of REASON_BAD_GUEST_STATE. */
static const char *bad_state_text(uint64_t qualification)
{
	switch (qualification) {
	case 2:
		return "its page-directory-pointer entries are invalid";
	case 3:
		return "an NMI was to be injected into an interrupt shadow";
	case 4:
		return "the VMCS link pointer is invalid";
	default:
		return "its state is invalid";
	}
}

static void decode_entry_failure(struct vcpu *vcpu, uint64_t reason)
{
	/* A VMCS counts as launched only once the guest has run. */
	vmx_of(vcpu)->launched = 0;
	if ((reason & REASON_BASIC_MASK) == REASON_MACHINE_CHECK) {
		decode_machine_check(vcpu);
		return;
	}
	decode_other(vcpu, EXIT_ENTRY_FAILED);
	log_line("VMX: the CPU refused the guest (exit reason %u): %s",
		(unsigned int)(reason & REASON_BASIC_MASK), bad_state_text(vcpu->exit.info[0]));
}

/* VM-instruction errors that VMLAUNCH and VMRESUME have. */
static const char *refusal_text(uint64_t error)
{
	switch (error) {
	case 4:
		return "VMLAUNCH with a VMCS that is launched";
	case 5:
		return "VMRESUME with a VMCS that is not launched";
	case 6:
		return "VMRESUME after VMXOFF and VMXON";
	case 7:
		return "invalid control fields";
	case 8:
		return "invalid host-state fields";
	case 26:
		return "events blocked by MOV SS";
	default:
		return "see the SDM's \"VM-Instruction Error Numbers\"";
	}
}

void vmx_decode_refusal(struct vcpu *vcpu, int error)
{
	vmx_of(vcpu)->launched = 0;
	vcpu->valid = 0;
	vcpu->exit.kind = EXIT_ENTRY_FAILED;
	vcpu->exit.instruction_length = 0;
	vcpu->exit.code = REASON_ENTRY_FAILED;
	vcpu->exit.info[0] = error == 2 ? vmread(VMCS_INSTRUCTION_ERROR) : 0;
	vcpu->exit.info[1] = 0;
	log_line("VMX: VM entry failed with error %u: %s", (unsigned int)vcpu->exit.info[0],
		error == 2 ? refusal_text(vcpu->exit.info[0]) : "no VMCS is current");
}

/* The rare reasons; the frequent ones have been taken out. */
static APART void decode_rare(struct vcpu *vcpu, uint64_t reason)
{
	if (reason & REASON_ENTRY_FAILED) {
		decode_entry_failure(vcpu, reason);
		return;
	}
	switch (reason & REASON_BASIC_MASK) {
	case REASON_TRIPLE_FAULT:
		decode_other(vcpu, EXIT_TRIPLE_FAULT);
		break;
	case REASON_INIT:
	case REASON_SIPI:
		decode_other(vcpu, EXIT_INIT);
		break;
	case REASON_TASK_SWITCH:
		decode_other(vcpu, EXIT_TASK_SWITCH);
		decode_interrupted_delivery(vcpu);
		break;
	case REASON_RDPMC:
		decode_instruction(vcpu, EXIT_RDPMC);
		break;
	case REASON_MWAIT:
		decode_instruction(vcpu, EXIT_MWAIT);
		break;
	case REASON_MONITOR:
		decode_instruction(vcpu, EXIT_MONITOR);
		break;
	case REASON_XSETBV:
		decode_instruction(vcpu, EXIT_XSETBV);
		break;
	case REASON_INVD:
	case REASON_WBINVD:
		decode_instruction(vcpu, EXIT_WBINVD);
		break;
	case REASON_GETSEC:
	case REASON_VMCLEAR:
	case REASON_VMLAUNCH:
	case REASON_VMPTRLD:
	case REASON_VMPTRST:
	case REASON_VMREAD:
	case REASON_VMRESUME:
	case REASON_VMWRITE:
	case REASON_VMXOFF:
	case REASON_VMXON:
	case REASON_INVEPT:
	case REASON_INVVPID:
	case REASON_VMFUNC:
	case REASON_ENCLS:
	case REASON_ENCLV:
		decode_instruction(vcpu, EXIT_VIRTUALIZATION);
		break;
	case REASON_EPT_MISCONFIGURATION:
		decode_misconfiguration(vcpu);
		break;
	default:
		decode_other(vcpu, EXIT_UNKNOWN);
	}
}

void vmx_decode_exit(struct vcpu *vcpu)
{
	uint64_t reason = vmread(VMCS_EXIT_REASON);
	struct vcpu_exit *exit = &vcpu->exit;

	vcpu->valid = 0;
	exit->code = reason;
	exit->info[0] = 0;
	exit->info[1] = 0;
	switch (reason) {
	case REASON_EXTERNAL_INTERRUPT:
	case REASON_PREEMPTION_TIMER:
		exit->kind = EXIT_HOST_INTERRUPT;
		break;
	case REASON_EXCEPTION_NMI:
		decode_exception(vcpu);
		break;
	case REASON_INTERRUPT_WINDOW:
		decode_window(vcpu, EXIT_INTERRUPT_WINDOW);
		break;
	case REASON_NMI_WINDOW:
	case REASON_MONITOR_TRAP:
		decode_window(vcpu, EXIT_NMI_WINDOW);
		break;
	case REASON_TPR:
		decode_window(vcpu, EXIT_TPR);
		break;
	case REASON_CPUID:
		decode_instruction(vcpu, EXIT_CPUID);
		break;
	case REASON_HLT:
		decode_instruction(vcpu, EXIT_HLT);
		break;
	case REASON_PAUSE:
		decode_instruction(vcpu, EXIT_PAUSE);
		break;
	case REASON_RDMSR:
		decode_instruction(vcpu, EXIT_RDMSR);
		break;
	case REASON_WRMSR:
		decode_instruction(vcpu, EXIT_WRMSR);
		break;
	case REASON_VMCALL:
		decode_instruction(vcpu, EXIT_HYPERCALL);
		break;
	case REASON_PORT:
		decode_port(vcpu);
		break;
	case REASON_CR:
		decode_cr(vcpu);
		break;
	case REASON_EPT_VIOLATION:
		decode_ept_violation(vcpu);
		break;
	default:
		decode_rare(vcpu, reason);
	}
}
