# SPDX-License-Identifier: BSD-2-Clause
set(NIC_SOURCES test/unit/nic_lab.c test/unit/fake_clock.c test/unit/fake_frames.c host/net/nic.c host/net/port.c
	host/net/packet.c host/net/switch.c host/net/learn.c host/net/offload.c host/net/checksum.c)
ballast_unit_test(e1000 SOURCES test/unit/test_e1000.c host/net/e1000.c ${NIC_SOURCES}
	DEFINITIONS BALLAST_FAKE_CLOCK BALLAST_FAKE_MMIO)
ballast_unit_test(virtio_nic SOURCES test/unit/test_virtio_nic.c host/net/virtio_nic.c host/net/virtio_nic_pci.c
	${NIC_SOURCES} DEFINITIONS BALLAST_FAKE_CLOCK BALLAST_FAKE_MMIO)
