/* SPDX-License-Identifier: BSD-2-Clause */
/* Emulated pushes, pops and near branches: operand or stack may be in a device. */
#include "vcpu/emulate_ops.h"

/* Width of the stack pointer: by the mode, else by the stack segment. */
static unsigned int stack_size(struct emulation *e)
{
	if (e->mode_bits == 64)
		return 8;
	vcpu_need(e->vcpu, REG_SS);
	return e->vcpu->special.segments[SEG_SS].attributes & SEGMENT_DB ? 4 : 2;
}

/* The pointer moves as wide as the stack is; bits above it stay. */
static void move_stack(struct emulation *e, int64_t bytes)
{
	unsigned int size = stack_size(e);
	uint64_t old = emulate_address_gpr(e, GPR_RSP), mask = byte_mask(size);

	e->vcpu->regs.gpr[GPR_RSP] = (old & ~mask) | ((old + (uint64_t)bytes) & mask);
	vcpu_set_dirty(e->vcpu, REG_RSP);
}

/* Where the next value goes. */
static int new_top(struct emulation *e, unsigned int size, struct operand *top)
{
	uint64_t offset =
		(emulate_address_gpr(e, GPR_RSP) - size) & byte_mask(stack_size(e));

	return emulate_memory(e, SEG_SS, offset, size, ACCESS_WRITE, top);
}

static int push(struct emulation *e, unsigned int size, uint64_t value)
{
	struct operand top;
	int err = new_top(e, size, &top);

	if (!err)
		err = emulate_write(e, &top, value);
	if (!err)
		move_stack(e, -(int64_t)size);
	return err;
}

/* Reads the top; the caller moves the stack when all else is done. */
static int peek(struct emulation *e, unsigned int size, uint64_t *value)
{
	uint64_t offset = emulate_address_gpr(e, GPR_RSP) & byte_mask(stack_size(e));
	struct operand top;
	int err = emulate_memory(e, SEG_SS, offset, size, 0, &top);

	return err ? err : emulate_read(e, &top, value);
}

/* 50-57 */
int emulate_push_register(struct emulation *e)
{
	unsigned int number = (e->insn->opcode & 7) | (e->insn->rex & 1) << 3;

	return push(e, e->insn->operand_size, emulate_gpr(e, number, e->insn->operand_size));
}

/* 68, 6A */
int emulate_push_immediate(struct emulation *e)
{
	return push(e, e->insn->operand_size, emulate_immediate(e));
}

/* 58-5F */
int emulate_pop_register(struct emulation *e)
{
	unsigned int number = (e->insn->opcode & 7) | (e->insn->rex & 1) << 3;
	uint64_t value;
	int err = peek(e, e->insn->operand_size, &value);

	if (err)
		return err;
	move_stack(e, e->insn->operand_size);
	emulate_set_gpr(e, number, e->insn->operand_size, value);
	return 0;
}

/* 8F /0. An address with rSP in it uses the pointer as it is after the pop. */
int emulate_pop_rm(struct emulation *e)
{
	unsigned int size = e->insn->operand_size;
	uint64_t value, old = emulate_address_gpr(e, GPR_RSP);
	struct operand target;
	int err;

	e->several = true;
	err = peek(e, size, &value);
	if (err)
		return err;
	move_stack(e, size);
	err = emulate_rm(e, size, ACCESS_WRITE, &target);
	if (!err)
		err = emulate_write(e, &target, value);
	if (err)
		e->vcpu->regs.gpr[GPR_RSP] = old;
	return err;
}

/* Can RIP be set to this? #GP is queued if not. */
static int check_target(struct emulation *e, uint64_t target)
{
	struct vcpu *vcpu = e->vcpu;
	bool bad;

	if (e->mode_bits == 64)
		bad = !guest_is_canonical(vcpu, target);
	else
		bad = target > vcpu->special.segments[SEG_CS].limit;
	if (!bad)
		return 0;
	vcpu_inject_gp(vcpu);
	return -EFAULT;
}

/* The run loop will add the instruction's length, as it does to everything that is done. */
static int branch(struct emulation *e, uint64_t target)
{
	e->vcpu->special.rip = target - e->insn->length;
	vcpu_set_dirty(e->vcpu, REG_RIP);
	return 0;
}

static int call(struct emulation *e, uint64_t target)
{
	uint64_t next = e->vcpu->special.rip + e->insn->length;
	int err = check_target(e, target);

	if (!err)
		err = push(e, e->insn->operand_size, next);
	return err ? err : branch(e, target);
}

/* E8: the displacement is as wide as the operand, 32 bits in 64-bit mode. */
int emulate_call_relative(struct emulation *e)
{
	uint64_t target = e->vcpu->special.rip + e->insn->length + emulate_immediate(e);

	return call(e, target & byte_mask(e->insn->operand_size));
}

/* C2, C3 */
int emulate_return(struct emulation *e)
{
	uint64_t target;
	int err = peek(e, e->insn->operand_size, &target);

	if (!err)
		err = check_target(e, target);
	if (err)
		return err;
	move_stack(e, e->insn->operand_size + (int64_t)e->insn->immediate);
	return branch(e, target);
}

/* FF /2, /4, /6: CALL, JMP, PUSH. */
static int branch_or_push(struct emulation *e)
{
	unsigned int size = e->insn->operand_size;
	struct operand source, top;
	uint64_t value;
	int err;

	e->several = (e->insn->reg & 7) != 4;
	err = emulate_rm(e, size, 0, &source);
	/* The stack is had before a device is read, which is not read again. */
	if (!err && e->several)
		err = new_top(e, size, &top);
	if (!err)
		err = emulate_read(e, &source, &value);
	if (err)
		return err;
	switch (e->insn->reg & 7) {
	case 2:
		return call(e, value);
	case 4:
		err = check_target(e, value);
		return err ? err : branch(e, value);
	default:
		return push(e, size, value);
	}
}

/* FE, FF. Far branches through a device are nothing that a guest does. */
int emulate_group5(struct emulation *e)
{
	switch (e->insn->reg & 7) {
	case 0:
		return emulate_unary(e, UNARY_INC);
	case 1:
		return emulate_unary(e, UNARY_DEC);
	case 2:
	case 4:
	case 6:
		return branch_or_push(e);
	default:
		return -ENOTSUP;
	}
}
