# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(swap SOURCES test/unit/test_swap.c test/unit/pages.c test/unit/fake_disk.c test/unit/fake_frames.c
	test/unit/fake_panic.c balloon/swap.c balloon/swap_open.c balloon/swap_slots.c lib/chacha20.c lib/hash.c ${BLOCK_CORE_SOURCES})
ballast_unit_test(pager SOURCES test/unit/test_pager.c test/unit/pages.c test/unit/fake_disk.c test/unit/fake_clock.c
	test/unit/fake_panic.c balloon/keep.c balloon/pager.c balloon/pager_out.c balloon/store.c balloon/swap.c balloon/swap_open.c balloon/swap_slots.c
	lib/chacha20.c lib/hash.c lib/lz.c ept/s2.c ept/guest_memory.c ept/guest_hotplug.c ept/guest_reclaim.c
	host/frame.c host/heap.c host/page.c ${BLOCK_CORE_SOURCES} DEFINITIONS BALLAST_FAKE_CLOCK)
