/* SPDX-License-Identifier: BSD-2-Clause */
/* Access to the live vector registers: the compiler uses none, so none is declared clobbered. */
#include "vcpu/simd_registers.h"

struct simd_value {
	uint8_t bytes[32];
};

#define FOR_EACH_REGISTER(do)                                                                      \
	do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7)                                            \
	do(8) do(9) do(10) do(11) do(12) do(13) do(14) do(15)

#define READ_XMM(n)                                                                                \
	case n:                                                                                    \
		__asm__ volatile("movdqu %%xmm" #n ", %0" : "=m"(*value));                         \
		break;
#define READ_YMM(n)                                                                                \
	case n:                                                                                    \
		__asm__ volatile("vmovdqu %%ymm" #n ", %0" : "=m"(*value));                        \
		break;
#define WRITE_XMM(n)                                                                               \
	case n:                                                                                    \
		__asm__ volatile("movdqu %0, %%xmm" #n : : "m"(*value));                           \
		break;
#define WRITE_XMM_ZERO(n)                                                                          \
	case n:                                                                                    \
		__asm__ volatile("vmovdqu %0, %%xmm" #n : : "m"(*value));                          \
		break;
#define WRITE_YMM(n)                                                                               \
	case n:                                                                                    \
		__asm__ volatile("vmovdqu %0, %%ymm" #n : : "m"(*value));                          \
		break;

void simd_register_read(unsigned int number, unsigned int bytes, void *to)
{
	struct simd_value *value = to;

	if (bytes == 32) {
		switch (number) {
			FOR_EACH_REGISTER(READ_YMM)
		}
		return;
	}
	switch (number) {
		FOR_EACH_REGISTER(READ_XMM)
	}
}

void simd_register_write(unsigned int number, unsigned int bytes, enum simd_upper upper,
	const void *from)
{
	const struct simd_value *value = from;

	if (bytes == 32) {
		switch (number) {
			FOR_EACH_REGISTER(WRITE_YMM)
		}
	} else if (upper == SIMD_ZERO) {
		switch (number) {
			FOR_EACH_REGISTER(WRITE_XMM_ZERO)
		}
	} else {
		switch (number) {
			FOR_EACH_REGISTER(WRITE_XMM)
		}
	}
}
