# SPDX-License-Identifier: BSD-2-Clause
ballast_fuzz(sched SOURCES test/fuzz/fuzz_sched.c test/unit/sched_check.c
	vcpu/sched_queue.c vcpu/sched_cap.c lib/pairing_heap.c)
