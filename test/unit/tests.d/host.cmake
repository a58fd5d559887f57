# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(frame SOURCES test/unit/test_frame.c test/unit/fake_panic.c host/frame.c host/heap.c host/page.c)
ballast_unit_test(timer SOURCES test/unit/test_timer.c test/unit/fake_panic.c test/unit/fake_host.c host/timer.c lib/pairing_heap.c)
ballast_unit_test(watchdog SOURCES test/unit/test_watchdog.c host/watchdog.c test/unit/fake_clock.c
	DEFINITIONS BALLAST_FAKE_CLOCK)
ballast_unit_test(mitigation SOURCES test/unit/test_mitigation.c host/mitigation_plan.c host/topology.c)
ballast_unit_test(host_acpi SOURCES test/unit/test_acpi.c host/acpi.c)
ballast_unit_test(host_pci SOURCES test/unit/test_pci.c host/pci.c host/pci_bar.c host/pci_message.c
	test/unit/fake_frames.c DEFINITIONS BALLAST_FAKE_CLOCK)
ballast_unit_test(pci_config SOURCES test/unit/test_pci_config.c host/pci_config.c)

# boot/memmap.c speaks with the firmware: GNU-EFI's headers, and its calling convention.
find_path(EFI_TEST_INCLUDE efi.h PATH_SUFFIXES efi)
if(EFI_TEST_INCLUDE)
	ballast_unit_test(memmap SOURCES test/unit/test_memmap.c boot/memmap.c
		DEFINITIONS GNU_EFI_USE_MS_ABI)
	target_include_directories(unit_memmap SYSTEM PRIVATE ${EFI_TEST_INCLUDE}
		${EFI_TEST_INCLUDE}/x86_64)
endif()
ballast_unit_test(random SOURCES test/unit/test_random.c host/random.c lib/hmac_drbg.c lib/sha256.c)
