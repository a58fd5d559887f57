/* SPDX-License-Identifier: BSD-2-Clause */
/* What the operator and a VM's life want of the scheduler. All on the boot CPU but as said. */
#include "host/memory.h"
#include "lib/string.h"
#include "vcpu/sched_internal.h"

bool sched_spares_boot_cpu;

static bool others_are_open(void)
{
	for (unsigned int id = 1; id < cpu_count(); id++) {
		if (__atomic_load_n(&queue_by_id(id)->open, __ATOMIC_ACQUIRE))
			return true;
	}
	return false;
}

/* The CPUs to use, of those allowed. */
static struct cpu_set to_use(const struct cpu_set *allowed)
{
	const struct cpu_set all = CPU_SET_ALL;
	struct cpu_set set = *allowed;

	if (sched_spares_boot_cpu && cpu_count() > 2 && others_are_open() &&
		!memcmp(&set, &all, sizeof(set)))
		set.words[0] &= ~1ULL;
	return set;
}

int sched_vm_init(struct vm *vm)
{
	vm->sched = (struct sched_params){ .weight = SCHED_WEIGHT_DEFAULT,
		.cpus = to_use(&CPU_SET_ALL) };
	vm->group.shares = heap_alloc(cpu_count() * sizeof(*vm->group.shares), FRAME_VM);
	return vm->group.shares ? 0 : -ENOMEM;
}

void sched_vm_destroy(struct vm *vm)
{
	heap_free(vm->group.shares);
}

static void apply(struct vm *vm)
{
	sched_group_set_weight(&vm->group, vm->sched.weight);
	sched_cap_set(&vm->group.cap, vm->sched.cap_percent);
}

void sched_vm_start(struct vm *vm)
{
	uint64_t now_ns = clock_now_ns();

	vm->paused = false;
	sched_group_init(&vm->group, vm->group.shares, cpu_count());
	apply(vm);
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];

		sched_entity_init(&vcpu->sched, &vm->group);
		sched_account_start(&vcpu->times, SCHED_TIME_HALTED, now_ns);
		vcpu->shelved = false;
		sched_place(vcpu);
	}
}

static bool is_valid(const struct sched_params *params)
{
	for (unsigned int id = 0; id < cpu_count(); id++) {
		if (cpu_set_has(&params->cpus, id) &&
			__atomic_load_n(&queue_by_id(id)->open, __ATOMIC_ACQUIRE))
			return params->weight >= 1 && params->weight <= SCHED_WEIGHT_MAX;
	}
	return false;
}

static void store_params(struct vm *vm, const struct sched_params *params)
{
	const struct cpu_set cpus = to_use(&params->cpus);

	vm->sched.weight = params->weight;
	vm->sched.cap_percent = params->cap_percent;
	/*
	 * Other CPUs read it while it changes: a vCPU that goes to a wrong CPU is sent on. New ones
	 * first, then without the old: at no time is there no CPU for it.
	 */
	for (unsigned int i = 0; i < ARRAY_SIZE(cpus.words); i++)
		__atomic_fetch_or(&vm->sched.cpus.words[i], cpus.words[i], __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < ARRAY_SIZE(cpus.words); i++)
		__atomic_store_n(&vm->sched.cpus.words[i], cpus.words[i], __ATOMIC_RELEASE);
}

/* One that waits leaves a CPU where it may not run; one that runs comes and is looked at. */
static void reconsider(struct vcpu *vcpu)
{
	uint64_t now_ns = clock_now_ns();
	struct run_queue *queue = sched_lock_queue_of(vcpu), *to;

	sched_queue_update(&queue->policy, now_ns);
	sched_queue_unpark(&queue->policy, SCHED_NEVER);
	sched_notify(queue, false);
	if (vcpu->sched.where == SCHED_CURRENT) {
		vcpu_request(vcpu, REQUEST_PREEMPT);
	} else if (vcpu->sched.where == SCHED_WAITING && !sched_may_run(vcpu, queue)) {
		to = sched_least_loaded(vcpu);
		if (to && sched_may_move(vcpu, to)) {
			sched_queue_remove(&queue->policy, &vcpu->sched, SCHED_MOVES);
			sched_mark_busy(queue);
			sched_send(queue, to, vcpu, now_ns);
			return;
		}
	}
	spin_unlock(&queue->lock);
}

int sched_set(struct vm *vm, const struct sched_params *params)
{
	if (!is_valid(params))
		return -EINVAL;
	store_params(vm, params);
	if (vm->state != VM_RUNNING)
		return 0;
	apply(vm);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		reconsider(vm->vcpus[i]);
	return 0;
}

void sched_get(const struct vm *vm, struct sched_params *params)
{
	*params = vm->sched;
}

static void shelve(struct vcpu *vcpu)
{
	struct run_queue *queue = sched_lock_queue_of(vcpu);

	if (vcpu->sched.where == SCHED_CURRENT) {
		vcpu_request(vcpu, REQUEST_PREEMPT);
	} else if (vcpu->sched.where == SCHED_WAITING && sched_is_held(vcpu->vm)) {
		/* Not when it is to stop: sched_release(), which lets it, may have been here. */
		sched_queue_remove(&queue->policy, &vcpu->sched, SCHED_SLEEPS);
		sched_mark_busy(queue);
		vcpu->shelved = true;
	}
	spin_unlock(&queue->lock);
}

static void unshelve(struct vcpu *vcpu)
{
	struct run_queue *queue = sched_lock_queue_of(vcpu), *to;
	uint64_t now_ns = clock_now_ns();

	if (!vcpu->shelved) {
		spin_unlock(&queue->lock);
		return;
	}
	vcpu->shelved = false;
	to = sched_choose(vcpu, queue);
	if (to != queue) {
		sched_send(queue, to, vcpu, now_ns);
		return;
	}
	sched_insert(queue, vcpu, now_ns);
	spin_unlock(&queue->lock);
}

void sched_pause(struct vm *vm)
{
	if (vm->state != VM_RUNNING)
		return;
	/* Who inserts a vCPU looks at this under the queue's lock: before, or after it is set. */
	__atomic_store_n(&vm->paused, true, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		shelve(vm->vcpus[i]);
}

void sched_resume(struct vm *vm)
{
	if (!vm->paused)
		return;
	__atomic_store_n(&vm->paused, false, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		unshelve(vm->vcpus[i]);
}

static void release(struct vcpu *vcpu)
{
	struct run_queue *queue;

	if (__atomic_load_n(&vcpu->state, __ATOMIC_ACQUIRE) == VCPU_STOPPED)
		return;
	unshelve(vcpu);
	queue = sched_lock_queue_of(vcpu);
	sched_queue_unpark(&queue->policy, SCHED_NEVER);
	if (vcpu->sched.where == SCHED_WAITING)
		sched_queue_hurry(&queue->policy, &vcpu->sched);
	sched_notify(queue, false);
	if (queue->policy.current && queue->policy.current != &vcpu->sched)
		vcpu_request(queue->running, REQUEST_PREEMPT);
	spin_unlock(&queue->lock);
}

void sched_release(struct vm *vm)
{
	sched_cap_set(&vm->group.cap, 0);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		release(vm->vcpus[i]);
}

void sched_times(const struct vcpu *vcpu, struct sched_times *times)
{
	uint64_t sums_ns[SCHED_TIME_KINDS];

	sched_account_read(&vcpu->times, clock_now_ns(), sums_ns);
	times->run_ns = sums_ns[SCHED_TIME_RUN];
	times->steal_ns = sums_ns[SCHED_TIME_STEAL];
	times->halted_ns = sums_ns[SCHED_TIME_HALTED];
}
