/* SPDX-License-Identifier: BSD-2-Clause */
/* The arithmetic flags of results (Intel SDM vol. 1, "EFLAGS Register", "Status Flags"). */
#include "vcpu/emulate_ops.h"

/* Bit n: has the number n an even number of ones? */
#define EVEN_NIBBLES 0x9669

uint64_t emulate_result_flags(uint64_t result, unsigned int size)
{
	uint64_t flags = 0;

	if (EVEN_NIBBLES >> ((result ^ result >> 4) & 15) & 1)
		flags |= RFLAGS_PF;
	if (!(result & byte_mask(size)))
		flags |= RFLAGS_ZF;
	if (result & emulate_sign_bit(size))
		flags |= RFLAGS_SF;
	return flags;
}

uint64_t emulate_add_flags(uint64_t a, uint64_t b, uint64_t result, unsigned int size)
{
	uint64_t sign = emulate_sign_bit(size);
	uint64_t carries = (a & b) | ((a | b) & ~result);
	uint64_t flags = emulate_result_flags(result, size);

	if (carries & sign)
		flags |= RFLAGS_CF;
	if ((a ^ b ^ result) & 0x10)
		flags |= RFLAGS_AF;
	if ((a ^ result) & (b ^ result) & sign)
		flags |= RFLAGS_OF;
	return flags;
}

uint64_t emulate_subtract_flags(uint64_t a, uint64_t b, uint64_t result, unsigned int size)
{
	uint64_t sign = emulate_sign_bit(size);
	uint64_t borrows = (~a & b) | ((~a | b) & result);
	uint64_t flags = emulate_result_flags(result, size);

	if (borrows & sign)
		flags |= RFLAGS_CF;
	if ((a ^ b ^ result) & 0x10)
		flags |= RFLAGS_AF;
	if ((a ^ b) & (a ^ result) & sign)
		flags |= RFLAGS_OF;
	return flags;
}
