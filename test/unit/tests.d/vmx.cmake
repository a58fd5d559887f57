# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(vmx SOURCES test/unit/test_vmx.c test/unit/fake_host.c vmx/controls.c vmx/ept_format.c vmx/event.c
	vmx/exit.c vmx/regs.c vmx/tlb.c)
