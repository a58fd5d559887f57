# SPDX-License-Identifier: BSD-2-Clause
# A driver, rings in its memory, and a host that takes as many pages as the test lets it.
ballast_unit_test(virtio_balloon SOURCES test/unit/test_virtio_balloon.c test/unit/fake_virtio.c
	test/unit/fake_clock.c test/unit/fake_discard.c test/unit/fake_guest_memory.c test/unit/fake_frames.c devices/device_timer.c
	devices/virtio/balloon.c devices/virtio/ring.c devices/virtio/ring_setup.c devices/virtio/virtio.c DEFINITIONS BALLAST_FAKE_CLOCK)
