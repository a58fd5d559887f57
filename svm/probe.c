/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Can this CPU be used, and which optional features does it have? (AMD APM vol. 2, "Enabling SVM";
 * vol. 3, appendix "Obtaining Processor Information Via the CPUID Instruction")
 */
#include "lib/printf.h"
#include "lib/string.h"
#include "svm/svm.h"

struct svm_features svm_features;
struct tsc_format svm_tsc_format;

#define LEAF_EXTENDED 0x80000000U
#define LEAF_EXTENDED_FEATURES 0x80000001U
#define LEAF_SIZES 0x80000008U
#define LEAF_SVM 0x8000000aU
#define LEAF_HYPERVISOR 0x40000000U

#define FEATURE_HYPERVISOR BIT(31)  /* 1, ECX */
#define FEATURE_SVM BIT(2)          /* 0x80000001, ECX */
#define FEATURE_PAGE_1G BIT(26)     /* EDX */
#define FEATURE_RDTSCP BIT(27)      /* EDX */
#define FEATURE_RDPRU BIT(4)        /* 0x80000008, EBX */
#define SVM_NESTED_PAGING BIT(0)    /* 0x8000000a, EDX */
#define SVM_NEXT_RIP BIT(3)
#define SVM_TSC_RATIO BIT(4)
#define SVM_CLEAN_BITS BIT(5)
#define SVM_FLUSH_BY_ASID BIT(6)
#define SVM_DECODE_ASSISTS BIT(7)
#define SVM_PAUSE_FILTER BIT(10)
#define SVM_PAUSE_THRESHOLD BIT(12)

#define VM_CR_LOCK BIT(3)
#define VM_CR_SVMDIS BIT(4)

static bool is_amd(const struct cpuid_result *leaf0)
{
	char name[12];

	memcpy(name, &leaf0->ebx, 4);
	memcpy(name + 4, &leaf0->edx, 4);
	memcpy(name + 8, &leaf0->ecx, 4);
	return !memcmp(name, "AuthenticAMD", 12) || !memcmp(name, "HygonGenuine", 12);
}

static bool is_tcg(const struct svm_source *source)
{
	struct cpuid_result leaf;
	char name[12];

	if (!(source->cpuid(1, 0).ecx & FEATURE_HYPERVISOR))
		return false;
	leaf = source->cpuid(LEAF_HYPERVISOR, 0);
	memcpy(name, &leaf.ebx, 4);
	memcpy(name + 4, &leaf.ecx, 4);
	memcpy(name + 8, &leaf.edx, 4);
	return !memcmp(name, "TCGTCGTCGTCG", 12);
}

/* Why SVM may not be used though the CPU has it; NULL when it may. */
static const char *refusal(const struct svm_source *source, uint32_t max_leaf)
{
	uint64_t vm_cr = source->rdmsr(MSR_VM_CR);
	struct cpuid_result svm;

	if (vm_cr & VM_CR_SVMDIS)
		return vm_cr & VM_CR_LOCK ?
			"AMD-V (SVM) is switched off and locked by the firmware (VM_CR.SVMDIS "
			"and LOCK are set): enable 'SVM Mode' (also called 'AMD-V' or "
			"'Virtualization') in the firmware setup and power-cycle the machine." :
			"AMD-V (SVM) is switched off by the firmware (VM_CR.SVMDIS is set, not "
			"locked): enable 'SVM Mode' (also called 'AMD-V' or 'Virtualization') in "
			"the firmware setup and restart the machine.";
	if (max_leaf < LEAF_SVM)
		return "This CPU has AMD-V (SVM) but does not describe it (CPUID Fn8000_000A is "
		       "missing); Ballast needs a CPU with nested paging.";
	svm = source->cpuid(LEAF_SVM, 0);
	if (!(svm.edx & SVM_NESTED_PAGING))
		return "This CPU has AMD-V (SVM) but no nested paging (NPT), which Ballast needs; "
		       "AMD CPUs since 2008 (family 10h) have it.";
	if (svm.ebx < 2)
		return "This CPU has AMD-V (SVM) but no address space identifier (ASID) for a "
		       "guest; Ballast needs one at least.";
	return NULL;
}

int svm_detect(const struct svm_source *source, struct svm_features *features, char *why,
	size_t size)
{
	struct cpuid_result leaf0 = source->cpuid(0, 0);
	uint32_t max_leaf = source->cpuid(LEAF_EXTENDED, 0).eax;
	struct cpuid_result extended = { 0 }, svm;
	const char *reason;

	if (max_leaf >= LEAF_EXTENDED_FEATURES && max_leaf < 0x80010000U)
		extended = source->cpuid(LEAF_EXTENDED_FEATURES, 0);
	if (!(extended.ecx & FEATURE_SVM)) {
		if (!is_amd(&leaf0))
			return -ENODEV;
		snprintf(why, size, "This AMD CPU has no AMD-V (SVM), which Ballast needs "
				    "(CPUID Fn8000_0001_ECX[SVM] is 0).");
		return -ENOTSUP;
	}
	reason = refusal(source, max_leaf);
	if (reason) {
		snprintf(why, size, "%s", reason);
		return -ENOTSUP;
	}
	svm = source->cpuid(LEAF_SVM, 0);
	*features = (struct svm_features){
		.revision = svm.eax & 0xff,
		.asids = svm.ebx,
		.next_rip = svm.edx & SVM_NEXT_RIP,
		.decode_assists = svm.edx & SVM_DECODE_ASSISTS,
		.flush_by_asid = svm.edx & SVM_FLUSH_BY_ASID,
		.clean_bits = svm.edx & SVM_CLEAN_BITS,
		.pause_filter = svm.edx & SVM_PAUSE_FILTER,
		.pause_threshold = svm.edx & SVM_PAUSE_THRESHOLD,
		.huge_pages = extended.edx & FEATURE_PAGE_1G,
		.tsc_aux = extended.edx & FEATURE_RDTSCP,
		.rdpru = source->cpuid(LEAF_SIZES, 0).ebx & FEATURE_RDPRU,
		.tsc_ratio = svm.edx & SVM_TSC_RATIO,
		.fragile_virtual_irq = is_tcg(source),
	};
	return 0;
}

static struct cpuid_result own_cpuid(uint32_t leaf, uint32_t subleaf)
{
	return cpuid(leaf, subleaf);
}

static uint64_t own_rdmsr(uint32_t msr)
{
	return rdmsr(msr);
}

static const struct svm_source own_source = { own_cpuid, own_rdmsr };

int svm_detect_here(struct svm_features *features, char *why, size_t size)
{
	return svm_detect(&own_source, features, why, size);
}

int svm_probe(char *why, size_t size)
{
	int error = svm_detect_here(&svm_features, why, size);

	if (error)
		return error;
	svm_npt_format.huge_pages = svm_features.huge_pages;
	if (svm_features.tsc_ratio)
		svm_tsc_format = (struct tsc_format){ SVM_TSC_WHOLE_BITS, SVM_TSC_FRACTION_BITS };
	return 0;
}

void svm_describe(void (*line)(const char *format, ...))
{
	const struct svm_features *f = &svm_features;

	line("SVM revision %u, nested paging with 4 KiB, 2 MiB%s pages", f->revision,
		f->huge_pages ? " and 1 GiB" : "");
	line("ASIDs: %u; a flush %s", f->asids - 1,
		f->flush_by_asid ? "is by ASID" : "takes a new ASID");
	line("next RIP (NRIPS): %s", f->next_rip ? "used" :
		"absent, instruction lengths are decoded in software");
	line("decode assists: %s", f->decode_assists ? "used" :
		"absent, instruction bytes are fetched in software");
	line("VMCB clean bits: %s", f->clean_bits ? "used" : "absent, the whole VMCB is loaded");
	line("PAUSE filter: %s", f->pause_filter ? "used" :
		"absent, each PAUSE exits while another vCPU of the VM waits for a CPU");
	line("RDTSCP: %s", f->tsc_aux ? "TSC_AUX is switched with the vCPU" : "absent");
	line("TSC ratio: %s", f->tsc_ratio ? "used" :
		"absent, guests have the machine's TSC frequency");
	line("NMI blocking: in software, by intercepting IRET");
	if (f->fragile_virtual_irq)
		line("QEMU TCG: CR8 writes exit while an interrupt waits");
	if (f->injects_twice)
		line("QEMU TCG: an exit follows each interrupt into a guest");
	if (f->threaded_tcg)
		line("QEMU TCG with threads: of more than two CPUs the first runs none");
}

void svm_summary(char *text, size_t size)
{
	const struct svm_features *f = &svm_features;

	snprintf(text, size, "SVM: nested paging%s, %u ASIDs%s%s%s%s",
		f->huge_pages ? " with 1 GiB pages" : "", f->asids - 1,
		f->next_rip ? ", next RIP" : "", f->decode_assists ? ", decode assists" : "",
		f->flush_by_asid ? ", flush by ASID" : "", f->clean_bits ? ", clean bits" : "");
}
