/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a vCPU runs: placement, moves from busy CPUs to idle ones, balance by weight. A load is the
 * sum of the weights that are active on a CPU. Others' loads are read without their locks: what
 * follows from them may be a little off, and is put right the next time.
 */
#include "vcpu/sched_internal.h"

/* How often a busy CPU compares itself with the others. */
#define BALANCE_NS (20 * NS_PER_MS)
/* So many that wait are looked at each time. */
#define STEAL_BUDGET 16
#define OFFER_BUDGET 4
#define BALANCE_BUDGET 8

bool sched_may_run(const struct vcpu *vcpu, const struct run_queue *queue)
{
	return cpu_set_test(&vcpu->vm->sched.cpus, queue->cpu->id) &&
		__atomic_load_n(&queue->open, __ATOMIC_ACQUIRE);
}

bool sched_may_move(const struct vcpu *vcpu, const struct run_queue *to)
{
	const struct cpu *loaded = __atomic_load_n(&vcpu->loaded_on, __ATOMIC_ACQUIRE);

	return (!loaded || loaded == to->cpu) && sched_may_run(vcpu, to);
}

static unsigned int set_words(void)
{
	return (cpu_count() + 63) / 64;
}

/* Idle CPUs where it may run, of one word; the boot CPU only if there is no other. */
static uint64_t idle_word(const struct vcpu *vcpu, unsigned int word)
{
	uint64_t bits = cpu_set_word(&sched_idle, word) &
		cpu_set_word(&vcpu->vm->sched.cpus, word);

	return word || bits == 1 ? bits : bits & ~1ULL;
}

static bool has_idle(const struct vcpu *vcpu)
{
	for (unsigned int word = 0; word < set_words(); word++) {
		if (idle_word(vcpu, word))
			return true;
	}
	return false;
}

/* An idle CPU for it; its idle bit is taken. NULL: none. */
static struct run_queue *take_idle(const struct vcpu *vcpu)
{
	for (unsigned int word = set_words(); word-- > 0;) {
		uint64_t bits = idle_word(vcpu, word);

		for (; bits; bits &= bits - 1) {
			unsigned int id = word * 64 + (unsigned int)__builtin_ctzll(bits);

			if (cpu_set_drop(&sched_idle, id))
				return queue_by_id(id);
		}
	}
	return NULL;
}

static uint32_t load_of(const struct run_queue *queue)
{
	return __atomic_load_n(&queue->policy.load, __ATOMIC_RELAXED);
}

/* Of equals the first from `first` on. */
static struct run_queue *least_loaded(const struct vcpu *vcpu, const struct run_queue *but,
	unsigned int first)
{
	struct run_queue *best = NULL;

	for (unsigned int i = 0; i < cpu_count(); i++) {
		struct run_queue *queue = queue_by_id((first + i) % cpu_count());

		if (queue != but && sched_may_run(vcpu, queue) &&
			(!best || load_of(queue) < load_of(best)))
			best = queue;
	}
	return best;
}

/* The boot CPU comes last: it serves the operator as well. */
struct run_queue *sched_least_loaded(const struct vcpu *vcpu)
{
	return least_loaded(vcpu, NULL, 1);
}

void sched_place(struct vcpu *vcpu)
{
	struct run_queue *best = NULL;

	for (unsigned int i = 1; i <= cpu_count(); i++) {
		struct run_queue *queue = queue_by_id(i % cpu_count());

		if (sched_may_run(vcpu, queue) &&
			(!best || sched_placed(queue->cpu) < sched_placed(best->cpu)))
			best = queue;
	}
	if (!best)
		best = queue_by_id(0); /* sched_set() sees to it that there is one */
	__atomic_fetch_add(&best->placed, 1, __ATOMIC_RELAXED);
	vcpu->cpu = best->cpu;
}

struct run_queue *sched_choose(const struct vcpu *vcpu, struct run_queue *home)
{
	struct run_queue *idle;
	bool may_stay;

	/* Its registers are there; if it may not stay, that CPU sends it on. */
	if (__atomic_load_n(&vcpu->loaded_on, __ATOMIC_ACQUIRE))
		return home;
	may_stay = sched_may_run(vcpu, home);
	if (may_stay && !home->policy.current && !home->policy.waiting)
		return home;
	idle = take_idle(vcpu);
	if (idle)
		return idle;
	return may_stay ? home : sched_least_loaded(vcpu);
}

static void change_cpu(struct vcpu *vcpu, struct run_queue *from, struct run_queue *to)
{
	if (!vcpu->sched.active)
		sched_queue_depart(&from->policy, &vcpu->sched);
	__atomic_fetch_sub(&from->placed, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&to->placed, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&vcpu->cpu, to->cpu, __ATOMIC_SEQ_CST);
}

void sched_send(struct run_queue *from, struct run_queue *to, struct vcpu *vcpu, uint64_t now_ns)
{
	change_cpu(vcpu, from, to);
	spin_unlock(&from->lock);
	spin_lock(&to->lock);
	sched_insert(to, vcpu, now_ns);
	/* Its idle bit may have been taken, so sched_notify() did not see it. */
	if (!to->policy.current && to->cpu != this_cpu())
		cpu_kick(to->cpu);
	spin_unlock(&to->lock);
}

static uint32_t may_come(const struct sched_entity *entity, void *to)
{
	const struct vcpu *vcpu = container_of(entity, const struct vcpu, sched);

	return sched_may_move(vcpu, to) ? UINT32_MAX : 0;
}

/* One that waits at `from`, taken out of its queue and told that it is here. */
static struct vcpu *take_from(struct run_queue *from, struct run_queue *to)
{
	struct sched_entity *entity;

	if (!spin_trylock(&from->lock))
		return NULL;
	entity = sched_queue_find(&from->policy, may_come, to, STEAL_BUDGET);
	if (entity) {
		sched_queue_remove(&from->policy, entity, SCHED_MOVES);
		change_cpu(vcpu_of(entity), from, to);
		sched_mark_busy(from);
	}
	spin_unlock(&from->lock);
	return entity ? vcpu_of(entity) : NULL;
}

bool sched_steal(struct run_queue *queue)
{
	struct vcpu *vcpu = NULL;

	if (!queue->open)
		return false;
	for (unsigned int word = 0; word < set_words() && !vcpu; word++) {
		uint64_t bits = __atomic_load_n(&sched_busy.words[word], __ATOMIC_SEQ_CST);

		for (; bits && !vcpu; bits &= bits - 1) {
			unsigned int id = word * 64 + (unsigned int)__builtin_ctzll(bits);

			vcpu = take_from(queue_by_id(id), queue);
		}
	}
	if (!vcpu)
		return false;
	spin_lock(&queue->lock);
	sched_insert(queue, vcpu, clock_now_ns());
	spin_unlock(&queue->lock);
	return true;
}

static uint32_t finds_idle(const struct sched_entity *entity, void *argument)
{
	const struct vcpu *vcpu = container_of(entity, const struct vcpu, sched);

	(void)argument;
	if (__atomic_load_n(&vcpu->loaded_on, __ATOMIC_ACQUIRE) || !has_idle(vcpu))
		return 0;
	return UINT32_MAX;
}

/* A CPU that went to sleep just before this one became busy did not see that. */
static void wake_a_helper(struct run_queue *queue)
{
	struct sched_entity *entity =
		sched_queue_find(&queue->policy, finds_idle, NULL, OFFER_BUDGET);
	struct run_queue *idle = entity ? take_idle(vcpu_of(entity)) : NULL;

	if (idle)
		cpu_kick(idle->cpu);
}

void sched_change_busy(struct run_queue *queue, bool busy)
{
	queue->busy = busy;
	if (!busy) {
		cpu_set_drop(&sched_busy, queue->cpu->id);
		__atomic_fetch_sub(&sched_busy_count, 1, __ATOMIC_SEQ_CST);
		return;
	}
	cpu_set_raise(&sched_busy, queue->cpu->id);
	__atomic_fetch_add(&sched_busy_count, 1, __ATOMIC_SEQ_CST);
	wake_a_helper(queue);
}

struct balance {
	struct run_queue *from;
	struct run_queue *to;
	uint64_t now_ns;
	uint64_t arrived_ns; /* of the best so far */
	uint32_t load;
};

/*
 * Would it go well on the least loaded CPU where it may run? Moving it there must not make the
 * difference greater than it was. That it may just turn it round is meant: so what does not divide
 * evenly, three on two CPUs say, takes turns. Who has been here longest goes: that is what makes
 * the turns fair.
 */
static uint32_t gains(const struct sched_entity *entity, void *argument)
{
	const struct vcpu *vcpu = container_of(entity, const struct vcpu, sched);
	struct balance *balance = argument;
	struct run_queue *to;

	/* Not one that has just come: it would go to and fro, and run nowhere. */
	if (balance->now_ns - entity->arrived_ns < BALANCE_NS || entity->load < balance->load)
		return 0;
	if (entity->load == balance->load && entity->arrived_ns >= balance->arrived_ns)
		return 0;
	to = least_loaded(vcpu, balance->from, balance->from->balances);
	if (!to || load_of(to) + entity->load > load_of(balance->from))
		return 0;
	balance->load = entity->load;
	balance->arrived_ns = entity->arrived_ns;
	balance->to = to;
	return entity->load;
}

void sched_balance(struct run_queue *queue, uint64_t now_ns)
{
	struct balance balance = { .from = queue, .now_ns = now_ns };
	struct sched_entity *entity;

	__atomic_store_n(&queue->balance_ns, now_ns + BALANCE_NS, __ATOMIC_RELAXED);
	queue->balances++;
	spin_lock(&queue->lock);
	entity = sched_queue_find(&queue->policy, gains, &balance, BALANCE_BUDGET);
	if (!entity) {
		spin_unlock(&queue->lock);
		return;
	}
	sched_queue_remove(&queue->policy, entity, SCHED_MOVES);
	sched_mark_busy(queue);
	if (queue->cpu->loaded == vcpu_of(entity))
		vcpu_load(NULL);
	/* Else that one would give another in return at once, and the third would always wait. */
	__atomic_store_n(&balance.to->balance_ns, now_ns + BALANCE_NS, __ATOMIC_RELAXED);
	sched_send(queue, balance.to, vcpu_of(entity), now_ns);
}

/* It waits on another CPU: bring it here. Own CPU. */
static bool fetch(struct run_queue *here, struct vcpu *vcpu)
{
	struct run_queue *there = queue_of(__atomic_load_n(&vcpu->cpu, __ATOMIC_RELAXED));
	bool taken = false;

	if (there == here)
		return true;
	if (!spin_trylock(&there->lock))
		return false;
	if (__atomic_load_n(&vcpu->cpu, __ATOMIC_ACQUIRE) == there->cpu &&
		vcpu->sched.where == SCHED_WAITING &&
		sched_may_move(vcpu, here)) {
		sched_queue_remove(&there->policy, &vcpu->sched, SCHED_MOVES);
		change_cpu(vcpu, there, here);
		sched_mark_busy(there);
		taken = true;
	}
	spin_unlock(&there->lock);
	if (!taken)
		return false;
	spin_lock(&here->lock);
	sched_insert(here, vcpu, clock_now_ns());
	spin_unlock(&here->lock);
	return true;
}

/* True when it waits here now, and goes next. */
static bool favour(struct run_queue *here, struct vcpu *vcpu)
{
	bool favoured;

	/* A look without the lock, for most of them run or sleep. */
	if (__atomic_load_n(&vcpu->sched.where, __ATOMIC_RELAXED) != SCHED_WAITING ||
		!fetch(here, vcpu))
		return false;
	spin_lock(&here->lock);
	/* It may have gone elsewhere meanwhile, or be on its way. */
	if (__atomic_load_n(&vcpu->cpu, __ATOMIC_ACQUIRE) == here->cpu)
		sched_queue_favour(&here->policy, &vcpu->sched);
	favoured = here->policy.favoured == &vcpu->sched;
	spin_unlock(&here->lock);
	return favoured;
}

void sched_yield_to(struct vcpu *vcpu, struct vcpu *target)
{
	struct run_queue *here = queue_of(vcpu->cpu);
	struct vm *vm = vcpu->vm;
	bool found = false;

	if (target) {
		found = target != vcpu && target->vm == vm && favour(here, target);
	} else {
		for (unsigned int i = 1; i <= vm->vcpu_count && !found; i++)
			found = favour(here, vm->vcpus[(vcpu->yielded + i) % vm->vcpu_count]);
		vcpu->yielded++;
	}
	if (found)
		vcpu_request(vcpu, REQUEST_PREEMPT);
}
