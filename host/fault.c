/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/fault.h"

#include "host/apic.h"
#include "host/clock.h"
#include "host/irq.h"

static struct cpu *victim; /* [a] */
static uint64_t duration_ns;

void fault_spin(struct cpu *cpu, uint64_t ns)
{
	duration_ns = ns;
	__atomic_store_n(&victim, cpu, __ATOMIC_RELEASE);
	apic_send(cpu->apic_id, IRQ_VECTOR_KICK);
}

/* By itself, so that a backtrace can name it. */
static __attribute__((noinline)) void fault_spin_here(uint64_t ns)
{
	uint64_t end = clock_tsc() + clock_tsc_from_ns(ns);

	while (clock_tsc() < end)
		__builtin_ia32_pause();
}

void fault_serve(void)
{
	struct cpu *cpu = this_cpu();

	if (__atomic_compare_exchange_n(&victim, &cpu, NULL, false, __ATOMIC_ACQ_REL,
		    __ATOMIC_RELAXED))
		fault_spin_here(duration_ns);
}
