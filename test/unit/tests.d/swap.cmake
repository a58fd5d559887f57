# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(swap SOURCES test/unit/test_swap.c test/unit/pages.c test/unit/fake_disk.c test/unit/fake_frames.c
	balloon/swap.c balloon/swap_open.c balloon/swap_slots.c lib/chacha20.c lib/hash.c ${BLOCK_CORE_SOURCES})
