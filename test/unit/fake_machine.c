/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_machine.h. */
#include "test/unit/fake_machine.h"

#include <stdlib.h>
#include <ucontext.h>

#include "host/apic.h"
#include "host/init.h"
#include "host/log.h"
#include "host/memory.h"
#include "host/timer.h"
#include "host/watchdog.h"

#define STACK_BYTES (256 * 1024)
#define START_NS (7 * NS_PER_SEC)
#define NEVER (~0ULL)
#define STANDSTILL 1000000 /* so many turns at one moment: something goes round in circles */

struct fake_cpu {
	struct cpu cpu;
	ucontext_t context;
	void *stack;
	uint64_t programmed_ns, until_ns;
	bool interrupt;
};

static struct fake_cpu cpus[FAKE_MACHINE_CPUS];
static struct fake_cpu *own;
static unsigned int count, last;
static uint64_t now_ns, sent;
static ucontext_t outside;
static void (*cpu_main)(struct cpu *cpu);

uint64_t clock_tsc(void)
{
	return now_ns;
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

void cpu_poke(struct cpu *cpu)
{
	container_of(cpu, struct fake_cpu, cpu)->interrupt = true;
	sent++;
}

void cpu_kick(struct cpu *cpu)
{
	if (__atomic_exchange_n(&cpu->kick, 1, __ATOMIC_SEQ_CST) == 0 && cpu != this_cpu())
		cpu_poke(cpu);
}

void cpu_notify(struct cpu *cpu)
{
	cpu->work = 1;
	cpu_kick(cpu);
}

bool fake_machine_interrupted(void)
{
	return own->interrupt || own->programmed_ns <= now_ns;
}

void fake_machine_pass(uint64_t until_ns)
{
	own->until_ns = until_ns;
	swapcontext(&own->context, &outside);
}

void irq_window(void)
{
	own->interrupt = false;
	if (own->programmed_ns > now_ns)
		return;
	own->programmed_ns = NEVER;
	timer_interrupt();
}

bool cpu_idle(void)
{
	if (!own->cpu.kick) {
		if (!fake_machine_interrupted())
			fake_machine_pass(NEVER);
	}
	irq_window();
	return __atomic_exchange_n(&own->cpu.kick, 0, __ATOMIC_SEQ_CST);
}

uint64_t apic_timer_program(uint64_t deadline_tsc)
{
	own->programmed_ns = deadline_tsc;
	return deadline_tsc;
}

static void enter_cpu(void)
{
	for (;;)
		cpu_main(&own->cpu);
}

void fake_machine_nudge(void)
{
	cpus[0].cpu.kick = 1;
	cpus[0].interrupt = true;
}

static void begin_cpu(struct fake_cpu *cpu, unsigned int id)
{
	*cpu = (struct fake_cpu){ .cpu = { .self = &cpu->cpu, .id = id, .online = true },
		.programmed_ns = NEVER, .stack = malloc(STACK_BYTES) };
	own = cpu;
	timer_init_cpu(&cpu->cpu);
	getcontext(&cpu->context);
	cpu->context.uc_stack.ss_sp = cpu->stack;
	cpu->context.uc_stack.ss_size = STACK_BYTES;
	makecontext(&cpu->context, enter_cpu, 0);
}

void fake_machine_begin(unsigned int cpu_total, void (*main)(struct cpu *cpu))
{
	count = cpu_total;
	cpu_main = main;
	now_ns = START_NS;
	sent = 0;
	for (unsigned int id = 0; id < count; id++)
		begin_cpu(&cpus[id], id);
	own = &cpus[0];
}

void fake_machine_end(void)
{
	for (unsigned int id = 0; id < count; id++) {
		free(cpus[id].stack);
		free(cpus[id].cpu.timers);
	}
}

static uint64_t due_ns(const struct fake_cpu *cpu)
{
	return cpu->interrupt ? now_ns : MIN(cpu->programmed_ns, cpu->until_ns);
}

/* Who comes first; of equals they take turns. */
static struct fake_cpu *next_cpu(void)
{
	struct fake_cpu *first = NULL;

	for (unsigned int i = 1; i <= count; i++) {
		struct fake_cpu *cpu = &cpus[(last + i) % count];

		if (!first || due_ns(cpu) < due_ns(first))
			first = cpu;
	}
	last = first->cpu.id;
	return first;
}

void fake_machine_run(uint64_t ns)
{
	uint64_t end = now_ns + ns;
	unsigned int turns = 0;

	for (;;) {
		struct fake_cpu *cpu = next_cpu();
		uint64_t due = due_ns(cpu);

		if (due > end)
			break;
		turns = due > now_ns ? 0 : turns + 1;
		if (turns > STANDSTILL)
			panic("the CPUs go round in circles");
		now_ns = MAX(now_ns, due);
		own = cpu;
		swapcontext(&outside, &cpu->context);
	}
	now_ns = end;
	own = &cpus[0];
}

uint64_t fake_machine_interrupts(void)
{
	return sent;
}
