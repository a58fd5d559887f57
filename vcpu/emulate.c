/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator's way through one instruction: fetch, decode, handler, verdict. */
#include "lib/printf.h"
#include "lib/string.h"
#include "vcpu/emulate_ops.h"

#define EMULATE_REGISTERS (REG_RIP | REG_CS | REG_SS | REG_EFER | REG_CR0 | REG_CR3 | REG_CR4 |    \
	REG_RFLAGS)

/* The VM stops: its operator reads what could not be done, and can report it. */
static int stop_unknown(struct emulation *e)
{
	char text[96];
	int length = snprintf(text, sizeof(text), "cannot emulate");
	size_t i, shown = e->insn.length ? e->insn.length : e->count;

	for (i = 0; i < shown && i < INSN_MAX_BYTES; i++)
		length += snprintf(text + length, sizeof(text) - length, " %02x", e->bytes[i]);
	snprintf(text + length, sizeof(text) - length, " at 0x%llx",
		(unsigned long long)e->vcpu->special.rip);
	vm_stop(e->vcpu->vm, VM_STOP_FAULT, 0, text);
	return -EAGAIN;
}

/* Instruction bytes: the hardware's where it gave any, else the guest's memory. */
static int fetch(struct emulation *e, const uint8_t *bytes, size_t count)
{
	if (count == 0)
		return guest_fetch(e->vcpu, e->bytes, &e->count);
	e->count = MIN(count, INSN_MAX_BYTES);
	memcpy(e->bytes, bytes, e->count);
	return 0;
}

/* Decode; what the hardware gave may have ended too early. */
static int decode(struct emulation *e, bool given)
{
	int err = insn_decode(&e->insn, e->bytes, e->count, e->mode_bits);

	if (unlikely(err == -ENODATA) && given) {
		err = guest_fetch(e->vcpu, e->bytes, &e->count);
		if (err)
			return err;
		err = insn_decode(&e->insn, e->bytes, e->count, e->mode_bits);
	}
	if (likely(!err))
		return 0;
	if (err == -ENODATA) {
		err = guest_fetch_fault(e->vcpu, e->count);
		return err ? err : EMULATE_RESUME;
	}
	e->insn.length = 0;
	return -EILSEQ;
}

static int run(struct emulation *e, const uint8_t *bytes, size_t count)
{
	int err = fetch(e, bytes, count);

	if (unlikely(err)) {
		e->count = 0;
		return err;
	}
	err = decode(e, count != 0);
	return unlikely(err) ? err : emulate_dispatch(e);
}

enum exit_action emulate_instruction(struct vcpu *vcpu, const uint8_t *bytes, size_t count)
{
	struct emulation e;
	int err;

	vcpu_need(vcpu, EMULATE_REGISTERS);
	e.vcpu = vcpu;
	e.mode_bits = guest_mode_bits(vcpu);
	e.access = vcpu->special.cpl == 3 ? ACCESS_USER : 0;
	e.several = false;
	e.insn.length = 0;
	err = run(&e, bytes, count);
	if (likely(err == 0)) {
		vcpu->exit.instruction_length = e.insn.length;
		return ACTION_ADVANCE;
	}
	if (err == -EILSEQ)
		vcpu_inject_ud(vcpu);
	else if (err == -ENOTSUP)
		err = stop_unknown(&e);
	return err == -EAGAIN ? ACTION_STOP : ACTION_RESUME;
}
