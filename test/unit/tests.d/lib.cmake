# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(lib SOURCES test/unit/test_lib.c test/unit/lib_renamed.c)
