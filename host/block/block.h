/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block devices of the host: disks behind controllers, their partitions, images in memory, overlays
 * on any of these. One asynchronous interface: requests go down a stack of devices and come back
 * by a callback.
 *
 * Locks: a device's lock is below vm.lock and is not held when it calls done(), nor when it submits
 * a request to another device.
 */
#ifndef BALLAST_HOST_BLOCK_BLOCK_H
#define BALLAST_HOST_BLOCK_BLOCK_H

#include "lib/list.h"
#include "lib/util.h"

#define SECTOR_BYTES 512U
#define SECTOR_SHIFT 9
#define BLOCK_NAME_BYTES 128 /* an image's is its path */
#define BLOCK_MAX_SEGMENTS 64
#define BLOCK_MAX_BYTES MIB(1) /* of one read or write */
#define BLOCK_MAX_RANGE_BYTES MIB(4) /* of one discard or write-zeroes */

/* Host memory that data goes to or comes from. It stays where it is until the request is done. */
struct block_segment {
	hpa_t start;
	uint32_t bytes;
};

enum block_operation {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,        /* what was done before is on stable storage when this is done */
	BLOCK_DISCARD,      /* contents are not needed: reads give what was once there, or zeroes */
	BLOCK_WRITE_ZEROES,
};

struct block_request {
	enum block_operation operation;
	/* In units of 512 bytes, whatever the disk has. A partition moves it on its way. */
	uint64_t sector;
	uint32_t sectors;                      /* 0 for a flush */
	const struct block_segment *segments;  /* reads and writes: sectors * 512 bytes in all */
	unsigned int segment_count;
	/*
	 * Called once if block_submit() said that it is not done yet: with `error` set, on any CPU,
	 * under no lock but those of the CPU's own interrupt service; it may be before
	 * block_submit() returns to a caller on another CPU. It may submit other requests.
	 */
	void (*done)(struct block_request *request);
	int error;                             /* 0; -EIO, -ENOSPC, -EROFS, -ETIMEDOUT, ... */

	/* Between the submitter's and the device's: whoever has the request may use these. */
	struct list link;                      /* need not be initialised */
	void *driver;                          /* the present holder's */
	uint64_t driver_word;
};

struct block_device;

struct block_operations {
	/*
	 * True: done already, `error` is set, done() will not be called. False: it will. Any CPU.
	 * The core has checked the request against the device: see block_submit().
	 */
	bool (*submit)(struct block_device *device, struct block_request *request);
	/* The last one who had it open has closed it. Boot CPU. NULL: nothing to do. */
	void (*release)(struct block_device *device);
};

struct block_device {
	char name[BLOCK_NAME_BYTES];    /* [I] nvme0, sata1p2, \images\debian.img */
	char description[64];           /* [I] model and the like, printable ASCII */
	const struct block_operations *operations; /* [I] */
	uint64_t sectors;               /* [I] of 512 bytes */
	uint32_t logical_bytes;         /* [I] what requests are aligned to: 512 or 4096 */
	uint32_t physical_bytes;        /* [I] what writes had better be aligned to */
	bool read_only;                 /* [I] */
	bool can_discard, can_write_zeroes; /* [I] it takes such requests */
	/* Of a partition, which a disk's submit() takes, too: the disk, and where it lies there. */
	struct block_device *parent;    /* [I] NULL: this is one */
	uint64_t first_sector;          /* [I] */
	bool linux_swap;                /* [I] a partition whose type says that it is swap space */

	struct list link;               /* boot CPU: in the list of all */
	unsigned int readers, writers;  /* [a] boot CPU writes: who has it open */
	uint64_t reads, writes, flushes, errors; /* [a] finished requests */
	uint64_t read_sectors, written_sectors;  /* [a] */
};

/* A new device joins the list of all; its name is not there yet. Boot CPU. */
void block_register(struct block_device *device);
/* The index-th device in the order of registration; NULL after the last. Boot CPU. */
struct block_device *block_at(size_t index);
/*
 * By name; letter case and kinds of slashes do not matter. An image of the boot volume is made a
 * device when it is first asked for. NULL: none, or the image cannot be one; the log says why.
 * Boot CPU.
 */
struct block_device *block_find(const char *name);

enum block_open {
	BLOCK_OPEN_READ,   /* many may, while nobody writes */
	BLOCK_OPEN_WRITE,  /* alone: nobody else on these sectors, by a partition or the disk */
};
/*
 * 0, -EBUSY when somebody has the device, its disk or a partition of it open in a way that does
 * not go together, -EROFS. Boot CPU.
 */
int block_open(struct block_device *device, enum block_open how) __must_check;
void block_close(struct block_device *device, enum block_open how);

/*
 * Check a request and hand it to the device: sectors within the device and aligned to
 * logical_bytes, segments that add up to them, no more than BLOCK_MAX_* (-EINVAL), no change of a
 * device that is read-only (-EROFS), nothing that it cannot do (-ENOTSUP). True: it is done
 * already, with request->error, and done() will not be called. Any CPU, vm.lock may be held. That
 * the device is open for what is asked, its holder sees to.
 */
bool block_submit(struct block_device *device, struct block_request *request);

/* For drivers: count and call done(). No lock of the driver's is held. */
void block_finish(struct block_device *device, struct block_request *request, int error);

/*
 * Copy between a request's segments, from byte `at` of them, and `buffer`; or fill them with
 * zeroes. The segments reach that far.
 */
void block_copy_to(const struct block_request *request, uint64_t at, const void *buffer,
	uint64_t bytes);
void block_copy_from(const struct block_request *request, uint64_t at, void *buffer,
	uint64_t bytes);
void block_zero(const struct block_request *request, uint64_t at, uint64_t bytes);
/* `bytes` of a request's segments from byte `at` on as segments of their own: how many. */
unsigned int block_slice(const struct block_request *request, uint64_t at, uint64_t bytes,
	struct block_segment segments[BLOCK_MAX_SEGMENTS]);

/* What a device does in steps beside the guests: the operator's side of the boot CPU runs it. */
struct block_work {
	void (*run)(struct block_work *work); /* [I] tens of microseconds; may defer itself again */
	struct list link;                     /* the queue's own */
	bool queued;                          /* likewise */
};

/* Have it run soon, and once. Any CPU, any lock may be held. */
void block_defer(struct block_work *work);
/* Run what was deferred until now. Boot CPU, when it was notified: mgmt/mgmt.c. */
void block_poll(void);

/* The drivers' start, and the partitions of what they find. Boot CPU, once. host/block/init.c */
void block_init(void);

#endif
