# SPDX-License-Identifier: BSD-2-Clause
set(svm_tested test/unit/fake_svm.c test/unit/fake_host.c svm/controls.c svm/cpu.c svm/dump.c svm/event.c svm/exit.c
	svm/npt_format.c svm/probe.c svm/regs.c
	svm/tlb.c)
ballast_unit_test(svm_probe SOURCES test/unit/test_svm_probe.c ${svm_tested})
ballast_unit_test(svm_exit SOURCES test/unit/test_svm_exit.c ${svm_tested})
ballast_unit_test(svm_event SOURCES test/unit/test_svm_event.c ${svm_tested})
