/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU's VMCS: its life, its constant fields, and moving it onto a CPU and off again. A VMCS is
 * cleared when it leaves a CPU, so that it may be loaded on any other and freed at any time.
 */
#include "host/descriptor.h"
#include "host/mitigation.h"
#include "host/x86.h"
#include "lib/string.h"
#include "vcpu/cpuid.h"
#include "vcpu/msr.h"
#include "vcpu/vm.h"
#include "vmx/vmx.h"

#define ENTRY_CONSTANT(name, value) enum { name = value };
#include "vmx/entry.inc"

#define ASSERT_GPR(name)                                                                           \
	_Static_assert(ENTRY_##name == offsetof(struct vcpu, regs.gpr[GPR_##name]), #name)
ASSERT_GPR(RAX);
ASSERT_GPR(RCX);
ASSERT_GPR(RDX);
ASSERT_GPR(RBX);
ASSERT_GPR(RBP);
ASSERT_GPR(RSI);
ASSERT_GPR(RDI);
ASSERT_GPR(R8);
ASSERT_GPR(R9);
ASSERT_GPR(R10);
ASSERT_GPR(R11);
ASSERT_GPR(R12);
ASSERT_GPR(R13);
ASSERT_GPR(R14);
ASSERT_GPR(R15);
_Static_assert(ENTRY_HOST_RSP == offsetof(struct vmx_vcpu, host_rsp), "host_rsp");
_Static_assert(ENTRY_LAUNCHED == offsetof(struct vmx_vcpu, launched), "launched");
_Static_assert(ENTRY_MITIGATED == offsetof(struct vmx_vcpu, mitigated), "mitigated");
_Static_assert(ENTRY_FIELD_HOST_RSP == (int)VMCS_HOST_RSP, "VMCS_HOST_RSP");

/*
 * The MSR bitmap: a bit for each of MSRs 0 to 1fff and c0000000 to c0001fff, 1 for an exit
 * (Intel SDM vol. 3, "MSR-Bitmap Address").
 */
#define BITMAP_MSRS 0x2000
#define BITMAP_HIGH_FIRST 0xc0000000
#define BITMAP_HIGH_BYTES 0x400
#define BITMAP_WRITE_BYTES 0x800

static uint8_t msr_bitmap[PAGE_SIZE] __aligned(PAGE_SIZE); /* [I] after vmx_msr_bitmap_init() */

static void pass_msr(uint32_t msr)
{
	uint32_t offset = 0;

	if (msr >= BITMAP_HIGH_FIRST) {
		offset = BITMAP_HIGH_BYTES;
		msr -= BITMAP_HIGH_FIRST;
	}
	if (msr >= BITMAP_MSRS)
		return;
	msr_bitmap[offset + msr / 8] &= ~(1 << msr % 8);
	msr_bitmap[BITMAP_WRITE_BYTES + offset + msr / 8] &= ~(1 << msr % 8);
}

void vmx_msr_bitmap_init(void)
{
	memset(msr_bitmap, 0xff, sizeof(msr_bitmap));
	for (size_t i = 0; i < msr_passthrough_count; i++) {
		if (msr_passthrough[i] != MSR_TSC_AUX || vmx_capabilities.has_tsc_aux)
			pass_msr(msr_passthrough[i]);
	}
}

/*
 * Bits of CR0 that the guest may change without an exit. Not NE, which VMX wants set; not CD and
 * NW, which would switch off the real caches. PE and PG are exempt from VMX's fixed bits in
 * unrestricted guests.
 */
static uint64_t choose_cr0_owned(void)
{
	uint64_t fixed0 = vmx_capabilities.cr0_fixed0 & ~(CR0_PE | CR0_PG);

	return (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_WP | CR0_AM | CR0_PG) & ~fixed0 &
		vmx_capabilities.cr0_fixed1;
}

/*
 * Of CR4, what CPUID offers the guest, as far as VMX leaves a choice. MCE stays as the host has
 * it: with MCE clear a machine check would shut the machine down.
 */
static uint64_t choose_cr4_owned(const struct vcpu *vcpu)
{
	return vcpu->vm->cpuid->cr4_allowed & ~(CR4_MCE | CR4_VMXE | CR4_SMXE) &
		~vmx_capabilities.cr4_fixed0 & vmx_capabilities.cr4_fixed1;
}

int vmx_vcpu_create(struct vcpu *vcpu)
{
	struct vmx_vcpu *hw_state = heap_alloc(sizeof(*hw_state), FRAME_VM);
	hpa_t virtual_apic;

	if (!hw_state)
		return -ENOMEM;
	hw_state->vmcs = frame_alloc_zeroed(FRAME_ORDER_4K, FRAME_VM);
	if (hw_state->vmcs == HPA_NONE)
		goto fail;
	virtual_apic = frame_alloc_zeroed(FRAME_ORDER_4K, FRAME_VM);
	if (virtual_apic == HPA_NONE)
		goto fail_vmcs;
	hw_state->virtual_apic = host_ptr(virtual_apic);
	hw_state->eptp = vcpu->vm->memory.s2.root | EPTP_WRITE_BACK | EPTP_WALK_4;
	if (vmx_capabilities.ept_vpid & EPT_CAP_ACCESSED_DIRTY)
		hw_state->eptp |= EPTP_ACCESSED_DIRTY;
	vcpu->hw = hw_state;
	return 0;

fail_vmcs:
	frame_free(hw_state->vmcs, FRAME_ORDER_4K);
fail:
	heap_free(hw_state);
	return -ENOMEM;
}

void vmx_vcpu_destroy(struct vcpu *vcpu)
{
	struct vmx_vcpu *hw_state = vmx_of(vcpu);

	frame_free(host_phys(hw_state->virtual_apic), FRAME_ORDER_4K);
	frame_free(hw_state->vmcs, FRAME_ORDER_4K);
	heap_free(hw_state);
	vcpu->hw = NULL;
}

/*
 * The longest a guest runs without any exit. An interrupt of the host ends its turn as well; but
 * there are machines (Bochs 3.0 is one) where none gets through while the guest, having been
 * entered with interrupts disabled, keeps them so. The timer starts anew at each entry and costs
 * nothing where other exits come sooner.
 */
#define LONGEST_TURN_NS (10 * NS_PER_MS)
#define MISC_TIMER_RATE_MASK 0x1f

static void write_preemption_timer(void)
{
	uint64_t ticks = clock_tsc_from_ns(LONGEST_TURN_NS) >>
		(vmx_capabilities.misc & MISC_TIMER_RATE_MASK);

	if (vmx_controls.pin & PIN_PREEMPTION_TIMER)
		vmwrite(VMCS_PREEMPTION_TIMER, MIN(ticks + 1, 0xffffffffULL));
}

/*
 * In TSC cycles: PAUSEs that are not further apart are one loop (one takes up to 140 cycles), and
 * a loop that lasts longer exits: longer than a lock is held whose holder runs.
 */
#define PAUSE_GAP 160
#define PAUSE_WINDOW 4096

static uint32_t choose_proc2(const struct vcpu *vcpu)
{
	uint32_t proc2 = vmx_controls.proc2;

	if (vcpu->vm->vcpu_count > 1 && (vmx_capabilities.proc2 >> 32 & PROC2_PAUSE_LOOP)) {
		vmwrite(VMCS_PAUSE_GAP, PAUSE_GAP);
		vmwrite(VMCS_PAUSE_WINDOW, PAUSE_WINDOW);
		proc2 |= PROC2_PAUSE_LOOP;
	}
	if (vcpu->tsc_ratio) {
		vmwrite(VMCS_TSC_MULTIPLIER, vcpu->tsc_ratio);
		proc2 |= PROC2_TSC_SCALING;
	}
	return proc2;
}

static void write_controls(const struct vcpu *vcpu, const struct vmx_vcpu *hw_state)
{
	const uint32_t proc2 = choose_proc2(vcpu);

	vmwrite(VMCS_PIN, vmx_controls.pin);
	vmwrite(VMCS_PROC, vmx_controls.proc);
	vmwrite(VMCS_PROC2, proc2);
	vmwrite(VMCS_EXIT_CONTROLS, vmx_controls.exit);
	vmwrite(VMCS_ENTRY_CONTROLS, vmx_controls.entry);
	vmwrite(VMCS_EXCEPTION_BITMAP, EXCEPTIONS_INTERCEPTED);
	vmwrite(VMCS_PAGE_FAULT_MASK, 0);
	vmwrite(VMCS_PAGE_FAULT_MATCH, 0);
	vmwrite(VMCS_CR3_TARGET_COUNT, 0);
	vmwrite(VMCS_EXIT_STORE_COUNT, 0);
	vmwrite(VMCS_EXIT_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_EVENT, 0);
	vmwrite(VMCS_MSR_BITMAP, host_phys(msr_bitmap));
	vmwrite(VMCS_EPTP, hw_state->eptp);
	vmwrite(VMCS_CR0_MASK, ~hw_state->cr0_owned);
	vmwrite(VMCS_CR4_MASK, ~hw_state->cr4_owned);
	if (vmx_controls.proc & PROC_TPR_SHADOW) {
		vmwrite(VMCS_VIRTUAL_APIC, host_phys(hw_state->virtual_apic));
		vmwrite(VMCS_TPR_THRESHOLD, 0);
	}
	if (proc2 & PROC2_ENCLS)
		vmwrite(VMCS_ENCLS_BITMAP, ~0ULL);
	if (proc2 & PROC2_ENCLV)
		vmwrite(VMCS_ENCLV_BITMAP, ~0ULL);
}

/* Host state that is the same wherever the vCPU runs. */
static void write_constant_host_state(void)
{
	vmwrite(VMCS_HOST_CS, HOST_CS);
	vmwrite(VMCS_HOST_SS, HOST_DS);
	vmwrite(VMCS_HOST_DS, HOST_DS);
	vmwrite(VMCS_HOST_ES, HOST_DS);
	vmwrite(VMCS_HOST_FS, 0);
	vmwrite(VMCS_HOST_GS, 0);
	vmwrite(VMCS_HOST_TR, HOST_TR);
	vmwrite(VMCS_HOST_FS_BASE, 0);
	vmwrite(VMCS_HOST_SYSENTER_CS, 0);
	vmwrite(VMCS_HOST_SYSENTER_ESP, 0);
	vmwrite(VMCS_HOST_SYSENTER_EIP, 0);
	vmwrite(VMCS_HOST_RIP, (uint64_t)(uintptr_t)vmx_entry_exit); /* see choose_way() */
}

/* The fields that nothing changes later, and where what the VMCS holds is remembered. */
static void format(struct vcpu *vcpu, struct vmx_vcpu *hw_state)
{
	hw_state->cr0_owned = choose_cr0_owned();
	hw_state->cr4_owned = choose_cr4_owned(vcpu);
	hw_state->cr4_forced = vmx_capabilities.cr4_fixed0 | (read_cr4() & CR4_MCE);
	hw_state->proc = vmx_controls.proc;
	hw_state->pause = 0;
	hw_state->tpr_threshold = 0;
	hw_state->host_rsp = 0;
	hw_state->mitigated = false;
	write_controls(vcpu, hw_state);
	write_constant_host_state();
	write_preemption_timer();
	vmwrite(VMCS_LINK, ~0ULL);
	vmwrite(VMCS_GUEST_DEBUGCTL, 0);
	hw_state->formatted = true;
}

static void write_host_state(const struct cpu *cpu)
{
	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, read_cr3());
	vmwrite(VMCS_HOST_CR4, read_cr4());
	vmwrite(VMCS_HOST_PAT, rdmsr(MSR_PAT));
	vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	vmwrite(VMCS_HOST_GS_BASE, (uint64_t)(uintptr_t)cpu);
	vmwrite(VMCS_HOST_TR_BASE, descriptor_tss_base(cpu));
	vmwrite(VMCS_HOST_GDTR_BASE, descriptor_gdt_base(cpu));
	vmwrite(VMCS_HOST_IDTR_BASE, descriptor_idt_base());
}

/* The entry code follows the operator's choice at each load. */
static void choose_way(struct vmx_vcpu *hw_state)
{
	bool mitigated = __atomic_load_n(&mitigation_steps, __ATOMIC_RELAXED);

	if (hw_state->mitigated == mitigated)
		return;
	hw_state->mitigated = mitigated;
	vmwrite(VMCS_HOST_RIP, (uint64_t)(uintptr_t)(mitigated ? vmx_entry_exit_mitigated :
		vmx_entry_exit));
}

void vmx_vcpu_load(struct vcpu *vcpu)
{
	struct vmx_vcpu *hw_state = vmx_of(vcpu);
	struct cpu *cpu = this_cpu();

	if (!hw_state->formatted) {
		vmcs_format(hw_state->vmcs, vmx_capabilities.basic);
		vmcs_clear(hw_state->vmcs);
	}
	vmcs_make_current(hw_state->vmcs);
	hw_state->holder = cpu;
	if (!hw_state->formatted)
		format(vcpu, hw_state);
	vmx_tlb_load(hw_state, cpu);
	if (hw_state->last != cpu) {
		hw_state->last = cpu;
		write_host_state(cpu);
	}
	choose_way(hw_state);
	write_cr2(hw_state->cr2);
	write_dr6(hw_state->dr6);
	wrmsr(MSR_STAR, hw_state->star);
	wrmsr(MSR_LSTAR, hw_state->lstar);
	wrmsr(MSR_CSTAR, hw_state->cstar);
	wrmsr(MSR_SFMASK, hw_state->sfmask);
	wrmsr(MSR_KERNEL_GS_BASE, hw_state->kernel_gs_base);
	if (vmx_capabilities.has_tsc_aux)
		wrmsr(MSR_TSC_AUX, hw_state->tsc_aux);
}

void vmx_vcpu_put(struct vcpu *vcpu)
{
	struct vmx_vcpu *hw_state = vmx_of(vcpu);

	hw_state->cr2 = read_cr2();
	hw_state->dr6 = read_dr6();
	hw_state->star = rdmsr(MSR_STAR);
	hw_state->lstar = rdmsr(MSR_LSTAR);
	hw_state->cstar = rdmsr(MSR_CSTAR);
	hw_state->sfmask = rdmsr(MSR_SFMASK);
	hw_state->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	if (vmx_capabilities.has_tsc_aux)
		hw_state->tsc_aux = rdmsr(MSR_TSC_AUX);
	vmcs_clear(hw_state->vmcs);
	hw_state->launched = 0;
	hw_state->holder = NULL;
}

void vmx_enter(struct vcpu *vcpu)
{
	uint32_t dirty = vcpu->dirty;

	/* Past an instruction that exited: by far the most frequent. */
	if (dirty & REG_RIP)
		vmwrite(VMCS_GUEST_RIP, vcpu->special.rip);
	if (unlikely(dirty & ~REG_RIP))
		vmx_store(vcpu, dirty & ~REG_RIP);
	vcpu->dirty = 0;
	vmx_entry_run(vcpu, vmx_of(vcpu));
}
