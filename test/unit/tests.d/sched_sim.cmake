# SPDX-License-Identifier: BSD-2-Clause
# The scheduling policy in simulated time.
set(SCHED_SIM_SOURCES test/unit/sched_sim.c test/unit/sched_check.c vcpu/sched_queue.c
	vcpu/sched_cap.c lib/pairing_heap.c)
ballast_unit_test(sched_share SOURCES test/unit/test_sched_share.c ${SCHED_SIM_SOURCES})
ballast_unit_test(sched_wake SOURCES test/unit/test_sched_wake.c ${SCHED_SIM_SOURCES})
# It counts basic blocks.
target_compile_options(unit_sched_wake PRIVATE -fsanitize-coverage=trace-pc)
# The whole scheduler on many CPUs, in virtual time.
ballast_unit_test(sched_machine SOURCES test/unit/test_sched_machine.c test/unit/fake_machine.c
	test/unit/fake_host.c test/unit/fake_panic.c host/timer.c vcpu/event.c vcpu/sched.c vcpu/sched_account.c
	vcpu/sched_balance.c
	vcpu/sched_vm.c vcpu/sched_queue.c vcpu/sched_cap.c lib/pairing_heap.c
	DEFINITIONS BALLAST_FAKE_CLOCK)
