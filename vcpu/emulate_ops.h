/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the parts of the emulator: one instruction under way, its operands, and the handlers by
 * concept. A handler changes no register before its last access that can fail.
 */
#ifndef BALLAST_VCPU_EMULATE_OPS_H
#define BALLAST_VCPU_EMULATE_OPS_H

#include "host/x86.h"
#include "vcpu/emulate.h"
#include "vcpu/guest_access.h"
#include "vcpu/insn.h"
#include "vcpu/vm.h"

#define RFLAGS_ARITHMETIC                                                                          \
	(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

struct emulation {
	struct vcpu *vcpu;
	const struct insn *insn;
	unsigned int mode_bits;  /* 16, 32, 64 */
	uint64_t access;         /* ACCESS_USER at CPL 3, else 0 */
	bool several;            /* memory operands: the exit's address may be either's */
};

/*
 * What a handler returns: 0 when the instruction is done, EMULATE_RESUME when the guest is to go
 * on where it is, -EFAULT when an exception has been queued, -EAGAIN when memory cannot be had now,
 * nothing has been done and the instruction is to begin again, -EILSEQ for #UD, -ENOTSUP for what
 * the emulator does not know.
 */
#define EMULATE_RESUME 1

/* An operand named by ModRM.rm, or any memory operand, ready to be accessed. */
struct operand {
	uint8_t size;             /* bytes */
	uint8_t gpr;              /* register operand */
	bool memory;
	struct guest_span span;   /* memory operand, translated */
};

/* emulate_operand.c: registers by number and size, AH-DH and zero extension of 32 bits included. */
uint64_t emulate_gpr(const struct emulation *e, unsigned int number, unsigned int size);
void emulate_set_gpr(struct emulation *e, unsigned int number, unsigned int size, uint64_t value);
/* A whole address register: RSP made valid first. */
uint64_t emulate_address_gpr(struct emulation *e, unsigned int number);

/* Offset in the segment that the instruction's memory operand has; `extra` bytes are added. */
uint64_t emulate_offset(struct emulation *e, int64_t extra);
/* `access`: ACCESS_WRITE or 0. Translates; nothing is read or written yet. */
int emulate_memory(struct emulation *e, enum segment_name segment, uint64_t offset,
	unsigned int size, uint64_t access, struct operand *operand) __must_check;
/* The operand of ModRM.rm (or moffs). */
int emulate_rm(struct emulation *e, unsigned int size, uint64_t access, struct operand *operand)
	__must_check;
/* The same, which must be in memory; #GP when `aligned` and it is not aligned to its size. */
int emulate_rm_aligned(struct emulation *e, unsigned int size, uint64_t access, bool aligned,
	struct operand *operand) __must_check;
/* Up to 8 bytes; zero-extended. */
int emulate_read(struct emulation *e, const struct operand *operand, uint64_t *value) __must_check;
int emulate_write(struct emulation *e, const struct operand *operand, uint64_t value) __must_check;

uint64_t emulate_sign_extend(uint64_t value, unsigned int size);
/* The immediate, sign-extended from its own size. */
static inline uint64_t emulate_immediate(const struct emulation *e)
{
	return emulate_sign_extend(e->insn->immediate, e->insn->immediate_size);
}

static inline uint64_t emulate_flags(struct emulation *e)
{
	vcpu_need(e->vcpu, REG_RFLAGS);
	return e->vcpu->special.rflags;
}
/* Replace the bits of `mask`. */
static inline void emulate_set_flags(struct emulation *e, uint64_t mask, uint64_t flags)
{
	vcpu_need(e->vcpu, REG_RFLAGS);
	e->vcpu->special.rflags = (e->vcpu->special.rflags & ~mask) | (flags & mask);
	vcpu_set_dirty(e->vcpu, REG_RFLAGS);
}
/* Condition code 0-15 of Jcc, SETcc, CMOVcc. */
bool emulate_condition(struct emulation *e, unsigned int code);

/* emulate_fast.c: do the instruction if it is a common one; false, nothing done, if not. */
bool emulate_fast(struct vcpu *vcpu, const struct insn_site *site);
/* Call the handler of the decoded instruction; -ENOTSUP when there is none. */
int emulate_dispatch(struct emulation *e) __must_check;

/* emulate_flags.c: the arithmetic flags of a result; operands may have bits above `size`. */
static inline uint64_t emulate_sign_bit(unsigned int size)
{
	return 1ULL << (size * 8 - 1);
}
/* PF, ZF, SF; the others clear: logic. */
uint64_t emulate_result_flags(uint64_t result, unsigned int size);
/* All, of result = a + b (+ carry) and of result = a - b (- borrow). */
uint64_t emulate_add_flags(uint64_t a, uint64_t b, uint64_t result, unsigned int size);
uint64_t emulate_subtract_flags(uint64_t a, uint64_t b, uint64_t result, unsigned int size);

/* emulate_alu.c */
enum unary {
	UNARY_NOT, UNARY_NEG, UNARY_INC, UNARY_DEC
};
int emulate_unary(struct emulation *e, enum unary operation);
int emulate_alu(struct emulation *e);
int emulate_alu_immediate(struct emulation *e);
int emulate_test(struct emulation *e);
int emulate_group3(struct emulation *e);
int emulate_xadd(struct emulation *e);
int emulate_cmpxchg(struct emulation *e);
int emulate_cmpxchg_double(struct emulation *e);
/* emulate_multiply.c */
int emulate_multiply_divide(struct emulation *e);
int emulate_imul(struct emulation *e);
/* emulate_shift.c */
int emulate_shift(struct emulation *e);
int emulate_shift_double(struct emulation *e);
/* emulate_bits.c */
int emulate_bit_immediate(struct emulation *e);
int emulate_bit_register(struct emulation *e);
int emulate_bit_scan(struct emulation *e);
/* emulate_stack.c */
int emulate_push_register(struct emulation *e);
int emulate_push_immediate(struct emulation *e);
int emulate_pop_register(struct emulation *e);
int emulate_pop_rm(struct emulation *e);
int emulate_call_relative(struct emulation *e);
int emulate_return(struct emulation *e);
int emulate_group5(struct emulation *e);
/* emulate_string.c */
int emulate_string(struct emulation *e);
int emulate_port_string(struct emulation *e);
int emulate_port(struct emulation *e);
/* emulate_simd.c: moves of vector registers, legacy and VEX. */
int emulate_simd(struct emulation *e);
/* emulate_move.c */
int emulate_mov_store(struct emulation *e);
int emulate_mov_load(struct emulation *e);
int emulate_mov_immediate(struct emulation *e);
int emulate_mov_extend(struct emulation *e);
int emulate_movsxd(struct emulation *e);
int emulate_xchg(struct emulation *e);
int emulate_cmov(struct emulation *e);
int emulate_setcc(struct emulation *e);
int emulate_movbe(struct emulation *e);
int emulate_movnti(struct emulation *e);
int emulate_mov_from_segment(struct emulation *e);
int emulate_mov_to_segment(struct emulation *e);

#endif
