# SPDX-License-Identifier: BSD-2-Clause
set(CONSOLE_SOURCES mgmt/console.c mgmt/console_input.c mgmt/console_port.c mgmt/console_queue.c
	mgmt/console_screen.c)
ballast_unit_test(lineedit SOURCES test/unit/test_lineedit.c mgmt/lineedit.c
	mgmt/lineedit_complete.c mgmt/ansi.c)
ballast_unit_test(console SOURCES test/unit/test_console.c test/unit/fake_serial.c
	test/unit/fake_clock.c mgmt/ansi.c ${CONSOLE_SOURCES} mgmt/console_log.c
	mgmt/lineedit.c mgmt/lineedit_complete.c DEFINITIONS BALLAST_FAKE_CLOCK)
ballast_unit_test(shell SOURCES test/unit/test_shell.c mgmt/banner.c mgmt/shell_commands.c
	mgmt/shell_parse.c mgmt/shell_settings.c mgmt/text.c mgmt/text_sched.c ${CONFIG_SOURCES} host/mitigation_plan.c)
foreach(name vms vm_devices vm_memory)
	ballast_unit_test(${name} SOURCES test/unit/test_${name}.c test/unit/fake_parts.c test/unit/fake_panic.c
		test/unit/fake_devices.c test/unit/fake_serial.c test/unit/fake_clock.c
		mgmt/ansi.c ${CONSOLE_SOURCES} mgmt/text.c mgmt/vm_dump.c
		mgmt/vm_build.c mgmt/vm_console.c mgmt/vm_disks.c mgmt/vm_life.c mgmt/vm_nets.c
		mgmt/vms.c ${CONFIG_SOURCES} host/mitigation_plan.c balloon/policy.c
		balloon/policy_state.c
		DEFINITIONS BALLAST_FAKE_CLOCK)
endforeach()
ballast_unit_test(top SOURCES test/unit/test_top.c test/unit/fake_clock.c mgmt/cmd_top.c mgmt/text.c
	mgmt/vm_load.c DEFINITIONS BALLAST_FAKE_CLOCK)
