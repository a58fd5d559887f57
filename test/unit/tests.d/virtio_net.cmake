# SPDX-License-Identifier: BSD-2-Clause
# Guests' drivers, rings in their memory, and a switch between them.
ballast_unit_test(virtio_net SOURCES test/unit/test_virtio_net.c test/unit/fake_virtio.c test/unit/fake_clock.c
	test/unit/fake_net.c ${NET_SOURCES} devices/virtio/net.c devices/virtio/net_control.c
	devices/virtio/ring.c devices/virtio/ring_setup.c devices/virtio/virtio.c ${FAKE_MEMORY_SOURCES} DEFINITIONS BALLAST_FAKE_CLOCK)
