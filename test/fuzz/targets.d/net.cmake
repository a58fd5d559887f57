# SPDX-License-Identifier: BSD-2-Clause
ballast_fuzz(net_offload SOURCES test/fuzz/fuzz_net_offload.c test/unit/fake_frames.c host/net/checksum.c
	host/net/offload.c host/net/packet.c MAX_BYTES 400)
ballast_fuzz(virtio_net SOURCES test/fuzz/fuzz_virtio_net.c test/unit/fake_virtio.c test/unit/fake_clock.c
	test/unit/fake_frames.c ept/s2.c ept/guest_memory.c ept/guest_hotplug.c host/net/checksum.c host/net/learn.c
	host/net/offload.c host/net/packet.c host/net/port.c host/net/switch.c devices/virtio/net.c
	devices/virtio/net_control.c devices/virtio/ring.c devices/virtio/ring_setup.c devices/virtio/virtio.c
	DEFINITIONS BALLAST_FAKE_CLOCK)
