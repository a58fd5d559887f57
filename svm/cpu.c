/* SPDX-License-Identifier: BSD-2-Clause */
/* SVM on a physical CPU: on and off, and its host state. */
#include "host/apic.h"
#include "host/clock.h"
#include "host/cpu.h"
#include "host/log.h"
#include "host/memory.h"
#include "host/watchdog.h"
#include "svm/svm.h"
#include "vcpu/sched.h"

/*
 * VMSAVE keeps FS, GS, TR, LDTR and the system call MSRs of the host: they do not change from here
 * on, and svm_run_guest() loads them after each run.
 */
static void save_host_state(const struct svm_cpu *svm)
{
	__asm__ volatile("vmsave %%rax" : : "a"(svm->host_vmcb) : "memory");
}

static struct svm_cpu *cpu_data_create(void)
{
	struct svm_cpu *svm = heap_alloc(sizeof(*svm), FRAME_HOST);

	if (!svm)
		return NULL;
	svm->host_vmcb = frame_alloc_zeroed(FRAME_ORDER_4K, FRAME_HOST);
	if (svm->host_vmcb == HPA_NONE) {
		heap_free(svm);
		return NULL;
	}
	tlb_tags_init(&svm->asids, svm_features.asids);
	svm->flush_all = true; /* what the firmware may have left */
	return svm;
}

static int cpu_allocate(struct cpu *cpu)
{
	cpu->hw_page = frame_alloc_zeroed(FRAME_ORDER_4K, FRAME_HOST);
	if (cpu->hw_page == HPA_NONE)
		return -ENOMEM;
	cpu->hw_data = cpu_data_create();
	if (cpu->hw_data && !svm_prepare_maps())
		return 0;
	if (cpu->hw_data) {
		frame_free(((struct svm_cpu *)cpu->hw_data)->host_vmcb, FRAME_ORDER_4K);
		heap_free(cpu->hw_data);
		cpu->hw_data = NULL;
	}
	frame_free(cpu->hw_page, FRAME_ORDER_4K);
	cpu->hw_page = HPA_NONE;
	return -ENOMEM;
}

/* What probe() found on the boot CPU must hold here: guests may be placed on either. */
static int check_same_features(const struct cpu *cpu)
{
	const struct svm_features *boot = &svm_features;
	struct svm_features here;
	char why[256] = "this CPU is no AMD CPU.";
	int error = svm_detect_here(&here, why, sizeof(why));

	if (error) {
		log_line("CPU %u: %s", cpu->id, why);
		return error;
	}
	if (here.asids < boot->asids || here.next_rip < boot->next_rip ||
		here.decode_assists < boot->decode_assists ||
		here.flush_by_asid < boot->flush_by_asid || here.clean_bits < boot->clean_bits ||
		here.huge_pages < boot->huge_pages ||
		here.pause_filter < boot->pause_filter ||
		here.pause_threshold < boot->pause_threshold || here.tsc_aux < boot->tsc_aux ||
		here.tsc_ratio < boot->tsc_ratio) {
		log_line("CPU %u has fewer SVM features than the boot CPU; it is not used",
			cpu->id);
		return -ENOTSUP;
	}
	return 0;
}

/* QEMU with -icount: its TSC counts virtual nanoseconds; calibration is some permille off. */
static bool counts_instructions(void)
{
	uint64_t hz = clock_tsc_hz;

	return hz > NS_PER_SEC - NS_PER_SEC / 100 && hz < NS_PER_SEC + NS_PER_SEC / 100;
}

/* With -icount shift=N an instruction takes 2^N ns: only with shift=0 three take an odd time. */
static bool each_takes_one(void)
{
	uint32_t least = UINT32_MAX;

	for (int i = 0; i < 8; i++) {
		uint32_t first, three;

		__asm__ volatile("rdtsc; mov %%eax, %0; nop; rdtsc; sub %0, %%eax"
				 : "=&r"(first), "=a"(three) : : "edx", "cc");
		if (three < least)
			least = three;
	}
	return least & 1;
}

/* Not when it was probed: the clock came later. Boot CPU, before the others. */
static void look_for_tcg(void)
{
	bool counts = counts_instructions();

	svm_features.threaded_tcg = svm_features.fragile_virtual_irq && !counts;
	svm_features.injects_twice =
		svm_features.fragile_virtual_irq && !(counts && each_takes_one());
	apic_forgetful = svm_features.threaded_tcg;
	sched_spares_boot_cpu = svm_features.threaded_tcg;
}

int svm_cpu_enable(struct cpu *cpu)
{
	int error = check_same_features(cpu);

	if (error)
		return error;
	if (cpu->id == 0)
		look_for_tcg();
	error = cpu_allocate(cpu);
	if (error) {
		log_line("CPU %u: no memory for SVM", cpu->id);
		return error;
	}
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, cpu->hw_page);
	if (svm_features.tsc_ratio)
		wrmsr(MSR_TSC_RATIO, SVM_TSC_RATIO_ONE);
	((struct svm_cpu *)cpu->hw_data)->tsc_ratio = SVM_TSC_RATIO_ONE;
	save_host_state(cpu->hw_data);
	watchdog_guest_rip = (uint64_t)(uintptr_t)svm_run_guest_open;
	return 0;
}

void svm_cpu_disable(struct cpu *cpu)
{
	struct svm_cpu *svm = cpu->hw_data;

	if (!svm)
		return;
	wrmsr(MSR_VM_HSAVE_PA, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
	frame_free(svm->host_vmcb, FRAME_ORDER_4K);
	heap_free(svm);
	cpu->hw_data = NULL;
	frame_free(cpu->hw_page, FRAME_ORDER_4K);
	cpu->hw_page = HPA_NONE;
}
