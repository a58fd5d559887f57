# SPDX-License-Identifier: BSD-2-Clause
# Rings over a guest's real memory.
set(FAKE_MEMORY_SOURCES test/unit/fake_frames.c ept/s2.c ept/guest_memory.c ept/guest_hotplug.c)
ballast_unit_test(ring SOURCES test/unit/test_ring.c devices/virtio/ring.c devices/virtio/ring_setup.c ${FAKE_MEMORY_SOURCES})
set(FAKE_BLK_SOURCES test/unit/fake_blk.c test/unit/fake_disk.c ${FAKE_MEMORY_SOURCES}
	devices/virtio/blk.c devices/virtio/ring.c devices/virtio/ring_setup.c devices/virtio/virtio.c vcpu/work.c
	${BLOCK_CORE_SOURCES})
ballast_unit_test(virtio_blk SOURCES test/unit/test_virtio_blk.c ${FAKE_BLK_SOURCES})
# The transport, in the fake PC of devices.cmake.
foreach(name virtio_pci pci_functions)
	ballast_unit_test(${name} SOURCES test/unit/test_${name}.c ${FAKE_PC_SOURCES} DEFINITIONS BALLAST_FAKE_CLOCK)
endforeach()
ballast_unit_test(virtio_char SOURCES test/unit/test_virtio_char.c devices/virtio/console.c
	devices/virtio/ring.c devices/virtio/ring_setup.c devices/virtio/rng.c ${FAKE_MEMORY_SOURCES})
ballast_unit_test(virtio_mem SOURCES test/unit/test_virtio_mem.c test/unit/fake_virtio.c test/unit/fake_clock.c
	devices/device_timer.c devices/virtio/mem.c devices/virtio/ring.c devices/virtio/ring_setup.c devices/virtio/virtio.c
	${FAKE_MEMORY_SOURCES} DEFINITIONS BALLAST_FAKE_CLOCK)
