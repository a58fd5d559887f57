/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Emulated moves between vector registers and memory, in their legacy and VEX forms. MMX is not
 * among them: touching its registers can raise an exception of the guest's in the host.
 */
#include "lib/string.h"
#include "vcpu/emulate_ops.h"
#include "vcpu/fpu.h"
#include "vcpu/insn_table.h"
#include "vcpu/simd_registers.h"

enum simd_shape {
	SIMD_NONE,
	SIMD_WHOLE,  /* 16 bytes, or 32 with VEX.256 */
	SIMD_SCALAR, /* the low `bytes`; a load clears the rest */
	SIMD_LOW,    /* the low 8 bytes; a load keeps the upper ones */
	SIMD_HIGH,   /* bytes 8-15, likewise */
	SIMD_GPR,    /* MOVD, MOVQ: 4 or 8 bytes by REX.W; ModRM.rm may be a general register */
};

struct simd_move {
	uint8_t map, opcode;
	uint8_t prefix;        /* PREFIX_... */
	bool store;
	enum simd_shape shape;
	uint8_t bytes;         /* of SIMD_SCALAR */
	bool aligned;          /* #GP when not aligned to its size */
};

static const struct simd_move moves[] = {
	/* MOVUPS, MOVUPD, MOVSS, MOVSD */
	{1, 0x10, PREFIX_NONE, false, SIMD_WHOLE, 0, false},
	{1, 0x11, PREFIX_NONE, true, SIMD_WHOLE, 0, false},
	{1, 0x10, PREFIX_66, false, SIMD_WHOLE, 0, false},
	{1, 0x11, PREFIX_66, true, SIMD_WHOLE, 0, false},
	{1, 0x10, PREFIX_F3, false, SIMD_SCALAR, 4, false},
	{1, 0x11, PREFIX_F3, true, SIMD_SCALAR, 4, false},
	{1, 0x10, PREFIX_F2, false, SIMD_SCALAR, 8, false},
	{1, 0x11, PREFIX_F2, true, SIMD_SCALAR, 8, false},
	/* MOVLPS, MOVLPD, MOVHPS, MOVHPD */
	{1, 0x12, PREFIX_NONE, false, SIMD_LOW, 8, false},
	{1, 0x13, PREFIX_NONE, true, SIMD_LOW, 8, false},
	{1, 0x12, PREFIX_66, false, SIMD_LOW, 8, false},
	{1, 0x13, PREFIX_66, true, SIMD_LOW, 8, false},
	{1, 0x16, PREFIX_NONE, false, SIMD_HIGH, 8, false},
	{1, 0x17, PREFIX_NONE, true, SIMD_HIGH, 8, false},
	{1, 0x16, PREFIX_66, false, SIMD_HIGH, 8, false},
	{1, 0x17, PREFIX_66, true, SIMD_HIGH, 8, false},
	/* MOVAPS, MOVAPD, MOVNTPS, MOVNTPD */
	{1, 0x28, PREFIX_NONE, false, SIMD_WHOLE, 0, true},
	{1, 0x29, PREFIX_NONE, true, SIMD_WHOLE, 0, true},
	{1, 0x28, PREFIX_66, false, SIMD_WHOLE, 0, true},
	{1, 0x29, PREFIX_66, true, SIMD_WHOLE, 0, true},
	{1, 0x2b, PREFIX_NONE, true, SIMD_WHOLE, 0, true},
	{1, 0x2b, PREFIX_66, true, SIMD_WHOLE, 0, true},
	/* MOVD, MOVQ, MOVDQA, MOVDQU, MOVNTDQ, LDDQU, MOVNTDQA */
	{1, 0x6e, PREFIX_66, false, SIMD_GPR, 0, false},
	{1, 0x7e, PREFIX_66, true, SIMD_GPR, 0, false},
	{1, 0x7e, PREFIX_F3, false, SIMD_SCALAR, 8, false},
	{1, 0xd6, PREFIX_66, true, SIMD_SCALAR, 8, false},
	{1, 0x6f, PREFIX_66, false, SIMD_WHOLE, 0, true},
	{1, 0x7f, PREFIX_66, true, SIMD_WHOLE, 0, true},
	{1, 0x6f, PREFIX_F3, false, SIMD_WHOLE, 0, false},
	{1, 0x7f, PREFIX_F3, true, SIMD_WHOLE, 0, false},
	{1, 0xe7, PREFIX_66, true, SIMD_WHOLE, 0, true},
	{1, 0xf0, PREFIX_F2, false, SIMD_WHOLE, 0, false},
	{2, 0x2a, PREFIX_66, false, SIMD_WHOLE, 0, true},
};

static const struct simd_move *find_move(const struct insn *insn)
{
	uint8_t prefix = insn_prefix_bit(insn);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(moves); i++) {
		if (moves[i].opcode == insn->opcode && moves[i].map == insn->map &&
			moves[i].prefix == prefix)
			return &moves[i];
	}
	return NULL;
}

/*
 * Does the guest's state allow vector instructions now? 0, -EILSEQ, or -EFAULT with #NM queued.
 * The registers are touched after this alone, whatever the code was when the exit happened.
 */
static int check_state(struct emulation *e)
{
	struct vcpu *vcpu = e->vcpu;
	const struct special_regs *special = &vcpu->special;

	vcpu_need(vcpu, REG_CR0 | REG_CR4 | REG_RFLAGS);
	if (e->insn->encoding == INSN_VEX) {
		if (!(special->cr0 & CR0_PE) || special->rflags & RFLAGS_VM ||
			!(special->cr4 & CR4_OSXSAVE) ||
			(~fpu_guest_xcr0() & (XCR0_SSE | XCR0_AVX)))
			return -EILSEQ;
	} else if (special->cr0 & CR0_EM || !(special->cr4 & CR4_OSFXSR)) {
		return -EILSEQ;
	}
	if (special->cr0 & CR0_TS) {
		vcpu_inject_exception(vcpu, VECTOR_NM);
		return -EFAULT;
	}
	return 0;
}

static unsigned int move_bytes(const struct emulation *e, const struct simd_move *move)
{
	switch (move->shape) {
	case SIMD_WHOLE:
		return e->insn->vector_length ? 32 : 16;
	case SIMD_GPR:
		return e->insn->rex & 8 ? 8 : 4;
	default:
		return move->bytes;
	}
}

/* VEX.256 and VEX.vvvv have a meaning in some forms only; elsewhere they are illegal. */
static bool vex_legal(const struct insn *insn, const struct simd_move *move)
{
	bool merges = !move->store && (move->shape == SIMD_LOW || move->shape == SIMD_HIGH);

	if (insn->encoding != INSN_VEX)
		return true;
	if (insn->vector_length && move->shape != SIMD_WHOLE && move->shape != SIMD_SCALAR)
		return false;
	if (insn->vector_length && (insn->opcode == 0x7e || insn->opcode == 0xd6))
		return false;
	return merges || insn->vector_source == 0;
}

static int store(struct emulation *e, const struct simd_move *move, struct operand *target)
{
	uint8_t value[32];
	unsigned int from = move->shape == SIMD_HIGH ? 8 : 0;

	simd_register_read(e->insn->reg, e->insn->vector_length ? 32 : 16, value);
	return guest_span_write(e->vcpu, &target->span, value + from);
}

static int load(struct emulation *e, const struct simd_move *move, struct operand *source)
{
	bool vex = e->insn->encoding == INSN_VEX;
	uint8_t loaded[32], value[32];
	int err = guest_span_read(e->vcpu, &source->span, loaded);

	if (err)
		return err;
	memset(value, 0, sizeof(value));
	if (move->shape == SIMD_LOW || move->shape == SIMD_HIGH)
		simd_register_read(vex ? e->insn->vector_source : e->insn->reg, 16, value);
	memcpy(value + (move->shape == SIMD_HIGH ? 8 : 0), loaded, source->size);
	simd_register_write(e->insn->reg, source->size == 32 ? 32 : 16,
		vex ? SIMD_ZERO : SIMD_KEEP, value);
	return 0;
}

int emulate_simd(struct emulation *e)
{
	const struct simd_move *move = find_move(e->insn);
	struct operand operand;
	unsigned int bytes;
	int err;

	if (!move || !e->insn->has_memory)
		return -ENOTSUP;
	if (!vex_legal(e->insn, move))
		return -EILSEQ;
	err = check_state(e);
	if (err)
		return err;
	bytes = move_bytes(e, move);
	err = emulate_rm_aligned(e, bytes, move->store ? ACCESS_WRITE : 0, move->aligned, &operand);
	if (err)
		return err;
	return move->store ? store(e, move, &operand) : load(e, move, &operand);
}
