# SPDX-License-Identifier: BSD-2-Clause
set(VMX_SOURCES
	vmx/controls.c
	vmx/cpu.c
	vmx/dump.c
	vmx/entry.asm
	vmx/ept_format.c
	vmx/event.c
	vmx/exit.c
	vmx/probe.c
	vmx/regs.c
	vmx/tlb.c
	vmx/vcpu.c
	vmx/vmcs.c
)
