/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boot vCPU at the kernel's first instruction. Selectors are those of the Linux boot protocol;
 * the GDT behind them lies in guest memory.
 */
#include "host/x86.h"
#include "lib/string.h"
#include "mgmt/loader_common.h"

#define BOOT_CS 0x10
#define BOOT_DS 0x18

#define DESCRIPTOR_CODE32 0x00cf9b000000ffffULL
#define DESCRIPTOR_CODE64 0x00af9b000000ffffULL
#define DESCRIPTOR_DATA 0x00cf93000000ffffULL

#define TYPE_CODE 0xb     /* execute, read, accessed */
#define TYPE_DATA 0x3     /* read, write, accessed */
#define TYPE_BUSY_TSS 0xb /* 32-bit, and 64-bit in long mode */
#define TSS_LIMIT 0x67

#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_LARGE BIT(7)
#define TABLE_ENTRIES 512
#define IDENTITY_DIRECTORIES 4 /* of 1 GiB each */

static const struct segment flat_data = {
	.selector = BOOT_DS,
	.attributes = TYPE_DATA | SEGMENT_S | SEGMENT_P | SEGMENT_DB | SEGMENT_G,
	.limit = 0xffffffff,
};

static int place_gdt(struct loader *loader, uint64_t code, struct descriptor_table *gdtr)
{
	const uint64_t gdt[] = { 0, 0, code, DESCRIPTOR_DATA };
	gpa_t at;
	int error = loader_place(loader, gdt, sizeof(gdt), 16, &at);

	*gdtr = (struct descriptor_table){ at, sizeof(gdt) - 1 };
	return error;
}

static void set_segments(struct special_regs *special, uint64_t code_size)
{
	const uint64_t code = TYPE_CODE | SEGMENT_S | SEGMENT_P | SEGMENT_G | code_size;

	special->segments[SEG_CS] = (struct segment){ BOOT_CS, (uint16_t)code, 0xffffffff, 0 };
	special->segments[SEG_SS] = flat_data;
	special->segments[SEG_DS] = flat_data;
	special->segments[SEG_ES] = flat_data;
	special->segments[SEG_FS] = flat_data;
	special->segments[SEG_GS] = flat_data;
	special->segments[SEG_LDTR] = (struct segment){ 0 };
	special->segments[SEG_TR] =
		(struct segment){ 0, TYPE_BUSY_TSS | SEGMENT_P, TSS_LIMIT, 0 };
	special->cpl = 0;
}

/* What both modes share; general registers are the kernel kind's own business, from zero. */
static void enter(struct loader *loader, uint64_t entry, uint64_t code_size,
	const struct descriptor_table *gdtr)
{
	struct vcpu *vcpu = loader->vm->vcpus[0];
	struct special_regs *special = &vcpu->special;

	memset(&vcpu->regs, 0, sizeof(vcpu->regs));
	special->rip = entry;
	special->rflags = BIT(1);
	special->gdtr = *gdtr;
	special->idtr = (struct descriptor_table){ 0, 0 };
	special->interrupt_shadow = false;
	set_segments(special, code_size);
	vcpu_set_dirty(vcpu, REG_ALL);
}

int loader_enter_protected(struct loader *loader, uint32_t entry)
{
	struct special_regs *special = &loader->vm->vcpus[0]->special;
	struct descriptor_table gdtr;
	int error = place_gdt(loader, DESCRIPTOR_CODE32, &gdtr);

	if (error)
		return error;
	special->cr0 = CR0_PE | CR0_ET;
	special->cr3 = 0;
	special->cr4 = 0;
	special->efer = 0;
	enter(loader, entry, SEGMENT_DB, &gdtr);
	return 0;
}

/* `count` entries that step by `step` from `first`, as the next page table. */
static int place_table(struct loader *loader, uint64_t first, uint64_t step, unsigned int count,
	gpa_t *at)
{
	uint64_t *table = loader_place_page(loader, at);

	if (!table)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++)
		table[i] = first + i * step;
	return 0;
}

/* 2 MiB pages: those of 1 GiB are not on every CPU. */
static int place_identity_map(struct loader *loader, gpa_t *root)
{
	const uint64_t flags = PTE_PRESENT | PTE_WRITE;
	gpa_t directories[IDENTITY_DIRECTORIES], pointers;
	int error = 0;

	for (unsigned int i = 0; i < IDENTITY_DIRECTORIES && !error; i++)
		error = place_table(loader, (GIB(1) * i) | flags | PTE_LARGE, LARGE_PAGE_SIZE,
			TABLE_ENTRIES, &directories[i]);
	/* They are placed one after the other. */
	if (!error)
		error = place_table(loader, directories[0] | flags, PAGE_SIZE, IDENTITY_DIRECTORIES,
			&pointers);
	if (!error)
		error = place_table(loader, pointers | flags, 0, 1, root);
	return error;
}

int loader_enter_long(struct loader *loader, uint64_t entry)
{
	struct special_regs *special = &loader->vm->vcpus[0]->special;
	struct descriptor_table gdtr;
	gpa_t root;
	int error = place_gdt(loader, DESCRIPTOR_CODE64, &gdtr);

	if (!error)
		error = place_identity_map(loader, &root);
	if (error)
		return error;
	special->cr0 = CR0_PE | CR0_ET | CR0_PG;
	special->cr3 = root;
	special->cr4 = CR4_PAE;
	special->efer = EFER_LME | EFER_LMA;
	enter(loader, entry, SEGMENT_L, &gdtr);
	return 0;
}
