# SPDX-License-Identifier: BSD-2-Clause
ballast_fuzz(ring SOURCES test/fuzz/fuzz_ring.c devices/virtio/ring.c)
ballast_fuzz(virtio_pci SOURCES test/fuzz/fuzz_virtio_pci.c test/unit/fake_pc.c test/unit/fake_clock.c
	${VCPU_LAPIC_SOURCES} ${fuzzed_devices} DEFINITIONS BALLAST_FAKE_CLOCK)
