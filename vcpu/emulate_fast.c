/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A short cut for what most memory exits are: a 64-bit kernel moves 32 bits between a register, or
 * an immediate, and a device register. Everything unusual is left to the general way.
 */
#include "vcpu/emulate_ops.h"
#include "vcpu/lapic.h"

#define OPCODE_STORE 0x89
#define OPCODE_LOAD 0x8b
#define OPCODE_STORE_IMMEDIATE 0xc7

static inline bool is_usual(const struct insn_site *site, const struct vcpu_exit *exit)
{
	const struct insn *insn = &site->insn;

	return site->mode == (64 | SITE_PAGING) && exit->kind == EXIT_MEMORY &&
		!exit->u.memory.walk && insn->map == 0 && insn->operand_size == 4 &&
		insn->has_memory && insn->segment <= SEG_DS;
}

static inline uint64_t effective_address(struct vcpu *vcpu, const struct insn *insn)
{
	uint64_t address = (uint64_t)insn->displacement;

	if (insn->base >= 0) {
		if (unlikely(insn->base == GPR_RSP))
			vcpu_need(vcpu, REG_RSP);
		address += vcpu->regs.gpr[insn->base];
	}
	if (unlikely(insn->index >= 0))
		address += vcpu->regs.gpr[insn->index] * insn->scale;
	if (insn->rip_relative)
		address += vcpu->special.rip + insn->length;
	return address;
}

/*
 * Is the access that the exit reports this instruction's? The linear address is not checked
 * further: the hardware has done so before it came to the exit.
 */
static inline bool is_reported(struct vcpu *vcpu, const struct insn *insn, uint64_t access)
{
	const struct exit_memory *memory = &vcpu->exit.u.memory;
	uint64_t address = effective_address(vcpu, insn);

	return ((address ^ memory->gpa) & PAGE_MASK) == 0 && (memory->access & access) &&
		(memory->gpa & 3) == 0;
}

static bool load(struct vcpu *vcpu, const struct insn *insn)
{
	gpa_t gpa = vcpu->exit.u.memory.gpa;
	uint32_t value;

	if (!is_reported(vcpu, insn, S2_READ | S2_WRITE) || insn->reg == GPR_RSP)
		return false;
	if (likely(vcpu->exit.u.memory.lapic))
		value = lapic_mmio_read(vcpu, gpa, 4);
	else if (guest_is_device(vcpu, gpa))
		value = guest_device_read(vcpu, gpa, 4);
	else
		return false;
	vcpu->regs.gpr[insn->reg] = value;
	return true;
}

static bool store(struct vcpu *vcpu, const struct insn *insn, uint32_t value)
{
	gpa_t gpa = vcpu->exit.u.memory.gpa;

	if (!is_reported(vcpu, insn, S2_WRITE))
		return false;
	if (likely(vcpu->exit.u.memory.lapic))
		lapic_mmio_write(vcpu, gpa, 4, value);
	else if (guest_is_device(vcpu, gpa))
		guest_device_write(vcpu, gpa, 4, value);
	else
		return false;
	return true;
}

bool emulate_fast(struct vcpu *vcpu, const struct insn_site *site)
{
	const struct insn *insn = &site->insn;

	if (unlikely(!is_usual(site, &vcpu->exit)))
		return false;
	switch (insn->opcode) {
	case OPCODE_LOAD:
		return load(vcpu, insn);
	case OPCODE_STORE:
		if (insn->reg == GPR_RSP)
			return false;
		return store(vcpu, insn, vcpu->regs.gpr[insn->reg]);
	case OPCODE_STORE_IMMEDIATE: /* /0; the other encodings have no memory operand */
		return store(vcpu, insn, insn->immediate);
	default:
		return false;
	}
}
