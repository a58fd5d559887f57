/* SPDX-License-Identifier: BSD-2-Clause */
/* VMX operation on a physical CPU, and the table of this folder's verbs. */
#include "host/log.h"
#include "host/memory.h"
#include "host/x86.h"
#include "vmx/vmx.h"

const struct hw_ops vmx_ops = {
	.name = "VMX",
	.probe = vmx_probe,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.vcpu_create = vmx_vcpu_create,
	.vcpu_destroy = vmx_vcpu_destroy,
	.vcpu_load = vmx_vcpu_load,
	.vcpu_put = vmx_vcpu_put,
	.enter = vmx_enter,
	.pull = vmx_pull,
	.inject = vmx_inject,
	.want_window = vmx_want_window,
	.flush_tlb = vmx_flush_tlb,
	.pause_exits = vmx_pause_exits,
	.s2_format = &vmx_ept_format,
	.tsc_format = &vmx_tsc_format,
	.describe = vmx_describe,
	.summary = vmx_summary,
	.dump = vmx_dump,
};

/*
 * Every CPU must allow what was chosen from the boot CPU's capabilities; a machine whose CPUs
 * differ runs guests on those that do.
 */
static int check_same(const struct cpu *cpu)
{
	struct vmx_capabilities here;
	struct vmx_controls controls;
	char why[200] = "it is no CPU with VMX";

	vmx_capabilities_read(&here);
	if (vmx_capabilities_check(&here, why, sizeof(why))) {
		log_line("cpu %u: %s", cpu->id, why);
		return -ENOTSUP;
	}
	vmx_controls_choose(&here, &controls);
	if (controls.pin != vmx_controls.pin || controls.proc != vmx_controls.proc ||
		controls.proc2 != vmx_controls.proc2 || controls.exit != vmx_controls.exit ||
		controls.entry != vmx_controls.entry || here.basic != vmx_capabilities.basic ||
		here.ept_vpid != vmx_capabilities.ept_vpid ||
		here.proc2 != vmx_capabilities.proc2) {
		log_line("cpu %u: its VMX differs from the boot CPU's", cpu->id);
		return -ENOTSUP;
	}
	return 0;
}

/* Where the firmware left the choice open, make it, and lock it as firmware would. */
static void unlock(void)
{
	uint64_t value = rdmsr(MSR_FEATURE_CONTROL);

	if (!(value & FEATURE_CONTROL_LOCKED))
		wrmsr(MSR_FEATURE_CONTROL, value | FEATURE_CONTROL_VMX | FEATURE_CONTROL_LOCKED);
}

static bool control_registers_allowed(uint64_t cr0, uint64_t cr4)
{
	const struct vmx_capabilities *c = &vmx_capabilities;

	return !(c->cr0_fixed0 & ~cr0) && !(cr0 & ~c->cr0_fixed1) && !(c->cr4_fixed0 & ~cr4) &&
		!(cr4 & ~c->cr4_fixed1);
}

static bool vmxon(hpa_t region)
{
	bool failed;

	__asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region) : "memory");
	return !failed;
}

int vmx_cpu_enable(struct cpu *cpu)
{
	uint64_t cr4 = read_cr4() | CR4_VMXE;
	int error = check_same(cpu);

	if (error)
		return error;
	if (!control_registers_allowed(read_cr0(), cr4)) {
		log_line("cpu %u: VMX does not allow CR0 %llx with CR4 %llx", cpu->id,
			(unsigned long long)read_cr0(), (unsigned long long)cr4);
		return -ENOTSUP;
	}
	if (!cpu->hw_page) {
		hpa_t region = frame_alloc_zeroed(FRAME_ORDER_4K, FRAME_HOST);

		if (region == HPA_NONE) {
			log_line("cpu %u: no memory for its VMXON region", cpu->id);
			return -ENOMEM;
		}
		vmcs_format(region, vmx_capabilities.basic);
		cpu->hw_page = region;
	}
	if (!cpu->hw_data && vmx_tlb_create(cpu)) {
		log_line("cpu %u: no memory for its VPIDs", cpu->id);
		return -ENOMEM;
	}
	if (cpu->id == 0)
		vmx_msr_bitmap_init();
	unlock();
	write_cr4(cr4);
	if (!vmxon(cpu->hw_page)) {
		write_cr4(cr4 & ~CR4_VMXE);
		log_line("cpu %u: VMXON failed", cpu->id);
		return -EIO;
	}
	vmx_tlb_flush_everything();
	return 0;
}

void vmx_cpu_disable(struct cpu *cpu)
{
	(void)cpu;
	if (!(read_cr4() & CR4_VMXE))
		return;
	__asm__ volatile("vmxoff" : : : "cc", "memory");
	write_cr4(read_cr4() & ~CR4_VMXE);
}
