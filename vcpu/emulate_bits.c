/* SPDX-License-Identifier: BSD-2-Clause */
/* Emulated bit tests and bit scans. */
#include "vcpu/emulate_ops.h"

/* As in ModRM.reg of 0F BA, and in bits 3-4 of the opcodes with a register. */
enum bit_operation {
	BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT
};

static uint64_t change(enum bit_operation operation, uint64_t value, uint64_t bit)
{
	switch (operation) {
	case BIT_SET:
		return value | bit;
	case BIT_RESET:
		return value & ~bit;
	case BIT_COMPLEMENT:
		return value ^ bit;
	default:
		return value;
	}
}

static int bit_operation(struct emulation *e, enum bit_operation operation,
	struct operand *target, unsigned int position)
{
	uint64_t bit = BIT(position), value;
	int err = emulate_read(e, target, &value);

	if (!err && operation != BIT_TEST)
		err = emulate_write(e, target, change(operation, value, bit));
	if (!err) /* all other flags stay, ZF by definition, the rest as processors do */
		emulate_set_flags(e, RFLAGS_CF, value & bit ? RFLAGS_CF : 0);
	return err;
}

/* 0F BA: the offset wraps within the operand. */
int emulate_bit_immediate(struct emulation *e)
{
	unsigned int size = e->insn->operand_size;
	enum bit_operation operation = e->insn->reg & 3;
	struct operand target;
	int err = emulate_rm(e, size, operation == BIT_TEST ? 0 : ACCESS_WRITE, &target);

	if (err)
		return err;
	return bit_operation(e, operation, &target, e->insn->immediate & (size * 8 - 1));
}

/* 0F A3, AB, B3, BB: the register is a signed offset from the operand's first bit. */
int emulate_bit_register(struct emulation *e)
{
	unsigned int size = e->insn->operand_size, bits = size * 8;
	enum bit_operation operation = e->insn->opcode >> 3 & 3;
	uint64_t access = operation == BIT_TEST ? 0 : ACCESS_WRITE;
	int64_t offset = (int64_t)emulate_sign_extend(emulate_gpr(e, e->insn->reg, size), size);
	unsigned int position = offset & (bits - 1);
	struct operand target;
	int err;

	if (e->insn->has_memory)
		err = emulate_memory(e, e->insn->segment,
			emulate_offset(e, (offset - position) / 8), size, access, &target);
	else
		err = emulate_rm(e, size, access, &target);
	return err ? err : bit_operation(e, operation, &target, position);
}

/* Does this machine, and so its guests, know TZCNT (0F BC) or LZCNT (0F BD)? */
static bool counts_zeroes(uint8_t opcode)
{
	if (opcode == 0xbc)
		return cpuid(7, 0).ebx & BIT(3);
	return cpuid(0x80000001, 0).ecx & BIT(5);
}

static int count_zeroes(struct emulation *e, uint64_t value, unsigned int size)
{
	unsigned int bits = size * 8, result = bits;

	if (value && e->insn->opcode == 0xbc)
		result = __builtin_ctzll(value);
	else if (value)
		result = __builtin_clzll(value) - (64 - bits);
	emulate_set_gpr(e, e->insn->reg, size, result);
	emulate_set_flags(e, RFLAGS_CF | RFLAGS_ZF,
		(value ? 0 : RFLAGS_CF) | (result ? 0 : RFLAGS_ZF));
	return 0;
}

static int population(struct emulation *e, uint64_t value, unsigned int size)
{
	uint64_t left;
	unsigned int ones = 0;

	for (left = value; left; left &= left - 1)
		ones++;
	emulate_set_gpr(e, e->insn->reg, size, ones);
	emulate_set_flags(e, RFLAGS_ARITHMETIC, value ? 0 : RFLAGS_ZF);
	return 0;
}

/* 0F B8, BC, BD. With F3, on a processor that does not know the count, it is the scan. */
int emulate_bit_scan(struct emulation *e)
{
	unsigned int size = e->insn->operand_size;
	struct operand source;
	uint64_t value;
	int err = emulate_rm(e, size, 0, &source);

	if (!err)
		err = emulate_read(e, &source, &value);
	if (err)
		return err;
	if (e->insn->opcode == 0xb8)
		return population(e, value, size);
	if (e->insn->rep && counts_zeroes(e->insn->opcode))
		return count_zeroes(e, value, size);
	if (value)
		emulate_set_gpr(e, e->insn->reg, size,
			e->insn->opcode == 0xbc ? __builtin_ctzll(value)
					       : 63 - __builtin_clzll(value));
	emulate_set_flags(e, RFLAGS_ZF, value ? 0 : RFLAGS_ZF);
	return 0;
}
