/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device memory through every kind of instruction: the IOAPIC's window and the LAPIC's registers
 * are the devices, the hole is where nothing answers.
 */
#include "guest.h"

#define IOAPIC 0xfec00000ULL
#define HOLE 0xf0000000ULL

static volatile uint32_t *const ioapic_select = (volatile uint32_t *)IOAPIC;
static volatile uint32_t *const ioapic_window = (volatile uint32_t *)(IOAPIC + 0x10);

/* The LAPIC's timer divider is a register of four bits that hold what was written. */
#define DIVIDE (LAPIC_BASE + LAPIC_TIMER_DIVIDE)

static void check_moves(void)
{
	uint64_t rax = ~0UL;
	uint32_t back;

	*ioapic_select = 1;
	CHECK_EQUAL(*ioapic_window >> 16 & 0xff, 23);
	__asm__ volatile("movl $0x0b, (%0)" : : "r"(DIVIDE) : "memory");
	__asm__ volatile("movl (%1), %k0" : "+r"(rax) : "r"(DIVIDE));
	CHECK_EQUAL(rax, 0x0b);
	__asm__ volatile("movl %k0, (%1)" : : "r"(3), "r"(DIVIDE) : "memory");
	__asm__ volatile("movabsl 0xfee003e0, %%eax" : "=a"(back));
	CHECK_EQUAL(back, 3);
	/* Base, index, scale and displacement; RIP-relative is out of reach from here. */
	__asm__ volatile("movl 0x20(%1,%2,8), %0" : "=r"(back)
		: "r"(DIVIDE - 0x20 - 0x100), "r"(0x20UL));
	CHECK_EQUAL(back, 3);
	__asm__ volatile("movl %%gs:(%1), %0" : "=r"(back) : "r"(DIVIDE));
	CHECK_EQUAL(back, 3);
}

static void check_widths(void)
{
	uint64_t rax = 0x1122334455667788;

	__asm__ volatile("movb (%1), %b0" : "+r"(rax) : "r"(HOLE));
	CHECK_EQUAL(rax, 0x11223344556677ff);
	__asm__ volatile("movw (%1), %w0" : "+r"(rax) : "r"(HOLE));
	CHECK_EQUAL(rax, 0x112233445566ffff);
	__asm__ volatile("movl (%1), %k0" : "+r"(rax) : "r"(HOLE));
	CHECK_EQUAL(rax, 0xffffffff);
	__asm__ volatile("movq (%1), %q0" : "+r"(rax) : "r"(HOLE));
	CHECK_EQUAL(rax, ~0UL);
	__asm__ volatile("movzbl (%1), %k0" : "+r"(rax) : "r"(HOLE));
	CHECK_EQUAL(rax, 0xff);
	__asm__ volatile("movzwl (%1), %k0" : "+r"(rax) : "r"(HOLE));
	CHECK_EQUAL(rax, 0xffff);
	__asm__ volatile("movsbq (%1), %q0" : "+r"(rax) : "r"(HOLE));
	CHECK_EQUAL(rax, ~0UL);
	__asm__ volatile("movslq (%1), %q0" : "+r"(rax) : "r"(DIVIDE));
	CHECK_EQUAL(rax, 3);
	/* Old high-byte registers. */
	rax = 0;
	__asm__ volatile("movb (%1), %%ah" : "+a"(rax) : "d"(HOLE));
	CHECK_EQUAL(rax, 0xff00);
}

static uint64_t flags_after(uint32_t register_value, uint32_t operand)
{
	uint64_t flags;

	*mmio32(DIVIDE) = register_value;
	__asm__ volatile("cmpl %k1, (%2)\n\tpushfq\n\tpop %0" : "=r"(flags)
		: "r"(operand), "r"(DIVIDE) : "cc");
	return flags;
}

static void check_arithmetic(void)
{
	uint32_t old = 1;

	*mmio32(DIVIDE) = 8;
	__asm__ volatile("orl $3, (%0)" : : "r"(DIVIDE) : "memory", "cc");
	CHECK_EQUAL(*mmio32(DIVIDE), 0xb);
	__asm__ volatile("andl $9, (%0)" : : "r"(DIVIDE) : "memory", "cc");
	CHECK_EQUAL(*mmio32(DIVIDE), 9);
	__asm__ volatile("incl (%0)" : : "r"(DIVIDE) : "memory", "cc");
	CHECK_EQUAL(*mmio32(DIVIDE), 0xa & 0xb);
	__asm__ volatile("xchgl %0, (%1)" : "+r"(old) : "r"(DIVIDE) : "memory");
	CHECK_EQUAL(old, 0xa);
	CHECK_EQUAL(*mmio32(DIVIDE), 1);
	__asm__ volatile("lock; xaddl %0, (%1)" : "+r"(old) : "r"(DIVIDE) : "memory", "cc");
	CHECK_EQUAL(old, 1);
	CHECK_EQUAL(*mmio32(DIVIDE), 0xb);
	__asm__ volatile("btrl $3, (%0)" : : "r"(DIVIDE) : "memory", "cc");
	CHECK_EQUAL(*mmio32(DIVIDE), 3);
	CHECK_EQUAL(flags_after(3, 3) & 0x8d5, 0x44);       /* ZF, PF */
	CHECK_EQUAL(flags_after(1, 2) & 0x8d5, 0x95);       /* CF, SF, AF, PF */
	CHECK_EQUAL(flags_after(2, 1) & 0x8d5, 0);
}

static void check_strings(void)
{
	static uint32_t buffer[8];
	uint64_t rsi = HOLE + 2, rdi = (uint64_t)buffer, rcx = 8;

	__asm__ volatile("cld; rep movsl" : "+S"(rsi), "+D"(rdi), "+c"(rcx) : : "memory");
	CHECK_EQUAL(rcx, 0);
	CHECK_EQUAL(rsi, HOLE + 2 + 32);
	CHECK(buffer[0] == ~0U && buffer[7] == ~0U);
	buffer[0] = 0xb;
	rsi = (uint64_t)buffer;
	rdi = DIVIDE;
	__asm__ volatile("movsl" : "+S"(rsi), "+D"(rdi) : : "memory");
	CHECK_EQUAL(*mmio32(DIVIDE), 0xb);
	rdi = DIVIDE;
	rcx = 1;
	__asm__ volatile("rep stosl" : "+D"(rdi), "+c"(rcx) : "a"(3) : "memory");
	CHECK_EQUAL(*mmio32(DIVIDE), 3);
	CHECK_EQUAL(rdi, DIVIDE + 4);
	rsi = DIVIDE;
	rcx = 0;
	__asm__ volatile("lodsl" : "+S"(rsi), "=a"(rcx) : : "memory");
	CHECK_EQUAL(rcx, 3);
	/* Longer than one exit may take. */
	rdi = HOLE;
	rcx = 5000;
	__asm__ volatile("rep stosb" : "+D"(rdi), "+c"(rcx) : "a"(0) : "memory");
	CHECK_EQUAL(rcx, 0);
	CHECK_EQUAL(rdi, HOLE + 5000);
}

static void check_stack_forms(void)
{
	uint64_t value = 1;

	__asm__ volatile("pushq (%1)\n\tpopq %0" : "=r"(value) : "r"(HOLE) : "memory");
	CHECK_EQUAL(value, ~0UL);
	__asm__ volatile("pushq $0\n\tpopq (%0)" : : "r"(HOLE) : "memory");
}

static void check_vector_moves(void)
{
	uint8_t back[16] = { 0 };

	__asm__ volatile("movdqu (%1), %%xmm1\n\tmovdqu %%xmm1, %0" : "=m"(back) : "r"(HOLE));
	CHECK(back[0] == 0xff && back[15] == 0xff);
	__asm__ volatile("movdqa %%xmm1, (%0)" : : "r"(HOLE) : "memory");
	__asm__ volatile("movd (%1), %%xmm1\n\tmovdqu %%xmm1, %0" : "=m"(back) : "r"(DIVIDE));
	CHECK(back[0] == (uint8_t)*mmio32(DIVIDE) && back[4] == 0);
}

/* From the last bytes of RAM-less space into the next page, and over the end of the LAPIC's page. */
static void check_crossing(void)
{
	uint64_t value;

	__asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(HOLE + 0xffd));
	CHECK_EQUAL(value, ~0UL);
	__asm__ volatile("movq %0, (%1)" : : "r"(0UL), "r"(HOLE + 0xffd) : "memory");
}

/* The instruction after a faulting one is not reached: the page of a device is not there. */
extern uint64_t page_directories[];

static void check_fault_order(void)
{
	uint64_t *entry = &page_directories[(IOAPIC >> 21)];

	*entry &= ~1UL;
	write_cr3(read_cr3());
	CHECK_EQUAL(GUEST_TRY("movl $1, (%0)", : : "r"(IOAPIC) : "memory"), 14);
	CHECK_EQUAL(read_cr2(), IOAPIC);
	*entry |= 1;
	write_cr3(read_cr3());
}

int guest_main(void)
{
	guest_idt_init();
	*mmio32(LAPIC_BASE + LAPIC_LVT_TIMER) = 0x10000;
	check_moves();
	check_widths();
	check_arithmetic();
	check_strings();
	check_stack_forms();
	check_vector_moves();
	check_crossing();
	check_fault_order();
	return guest_failures();
}
