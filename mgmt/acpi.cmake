# SPDX-License-Identifier: BSD-2-Clause
#
# mgmt/dsdt.asl -> AML by iasl -> GUEST_DSDT_SOURCE, a C file that holds the bytes. A source of its
# own, so that whoever lists it gets the order of building right.
find_program(IASL iasl)
if(NOT IASL)
	message(FATAL_ERROR "iasl not found: install acpica-tools (Debian), which compiles the guests' "
		"ACPI tables")
endif()

set(GUEST_DSDT_SOURCE ${CMAKE_BINARY_DIR}/mgmt/guest_dsdt.c)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/mgmt)
add_custom_command(OUTPUT ${GUEST_DSDT_SOURCE}
	COMMAND ${CMAKE_COMMAND} -DIASL=${IASL} -DASL=${CMAKE_SOURCE_DIR}/mgmt/dsdt.asl
		-DAML=${CMAKE_BINARY_DIR}/mgmt/dsdt -DOUTPUT=${GUEST_DSDT_SOURCE}
		-P ${CMAKE_SOURCE_DIR}/mgmt/dsdt.cmake
	DEPENDS ${CMAKE_SOURCE_DIR}/mgmt/dsdt.asl ${CMAKE_SOURCE_DIR}/mgmt/dsdt.cmake
	COMMENT "Compiling the guests' DSDT" VERBATIM)
