/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long is the instruction that exited? Asked at every exit of a CPU that does not save the
 * next RIP, so the usual encodings are recognised without decoding.
 */
#include "vcpu/emulate.h"
#include "vcpu/guest_access.h"
#include "vcpu/insn.h"

/* The first two bytes as one number, low byte first; 0 for what has no such form. */
static const uint16_t expected[EXIT_KINDS] = {
	[EXIT_CPUID] = 0xa20f, [EXIT_RDMSR] = 0x320f, [EXIT_WRMSR] = 0x300f,
	[EXIT_RDPMC] = 0x330f, [EXIT_PAUSE] = 0x90f3,
};

/* 0 when the bytes are not what the exit usually comes from. */
static unsigned int usual_length(enum exit_kind kind, const uint8_t *bytes)
{
	unsigned int pair = bytes[0] | bytes[1] << 8;

	if (likely(expected[kind] != 0))
		return pair == expected[kind] ? 2 : 0;
	switch (kind) {
	case EXIT_HLT:
		return bytes[0] == 0xf4 ? 1 : 0;
	case EXIT_WBINVD:
		return pair == 0x090f || pair == 0x080f ? 2 : 0;
	case EXIT_HYPERCALL: /* VMCALL, VMMCALL */
		return pair == 0x010f && (bytes[2] == 0xc1 || bytes[2] == 0xd9) ? 3 : 0;
	case EXIT_XSETBV:
		return pair == 0x010f && bytes[2] == 0xd1 ? 3 : 0;
	case EXIT_MONITOR: /* the AMD forms of both are one higher in another row: decoded */
		return pair == 0x010f && bytes[2] == 0xc8 ? 3 : 0;
	case EXIT_MWAIT:
		return pair == 0x010f && bytes[2] == 0xc9 ? 3 : 0;
	case EXIT_CR: /* MOV to and from control registers */
		return pair == 0x220f || pair == 0x200f ? 3 : 0;
	default:
		return 0;
	}
}

unsigned int emulate_instruction_length(struct vcpu *vcpu)
{
	uint8_t bytes[INSN_MAX_BYTES];
	struct insn insn;
	unsigned int length;
	size_t count;

	if (guest_fetch(vcpu, bytes, &count))
		return 0;
	if (likely(count >= 3)) {
		length = usual_length(vcpu->exit.kind, bytes);
		if (likely(length))
			return length;
	}
	if (insn_decode(&insn, bytes, count, guest_mode_bits(vcpu)))
		return 0;
	return insn.length;
}
