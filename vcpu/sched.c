/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run queues: waking, blocking, turns, idling. Who runs when is decided in vcpu/sched_queue.c,
 * where in vcpu/sched_balance.c.
 */
#include "host/log.h"
#include "host/memory.h"
#include "lib/string.h"
#include "vcpu/sched_internal.h"

struct cpu_set sched_idle;
struct cpu_set sched_busy;
uint32_t sched_busy_count;

/* On its own CPU: the running vCPU comes back to have its turn looked at. */
static void turn_ended(struct timer *timer)
{
	struct run_queue *queue = container_of(timer, struct run_queue, timer);

	/* Not one that has just blocked, for that would wake it. */
	if (queue->policy.current)
		vcpu_request(queue->running, REQUEST_PREEMPT);
}

int sched_init(void)
{
	for (unsigned int id = 0; id < cpu_count(); id++) {
		struct cpu *cpu = cpu_by_id(id);
		struct run_queue *queue = heap_alloc(sizeof(*queue), FRAME_HOST);

		if (!queue)
			return -ENOMEM;
		sched_queue_init(&queue->policy, id);
		timer_init(&queue->timer, turn_ended);
		queue->cpu = cpu;
		cpu->sched = queue;
	}
	sched_open(cpu_by_id(0));
	return 0;
}

void sched_open(struct cpu *cpu)
{
	__atomic_store_n(&queue_of(cpu)->open, true, __ATOMIC_RELEASE);
}

unsigned int sched_placed(const struct cpu *cpu)
{
	return __atomic_load_n(&queue_of(cpu)->placed, __ATOMIC_RELAXED);
}

struct run_queue *sched_lock_queue_of(const struct vcpu *vcpu)
{
	for (;;) {
		struct cpu *cpu = __atomic_load_n(&vcpu->cpu, __ATOMIC_RELAXED);
		struct run_queue *queue = queue_of(cpu);

		spin_lock(&queue->lock);
		/* Acquire: who sent it here changed it first, and may not have locked this yet. */
		if (likely(__atomic_load_n(&vcpu->cpu, __ATOMIC_ACQUIRE) == cpu))
			return queue;
		spin_unlock(&queue->lock);
	}
}

static void arm(struct run_queue *queue, uint64_t until_ns)
{
	if (until_ns == SCHED_NEVER) {
		if (timer_armed(&queue->timer))
			timer_cancel(&queue->timer);
		return;
	}
	if (timer_armed(&queue->timer) && queue->timer_ns == until_ns)
		return;
	queue->timer_ns = until_ns;
	/* Conversions round down; better a moment late than once more. */
	timer_set(&queue->timer, clock_tsc_from_ns(until_ns + 1) + 1);
}

void sched_notify(struct run_queue *queue, bool sooner)
{
	struct cpu *cpu = queue->cpu;

	if (cpu_set_test(&sched_idle, cpu->id)) {
		/* On its own CPU a callback is ending the halt just now. */
		if (cpu_set_drop(&sched_idle, cpu->id) && cpu != this_cpu())
			cpu_kick(cpu);
		return;
	}
	sched_mark_busy(queue);
	if (!sooner)
		return;
	/* Timers are armed on their own CPUs only: another one has to come and look. */
	if (cpu != this_cpu() || queue->policy.until_ns <= queue->policy.charged_ns)
		vcpu_request(queue->running, REQUEST_PREEMPT);
	else
		arm(queue, queue->policy.until_ns);
}

void sched_insert(struct run_queue *queue, struct vcpu *vcpu, uint64_t now_ns)
{
	if (sched_is_held(vcpu->vm)) {
		vcpu->shelved = true;
		return;
	}
	sched_notify(queue, sched_queue_add(&queue->policy, &vcpu->sched, now_ns));
}

/* It dozes here, an interrupt of this CPU wakes it, and nobody else has come: its turn begins. */
static bool rouse(struct run_queue *queue, struct vcpu *vcpu, uint64_t now_ns)
{
	if (queue->cpu != this_cpu() || queue->dozing != vcpu || sched_is_held(vcpu->vm) ||
		!sched_may_run(vcpu, queue) ||
		!sched_queue_start(&queue->policy, &vcpu->sched, now_ns))
		return false;
	cpu_set_drop(&sched_idle, queue->cpu->id);
	queue->running = vcpu;
	sched_account_change(&vcpu->times, SCHED_TIME_RUN, now_ns);
	return true;
}

void sched_wake(struct vcpu *vcpu)
{
	uint64_t now_ns = clock_now_ns();
	struct run_queue *queue = sched_lock_queue_of(vcpu), *to;
	enum vcpu_state state = __atomic_load_n(&vcpu->state, __ATOMIC_RELAXED);

	/* It runs, and then it may be stopping without the queue's lock; or another woke it. */
	if (state != VCPU_HALTED && state != VCPU_WAIT_SIPI) {
		spin_unlock(&queue->lock);
		return;
	}
	__atomic_store_n(&vcpu->state, VCPU_RUNNABLE, __ATOMIC_RELAXED);
	if (rouse(queue, vcpu, now_ns)) {
		spin_unlock(&queue->lock);
		return;
	}
	sched_account_change(&vcpu->times, SCHED_TIME_STEAL, now_ns);
	to = sched_choose(vcpu, queue);
	if (to != queue) {
		sched_send(queue, to, vcpu, now_ns);
		return;
	}
	sched_insert(queue, vcpu, now_ns);
	spin_unlock(&queue->lock);
}

/*
 * The vCPU has blocked and the CPU's idle bit is raised: idle with it, rather than to return and
 * idle without. True when it was roused; what else ends the halt is for sched_run()'s caller.
 */
static bool doze(struct run_queue *queue, struct vcpu *vcpu)
{
	bool kicked;

	/* As in idle(): who waits elsewhere may be taken over. */
	if (!__atomic_load_n(&sched_busy_count, __ATOMIC_SEQ_CST)) {
		queue->dozing = vcpu;
		arm(queue, SCHED_NEVER);
		kicked = cpu_idle();
		queue->dozing = NULL;
		if (queue->policy.current) {
			if (unlikely(kicked))
				cpu_kick(queue->cpu); /* to be seen to once more */
			return true;
		}
	}
	cpu_set_drop(&sched_idle, queue->cpu->id);
	return false;
}

bool sched_block(struct vcpu *vcpu, enum vcpu_state state)
{
	uint64_t now_ns = clock_now_ns();
	struct run_queue *queue = queue_of(vcpu->cpu);
	bool blocked = false, alone = false;

	/*
	 * State first, then look: vcpu_request() sets its bit first and then looks at the state, so
	 * one of the two sees the other.
	 */
	spin_lock(&queue->lock);
	__atomic_store_n(&vcpu->state, state, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vcpu->requests, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(&vcpu->state, VCPU_RUNNABLE, __ATOMIC_RELAXED);
	} else {
		blocked = true;
		queue->running = NULL;
		sched_account_change(&vcpu->times, SCHED_TIME_HALTED, now_ns);
		sched_queue_put(&queue->policy, SCHED_SLEEPS, now_ns);
		alone = sched_queue_is_empty(&queue->policy) && queue->open;
		if (alone)
			cpu_set_raise(&sched_idle, queue->cpu->id);
	}
	spin_unlock(&queue->lock);
	return blocked && !(alone && doze(queue, vcpu));
}

void sched_unplace(struct vcpu *vcpu)
{
	uint64_t now_ns = clock_now_ns();
	struct run_queue *queue = queue_of(vcpu->cpu);

	spin_lock(&queue->lock);
	sched_account_change(&vcpu->times, SCHED_TIME_KINDS, now_ns);
	sched_queue_put(&queue->policy, SCHED_SLEEPS, now_ns);
	queue->running = NULL;
	spin_unlock(&queue->lock);
	__atomic_fetch_sub(&queue->placed, 1, __ATOMIC_RELAXED);
}

/* It may not run here any more: it leaves. Locked; unlocks. */
static void expel(struct run_queue *queue, struct vcpu *vcpu, uint64_t now_ns)
{
	sched_queue_put(&queue->policy, SCHED_MOVES, now_ns);
	if (queue->cpu->loaded == vcpu)
		vcpu_load(NULL);
	sched_send(queue, sched_least_loaded(vcpu), vcpu, now_ns);
}

/*
 * Whose turn it is; NULL when there is nobody, or it was sent elsewhere. Then the CPU is marked as
 * idle, before any other sees that the queue is empty.
 */
static struct vcpu *begin_turn(struct run_queue *queue, uint64_t *until_ns)
{
	struct sched_entity *entity = NULL;
	struct vcpu *vcpu = NULL;
	uint64_t now_ns;

	spin_lock(&queue->lock);
	if (!sched_queue_is_empty(&queue->policy)) {
		now_ns = clock_now_ns();
		entity = sched_queue_pick(&queue->policy, now_ns);
	}
	if (entity) {
		vcpu = vcpu_of(entity);
		if (unlikely(!sched_may_run(vcpu, queue))) {
			expel(queue, vcpu, now_ns);
			*until_ns = 0;
			return NULL;
		}
		sched_account_change(&vcpu->times, SCHED_TIME_RUN, now_ns);
		*until_ns = queue->policy.until_ns;
	} else {
		if (queue->open)
			cpu_set_raise(&sched_idle, queue->cpu->id);
		*until_ns = sched_queue_unpark_at(&queue->policy);
	}
	queue->running = vcpu;
	sched_mark_busy(queue);
	spin_unlock(&queue->lock);
	return vcpu;
}

/* The vCPU is back, and could run on. */
static void end_turn(struct run_queue *queue, struct vcpu *vcpu)
{
	uint64_t now_ns = clock_now_ns();

	spin_lock(&queue->lock);
	queue->running = NULL;
	sched_account_change(&vcpu->times, SCHED_TIME_STEAL, now_ns);
	vcpu->shelved = sched_is_held(vcpu->vm);
	sched_queue_put(&queue->policy, vcpu->shelved ? SCHED_SLEEPS : SCHED_WAITS, now_ns);
	spin_unlock(&queue->lock);
	if (__atomic_load_n(&queue->policy.waiting, __ATOMIC_RELAXED) > 1 &&
		now_ns >= __atomic_load_n(&queue->balance_ns, __ATOMIC_RELAXED))
		sched_balance(queue, now_ns);
}

static void idle(struct run_queue *queue, uint64_t until_ns)
{
	/* Its idle bit was raised before this look, who becomes busy looks for idle ones after. */
	if (!__atomic_load_n(&sched_busy_count, __ATOMIC_SEQ_CST) || !sched_steal(queue)) {
		arm(queue, until_ns);
		cpu_idle();
	}
	cpu_set_drop(&sched_idle, queue->cpu->id);
}

void sched_run(struct cpu *cpu)
{
	struct run_queue *queue = queue_of(cpu);
	struct vcpu *vcpu;
	uint64_t until_ns;

	if (__atomic_exchange_n(&cpu->kick, 0, __ATOMIC_ACQUIRE))
		return;
	vcpu = begin_turn(queue, &until_ns);
	if (vcpu) {
		arm(queue, until_ns);
		/* Else it has blocked or stopped: it may run elsewhere already, or be no more. */
		if (vcpu_run(vcpu))
			end_turn(queue, vcpu);
	} else if (until_ns) {
		idle(queue, until_ns);
	}
}

void sched_cpu_loop(void)
{
	for (;;)
		sched_run(this_cpu());
}

bool sched_occupant(const struct cpu *cpu, struct sched_occupant *out)
{
	struct run_queue *queue = queue_of(cpu);
	const struct vcpu *running;

	spin_lock(&queue->lock);
	running = queue->running;
	if (running) {
		memcpy(out->vm_name, running->vm->name, sizeof(out->vm_name));
		out->vcpu_id = running->id;
	}
	spin_unlock(&queue->lock);
	return running;
}
