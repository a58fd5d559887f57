# SPDX-License-Identifier: BSD-2-Clause
set(MGMT_SOURCES)

# Configuration, guest loaders, guest ACPI tables.
include(${CMAKE_SOURCE_DIR}/mgmt/acpi.cmake)
set(CONFIG_SOURCES
	mgmt/config.c
	mgmt/config_ballast.c
	mgmt/config_devices.c
	mgmt/config_files.c
	mgmt/config_lex.c
	mgmt/config_memory.c
	mgmt/config_path.c
	mgmt/config_value.c
	mgmt/config_vm.c
	mgmt/config_words.c
	mgmt/suggest.c
)
set(MGMT_LOADER_SOURCES
	${CONFIG_SOURCES}
	${GUEST_DSDT_SOURCE}
	mgmt/elf.c
	mgmt/guest_acpi.c
	mgmt/guest_firmware.c
	mgmt/guest_layout.c
	mgmt/loader.c
	mgmt/loader_common.c
	mgmt/loader_entry.c
	mgmt/loader_files.c
	mgmt/loader_linux.c
	mgmt/loader_multiboot.c
	mgmt/loader_pvh.c
)
list(APPEND MGMT_SOURCES ${MGMT_LOADER_SOURCES})

# Shell, console multiplexer, life of the VMs.
set(MGMT_SHELL_SOURCES
	mgmt/ansi.c
	mgmt/banner.c
	mgmt/cmd_disk.c
	mgmt/cmd_machine.c
	mgmt/cmd_mem_graph.c
	mgmt/cmd_mem_history.c
	mgmt/cmd_mem_policy.c
	mgmt/cmd_mem_show.c
	mgmt/cmd_mitigation.c
	mgmt/cmd_net.c
	mgmt/cmd_top.c
	mgmt/cmd_vm.c
	mgmt/cmd_vm_show.c
	mgmt/console.c
	mgmt/console_input.c
	mgmt/console_log.c
	mgmt/console_port.c
	mgmt/console_queue.c
	mgmt/console_screen.c
	mgmt/cpu_load.c
	mgmt/lineedit.c
	mgmt/lineedit_complete.c
	mgmt/mem_view.c
	mgmt/mgmt.c
	mgmt/shell.c
	mgmt/shell_commands.c
	mgmt/shell_parse.c
	mgmt/shell_settings.c
	mgmt/text.c
	mgmt/text_memory.c
	mgmt/text_sched.c
	mgmt/vm_build.c
	mgmt/vm_console.c
	mgmt/vm_disks.c
	mgmt/vm_dump.c
	mgmt/vm_life.c
	mgmt/vm_load.c
	mgmt/vm_nets.c
	mgmt/vms.c
)
list(APPEND MGMT_SOURCES ${MGMT_SHELL_SOURCES})
