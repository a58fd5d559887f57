/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Split virtqueues, the device's side (Virtual I/O Device Version 1.2, "Split Virtqueues"), with
 * indirect descriptors and event index. The one place where rings of a guest are read and written:
 * each index, address and length is read once, checked, then used; every walk is bounded. A ring
 * that breaks the rules is broken until it is reset: nothing is read from it any more.
 *
 * Memory of a guest may be elsewhere (ept/guest_memory.h). A ring's own pages are pinned. A chain
 * of which anything is missing is not popped, as if it were not there, and the ring stays so until
 * ring_look_again(). It waits for memory as the guest itself would. What is popped is there until
 * its handler ends; a device that uses it later holds the memory (guest_memory_hold()), pins it, or
 * copes with what cannot be read.
 *
 * A device never holds more chains of a ring than the ring has entries: a driver that makes more
 * available before it got some back breaks the ring.
 *
 * All under vm.lock.
 */
#ifndef BALLAST_DEVICES_VIRTIO_RING_H
#define BALLAST_DEVICES_VIRTIO_RING_H

#include <linux/virtio_ring.h>

#include "ept/guest_memory.h"
#include "host/block/block.h"

#define VIRTIO_RING_MAX 256      /* entries of one ring */
#define VIRTIO_CHAIN_SEGMENTS 130 /* of one chain, indirect ones included: more breaks the ring */

#define RING_BLOCKS 8

/* A block of 2 MiB of the guest that is contiguous in the host. */
struct ring_block {
	gpa_t start;
	uint8_t *host;
};

struct virtio_ring {
	struct guest_memory *memory; /* [I] */
	uint16_t size_max;           /* [I] a power of two, at most VIRTIO_RING_MAX */
	/* What the driver has set up. */
	uint16_t size;               /* a power of two, 1 to size_max */
	gpa_t descriptors, available, used;
	bool enabled;
	bool event_index;            /* VIRTIO_F_EVENT_IDX was negotiated */
	bool indirect;               /* VIRTIO_RING_F_INDIRECT_DESC was */
	bool names_pages;            /* what its chains point at is neither read nor written */
	/* Where we are. */
	bool broken;
	bool pinned;                 /* its own pages are */
	bool mapped;                 /* they were all there once */
	bool absent;                 /* the next chain, or all of it, is on its way to memory */
	uint16_t next_available;     /* free-running, as the indices in the ring are */
	uint16_t next_used;
	uint16_t published;          /* next_used as the driver knows it */
	uint16_t signalled;          /* next_used when ring_needs_signal() was last asked */
	uint16_t seen_available;     /* the driver's index when it was last read */
	bool silenced;               /* the driver has been told not to notify */
	/*
	 * Where things lie in host memory, good while `generation` is the memory's. A part that is
	 * not contiguous there has NULL, and is looked up field by field. Of a ring that must not
	 * be touched, `generation` is one that never comes.
	 */
	uint64_t generation;
	uint8_t *host_descriptors, *host_available, *host_used;
	struct ring_block blocks[RING_BLOCKS]; /* last found, by number modulo RING_BLOCKS */
};

struct virtio_segment {
	gpa_t gpa;
	uint32_t bytes;
};

/*
 * A request: what the device reads, then what it writes. All of it is RAM of the guest; no segment
 * is empty.
 */
struct virtio_chain {
	uint16_t head;
	uint16_t readable, writable;    /* segments; the writable ones follow */
	uint32_t readable_bytes, writable_bytes;
	struct virtio_segment segments[VIRTIO_CHAIN_SEGMENTS];
};

/* As after a reset: not enabled, addresses 0, `size` the largest. Also before first use. */
void ring_reset(struct virtio_ring *ring);
/*
 * The driver says that the ring is set up: 0, or -EINVAL when a part is misaligned, wraps or is not
 * RAM, or there is no memory for its pins; the ring is broken then.
 */
int ring_enable(struct virtio_ring *ring) __must_check;

/* Memory that it waits for may have come. Was it waiting? Then its device is to look into it. */
bool ring_look_again(struct virtio_ring *ring);
/* Is there something to pop? Also breaks a ring whose index jumped. */
bool ring_has_available(struct virtio_ring *ring);
/* 1: a chain; 0: there is none, or not all of it; -EINVAL: the ring is broken now. */
int ring_pop(struct virtio_ring *ring, struct virtio_chain *chain) __must_check;
/* The chain was the last popped, and cannot be served now: it will be popped again. */
void ring_unpop(struct virtio_ring *ring);
/* Give a chain back; `written` bytes from the start of its writable part have been. */
void ring_push(struct virtio_ring *ring, uint16_t head, uint32_t written);
/*
 * The same in two steps, for several chains that belong together: the driver sees none of those
 * that were put before all are published. Taken back, all that were popped and put since then will
 * be popped again; what the device wrote to them is undefined.
 */
void ring_put(struct virtio_ring *ring, uint16_t head, uint32_t written);
void ring_publish(struct virtio_ring *ring);
void ring_take_back(struct virtio_ring *ring);
/* Has the driver asked to be interrupted for what was pushed since the last call? */
bool ring_needs_signal(struct virtio_ring *ring);
/*
 * Ask for notifications, or that there be none while the device looks itself. When wanted, the
 * answer tells whether something has become available meanwhile: then go on.
 */
bool ring_want_notifications(struct virtio_ring *ring, bool wanted);
/*
 * What is available does not suffice: ask to be notified of more than that. True: there is more
 * already, so try again.
 */
bool ring_want_more(struct virtio_ring *ring);

/*
 * Copy from a chain's readable part at byte `at`, or to its writable part. The bytes copied: fewer
 * than asked for where the part ends, or where its memory cannot be had. 0 when the ring has been
 * reset or is broken, and -EFAULT for a mapping: a chain belongs to the ring as it was.
 */
uint32_t chain_read(struct virtio_ring *ring, const struct virtio_chain *chain, uint32_t at,
	void *to, uint32_t bytes);
uint32_t chain_write(struct virtio_ring *ring, const struct virtio_chain *chain, uint32_t at,
	const void *from, uint32_t bytes);
/*
 * The same part as host memory for a disk to use: neighbours are made one segment. The number of
 * segments, or -ENOSPC when there would be more than `max`, -EFAULT when it is shorter than `bytes`
 * or its memory cannot be had.
 */
int chain_map(struct virtio_ring *ring, const struct virtio_chain *chain, bool writable,
	uint32_t at, uint32_t bytes, struct block_segment *segments, unsigned int max) __must_check;

#endif
