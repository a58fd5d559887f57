/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator's way through one instruction: fetch, decode, handler, verdict. */
#include "lib/printf.h"
#include "lib/string.h"
#include "vcpu/emulate_ops.h"

#define EMULATE_REGISTERS (REG_RIP | REG_CS | REG_SS | REG_EFER | REG_CR0 | REG_CR3 | REG_CR4 |    \
	REG_RFLAGS)

/* The VM stops: its operator reads what could not be done, and can report it. */
static int stop_unknown(struct vcpu *vcpu, const struct insn_site *site)
{
	char text[96];
	uint8_t bytes[INSN_MAX_BYTES];
	int length = snprintf(text, sizeof(text), "cannot emulate");
	size_t i;

	memcpy(bytes, &site->head, 8);
	memcpy(bytes + 7, &site->tail, 8);
	for (i = 0; i < site->insn.length; i++)
		length += snprintf(text + length, sizeof(text) - length, " %02x", bytes[i]);
	snprintf(text + length, sizeof(text) - length, " at 0x%llx",
		(unsigned long long)vcpu->special.rip);
	vm_stop(vcpu->vm, VM_STOP_FAULT, 0, text);
	return -EIO;
}

/*
 * An unknown instruction that cannot have caused a memory exit: the guest has changed its code
 * since. The processor shall execute what stands there now.
 */
static bool has_changed(const struct vcpu *vcpu, const struct insn *insn)
{
	bool undefined = insn->map == 1 && insn->opcode == 0x0b; /* UD2 */

	return vcpu->exit.kind == EXIT_MEMORY &&
		(undefined || (insn->has_modrm && !insn->has_memory));
}

static __attribute__((noinline)) int run(struct vcpu *vcpu, const struct insn_site *site)
{
	struct emulation e = {
		.vcpu = vcpu,
		.insn = &site->insn,
		.mode_bits = site->mode & (16 | 32 | 64),
		.access = site->mode & SITE_USER ? ACCESS_USER : 0,
	};
	int err = emulate_dispatch(&e);

	if (likely(err != -ENOTSUP))
		return err;
	return has_changed(vcpu, e.insn) ? EMULATE_RESUME : stop_unknown(vcpu, site);
}

enum exit_action emulate_instruction(struct vcpu *vcpu, const uint8_t *bytes, size_t count)
{
	const struct insn_site *site;
	int err;

	vcpu_need(vcpu, EMULATE_REGISTERS);
	err = unlikely(count) ? guest_decode_given(vcpu, bytes, count, &site)
			      : guest_decode(vcpu, &site);
	if (likely(err == 0))
		err = emulate_fast(vcpu, site) ? 0 : run(vcpu, site);
	else if (err == -ENOTSUP) /* in a device: all ones, which is no instruction */
		err = -EILSEQ;
	if (likely(err == 0)) {
		vcpu->exit.instruction_length = site->insn.length;
		return ACTION_ADVANCE;
	}
	if (err == -EILSEQ)
		vcpu_inject_ud(vcpu);
	if (err == -EAGAIN)
		return ACTION_WAIT;
	return err == -EIO ? ACTION_STOP : ACTION_RESUME;
}
