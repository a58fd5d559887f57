/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last words. Polled serial output and no locks: whatever broke, this must still speak. The
 * backtrace takes every word on the stack for a return address that points behind a call in our
 * own text; frames that have ended may show, so it is to be read with the source at hand.
 */
#include "host/panic.h"

#include "host/apic.h"
#include "host/cpu.h"
#include "host/descriptor.h"
#include "host/init.h"
#include "host/log.h"
#include "host/memory.h"
#include "host/serial.h"
#include "host/symbols.h"
#include "host/x86.h"
#include "lib/printf.h"
#include "lib/string.h"

#define BACKTRACE_LINES 24

static bool stop_requested; /* [a] */
static struct cpu *panicking; /* [a] the first CPU to panic */

static void __noreturn halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void __printf(1, 2) say(const char *format, ...)
{
	char line[240];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	serial_write_panic(line, MIN((size_t)length, sizeof(line) - 1));
	serial_write_panic("\r\n", 2);
}

static void say_address(const char *what, uint64_t address)
{
	char name[SYMBOL_NAME_BYTES];
	uint64_t offset;

	if (symbol_find(address, name, &offset))
		say("%s %s+0x%lx (image+0x%lx)", what, name, offset,
		    address - (uint64_t)(uintptr_t)image_text);
	else
		say("%s 0x%016lx", what, address);
}

/* Does a call instruction end at `address`? E8 with 32-bit offset, or FF /2 in its short forms. */
static bool follows_call(uint64_t address)
{
	const uint8_t *at = (const uint8_t *)(uintptr_t)address;

	if (address < (uint64_t)(uintptr_t)image_text + 8 ||
	    address > (uint64_t)(uintptr_t)image_text_end)
		return false;
	if (at[-5] == 0xe8)
		return true;
	for (int length = 2; length <= 7; length++)
		if (at[-length] == 0xff && (at[-length + 1] >> 3 & 7) == 2)
			return true;
	return false;
}

/*
 * The part of a stack that is in use above `rsp`, so that the scan stays on mapped memory: empty
 * when `rsp` is on none of our stacks. An overflown stack, `rsp` in its guard, is in use wholly.
 */
static void find_stack(uint64_t rsp, uint64_t *start, uint64_t *end)
{
	struct cpu_area *area = host_ptr(ROUND_DOWN(rsp, sizeof(*area)));
	const struct memory_range stacks[] = {
		{host_phys(area->stack_double_fault), sizeof(area->stack_double_fault)},
		{host_phys(area->stack_nmi), sizeof(area->stack_nmi)},
		{host_phys(area->stack_machine_check), sizeof(area->stack_machine_check)},
		{host_phys(area->stack_main), sizeof(area->stack_main)},
	};
	bool ours = false;

	*start = rsp;
	*end = rsp;
	for (unsigned int id = 0; cpu_by_id(id); id++)
		ours |= container_of(cpu_by_id(id), struct cpu_area, cpu) == area;
	for (size_t i = 0; ours && i < ARRAY_SIZE(stacks); i++) {
		uint64_t top = stacks[i].start + stacks[i].bytes;

		if (rsp < stacks[i].start - PAGE_SIZE || rsp >= top)
			continue;
		*start = MAX(rsp, stacks[i].start);
		*end = top;
	}
}

static void say_backtrace(uint64_t rsp)
{
	unsigned int lines = 0;
	uint64_t at, end;

	find_stack(rsp & ~7ULL, &at, &end);
	for (; at < end && lines < BACKTRACE_LINES; at += 8) {
		uint64_t word = *(const uint64_t *)host_ptr(at);

		if (!follows_call(word))
			continue;
		say_address("    from", word - 1);
		lines++;
	}
}

static void say_registers(const struct trap_frame *f)
{
	say("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	say("  rsi %016lx rdi %016lx rbp %016lx rsp %016lx", f->rsi, f->rdi, f->rbp, f->rsp);
	say("  r8  %016lx r9  %016lx r10 %016lx r11 %016lx", f->r8, f->r9, f->r10, f->r11);
	say("  r12 %016lx r13 %016lx r14 %016lx r15 %016lx", f->r12, f->r13, f->r14, f->r15);
	say("  rip %016lx rflags %lx cs %lx ss %lx", f->rip, f->rflags, f->cs, f->ss);
	say("  cr0 %lx cr2 %lx cr3 %lx cr4 %lx efer %lx", read_cr0(), read_cr2(), read_cr3(),
	    read_cr4(), rdmsr(MSR_EFER));
}

void panic_stop_if_requested(void)
{
	if (__atomic_load_n(&stop_requested, __ATOMIC_ACQUIRE))
		halt();
}

void panic_stop_others(void)
{
	__atomic_store_n(&stop_requested, true, __ATOMIC_RELEASE);
	if (cpu_count() > 1)
		apic_send_nmi_others();
}

/* The first CPU speaks; others fall silent. A fault of the panic itself ends it with one line. */
static void begin(uint64_t rip)
{
	struct cpu *first = NULL;

	if (__atomic_compare_exchange_n(&panicking, &first, this_cpu(), false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST)) {
		panic_stop_others();
		return;
	}
	if (first == this_cpu())
		say("PANIC while reporting it, at image+0x%lx, cr2 %lx",
		    rip - (uint64_t)(uintptr_t)image_text, read_cr2());
	halt();
}

static void __noreturn finish(uint64_t rsp)
{
	say_backtrace(rsp);
	say("Ballast has stopped: please report the lines above. Reset the machine to go on.");
	halt();
}

void panic_trap(const struct trap_frame *frame, const char *name)
{
	begin(frame->rip);
	say(" ");
	say("PANIC: cpu %u: %s (vector %lu, error 0x%lx)", this_cpu()->id, name, frame->vector,
	    frame->error);
	say_registers(frame);
	say_address("    at  ", frame->rip);
	finish(frame->rsp);
}

void panic(const char *format, ...)
{
	char text[200];
	va_list args;

	begin((uint64_t)(uintptr_t)__builtin_return_address(0));
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say(" ");
	say("PANIC: cpu %u: %s", this_cpu()->id, text);
	say("  cr0 %lx cr2 %lx cr3 %lx cr4 %lx efer %lx", read_cr0(), read_cr2(), read_cr3(),
	    read_cr4(), rdmsr(MSR_EFER));
	finish((uint64_t)(uintptr_t)__builtin_frame_address(0));
}
