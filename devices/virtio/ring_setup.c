/* SPDX-License-Identifier: BSD-2-Clause */
/* Split virtqueues: where they lie, and what is pinned of it; see devices/virtio/ring.h. */
#include "devices/virtio/ring_internal.h"

#include "lib/string.h"

/* guest_memory.generation counts up from 0. */
#define NO_GENERATION (~0ULL)
#define NO_BLOCK (~0ULL)

int ring_break(struct virtio_ring *ring)
{
	ring->broken = true;
	ring->generation = NO_GENERATION;
	return -EINVAL;
}

/* Its own pages are written when chains come back, at moments that cannot wait. */
static int pin_ring(struct virtio_ring *ring)
{
	struct guest_memory *memory = ring->memory;

	if (guest_memory_pin(memory, ring->descriptors, descriptors_bytes(ring)))
		return -ENOMEM;
	if (guest_memory_pin(memory, ring->available, available_bytes(ring)))
		goto fail;
	if (guest_memory_pin(memory, ring->used, used_bytes(ring)))
		goto fail_available;
	ring->pinned = true;
	return 0;

fail_available:
	guest_memory_unpin(memory, ring->available, available_bytes(ring));
fail:
	guest_memory_unpin(memory, ring->descriptors, descriptors_bytes(ring));
	return -ENOMEM;
}

static void unpin_ring(struct virtio_ring *ring)
{
	guest_memory_unpin(ring->memory, ring->descriptors, descriptors_bytes(ring));
	guest_memory_unpin(ring->memory, ring->available, available_bytes(ring));
	guest_memory_unpin(ring->memory, ring->used, used_bytes(ring));
}

void ring_reset(struct virtio_ring *ring)
{
	struct guest_memory *memory = ring->memory;
	uint16_t size_max = ring->size_max;

	if (ring->pinned)
		unpin_ring(ring);
	memset(ring, 0, sizeof(*ring));
	ring->memory = memory;
	ring->size_max = size_max;
	ring->size = size_max;
	ring->generation = NO_GENERATION;
}

/* A part of the ring in host memory: NULL in *host where it is not contiguous. False: no memory. */
static bool map_part(struct virtio_ring *ring, gpa_t gpa, uint64_t bytes, uint8_t **host)
{
	uint64_t room, done = 0;
	uint8_t *at;

	*host = NULL;
	while (done < bytes) {
		at = guest_memory_ptr(ring->memory, gpa + done, S2_WRITE, &room);
		if (!at)
			return false;
		if (done == 0)
			*host = at;
		else if (*host && at != *host + done)
			*host = NULL;
		done += room;
	}
	return true;
}

static bool map_ring(struct virtio_ring *ring)
{
	/* Before the mappings: what is taken away meanwhile makes them stale. */
	ring->generation = __atomic_load_n(&ring->memory->generation, __ATOMIC_ACQUIRE);
	for (size_t i = 0; i < RING_BLOCKS; i++)
		ring->blocks[i].start = NO_BLOCK;
	return map_part(ring, ring->descriptors, descriptors_bytes(ring),
		       &ring->host_descriptors) &&
		map_part(ring, ring->available, available_bytes(ring), &ring->host_available) &&
		map_part(ring, ring->used, used_bytes(ring), &ring->host_used);
}

void ring_wait(struct virtio_ring *ring)
{
	ring->absent = true;
	__atomic_store_n(&ring->memory->devices_wait, true, __ATOMIC_RELEASE);
	/* It may have come before that was set. */
	if (ring->memory->keeper)
		ring->memory->keeper->needed(ring->memory);
}

bool ring_remap(struct virtio_ring *ring)
{
	if (!ring->enabled || ring->broken || (ring->absent && !ring->mapped))
		return false;
	if (map_ring(ring)) {
		ring->mapped = true;
		return true;
	}
	/* What has been there is pinned: only the guest itself can have given it up. */
	ring->generation = NO_GENERATION;
	if (ring->mapped)
		ring_break(ring);
	else
		ring_wait(ring);
	return false;
}

static bool part_is_valid(const struct virtio_ring *ring, gpa_t gpa, uint64_t bytes, uint64_t align)
{
	return IS_ALIGNED(gpa, align) && guest_memory_contains(ring->memory, gpa, bytes);
}

int ring_enable(struct virtio_ring *ring)
{
	if (ring->enabled || ring->broken)
		return ring_break(ring);
	if (!ring->size || ring->size > ring->size_max || (ring->size & (ring->size - 1)))
		return ring_break(ring);
	if (!part_is_valid(ring, ring->descriptors, descriptors_bytes(ring), DESCRIPTOR_BYTES) ||
		!part_is_valid(ring, ring->available, available_bytes(ring), sizeof(uint16_t)) ||
		!part_is_valid(ring, ring->used, used_bytes(ring), sizeof(uint32_t)))
		return ring_break(ring);
	if (pin_ring(ring))
		return ring_break(ring);
	ring->enabled = true;
	(void)!ring_remap(ring);
	return 0;
}
