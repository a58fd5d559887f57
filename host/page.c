/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/memory.h"
#include "host/x86.h"

enum zero_method {
	ZERO_UNKNOWN,
	ZERO_QUADWORDS, /* rep stosq */
	ZERO_BYTES,     /* rep stosb, where the CPU says that it is fast (ERMS) */
	ZERO_LINES,     /* CLZERO, AMD: whole lines, without reading them first */
};

#define CLZERO_LINE 64

static enum zero_method choose_method(void)
{
	if (cpuid(0x80000000, 0).eax >= 0x80000008 && (cpuid(0x80000008, 0).ebx & BIT(0)))
		return ZERO_LINES;
	if (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & BIT(9)))
		return ZERO_BYTES;
	return ZERO_QUADWORDS;
}

void page_zero(void *start, uint64_t bytes)
{
	static enum zero_method method; /* [a] every CPU would choose the same */
	char *at = start;

	if (method == ZERO_UNKNOWN)
		method = choose_method();
	switch (method) {
	case ZERO_LINES:
		for (char *end = at + bytes; at < end; at += CLZERO_LINE)
			__asm__ volatile("clzero" : : "a"(at) : "memory");
		/* Its stores are weakly ordered. */
		__asm__ volatile("sfence" : : : "memory");
		break;
	case ZERO_BYTES:
		__asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(0) : "memory");
		break;
	default:
		bytes /= 8;
		__asm__ volatile("rep stosq" : "+D"(at), "+c"(bytes) : "a"(0ULL) : "memory");
	}
}
