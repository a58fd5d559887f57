/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the scheduler's files share: a CPU's run queue, and where a vCPU may go.
 *
 * A vCPU is in one of these places, and vcpu->cpu names the queue whose lock guards it:
 *   asleep    state is VCPU_HALTED or VCPU_WAIT_SIPI: in no queue; it dozes while its CPU, which
 *             has no other vCPU, idles within sched_block()
 *   waiting   in the queue's policy
 *   current   in vcpu_run() on that CPU
 *   shelved   it could run, but its VM is paused: in no queue
 *   on its way from one queue to another: in none, and only the CPU that moves it may touch it
 * vcpu->cpu is written by who takes it out of there, under that queue's lock. Never are two queues
 * locked at once. A queue's lock is a leaf.
 *
 * A vCPU that a CPU's hardware still holds (vcpu->loaded_on) runs on no other CPU: it has to be
 * put there first.
 */
#ifndef BALLAST_VCPU_SCHED_INTERNAL_H
#define BALLAST_VCPU_SCHED_INTERNAL_H

#include "host/lock.h"
#include "vcpu/sched.h"
#include "vcpu/vm.h"

struct run_queue {
	struct spinlock lock;
	struct sched_queue policy; /* [lock] */
	struct vcpu *running;      /* [lock] in vcpu_run() here, and not asleep */
	struct vcpu *dozing;       /* own CPU: it may be woken where it is */
	bool busy;                 /* [lock] its bit in sched_busy */
	bool open;                 /* [a] it runs guests */
	uint32_t placed;           /* [a] vCPUs with this vcpu->cpu */
	struct cpu *cpu;           /* [I] */
	struct timer timer;        /* own CPU: ends the turn */
	uint64_t timer_ns;         /* own CPU: for when it is armed */
	uint64_t balance_ns;       /* [a] when to look at others' loads again */
	uint32_t balances;         /* own CPU: how often it has; whom it prefers goes round by it */
};

/* Bits by CPU id, [a]. */
extern struct cpu_set sched_idle; /* they halt, or are about to: who takes a bit away kicks */
extern struct cpu_set sched_busy; /* someone waits there while another runs */
extern uint32_t sched_busy_count; /* [a] of bits in sched_busy */

static inline struct run_queue *queue_of(const struct cpu *cpu)
{
	return cpu->sched;
}

static inline struct run_queue *queue_by_id(unsigned int id)
{
	return queue_of(cpu_by_id(id));
}

static inline struct vcpu *vcpu_of(struct sched_entity *entity)
{
	return container_of(entity, struct vcpu, sched);
}

static inline uint64_t cpu_set_word(const struct cpu_set *set, unsigned int word)
{
	return __atomic_load_n(&set->words[word], __ATOMIC_RELAXED);
}

static inline bool cpu_set_test(const struct cpu_set *set, unsigned int id)
{
	return cpu_set_word(set, id / 64) >> id % 64 & 1;
}

/* True when it changed. Full barriers. */
static inline bool cpu_set_raise(struct cpu_set *set, unsigned int id)
{
	uint64_t bit = BIT(id % 64);

	return !(__atomic_fetch_or(&set->words[id / 64], bit, __ATOMIC_SEQ_CST) & bit);
}

static inline bool cpu_set_drop(struct cpu_set *set, unsigned int id)
{
	uint64_t bit = BIT(id % 64);

	return __atomic_fetch_and(&set->words[id / 64], ~bit, __ATOMIC_SEQ_CST) & bit;
}

/* Lock the queue that guards the vCPU. */
struct run_queue *sched_lock_queue_of(const struct vcpu *vcpu);

/* The VM is paused, and need not be let run to stop. */
static inline bool sched_is_held(const struct vm *vm)
{
	return unlikely(__atomic_load_n(&vm->paused, __ATOMIC_RELAXED)) &&
		__atomic_load_n(&vm->stop, __ATOMIC_SEQ_CST) == VM_STOP_NONE;
}

/* Queue locked, the vCPU guarded by it and in no queue: it waits there, or is shelved. */
void sched_insert(struct run_queue *queue, struct vcpu *vcpu, uint64_t now_ns);
/* Queue locked: its policy has changed by someone who waits; `sooner`: the turn ends earlier. */
void sched_notify(struct run_queue *queue, bool sooner);
/* Queue locked: keep its bit of sched_busy, which is `busy` now. */
void sched_change_busy(struct run_queue *queue, bool busy);
static inline void sched_mark_busy(struct run_queue *queue)
{
	bool busy = queue->policy.current && queue->policy.waiting;

	if (unlikely(busy != queue->busy))
		sched_change_busy(queue, busy);
}

/* May it run there? */
bool sched_may_run(const struct vcpu *vcpu, const struct run_queue *queue);
/* Could it be taken to that queue now? Its own queue is locked. */
bool sched_may_move(const struct vcpu *vcpu, const struct run_queue *to);
/* For one that wakes; `home`, its queue, is locked. The idle bit of a CPU so chosen is taken. */
struct run_queue *sched_choose(const struct vcpu *vcpu, struct run_queue *home);
/* The least loaded of the CPUs where it may run. */
struct run_queue *sched_least_loaded(const struct vcpu *vcpu);
/*
 * `from` is locked and guards the vCPU, which is in no queue: unlock, and insert it in `to`. No
 * lock is held afterwards.
 */
void sched_send(struct run_queue *from, struct run_queue *to, struct vcpu *vcpu, uint64_t now_ns);

/* An idle CPU looks for work at others. True when it got some. Own CPU, no lock. */
bool sched_steal(struct run_queue *queue);
/* Once in a while: one that waits here may fare better elsewhere. Own CPU, no lock. */
void sched_balance(struct run_queue *queue, uint64_t now_ns);

#endif
