/* SPDX-License-Identifier: BSD-2-Clause */
/* See vcpu/tsc.h. */
#include "vcpu/tsc.h"

int tsc_find_ratio(const struct tsc_format *format, uint64_t guest_hz, uint64_t machine_hz,
	uint64_t *ratio)
{
	if (!format->whole_bits || guest_hz / machine_hz >> format->whole_bits)
		return -ENOTSUP;
	*ratio = mul_div(guest_hz, BIT(format->fraction_bits), machine_hz);
	return *ratio ? 0 : -ENOTSUP;
}
