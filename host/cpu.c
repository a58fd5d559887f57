/* SPDX-License-Identifier: BSD-2-Clause */
/* Bringing one CPU's registers into the state in which the host runs; idling and kicking. */
#include "host/cpu.h"

#include "host/apic.h"
#include "host/clock.h"
#include "host/descriptor.h"
#include "host/init.h"
#include "host/irq.h"
#include "host/x86.h"

#define MISC_ENABLE_XD_DISABLE BIT(34)
/* The power-on value: write-back, write-through, UC-, UC, twice. */
#define PAT_POWER_ON 0x0007040600070406ULL

/* Execute-disable can be hidden by a firmware setting on Intel CPUs; W^X wants it back. */
static void enable_nx(void)
{
	uint64_t misc;

	if (!(cpuid(0x80000001, 0).edx & BIT(20)) && rdmsr_safe(MSR_MISC_ENABLE, &misc) == 0 &&
		(misc & MISC_ENABLE_XD_DISABLE))
		wrmsr(MSR_MISC_ENABLE, misc & ~MISC_ENABLE_XD_DISABLE);
	if (cpuid(0x80000001, 0).edx & BIT(20))
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
}

void cpu_init_registers(void)
{
	uint32_t leaf1_ecx = cpuid(1, 0).ecx;
	uint32_t leaf7_ebx = cpuid(0, 0).eax >= 7 ? cpuid(7, 0).ebx : 0;
	uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_DE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	if (leaf1_ecx & BIT(26))
		cr4 |= CR4_OSXSAVE;
	if (leaf7_ebx & BIT(0))
		cr4 |= CR4_FSGSBASE;
	if (leaf7_ebx & BIT(7))
		cr4 |= CR4_SMEP;
	if (leaf7_ebx & BIT(20))
		cr4 |= CR4_SMAP;
	/* Five-level paging cannot be left in long mode: mmu.c serves both. */
	write_cr4(cr4 | (read_cr4() & CR4_LA57));
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	enable_nx();
	wrmsr(MSR_PAT, PAT_POWER_ON);
	if (cr4 & CR4_OSXSAVE)
		xsetbv(0, XCR0_X87 | XCR0_SSE);
	write_dr7(0x400);
}

void cpu_init_boot(struct cpu_area *area, uint32_t apic_id)
{
	descriptor_init_idt();
	descriptor_prepare(area, 0, apic_id);
	descriptor_load(&area->cpu);
	cpu_init_registers();
	area->cpu.online = true;
}

void cpu_kick(struct cpu *cpu)
{
	if (__atomic_exchange_n(&cpu->kick, 1, __ATOMIC_SEQ_CST) == 0 && cpu != this_cpu())
		apic_send(cpu->apic_id, IRQ_VECTOR_KICK);
}

void cpu_notify(struct cpu *cpu)
{
	__atomic_store_n(&cpu->work, 1, __ATOMIC_RELEASE);
	cpu_kick(cpu);
}

bool cpu_take_work(void)
{
	struct cpu *cpu = this_cpu();

	return __atomic_load_n(&cpu->work, __ATOMIC_RELAXED) &&
		__atomic_exchange_n(&cpu->work, 0, __ATOMIC_ACQUIRE);
}

void cpu_poke(struct cpu *cpu)
{
	apic_send(cpu->apic_id, IRQ_VECTOR_KICK);
}

/* Halt with interrupts on, and count the time. */
static void halt(struct cpu *cpu)
{
	uint64_t since = clock_tsc();

	__atomic_store_n(&cpu->idle_since_tsc, since, __ATOMIC_RELEASE);
	if (unlikely(apic_forgetful))
		apic_offer_again();
	__asm__ volatile("sti; hlt; cli" : : : "memory");
	__atomic_store_n(&cpu->idle_since_tsc, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&cpu->idle_tsc, cpu->idle_tsc + (clock_tsc() - since), __ATOMIC_RELEASE);
}

uint64_t cpu_idle_tsc(const struct cpu *cpu)
{
	uint64_t total = __atomic_load_n(&cpu->idle_tsc, __ATOMIC_ACQUIRE);
	uint64_t since = __atomic_load_n(&cpu->idle_since_tsc, __ATOMIC_ACQUIRE);
	uint64_t now = clock_tsc();

	/* A halt that ends just now may be missed until the next look. */
	return total + (since && now > since ? now - since : 0);
}

bool cpu_idle(void)
{
	/*
	 * A kick whose interrupt was already served, in a window, must not be slept over. STI lets
	 * nothing in before HLT has begun, so one that comes after this look ends the halt.
	 */
	if (!__atomic_load_n(&this_cpu()->kick, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&this_cpu()->idle, true, __ATOMIC_RELAXED);
		halt(this_cpu());
		__atomic_store_n(&this_cpu()->idle, false, __ATOMIC_RELAXED);
	} else {
		irq_window();
	}
	return __atomic_exchange_n(&this_cpu()->kick, 0, __ATOMIC_SEQ_CST);
}

void irq_window(void)
{
	__asm__ volatile("sti; nop; cli" : : : "memory");
}
