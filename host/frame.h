/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The record that stands for each 4 KiB frame of the machine's memory. The frame allocator keeps
 * blocks of 2^order frames in it, each described by its first frame (its head); the heap keeps a
 * slab's state in the head of the slab's block.
 */
#ifndef BALLAST_HOST_FRAME_H
#define BALLAST_HOST_FRAME_H

#include "host/memory.h"

#define FRAME_ORDERS (FRAME_ORDER_1G + 1)
#define FRAME_ORDER_TAIL 0xff /* not the head of a block */
#define FRAME_NONE 0xffffffffU

struct frame {
	union {
		struct {
			/* Frame numbers: free list, or the heap's list of slabs with room. */
			uint32_t next, prev;
		};
		uint64_t gfn;     /* FRAME_GUEST: where its owner shows it */
		uint32_t holders; /* [a] FRAME_SHARED */
	};
	uint8_t use;         /* enum frame_use; heads only */
	uint8_t order;       /* of the block; FRAME_ORDER_TAIL */
	uint8_t slab_class;  /* 0: not a slab */
	uint8_t ready : 1;   /* first frame of a chunk: the other records are initialised */
	uint8_t zero : 1;    /* FRAME_FREE: all of the block is known to be zeroes */
	union {
		struct {
			uint16_t slab_free; /* first free object */
			uint16_t slab_used; /* objects in use */
		};
		uint32_t owner; /* FRAME_GUEST: its struct guest_memory's number */
	};
};
_Static_assert(sizeof(struct frame) == 16, "frame record size");

/* The record of a frame; NULL where there is no memory. Valid at heads of blocks. */
struct frame *frame_record(uint32_t number);

static inline uint32_t frame_number(hpa_t hpa)
{
	return (uint32_t)(hpa >> PAGE_SHIFT);
}

#endif
