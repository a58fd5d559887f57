/* SPDX-License-Identifier: BSD-2-Clause */
/* Emulated addition, subtraction, logic and comparison, compare-and-exchange included. */
#include "vcpu/emulate_ops.h"

/* The eight operations in the order of their encoding. */
enum alu {
	ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP
};

static uint64_t compute(enum alu operation, uint64_t a, uint64_t b, unsigned int size,
	uint64_t *flags)
{
	uint64_t carry = *flags & RFLAGS_CF ? 1 : 0;
	uint64_t result;

	switch (operation) {
	case ALU_ADD:
	case ALU_ADC:
		result = a + b + (operation == ALU_ADC ? carry : 0);
		*flags = emulate_add_flags(a, b, result, size);
		return result;
	case ALU_SBB:
	case ALU_SUB:
	case ALU_CMP:
		result = a - b - (operation == ALU_SBB ? carry : 0);
		*flags = emulate_subtract_flags(a, b, result, size);
		return result;
	case ALU_OR:
		result = a | b;
		break;
	case ALU_AND:
		result = a & b;
		break;
	default:
		result = a ^ b;
		break;
	}
	*flags = emulate_result_flags(result, size);
	return result;
}

/* rm = rm op b */
static int modify(struct emulation *e, enum alu operation, uint64_t b)
{
	unsigned int size = e->insn->operand_size;
	uint64_t a, result, flags = emulate_flags(e);
	struct operand target;
	int err = emulate_rm(e, size, operation == ALU_CMP ? 0 : ACCESS_WRITE, &target);

	if (!err)
		err = emulate_read(e, &target, &a);
	if (err)
		return err;
	result = compute(operation, a, b, size, &flags);
	if (operation != ALU_CMP)
		err = emulate_write(e, &target, result);
	if (!err)
		emulate_set_flags(e, RFLAGS_ARITHMETIC, flags);
	return err;
}

/* 00-3B with ModRM: to memory, or to a register when bit 1 is set. */
int emulate_alu(struct emulation *e)
{
	enum alu operation = e->insn->opcode >> 3 & 7;
	unsigned int size = e->insn->operand_size;
	uint64_t a = emulate_gpr(e, e->insn->reg, size), b, result, flags;
	struct operand source;
	int err;

	if (!(e->insn->opcode & 2))
		return modify(e, operation, a);
	err = emulate_rm(e, size, 0, &source);
	if (!err)
		err = emulate_read(e, &source, &b);
	if (err)
		return err;
	flags = emulate_flags(e);
	result = compute(operation, a, b, size, &flags);
	if (operation != ALU_CMP)
		emulate_set_gpr(e, e->insn->reg, size, result);
	emulate_set_flags(e, RFLAGS_ARITHMETIC, flags);
	return 0;
}

/* 80-83 */
int emulate_alu_immediate(struct emulation *e)
{
	return modify(e, e->insn->reg & 7, emulate_immediate(e));
}

static int test(struct emulation *e, uint64_t b)
{
	unsigned int size = e->insn->operand_size;
	struct operand source;
	uint64_t a;
	int err = emulate_rm(e, size, 0, &source);

	if (!err)
		err = emulate_read(e, &source, &a);
	if (!err)
		emulate_set_flags(e, RFLAGS_ARITHMETIC, emulate_result_flags(a & b, size));
	return err;
}

/* 84, 85 */
int emulate_test(struct emulation *e)
{
	return test(e, emulate_gpr(e, e->insn->reg, e->insn->operand_size));
}

static uint64_t compute_unary(unsigned int operation, uint64_t a, unsigned int size,
	uint64_t *mask, uint64_t *flags)
{
	uint64_t result;

	*mask = RFLAGS_ARITHMETIC & ~RFLAGS_CF;
	switch (operation) {
	case UNARY_NOT:
		*mask = *flags = 0;
		return ~a;
	case UNARY_NEG:
		result = -a;
		*mask = RFLAGS_ARITHMETIC;
		*flags = emulate_subtract_flags(0, a, result, size);
		return result;
	case UNARY_INC:
		result = a + 1;
		*flags = emulate_add_flags(a, 1, result, size);
		return result;
	default:
		result = a - 1;
		*flags = emulate_subtract_flags(a, 1, result, size);
		return result;
	}
}

int emulate_unary(struct emulation *e, enum unary operation)
{
	unsigned int size = e->insn->operand_size;
	uint64_t a, result, mask, flags;
	struct operand target;
	int err = emulate_rm(e, size, ACCESS_WRITE, &target);

	if (!err)
		err = emulate_read(e, &target, &a);
	if (err)
		return err;
	result = compute_unary(operation, a, size, &mask, &flags);
	err = emulate_write(e, &target, result);
	if (!err && mask)
		emulate_set_flags(e, mask, flags);
	return err;
}

/* F6, F7: TEST, NOT, NEG, and the multiplications and divisions. */
int emulate_group3(struct emulation *e)
{
	switch (e->insn->reg & 7) {
	case 0:
	case 1:
		return test(e, emulate_immediate(e));
	case 2:
		return emulate_unary(e, UNARY_NOT);
	case 3:
		return emulate_unary(e, UNARY_NEG);
	default:
		return emulate_multiply_divide(e);
	}
}

/* 0F C0, C1 */
int emulate_xadd(struct emulation *e)
{
	unsigned int size = e->insn->operand_size;
	uint64_t b = emulate_gpr(e, e->insn->reg, size), a;
	struct operand target;
	int err = emulate_rm(e, size, ACCESS_WRITE, &target);

	if (!err)
		err = emulate_read(e, &target, &a);
	if (err)
		return err;
	if (!target.memory) /* both may name the same register: the sum stays */
		emulate_set_gpr(e, e->insn->reg, size, a);
	err = emulate_write(e, &target, a + b);
	if (err)
		return err;
	if (target.memory)
		emulate_set_gpr(e, e->insn->reg, size, a);
	emulate_set_flags(e, RFLAGS_ARITHMETIC, emulate_add_flags(a, b, a + b, size));
	return 0;
}

/* 0F B0, B1. Memory is written even when the comparison fails: with what it held. */
int emulate_cmpxchg(struct emulation *e)
{
	unsigned int size = e->insn->operand_size;
	uint64_t expected = emulate_gpr(e, GPR_RAX, size), old, flags;
	struct operand target;
	bool equal;
	int err = emulate_rm(e, size, ACCESS_WRITE, &target);

	if (!err)
		err = emulate_read(e, &target, &old);
	if (err)
		return err;
	equal = old == expected;
	err = emulate_write(e, &target, equal ? emulate_gpr(e, e->insn->reg, size) : old);
	if (err)
		return err;
	if (!equal)
		emulate_set_gpr(e, GPR_RAX, size, old);
	flags = emulate_subtract_flags(expected, old, expected - old, size);
	emulate_set_flags(e, RFLAGS_ARITHMETIC, flags);
	return 0;
}

/* CMPXCHG8B and CMPXCHG16B; the wider needs its operand aligned. */
int emulate_cmpxchg_double(struct emulation *e)
{
	unsigned int half = e->insn->rex & 8 ? 8 : 4;
	uint64_t old[2] = {0, 0}, memory[2], low, high;
	struct operand target;
	bool equal;
	int err;

	if ((e->insn->reg & 7) != 1 || !e->insn->has_memory)
		return -ENOTSUP;
	err = emulate_rm_aligned(e, half * 2, ACCESS_WRITE, half == 8, &target);
	if (!err)
		err = guest_span_read(e->vcpu, &target.span, memory);
	if (err)
		return err;
	old[0] = half == 8 ? memory[0] : (uint32_t)memory[0];
	old[1] = half == 8 ? memory[1] : memory[0] >> 32;
	equal = old[0] == emulate_gpr(e, GPR_RAX, half) && old[1] == emulate_gpr(e, GPR_RDX, half);
	if (equal) {
		low = emulate_gpr(e, GPR_RBX, half);
		high = emulate_gpr(e, GPR_RCX, half);
		memory[0] = half == 8 ? low : low | high << 32;
		memory[1] = high;
	}
	err = guest_span_write(e->vcpu, &target.span, memory);
	if (err)
		return err;
	if (!equal) {
		emulate_set_gpr(e, GPR_RAX, half, old[0]);
		emulate_set_gpr(e, GPR_RDX, half, old[1]);
	}
	emulate_set_flags(e, RFLAGS_ZF, equal ? RFLAGS_ZF : 0);
	return 0;
}
