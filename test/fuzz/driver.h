/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio driver that does what the input says; a part of the target, included once. */
#ifndef BALLAST_TEST_FUZZ_DRIVER_H
#define BALLAST_TEST_FUZZ_DRIVER_H

#include "test/fuzz/input.h"
#include "test/unit/fake_virtio.h"

#define DATA 0x100000ULL /* pages of the guest that buffers lie in */

/* An address: near the ends of RAM, of none, in one of the first `queues` rings, or of a buffer. */
static inline gpa_t place_of(uint8_t kind, unsigned int queues)
{
	switch (kind & 7) {
	case 0:
		return next16();
	case 1:
		return FAKE_VIRTIO_RAM - next16();
	case 2:
		return (gpa_t)next16() << 48;
	case 3:
		return 0x10000ULL * (1 + (kind >> 4) % queues) + next16() % 0x9000;
	default:
		return DATA + 0x1000ULL * (kind >> 3);
	}
}

#endif
