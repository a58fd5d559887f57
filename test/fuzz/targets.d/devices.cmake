# SPDX-License-Identifier: BSD-2-Clause
set(fuzzed_devices ${DEVICES_SOURCES})
list(REMOVE_ITEM fuzzed_devices ${VIRTIO_DEVICE_SOURCES} "")
ballast_fuzz(devices SOURCES test/fuzz/fuzz_devices.c test/unit/fake_pc.c test/unit/fake_clock.c
	${VCPU_LAPIC_SOURCES} ${fuzzed_devices} DEFINITIONS BALLAST_FAKE_CLOCK)
