/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One virtual CPU. It belongs to the physical CPU that it runs on (vcpu->cpu): every field that is
 * not marked is touched only there, or by anybody while the VM is stopped. Those marked [sched]
 * have the lock of that CPU's run queue.
 */
#ifndef BALLAST_VCPU_VCPU_H
#define BALLAST_VCPU_VCPU_H

#include "host/clock.h"
#include "host/cpu.h"
#include "lib/list.h"
#include "vcpu/event.h"
#include "vcpu/exit.h"
#include "vcpu/hw.h"
#include "vcpu/insn_cache.h"
#include "vcpu/regs.h"
#include "vcpu/sched_account.h"
#include "vcpu/sched_queue.h"
#include "vcpu/tlb.h"

struct vm;
struct lapic;

#define VCPU_HISTORY 16 /* a power of two */

/* One past exit, for the dump. */
struct exit_record {
	uint64_t rip;
	uint64_t code;
	uint64_t info;
	enum exit_kind kind;
};

/* The state of MSRs that exits and common code serve; see vcpu/msr.c. */
struct vcpu_msrs {
	uint64_t misc_enable;
	uint64_t bios_sign;
	uint64_t mtrr_def_type;
	uint64_t mtrr_fixed[11];
	uint64_t mtrr_variable[16];
	uint64_t pvclock_system, pvclock_wall;
	uint32_t unknown_notes; /* log notes spent on MSRs that nobody knows */
};

/* A record of KVM's ABI in guest memory; see vcpu/pv_record.h. */
struct pv_record {
	uint64_t msr;        /* as the guest wrote it: its address, and bit 0 when it is enabled */
	void *host;          /* where it is; good for `generation` of the guest's memory */
	uint64_t generation;
};

/* What the guest uses of KVM's ABI beside the clock; own CPU. All gone after INIT and reset. */
struct vcpu_pv {
	struct pv_record steal;
	struct pv_record eoi;
	bool unhalted;       /* kicked: the present or the next HLT ends */
	bool paused;         /* [a] the clock's record has yet to say that the VM was paused */
};

enum vcpu_state {
	VCPU_STOPPED,  /* the VM is not running */
	VCPU_RUNNABLE, /* in the guest or in its CPU's queue */
	VCPU_HALTED,   /* HLT or MWAIT: waits for an event */
	VCPU_WAIT_SIPI /* after INIT, an application processor */
};

struct vcpu {
	struct general_regs regs;   /* the only copy of the guest's; first, for entry.asm */
	void *hw;                   /* [I] the vendor's struct vmx_vcpu or svm_vcpu */
	uint32_t requests;          /* [a] REQUEST_... */
	uint32_t valid;             /* REG_... groups of `special` that hold the guest's values */
	uint32_t dirty;             /* REG_... groups to store before entry; a subset of valid */
	struct special_regs special;
	struct vcpu_exit exit;

	struct vm *vm;              /* [I] */
	unsigned int id;            /* [I] index in the VM, and the initial APIC id */
	struct cpu *cpu;            /* [a] [sched] where it runs, waits, or ran last */
	enum vcpu_state state;      /* [a] */
	bool trace;                 /* [a] a log line for each exit */

	bool wait_sipi;             /* own CPU: INIT received, SIPI not yet */
	bool in_hlt;                /* own CPU: HLT was executed and nothing has ended it yet */
	bool waits;                  /* own CPU: for memory; it tries again when `retry` expires */
	bool sleeps;                 /* [a] and until then, unless vm_memory_came() */
	uint32_t slept_at;           /* own CPU: `history_next` when `sleeps` was set */
	uint8_t window;              /* own CPU: WINDOW_... asked for */
	uint8_t window_priority;     /* own CPU: with WINDOW_INTERRUPT */

	union {
		uint16_t entry;              /* [a] both of these: an exit ends both at once */
		struct {
			bool in_guest;       /* [a] in the guest or about to enter it */
			bool injected;       /* own CPU: hardware has an event for the next entry */
		};
	};
	struct timer retry;          /* asks for events when it is time to try again */
	uint64_t tlb_seen;           /* [a] generation of vm->tlb that it has caught up with */
	struct vcpu_event reinject;  /* delivery that an exit interrupted */
	struct vcpu_event exception; /* pending for the next entry */
	uint64_t exception_address;  /* CR2 of a pending #PF */
	uint32_t nmi_pending;        /* [a] 0, 1 or 2 */
	bool extint;                 /* [a] the PIC's INT line */
	uint8_t sipi_vector;         /* [a] with REQUEST_SIPI */
	struct lapic *lapic;         /* [I] */
	bool tsc_written;            /* [vm.lock] by the guest, since its VM was started */
	uint64_t tsc_offset;         /* guest TSC = scaled host TSC + this, modulo 2^64 */
	uint64_t tsc_ratio;          /* [I] as hw->tsc_format has it; 0: not scaled */

	uint64_t xcr0;               /* while not loaded; else in the CPU */
	void *fpu;                   /* [I] XSAVE area, 64-byte aligned; in the CPU while loaded */
	uint64_t dr[4];              /* DR0-DR3 while not loaded */
	struct vcpu_msrs msrs;
	struct vcpu_pv pv;
	struct insn_cache insn_cache; /* own CPU */

	struct sched_entity sched;   /* [sched] */
	struct sched_account times;  /* [sched] written */
	struct cpu *loaded_on;       /* [a] the CPU whose hardware holds its registers */
	bool shelved;                /* [sched] it could run, but its VM is paused */
	uint32_t pauses_left;        /* own CPU: exits until PAUSE is a loop; 0: it is one */
	uint64_t pause_yields;       /* turns given away in loops of PAUSE */
	unsigned int yielded;        /* own CPU: directed yields without a target so far */
	uint64_t exits[EXIT_KINDS];  /* counters */
	struct exit_record history[VCPU_HISTORY];
	uint32_t history_next;
};

/* Make register groups valid in vcpu->special; cheap when they are. Own CPU, vCPU loaded. */
static inline void vcpu_need(struct vcpu *vcpu, uint32_t groups)
{
	if (unlikely(groups & ~vcpu->valid))
		hw->pull(vcpu, groups & ~vcpu->valid);
}

/* The caller has made vcpu->special current for these whole groups: store them before entry. */
static inline void vcpu_set_dirty(struct vcpu *vcpu, uint32_t groups)
{
	vcpu->valid |= groups;
	vcpu->dirty |= groups;
}

/*
 * Own CPU, while the vCPU is not in the guest: it looks for something to inject before it enters.
 * Whoever fills vcpu->reinject or vcpu->exception asks for that, so that an entry has but one
 * thing to look at.
 */
static inline void vcpu_look_again(struct vcpu *vcpu)
{
	__atomic_fetch_or(&vcpu->requests, REQUEST_EVENTS, __ATOMIC_RELAXED);
}

/*
 * On the way into the guest: requests that are not there when it returns false come with an
 * interrupt, which will end the guest's run. Own CPU.
 */
static inline bool vcpu_begin_guest(struct vcpu *vcpu)
{
	(void)__atomic_exchange_n(&vcpu->in_guest, true, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&vcpu->requests, __ATOMIC_SEQ_CST);
}

/* Back from it, or not gone: requests wait until the next entry. */
static inline void vcpu_end_guest(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->in_guest, false, __ATOMIC_RELEASE);
}

/* The guest's TSC, but for its offset, when the host's is `tsc`. */
static inline uint64_t vcpu_scale_tsc(const struct vcpu *vcpu, uint64_t tsc)
{
	if (unlikely(vcpu->tsc_ratio))
		return tsc_scale(tsc, vcpu->tsc_ratio, hw->tsc_format->fraction_bits);
	return tsc;
}

/* The host's ticks from `now` until the guest's TSC is `tsc`, 2^64 - 1 at most; 0: it is there. */
static inline uint64_t vcpu_tsc_until(const struct vcpu *vcpu, uint64_t now, uint64_t tsc)
{
	uint64_t ratio = vcpu->tsc_ratio;
	uint64_t guest_now;
	unsigned int bits;

	if (likely(!ratio)) {
		guest_now = now + vcpu->tsc_offset;
		return tsc > guest_now ? tsc - guest_now : 0;
	}
	bits = hw->tsc_format->fraction_bits;
	guest_now = tsc_scale(now, ratio, bits) + vcpu->tsc_offset;
	return tsc > guest_now ? tsc_unscale(tsc - guest_now, ratio, bits) : 0;
}

static inline uint64_t vcpu_tsc(const struct vcpu *vcpu)
{
	return vcpu_scale_tsc(vcpu, clock_tsc()) + vcpu->tsc_offset;
}

/* EDX:EAX, as MSR and XSETBV operands have it. */
static inline uint64_t vcpu_edx_eax(const struct vcpu *vcpu)
{
	return vcpu->regs.gpr[GPR_RDX] << 32 | (uint32_t)vcpu->regs.gpr[GPR_RAX];
}

static inline void vcpu_set_edx_eax(struct vcpu *vcpu, uint64_t value)
{
	vcpu->regs.gpr[GPR_RAX] = (uint32_t)value;
	vcpu->regs.gpr[GPR_RDX] = value >> 32;
}

/*
 * Make the calling CPU able to run guests: extended state, then virtualization. Once on each CPU,
 * the boot CPU first. -E... after a log line.
 */
int vcpu_cpu_init(struct cpu *cpu) __must_check;

/* Reset, and placed nowhere. -ENOMEM leaves nothing behind. */
int vcpu_create(struct vm *vm, unsigned int id, struct vcpu **out) __must_check;
/* Of a VM that does not run; it is loaded on no CPU. */
void vcpu_destroy(struct vcpu *vcpu);

/*
 * The state after power-up (Intel SDM vol. 3, "Processor State After Reset"), while the VM does
 * not run; or after INIT, on its own CPU, loaded.
 */
void vcpu_reset(struct vcpu *vcpu, bool init);

/* Give this CPU's hardware to the vCPU (FPU, debug registers, vendor state); NULL frees it. */
void vcpu_load(struct vcpu *vcpu);

/*
 * Run until a request, a block or the end of its time slice brings it back. Own CPU. Returns
 * true while the vCPU is runnable.
 */
bool vcpu_run(struct vcpu *vcpu);

/* Registers, the last exits and the reason, into the log; the vCPU does not run. */
void vcpu_dump(struct vcpu *vcpu, void (*line)(const char *format, ...));

#endif
