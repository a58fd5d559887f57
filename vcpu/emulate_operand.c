/* SPDX-License-Identifier: BSD-2-Clause */
/* Operands of emulated instructions: registers, effective addresses, memory. */
#include "vcpu/emulate_ops.h"

uint64_t emulate_sign_extend(uint64_t value, unsigned int size)
{
	switch (size) {
	case 1:
		return (uint64_t)(int8_t)value;
	case 2:
		return (uint64_t)(int16_t)value;
	case 4:
		return (uint64_t)(int32_t)value;
	default:
		return value;
	}
}

/* Without REX, byte registers 4-7 are AH, CH, DH, BH. */
static inline bool is_high_byte(const struct emulation *e, unsigned int number, unsigned int size)
{
	return size == 1 && number >= 4 && number < 8 && e->insn->rex == 0;
}

uint64_t emulate_gpr(const struct emulation *e, unsigned int number, unsigned int size)
{
	if (is_high_byte(e, number, size))
		return e->vcpu->regs.gpr[number - 4] >> 8 & 0xff;
	if (unlikely(number == GPR_RSP))
		vcpu_need(e->vcpu, REG_RSP);
	return e->vcpu->regs.gpr[number] & byte_mask(size);
}

void emulate_set_gpr(struct emulation *e, unsigned int number, unsigned int size, uint64_t value)
{
	uint64_t *gpr = &e->vcpu->regs.gpr[number];

	if (unlikely(is_high_byte(e, number, size))) {
		gpr = &e->vcpu->regs.gpr[number - 4];
		*gpr = (*gpr & ~0xff00ULL) | (value & 0xff) << 8;
		return;
	}
	if (unlikely(number == GPR_RSP)) {
		vcpu_need(e->vcpu, REG_RSP);
		vcpu_set_dirty(e->vcpu, REG_RSP);
	}
	if (size >= 4)
		*gpr = value & byte_mask(size);
	else
		*gpr = (*gpr & ~byte_mask(size)) | (value & byte_mask(size));
}

uint64_t emulate_address_gpr(struct emulation *e, unsigned int number)
{
	if (unlikely(number == GPR_RSP))
		vcpu_need(e->vcpu, REG_RSP);
	return e->vcpu->regs.gpr[number];
}

uint64_t emulate_offset(struct emulation *e, int64_t extra)
{
	const struct insn *insn = e->insn;
	uint64_t offset = (uint64_t)insn->displacement + (uint64_t)extra;

	if (insn->base >= 0)
		offset += emulate_address_gpr(e, insn->base);
	if (insn->index >= 0)
		offset += e->vcpu->regs.gpr[insn->index] * insn->scale;
	if (insn->rip_relative)
		offset += e->vcpu->special.rip + insn->length;
	return insn->address_size == 8 ? offset : offset & byte_mask(insn->address_size);
}

/*
 * May the address that the exit reported stand for a walk? Only if it is for this very access:
 * the guest may have put another instruction here since.
 */
static inline bool exit_knows(const struct emulation *e, gva_t linear, unsigned int size,
	uint64_t access)
{
	const struct vcpu_exit *exit = &e->vcpu->exit;

	return exit->kind == EXIT_MEMORY && !exit->u.memory.walk && !e->several &&
		((linear ^ exit->u.memory.gpa) & PAGE_MASK) == 0 &&
		(linear & PAGE_MASK) + size <= PAGE_SIZE &&
		(!(access & ACCESS_WRITE) || exit->u.memory.access & S2_WRITE) &&
		!(exit->u.memory.access & S2_EXEC);
}

/* #AC: misaligned data at CPL 3, where the guest asks for the check. */
static bool alignment_faults(struct emulation *e, gva_t linear, unsigned int size)
{
	struct vcpu *vcpu = e->vcpu;

	if (likely(!(e->access & ACCESS_USER)) || (linear & (MIN(size, 8) - 1)) == 0)
		return false;
	vcpu_need(vcpu, REG_CR0 | REG_RFLAGS);
	return vcpu->special.cr0 & CR0_AM && vcpu->special.rflags & RFLAGS_AC;
}

int emulate_memory(struct emulation *e, enum segment_name segment, uint64_t offset,
	unsigned int size, uint64_t access, struct operand *operand)
{
	gva_t linear;
	int err = guest_linear(e->vcpu, segment, offset, size, access, &linear);

	if (err)
		return err;
	if (unlikely(alignment_faults(e, linear, size))) {
		vcpu_inject_exception_error(e->vcpu, VECTOR_AC, 0);
		return -EFAULT;
	}
	operand->memory = true;
	operand->size = size;
	if (exit_knows(e, linear, size, access)) {
		operand->span.gpa[0] = e->vcpu->exit.u.memory.gpa;
		operand->span.first = operand->span.size = size;
		return 0;
	}
	return guest_span_translate(e->vcpu, linear, size, access | e->access, &operand->span);
}

int emulate_rm(struct emulation *e, unsigned int size, uint64_t access, struct operand *operand)
{
	if (likely(e->insn->has_memory))
		return emulate_memory(e, e->insn->segment, emulate_offset(e, 0), size, access,
			operand);
	operand->memory = false;
	operand->size = size;
	operand->gpr = e->insn->rm;
	return 0;
}

int emulate_rm_aligned(struct emulation *e, unsigned int size, uint64_t access, bool aligned,
	struct operand *operand)
{
	uint64_t offset = emulate_offset(e, 0);
	gva_t linear;
	int err;

	if (!e->insn->has_memory)
		return -ENOTSUP;
	if (aligned) {
		err = guest_linear(e->vcpu, e->insn->segment, offset, size, access, &linear);
		if (err)
			return err;
		if (linear & (size - 1)) {
			vcpu_inject_gp(e->vcpu);
			return -EFAULT;
		}
	}
	return emulate_memory(e, e->insn->segment, offset, size, access, operand);
}

int emulate_read(struct emulation *e, const struct operand *operand, uint64_t *value)
{
	*value = 0;
	if (likely(operand->memory))
		return guest_span_read(e->vcpu, &operand->span, value);
	*value = emulate_gpr(e, operand->gpr, operand->size);
	return 0;
}

int emulate_write(struct emulation *e, const struct operand *operand, uint64_t value)
{
	if (likely(operand->memory))
		return guest_span_write(e->vcpu, &operand->span, &value);
	emulate_set_gpr(e, operand->gpr, operand->size, value);
	return 0;
}

bool emulate_condition(struct emulation *e, unsigned int code)
{
	uint64_t flags = emulate_flags(e);
	bool less = !(flags & RFLAGS_SF) != !(flags & RFLAGS_OF);
	bool holds = false;

	switch (code >> 1) {
	case 0:
		holds = flags & RFLAGS_OF;
		break;
	case 1:
		holds = flags & RFLAGS_CF;
		break;
	case 2:
		holds = flags & RFLAGS_ZF;
		break;
	case 3:
		holds = flags & (RFLAGS_CF | RFLAGS_ZF);
		break;
	case 4:
		holds = flags & RFLAGS_SF;
		break;
	case 5:
		holds = flags & RFLAGS_PF;
		break;
	case 6:
		holds = less;
		break;
	case 7:
		holds = less || flags & RFLAGS_ZF;
		break;
	}
	return holds != (code & 1);
}
