# SPDX-License-Identifier: BSD-2-Clause
ballast_fuzz(config SOURCES test/fuzz/fuzz_config.c ${CONFIG_SOURCES} host/mitigation_plan.c)
ballast_fuzz(loader SOURCES test/fuzz/fuzz_loader.c test/unit/fake_guest_memory.c
	mgmt/config_path.c mgmt/elf.c
	mgmt/guest_acpi.c mgmt/guest_firmware.c mgmt/guest_layout.c mgmt/loader.c
	mgmt/loader_common.c mgmt/loader_entry.c mgmt/loader_linux.c mgmt/loader_multiboot.c
	mgmt/loader_pvh.c MAX_BYTES 8192)
