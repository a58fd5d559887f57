# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(lineedit SOURCES test/unit/test_lineedit.c mgmt/lineedit.c
	mgmt/lineedit_complete.c mgmt/ansi.c)
ballast_unit_test(console SOURCES test/unit/test_console.c test/unit/fake_serial.c
	test/unit/fake_clock.c mgmt/ansi.c mgmt/console.c mgmt/console_log.c mgmt/console_queue.c
	mgmt/lineedit.c mgmt/lineedit_complete.c DEFINITIONS BALLAST_FAKE_CLOCK)
