/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory for tests on the build machine: the functions of ept/guest_memory.h on a sparse
 * mapping of the build machine's own, one guest at a time. Slots behave as the real ones do.
 */
#ifndef BALLAST_TEST_UNIT_FAKE_GUEST_MEMORY_H
#define BALLAST_TEST_UNIT_FAKE_GUEST_MEMORY_H

#include "ept/guest_memory.h"

#define FAKE_GUEST_BYTES GIB(16)

/* No slots, all memory zero. */
void fake_guest_memory_reset(struct guest_memory *memory);
/* From now on only so many pages may be touched for the first time; then the host is full. */
void fake_guest_memory_set_limit(uint64_t pages);
/* Direct access, RAM or not, below FAKE_GUEST_BYTES. */
void *fake_guest_memory_at(gpa_t gpa);
/* Pages touched since the reset. */
uint64_t fake_guest_memory_touched(void);

#endif
