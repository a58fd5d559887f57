/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions of the host itself. One that hits an instruction with a registered fixup continues
 * there; every other is a bug in Ballast or a broken machine, and ends in panic().
 */
#ifndef BALLAST_HOST_TRAP_H
#define BALLAST_HOST_TRAP_H

#include "lib/util.h"

/* As host/trap_entry.asm pushes it. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(sizeof(struct trap_frame) == 22 * 8, "trap frame size");
_Static_assert(offsetof(struct trap_frame, vector) == 15 * 8, "trap frame vector");

/*
 * In an asm statement: if the instruction at local label `at` raises an exception, go on at local
 * label `to`. Registers are as the instruction found them.
 */
#define TRAP_FIXUP(at, to)                                                                         \
	".pushsection .fixups, \"a\"\n\t"                                                          \
	".balign 4\n\t"                                                                            \
	".long " #at " - .\n\t"                                                                    \
	".long " #to " - .\n\t"                                                                    \
	".popsection\n\t"

/* Called by the entry code, interrupts off. */
void trap_exception(struct trap_frame *frame);
/*
 * From now on an exception of the calling CPU, instead of a panic, throws its stack away and goes
 * on at `escape`, once: around a call of firmware that may be broken.
 */
void trap_set_escape(void (*escape)(void));
/*
 * Count an NMI, and tell the watchdog, if it asks, where it was taken; the CPU stops here for ever
 * when another one panicked. Both vendors' guests leave for an NMI and take it through the IDT.
 */
void trap_nmi(const struct trap_frame *frame);

#endif
