/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame allocator and heap on the build machine for code that packs physical addresses: single frames from
 * one piece of memory at a low address. ASan does not see the ends of its frames; the tests do.
 */
#ifndef BALLAST_TEST_FAKE_ARENA_H
#define BALLAST_TEST_FAKE_ARENA_H

#include "host/memory.h"

#define ARENA_FRAMES 32768

extern int64_t arena_until_failure; /* that many allocations succeed yet; negative: all */
extern uint64_t arena_in_use;       /* frames */

#endif
