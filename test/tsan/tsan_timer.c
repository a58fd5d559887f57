/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks and timers. Every CPU arms, moves, cancels and frees timers at random, also those of other
 * CPUs; some callbacks arm their timer again. Checked: who holds a lock is alone; a callback runs on
 * the CPU where its timer was armed, not early, not on two CPUs at once, never once cancelling has
 * returned; no timer that was armed and left alone is forgotten.
 */
#include <stdio.h>
#include <stdlib.h>

#include "host/lock.h"
#include "test/tsan/machine.h"

#define CPUS 5
#define SLOTS 40
#define REARMS 3

struct slot {
	struct spinlock lock;  /* who arms and cancels: one at a time, as clock.h asks; not the callback */
	struct test_timer *timer; /* [lock] */
};

struct test_timer {
	struct timer timer;
	uint64_t deadline_tsc; /* [a] the last that was asked for */
	uint32_t running;      /* [a] callbacks of it */
	uint32_t armed;        /* [a] times */
	uint32_t fired;        /* [a] times */
	uint32_t off;          /* [a] cancelled: no callback may run */
	uint32_t rearms;       /* [a] so often its callback will arm it */
};

static struct slot slots[SLOTS];
static uint64_t totals[CPUS][5]; /* own CPU: set, moved, cancelled, fired, rearmed */
enum { SET, MOVED, CANCELLED, FIRED, REARMED };

static struct spinlock shared_lock;
static uint64_t shared_counter; /* [shared_lock] */
static uint64_t shared_rounds;  /* [a] */
static uint32_t stopped;        /* [a] CPUs that begin nothing new */

static uint32_t load(const uint32_t *from)
{
	return __atomic_load_n(from, __ATOMIC_SEQ_CST);
}

static void count(unsigned int what)
{
	totals[this_cpu()->id][what]++;
}

static uint64_t random_deadline(void)
{
	uint64_t now = clock_tsc();

	switch (machine_random_below(4)) {
	case 0:
		return now - machine_random_below(1000000);
	case 1:
		return now + machine_random_below(20 * NS_PER_MS);
	default:
		return now + machine_random_below(500000);
	}
}

static void arm(struct test_timer *timer)
{
	uint64_t deadline = random_deadline();

	__atomic_store_n(&timer->deadline_tsc, deadline, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&timer->armed, 1, __ATOMIC_SEQ_CST);
	timer_set(&timer->timer, deadline);
}

static void expired(struct timer *host_timer)
{
	struct test_timer *timer = container_of(host_timer, struct test_timer, timer);

	machine_check(__atomic_fetch_add(&timer->running, 1, __ATOMIC_SEQ_CST) == 0);
	machine_check(!load(&timer->off));
	machine_check(__atomic_load_n(&host_timer->home, __ATOMIC_SEQ_CST) == this_cpu());
	__atomic_fetch_add(&timer->fired, 1, __ATOMIC_SEQ_CST);
	count(FIRED);
	if (load(&timer->rearms)) {
		__atomic_fetch_sub(&timer->rearms, 1, __ATOMIC_SEQ_CST);
		count(REARMED);
		timer_set(host_timer, clock_tsc() + machine_random_below(100000));
	}
	machine_check(__atomic_fetch_sub(&timer->running, 1, __ATOMIC_SEQ_CST) == 1);
}

static struct test_timer *timer_new(void)
{
	struct test_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		machine_fail("no memory");
	timer_init(&timer->timer, expired);
	return timer;
}

/* When it returns the timer is silent; then it may be freed, or armed again. */
static void cancel(struct slot *slot)
{
	struct test_timer *timer = slot->timer;

	__atomic_store_n(&timer->rearms, 0, __ATOMIC_SEQ_CST);
	timer_cancel(&timer->timer);
	machine_check(!timer_armed(&timer->timer));
	machine_check(!load(&timer->running));
	__atomic_store_n(&timer->off, 1, __ATOMIC_SEQ_CST);
	count(CANCELLED);
	if (machine_random_below(2)) {
		free(timer);
		slot->timer = timer_new();
		return;
	}
	for (uint32_t i = machine_random_below(50); i; i--)
		machine_check(!load(&timer->running));
	__atomic_store_n(&timer->off, 0, __ATOMIC_SEQ_CST);
}

static void disturb(struct slot *slot)
{
	spin_lock(&slot->lock);
	switch (machine_random_below(4)) {
	case 0:
		cancel(slot);
		break;
	case 1:
		__atomic_store_n(&slot->timer->rearms, machine_random_below(REARMS), __ATOMIC_SEQ_CST);
		/* fall through */
	default:
		count(timer_armed(&slot->timer->timer) ? MOVED : SET);
		arm(slot->timer);
	}
	spin_unlock(&slot->lock);
}

/* Plain accesses: ThreadSanitizer sees it if the lock does not order them. */
static void use_lock(void)
{
	if (machine_random_below(2))
		spin_lock(&shared_lock);
	else if (!spin_trylock(&shared_lock))
		return;
	shared_counter++;
	spin_unlock(&shared_lock);
	__atomic_fetch_add(&shared_rounds, 1, __ATOMIC_RELAXED);
}

static bool any_armed(void)
{
	bool armed = false;

	for (unsigned int i = 0; i < SLOTS; i++) {
		spin_lock(&slots[i].lock);
		armed |= timer_armed(&slots[i].timer->timer);
		spin_unlock(&slots[i].lock);
	}
	return armed;
}

static void kick_all(void)
{
	for (unsigned int id = 0; id < CPUS; id++)
		cpu_kick(cpu_by_id(id));
}

static void run(struct cpu *cpu)
{
	(void)cpu;
	while (!machine_time_is_up()) {
		switch (machine_random_below(8)) {
		case 0:
			irq_window();
			break;
		case 1:
			use_lock();
			break;
		case 2:
			cpu_kick(cpu_by_id(machine_random_below(cpu_count())));
			break;
		case 3:
			if (any_armed() && machine_random_below(4) == 0)
				cpu_idle();
			break;
		default:
			disturb(&slots[machine_random_below(SLOTS)]);
		}
	}
	/* Whatever is still armed is due in a moment: a CPU that forgets it halts for ever. */
	__atomic_fetch_add(&stopped, 1, __ATOMIC_SEQ_CST);
	/* One may halt for a timer that was gone before it halted: nobody kicks it from now on. */
	kick_all();
	while (load(&stopped) < CPUS || any_armed())
		cpu_idle();
	kick_all();
}

/* One that was armed last at any time fires after that, unless it was cancelled. */
static void check_end(void)
{
	static const char *const names[] = {"set", "moved", "cancelled", "fired", "armed by callbacks"};

	for (unsigned int i = 0; i < SLOTS; i++) {
		machine_check(!timer_armed(&slots[i].timer->timer));
		machine_check(!slots[i].timer->running);
	}
	machine_check(shared_counter == shared_rounds);
	printf("lock taken %llu times; timers", (unsigned long long)shared_rounds);
	for (unsigned int what = 0; what < ARRAY_SIZE(names); what++) {
		uint64_t sum = 0;

		for (unsigned int id = 0; id < CPUS; id++)
			sum += totals[id][what];
		printf(" %s %llu,", names[what], (unsigned long long)sum);
		machine_check(sum > 100);
	}
	printf(" on %u CPUs\n", CPUS);
}

int main(int argc, char **argv)
{
	machine_arguments(argc, argv);
	machine_init(CPUS);
	for (unsigned int i = 0; i < SLOTS; i++)
		slots[i].timer = timer_new();
	machine_run(run);
	check_end();
	for (unsigned int i = 0; i < SLOTS; i++)
		free(slots[i].timer);
	return 0;
}
