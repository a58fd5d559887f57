# SPDX-License-Identifier: BSD-2-Clause
# Drivers of real disks, against models of the hardware.
set(disk_test_sources test/unit/disk_lab.c test/unit/fake_clock.c test/unit/fake_frames.c
	host/block/disk_queue.c host/block/segments.c)
ballast_unit_test(nvme SOURCES test/unit/test_nvme.c test/unit/fake_nvme.c host/block/nvme.c
	host/block/nvme_control.c host/block/nvme_init.c host/block/partition.c
	host/block/partition_device.c ${disk_test_sources}
	DEFINITIONS BALLAST_FAKE_CLOCK BALLAST_FAKE_MMIO)
ballast_unit_test(ahci SOURCES test/unit/test_ahci.c test/unit/fake_ahci.c host/block/ahci.c
	host/block/ahci_init.c host/block/ahci_port.c ${disk_test_sources}
	DEFINITIONS BALLAST_FAKE_CLOCK BALLAST_FAKE_MMIO)
ballast_unit_test(partition SOURCES test/unit/test_partition.c host/block/partition.c)
