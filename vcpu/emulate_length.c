/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long is the instruction that exited? Asked at every exit of a CPU that does not save the
 * next RIP, mostly at places it was asked of before.
 */
#include "vcpu/emulate.h"
#include "vcpu/guest_access.h"

unsigned int emulate_instruction_length(struct vcpu *vcpu)
{
	const struct insn_site *site;

	return guest_decode(vcpu, &site) ? 0 : site->insn.length;
}
