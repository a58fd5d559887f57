# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(guest_firmware SOURCES test/unit/test_guest_firmware.c
	test/unit/fake_guest_memory.c mgmt/guest_acpi.c mgmt/guest_firmware.c mgmt/guest_layout.c
	${GUEST_DSDT_SOURCE} host/acpi.c DEFINITIONS IASL="${IASL}")
