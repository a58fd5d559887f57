/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run loop: serve requests, inject, enter, dispatch the exit, move RIP. Nothing else in
 * Ballast enters a guest or moves its RIP.
 */
#include "host/log.h"
#include "host/mitigation.h"
#include "host/x86.h"
#include "vcpu/emulate.h"
#include "vcpu/exits.h"
#include "vcpu/pause.h"
#include "vcpu/pv.h"
#include "vcpu/pvclock.h"
#include "vcpu/sched.h"
#include "vcpu/vm.h"

/* What becomes of the vCPU after one turn of the loop, or after what comes before its entry. */
enum turn { TURN_AGAIN, TURN_YIELD, TURN_LEAVE, TURN_STOP, TURN_ENTER };

/*
 * A vCPU that stops keeps all its registers in vcpu->special: the dump reads them there. From the
 * new state on it may be reset, or be no more: this is the last time that it is touched here.
 */
static void leave_for_good(struct vcpu *vcpu)
{
	vcpu_need(vcpu, REG_ALL & ~REG_TSC);
	vcpu_load(NULL);
	sched_unplace(vcpu);
	__atomic_store_n(&vcpu->state, VCPU_STOPPED, __ATOMIC_RELEASE);
	cpu_notify(cpu_by_id(0));
}

static void receive_init(struct vcpu *vcpu)
{
	vcpu_reset(vcpu, true);
	vcpu->window = 0;
	hw->want_window(vcpu, 0, 0);
	/* Paging was turned off behind the CPU's back. */
	hw->flush_tlb(vcpu, TLB_GUEST);
}

/* The startup vector names the page where the processor begins, in real mode. */
static void receive_sipi(struct vcpu *vcpu)
{
	struct segment *cs = &vcpu->special.segments[SEG_CS];
	uint8_t vector = __atomic_load_n(&vcpu->sipi_vector, __ATOMIC_ACQUIRE);

	vcpu->wait_sipi = false;
	cs->selector = vector << 8;
	cs->base = (uint64_t)vector << 12;
	vcpu->special.rip = 0;
	vcpu_set_dirty(vcpu, REG_CS | REG_RIP);
}

/* In HLT, and nothing ends it. */
static bool stays_halted(struct vcpu *vcpu)
{
	if (!vcpu->in_hlt)
		return false;
	/* A kick ends one HLT, whatever RFLAGS.IF says. */
	if (vcpu->pv.unhalted) {
		vcpu->pv.unhalted = false;
		vcpu->in_hlt = false;
		return false;
	}
	return !vcpu_has_wakeup(vcpu);
}

/* The CPU is the vCPU's: its run begins, or goes on after a wait. */
static void have_cpu(struct vcpu *vcpu)
{
	pv_scheduled(vcpu);
	pause_scheduled(vcpu);
	/* A wake may come after what it told was seen to: what has not come yet is waited for. */
	if (unlikely(vcpu->wait_sipi || vcpu->in_hlt))
		vcpu_look_again(vcpu);
}

/* `requests`: those that are served just now. */
static enum turn block(struct vcpu *vcpu, enum vcpu_state state, uint32_t requests)
{
	struct cpu *cpu = this_cpu();

	if (sched_block(vcpu, state))
		return TURN_LEAVE;
	have_cpu(vcpu);
	/* It may have waited for long in there: what comes with each run is not put off. */
	if ((requests & REQUEST_PREEMPT) || __atomic_load_n(&cpu->kick, __ATOMIC_RELAXED) ||
		mitigation_changed(cpu))
		return TURN_YIELD;
	return TURN_AGAIN;
}

/* How long a vCPU waits for memory before it tries again, at most. */
#define RETRY_NS (2 * NS_PER_MS)

/*
 * Does it wait, now that it is known to? What came before it was known woke nobody, so the guest
 * has to find once more, at its very next exit, that its memory is not there.
 */
static bool waits_for_memory(struct vcpu *vcpu)
{
	bool again = vcpu->history_next == vcpu->slept_at + 1;

	vcpu->waits = false;
	vcpu->slept_at = vcpu->history_next;
	if (again && __atomic_load_n(&vcpu->sleeps, __ATOMIC_ACQUIRE))
		return true;
	__atomic_store_n(&vcpu->sleeps, true, __ATOMIC_SEQ_CST);
	return false;
}

static enum turn wait_for_memory(struct vcpu *vcpu, uint32_t requests)
{
	timer_set(&vcpu->retry, clock_tsc() + clock_tsc_from_ns(RETRY_NS));
	return block(vcpu, VCPU_HALTED, requests);
}

/* All but those that come with every interrupt and every turn. */
static __attribute__((noinline)) void serve_rare(struct vcpu *vcpu, uint32_t requests)
{
	if (requests & REQUEST_INIT)
		receive_init(vcpu);
	if ((requests & REQUEST_SIPI) && vcpu->wait_sipi)
		receive_sipi(vcpu);
	if (requests & REQUEST_TLB_GUEST)
		hw->flush_tlb(vcpu, TLB_GUEST);
	if (requests & REQUEST_TLB_SECOND_LEVEL)
		tlb_catch_up(vcpu);
	if (requests & REQUEST_NMI)
		vcpu->nmi_pending = MIN(vcpu->nmi_pending + 1, 2);
	if (requests & REQUEST_WORK)
		vm_work_run(vcpu->vm);
	/* Who is not started yet has no use for these. */
	if ((requests & REQUEST_UNHALT) && !vcpu->wait_sipi)
		vcpu->pv.unhalted = true;
	if ((requests & REQUEST_CLOCK) && !vcpu->wait_sipi)
		pvclock_update(vcpu);
}

static enum turn serve_requests(struct vcpu *vcpu)
{
	uint32_t requests = __atomic_exchange_n(&vcpu->requests, 0, __ATOMIC_ACQ_REL);

	if (requests & REQUEST_STOP)
		return TURN_STOP;
	if (unlikely(requests & ~(REQUEST_EVENTS | REQUEST_PREEMPT)))
		serve_rare(vcpu, requests);
	if (vcpu->wait_sipi)
		return block(vcpu, VCPU_WAIT_SIPI, requests);
	if (stays_halted(vcpu))
		return block(vcpu, VCPU_HALTED, requests);
	if (unlikely(vcpu->waits) && waits_for_memory(vcpu))
		return wait_for_memory(vcpu, requests);
	vcpu_prepare_events(vcpu);
	return (requests & REQUEST_PREEMPT) ? TURN_YIELD : TURN_AGAIN;
}

/* #DB after an instruction that Ballast completed for a guest which single-steps. */
static void single_step(struct vcpu *vcpu)
{
	vcpu_need(vcpu, REG_DEBUG);
	vcpu->special.dr6 |= DR6_SINGLE_STEP;
	vcpu_set_dirty(vcpu, REG_DEBUG);
	vcpu_inject_exception(vcpu, VECTOR_DB);
}

/* What few instructions leave behind: an interrupt shadow, a trap flag. */
static __attribute__((noinline)) void end_shadow_and_step(struct vcpu *vcpu)
{
	struct special_regs *special = &vcpu->special;

	if (special->interrupt_shadow) {
		special->interrupt_shadow = false;
		vcpu_set_dirty(vcpu, REG_SHADOW);
		/* What waited for the shadow's end goes in now, without an exit of its own. */
		if (vcpu->window)
			vcpu_look_again(vcpu);
	}
	if (special->rflags & (RFLAGS_TF | RFLAGS_RF)) {
		special->rflags &= ~RFLAGS_RF;
		vcpu_set_dirty(vcpu, REG_RFLAGS);
		if (special->rflags & RFLAGS_TF)
			single_step(vcpu);
	}
}

static inline void advance(struct vcpu *vcpu)
{
	struct special_regs *special = &vcpu->special;
	uint64_t length = vcpu->exit.instruction_length;
	uint64_t next;

	if (unlikely(!length))
		length = emulate_instruction_length(vcpu);
	/*
	 * Not to be read any more: another vCPU has rewritten it or its page tables since. The CPU
	 * finds out what stands there now; a guest that does so gets to execute it again.
	 */
	if (unlikely(!length))
		return;
	vcpu_need(vcpu, REG_RIP | REG_RFLAGS | REG_SHADOW);
	next = special->rip + length;
	/* Only 64-bit code runs above 4 GiB; elsewhere RIP wraps at 32 bits. */
	if (unlikely((special->rip ^ next) >> 32) && guest_mode_bits(vcpu) != 64)
		next = (uint32_t)next;
	special->rip = next;
	vcpu_set_dirty(vcpu, REG_RIP);
	if (unlikely(special->interrupt_shadow || (special->rflags & (RFLAGS_TF | RFLAGS_RF))))
		end_shadow_and_step(vcpu);
}

static void record(struct vcpu *vcpu)
{
	struct exit_record *entry = &vcpu->history[vcpu->history_next++ % VCPU_HISTORY];

	vcpu->exits[vcpu->exit.kind]++;
	vcpu_need(vcpu, REG_RIP);
	entry->rip = vcpu->special.rip;
	entry->code = vcpu->exit.code;
	entry->info = vcpu->exit.info[0];
	entry->kind = vcpu->exit.kind;
}

static void trace(struct vcpu *vcpu)
{
	vcpu_need(vcpu, REG_RIP);
	log_line("trace %s/%u: %s rip=%llx rax=%llx rcx=%llx info=%llx,%llx", vcpu->vm->name,
		vcpu->id, exit_kind_name(vcpu->exit.kind), (unsigned long long)vcpu->special.rip,
		(unsigned long long)vcpu->regs.gpr[GPR_RAX],
		(unsigned long long)vcpu->regs.gpr[GPR_RCX],
		(unsigned long long)vcpu->exit.info[0], (unsigned long long)vcpu->exit.info[1]);
}

/* The host's interrupts, timers among them, are served here while a vCPU runs. */
static enum turn serve_host(void)
{
	irq_window();
	return __atomic_load_n(&this_cpu()->kick, __ATOMIC_RELAXED) ? TURN_YIELD : TURN_AGAIN;
}

/* After so many exits of other kinds the host looks for interrupts itself: see dispatch(). */
#define UNINTERRUPTED_EXITS 32

/* What an exit wants that does not simply go on. Where it stops its VM, that has been asked for. */
static __attribute__((noinline)) void take_action(struct vcpu *vcpu, enum exit_action action)
{
	if (action == ACTION_BLOCK) {
		advance(vcpu);
		vcpu->in_hlt = true;
		vcpu_look_again(vcpu);
	} else if (action == ACTION_WAIT) {
		vcpu->waits = true;
		vcpu_look_again(vcpu);
	}
}

static enum turn dispatch(struct vcpu *vcpu)
{
	enum exit_action action;

	record(vcpu);
	if (unlikely(vcpu->trace))
		trace(vcpu);
	action = exit_handlers[vcpu->exit.kind](vcpu);
	if (likely(action == ACTION_ADVANCE))
		advance(vcpu);
	else if (action != ACTION_RESUME)
		take_action(vcpu, action);
	/*
	 * A guest can arrange that the delivery of #DB or #AC raises it again, for ever, and the
	 * trap comes before any interrupt: this guest's turn would never end.
	 */
	if (unlikely(vcpu->history_next % UNINTERRUPTED_EXITS == 0))
		return serve_host();
	return TURN_AGAIN;
}

/* Something is to be done before this entry. */
static __attribute__((noinline)) enum turn prepare_entry(struct vcpu *vcpu)
{
	enum turn next;

	vcpu_end_guest(vcpu);
	next = serve_requests(vcpu);
	if (next != TURN_AGAIN)
		return next;
	if (!vcpu_begin_guest(vcpu))
		return TURN_ENTER;
	vcpu_end_guest(vcpu);
	return TURN_AGAIN;
}

static enum turn turn(struct vcpu *vcpu)
{
	if (unlikely(vcpu_begin_guest(vcpu))) {
		enum turn next = prepare_entry(vcpu);

		if (next != TURN_ENTER)
			return next;
	}
	hw->enter(vcpu);
	__atomic_store_n(&vcpu->entry, 0, __ATOMIC_RELEASE);
	if (vcpu->exit.kind == EXIT_HOST_INTERRUPT) {
		vcpu->exits[EXIT_HOST_INTERRUPT]++;
		return serve_host();
	}
	return dispatch(vcpu);
}

/* The vCPU becomes the one whose state this CPU holds, as safe from others' as is asked for now. */
static void take_up(struct vcpu *vcpu)
{
	struct cpu *cpu = this_cpu();

	if (unlikely(mitigation_changed(cpu))) {
		vcpu_load(NULL);
		mitigation_follow(cpu);
	}
	cpu->l1d_stale = true;
	vcpu_load(vcpu);
}

bool vcpu_run(struct vcpu *vcpu)
{
	struct cpu *cpu = this_cpu();
	enum turn next;

	take_up(vcpu);
	/* Before the requests are looked at: see vcpu_request(). */
	__atomic_store_n(&cpu->running, vcpu, __ATOMIC_SEQ_CST);
	have_cpu(vcpu);
	do
		next = turn(vcpu);
	while (next == TURN_AGAIN);
	pv_descheduled(vcpu, next == TURN_YIELD);
	__atomic_store_n(&cpu->running, NULL, __ATOMIC_RELEASE);
	if (next == TURN_STOP)
		leave_for_good(vcpu);
	return next == TURN_YIELD;
}
