/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU's own source of randomness (Intel SDM volume 1, "Random Number Generator Instructions";
 * AMD APM volume 3, "RDRAND", "RDSEED"). Only host/random.c. Tests bring one of their own.
 */
#ifndef BALLAST_HOST_RANDOM_SOURCE_H
#define BALLAST_HOST_RANDOM_SOURCE_H

#include "lib/util.h"

enum random_source { RANDOM_NONE, RANDOM_RDRAND, RANDOM_RDSEED };

#ifdef BALLAST_UNIT_TEST
enum random_source random_source_find(void);
bool random_source_word(enum random_source source, uint64_t *word);
#else
#include "host/x86.h"

#define CPUID_1_ECX_RDRAND BIT(30)
#define CPUID_7_EBX_RDSEED BIT(18)

static inline enum random_source random_source_find(void)
{
	if (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & CPUID_7_EBX_RDSEED))
		return RANDOM_RDSEED;
	return cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND ? RANDOM_RDRAND : RANDOM_NONE;
}

/* False: not now. */
static inline bool random_source_word(enum random_source source, uint64_t *word)
{
	bool done;

	if (source == RANDOM_RDSEED)
		__asm__ volatile("rdseed %0" : "=r"(*word), "=@ccc"(done) : : "cc");
	else
		__asm__ volatile("rdrand %0" : "=r"(*word), "=@ccc"(done) : : "cc");
	if (!done)
		__asm__ volatile("pause");
	return done;
}
#endif

#endif
