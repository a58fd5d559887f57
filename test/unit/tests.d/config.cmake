# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(config SOURCES test/unit/test_config.c mgmt/config.c mgmt/config_files.c
	mgmt/config_lex.c mgmt/suggest.c)
