/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One queue of timers for each CPU: a pairing heap by deadline. The hardware is programmed only
 * when an earlier deadline than the programmed one appears; an interrupt that finds nothing due,
 * because its timer was cancelled or moved, just programs the next one.
 *
 * Locks: a queue's lock is a leaf, and not held while a callback runs.
 */
#include "host/timer.h"

#include "host/apic.h"
#include "host/cpu.h"
#include "host/init.h"
#include "host/lock.h"
#include "host/log.h"
#include "host/memory.h"
#include "host/watchdog.h"

/* No deadline is later, as lib/pairing_heap.h compares them. */
#define LAST_TSC ((uint64_t)INT64_MAX)
#define NOT_PROGRAMMED LAST_TSC
#define CALLBACKS_PER_INTERRUPT 32
#define SHORTEST_GAP_NS 5000

static uint64_t shortest_gap_tsc; /* [I] */

struct timer_queue {
	struct spinlock lock;
	struct heap_node *first; /* [lock] the timers, by deadline */
	struct timer *expiring;  /* [a] written under the lock: whose callback is running */
	uint64_t programmed_tsc; /* [lock] what the hardware waits for */
	uint64_t asked_tsc;      /* [lock] when it was told: a deadline may have passed by then */
};

static struct timer *timer_at(struct heap_node *node)
{
	return container_of(node, struct timer, node);
}

static void queue_remove(struct timer_queue *queue, struct timer *timer)
{
	heap_remove(&queue->first, &timer->node);
	__atomic_store_n(&timer->cpu, NULL, __ATOMIC_RELEASE);
}

static void queue_program(struct timer_queue *queue, uint64_t deadline_tsc)
{
	if (deadline_tsc >= queue->programmed_tsc)
		return;
	queue->asked_tsc = clock_tsc();
	queue->programmed_tsc = apic_timer_program(deadline_tsc);
}

/* How long the interrupt for `programmed_tsc` had to wait until this CPU let it in. */
static void note_lateness(struct cpu *cpu, const struct timer_queue *queue, uint64_t now)
{
	uint64_t due = MAX(queue->programmed_tsc, queue->asked_tsc);

	if (now <= due || now - due <= cpu->timer_late_tsc)
		return;
	__atomic_store_n(&cpu->timer_late_at_tsc, now, __ATOMIC_RELAXED);
	__atomic_store_n(&cpu->timer_late_tsc, now - due, __ATOMIC_RELAXED);
}

void timer_init(struct timer *timer, void (*expired)(struct timer *))
{
	*timer = (struct timer){ .expired = expired };
}

/*
 * Take the timer out of the queue where it was armed last, the only one that it can be in. False
 * when that queue runs its callback just now, which may arm it again.
 */
static bool disarm(struct timer *timer, struct cpu *home)
{
	struct timer_queue *queue = home->timers;
	bool running;

	spin_lock(&queue->lock);
	/* Not when it has just been armed elsewhere: then that came after this. */
	if (__atomic_load_n(&timer->cpu, __ATOMIC_RELAXED) == home)
		queue_remove(queue, timer);
	running = queue->expiring == timer && home != this_cpu();
	spin_unlock(&queue->lock);
	return !running;
}

void timer_set(struct timer *timer, uint64_t deadline_tsc)
{
	struct cpu *cpu = this_cpu();
	struct timer_queue *queue = cpu->timers;

	/*
	 * Where it was armed last its callback may run, and arm it again there. If that was here,
	 * it does not run, or is what calls.
	 */
	if (__atomic_load_n(&timer->home, __ATOMIC_RELAXED) != cpu)
		timer_cancel(timer);
	spin_lock(&queue->lock);
	if (timer_armed(timer))
		queue_remove(queue, timer);
	deadline_tsc = MIN(deadline_tsc, LAST_TSC);
	timer->node.key = deadline_tsc;
	heap_insert(&queue->first, &timer->node);
	__atomic_store_n(&timer->home, cpu, __ATOMIC_RELEASE);
	__atomic_store_n(&timer->cpu, cpu, __ATOMIC_RELEASE);
	/* While callbacks run, timer_interrupt() programs the hardware once, at its end. */
	if (!queue->expiring)
		queue_program(queue, deadline_tsc);
	spin_unlock(&queue->lock);
}

void timer_cancel(struct timer *timer)
{
	struct cpu *home = __atomic_load_n(&timer->home, __ATOMIC_ACQUIRE);

	/* On its own CPU no callback runs meanwhile, but the one that may call this. */
	if (!home || (home == this_cpu() && !timer_armed(timer)))
		return;
	while (!disarm(timer, home)) {
		while (__atomic_load_n(&home->timers->expiring, __ATOMIC_ACQUIRE) == timer)
			__builtin_ia32_pause();
	}
}

void timer_interrupt(void)
{
	struct cpu *cpu = this_cpu();
	struct timer_queue *queue = cpu->timers;
	uint64_t now = clock_tsc();
	struct timer *timer;

	spin_lock(&queue->lock);
	if (queue->programmed_tsc != NOT_PROGRAMMED) {
		note_lateness(cpu, queue, now);
		now = MAX(now, queue->programmed_tsc);
	}
	queue->programmed_tsc = NOT_PROGRAMMED;
	for (unsigned int i = 0; i < CALLBACKS_PER_INTERRUPT; i++) {
		if (!queue->first || queue->first->key > now)
			break;
		timer = timer_at(queue->first);
		__atomic_store_n(&queue->expiring, timer, __ATOMIC_RELAXED);
		queue_remove(queue, timer);
		spin_unlock(&queue->lock);
		if (!timer->watches)
			watchdog_need(cpu);
		timer->expired(timer);
		spin_lock(&queue->lock);
		__atomic_store_n(&queue->expiring, NULL, __ATOMIC_RELEASE);
	}
	/*
	 * Callbacks may arm timers for the past, as often as a guest likes. The next interrupt
	 * leaves the CPU room to get out of its window.
	 */
	if (queue->first)
		queue_program(queue, MAX(queue->first->key, now + shortest_gap_tsc));
	spin_unlock(&queue->lock);
}

void timer_init_cpu(struct cpu *cpu)
{
	struct timer_queue *queue = heap_alloc(sizeof(*queue), FRAME_HOST);

	if (!queue)
		panic("no memory for a timer queue");
	queue->programmed_tsc = NOT_PROGRAMMED;
	shortest_gap_tsc = clock_tsc_from_ns(SHORTEST_GAP_NS);
	cpu->timers = queue;
}
