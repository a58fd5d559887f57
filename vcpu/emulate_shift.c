/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Emulated shifts and rotations. What the manuals leave undefined is as the formula for a count of
 * one gives it, AF clear; that is what most processors do.
 */
#include "vcpu/emulate_ops.h"

/* ModRM.reg of C0, C1, D0-D3. */
enum shift {
	SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAL, SHIFT_SAR
};

static inline bool top_bit(uint64_t value, unsigned int size)
{
	return value & emulate_sign_bit(size);
}

/* ROL and ROR leave all but CF and OF. */
static uint64_t rotate(uint64_t a, unsigned int count, unsigned int size, bool left,
	uint64_t *flags)
{
	unsigned int bits = size * 8;
	unsigned int by = (left ? count : bits - count % bits) % bits;
	uint64_t result = by ? (a << by | a >> (bits - by)) & byte_mask(size) : a;
	bool carry = left ? result & 1 : top_bit(result, size);
	bool overflow = carry != top_bit(left ? result : result << 1, size);

	*flags &= ~(RFLAGS_CF | RFLAGS_OF);
	*flags |= (carry ? RFLAGS_CF : 0) | (overflow ? RFLAGS_OF : 0);
	return result;
}

/* RCL and RCR: a rotation of one bit more, the carry. */
static uint64_t rotate_carry(uint64_t a, unsigned int count, unsigned int size, bool left,
	uint64_t *flags)
{
	bool carry = *flags & RFLAGS_CF, out;
	unsigned int i;

	count %= size * 8 + 1;
	if (!count)
		return a;
	for (i = 0; i < count; i++) {
		out = left ? top_bit(a, size) : a & 1;
		if (left)
			a = (a << 1 | carry) & byte_mask(size);
		else
			a = a >> 1 | (carry ? emulate_sign_bit(size) : 0);
		carry = out;
	}
	*flags &= ~(RFLAGS_CF | RFLAGS_OF);
	*flags |= carry ? RFLAGS_CF : 0;
	if (top_bit(a, size) != (left ? carry : top_bit(a << 1, size)))
		*flags |= RFLAGS_OF;
	return a;
}

static uint64_t shift_left(uint64_t a, unsigned int count, unsigned int size, uint64_t *flags)
{
	uint64_t before = a << (count - 1);
	uint64_t result = before << 1 & byte_mask(size);
	bool carry = top_bit(before, size);

	*flags &= ~RFLAGS_ARITHMETIC;
	*flags |= emulate_result_flags(result, size) | (carry ? RFLAGS_CF : 0);
	if (carry != top_bit(result, size))
		*flags |= RFLAGS_OF;
	return result;
}

static uint64_t shift_right(uint64_t a, unsigned int count, unsigned int size, bool arithmetic,
	uint64_t *flags)
{
	uint64_t wide = arithmetic ? emulate_sign_extend(a, size) : a;
	uint64_t before = arithmetic ? (uint64_t)((int64_t)wide >> (count - 1))
				     : wide >> (count - 1);
	uint64_t result = arithmetic ? (uint64_t)((int64_t)before >> 1) : before >> 1;

	result &= byte_mask(size);
	*flags &= ~RFLAGS_ARITHMETIC;
	*flags |= emulate_result_flags(result, size) | (before & 1 ? RFLAGS_CF : 0);
	if (!arithmetic && top_bit(a, size))
		*flags |= RFLAGS_OF;
	return result;
}

static uint64_t compute(enum shift operation, uint64_t a, unsigned int count, unsigned int size,
	uint64_t *flags)
{
	switch (operation) {
	case SHIFT_ROL:
	case SHIFT_ROR:
		return rotate(a, count, size, operation == SHIFT_ROL, flags);
	case SHIFT_RCL:
	case SHIFT_RCR:
		return rotate_carry(a, count, size, operation == SHIFT_RCL, flags);
	case SHIFT_SHL:
	case SHIFT_SAL:
		return shift_left(a, count, size, flags);
	default:
		return shift_right(a, count, size, operation == SHIFT_SAR, flags);
	}
}

static unsigned int shift_count(struct emulation *e)
{
	uint64_t count;

	if (e->insn->immediate_size)
		count = e->insn->immediate;
	else
		count = e->insn->opcode & 2 ? e->vcpu->regs.gpr[GPR_RCX] : 1;
	return count & (e->insn->operand_size == 8 ? 63 : 31);
}

/* C0, C1, D0-D3. A count of zero changes no flag, but memory is still written. */
int emulate_shift(struct emulation *e)
{
	unsigned int size = e->insn->operand_size, count = shift_count(e);
	uint64_t a, flags;
	struct operand target;
	int err = emulate_rm(e, size, ACCESS_WRITE, &target);

	if (!err)
		err = emulate_read(e, &target, &a);
	if (err)
		return err;
	flags = emulate_flags(e);
	if (count)
		a = compute(e->insn->reg & 7, a, count, size, &flags);
	err = emulate_write(e, &target, a);
	if (!err && count)
		emulate_set_flags(e, RFLAGS_ARITHMETIC, flags);
	return err;
}

/* The bits that move in come from `b`; counts above the operand's width are undefined. */
static uint64_t shift_double(uint64_t a, uint64_t b, unsigned int count, unsigned int size,
	bool left, uint64_t *flags)
{
	unsigned int bits = size * 8;
	uint64_t result;
	bool carry;

	if (count > bits) { /* 16-bit operands: the bits go round, as on Intel's processors */
		count -= bits;
		a = b;
	}
	if (left) {
		carry = a >> (bits - count) & 1;
		result = count == bits ? b : a << count | b >> (bits - count);
	} else {
		carry = a >> (count - 1) & 1;
		result = count == bits ? b : a >> count | b << (bits - count);
	}
	result &= byte_mask(size);
	*flags = emulate_result_flags(result, size) | (carry ? RFLAGS_CF : 0);
	if (top_bit(a ^ result, size))
		*flags |= RFLAGS_OF;
	return result;
}

/* 0F A4, A5, AC, AD */
int emulate_shift_double(struct emulation *e)
{
	unsigned int size = e->insn->operand_size;
	uint64_t count = e->insn->opcode & 1 ? e->vcpu->regs.gpr[GPR_RCX] : e->insn->immediate;
	uint64_t a, flags = 0;
	struct operand target;
	int err = emulate_rm(e, size, ACCESS_WRITE, &target);

	if (!err)
		err = emulate_read(e, &target, &a);
	if (err)
		return err;
	count &= size == 8 ? 63 : 31;
	if (count)
		a = shift_double(a, emulate_gpr(e, e->insn->reg, size), count, size,
			!(e->insn->opcode & 8), &flags);
	err = emulate_write(e, &target, a);
	if (!err && count)
		emulate_set_flags(e, RFLAGS_ARITHMETIC, flags);
	return err;
}
