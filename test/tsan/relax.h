/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Included before all else in the sources under test: who spins for a lock lets its holder run, for
 * here CPUs are threads, and more of them than the build machine has processors.
 */
#ifndef BALLAST_TEST_TSAN_RELAX_H
#define BALLAST_TEST_TSAN_RELAX_H

void machine_relax(void);
#define __builtin_ia32_pause machine_relax

#endif
