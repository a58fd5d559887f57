# SPDX-License-Identifier: BSD-2-Clause
set(SVM_SOURCES
	svm/controls.c
	svm/cpu.c
	svm/dump.c
	svm/entry.asm
	svm/event.c
	svm/exit.c
	svm/npt_format.c
	svm/ops.c
	svm/probe.c
	svm/regs.c
	svm/tlb.c
	svm/vcpu.c
)
