/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the drivers of real disks have in common: a bounded number of requests in the hardware's
 * hands, each in a slot; the others wait, in order. A request is carried out piece by piece, one
 * at a time, where it is longer than one command may be, or its memory is not what the hardware's
 * DMA takes: such pieces go through a page of the slot's own. Late commands are found by a timer
 * that ticks only while there are requests.
 *
 * Locks: `lock` is below vm.lock. done() is called in disk_queue_unlock(), after it has been
 * released. The timer is armed only when it neither is nor runs anything but its own end, so that
 * no submitter ever waits for a done().
 */
#ifndef BALLAST_HOST_BLOCK_DISK_QUEUE_H
#define BALLAST_HOST_BLOCK_DISK_QUEUE_H

#include "host/block/block.h"
#include "host/clock.h"
#include "host/lock.h"

#define DISK_SLOTS 32
#define DISK_COMMAND_NS (30 * NS_PER_SEC)

struct disk_slot {
	struct block_request *request; /* [lock] NULL: free */
	struct block_device *device;   /* [lock] the disk that it is for */
	uint32_t done_sectors;         /* [lock] of 512 bytes, like all here */
	uint32_t piece_sectors;        /* [lock] of the command under way */
	bool bounced;                  /* [lock] the piece's data is in `bounce` */
	bool late;                     /* [lock] its time is over, and something is done about it */
	uint64_t deadline_tsc;         /* [lock] */
	void *table;                   /* [I] a page for the driver: addresses of the data */
	void *bounce;                  /* [I] a page */
};

struct disk_queue;

/* All with the queue's lock held. */
struct disk_queue_operations {
	/* Hand the slot's piece to the hardware; it may wait for kick(). */
	void (*issue)(struct disk_queue *queue, unsigned int slot);
	void (*kick)(struct disk_queue *queue);
	/* disk_queue_piece_done() for each command that the hardware has finished. */
	void (*harvest)(struct disk_queue *queue);
	/* Each tick: is the hardware still there, and well? */
	void (*check)(struct disk_queue *queue);
	/* The slot's command is late, for the first time or (slot->late) again. */
	void (*late)(struct disk_queue *queue, unsigned int slot);
	/* Each tick while `held`: take the next step to get the hardware going again. */
	void (*recover)(struct disk_queue *queue);
	/* Nothing else may be under way beside this request. NULL: never the case. */
	bool (*exclusive)(struct disk_queue *queue, const struct block_request *request);
};

struct disk_queue {
	const struct disk_queue_operations *operations; /* [I] */
	struct spinlock lock;
	struct disk_slot slots[DISK_SLOTS];
	unsigned int depth;       /* [I] slots in use */
	uint32_t max_sectors;     /* [I] of a command that transfers data */
	uint32_t max_zero_sectors, max_discard_sectors; /* [I] of those that do not */
	bool page_chained;        /* [I] segments follow each other at pages' boundaries */
	bool polled;              /* [I] no interrupts */
	uint32_t busy;            /* [lock] slots with a request */
	bool alone;               /* [lock] the one under way is exclusive */
	bool held;                /* [lock] nothing is issued: the hardware is being recovered */
	bool dead;                /* [lock] for ever: requests fail with -EIO */
	bool issued;              /* [lock] since the last kick */
	unsigned int errors_told; /* [lock] */
	bool ticking;             /* [lock] the timer is armed, or will be in a moment */
	struct list waiting;      /* [lock] */
	struct list finished;     /* [lock] */
	struct timer timer;
};

/* `depth` is 1 to DISK_SLOTS; the limits are set by the caller afterwards. -ENOMEM. */
int disk_queue_init(struct disk_queue *queue, const struct disk_queue_operations *operations,
	unsigned int depth) __must_check;
/* It was never used. */
void disk_queue_destroy(struct disk_queue *queue);

/*
 * As block_operations.submit, for the disk `device` behind this queue or a partition of it; the
 * request's sector is the disk's.
 */
bool disk_queue_submit(struct disk_queue *queue, struct block_device *device,
	struct block_request *request);

/* The disk that it is, or is a partition of. */
static inline struct block_device *disk_of(struct block_device *device)
{
	return device->parent ? device->parent : device;
}

static inline void disk_queue_lock(struct disk_queue *queue)
{
	spin_lock(&queue->lock);
}
/* Start what waits, release the lock, and then call done() for what has finished. */
void disk_queue_unlock(struct disk_queue *queue);

/* For the drivers, with the lock held. */

/* Issue nothing, nor kick, until `held` is cleared; recover() is called meanwhile. */
void disk_queue_hold(struct disk_queue *queue);
/* The slot's command has ended: on to the request's next piece, or to its end. */
void disk_queue_piece_done(struct disk_queue *queue, unsigned int slot, int error);
/* All that the hardware has fails. It must not touch their memory any more. */
void disk_queue_fail_issued(struct disk_queue *queue, int error);
/* All that the hardware has is done again from its beginning, each request with nothing beside. */
void disk_queue_retry_issued(struct disk_queue *queue);
/* All fails, now and later. The hardware must not touch memory any more. */
void disk_queue_kill(struct disk_queue *queue);

/* Where the slot's piece begins, counted in 512 bytes from the start of the disk. */
static inline uint64_t disk_slot_sector(const struct disk_slot *slot)
{
	return slot->request->sector + slot->done_sectors;
}

/* The memory of a slot's piece, one contiguous range after the other. */
struct disk_walk {
	const struct block_segment *segment;
	uint32_t offset; /* in the segment */
	uint32_t left;   /* bytes of the piece */
	struct block_segment bounce;
};
void disk_walk_start(struct disk_walk *walk, const struct disk_slot *slot);
/* The next range; false after the last. */
bool disk_walk_next(struct disk_walk *walk, struct block_segment *range);

/* `bytes` of a device's text, cut to `size` with its terminator, blanks at its end removed. */
void disk_copy_text(char *to, size_t size, const uint8_t *from, size_t bytes);

#endif
