/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Places where a thread may lose the processor. The linker passes every call of ThreadSanitizer's
 * atomic operations by here (see tsan.cmake).
 */
#ifndef BALLAST_TEST_TSAN_YIELD_POINTS_H
#define BALLAST_TEST_TSAN_YIELD_POINTS_H

#include <stdint.h>

void yield_points_seed(uint32_t seed);
void yield_point(void);

#endif
