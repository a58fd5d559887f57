# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(event SOURCES test/unit/test_event.c vcpu/event.c)
ballast_unit_test(policy SOURCES test/unit/test_policy.c vcpu/cpuid.c
	vcpu/cpuid_exit.c vcpu/msr.c)
ballast_unit_test(run SOURCES test/unit/test_run.c vcpu/run.c)
ballast_unit_test(work SOURCES test/unit/test_work.c vcpu/work.c)
set(SCHED_POLICY_SOURCES vcpu/sched_queue.c vcpu/sched_cap.c lib/pairing_heap.c)
ballast_unit_test(sched SOURCES test/unit/test_sched.c test/unit/fake_host.c vcpu/sched.c
	vcpu/sched_account.c vcpu/sched_balance.c vcpu/sched_vm.c ${SCHED_POLICY_SOURCES}
	DEFINITIONS BALLAST_FAKE_CLOCK)
ballast_unit_test(sched_queue SOURCES test/unit/test_sched_queue.c ${SCHED_POLICY_SOURCES})
ballast_unit_test(tlb SOURCES test/unit/test_tlb.c test/unit/fake_host.c vcpu/tlb.c LIBS pthread)
ballast_unit_test(pause SOURCES test/unit/test_pause.c vcpu/pause.c)
ballast_unit_test(tsc SOURCES test/unit/test_tsc.c vcpu/tsc.c)
