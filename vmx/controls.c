/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From capability MSRs to control words. Each control that Ballast uses stands in one table, with
 * what is done where the CPU lacks it. Knows no hardware.
 */
#include "lib/printf.h"
#include "vmx/vmx.h"

#define NEEDED .needed = true
#define LATER .later = true

const struct vmx_feature vmx_features[] = {
	{ WORD_PIN, PIN_EXTERNAL_INTERRUPT, NEEDED, .name = "external-interrupt exiting" },
	{ WORD_PIN, PIN_NMI, NEEDED, .name = "NMI exiting" },
	{ WORD_PIN, PIN_VIRTUAL_NMI, NEEDED, .name = "virtual NMIs" },
	{ WORD_PIN, PIN_PREEMPTION_TIMER, .name = "preemption timer",
		.without = "only an interrupt ends a guest's turn" },
	{ WORD_PROC, PROC_INTERRUPT_WINDOW, NEEDED, LATER, .name = "interrupt-window exiting" },
	{ WORD_PROC, PROC_NMI_WINDOW, NEEDED, LATER, .name = "NMI-window exiting" },
	{ WORD_PROC, PROC_TSC_OFFSET, NEEDED, .name = "TSC offsetting" },
	{ WORD_PROC, PROC_HLT, NEEDED, .name = "HLT exiting" },
	{ WORD_PROC, PROC_MWAIT, NEEDED, .name = "MWAIT exiting" },
	{ WORD_PROC, PROC_MONITOR, NEEDED, .name = "MONITOR exiting" },
	{ WORD_PROC, PROC_RDPMC, NEEDED, .name = "RDPMC exiting" },
	{ WORD_PROC, PROC_UNCONDITIONAL_IO, NEEDED, .name = "unconditional I/O exiting" },
	{ WORD_PROC, PROC_MSR_BITMAPS, NEEDED, .name = "MSR bitmaps" },
	{ WORD_PROC, PROC_PAUSE, LATER, .name = "PAUSE exiting",
		.without = "loops of PAUSE are told by PAUSE-loop exiting alone" },
	{ WORD_PROC, PROC_TPR_SHADOW, .name = "TPR shadow", .without = "CR8 accesses exit" },
	{ WORD_PROC, PROC_MONITOR_TRAP, LATER, .name = "monitor trap flag",
		.without = "an NMI after STI waits for the interrupt window" },
	{ WORD_PROC2, PROC2_EPT, NEEDED, .name = "EPT" },
	{ WORD_PROC2, PROC2_UNRESTRICTED, NEEDED, .name = "unrestricted guest" },
	{ WORD_PROC2, PROC2_VPID, .name = "VPID", .without = "each entry flushes the TLB" },
	{ WORD_PROC2, PROC2_RDTSCP, .name = "RDTSCP for guests", .without = "raises #UD" },
	{ WORD_PROC2, PROC2_PAUSE_LOOP, LATER, .name = "PAUSE-loop exiting",
		.without = "each PAUSE exits while another vCPU of the VM waits for a CPU" },
	{ WORD_PROC2, PROC2_INVPCID, .name = "INVPCID for guests", .without = "raises #UD" },
	{ WORD_PROC2, PROC2_WBINVD, .name = "WBINVD exiting",
		.without = "guests write back the real caches" },
	{ WORD_PROC2, PROC2_ENCLS, .name = "ENCLS exiting", .without = "there is no SGX" },
	{ WORD_PROC2, PROC2_ENCLV, .name = "ENCLV exiting", .without = "there is no SGX v2" },
	{ WORD_PROC2, PROC2_TSC_SCALING, LATER, .name = "TSC scaling",
		.without = "guests have the machine's TSC frequency" },
	{ WORD_EXIT, EXIT_SAVE_DEBUG, NEEDED, .name = "saving of debug controls" },
	{ WORD_EXIT, EXIT_HOST_64, NEEDED, .name = "a 64-bit host" },
	{ WORD_EXIT, EXIT_SAVE_PAT, NEEDED, .name = "saving of the PAT" },
	{ WORD_EXIT, EXIT_LOAD_PAT, NEEDED, .name = "loading of the host's PAT" },
	{ WORD_EXIT, EXIT_SAVE_EFER, NEEDED, .name = "saving of EFER" },
	{ WORD_EXIT, EXIT_LOAD_EFER, NEEDED, .name = "loading of the host's EFER" },
	{ WORD_ENTRY, ENTRY_LOAD_DEBUG, NEEDED, .name = "loading of debug controls" },
	{ WORD_ENTRY, ENTRY_GUEST_64, NEEDED, LATER, .name = "64-bit guests" },
	{ WORD_ENTRY, ENTRY_LOAD_PAT, NEEDED, .name = "loading of the guest's PAT" },
	{ WORD_ENTRY, ENTRY_LOAD_EFER, NEEDED, .name = "loading of the guest's EFER" },
};
const size_t vmx_feature_count = ARRAY_SIZE(vmx_features);

static uint64_t word_capability(const struct vmx_capabilities *capabilities, enum vmx_word word)
{
	switch (word) {
	case WORD_PIN:
		return capabilities->pin;
	case WORD_PROC:
		return capabilities->proc;
	case WORD_PROC2:
		return capabilities->proc2;
	case WORD_EXIT:
		return capabilities->exit;
	case WORD_ENTRY:
		break;
	}
	return capabilities->entry;
}

bool vmx_feature_available(const struct vmx_capabilities *capabilities,
	const struct vmx_feature *feature)
{
	return word_capability(capabilities, feature->word) >> 32 & feature->bit;
}

static bool may_be_one(uint64_t capability, uint32_t bit)
{
	return capability >> 32 & bit;
}

/* The big things, in the order in which CPUs got them; NULL when all are there. */
static const char *missing_generation(const struct vmx_capabilities *c)
{
	if (!may_be_one(c->proc, PROC_SECONDARY))
		return "This CPU's VT-x is of the first generation: it has no secondary controls, "
		       "and so no EPT (nested paging). Ballast needs a CPU of 2010 or later.";
	if (!may_be_one(c->proc2, PROC2_EPT))
		return "This CPU's VT-x has no EPT (nested paging), which Ballast needs; "
		       "CPUs of 2010 and later have it.";
	if (!may_be_one(c->proc2, PROC2_UNRESTRICTED))
		return "This CPU's VT-x cannot run guests in real mode (it has no \"unrestricted "
		       "guest\"), which Ballast needs; CPUs of 2010 and later have it.";
	return NULL;
}

static const char *missing_ept_capability(const struct vmx_capabilities *c)
{
	if (!(c->ept_vpid & EPT_CAP_WALK_4))
		return "4-level tables";
	if (!(c->ept_vpid & EPT_CAP_WRITE_BACK))
		return "tables in write-back memory";
	if (!(c->ept_vpid & EPT_CAP_2M))
		return "2 MiB pages";
	if (!(c->ept_vpid & EPT_CAP_INVEPT) ||
		!(c->ept_vpid & (EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL)))
		return "the INVEPT instruction";
	return NULL;
}

static const char *missing_control(const struct vmx_capabilities *capabilities)
{
	for (size_t i = 0; i < ARRAY_SIZE(vmx_features); i++) {
		const struct vmx_feature *feature = &vmx_features[i];

		if (feature->needed && !vmx_feature_available(capabilities, feature))
			return feature->name;
	}
	return NULL;
}

/* Bits 53:50: the memory type of VMCSs; 6 is write-back. Bits 44:32: their size in bytes. */
static bool vmcs_fits(uint64_t basic)
{
	return (basic >> 50 & 0xf) == 6 && (basic >> 32 & 0x1fff) <= PAGE_SIZE;
}

int vmx_capabilities_check(const struct vmx_capabilities *c, char *why, size_t size)
{
	uint64_t lock = FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX;
	const char *missing;

	if (!c->has_vmx) {
		if (!c->intel)
			return -ENODEV;
		snprintf(why, size, "This Intel CPU does not offer VT-x (CPUID shows no VMX); "
			"Ballast needs it. In a virtual machine, let the host pass nested VMX "
			"through.");
		return -ENOTSUP;
	}
	if ((c->feature_control & lock) == FEATURE_CONTROL_LOCKED) {
		snprintf(why, size, "The firmware has turned Intel VT-x off and locked it: "
			"enable \"Intel Virtualization Technology\" (VT-x, VMX) in the firmware "
			"setup, then turn the machine off and on.");
		return -ENOTSUP;
	}
	missing = missing_generation(c);
	if (missing) {
		snprintf(why, size, "%s", missing);
		return -ENOTSUP;
	}
	missing = missing_ept_capability(c);
	if (missing) {
		snprintf(why, size, "This CPU's EPT does not have %s, which Ballast needs.",
			missing);
		return -ENOTSUP;
	}
	missing = missing_control(c);
	if (missing || !vmcs_fits(c->basic)) {
		snprintf(why, size, "This CPU's VT-x does not have %s, which Ballast needs.",
			missing ? missing : "control structures of a page in write-back memory");
		return -ENOTSUP;
	}
	return 0;
}

static bool can_invalidate_vpid(uint64_t ept_vpid)
{
	return (ept_vpid & VPID_CAP_INVVPID) &&
		(ept_vpid & (VPID_CAP_INVVPID_SINGLE | VPID_CAP_INVVPID_ALL));
}

/* What is set at first: everything that is there and not for later, and what must be set. */
static uint32_t choose_word(const struct vmx_capabilities *capabilities, enum vmx_word word)
{
	uint32_t value = word_capability(capabilities, word);

	for (size_t i = 0; i < ARRAY_SIZE(vmx_features); i++) {
		const struct vmx_feature *feature = &vmx_features[i];

		if (feature->word == word && !feature->later &&
			vmx_feature_available(capabilities, feature))
			value |= feature->bit;
	}
	return value;
}

void vmx_controls_choose(const struct vmx_capabilities *capabilities,
	struct vmx_controls *controls)
{
	controls->pin = choose_word(capabilities, WORD_PIN);
	controls->proc = choose_word(capabilities, WORD_PROC) | PROC_SECONDARY;
	controls->proc2 = choose_word(capabilities, WORD_PROC2);
	controls->exit = choose_word(capabilities, WORD_EXIT);
	controls->entry = choose_word(capabilities, WORD_ENTRY);
	if (!(controls->proc & PROC_TPR_SHADOW))
		controls->proc |= PROC_CR8_LOAD | PROC_CR8_STORE;
	/* Tagged translations that nothing can drop would outlive their guest. */
	if (!can_invalidate_vpid(capabilities->ept_vpid))
		controls->proc2 &= ~PROC2_VPID;
}
