/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's segments, task state and interrupt table, one GDT and TSS for each CPU and one IDT for
 * all; and the block of memory that holds a CPU's own things: stacks with guards below, and these
 * tables. The vendor layers restore GDTR, IDTR, TR and the GS base from here after a guest ran.
 */
#ifndef BALLAST_HOST_DESCRIPTOR_H
#define BALLAST_HOST_DESCRIPTOR_H

#include "host/cpu.h"

/* Selectors. SS, DS, ES are HOST_DS; FS and GS are null selectors, GS with a base. */
#define HOST_CS 0x08
#define HOST_DS 0x10
#define HOST_TR 0x18

#define HOST_GDT_LIMIT 0x27
#define HOST_IDT_LIMIT 0xfff
#define HOST_TSS_LIMIT 0x67

/* Interrupt stack table slots. */
#define IST_DOUBLE_FAULT 1
#define IST_NMI 2
#define IST_MACHINE_CHECK 3

/* 64-bit task state (Intel SDM vol. 3, "Task Management in 64-bit Mode"). */
struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* IST 1 to 7 */
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map;
} __packed;
_Static_assert(sizeof(struct tss) == HOST_TSS_LIMIT + 1, "TSS size");
_Static_assert(offsetof(struct tss, ist) == 36, "TSS IST offset");

/* A gate of the IDT in long mode. */
struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type; /* type and P */
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
} __packed;
_Static_assert(sizeof(struct gate) == 16, "gate size");

/*
 * The memory of one CPU, naturally aligned. Each guard page is unmapped, so that a stack that
 * grows too far faults, on the double fault's own stack, instead of overwriting its neighbour.
 */
struct cpu_area {
	uint8_t guard_double_fault[PAGE_SIZE];
	uint8_t stack_double_fault[2 * PAGE_SIZE];
	uint8_t guard_nmi[PAGE_SIZE];
	uint8_t stack_nmi[2 * PAGE_SIZE];
	uint8_t guard_machine_check[PAGE_SIZE];
	uint8_t stack_machine_check[2 * PAGE_SIZE];
	uint8_t guard_main[PAGE_SIZE];
	uint8_t stack_main[5 * PAGE_SIZE];
	union {
		uint8_t page[PAGE_SIZE];
		struct {
			struct cpu cpu;
			uint64_t gdt[(HOST_GDT_LIMIT + 1) / 8] __aligned(16);
			struct tss tss __aligned(16);
		};
	};
};
#define CPU_AREA_ORDER 4
_Static_assert(sizeof(struct cpu_area) == PAGE_SIZE << CPU_AREA_ORDER, "CPU area size");

/* Fill a CPU's area (its last page is zeroed) and its struct cpu's identity. Any CPU. */
void descriptor_prepare(struct cpu_area *area, uint32_t id, uint32_t apic_id);
/* Load GDT, IDT, TR, all segment registers and the GS base of the calling CPU. */
void descriptor_load(struct cpu *cpu);
/* Unmap the guard pages of an area: once the page tables are the host's own. */
void descriptor_unmap_guards(struct cpu_area *area);

/* Linear base addresses for the host state that the vendor layers restore. */
uint64_t descriptor_gdt_base(const struct cpu *cpu);
uint64_t descriptor_tss_base(const struct cpu *cpu);
uint64_t descriptor_idt_base(void);
/*
 * Load TR again after something else was in it: the descriptor's busy bit is cleared first, as LTR
 * demands (Intel SDM vol. 2, "LTR").
 */
void descriptor_reload_tr(struct cpu *cpu);

/* Fill the IDT, once, before the first descriptor_load(). */
void descriptor_init_idt(void);

#endif
