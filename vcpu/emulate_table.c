/* SPDX-License-Identifier: BSD-2-Clause */
/* Which handler emulates which opcode. What is missing here stops the VM, with its bytes. */
#include "vcpu/emulate_ops.h"

static int (*const one_byte[256])(struct emulation *e) = {
	[0x00 ... 0x03] = emulate_alu,
	[0x08 ... 0x0b] = emulate_alu,
	[0x10 ... 0x13] = emulate_alu,
	[0x18 ... 0x1b] = emulate_alu,
	[0x20 ... 0x23] = emulate_alu,
	[0x28 ... 0x2b] = emulate_alu,
	[0x30 ... 0x33] = emulate_alu,
	[0x38 ... 0x3b] = emulate_alu,
	[0x50 ... 0x57] = emulate_push_register,
	[0x58 ... 0x5f] = emulate_pop_register,
	[0x63] = emulate_movsxd,
	[0x68] = emulate_push_immediate,
	[0x69] = emulate_imul,
	[0x6a] = emulate_push_immediate,
	[0x6b] = emulate_imul,
	[0x6c ... 0x6f] = emulate_port_string,
	[0x80 ... 0x83] = emulate_alu_immediate,
	[0x84 ... 0x85] = emulate_test,
	[0x86 ... 0x87] = emulate_xchg,
	[0x88 ... 0x89] = emulate_mov_store,
	[0x8a ... 0x8b] = emulate_mov_load,
	[0x8c] = emulate_mov_from_segment,
	[0x8e] = emulate_mov_to_segment,
	[0x8f] = emulate_pop_rm,
	/* No ModRM: the register is number 0, which is right. */
	[0xa0 ... 0xa1] = emulate_mov_load,
	[0xa2 ... 0xa3] = emulate_mov_store,
	[0xa4 ... 0xa7] = emulate_string,
	[0xaa ... 0xaf] = emulate_string,
	[0xc0 ... 0xc1] = emulate_shift,
	[0xc2 ... 0xc3] = emulate_return,
	[0xc6 ... 0xc7] = emulate_mov_immediate,
	[0xd0 ... 0xd3] = emulate_shift,
	[0xe4 ... 0xe7] = emulate_port,
	[0xe8] = emulate_call_relative,
	[0xec ... 0xef] = emulate_port,
	[0xf6 ... 0xf7] = emulate_group3,
	[0xfe ... 0xff] = emulate_group5,
};

static int (*const map_0f[256])(struct emulation *e) = {
	[0x10 ... 0x13] = emulate_simd,
	[0x16 ... 0x17] = emulate_simd,
	[0x28 ... 0x29] = emulate_simd,
	[0x2b] = emulate_simd,
	[0x40 ... 0x4f] = emulate_cmov,
	[0x6e ... 0x6f] = emulate_simd,
	[0x7e ... 0x7f] = emulate_simd,
	[0x90 ... 0x9f] = emulate_setcc,
	[0xa3] = emulate_bit_register,
	[0xa4 ... 0xa5] = emulate_shift_double,
	[0xab] = emulate_bit_register,
	[0xac ... 0xad] = emulate_shift_double,
	[0xaf] = emulate_imul,
	[0xb0 ... 0xb1] = emulate_cmpxchg,
	[0xb3] = emulate_bit_register,
	[0xb6 ... 0xb7] = emulate_mov_extend,
	[0xb8] = emulate_bit_scan,
	[0xba] = emulate_bit_immediate,
	[0xbb] = emulate_bit_register,
	[0xbc ... 0xbd] = emulate_bit_scan,
	[0xbe ... 0xbf] = emulate_mov_extend,
	[0xc0 ... 0xc1] = emulate_xadd,
	[0xc3] = emulate_movnti,
	[0xc7] = emulate_cmpxchg_double,
	[0xd6] = emulate_simd,
	[0xe7] = emulate_simd,
	[0xf0] = emulate_simd,
};

static int dispatch_0f38(struct emulation *e)
{
	switch (e->insn->opcode) {
	case 0x2a:
		return emulate_simd(e);
	case 0xf0:
	case 0xf1:
		return emulate_movbe(e);
	case 0xf9:
		return emulate_movnti(e);
	default:
		return -ENOTSUP;
	}
}

int emulate_dispatch(struct emulation *e)
{
	int (*handler)(struct emulation *e) = NULL;

	if (unlikely(e->insn->encoding != INSN_LEGACY))
		return e->insn->encoding == INSN_VEX ? emulate_simd(e) : -ENOTSUP;
	if (e->insn->map == 0)
		handler = one_byte[e->insn->opcode];
	else if (e->insn->map == 1)
		handler = map_0f[e->insn->opcode];
	else if (e->insn->map == 2)
		return dispatch_0f38(e);
	return likely(handler) ? handler(e) : -ENOTSUP;
}
