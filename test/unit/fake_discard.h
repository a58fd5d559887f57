/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest_memory_discard() over fake_guest_memory.h, and what fake_virtio.c needs beside it: each call is
 * recorded, and takes no more than a test lets it.
 */
#ifndef BALLAST_TEST_UNIT_FAKE_DISCARD_H
#define BALLAST_TEST_UNIT_FAKE_DISCARD_H

#include "ept/guest_memory.h"

#define FAKE_DISCARDS 1024

struct fake_discard {
	gpa_t gpa;
	uint64_t bytes; /* that were given up */
};

extern struct fake_discard fake_discards[FAKE_DISCARDS]; /* the first ones */
extern unsigned int fake_discard_count;
extern unsigned int fake_flushes;
extern unsigned int fake_flushed;        /* how many calls there had been before the last flush */
/* Pages that one call gives up at most. */
extern uint64_t fake_discard_step;
/* Pages that may still be given up before too many wait. */
extern uint64_t fake_discard_room;

/* No calls so far, room for all at once. */
void fake_discard_reset(void);

#endif
