/* SPDX-License-Identifier: BSD-2-Clause */
/* What this CPU has: CPUID and RDMSR only, so that it may run while the firmware is there. */
#include "host/x86.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "vmx/vmx.h"

#define MSR_VMX_PIN 0x481
#define MSR_VMX_PROC 0x482
#define MSR_VMX_EXIT 0x483
#define MSR_VMX_ENTRY 0x484
#define MSR_VMX_MISC 0x485
#define MSR_VMX_CR0_FIXED0 0x486
#define MSR_VMX_CR0_FIXED1 0x487
#define MSR_VMX_CR4_FIXED0 0x488
#define MSR_VMX_CR4_FIXED1 0x489
#define MSR_VMX_PROC2 0x48b
#define MSR_VMX_EPT_VPID 0x48c
#define MSR_VMX_TRUE_PIN 0x48d
#define MSR_VMX_TRUE_PROC 0x48e
#define MSR_VMX_TRUE_EXIT 0x48f
#define MSR_VMX_TRUE_ENTRY 0x490

#define BASIC_HAS_TRUE BIT(55)

#define CPUID_1_ECX_VMX BIT(5)
#define CPUID_7_ECX_RDPID BIT(22)
#define CPUID_80000001_EDX_RDTSCP BIT(27)

struct vmx_capabilities vmx_capabilities;
struct vmx_controls vmx_controls;
struct tsc_format vmx_tsc_format;

static bool vendor_is_intel(void)
{
	struct cpuid_result zero = cpuid(0, 0);
	uint32_t name[3] = { zero.ebx, zero.edx, zero.ecx };

	return !memcmp(name, "GenuineIntel", sizeof(name));
}

/* IA32_TSC_AUX exists with either instruction that reads it. */
static bool has_tsc_aux(void)
{
	if (cpuid(0x80000000, 0).eax >= 0x80000001 &&
		(cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_RDTSCP))
		return true;
	return cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ecx & CPUID_7_ECX_RDPID);
}

static void read_controls(struct vmx_capabilities *c)
{
	bool has_true = c->basic & BASIC_HAS_TRUE;

	c->pin = rdmsr(has_true ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN);
	c->proc = rdmsr(has_true ? MSR_VMX_TRUE_PROC : MSR_VMX_PROC);
	c->exit = rdmsr(has_true ? MSR_VMX_TRUE_EXIT : MSR_VMX_EXIT);
	c->entry = rdmsr(has_true ? MSR_VMX_TRUE_ENTRY : MSR_VMX_ENTRY);
	/* These two exist only where the control exists that they describe. */
	if (c->proc >> 32 & PROC_SECONDARY)
		c->proc2 = rdmsr(MSR_VMX_PROC2);
	if (c->proc2 >> 32 & (PROC2_EPT | PROC2_VPID))
		c->ept_vpid = rdmsr(MSR_VMX_EPT_VPID);
}

void vmx_capabilities_read(struct vmx_capabilities *c)
{
	memset(c, 0, sizeof(*c));
	c->intel = vendor_is_intel();
	c->has_vmx = cpuid(0, 0).eax >= 1 && (cpuid(1, 0).ecx & CPUID_1_ECX_VMX);
	if (!c->has_vmx)
		return;
	c->has_tsc_aux = has_tsc_aux();
	c->feature_control = rdmsr(MSR_FEATURE_CONTROL);
	c->basic = rdmsr(MSR_VMX_BASIC);
	c->misc = rdmsr(MSR_VMX_MISC);
	c->cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0);
	c->cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1);
	c->cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0);
	c->cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1);
	read_controls(c);
}

int vmx_probe(char *why, size_t size)
{
	int error;

	vmx_capabilities_read(&vmx_capabilities);
	error = vmx_capabilities_check(&vmx_capabilities, why, size);
	if (error)
		return error;
	vmx_controls_choose(&vmx_capabilities, &vmx_controls);
	vmx_ept_format_init(vmx_capabilities.ept_vpid);
	if (vmx_capabilities.proc2 >> 32 & PROC2_TSC_SCALING)
		vmx_tsc_format = (struct tsc_format){ .whole_bits = 16, .fraction_bits = 48 };
	return 0;
}

static bool feature_used(const struct vmx_feature *feature)
{
	/* The one choice that hangs on more than the control's own bit. */
	if (feature->word == WORD_PROC2 && feature->bit == PROC2_VPID)
		return vmx_controls.proc2 & PROC2_VPID;
	return vmx_feature_available(&vmx_capabilities, feature);
}

void vmx_describe(void (*line)(const char *format, ...))
{
	uint64_t ept = vmx_capabilities.ept_vpid;

	line("VMX revision %08x, %s control capabilities",
		(uint32_t)vmx_capabilities.basic & 0x7fffffff,
		vmx_capabilities.basic & BASIC_HAS_TRUE ? "true" : "default");
	for (size_t i = 0; i < vmx_feature_count; i++) {
		const struct vmx_feature *feature = &vmx_features[i];
		bool used = feature_used(feature);

		line("  %s: %s%s", feature->name, used ? "used" : "not there: ",
			used ? "" : feature->without);
	}
	line("  CR3 loads and stores: %s", vmx_controls.proc & (PROC_CR3_LOAD | PROC_CR3_STORE)
		? "exit, as this CPU demands" : "no exit");
	line("  EPT 1 GiB pages: %s", ept & EPT_CAP_1G ? "used" : "not there: 2 MiB at most");
	line("  EPT accessed and dirty bits: %s",
		ept & EPT_CAP_ACCESSED_DIRTY ? "used" : "not there");
	line("  INVEPT: %s", ept & EPT_CAP_INVEPT_SINGLE ? "of one guest" : "of all guests");
	if (vmx_controls.proc2 & PROC2_VPID)
		line("  INVVPID: %s",
			ept & VPID_CAP_INVVPID_SINGLE ? "of one guest" : "of all guests");
}

void vmx_summary(char *text, size_t size)
{
	uint64_t ept = vmx_capabilities.ept_vpid;

	snprintf(text, size, "VMX: EPT%s%s%s, unrestricted guest%s",
		ept & EPT_CAP_ACCESSED_DIRTY ? " with A/D bits" : "",
		ept & EPT_CAP_1G ? ", 1 GiB pages" : "",
		vmx_controls.proc2 & PROC2_VPID ? ", VPID" : "",
		vmx_controls.proc & PROC_TPR_SHADOW ? ", TPR shadow" : "");
}
