# SPDX-License-Identifier: BSD-2-Clause
find_library(ZYDIS_LIBRARY Zydis)
if(ZYDIS_LIBRARY)
	ballast_unit_test(insn_zydis SOURCES test/unit/test_insn_zydis.c vcpu/insn.c
		vcpu/insn_check.c vcpu/insn_table.c vcpu/insn_vector.c LIBS Zydis)
else()
	message(STATUS "Zydis not found: the decoder is not compared with it")
endif()
