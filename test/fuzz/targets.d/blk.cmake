# SPDX-License-Identifier: BSD-2-Clause
ballast_fuzz(blk SOURCES test/fuzz/fuzz_blk.c test/unit/fake_blk.c test/unit/fake_disk.c
	test/unit/fake_frames.c devices/virtio/blk.c devices/virtio/ring.c devices/virtio/ring_setup.c devices/virtio/virtio.c
	ept/guest_memory.c ept/guest_hotplug.c ept/s2.c host/block/block.c host/block/image.c host/block/segments.c
	host/machine.c vcpu/work.c DEFINITIONS FAKE_DISK_WINDOW_SECTORS=256ULL)
