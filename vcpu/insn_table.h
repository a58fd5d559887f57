/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the parts of the instruction decoder: what the opcode tables say about an opcode. */
#ifndef BALLAST_VCPU_INSN_TABLE_H
#define BALLAST_VCPU_INSN_TABLE_H

#include "vcpu/insn.h"

/* Which immediate follows, in the low bits. */
enum insn_immediate {
	IMM_NONE,
	IMM_8,
	IMM_Z,     /* 2 or 4 bytes, by the operand size */
	IMM_16,
	IMM_FULL,  /* by the operand size, up to 8 bytes */
	IMM_MOFFS, /* an address, by the address size */
	IMM_FAR,   /* offset by the operand size, and a selector */
	IMM_ENTER, /* 16 bits and 8 bits */
	IMM_8_8,   /* EXTRQ, INSERTQ */
	IMM_32,
	IMM_CLASS = 0xf
};

#define INSN_MODRM BIT(4)
#define INSN_BYTE BIT(5)      /* operates on bytes */
#define INSN_NO_64 BIT(6)     /* no instruction in 64-bit mode */
#define INSN_DEFAULT_64 BIT(7) /* in 64-bit mode 64 bits wide unless prefixed by 66 */
#define INSN_FORCE_64 BIT(8)  /* in 64-bit mode 64 bits wide always (near branches, as Intel) */
#define INSN_CHECK BIT(9)     /* insn_check() has more to say */
#define INSN_LOCKABLE BIT(10) /* with a memory operand; for groups, insn_check() narrows it */
#define INSN_PREFIX BIT(11)   /* or REX; escapes 0F too: the fast path ends here */
#define INSN_MEMORY BIT(12)   /* no instruction with a register operand */
#define INSN_REGISTER BIT(13) /* no instruction with a memory operand */
#define INSN_UNDEFINED BIT(14)
#define INSN_SSE BIT(15)      /* valid only with the prefixes in the table of mandatory ones */

/* Mandatory prefixes, one bit each. */
#define PREFIX_NONE BIT(0)
#define PREFIX_66 BIT(1)
#define PREFIX_F3 BIT(2)
#define PREFIX_F2 BIT(3)

extern const uint16_t insn_table_one_byte[256];
extern const uint16_t insn_table_0f[256];
extern const uint8_t insn_prefixes_0f[256];

/* Legacy opcodes of 0F 38 and 0F 3A are few: PREFIX_... in the low four bits, or 0 for none. */
#define MAP_MEMORY BIT(4)
#define MAP_REGISTER BIT(5)
#define MAP_CHECK BIT(6)
extern const uint8_t insn_prefixes_0f38[256];
extern const uint8_t insn_prefixes_0f3a[256];

/* Opcodes in use by VEX, EVEX and XOP forms, a bit each; NULL for a map that has none. */
const uint64_t *insn_vector_opcodes(int encoding, unsigned int map);

/* The mandatory-prefix bit that the instruction's prefixes select. */
static inline uint8_t insn_prefix_bit(const struct insn *insn)
{
	if (insn->repne)
		return PREFIX_F2;
	if (insn->rep)
		return PREFIX_F3;
	return insn->opsize_prefix ? PREFIX_66 : PREFIX_NONE;
}

/*
 * For opcodes with INSN_CHECK: is this encoding, its ModRM byte read, an instruction at all?
 * Called before the immediate is read; may change operand and immediate size.
 */
bool insn_check(struct insn *insn, enum insn_immediate *immediate, unsigned int mode_bits);

/* Is the LOCK prefix allowed on this instruction, which has INSN_LOCKABLE or is of a group? */
bool insn_lockable(const struct insn *insn);

#endif
