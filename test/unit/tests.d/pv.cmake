# SPDX-License-Identifier: BSD-2-Clause
# KVM's ABI, over the LAPIC of devices.cmake.
ballast_unit_test(pv SOURCES test/unit/test_pv.c ${FAKE_PC_SOURCES} vcpu/hypercall.c vcpu/pv.c
	vcpu/pvclock.c DEFINITIONS BALLAST_FAKE_CLOCK)
ballast_unit_test(pv_eoi SOURCES test/unit/test_pv_eoi.c ${FAKE_PC_SOURCES} vcpu/pv.c vcpu/pvclock.c
	DEFINITIONS BALLAST_FAKE_CLOCK)
