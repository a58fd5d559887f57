# SPDX-License-Identifier: BSD-2-Clause
set(MGMT_SOURCES)

# Configuration, guest loaders, guest ACPI tables.
set(MGMT_LOADER_SOURCES
	mgmt/config.c
	mgmt/config_files.c
	mgmt/config_lex.c
	mgmt/suggest.c
)
list(APPEND MGMT_SOURCES ${MGMT_LOADER_SOURCES})
