/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/descriptor.h"

#include "host/memory.h"
#include "host/x86.h"

#define GDT_CODE64 0x00af9b000000ffffULL
#define GDT_DATA 0x00cf93000000ffffULL
#define GDT_TSS_AVAILABLE (0x89ULL << 40)
#define GDT_TSS_BUSY_BIT BIT(41)

#define GATE_INTERRUPT 0x8e
#define STUB_BYTES 16

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __packed;

/* host/trap_entry.asm: one for each vector. */
extern const uint8_t trap_stubs[];

static struct gate idt[256] __aligned(PAGE_SIZE);

static struct cpu_area *area_of(const struct cpu *cpu)
{
	return container_of(cpu, struct cpu_area, cpu);
}

void descriptor_prepare(struct cpu_area *area, uint32_t id, uint32_t apic_id)
{
	uint64_t tss = (uint64_t)(uintptr_t)&area->tss;
	struct cpu *cpu = &area->cpu;

	cpu->self = cpu;
	cpu->id = id;
	cpu->apic_id = apic_id;
	cpu->stack_top = host_phys(area->stack_main + sizeof(area->stack_main));

	area->gdt[0] = 0;
	area->gdt[HOST_CS / 8] = GDT_CODE64;
	area->gdt[HOST_DS / 8] = GDT_DATA;
	area->gdt[HOST_TR / 8] = GDT_TSS_AVAILABLE | HOST_TSS_LIMIT | (tss & 0xffffff) << 16 |
				 (tss >> 24 & 0xff) << 56;
	area->gdt[HOST_TR / 8 + 1] = tss >> 32;
	area->tss.ist[IST_DOUBLE_FAULT - 1] =
		host_phys(area->stack_double_fault + sizeof(area->stack_double_fault));
	area->tss.ist[IST_NMI - 1] = host_phys(area->stack_nmi + sizeof(area->stack_nmi));
	area->tss.ist[IST_MACHINE_CHECK - 1] =
		host_phys(area->stack_machine_check + sizeof(area->stack_machine_check));
	area->tss.rsp[0] = cpu->stack_top;
	area->tss.io_map = HOST_TSS_LIMIT + 1;
}

void descriptor_unmap_guards(struct cpu_area *area)
{
	mmu_unmap_guard(area->guard_double_fault);
	mmu_unmap_guard(area->guard_nmi);
	mmu_unmap_guard(area->guard_machine_check);
	mmu_unmap_guard(area->guard_main);
}

static void set_gate(unsigned int vector, const uint8_t *stub, uint8_t ist)
{
	uint64_t offset = (uint64_t)(uintptr_t)stub;

	idt[vector] = (struct gate){
		.offset_low = (uint16_t)offset,
		.selector = HOST_CS,
		.ist = ist,
		.type = GATE_INTERRUPT,
		.offset_middle = (uint16_t)(offset >> 16),
		.offset_high = (uint32_t)(offset >> 32),
	};
}

void descriptor_init_idt(void)
{
	for (unsigned int v = 0; v < ARRAY_SIZE(idt); v++)
		set_gate(v, trap_stubs + v * STUB_BYTES, 0);
	idt[VECTOR_DF].ist = IST_DOUBLE_FAULT;
	idt[VECTOR_NMI].ist = IST_NMI;
	idt[VECTOR_MC].ist = IST_MACHINE_CHECK;
}

void descriptor_reload_tr(struct cpu *cpu)
{
	area_of(cpu)->gdt[HOST_TR / 8] &= ~GDT_TSS_BUSY_BIT;
	__asm__ volatile("ltr %w0" : : "r"(HOST_TR) : "memory");
}

void descriptor_load(struct cpu *cpu)
{
	struct table_pointer gdtr = {HOST_GDT_LIMIT, descriptor_gdt_base(cpu)};
	struct table_pointer idtr = {HOST_IDT_LIMIT, descriptor_idt_base()};

	__asm__ volatile("lgdt %0\n\t"
			 "lidt %1\n\t"
			 "pushq %q2\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n\t"
			 "1: movl %3, %%eax\n\t"
			 "movl %%eax, %%ss\n\t"
			 "movl %%eax, %%ds\n\t"
			 "movl %%eax, %%es\n\t"
			 "xorl %%eax, %%eax\n\t"
			 "movl %%eax, %%fs\n\t"
			 "movl %%eax, %%gs\n\t"
			 "lldt %%ax\n\t"
			 :
			 : "m"(gdtr), "m"(idtr), "i"(HOST_CS), "i"(HOST_DS)
			 : "rax", "memory");
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, (uint64_t)(uintptr_t)cpu);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	descriptor_reload_tr(cpu);
}

uint64_t descriptor_gdt_base(const struct cpu *cpu)
{
	return (uint64_t)(uintptr_t)area_of(cpu)->gdt;
}

uint64_t descriptor_tss_base(const struct cpu *cpu)
{
	return (uint64_t)(uintptr_t)&area_of(cpu)->tss;
}

uint64_t descriptor_idt_base(void)
{
	return (uint64_t)(uintptr_t)idt;
}
