# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(ept SOURCES test/unit/test_ept.c test/unit/fake_frames.c ept/s2.c
	ept/guest_memory.c ept/guest_hotplug.c)
ballast_unit_test(reclaim SOURCES test/unit/test_reclaim.c test/unit/fake_panic.c ept/s2.c ept/guest_memory.c ept/guest_hotplug.c
	ept/guest_reclaim.c host/frame.c host/heap.c host/page.c)
