/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Into the guest and back: EXITCODE becomes a dense kind (AMD APM vol. 2, appendix "SVM Intercept
 * Exit Codes"). This path runs at every exit; instructions are counted here.
 */
#include "host/apic.h"
#include "lib/string.h"
#include "svm/svm.h"
#include "vcpu/guest_access.h"
#include "vcpu/insn.h"
#include "vcpu/vm.h"

_Static_assert(offsetof(struct vcpu, regs.gpr) == 0, "entry.asm: vcpu is the register array");
_Static_assert(GPR_RCX == 1 && GPR_RDX == 2 && GPR_RBX == 3 && GPR_RBP == 5 && GPR_RSI == 6 &&
		GPR_RDI == 7 && GPR_R8 == 8 && GPR_R15 == 15 &&
		sizeof(((struct vcpu *)0)->regs.gpr[0]) == 8,
	"entry.asm: offsets of registers");

#define DR6_CAUSES 0xe00fULL
#define DR6_SINGLE_STEP BIT(14)

/* Registers that nearly every exit needs: they cost two instructions each. */
#define EAGER_GROUPS (REG_RIP | REG_RSP | REG_RFLAGS | REG_SHADOW)

/* Exits that are told by their code alone, as kind + 1; 0: see decode_details(). */
#define FIRST_SIMPLE SVM_EXIT_INTR
#define SIMPLE(code) [SVM_EXIT_##code - FIRST_SIMPLE]
static const uint8_t simple_kinds[] = {
	SIMPLE(INTR) = EXIT_HOST_INTERRUPT + 1,
	SIMPLE(NMI) = EXIT_HOST_INTERRUPT + 1,
	SIMPLE(INIT) = EXIT_INIT + 1,
	SIMPLE(RDPMC) = EXIT_RDPMC + 1,
	SIMPLE(CPUID) = EXIT_CPUID + 1,
	SIMPLE(RSM) = EXIT_VIRTUALIZATION + 1,
	SIMPLE(INVD) = EXIT_WBINVD + 1,
	SIMPLE(PAUSE) = EXIT_PAUSE + 1,
	SIMPLE(HLT) = EXIT_HLT + 1,
	SIMPLE(INVLPGA) = EXIT_VIRTUALIZATION + 1,
	SIMPLE(TASK_SWITCH) = EXIT_TASK_SWITCH + 1,
	SIMPLE(SHUTDOWN) = EXIT_TRIPLE_FAULT + 1,
	SIMPLE(VMRUN) = EXIT_VIRTUALIZATION + 1,
	SIMPLE(VMMCALL) = EXIT_HYPERCALL + 1,
	SIMPLE(VMLOAD) = EXIT_VIRTUALIZATION + 1,
	SIMPLE(VMSAVE) = EXIT_VIRTUALIZATION + 1,
	SIMPLE(STGI) = EXIT_VIRTUALIZATION + 1,
	SIMPLE(CLGI) = EXIT_VIRTUALIZATION + 1,
	SIMPLE(SKINIT) = EXIT_VIRTUALIZATION + 1,
	SIMPLE(WBINVD) = EXIT_WBINVD + 1,
	SIMPLE(MONITOR) = EXIT_MONITOR + 1,
	SIMPLE(MWAIT) = EXIT_MWAIT + 1,
	SIMPLE(MWAIT_ARMED) = EXIT_MWAIT + 1,
	SIMPLE(XSETBV) = EXIT_XSETBV + 1,
	SIMPLE(RDPRU) = EXIT_VIRTUALIZATION + 1,
};

/* 0 when it cannot be: beyond the hardware's own limit, or wrapped. */
static inline uint8_t length_up_to(const struct vmcb_save *save, uint64_t next)
{
	uint64_t length = next - save->rip;

	return length <= INSN_MAX_BYTES ? length : 0;
}

/* Of an instruction met before, straight from the VMCB; 0: common code decodes. */
static inline uint8_t remembered_length(struct vcpu *vcpu, const struct vmcb_save *save)
{
	const struct insn_site *site = insn_cache_find(&vcpu->insn_cache,
		&(struct code_context){ .rip = save->rip, .cr3 = save->cr3, .cr4 = save->cr4,
			.efer = save->efer & ~EFER_SVME, .cpl = save->cpl,
			.cs_attributes = save->cs.attributes,
			.generation = __atomic_load_n(
				&vcpu->vm->memory.generation, __ATOMIC_RELAXED) });

	return site ? site->insn.length : 0;
}

static inline uint8_t instruction_length(struct vcpu *vcpu, const struct vmcb *vmcb)
{
	if (svm_features.next_rip)
		return length_up_to(&vmcb->save, vmcb->control.next_rip);
	return remembered_length(vcpu, &vmcb->save);
}

static enum exit_kind decode_port(struct vcpu_exit *exit, const struct vmcb *vmcb)
{
	uint64_t info = vmcb->control.exit_info1;
	struct exit_port *port = &exit->u.port;

	exit->instruction_length = length_up_to(&vmcb->save, vmcb->control.exit_info2);
	port->port = info >> IOIO_PORT_SHIFT;
	port->size = info >> IOIO_SIZE_SHIFT & 7;
	port->in = info & IOIO_IN;
	if (likely(!(info & IOIO_STRING)))
		return EXIT_PORT;
	port->repeat = info & IOIO_REPEAT;
	port->address_size = (info >> IOIO_ADDRESS_SHIFT & 7) * 2;
	port->segment = info >> IOIO_SEGMENT_SHIFT & 7;
	port->segment_valid = svm_features.decode_assists;
	return EXIT_PORT_STRING;
}

static enum exit_kind decode_memory(struct vcpu_exit *exit, const struct vmcb_control *control)
{
	struct exit_memory *memory = &exit->u.memory;
	uint64_t info = control->exit_info1;

	memory->gpa = control->exit_info2;
	memory->walk = info & NPF_WALK;
	memory->byte_count = 0;
	if (info & PF_FETCH) {
		memory->access = S2_EXEC;
		return EXIT_MEMORY;
	}
	memory->access = info & PF_WRITE ? S2_WRITE : S2_READ;
	if (svm_features.decode_assists) {
		memory->byte_count = control->fetched_count & 0xf;
		memcpy(memory->bytes, control->fetched_bytes, sizeof(memory->bytes));
	}
	return EXIT_MEMORY;
}

/*
 * Bochs leaves DR6 to the delivery of #DB, which does not happen here; by the manual it has its
 * cause by now. Without one it was the single step or an enabled breakpoint.
 */
static uint64_t guess_debug_cause(const struct vmcb_save *save)
{
	uint64_t enabled = 0;

	for (unsigned int i = 0; i < 4; i++) {
		if (save->dr7 >> 2 * i & 3)
			enabled |= BIT(i);
	}
	return enabled && !(save->rflags & RFLAGS_TF) ? enabled : DR6_SINGLE_STEP;
}

static enum exit_kind decode_exception(struct vcpu *vcpu, const struct vmcb *vmcb, uint8_t vector)
{
	struct exit_exception *exception = &vcpu->exit.u.exception;

	exception->vector = vector;
	exception->has_error = svm_exception_has_error(vector);
	exception->error = exception->has_error ? vmcb->control.exit_info1 : 0;
	exception->qualification = 0;
	if (vector == VECTOR_PF)
		vcpu->exception_address = vmcb->control.exit_info2;
	if (vector == VECTOR_DB && !(vmcb->save.dr6 & DR6_CAUSES))
		exception->qualification = guess_debug_cause(&vmcb->save);
	return EXIT_EXCEPTION;
}

/* MOV to CR8, which exits on one emulator only: see svm_features.fragile_virtual_irq. */
static enum exit_kind decode_cr8_write(struct vcpu *vcpu)
{
	uint8_t bytes[INSN_MAX_BYTES];
	struct insn insn;
	size_t count;
	int error = guest_fetch(vcpu, bytes, &count);

	/* The page went away, or memory is short: execute it again, by then it is said why. */
	if (error == -EFAULT || error == -EAGAIN)
		return EXIT_INTERRUPT_WINDOW;
	if (error || insn_decode(&insn, bytes, count, guest_mode_bits(vcpu)) || !insn.has_modrm)
		return EXIT_UNKNOWN;
	vcpu->exit.instruction_length = insn.length;
	vcpu->exit.u.cr =
		(struct exit_cr){ .number = 8, .access = CR_WRITE, .gpr = insn.rm & 0xf };
	return EXIT_CR;
}

static enum exit_kind decode_other(struct vcpu *vcpu, const struct vmcb *vmcb, uint32_t code)
{
	switch (code) {
	case SVM_EXIT_EXCEPTION ... SVM_EXIT_EXCEPTION + 31:
		return decode_exception(vcpu, vmcb, code - SVM_EXIT_EXCEPTION);
	case SVM_EXIT_VINTR:
		if (unlikely(svm_features.threaded_tcg))
			apic_offer_again();
		svm_close_windows(svm_of(vcpu));
		return EXIT_INTERRUPT_WINDOW;
	case SVM_EXIT_CR_WRITE + 8:
		return decode_cr8_write(vcpu);
	case SVM_EXIT_FERR_FREEZE:
		/*
		 * An x87 error with CR0.NE clear, which froze the CPU until the PC's IRQ 13 would
		 * come. VMX knows no guest with NE clear: both report the error as #MF.
		 */
		return decode_exception(vcpu, vmcb, VECTOR_MF);
	case (uint32_t)SVM_EXIT_INVALID:
		svm_of(vcpu)->cpu->flush_all = true; /* if VMRUN was to do it, it has not */
		return EXIT_ENTRY_FAILED;
	default:
		return EXIT_UNKNOWN;
	}
}

static __attribute__((noinline)) void decode_details(
	struct vcpu *vcpu, const struct vmcb *vmcb, uint32_t code)
{
	struct vcpu_exit *exit = &vcpu->exit;

	switch (code) {
	case SVM_EXIT_MSR:
		exit->instruction_length = instruction_length(vcpu, vmcb);
		exit->kind = vmcb->control.exit_info1 ? EXIT_WRMSR : EXIT_RDMSR;
		break;
	case SVM_EXIT_IOIO:
		exit->kind = decode_port(exit, vmcb);
		break;
	case SVM_EXIT_NPF:
		exit->instruction_length = 0;
		exit->kind = decode_memory(exit, &vmcb->control);
		break;
	default:
		exit->instruction_length = 0;
		exit->kind = decode_other(vcpu, vmcb, code);
	}
}

static inline void decode_code(struct vcpu *vcpu, const struct vmcb *vmcb, uint32_t code)
{
	uint32_t index = code - FIRST_SIMPLE;
	struct vcpu_exit *exit = &vcpu->exit;

	if (likely(index < sizeof(simple_kinds) && simple_kinds[index])) {
		exit->kind = simple_kinds[index] - 1;
		exit->instruction_length = exit->kind == EXIT_HOST_INTERRUPT ?
			0 : instruction_length(vcpu, vmcb);
	} else {
		decode_details(vcpu, vmcb, code);
	}
}

/* What is rare: false when it has made the exit itself. */
static __attribute__((noinline)) bool settle_events(struct vcpu *vcpu, struct svm_vcpu *svm)
{
	bool made = false;

	if (svm->vmcb->control.exit_int_info & EVENT_VALID)
		svm_requeue_event(vcpu, svm);
	svm->soft_moved_rip = false;
	if (svm->nmi_state != SVM_NMI_OPEN)
		made = svm_track_nmi(vcpu, svm);
	return !made;
}

static inline void take_eager_registers(struct vcpu *vcpu, const struct vmcb *vmcb)
{
	struct special_regs *special = &vcpu->special;

	special->rip = vmcb->save.rip;
	special->rflags = vmcb->save.rflags;
	vcpu->regs.gpr[GPR_RSP] = vmcb->save.rsp;
	special->interrupt_shadow = vmcb->control.int_state & INT_STATE_SHADOW;
	vcpu->valid = EAGER_GROUPS;
}

static __attribute__((noinline)) void decode_rare(struct vcpu *vcpu, uint32_t code)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	bool open = settle_events(vcpu, svm);

	take_eager_registers(vcpu, svm->vmcb);
	if (open)
		decode_code(vcpu, svm->vmcb, code);
}

void svm_decode_exit(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	struct vcpu_exit *exit = &vcpu->exit;
	/* The upper half says nothing; emulators differ in it for a refused entry. */
	uint32_t code = vmcb->control.exit_code;

	vcpu->regs.gpr[GPR_RAX] = vmcb->save.rax;
	vmcb->control.tlb_control = TLB_CONTROL_NOTHING;
	vmcb->control.clean = svm->clean;
	exit->code = code;
	exit->info[0] = vmcb->control.exit_info1;
	exit->info[1] = vmcb->control.exit_info2;
	if (unlikely(vmcb->control.exit_int_info & EVENT_VALID) || unlikely(svm->attention)) {
		decode_rare(vcpu, code);
		return;
	}
	take_eager_registers(vcpu, vmcb);
	decode_code(vcpu, vmcb, code);
}

/* RFLAGS.TF for the guest's IRET: see svm/event.c. */
static void arm_step(struct svm_vcpu *svm)
{
	struct vmcb_save *save = &svm->vmcb->save;

	svm->step_dr6 = save->dr6;
	svm->guest_tf = save->rflags & RFLAGS_TF;
	save->rflags |= RFLAGS_TF;
}

static __attribute__((noinline)) void enter_prepared(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	svm_store(vcpu, svm);
	/* A reset takes back what was given for an entry that never came. */
	if (!vcpu->injected)
		svm->vmcb->control.event_inj = 0;
	if (svm->stepping)
		arm_step(svm);
	if (unlikely(svm->leaves) && vcpu->injected)
		cpu_poke(this_cpu());
	svm->leaves = false;
	if (svm->mitigated)
		svm_run_guest_mitigated(vcpu, host_phys(svm->vmcb), svm->cpu->host_vmcb);
	else
		svm_run_guest(vcpu, host_phys(svm->vmcb), svm->cpu->host_vmcb);
}

void svm_enter(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb *vmcb = svm->vmcb;

	/* RIP is always valid, and all that most exits change. */
	vmcb->save.rip = vcpu->special.rip;
	vmcb->save.rax = vcpu->regs.gpr[GPR_RAX];
	if (unlikely(vcpu->dirty & ~REG_RIP) || unlikely(svm->prepare)) {
		enter_prepared(vcpu);
		return;
	}
	vcpu->dirty = 0;
	svm_run_guest(vcpu, host_phys(vmcb), svm->cpu->host_vmcb);
}
