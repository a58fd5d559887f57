/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMCB in words, and what is wrong with one that VMRUN refused (AMD APM vol. 2,
 * "Canonicalization and Consistency Checks").
 */
#include "svm/svm.h"

#define U(x) ((unsigned long long)(x))
#define EFER_DEFINED                                                                               \
	(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | EFER_LMSLE | EFER_FFXSR |         \
		BIT(15) | BIT(17) | BIT(18) | BIT(20) | BIT(21))
#define CR4_DEFINED 0x1f7fffffULL

struct rule {
	bool broken;
	const char *text;
};

static unsigned int report(
	const struct rule *rules, size_t count, void (*line)(const char *format, ...))
{
	unsigned int broken = 0;

	for (size_t i = 0; i < count; i++) {
		if (!rules[i].broken)
			continue;
		line("VMRUN refuses: %s", rules[i].text);
		broken++;
	}
	return broken;
}

static unsigned int check_state(const struct vmcb_save *s, void (*line)(const char *format, ...))
{
	bool long_paging = (s->efer & EFER_LME) && (s->cr0 & CR0_PG);
	const struct rule rules[] = {
		{ !(s->efer & EFER_SVME), "EFER.SVME is clear" },
		{ s->efer & ~EFER_DEFINED, "EFER has reserved bits set" },
		{ s->cr0 >> 32, "CR0 has upper bits set" },
		{ !(s->cr0 & CR0_CD) && (s->cr0 & CR0_NW), "CR0.NW is set without CR0.CD" },
		{ (s->efer & EFER_LMA) && s->cr3 >> 52, "CR3 has reserved bits set" },
		{ s->cr4 & ~CR4_DEFINED, "CR4 has reserved bits set" },
		{ s->dr6 >> 32, "DR6 has upper bits set" },
		{ s->dr7 >> 32, "DR7 has upper bits set" },
		{ long_paging && !(s->cr4 & CR4_PAE), "long mode paging without CR4.PAE" },
		{ long_paging && !(s->cr0 & CR0_PE), "long mode paging without CR0.PE" },
		{ long_paging && (s->cr4 & CR4_PAE) && (s->cs.attributes & SEGMENT_L) &&
				(s->cs.attributes & SEGMENT_DB),
			"CS has both L and D set in long mode" },
	};

	return report(rules, ARRAY_SIZE(rules), line);
}

static bool event_refused(uint64_t event)
{
	uint64_t type = event >> EVENT_TYPE_SHIFT & EVENT_TYPE;
	uint64_t vector = event & EVENT_VECTOR;

	if (!(event & EVENT_VALID))
		return false;
	if (type == EVENT_EXCEPTION)
		return vector == VECTOR_NMI || vector > 31;
	return type != EVENT_INTERRUPT && type != EVENT_NMI && type != EVENT_SOFTWARE_INTERRUPT;
}

static bool pat_refused(uint64_t pat)
{
	for (unsigned int i = 0; i < 8; i++, pat >>= 8) {
		uint8_t type = pat & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return true;
	}
	return false;
}

static unsigned int check_controls(
	const struct vmcb *vmcb, void (*line)(const char *format, ...))
{
	const struct vmcb_control *c = &vmcb->control;
	const struct rule rules[] = {
		{ !(c->intercept4 & INTERCEPT4_VMRUN), "VMRUN is not intercepted" },
		{ !c->asid, "the ASID is 0" },
		{ !c->iopm_base || c->iopm_base >> 52, "the I/O permission map's address" },
		{ !c->msrpm_base || c->msrpm_base >> 52, "the MSR permission map's address" },
		{ (c->nested_cr3 & PAGE_MASK) || c->nested_cr3 >> 52, "the nested CR3" },
		{ pat_refused(vmcb->save.pat), "the guest's PAT has a reserved memory type" },
		{ event_refused(c->event_inj), "the event to inject is no valid one" },
	};

	return report(rules, ARRAY_SIZE(rules), line);
}

unsigned int svm_check_vmcb(const struct vmcb *vmcb, void (*line)(const char *format, ...))
{
	return check_state(&vmcb->save, line) + check_controls(vmcb, line);
}

static void dump_control(const struct vmcb_control *c, void (*line)(const char *format, ...))
{
	line("intercepts: cr %04x/%04x dr %04x/%04x exceptions %08x, %08x %08x %08x",
		c->intercept_cr_read, c->intercept_cr_write, c->intercept_dr_read,
		c->intercept_dr_write, c->intercept_exceptions, c->intercept3, c->intercept4,
		c->intercept5);
	line("iopm %llx  msrpm %llx  tsc offset %llx  asid %u  tlb control %u", U(c->iopm_base),
		U(c->msrpm_base), U(c->tsc_offset), c->asid, c->tlb_control);
	line("int_ctl %llx  int_state %llx  nested_ctl %llx  nested cr3 %llx  clean %x",
		U(c->int_ctl), U(c->int_state), U(c->nested_ctl), U(c->nested_cr3), c->clean);
	line("exit code %llx  info %llx %llx  int_info %llx  event_inj %llx  next rip %llx",
		U(c->exit_code), U(c->exit_info1), U(c->exit_info2), U(c->exit_int_info),
		U(c->event_inj), U(c->next_rip));
}

void svm_dump(struct vcpu *vcpu, void (*line)(const char *format, ...))
{
	const struct svm_vcpu *svm = svm_of(vcpu);
	const struct vmcb_save *s = &svm->vmcb->save;

	line("VMCB at %llx, NMI state %u%s, windows %u/%u", U((uintptr_t)svm->vmcb),
		svm->nmi_state, svm->stepping ? " (stepping)" : "", svm->windows,
		svm->window_priority);
	dump_control(&svm->vmcb->control, line);
	line("efer %llx  cr0 %llx  cr2 %llx  cr3 %llx  cr4 %llx  dr6 %llx  dr7 %llx  pat %llx",
		U(s->efer), U(s->cr0), U(s->cr2), U(s->cr3), U(s->cr4), U(s->dr6), U(s->dr7),
		U(s->pat));
	if (vcpu->exit.kind == EXIT_ENTRY_FAILED && !svm_check_vmcb(svm->vmcb, line))
		line("VMRUN refused it, and no rule known here is broken");
}
