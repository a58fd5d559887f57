# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(lineedit SOURCES test/unit/test_lineedit.c mgmt/lineedit.c
	mgmt/lineedit_complete.c mgmt/ansi.c)
