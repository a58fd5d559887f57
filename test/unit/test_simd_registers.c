/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The access to the CPU's own vector registers. A function call may change them all by the ABI,
 * so doing it here harms nothing; between a write and its read there is no other code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "vcpu/simd_registers.h"

static void fill(uint8_t *bytes, size_t count, uint8_t first)
{
	size_t i;

	for (i = 0; i < count; i++)
		bytes[i] = first + i;
}

static void test_xmm(void **state)
{
	uint8_t in[16], out[16];
	unsigned int n;

	(void)state;
	for (n = 0; n < 16; n++) {
		fill(in, 16, n * 16);
		memset(out, 0, 16);
		simd_register_write(n, 16, SIMD_KEEP, in);
		simd_register_read(n, 16, out);
		assert_memory_equal(in, out, 16);
	}
}

static void test_ymm(void **state)
{
	uint8_t wide[32], narrow[16], out[32], want[32];
	unsigned int n;

	(void)state;
	if (!__builtin_cpu_supports("avx"))
		skip();
	for (n = 0; n < 16; n++) {
		fill(wide, 32, n * 8);
		fill(narrow, 16, 0x80 + n);
		simd_register_write(n, 32, SIMD_ZERO, wide);
		simd_register_read(n, 32, out);
		assert_memory_equal(wide, out, 32);

		memcpy(want, wide, 32);
		memcpy(want, narrow, 16);
		simd_register_write(n, 32, SIMD_ZERO, wide);
		simd_register_write(n, 16, SIMD_KEEP, narrow);
		simd_register_read(n, 32, out);
		assert_memory_equal(want, out, 32);

		memset(want + 16, 0, 16);
		simd_register_write(n, 32, SIMD_ZERO, wide);
		simd_register_write(n, 16, SIMD_ZERO, narrow);
		simd_register_read(n, 32, out);
		assert_memory_equal(want, out, 32);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xmm),
		cmocka_unit_test(test_ymm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
