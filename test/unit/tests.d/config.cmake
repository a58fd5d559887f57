# SPDX-License-Identifier: BSD-2-Clause
ballast_unit_test(config SOURCES test/unit/test_config.c ${CONFIG_SOURCES} host/mitigation_plan.c)
