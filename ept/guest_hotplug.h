/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RAM that comes and goes while the guest runs, in blocks of 2 MiB: a slot of which nothing is
 * there at first. Where no block is plugged is nothing, as outside all slots.
 */
#ifndef BALLAST_EPT_GUEST_HOTPLUG_H
#define BALLAST_EPT_GUEST_HOTPLUG_H

#include "ept/guest_memory.h"

#define HOTPLUG_NONE (~0ULL)

/* As guest_memory_add(), aligned to blocks; also -ENOMEM. */
int guest_hotplug_add(struct guest_memory *memory, gpa_t start, uint64_t bytes) __must_check;
/* Frees what that took; with the memory. */
void guest_hotplug_destroy(struct guest_memory *memory);
/* Nothing is plugged any more; under the memory's lock, when all its backing is dropped. */
void guest_hotplug_clear(struct guest_memory *memory);

/* How many bytes of the whole slot that starts there are plugged. */
uint64_t guest_hotplug_bytes(const struct guest_memory *memory, gpa_t start);
/* And of a range; HOTPLUG_NONE: it is not some blocks of one such slot. */
uint64_t guest_hotplug_count(const struct guest_memory *memory, gpa_t gpa, uint64_t bytes);
/*
 * Some blocks of one such slot are plugged: of zeroes, and of frames as they are touched. Or
 * unplugged: nobody gets a frame for them any more, and the caller goes on to discard
 * (guest_memory_discard()) all of them before any is plugged again. One caller at a time.
 */
void guest_hotplug_set(struct guest_memory *memory, gpa_t gpa, uint64_t bytes, bool plugged);

#endif
