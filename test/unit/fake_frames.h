/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_frames.c. */
#ifndef BALLAST_TEST_FAKE_FRAMES_H
#define BALLAST_TEST_FAKE_FRAMES_H

#include "host/memory.h"

extern int64_t fake_frames_in_use;        /* 4 KiB frames handed out and not returned */
extern uint64_t fake_frames_free;         /* what frame_free_count() says: ~0 unless set */
extern int64_t fake_frames_until_failure; /* that many allocations succeed yet; negative: all */

#endif
