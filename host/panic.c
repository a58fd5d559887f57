/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last words. Polled serial output and no locks: whatever broke, this must still speak.
 */
#include "host/panic.h"

#include "host/apic.h"
#include "host/backtrace.h"
#include "host/cpu.h"
#include "host/init.h"
#include "host/log.h"
#include "host/serial.h"
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
	char text[BACKTRACE_TEXT_BYTES];

	backtrace_describe(address, text);
	say("%s %s", what, text);
}

static void say_backtrace(uint64_t rsp)
{
	uint64_t addresses[BACKTRACE_LINES];
	unsigned int count = backtrace_scan(rsp, addresses, BACKTRACE_LINES);

	for (unsigned int i = 0; i < count; i++)
		say_address("    from", addresses[i] - 1);
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
