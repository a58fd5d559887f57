/* SPDX-License-Identifier: BSD-2-Clause */
/* A stopped vCPU's registers and last exits, for the log and `vm show`. */
#include "vcpu/vcpu.h"
#include "vcpu/vm.h"

#define U(x) ((unsigned long long)(x))

static void dump_general(const struct vcpu *vcpu, void (*line)(const char *format, ...))
{
	static const char *const names[GPR_COUNT] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
		"rsi", "rdi", "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15" };
	const uint64_t *gpr = vcpu->regs.gpr;

	for (unsigned int i = 0; i < GPR_COUNT; i += 4)
		line("%s %016llx  %s %016llx  %s %016llx  %s %016llx", names[i], U(gpr[i]),
			names[i + 1], U(gpr[i + 1]), names[i + 2], U(gpr[i + 2]), names[i + 3],
			U(gpr[i + 3]));
}

static void dump_special(const struct vcpu *vcpu, void (*line)(const char *format, ...))
{
	static const char *const names[SEG_COUNT] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr",
		"tr" };
	const struct special_regs *special = &vcpu->special;

	line("rip %016llx  rflags %08llx  cpl %u  tpr %02x  xcr0 %llx", U(special->rip),
		U(special->rflags), special->cpl, special->tpr, U(vcpu->xcr0));
	line("cr0 %08llx  cr2 %016llx  cr3 %016llx  cr4 %08llx  efer %04llx", U(special->cr0),
		U(special->cr2), U(special->cr3), U(special->cr4), U(special->efer));
	for (unsigned int i = 0; i < SEG_COUNT; i++)
		line("%-4s %04x  base %016llx  limit %08x  attributes %03x", names[i],
			special->segments[i].selector, U(special->segments[i].base),
			special->segments[i].limit, special->segments[i].attributes);
	line("gdtr %016llx/%04x  idtr %016llx/%04x", U(special->gdtr.base), special->gdtr.limit,
		U(special->idtr.base), special->idtr.limit);
}

static void dump_history(const struct vcpu *vcpu, void (*line)(const char *format, ...))
{
	uint32_t count = MIN(vcpu->history_next, VCPU_HISTORY);

	line("last exits, oldest first:");
	for (uint32_t i = vcpu->history_next - count; i != vcpu->history_next; i++) {
		const struct exit_record *entry = &vcpu->history[i % VCPU_HISTORY];

		line("  %-16s rip %016llx  code %llx  info %llx", exit_kind_name(entry->kind),
			U(entry->rip), U(entry->code), U(entry->info));
	}
}

void vcpu_dump(struct vcpu *vcpu, void (*line)(const char *format, ...))
{
	line("vcpu %u: exit %s, code %llx, info %llx %llx, instruction length %u", vcpu->id,
		exit_kind_name(vcpu->exit.kind), U(vcpu->exit.code), U(vcpu->exit.info[0]),
		U(vcpu->exit.info[1]), vcpu->exit.instruction_length);
	dump_general(vcpu, line);
	dump_special(vcpu, line);
	dump_history(vcpu, line);
	hw->dump(vcpu, line);
}
