# SPDX-License-Identifier: BSD-2-Clause
ballast_fuzz(devices SOURCES test/fuzz/fuzz_devices.c test/unit/fake_pc.c test/unit/fake_clock.c
	${VCPU_LAPIC_SOURCES} ${DEVICES_SOURCES} DEFINITIONS BALLAST_FAKE_CLOCK)
