# SPDX-License-Identifier: BSD-2-Clause
set(loader_sources test/unit/loader_images.c test/unit/fake_guest_memory.c mgmt/config_path.c mgmt/elf.c
	mgmt/guest_acpi.c mgmt/guest_firmware.c mgmt/guest_layout.c mgmt/loader.c
	mgmt/loader_common.c mgmt/loader_entry.c mgmt/loader_linux.c mgmt/loader_multiboot.c
	mgmt/loader_pvh.c ${GUEST_DSDT_SOURCE})
ballast_unit_test(loader_linux SOURCES test/unit/test_loader_linux.c ${loader_sources})
ballast_unit_test(loader_elf SOURCES test/unit/test_loader_elf.c ${loader_sources})
ballast_unit_test(loader_files SOURCES test/unit/test_loader_files.c mgmt/loader_files.c)
