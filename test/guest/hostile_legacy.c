/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only 32-bit code can try: hardware task switches, virtual-8086 mode, 16-bit stacks, #AC whose
 * delivery raises #AC, PAE with bad directory pointers. hostile_legacy_code.asm does it, and leaves
 * by the exit port where there is a way on.
 */
#include "hostile.h"

void legacy_run(void (*entry)(void)) __attribute__((noreturn));
void legacy_jump_tss(void);
void legacy_task_gate(void);
void legacy_alignment(void);
void legacy_virtual_8086(void);
void legacy_stack16(void);
void legacy_bad_pae(void);

#define DEFINE_ATTACK(name)                                                                        \
	static void name(void)                                                                     \
	{                                                                                          \
		legacy_run(legacy_##name);                                                         \
	}
DEFINE_ATTACK(jump_tss)
DEFINE_ATTACK(task_gate)
DEFINE_ATTACK(alignment)
DEFINE_ATTACK(virtual_8086)
DEFINE_ATTACK(stack16)
DEFINE_ATTACK(bad_pae)

static const struct hostile_case cases[] = {
	{ "case=jump-tss", jump_tss },
	{ "case=task-gate", task_gate },
	{ "case=alignment", alignment },
	{ "case=virtual-8086", virtual_8086 },
	{ "case=stack16", stack16 },
	{ "case=bad-pae", bad_pae },
};

HOSTILE_MAIN(cases)
