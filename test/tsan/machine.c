/* SPDX-License-Identifier: BSD-2-Clause */
/* See machine.h. */
#define _GNU_SOURCE
#include "test/tsan/machine.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host/apic.h"
#include "host/init.h"
#include "host/log.h"
#include "host/memory.h"
#include "host/timer.h"
#include "host/watchdog.h"
#include "test/tsan/relax.h"
#include "test/tsan/yield_points.h"

#define GRACE_S 60 /* for what was begun to end, on a busy build machine */
#define NOT_PROGRAMMED (~0ULL)

struct machine_cpu {
	struct cpu cpu;
	uint64_t programmed_tsc; /* own thread */
	uint32_t interrupt;      /* [a] a kick's; a futex */
	uint64_t random;         /* own thread */
	pthread_t thread;
	void (*run)(struct cpu *cpu);
};

static struct machine_cpu cpus[MACHINE_CPUS_MAX];
static unsigned int count;
static uint64_t start_ns, seconds = 2, seed = 1;
static uint32_t up; /* [a] */
static __thread struct machine_cpu *own;

static uint64_t real_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

uint64_t clock_tsc(void)
{
	yield_point();
	return NS_PER_SEC + (real_ns() - start_ns) * MACHINE_TIME_LAPSE;
}

uint64_t clock_wall_ns(void)
{
	return clock_tsc();
}

struct cpu *this_cpu(void)
{
	return &own->cpu;
}

unsigned int cpu_count(void)
{
	return count;
}

struct cpu *cpu_by_id(unsigned int id)
{
	return id < count ? &cpus[id].cpu : NULL;
}

static void send_interrupt(struct machine_cpu *to)
{
	__atomic_store_n(&to->interrupt, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &to->interrupt, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* As in host/cpu.c. */
void cpu_kick(struct cpu *cpu)
{
	if (__atomic_exchange_n(&cpu->kick, 1, __ATOMIC_SEQ_CST) == 0 && cpu != this_cpu())
		send_interrupt(container_of(cpu, struct machine_cpu, cpu));
}

void cpu_notify(struct cpu *cpu)
{
	__atomic_store_n(&cpu->work, 1, __ATOMIC_RELEASE);
	cpu_kick(cpu);
}

bool cpu_take_work(void)
{
	return __atomic_load_n(&own->cpu.work, __ATOMIC_RELAXED) &&
		__atomic_exchange_n(&own->cpu.work, 0, __ATOMIC_ACQUIRE);
}

void cpu_poke(struct cpu *cpu)
{
	send_interrupt(container_of(cpu, struct machine_cpu, cpu));
}

static bool timer_due(void)
{
	return own->programmed_tsc != NOT_PROGRAMMED && clock_tsc() >= own->programmed_tsc;
}

bool machine_interrupt_pending(void)
{
	return __atomic_load_n(&own->interrupt, __ATOMIC_ACQUIRE) || timer_due();
}

void irq_window(void)
{
	__atomic_store_n(&own->interrupt, 0, __ATOMIC_SEQ_CST);
	watchdog_served(&own->cpu);
	if (!timer_due())
		return;
	own->programmed_tsc = NOT_PROGRAMMED;
	timer_interrupt();
}

static void halt(void)
{
	while (!machine_interrupt_pending()) {
		/* Without a timer too it wakes now and then, for the watch over the test's end. */
		uint64_t ns = 20 * NS_PER_MS;
		struct timespec wait = {0};

		if (own->programmed_tsc != NOT_PROGRAMMED)
			ns = MIN(ns, (own->programmed_tsc - MIN(clock_tsc(), own->programmed_tsc)) /
				MACHINE_TIME_LAPSE + 1);
		wait.tv_nsec = (long)ns;
		syscall(SYS_futex, &own->interrupt, FUTEX_WAIT_PRIVATE, 0, &wait, NULL, 0);
		if (machine_time_is_up() && real_ns() - start_ns > (seconds + GRACE_S) * NS_PER_SEC)
			machine_fail("cpu %u: the test does not come to its end", own->cpu.id);
	}
	irq_window();
}

/* As in host/cpu.c, which halts after STI. */
bool cpu_idle(void)
{
	if (!__atomic_load_n(&own->cpu.kick, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&own->cpu.idle, true, __ATOMIC_RELAXED);
		halt();
		__atomic_store_n(&own->cpu.idle, false, __ATOMIC_RELAXED);
	} else {
		irq_window();
	}
	return __atomic_exchange_n(&own->cpu.kick, 0, __ATOMIC_SEQ_CST);
}

uint64_t apic_timer_program(uint64_t deadline_tsc)
{
	/* Some hardware cannot wait as long. */
	if (machine_random_below(8) == 0)
		deadline_tsc = MIN(deadline_tsc, clock_tsc() + NS_PER_MS);
	own->programmed_tsc = deadline_tsc;
	return deadline_tsc;
}

void machine_relax(void)
{
	sched_yield();
}

uint32_t machine_random(void)
{
	own->random = own->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(own->random >> 33);
}

uint32_t machine_random_below(uint32_t bound)
{
	return machine_random() % bound;
}

uint64_t machine_real_ns(void)
{
	return real_ns() - start_ns;
}

bool machine_time_is_up(void)
{
	if (__atomic_load_n(&up, __ATOMIC_RELAXED))
		return true;
	if (real_ns() - start_ns < seconds * NS_PER_SEC)
		return false;
	__atomic_store_n(&up, 1, __ATOMIC_RELAXED);
	return true;
}

void machine_arguments(int argc, char **argv)
{
	if (argc > 1)
		seconds = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	alarm((unsigned int)seconds + 2 * GRACE_S);
}

void machine_init(unsigned int cpu_total)
{
	count = cpu_total;
	start_ns = real_ns();
	for (unsigned int id = 0; id < count; id++) {
		struct machine_cpu *cpu = &cpus[id];

		cpu->cpu = (struct cpu){ .self = &cpu->cpu, .id = id, .online = true };
		cpu->programmed_tsc = NOT_PROGRAMMED;
		cpu->random = seed * 1000003 + id;
		own = cpu;
		timer_init_cpu(&cpu->cpu);
	}
	own = &cpus[0];
}

static void *thread_main(void *argument)
{
	own = argument;
	yield_points_seed((uint32_t)own->random);
	own->run(&own->cpu);
	return NULL;
}

void machine_run(void (*run)(struct cpu *cpu))
{
	for (unsigned int id = 0; id < count; id++) {
		cpus[id].run = run;
		if (pthread_create(&cpus[id].thread, NULL, thread_main, &cpus[id]))
			machine_fail("no thread for cpu %u", id);
	}
	for (unsigned int id = 0; id < count; id++)
		pthread_join(cpus[id].thread, NULL);
}

void machine_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "FAILED (seed %llu): ", (unsigned long long)seed);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

void panic(const char *format, ...)
{
	machine_fail("panic: %s", format);
}
