# SPDX-License-Identifier: BSD-2-Clause
set(emulator_under_test ${VCPU_EMULATE_SOURCES})
# Tests bring their own vector registers: the real ones belong to the compiler here.
list(REMOVE_ITEM emulator_under_test vcpu/simd_registers.c)

ballast_unit_test(emulate SOURCES test/unit/test_emulate.c test/unit/fake_vcpu.c
	${emulator_under_test})

set(address_space_under_test ${emulator_under_test})
list(FILTER address_space_under_test INCLUDE REGEX "vcpu/(guest|insn)_|vcpu/insn.c")
ballast_unit_test(guest_access SOURCES test/unit/test_guest_access.c test/unit/fake_vcpu.c
	${address_space_under_test})

find_library(UNICORN_LIBRARY unicorn)
if(UNICORN_LIBRARY)
	ballast_unit_test(emulate_unicorn SOURCES test/unit/test_emulate_unicorn.c
		test/unit/fake_vcpu.c ${emulator_under_test} LIBS unicorn)
else()
	message(STATUS "Unicorn not found: the emulator is not compared with it")
endif()
ballast_unit_test(simd_registers SOURCES test/unit/test_simd_registers.c vcpu/simd_registers.c)
