/* SPDX-License-Identifier: BSD-2-Clause */
/* Ratios of TSCs: which there are, and both ways through them, against exact arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vcpu/tsc.h"

#define MHZ 1000000ULL
#define GHZ 1000000000ULL

static const struct tsc_format vmx = { 16, 48 }, svm = { 8, 32 }, none = { 0, 0 };

static uint64_t ratio_of(const struct tsc_format *format, uint64_t guest_hz, uint64_t machine_hz)
{
	uint64_t ratio = 77;

	assert_int_equal(tsc_find_ratio(format, guest_hz, machine_hz, &ratio), 0);
	return ratio;
}

static void ratios_are_fixed_point_numbers(void **state)
{
	(void)state;
	assert_int_equal(ratio_of(&vmx, 2 * GHZ, 4 * GHZ), BIT(47));
	assert_int_equal(ratio_of(&svm, 2 * GHZ, 4 * GHZ), BIT(31));
	assert_int_equal(ratio_of(&vmx, 3 * GHZ, 2 * GHZ), BIT(48) + BIT(47));
	assert_int_equal(ratio_of(&svm, 10 * GHZ, 50 * MHZ), 200 * BIT(32));
	assert_int_equal(ratio_of(&vmx, MHZ, 3 * MHZ), BIT(48) / 3);
	/* The largest ones: everything before the point is used. */
	assert_int_equal(ratio_of(&svm, 256 * MHZ - 1, MHZ) >> 32, 255);
	assert_int_equal(ratio_of(&vmx, 65536 * MHZ - 1, MHZ) >> 48, 65535);
}

static void what_hardware_cannot_is_refused(void **state)
{
	uint64_t ratio = 77;

	(void)state;
	assert_int_equal(tsc_find_ratio(&none, 2 * GHZ, GHZ, &ratio), -ENOTSUP);
	assert_int_equal(tsc_find_ratio(&none, MHZ, GHZ, &ratio), -ENOTSUP);
	assert_int_equal(tsc_find_ratio(&svm, 256 * MHZ, MHZ, &ratio), -ENOTSUP);
	assert_int_equal(tsc_find_ratio(&vmx, 65536 * MHZ, MHZ, &ratio), -ENOTSUP);
	assert_int_equal(ratio, 77);
	/* Less than the last place. */
	assert_int_equal(tsc_find_ratio(&svm, 1, BIT(33), &ratio), -ENOTSUP);
}

/* Scaling is what the manuals say, at whatever size: the product has 128 bits, none is lost. */
static void scaled_as_the_hardware_does(void **state)
{
	(void)state;
	assert_int_equal(tsc_scale(1000, BIT(47), 48), 500);
	assert_int_equal(tsc_scale(999, BIT(47), 48), 499);
	assert_int_equal(tsc_scale(~0ULL, BIT(47), 48), ~0ULL >> 1);
	assert_int_equal(tsc_scale(~0ULL, BIT(31), 32), ~0ULL >> 1);
	assert_int_equal(tsc_scale(BIT(62) + 5, 40 * BIT(32), 32), 200); /* modulo 2^64 */
	assert_int_equal(tsc_scale(123456789012345, BIT(48) / 3, 48), 41152263004114);
	assert_int_equal(tsc_scale(~0ULL, ~0ULL, 48), 0xfffffffffffe0000); /* (2^128 - 2^65 + 1) >> 48 */
}

/* Has the guest's TSC counted `ticks` when the machine's has counted `machine` from `start`? */
static bool enough(uint64_t start, uint64_t machine, uint64_t ticks, uint64_t ratio, unsigned int bits)
{
	return tsc_scale(start + machine, ratio, bits) - tsc_scale(start, ratio, bits) >= ticks;
}

/* Never early, and late by no more than what two roundings make. */
static void check_back(uint64_t start, uint64_t ticks, uint64_t ratio, unsigned int bits)
{
	uint64_t machine = tsc_unscale(ticks, ratio, bits);
	uint64_t slack = 2 + (BIT(bits) + ratio - 1) / ratio; /* a tick of the guest, and two */

	assert_true(enough(start, machine, ticks, ratio, bits));
	if (machine > slack)
		assert_false(enough(start, machine - slack, ticks, ratio, bits));
}

static void the_way_back_is_never_early(void **state)
{
	static const uint64_t hz[] = { MHZ, 25 * MHZ, 333333333, 2 * GHZ, 2599999999, 10 * GHZ };
	static const uint64_t ticks[] = { 1, 2, 3, 7, 1000, 999999999, 1ULL << 40, (1ULL << 50) + 1 };
	static const uint64_t starts[] = { 0, 1, 12345, 98765432109, (1ULL << 45) + 17 };
	const struct tsc_format *formats[] = { &vmx, &svm };

	(void)state;
	for (size_t f = 0; f < 2; f++) {
		for (size_t i = 0; i < ARRAY_SIZE(hz); i++) {
			for (size_t j = 0; j < ARRAY_SIZE(ticks) * ARRAY_SIZE(starts); j++)
				check_back(starts[j % 5], ticks[j / 5], ratio_of(formats[f], hz[i], 2400 * MHZ),
					formats[f]->fraction_bits);
		}
	}
}

static void the_way_back_does_not_overflow(void **state)
{
	(void)state;
	assert_int_equal(tsc_unscale(~0ULL, BIT(47), 48), ~0ULL);
	assert_int_equal(tsc_unscale(~0ULL, BIT(31), 32), ~0ULL);
	assert_int_equal(tsc_unscale(BIT(63), BIT(47), 48), ~0ULL);
	assert_int_equal(tsc_unscale(BIT(63) - 2, BIT(47), 48), ~0ULL - 2);
	assert_int_equal(tsc_unscale(~0ULL, 1, 48), ~0ULL);
	assert_int_equal(tsc_unscale(1, 1, 48), BIT(48) + 1);
	/* Exactly as many as there are: one more would be none. */
	assert_int_equal(tsc_unscale(~0ULL, BIT(48), 48), ~0ULL);
	assert_int_equal(tsc_unscale(~0ULL, ~0ULL, 48), BIT(48) + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ratios_are_fixed_point_numbers),
		cmocka_unit_test(what_hardware_cannot_is_refused),
		cmocka_unit_test(scaled_as_the_hardware_does),
		cmocka_unit_test(the_way_back_is_never_early),
		cmocka_unit_test(the_way_back_does_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
