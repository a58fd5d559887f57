# SPDX-License-Identifier: BSD-2-Clause
set(VCPU_SOURCES
	vcpu/control.c
	vcpu/cpuid.c
	vcpu/dump.c
	vcpu/event.c
	vcpu/exits.c
	vcpu/fpu.c
	vcpu/hw.c
	vcpu/msr.c
	vcpu/ports.c
	vcpu/pvclock.c
	vcpu/run.c
	vcpu/sched.c
	vcpu/vcpu.c
	vcpu/vm.c)
