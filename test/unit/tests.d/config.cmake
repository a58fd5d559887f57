# SPDX-License-Identifier: BSD-2-Clause
foreach(name config config_devices config_memory)
	ballast_unit_test(${name} SOURCES test/unit/test_${name}.c ${CONFIG_SOURCES} host/mitigation_plan.c)
endforeach()
