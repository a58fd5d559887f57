/* SPDX-License-Identifier: BSD-2-Clause */
/* What ring.c, which serves rings, and ring_setup.c, which finds their memory, share. */
#ifndef BALLAST_DEVICES_VIRTIO_RING_INTERNAL_H
#define BALLAST_DEVICES_VIRTIO_RING_INTERNAL_H

#include "devices/virtio/ring.h"

#define DESCRIPTOR_BYTES sizeof(struct vring_desc)
#define USED_ELEMENT_BYTES sizeof(struct vring_used_elem)
/* More no table can have whose entries are found by 16-bit numbers. */
#define TABLE_MAX_ENTRIES 65536U

_Static_assert(DESCRIPTOR_BYTES == 16 && USED_ELEMENT_BYTES == 8, "sizes of the specification");
_Static_assert(offsetof(struct vring_avail, ring) == 4 && offsetof(struct vring_used, ring) == 4,
	"flags and index come first");

#define FLAGS_OFFSET 0
#define INDEX_OFFSET 2
#define RING_OFFSET 4

static inline uint64_t descriptors_bytes(const struct virtio_ring *ring)
{
	return DESCRIPTOR_BYTES * ring->size;
}

/* The event fields, which are there whether they are used or not, come after the entries. */
static inline uint32_t used_event_offset(const struct virtio_ring *ring)
{
	return RING_OFFSET + sizeof(uint16_t) * ring->size;
}

static inline uint32_t available_event_offset(const struct virtio_ring *ring)
{
	return RING_OFFSET + USED_ELEMENT_BYTES * ring->size;
}

static inline uint64_t available_bytes(const struct virtio_ring *ring)
{
	return used_event_offset(ring) + sizeof(uint16_t);
}

static inline uint64_t used_bytes(const struct virtio_ring *ring)
{
	return available_event_offset(ring) + sizeof(uint16_t);
}

/* -EINVAL. */
int ring_break(struct virtio_ring *ring);
/* What is next is on its way: nothing is popped before it may have come. */
void ring_wait(struct virtio_ring *ring);
/* Find its parts in host memory anew; false: it must not be touched. */
bool ring_remap(struct virtio_ring *ring);

/* May the ring be touched? Then its mappings are good. */
static inline bool ring_usable(struct virtio_ring *ring)
{
	if (likely(ring->generation ==
		    __atomic_load_n(&ring->memory->generation, __ATOMIC_ACQUIRE)))
		return true;
	return ring_remap(ring);
}

#endif
