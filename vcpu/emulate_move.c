/* SPDX-License-Identifier: BSD-2-Clause */
/* Emulated moves between general registers, segment registers and memory. */
#include "vcpu/emulate_ops.h"

int emulate_mov_load(struct emulation *e)
{
	struct operand source;
	uint64_t value;
	int err = emulate_rm(e, e->insn->operand_size, 0, &source);

	if (!err)
		err = emulate_read(e, &source, &value);
	if (!err)
		emulate_set_gpr(e, e->insn->reg, e->insn->operand_size, value);
	return err;
}

static int store(struct emulation *e, unsigned int size, uint64_t value)
{
	struct operand target;
	int err = emulate_rm(e, size, ACCESS_WRITE, &target);

	return err ? err : emulate_write(e, &target, value);
}

int emulate_mov_store(struct emulation *e)
{
	return store(e, e->insn->operand_size, emulate_gpr(e, e->insn->reg, e->insn->operand_size));
}

int emulate_mov_immediate(struct emulation *e)
{
	if (e->insn->reg & 7)
		return -ENOTSUP; /* XABORT, XBEGIN: no memory, never here */
	return store(e, e->insn->operand_size, emulate_immediate(e));
}

/* MOVZX, MOVSX: 0F B6, B7, BE, BF. */
int emulate_mov_extend(struct emulation *e)
{
	unsigned int size = e->insn->opcode & 1 ? 2 : 1;
	struct operand source;
	uint64_t value;
	int err = emulate_rm(e, size, 0, &source);

	if (!err)
		err = emulate_read(e, &source, &value);
	if (err)
		return err;
	if (e->insn->opcode & 8)
		value = emulate_sign_extend(value, size);
	emulate_set_gpr(e, e->insn->reg, e->insn->operand_size, value);
	return 0;
}

/* 63 in 64-bit mode; elsewhere it is ARPL. */
int emulate_movsxd(struct emulation *e)
{
	unsigned int size = MIN(e->insn->operand_size, 4);
	struct operand source;
	uint64_t value;
	int err;

	if (e->mode_bits != 64)
		return -ENOTSUP;
	err = emulate_rm(e, size, 0, &source);
	if (!err)
		err = emulate_read(e, &source, &value);
	if (!err)
		emulate_set_gpr(e, e->insn->reg, e->insn->operand_size,
			emulate_sign_extend(value, size));
	return err;
}

int emulate_xchg(struct emulation *e)
{
	unsigned int size = e->insn->operand_size;
	struct operand target;
	uint64_t old, value = emulate_gpr(e, e->insn->reg, size);
	int err = emulate_rm(e, size, ACCESS_WRITE, &target);

	if (!err)
		err = emulate_read(e, &target, &old);
	if (!err)
		err = emulate_write(e, &target, value);
	if (!err)
		emulate_set_gpr(e, e->insn->reg, size, old);
	return err;
}

/* The source is read, and a 32-bit target zero-extended, whether the condition holds or not. */
int emulate_cmov(struct emulation *e)
{
	unsigned int size = e->insn->operand_size;
	struct operand source;
	uint64_t value;
	int err = emulate_rm(e, size, 0, &source);

	if (!err)
		err = emulate_read(e, &source, &value);
	if (err)
		return err;
	if (!emulate_condition(e, e->insn->opcode & 15))
		value = emulate_gpr(e, e->insn->reg, size);
	emulate_set_gpr(e, e->insn->reg, size, value);
	return 0;
}

int emulate_setcc(struct emulation *e)
{
	return store(e, 1, emulate_condition(e, e->insn->opcode & 15));
}

/* The low `size` bytes in reverse order. */
static uint64_t swap_bytes(uint64_t value, unsigned int size)
{
	return __builtin_bswap64(value) >> (64 - size * 8);
}

/* 0F 38 F0 loads, F1 stores; with F2 they are CRC32. */
int emulate_movbe(struct emulation *e)
{
	unsigned int size = e->insn->operand_size;
	struct operand source;
	uint64_t value;
	int err;

	if (e->insn->repne)
		return -ENOTSUP;
	if (e->insn->opcode == 0xf1)
		return store(e, size, swap_bytes(emulate_gpr(e, e->insn->reg, size), size));
	err = emulate_rm(e, size, 0, &source);
	if (!err)
		err = emulate_read(e, &source, &value);
	if (!err)
		emulate_set_gpr(e, e->insn->reg, size, swap_bytes(value, size));
	return err;
}

/* MOVNTI and MOVDIRI have no 16-bit form. */
int emulate_movnti(struct emulation *e)
{
	unsigned int size = e->insn->rex & 8 ? 8 : 4;

	return store(e, size, emulate_gpr(e, e->insn->reg, size));
}

/* To memory always 16 bits; to a register the operand size, zero-extended. */
int emulate_mov_from_segment(struct emulation *e)
{
	struct vcpu *vcpu = e->vcpu;

	vcpu_need(vcpu, REG_CS | REG_SS | REG_SEGMENTS);
	return store(e, e->insn->has_memory ? 2 : e->insn->operand_size,
		vcpu->special.segments[e->insn->reg & 7].selector);
}

/*
 * Where a selector is only a paragraph number. In protected mode a descriptor would have to be
 * loaded; no guest keeps selectors in a device.
 */
int emulate_mov_to_segment(struct emulation *e)
{
	struct vcpu *vcpu = e->vcpu;
	enum segment_name name = e->insn->reg & 7;
	struct operand source;
	uint64_t value;
	int err;

	vcpu_need(vcpu, REG_CR0 | REG_RFLAGS | REG_CS | REG_SS | REG_SEGMENTS | REG_SHADOW);
	if (vcpu->special.cr0 & CR0_PE && !(vcpu->special.rflags & RFLAGS_VM))
		return -ENOTSUP;
	err = emulate_rm(e, 2, 0, &source);
	if (!err)
		err = emulate_read(e, &source, &value);
	if (err)
		return err;
	vcpu->special.segments[name].selector = value;
	vcpu->special.segments[name].base = value << 4;
	vcpu_set_dirty(vcpu, name == SEG_SS ? REG_SS : REG_SEGMENTS);
	return 0;
}
