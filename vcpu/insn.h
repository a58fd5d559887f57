/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction decoder: bytes to length and structure (Intel SDM vol. 2, "Instruction Format";
 * AMD APM vol. 3, "Instruction Encoding"). Pure; knows every instruction's length that a guest may
 * make Ballast step over or emulate, VEX and EVEX forms included, and says so when it does not.
 * A near branch in 64-bit mode is as Intel has it: the operand-size prefix does not shorten it.
 */
#ifndef BALLAST_VCPU_INSN_H
#define BALLAST_VCPU_INSN_H

#include "vcpu/regs.h"

#define INSN_MAX_BYTES 15

struct insn {
	uint8_t length;          /* in bytes, prefixes included */
	uint8_t operand_size;    /* 1, 2, 4, 8: of the main operand */
	uint8_t address_size;    /* 2, 4, 8 */
	uint8_t map;             /* 0: one-byte opcodes, 1: 0F, 2: 0F 38, 3: 0F 3A; XOP: 8-10 */
	uint8_t opcode;
	bool lock, rep, repne, opsize_prefix;
	uint8_t rex;             /* 0 when there is none */
	enum { INSN_LEGACY, INSN_VEX, INSN_EVEX, INSN_XOP } encoding;
	uint8_t vector_source;   /* VEX.vvvv, the inversion undone */
	uint8_t vector_length;   /* VEX.L or EVEX.L'L: 16 << this is the width in bytes */
	bool has_modrm;
	uint8_t modrm;           /* raw; the fields below have REX applied */
	uint8_t mod, reg, rm;
	bool has_memory;         /* ModRM names memory, or the opcode implies a moffs */
	uint8_t segment;         /* enum segment_name: effective, prefix or default */
	bool segment_override;
	int8_t base, index;      /* enum gpr, or -1 */
	bool rip_relative;
	uint8_t scale;           /* 1, 2, 4, 8 */
	int64_t displacement;
	uint8_t immediate_size;
	uint64_t immediate;      /* zero-extended raw */
};

/*
 * `mode_bits` is 16, 32 or 64 (the code segment's default). 0; -EINVAL for bytes that are no
 * instruction in this mode; -ENODATA when `count` bytes are too few (up to 15 are looked at).
 */
int insn_decode(struct insn *insn, const uint8_t *bytes, size_t count, unsigned int mode_bits)
	__must_check;

#endif
