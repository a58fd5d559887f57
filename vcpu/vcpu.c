/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's life: creation, reset, and whose state a CPU's hardware holds. */
#include "vcpu/vcpu.h"

#include "host/memory.h"
#include "host/mitigation.h"
#include "host/x86.h"
#include "lib/string.h"
#include "vcpu/fpu.h"
#include "vcpu/lapic.h"
#include "vcpu/msr.h"
#include "vcpu/pv.h"
#include "vcpu/vm.h"

#define PAT_RESET 0x0007040600070406ULL

int vcpu_cpu_init(struct cpu *cpu)
{
	int error = mitigation_init_cpu(cpu);

	if (error)
		return error;
	fpu_cpu_init();
	return hw->cpu_enable(cpu);
}

static void retry(struct timer *timer)
{
	vcpu_request(container_of(timer, struct vcpu, retry), REQUEST_EVENTS);
}

int vcpu_create(struct vm *vm, unsigned int id, struct vcpu **out)
{
	struct vcpu *vcpu = heap_alloc(sizeof(*vcpu), FRAME_VM);

	if (!vcpu)
		return -ENOMEM;
	vcpu->vm = vm;
	vcpu->id = id;
	timer_init(&vcpu->retry, retry);
	vcpu->fpu = fpu_alloc();
	if (!vcpu->fpu)
		goto fail;
	if (lapic_create(vcpu))
		goto fail_fpu;
	if (hw->vcpu_create(vcpu))
		goto fail_lapic;
	vcpu_reset(vcpu, false);
	*out = vcpu;
	return 0;

fail_lapic:
	lapic_destroy(vcpu);
fail_fpu:
	heap_free(vcpu->fpu);
fail:
	heap_free(vcpu);
	return -ENOMEM;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	hw->vcpu_destroy(vcpu);
	timer_cancel(&vcpu->retry);
	lapic_destroy(vcpu);
	heap_free(vcpu->fpu);
	heap_free(vcpu);
}

static void reset_segments(struct special_regs *special)
{
	const struct segment data = { .attributes = 0x3 | SEGMENT_S | SEGMENT_P, .limit = 0xffff };

	for (unsigned int i = SEG_ES; i <= SEG_GS; i++)
		special->segments[i] = data;
	special->segments[SEG_CS] = (struct segment){ .selector = 0xf000, .base = 0xffff0000,
		.limit = 0xffff, .attributes = 0xb | SEGMENT_S | SEGMENT_P };
	special->segments[SEG_LDTR] =
		(struct segment){ .limit = 0xffff, .attributes = 0x2 | SEGMENT_P };
	special->segments[SEG_TR] =
		(struct segment){ .limit = 0xffff, .attributes = 0xb | SEGMENT_P };
	special->gdtr = (struct descriptor_table){ .limit = 0xffff };
	special->idtr = (struct descriptor_table){ .limit = 0xffff };
}

static void reset_special(struct special_regs *special)
{
	memset(special, 0, sizeof(*special));
	special->rip = 0xfff0;
	special->rflags = RFLAGS_FIXED1;
	special->cr0 = CR0_CD | CR0_NW | CR0_ET;
	special->dr6 = 0xffff0ff0;
	special->dr7 = 0x400;
	special->msrs.pat = PAT_RESET;
	reset_segments(special);
}

static void reset_msrs(struct vcpu *vcpu)
{
	memset(&vcpu->msrs, 0, sizeof(vcpu->msrs));
	vcpu->msrs.misc_enable = MISC_ENABLE_RESET;
}

/*
 * INIT leaves the FPU, MSRs and the TSC alone (Intel SDM vol. 3, table "IA-32 and Intel 64
 * Processor States Following Power-up, Reset, or INIT").
 */
void vcpu_reset(struct vcpu *vcpu, bool init)
{
	struct msr_state kept;

	if (init) {
		vcpu_need(vcpu, REG_MSRS);
		kept = vcpu->special.msrs;
	}
	memset(&vcpu->regs, 0, sizeof(vcpu->regs));
	vcpu->regs.gpr[GPR_RDX] = cpuid(1, 0).eax;
	reset_special(&vcpu->special);
	vcpu->injected = false;
	vcpu->reinject.valid = false;
	vcpu->exception.valid = false;
	vcpu->nmi_pending = 0;
	vcpu->in_hlt = false;
	vcpu->waits = false;
	/* Before the requests go: until then its timer may expire, on another CPU. */
	lapic_reset(vcpu, init);
	pv_reset(vcpu);
	if (init) {
		vcpu->special.msrs = kept;
	} else {
		vcpu->requests = 0;
		vcpu->extint = false;
		vcpu->window = 0;
		vcpu->history_next = 0;
		vcpu->tsc_offset = -vcpu_scale_tsc(vcpu, clock_tsc());
		vcpu->xcr0 = XCR0_X87;
		memset(vcpu->dr, 0, sizeof(vcpu->dr));
		memset(vcpu->history, 0, sizeof(vcpu->history));
		reset_msrs(vcpu);
		fpu_reset(vcpu->fpu);
	}
	vcpu->wait_sipi = vcpu->id != 0;
	vcpu_set_dirty(vcpu, REG_ALL);
}

static void put_loaded(struct cpu *cpu)
{
	struct vcpu *vcpu = cpu->loaded;

	hw->vcpu_put(vcpu);
	fpu_save(vcpu->fpu, &vcpu->xcr0);
	vcpu->dr[0] = read_dr0();
	vcpu->dr[1] = read_dr1();
	vcpu->dr[2] = read_dr2();
	vcpu->dr[3] = read_dr3();
	cpu->loaded = NULL;
	cpu->guest_name = NULL;
	/* From here on it may run elsewhere. */
	__atomic_store_n(&vcpu->loaded_on, NULL, __ATOMIC_RELEASE);
}

void vcpu_load(struct vcpu *vcpu)
{
	struct cpu *cpu = this_cpu();

	if (cpu->loaded == vcpu)
		return;
	if (cpu->loaded)
		put_loaded(cpu);
	if (!vcpu)
		return;
	mitigation_enter_domain(cpu, vcpu->vm->domain);
	cpu->loaded = vcpu;
	__atomic_store_n(&vcpu->loaded_on, cpu, __ATOMIC_RELAXED);
	cpu->guest_name = vcpu->vm->name;
	cpu->guest_vcpu = vcpu->id;
	write_dr0(vcpu->dr[0]);
	write_dr1(vcpu->dr[1]);
	write_dr2(vcpu->dr[2]);
	write_dr3(vcpu->dr[3]);
	fpu_restore(vcpu->fpu, vcpu->xcr0);
	hw->vcpu_load(vcpu);
	tlb_catch_up(vcpu);
	lapic_timer_follow(vcpu);
}
