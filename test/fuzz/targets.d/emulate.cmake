# SPDX-License-Identifier: BSD-2-Clause
set(fuzz_emulate_sources ${VCPU_EMULATE_SOURCES})
list(REMOVE_ITEM fuzz_emulate_sources vcpu/simd_registers.c)
ballast_fuzz(emulate SOURCES test/fuzz/fuzz_emulate.c test/unit/fake_vcpu.c
	${fuzz_emulate_sources})
