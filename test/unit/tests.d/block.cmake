# SPDX-License-Identifier: BSD-2-Clause
set(BLOCK_CORE_SOURCES host/block/block.c host/block/image.c host/block/segments.c host/machine.c)
set(OVERLAY_SOURCES host/block/overlay.c host/block/overlay_commit.c host/block/overlay_map.c)
ballast_unit_test(block SOURCES test/unit/test_block.c test/unit/fake_frames.c
	${BLOCK_CORE_SOURCES})
ballast_unit_test(overlay SOURCES test/unit/test_overlay.c test/unit/fake_disk.c
	test/unit/fake_frames.c ${OVERLAY_SOURCES} ${BLOCK_CORE_SOURCES})
