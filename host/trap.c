/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/trap.h"

#include "host/cpu.h"
#include "host/panic.h"
#include "host/watchdog.h"
#include "host/x86.h"

struct fixup {
	int32_t at; /* both relative to the field itself */
	int32_t to;
};

extern const struct fixup image_fixups[], image_fixups_end[];

static struct cpu *escape_cpu; /* whose next exception goes to escape_to; NULL: nobody's */
static void (*escape_to)(void);

void trap_set_escape(void (*escape)(void))
{
	escape_to = escape;
	escape_cpu = this_cpu();
}

static bool apply_escape(struct trap_frame *frame)
{
	if (!escape_cpu || escape_cpu != this_cpu())
		return false;
	escape_cpu = NULL;
	frame->rip = (uint64_t)(uintptr_t)escape_to;
	/* As after a call. */
	frame->rsp = this_cpu()->stack_top - 8;
	frame->rflags &= ~(RFLAGS_IF | RFLAGS_DF | RFLAGS_TF);
	return true;
}

static bool apply_fixup(struct trap_frame *frame)
{
	for (const struct fixup *f = image_fixups; f < image_fixups_end; f++) {
		if ((uint64_t)((intptr_t)&f->at + f->at) != frame->rip)
			continue;
		frame->rip = (uint64_t)((intptr_t)&f->to + f->to);
		return true;
	}
	return false;
}

void trap_nmi(const struct trap_frame *frame)
{
	panic_stop_if_requested();
	this_cpu()->nmi_count++;
	watchdog_nmi(frame->rip, frame->rsp);
}

void trap_exception(struct trap_frame *frame)
{
	static const char *const names[32] = {
		[VECTOR_DE] = "divide error", [VECTOR_DB] = "debug exception",
		[VECTOR_BP] = "breakpoint", [VECTOR_OF] = "overflow", [VECTOR_BR] = "bound range",
		[VECTOR_UD] = "invalid opcode", [VECTOR_NM] = "device not available",
		[VECTOR_DF] = "double fault", [VECTOR_TS] = "invalid TSS",
		[VECTOR_NP] = "segment not present", [VECTOR_SS] = "stack fault",
		[VECTOR_GP] = "general protection", [VECTOR_PF] = "page fault",
		[VECTOR_MF] = "x87 error", [VECTOR_AC] = "alignment check",
		[VECTOR_MC] = "machine check", [VECTOR_XM] = "SIMD error",
		[VECTOR_CP] = "control protection",
	};
	const char *name = frame->vector < 32 ? names[frame->vector] : NULL;

	if (frame->vector == VECTOR_NMI) {
		trap_nmi(frame);
		return;
	}
	if (frame->vector != VECTOR_DF && frame->vector != VECTOR_MC && apply_fixup(frame))
		return;
	if (apply_escape(frame))
		return;
	panic_trap(frame, name ? name : "unexpected exception");
}

int rdmsr_safe(uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0, failed = 1;

	__asm__ volatile("1: rdmsr\n\t"
			 "xorl %2, %2\n"
			 "2:\n\t"
			 TRAP_FIXUP(1b, 2b)
			 : "+a"(low), "+d"(high), "+r"(failed)
			 : "c"(msr)
			 : "memory");
	*value = (uint64_t)high << 32 | low;
	return failed ? -EIO : 0;
}
