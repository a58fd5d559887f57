/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions: vector, error code and return address, those raised by emulated code among them. */
#include "guest.h"

enum { DE = 0, DB = 1, BP = 3, OF = 4, UD = 6, NP = 11, SS = 12, GP = 13, PF = 14, AC = 17 };

#define NOWHERE 0xf0000000ULL /* in the PCI hole: present in the page tables, no memory there */

static void check_faults(void)
{
	CHECK_EQUAL(GUEST_TRY("divl %0", : : "r"(0), "a"(1), "d"(0)), DE);
	CHECK_EQUAL(GUEST_TRY("ud2", : : : "memory"), UD);
	CHECK_EQUAL(GUEST_TRY("mov %0, %%ds", : : "r"(0x58 | 0x8000) : "memory"), GP);
	CHECK_EQUAL(guest_fault.error, 0x8058);
	CHECK_EQUAL(GUEST_TRY("movb (%0), %%al", : : "r"(0x8000000000000000) : "rax"), GP);
	CHECK_EQUAL(GUEST_TRY("movb (%0), %%al", : : "r"(1UL << 40) : "rax"), PF);
	CHECK_EQUAL(guest_fault.error, 0);
	CHECK_EQUAL(read_cr2(), 1UL << 40);
	CHECK_EQUAL(GUEST_TRY("movb %%al, (%0)", : : "r"(1UL << 40) : "rax"), PF);
	CHECK_EQUAL(guest_fault.error, 2);
}

/* Privileged or absent instructions that the hypervisor sees first. */
static void check_virtualization(void)
{
	CHECK_EQUAL(GUEST_TRY("vmcall", : : : "rax", "memory") == GUEST_NO_FAULT ||
			guest_fault.vector == UD, 1);
	CHECK_EQUAL(GUEST_TRY("vmxon %0", : : "m"(*(uint64_t *)0x1000)), UD);
	CHECK_EQUAL(GUEST_TRY("vmread %%rax, %%rbx", : : : "rbx", "memory"), UD);
	CHECK_EQUAL(GUEST_TRY("monitor", : : "a"(0), "c"(0), "d"(0)), UD);
	CHECK_EQUAL(GUEST_TRY("vmrun", : : "a"(0x1000) : "memory"), UD);
	CHECK_EQUAL(GUEST_TRY("clgi", : : : "memory"), UD);
	CHECK_EQUAL(GUEST_TRY("rdpmc", : : "c"(0) : "rax", "rdx"), GP);
}

static void breakpoint(struct frame *frame)
{
	CHECK_EQUAL(((uint8_t *)frame->rip)[-1], 0xcc);
}

static void check_traps(void)
{
	guest_set_handler(BP, breakpoint);
	for (int i = 0; i < 3; i++)
		__asm__ volatile("int3");
	CHECK_EQUAL(guest_interrupts[BP], 3);
	guest_set_handler(0x80, breakpoint);
	guest_set_handler(0x80, NULL);
	__asm__ volatile("int $0x80");
	CHECK_EQUAL(guest_interrupts[0x80], 1);
}

static volatile uint64_t steps[8];

static void single_step(struct frame *frame)
{
	uint64_t n = guest_interrupts[DB];

	CHECK(read_dr6() & 1 << 14);
	write_dr6(0xffff0ff0);
	if (n <= 8)
		steps[n - 1] = frame->rip;
}

/* TF traps behind an instruction that exits as behind any other. */
static void check_single_step(void)
{
	uint64_t at;

	guest_set_handler(DB, single_step);
	__asm__ volatile("lea 1f(%%rip), %0\n\t"
			 "pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
			 "1: nop\n\tcpuid\n\tin $0x80, %%al\n\tnop\n\t"
			 "pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq"
		: "=&S"(at) : "a"(0), "c"(0) : "rbx", "rdx", "memory", "cc");
	CHECK_EQUAL(steps[0], at + 1);  /* nop */
	CHECK_EQUAL(steps[1], at + 3);  /* cpuid */
	CHECK_EQUAL(steps[2], at + 5);  /* in */
	CHECK_EQUAL(steps[3], at + 6);  /* nop */
	guest_set_handler(DB, NULL);
}

/* A data breakpoint is the guest's own: it survives exits. */
static void check_breakpoint_register(void)
{
	static volatile uint32_t watched;

	write_dr0((uint64_t)&watched);
	write_dr7(1 | 1 << 16 | 3 << 18); /* writes, four bytes */
	cpuid(0, 0);
	CHECK_EQUAL(read_dr0(), (uint64_t)&watched);
	CHECK_EQUAL(read_dr7() & 0xf0003, 0xd0001);
	CHECK_EQUAL(GUEST_TRY("movl $1, %0", : "=m"(watched) : : "memory"), DB);
	CHECK_EQUAL(read_dr6() & 0xf, 1);
	write_dr7(0x400);
	write_dr6(0xffff0ff0);
	CHECK_EQUAL(watched, 1);
}

/* Code and data where there is no memory: all ones, which is no instruction. */
static void check_nowhere(void)
{
	CHECK_EQUAL(*(volatile uint64_t *)NOWHERE, ~0UL);
	*(volatile uint64_t *)NOWHERE = 0;
	CHECK_EQUAL(*(volatile uint64_t *)NOWHERE, ~0UL);
}

int guest_main(void)
{
	guest_idt_init();
	check_faults();
	check_virtualization();
	check_traps();
	check_single_step();
	check_breakpoint_register();
	check_nowhere();
	return guest_failures();
}
