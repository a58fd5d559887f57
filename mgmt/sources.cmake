# SPDX-License-Identifier: BSD-2-Clause
set(MGMT_SOURCES)

# Configuration, guest loaders, guest ACPI tables.
include(${CMAKE_SOURCE_DIR}/mgmt/acpi.cmake)
set(MGMT_LOADER_SOURCES
	${GUEST_DSDT_SOURCE}
	mgmt/config.c
	mgmt/config_files.c
	mgmt/config_lex.c
	mgmt/elf.c
	mgmt/guest_acpi.c
	mgmt/guest_firmware.c
	mgmt/guest_layout.c
	mgmt/suggest.c
)
list(APPEND MGMT_SOURCES ${MGMT_LOADER_SOURCES})
