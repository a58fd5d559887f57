/* SPDX-License-Identifier: BSD-2-Clause */
/* Each CPU says which grace period is the newest that it has seen begin; see host/grace.h. */
#include "host/grace.h"

#include "host/apic.h"
#include "host/cpu.h"
#include "host/irq.h"

static uint64_t newest; /* [a] */

uint64_t grace_begin(void)
{
	/* Locked, so that it is seen before the interrupts: a write to an x2APIC waits for none. */
	uint64_t ticket = __atomic_add_fetch(&newest, 1, __ATOMIC_SEQ_CST);

	for (unsigned int i = 0; i < cpu_count(); i++) {
		struct cpu *cpu = cpu_by_id(i);

		/* This one too: its caller may hold what the others gave up. */
		if (__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
			apic_send(cpu->apic_id, IRQ_VECTOR_KICK);
	}
	return ticket;
}

void grace_pass(void)
{
	__atomic_store_n(&this_cpu()->grace, __atomic_load_n(&newest, __ATOMIC_ACQUIRE),
		__ATOMIC_RELEASE);
}

bool grace_is_over(uint64_t ticket)
{
	for (unsigned int i = 0; i < cpu_count(); i++) {
		const struct cpu *cpu = cpu_by_id(i);

		if (__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE) &&
			__atomic_load_n(&cpu->grace, __ATOMIC_ACQUIRE) < ticket)
			return false;
	}
	return true;
}
