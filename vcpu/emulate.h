/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction emulator: executes one guest instruction in software, for memory accesses that
 * reach a device, and for string port I/O. Own vCPU, loaded.
 */
#ifndef BALLAST_VCPU_EMULATE_H
#define BALLAST_VCPU_EMULATE_H

#include "vcpu/vcpu.h"

/* Iterations of a REP instruction done in one exit: bounds the time away from the host. */
#define EMULATE_REP_BUDGET 64

/*
 * Emulate the instruction at CS:RIP. Known are the integer instructions with a memory operand,
 * string and port instructions, near branches and stack operations, and moves of XMM and YMM
 * registers; not MMX, x87, EVEX, far branches, and segment loads in protected mode.
 *
 * ACTION_ADVANCE with vcpu->exit.instruction_length set when it is done; ACTION_RESUME when an
 * exception has been queued, a REP has iterations left (the registers say how many), or the guest
 * has changed the code to something that the processor is to look at first; ACTION_STOP when the
 * VM was asked to stop because Ballast does not know the instruction: its bytes stand in the
 * reason.
 *
 * `bytes` and `count`: instruction bytes the hardware gave, or count 0 to fetch them.
 */
enum exit_action emulate_instruction(struct vcpu *vcpu, const uint8_t *bytes, size_t count);

/* Length of the instruction at CS:RIP without executing it: 1-15, or 0 when it is not to be had. */
unsigned int emulate_instruction_length(struct vcpu *vcpu);

#endif
