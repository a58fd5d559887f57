/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's vector registers, which are live in the CPU while its vCPU is loaded. The caller has
 * made sure that the guest may use them: CR4.OSFXSR, or for 32 bytes XCR0.
 */
#ifndef BALLAST_VCPU_SIMD_REGISTERS_H
#define BALLAST_VCPU_SIMD_REGISTERS_H

#include "lib/util.h"

/* What a load does to the bits of the register above those it loads. */
enum simd_upper {
	SIMD_KEEP, /* legacy SSE */
	SIMD_ZERO, /* VEX */
};

/* Registers 0-15; `bytes` is 16 or 32 (SIMD_ZERO only). */
void simd_register_read(unsigned int number, unsigned int bytes, void *to);
void simd_register_write(unsigned int number, unsigned int bytes, enum simd_upper upper,
	const void *from);

#endif
