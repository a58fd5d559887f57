/* SPDX-License-Identifier: BSD-2-Clause */
/* Control registers: what they do, what they refuse, XSETBV, and extended state over exits. */
#include "guest.h"

#define UD 6
#define NM 7
#define GP 13
#define PF 14
#define CR0_TS (1UL << 3)
#define CR0_WP (1UL << 16)
#define CR0_NW (1UL << 29)
#define CR0_CD (1UL << 30)
#define CR4_PAE (1UL << 5)
#define CR4_PGE (1UL << 7)
#define CR4_VMXE (1UL << 13)
#define CR4_OSXSAVE (1UL << 18)

extern uint64_t page_directories[];

static int write_cr0_try(uint64_t value)
{
	return GUEST_TRY("mov %0, %%cr0", : : "r"(value) : "memory");
}

static int write_cr4_try(uint64_t value)
{
	return GUEST_TRY("mov %0, %%cr4", : : "r"(value) : "memory");
}

static void check_cr0(void)
{
	uint64_t cr0 = read_cr0();

	if (!guest_cpu_is_lax()) {
		CHECK_EQUAL(write_cr0_try(cr0 | 1UL << 40), GP);
		CHECK_EQUAL(write_cr0_try(cr0 | CR0_NW), GP); /* NW without CD */
		/* PG without PE: Bochs 3.0's SVM ends itself at this. */
		if (!guest_has_word("bochs-svm"))
			CHECK_EQUAL(write_cr0_try(cr0 & ~1UL), GP);
	}
	write_cr0(cr0 | CR0_CD);
	CHECK_EQUAL(read_cr0(), cr0 | CR0_CD);
	write_cr0(cr0);
	CHECK_EQUAL(read_cr0(), cr0);
}

static void check_task_switched(void)
{
	write_cr0(read_cr0() | CR0_TS);
	CHECK_EQUAL(GUEST_TRY("fninit", : : : "memory"), NM);
	__asm__ volatile("clts");
	CHECK(!(read_cr0() & CR0_TS));
	CHECK_EQUAL(GUEST_TRY("fninit", : : : "memory"), GUEST_NO_FAULT);
	__asm__ volatile("lmsw %w0" : : "r"(read_cr0() | CR0_TS));
	CHECK(read_cr0() & CR0_TS);
	__asm__ volatile("clts");
}

/* A read-only page refuses a supervisor's write only while CR0.WP is set. */
static void check_write_protect(void)
{
	volatile uint64_t *page = (volatile uint64_t *)0x600000;

	page_directories[3] &= ~2UL;
	write_cr3(read_cr3());
	for (int i = 0; i < 3; i++) {
		write_cr0(read_cr0() | CR0_WP);
		CHECK_EQUAL(GUEST_TRY("movq $1, (%0)", : : "r"(page) : "memory"), PF);
		CHECK_EQUAL(guest_fault.error, 3);
		CHECK_EQUAL(read_cr2(), (uint64_t)page);
		write_cr0(read_cr0() & ~CR0_WP);
		CHECK_EQUAL(GUEST_TRY("movq $1, (%0)", : : "r"(page) : "memory"), GUEST_NO_FAULT);
	}
	write_cr0(read_cr0() | CR0_WP);
	page_directories[3] |= 2;
	write_cr3(read_cr3());
}

static void check_cr4(void)
{
	uint64_t cr4 = read_cr4();

	if (!guest_cpu_is_lax()) {
		CHECK_EQUAL(write_cr4_try(cr4 & ~CR4_PAE), GP);
		CHECK_EQUAL(write_cr4_try(cr4 | 1UL << 40), GP);
		CHECK_EQUAL(write_cr4_try(cr4 | CR4_VMXE), GP);
	}
	for (int i = 0; i < 4; i++) {
		write_cr4(cr4 | CR4_PGE);
		CHECK_EQUAL(read_cr4(), cr4 | CR4_PGE);
		write_cr4(cr4);
		CHECK_EQUAL(read_cr4(), cr4);
	}
}

static void check_cr8(void)
{
	for (uint64_t priority = 0; priority < 16; priority++) {
		write_cr8(priority);
		CHECK_EQUAL(read_cr8(), priority);
		CHECK_EQUAL(lapic_read(LAPIC_TPR), priority << 4);
	}
	write_cr8(0);
	lapic_write(LAPIC_TPR, 0x57);
	CHECK_EQUAL(read_cr8(), 5);
	lapic_write(LAPIC_TPR, 0);
	if (!guest_cpu_is_lax())
		CHECK_EQUAL(GUEST_TRY("mov %0, %%cr8", : : "r"(16UL) : "memory"), GP);
}

static int xsetbv_try(uint32_t index, uint64_t value)
{
	return GUEST_TRY("xsetbv", : : "c"(index), "a"((uint32_t)value),
		"d"((uint32_t)(value >> 32)) : "memory");
}

/* YMM0 keeps its value over exits. */
static void check_avx(void)
{
	uint8_t pattern[32], back[32];

	for (unsigned int i = 0; i < sizeof(pattern); i++)
		pattern[i] = i * 7 + 1;
	__asm__ volatile("vmovdqu %0, %%ymm0" : : "m"(pattern));
	cpuid(0, 0);
	in8(0x80);
	__asm__ volatile("vmovdqu %%ymm0, %0" : "=m"(back));
	CHECK(!memcmp(pattern, back, sizeof(pattern)));
}

static void check_xsave(void)
{
	struct cpuid one = cpuid(1, 0);

	CHECK_EQUAL(GUEST_TRY("xsetbv", : : "c"(0), "a"(1), "d"(0) : "memory"), UD);
	if (!(one.ecx & 1 << 26))
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	CHECK_EQUAL(xsetbv_try(0, 0), GP);          /* x87 cannot be off */
	CHECK_EQUAL(xsetbv_try(0, 5), GP);          /* AVX without SSE */
	CHECK_EQUAL(xsetbv_try(0, 1UL << 62 | 3), GP);
	CHECK_EQUAL(xsetbv_try(1, 3), GP);
	CHECK_EQUAL(xsetbv_try(0, 3), GUEST_NO_FAULT);
	if (one.ecx & 1 << 28) {
		CHECK_EQUAL(xsetbv_try(0, 7), GUEST_NO_FAULT);
		CHECK_EQUAL(cpuid(0xd, 0).ebx, 832);
		check_avx();
	}
}

int guest_main(void)
{
	guest_idt_init();
	check_cr0();
	check_task_switched();
	check_write_protect();
	check_cr4();
	check_cr8();
	check_xsave();
	return guest_failures();
}
