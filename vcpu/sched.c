/* SPDX-License-Identifier: BSD-2-Clause */
/* Round robin on each CPU; see vcpu/sched.h. */
#include "vcpu/sched.h"

#include "host/lock.h"
#include "host/log.h"
#include "host/memory.h"
#include "lib/string.h"
#include "vcpu/vm.h"

/* How long one vCPU runs while others wait. */
#define SLICE_NS (10 * NS_PER_MS)

struct run_queue {
	struct spinlock lock;
	struct list waiting;     /* [lock] runnable vCPUs that do not run */
	struct vcpu *running;    /* [lock] written; its own CPU may read without */
	unsigned int placed;     /* [placement_lock] */
	bool open;               /* [placement_lock] */
	struct timer slice;      /* own CPU: ends the running vCPU's slice */
	struct cpu *cpu;         /* [I] */
};

static struct spinlock placement_lock;

static struct run_queue *queue_of(const struct cpu *cpu)
{
	return cpu->sched;
}

static void slice_ended(struct timer *timer)
{
	struct run_queue *queue = container_of(timer, struct run_queue, slice);

	if (queue->running)
		vcpu_request(queue->running, REQUEST_PREEMPT);
}

int sched_init(void)
{
	for (unsigned int id = 0; id < cpu_count(); id++) {
		struct cpu *cpu = cpu_by_id(id);
		struct run_queue *queue = heap_alloc(sizeof(*queue), FRAME_HOST);

		if (!queue)
			return -ENOMEM;
		list_init(&queue->waiting);
		timer_init(&queue->slice, slice_ended);
		queue->cpu = cpu;
		cpu->sched = queue;
	}
	return 0;
}

void sched_open(struct cpu *cpu)
{
	spin_lock(&placement_lock);
	queue_of(cpu)->open = true;
	spin_unlock(&placement_lock);
}

void sched_place(struct vcpu *vcpu)
{
	struct cpu *best = cpu_by_id(0);

	spin_lock(&placement_lock);
	/* Of equals the last: the boot CPU, first of all, also has the operator to serve. */
	for (unsigned int id = 1; id < cpu_count(); id++) {
		struct cpu *cpu = cpu_by_id(id);

		if (queue_of(cpu)->open && queue_of(cpu)->placed <= queue_of(best)->placed)
			best = cpu;
	}
	queue_of(best)->placed++;
	vcpu->cpu = best;
	spin_unlock(&placement_lock);
}

void sched_unplace(struct vcpu *vcpu)
{
	struct run_queue *queue = queue_of(vcpu->cpu);

	spin_lock(&placement_lock);
	queue->placed--;
	spin_unlock(&placement_lock);
	spin_lock(&queue->lock);
	queue->running = NULL;
	spin_unlock(&queue->lock);
}

unsigned int sched_placed(const struct cpu *cpu)
{
	return queue_of(cpu)->placed;
}

/*
 * Into the queue, unless it is there, runs or has stopped. True when that is news to its CPU: one
 * that already has others waiting will come to this one in turn.
 */
static bool enqueue(struct run_queue *queue, struct vcpu *vcpu)
{
	if (vcpu->state != VCPU_HALTED && vcpu->state != VCPU_WAIT_SIPI)
		return false;
	vcpu->state = VCPU_RUNNABLE;
	list_add_tail(&queue->waiting, &vcpu->run_link);
	return true;
}

void sched_wake(struct vcpu *vcpu)
{
	struct run_queue *queue = queue_of(vcpu->cpu);
	struct vcpu *running;
	bool news;

	spin_lock(&queue->lock);
	news = enqueue(queue, vcpu);
	running = queue->running;
	spin_unlock(&queue->lock);
	if (!news)
		return;
	if (queue->cpu != this_cpu())
		cpu_kick(queue->cpu);
	else if (running && !timer_armed(&queue->slice))
		timer_set(&queue->slice, clock_tsc() + clock_tsc_from_ns(SLICE_NS));
}

bool sched_block(struct vcpu *vcpu, enum vcpu_state state)
{
	struct run_queue *queue = queue_of(vcpu->cpu);
	bool blocked = false;

	/*
	 * State first, then look: vcpu_request() sets its bit first and then looks at the state, so
	 * one of the two sees the other.
	 */
	spin_lock(&queue->lock);
	__atomic_store_n(&vcpu->state, state, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vcpu->requests, __ATOMIC_SEQ_CST))
		vcpu->state = VCPU_RUNNABLE;
	else
		blocked = true;
	spin_unlock(&queue->lock);
	return blocked;
}

/* The next vCPU to run, and whether others wait behind it. */
static struct vcpu *dequeue(struct run_queue *queue, bool *others)
{
	struct vcpu *vcpu = NULL;

	spin_lock(&queue->lock);
	if (!list_empty(&queue->waiting)) {
		vcpu = list_first(&queue->waiting, struct vcpu, run_link);
		list_remove(&vcpu->run_link);
	}
	queue->running = vcpu;
	*others = !list_empty(&queue->waiting);
	spin_unlock(&queue->lock);
	return vcpu;
}

/* A vCPU that ran comes back; it waits again unless it has blocked or stopped meanwhile. */
static void requeue(struct run_queue *queue, struct vcpu *vcpu, bool runnable)
{
	spin_lock(&queue->lock);
	queue->running = NULL;
	if (runnable)
		list_add_tail(&queue->waiting, &vcpu->run_link);
	spin_unlock(&queue->lock);
}

void sched_run(struct cpu *cpu)
{
	struct run_queue *queue = queue_of(cpu);
	struct vcpu *vcpu;
	bool others;

	if (__atomic_exchange_n(&cpu->kick, 0, __ATOMIC_ACQUIRE))
		return;
	vcpu = dequeue(queue, &others);
	if (!vcpu) {
		cpu_idle();
		return;
	}
	if (others)
		timer_set(&queue->slice, clock_tsc() + clock_tsc_from_ns(SLICE_NS));
	requeue(queue, vcpu, vcpu_run(vcpu));
	if (timer_armed(&queue->slice))
		timer_cancel(&queue->slice);
}

void sched_cpu_loop(void)
{
	for (;;)
		sched_run(this_cpu());
}

int sched_set(struct vm *vm, const struct sched_params *params)
{
	bool somewhere = false;

	for (unsigned int id = 0; id < cpu_count(); id++)
		somewhere |= cpu_set_has(&params->cpus, id);
	if (!somewhere || params->weight < 1 || params->weight > SCHED_WEIGHT_MAX)
		return -EINVAL;
	vm->sched = *params;
	return 0;
}

void sched_get(const struct vm *vm, struct sched_params *params)
{
	*params = vm->sched;
}

void sched_pause(struct vm *vm)
{
	(void)vm;
}

void sched_resume(struct vm *vm)
{
	(void)vm;
}

void sched_times(const struct vcpu *vcpu, struct sched_times *times)
{
	uint64_t since = __atomic_load_n(&vcpu->run_since_tsc, __ATOMIC_RELAXED);
	uint64_t now = clock_tsc(), ran = vcpu->run_tsc;
	uint64_t elapsed = clock_ns_from_tsc(now) - vcpu->vm->started_ns;

	if (since && now > since)
		ran += now - since;
	times->run_ns = MIN(clock_ns_from_tsc(ran), elapsed);
	times->steal_ns = 0;
	times->halted_ns = elapsed - times->run_ns;
}

void sched_yield_to(struct vcpu *vcpu, struct vcpu *target)
{
	(void)target;
	vcpu_request(vcpu, REQUEST_PREEMPT);
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
