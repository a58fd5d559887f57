/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TSCs of guests at another frequency than the machine's (Intel SDM vol. 3, "TSC Scaling"; AMD APM
 * vol. 2, "TSC Ratio MSR"). The hardware multiplies by a ratio with a fixed point, takes what is
 * before the point, and adds the offset, modulo 2^64; here is the same, to the tick, and the way
 * back. Pure arithmetic.
 */
#ifndef BALLAST_VCPU_TSC_H
#define BALLAST_VCPU_TSC_H

#include "lib/util.h"

/* What ratios the hardware takes. */
struct tsc_format {
	uint8_t whole_bits;    /* before the point; 0: it cannot scale */
	uint8_t fraction_bits; /* behind it */
};

/* A guest's frequency to the machine's, rounded down. -ENOTSUP: the hardware has no such ratio. */
int tsc_find_ratio(const struct tsc_format *format, uint64_t guest_hz, uint64_t machine_hz,
	uint64_t *ratio) __must_check;

/* The guest's TSC, but for its offset, when the machine's is `tsc`. */
static inline uint64_t tsc_scale(uint64_t tsc, uint64_t ratio, unsigned int fraction_bits)
{
	return (uint64_t)((unsigned __int128)tsc * ratio >> fraction_bits);
}

/*
 * So many ticks of the machine that the guest's TSC has counted `ticks` by then, from wherever it
 * was: rounded up, and at most 2^64 - 1.
 */
static inline uint64_t tsc_unscale(uint64_t ticks, uint64_t ratio, unsigned int fraction_bits)
{
	/* The upper half of ticks * 2^fraction_bits: the quotient has 64 bits when it is less. */
	if (ticks >> (64 - fraction_bits) >= ratio)
		return ~0ULL;
	ticks = mul_div(ticks, BIT(fraction_bits), ratio);
	return ticks == ~0ULL ? ticks : ticks + 1;
}

#endif
