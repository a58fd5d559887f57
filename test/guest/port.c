/* SPDX-License-Identifier: BSD-2-Clause */
/* Port I/O in all widths and its string and REP forms. */
#include "guest.h"

#define UNCLAIMED 0x9f0
#define PCI_ADDRESS 0xcf8
#define SCRATCH 0x3ff /* of COM1: a byte that only remembers */

static void check_widths(void)
{
	uint64_t rax;

	CHECK_EQUAL(in8(UNCLAIMED), 0xff);
	CHECK_EQUAL(in16(UNCLAIMED), 0xffff);
	CHECK_EQUAL(in32(UNCLAIMED), 0xffffffff);
	out8(UNCLAIMED, 1);
	out16(UNCLAIMED, 1);
	out32(UNCLAIMED, 1);
	/* 8 and 16 bits leave the rest of RAX alone, 32 bits clear its upper half. */
	__asm__ volatile("inb %w1, %%al" : "=a"(rax) : "d"(UNCLAIMED), "0"(0x1122334455667700));
	CHECK_EQUAL(rax, 0x11223344556677ff);
	__asm__ volatile("inw %w1, %%ax" : "=a"(rax) : "d"(UNCLAIMED), "0"(0x1122334455660000));
	CHECK_EQUAL(rax, 0x112233445566ffff);
	__asm__ volatile("inl %w1, %%eax" : "=a"(rax) : "d"(UNCLAIMED), "0"(0x1122334400000000));
	CHECK_EQUAL(rax, 0xffffffff);
}

static void check_register(void)
{
	for (unsigned int value = 0; value < 256; value += 17) {
		out8(SCRATCH, value);
		CHECK_EQUAL(in8(SCRATCH), value);
	}
	out32(PCI_ADDRESS, 0x80000000);
	CHECK_EQUAL(in32(PCI_ADDRESS), 0x80000000);
	__asm__ volatile("outb %%al, $0x80; inb $0x61, %%al" : : "a"(0));
}

static void check_string_in(void)
{
	static uint8_t buffer[600];
	uint64_t rdi = (uint64_t)buffer, rcx = 500;

	out8(SCRATCH, 0x5a);
	__asm__ volatile("cld; rep insb" : "+D"(rdi), "+c"(rcx) : "d"(SCRATCH) : "memory");
	CHECK_EQUAL(rcx, 0);
	CHECK_EQUAL(rdi, (uint64_t)buffer + 500);
	CHECK(buffer[0] == 0x5a && buffer[255] == 0x5a && buffer[499] == 0x5a);
	CHECK_EQUAL(buffer[500], 0);
	/* Downwards, in doublewords. */
	rdi = (uint64_t)buffer + 512;
	rcx = 2;
	__asm__ volatile("std; rep insl; cld" : "+D"(rdi), "+c"(rcx) : "d"(UNCLAIMED) : "memory");
	CHECK_EQUAL(rdi, (uint64_t)buffer + 504);
	CHECK_EQUAL(*(uint32_t *)(buffer + 512), 0xffffffff);
	CHECK_EQUAL(*(uint32_t *)(buffer + 508), 0xffffffff);
	/* Nothing at all, and once without REP. */
	rdi = (uint64_t)buffer;
	rcx = 0;
	__asm__ volatile("rep insb" : "+D"(rdi), "+c"(rcx) : "d"(UNCLAIMED) : "memory");
	CHECK_EQUAL(rdi, (uint64_t)buffer);
	__asm__ volatile("insw" : "+D"(rdi) : "d"(UNCLAIMED) : "memory");
	CHECK_EQUAL(rdi, (uint64_t)buffer + 2);
	CHECK_EQUAL(*(uint16_t *)buffer, 0xffff);
}

static void check_string_out(void)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5 };
	uint64_t rsi = (uint64_t)bytes, rcx = sizeof(bytes);

	__asm__ volatile("rep outsb" : "+S"(rsi), "+c"(rcx) : "d"(SCRATCH) : "memory");
	CHECK_EQUAL(rcx, 0);
	CHECK_EQUAL(rsi, (uint64_t)bytes + sizeof(bytes));
	CHECK_EQUAL(in8(SCRATCH), 5);
}

extern uint64_t page_directories[];

/* A page fault in the middle of REP INS leaves the registers where it stopped. */
static void check_fault(void)
{
	uint64_t rdi = 0x600000 - 8, rcx = 16;
	int vector;

	page_directories[3] &= ~1UL;
	write_cr3(read_cr3());
	out8(SCRATCH, 0x77);
	vector = GUEST_TRY("rep insb", : "+D"(rdi), "+c"(rcx) : "d"(SCRATCH) : "memory");
	CHECK_EQUAL(vector, 14);
	CHECK_EQUAL(read_cr2(), 0x600000);
	CHECK_EQUAL(rdi, 0x600000);
	CHECK_EQUAL(rcx, 8);
	CHECK_EQUAL(*(uint8_t *)0x5fffff, 0x77);
	page_directories[3] |= 1;
	write_cr3(read_cr3());
}

int guest_main(void)
{
	guest_idt_init();
	check_widths();
	check_register();
	check_string_in();
	check_string_out();
	check_fault();
	return guest_failures();
}
