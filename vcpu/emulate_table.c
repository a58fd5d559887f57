/* SPDX-License-Identifier: BSD-2-Clause */
/* Which handler emulates which opcode. What is missing here stops the VM, with its bytes. */
#include "vcpu/emulate_ops.h"

static int (*const one_byte[256])(struct emulation *e) = {
	[0x63] = emulate_movsxd,
	[0x86 ... 0x87] = emulate_xchg,
	[0x88 ... 0x89] = emulate_mov_store,
	[0x8a ... 0x8b] = emulate_mov_load,
	[0x8c] = emulate_mov_from_segment,
	[0x8e] = emulate_mov_to_segment,
	[0xa0 ... 0xa1] = emulate_mov_from_moffs,
	[0xa2 ... 0xa3] = emulate_mov_to_moffs,
	[0xc6 ... 0xc7] = emulate_mov_immediate,
};

static int (*const map_0f[256])(struct emulation *e) = {
	[0x40 ... 0x4f] = emulate_cmov,
	[0x90 ... 0x9f] = emulate_setcc,
	[0xb6 ... 0xb7] = emulate_mov_extend,
	[0xbe ... 0xbf] = emulate_mov_extend,
	[0xc3] = emulate_movnti,
};

static int dispatch_0f38(struct emulation *e)
{
	switch (e->insn.opcode) {
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

	if (unlikely(e->insn.encoding != INSN_LEGACY))
		return -ENOTSUP;
	if (e->insn.map == 0)
		handler = one_byte[e->insn.opcode];
	else if (e->insn.map == 1)
		handler = map_0f[e->insn.opcode];
	else if (e->insn.map == 2)
		return dispatch_0f38(e);
	return likely(handler) ? handler(e) : -ENOTSUP;
}
