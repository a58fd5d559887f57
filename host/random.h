/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random bytes: a deterministic generator (NIST SP 800-90A), seeded now and then from RDSEED, or
 * RDRAND where that is all there is.
 */
#ifndef BALLAST_HOST_RANDOM_H
#define BALLAST_HOST_RANDOM_H

#include "lib/util.h"

/* Has the CPU a source of randomness? */
bool random_available(void);
/* Any CPU, not from an interrupt. -EIO when the CPU's source fails; the buffer is zeroed then. */
int random_bytes(void *buffer, size_t bytes) __must_check;
#ifdef BALLAST_UNIT_TEST
/* As if never used. */
void random_test_reset(void);
#endif

#endif
