# SPDX-License-Identifier: BSD-2-Clause
ballast_fuzz(ring SOURCES test/fuzz/fuzz_ring.c devices/virtio/ring.c devices/virtio/ring_setup.c)
ballast_fuzz(virtio_pci SOURCES test/fuzz/fuzz_virtio_pci.c test/unit/fake_pc.c test/unit/fake_clock.c
	${VCPU_LAPIC_SOURCES} ${fuzzed_devices} DEFINITIONS BALLAST_FAKE_CLOCK)
ballast_fuzz(virtio_char SOURCES test/fuzz/fuzz_virtio_char.c test/unit/fake_virtio.c test/unit/fake_frames.c
	ept/s2.c ept/guest_memory.c ept/guest_hotplug.c devices/virtio/console.c devices/virtio/ring.c devices/virtio/ring_setup.c devices/virtio/rng.c
	devices/virtio/virtio.c)
ballast_fuzz(virtio_balloon SOURCES test/fuzz/fuzz_virtio_balloon.c test/unit/fake_virtio.c test/unit/fake_clock.c
	test/unit/fake_discard.c test/unit/fake_guest_memory.c test/unit/fake_frames.c devices/device_timer.c
	devices/virtio/balloon.c devices/virtio/ring.c devices/virtio/ring_setup.c devices/virtio/virtio.c DEFINITIONS BALLAST_FAKE_CLOCK)
ballast_fuzz(virtio_mem SOURCES test/fuzz/fuzz_virtio_mem.c test/unit/fake_virtio.c test/unit/fake_clock.c
	test/unit/fake_frames.c ept/s2.c ept/guest_memory.c ept/guest_hotplug.c devices/device_timer.c
	devices/virtio/mem.c devices/virtio/ring.c devices/virtio/ring_setup.c devices/virtio/virtio.c DEFINITIONS BALLAST_FAKE_CLOCK)
