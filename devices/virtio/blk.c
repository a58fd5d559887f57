/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk. Data moves between the guest's memory and the disk without a copy of it in between.
 * A notification is served where it arrives, up to a bound; the rest, and what disks complete, is
 * work of the VM. What a guest asks for is cut into pieces that a disk takes, one after the other.
 *
 * Locks: vm.lock, and a leaf for what disks have completed.
 */
#include "devices/virtio/blk.h"

#include <linux/virtio_blk.h>

#include "lib/string.h"

#define BLK_QUEUES 4
#define BLK_QUEUE_SIZE 128
#define BLK_IN_FLIGHT 32
/* Of a queue without indirect descriptors; header and status are not counted. */
#define BLK_MAX_SEGMENTS (BLK_QUEUE_SIZE - 2)

/* In one go: requests, and bytes, after which no further request is begun. */
#define BATCH_REQUESTS 16
#define BATCH_BYTES KIB(256)

#define HEADER_BYTES sizeof(struct virtio_blk_outhdr)
#define CONFIG_BYTES offsetof(struct virtio_blk_config, max_secure_erase_sectors)

_Static_assert(BLK_MAX_SEGMENTS + 2 <= VIRTIO_CHAIN_SEGMENTS, "a request fits a chain");
_Static_assert(CONFIG_BYTES == 60, "configuration as specified");

struct virtio_blk;

/* A guest's request, from the ring until it is given back. Under vm.lock, but while `io` is out. */
struct blk_request {
	struct virtio_blk *blk;    /* [I] */
	unsigned int queue;
	uint64_t generation;       /* blk->generation when it came */
	unsigned int hold;         /* of guest memory, while a piece is at the disk */
	unsigned int life;         /* likewise, from its pop until it is given back */
	bool writable;             /* the disk writes to the guest's memory */
	uint32_t at, bytes;        /* of data: done or asked for, and all */
	uint32_t first_data;       /* byte of the chain's part */
	uint64_t sector;           /* where the data begins on the disk */
	struct block_request io;   /* its present piece; io.error is the whole's */
	struct block_segment segments[BLOCK_MAX_SEGMENTS];
	struct virtio_chain chain;
};

struct virtio_blk {
	struct virtio_device virtio;
	struct virtio_ring rings[BLK_QUEUES];
	struct block_device *backing;    /* [I] */
	char serial[VIRTIO_BLK_ID_BYTES]; /* [I] */
	struct virtio_blk_config config; /* [I] */
	struct vm_work work;
	uint64_t generation;             /* [vm.lock] counts resets */
	uint32_t pending;                /* [vm.lock] queues that may have something, by bit */
	uint32_t pushed;                 /* [vm.lock] queues to signal */
	unsigned int next_queue;         /* [vm.lock] which is first next time */
	unsigned int in_flight;          /* [vm.lock] */
	struct list idle;                /* [vm.lock] by io.link */
	struct spinlock completed_lock;
	struct list completed;           /* [completed_lock] by io.link */
	struct blk_request *requests;    /* [I] BLK_IN_FLIGHT of them */
};

struct batch {
	unsigned int requests;
	uint64_t bytes;
};

static struct virtio_blk *blk_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_blk, virtio);
}

static uint8_t status_of(int error)
{
	if (!error)
		return VIRTIO_BLK_S_OK;
	return error == -ENOTSUP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

static void request_free(struct blk_request *request)
{
	list_add_head(&request->blk->idle, &request->io.link);
}

static void request_end(struct blk_request *request)
{
	guest_memory_release(&request->blk->virtio.device.vm->memory, request->life);
	request_free(request);
}

/* Give it back to the driver. */
static void request_finish(struct blk_request *request)
{
	struct virtio_blk *blk = request->blk;
	struct virtio_ring *ring = &blk->rings[request->queue];
	const struct virtio_chain *chain = &request->chain;
	uint8_t status = status_of(request->io.error);
	/* The status is the last byte: what is before it counts only when it is all there. */
	uint32_t data = request->writable ? request->bytes : 0;
	bool whole = !request->io.error && data == chain->writable_bytes - 1;

	chain_write(ring, chain, chain->writable_bytes - 1, &status, sizeof(status));
	ring_push(ring, chain->head, whole ? chain->writable_bytes :
		chain->writable_bytes == sizeof(status) ? sizeof(status) : 0);
	blk->pushed |= 1U << request->queue;
	request_end(request);
}

/* Its next piece goes to the disk: true, it has answered. */
static bool request_submit(struct blk_request *request)
{
	struct virtio_blk *blk = request->blk;

	request->hold = virtio_begin(&blk->virtio);
	blk->in_flight++;
	if (!block_submit(blk->backing, &request->io))
		return false;
	vm_io_end(blk->virtio.device.vm, request->hold);
	virtio_end(&blk->virtio);
	blk->in_flight--;
	return true;
}

/* As much from request->at on as goes in one piece; 0: less than what the disk takes. */
static uint32_t map_piece(struct blk_request *request)
{
	const struct virtio_blk *blk = request->blk;
	uint32_t bytes = (uint32_t)MIN(request->bytes - request->at, BLOCK_MAX_BYTES);
	int count;

	for (; bytes; bytes = ROUND_DOWN(bytes / 2, blk->backing->logical_bytes)) {
		count = chain_map(&request->blk->rings[request->queue], &request->chain,
			request->writable, request->first_data + request->at, bytes,
			request->segments, BLOCK_MAX_SEGMENTS);
		if (count >= 0) {
			request->io.segment_count = (unsigned int)count;
			return bytes;
		}
		if (count != -ENOSPC)
			return 0;
	}
	return 0;
}

/* Go on until the disk has to be waited for: false. True: io.error is final. */
static bool request_advance(struct blk_request *request)
{
	while (!request->io.error && request->at < request->bytes) {
		uint32_t bytes = map_piece(request);

		request->io.sector = request->sector + (request->at >> SECTOR_SHIFT);
		request->io.sectors = bytes >> SECTOR_SHIFT;
		request->at += bytes;
		if (!bytes)
			request->io.error = -EIO;
		else if (!request_submit(request))
			return false;
	}
	return true;
}

static bool begin_data(struct blk_request *request, bool write)
{
	const struct virtio_chain *chain = &request->chain;

	request->io.operation = write ? BLOCK_WRITE : BLOCK_READ;
	request->writable = !write;
	request->first_data = write ? HEADER_BYTES : 0;
	request->bytes = write ? chain->readable_bytes - HEADER_BYTES : chain->writable_bytes - 1;
	/* Refused as a whole: nothing of it is done. */
	if (!request->bytes || request->bytes % request->blk->backing->logical_bytes ||
		!range_within(request->sector, request->bytes >> SECTOR_SHIFT,
			request->blk->backing->sectors))
		request->io.error = -EINVAL;
	else if (write && (request->blk->virtio.offered & BIT(VIRTIO_BLK_F_RO)))
		request->io.error = -EROFS;
	return request_advance(request);
}

static bool begin_flush(struct blk_request *request)
{
	request->io.operation = BLOCK_FLUSH;
	return request_submit(request);
}

static bool begin_range(struct blk_request *request, bool zero)
{
	struct virtio_blk *blk = request->blk;
	struct virtio_blk_discard_write_zeroes range;
	uint32_t allowed = zero ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

	request->io.error = -ENOTSUP;
	if (!virtio_has(&blk->virtio, zero ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD))
		return true;
	request->io.error = -EINVAL;
	if (request->chain.readable_bytes != HEADER_BYTES + sizeof(range) ||
		chain_read(&blk->rings[request->queue], &request->chain, HEADER_BYTES, &range,
			sizeof(range)) != sizeof(range))
		return true;
	request->io.error = -ENOTSUP;
	if (range.flags & ~allowed)
		return true;
	request->io.operation = zero ? BLOCK_WRITE_ZEROES : BLOCK_DISCARD;
	request->io.sector = range.sector;
	request->io.sectors = range.num_sectors;
	return request_submit(request);
}

static bool begin_identify(struct blk_request *request)
{
	uint32_t bytes = MIN(request->chain.writable_bytes - 1, VIRTIO_BLK_ID_BYTES);

	request->writable = true;
	request->bytes = chain_write(&request->blk->rings[request->queue], &request->chain, 0,
		request->blk->serial, bytes);
	return true;
}

/* Carry out what a chain asks for. True: io.error is final. */
static bool request_begin(struct blk_request *request)
{
	struct virtio_blk_outhdr header;

	request->writable = false;
	request->at = 0;
	request->bytes = 0;
	request->io.error = -EINVAL;
	request->io.sectors = 0;
	request->io.segment_count = 0;
	if (chain_read(&request->blk->rings[request->queue], &request->chain, 0, &header,
		sizeof(header)) != sizeof(header))
		return true;
	request->io.error = 0;
	request->sector = header.sector;
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		return begin_data(request, header.type == VIRTIO_BLK_T_OUT);
	case VIRTIO_BLK_T_FLUSH:
		return begin_flush(request);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return begin_range(request, header.type == VIRTIO_BLK_T_WRITE_ZEROES);
	case VIRTIO_BLK_T_GET_ID:
		return begin_identify(request);
	}
	request->io.error = -ENOTSUP;
	return true;
}

/* The disk is done with a piece, or with what it was asked for. Any CPU. */
static void piece_done(struct block_request *io)
{
	struct blk_request *request = container_of(io, struct blk_request, io);
	struct virtio_blk *blk = request->blk;
	struct vm *vm = blk->virtio.device.vm;
	unsigned int hold = request->hold;

	spin_lock(&blk->completed_lock);
	list_add_tail(&blk->completed, &io->link);
	spin_unlock(&blk->completed_lock);
	vm_work_queue(vm, &blk->work);
	/* The last: the VM may be gone after it. */
	vm_io_end(vm, hold);
}

static struct blk_request *take_completed(struct virtio_blk *blk)
{
	struct blk_request *request = NULL;

	spin_lock(&blk->completed_lock);
	if (!list_empty(&blk->completed)) {
		request = list_first(&blk->completed, struct blk_request, io.link);
		list_remove(&request->io.link);
	}
	spin_unlock(&blk->completed_lock);
	return request;
}

/* There are BLK_IN_FLIGHT of them at most; one comes back here only after it went to the disk. */
static void reap(struct virtio_blk *blk, struct batch *batch)
{
	struct blk_request *request;

	for (unsigned int i = 0; i < BLK_IN_FLIGHT && (request = take_completed(blk)); i++) {
		blk->in_flight--;
		if (request->generation != blk->generation) {
			request_end(request);
		} else {
			uint32_t before = request->at;

			if (request_advance(request))
				request_finish(request);
			batch->bytes += request->at - before;
		}
		/* After what it has led to, so that a reset is not over in between. */
		virtio_end(&blk->virtio);
	}
}

/* The next chain of a queue, in a request; NULL: there is none, or no request for it. */
static struct blk_request *take_available(struct virtio_blk *blk, unsigned int queue)
{
	struct virtio_ring *ring = &blk->rings[queue];
	struct blk_request *request;

	if (list_empty(&blk->idle))
		return NULL;
	request = list_first(&blk->idle, struct blk_request, io.link);
	while (ring_pop(ring, &request->chain) != 1) {
		if (!ring_want_notifications(ring, true)) {
			blk->pending &= ~(1U << queue);
			if (ring->broken)
				virtio_break(&blk->virtio, "a broken queue");
			return NULL;
		}
		ring_want_notifications(ring, false);
	}
	list_remove(&request->io.link);
	/* What was there when it was popped is used until it is given back. */
	request->life = guest_memory_hold(&blk->virtio.device.vm->memory);
	request->queue = queue;
	request->generation = blk->generation;
	return request;
}

/* Requests of one queue, until there are no more, or none may be in flight, or it is enough. */
static void serve(struct virtio_blk *blk, unsigned int queue, struct batch *batch)
{
	struct blk_request *request;

	ring_want_notifications(&blk->rings[queue], false);
	while (batch->requests < BATCH_REQUESTS && batch->bytes < BATCH_BYTES) {
		request = take_available(blk, queue);
		if (!request)
			return;
		if (!request->chain.writable_bytes) {
			request_end(request);
			virtio_break(&blk->virtio, "a request without a place for its status");
			return;
		}
		batch->requests++;
		if (request_begin(request))
			request_finish(request);
		batch->bytes += request->at;
	}
}

static void signal_pushed(struct virtio_blk *blk)
{
	for (unsigned int queue = 0; blk->pushed; queue++, blk->pushed >>= 1)
		if (blk->pushed & 1)
			virtio_signal(&blk->virtio, queue);
}

static void blk_go_on(struct virtio_blk *blk)
{
	unsigned int count = blk->virtio.ring_count;
	struct batch batch = { 0 };

	reap(blk, &batch);
	for (unsigned int i = 0; i < count && virtio_is_live(&blk->virtio); i++) {
		unsigned int queue = (blk->next_queue + i) % count;

		if (blk->pending & (1U << queue))
			serve(blk, queue, &batch);
	}
	blk->next_queue = (blk->next_queue + 1) % count;
	signal_pushed(blk);
	/* Where no request is idle one will be completed, and bring us here again. */
	if (blk->pending && !list_empty(&blk->idle) && virtio_is_live(&blk->virtio))
		vm_work_queue(blk->virtio.device.vm, &blk->work);
}

static void blk_work(struct vm_work *work)
{
	blk_go_on(container_of(work, struct virtio_blk, work));
}

static void blk_notified(struct virtio_device *device, unsigned int queue)
{
	struct virtio_blk *blk = blk_of(device);

	blk->pending |= 1U << queue;
	blk_go_on(blk);
}

static void blk_reset(struct virtio_device *device)
{
	struct virtio_blk *blk = blk_of(device);
	struct batch batch = { 0 };

	blk->generation++;
	blk->pending = 0;
	blk->pushed = 0;
	reap(blk, &batch);
}

static void blk_destroy(struct virtio_device *device)
{
	struct virtio_blk *blk = blk_of(device);

	vm_work_cancel(device->device.vm, &blk->work);
	heap_free(blk->requests);
	heap_free(blk);
}

static uint32_t blk_config_read(struct virtio_device *device, unsigned int offset,
	unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, (const uint8_t *)&blk_of(device)->config + offset, size);
	return value;
}

static const struct virtio_operations blk_operations = {
	.id = VIRTIO_ID_BLOCK,
	.class_code = 0x018000, /* mass storage, other */
	.config_bytes = CONFIG_BYTES,
	.config_read = blk_config_read,
	.notified = blk_notified,
	.reset = blk_reset,
	.destroy = blk_destroy,
};

static void set_config(struct virtio_blk *blk)
{
	const struct block_device *backing = blk->backing;
	struct virtio_blk_config *config = &blk->config;
	uint32_t blocks = backing->physical_bytes / backing->logical_bytes;

	config->capacity = backing->sectors;
	config->seg_max = BLK_MAX_SEGMENTS;
	/* What BIOSes agreed on for large disks. */
	config->geometry.heads = 16;
	config->geometry.sectors = 63;
	config->geometry.cylinders = (uint16_t)MIN(backing->sectors / (16 * 63), 65535U);
	config->blk_size = backing->logical_bytes;
	config->physical_block_exp = (uint8_t)__builtin_ctz(blocks | 1U << 8);
	config->min_io_size = (uint16_t)blocks;
	config->num_queues = (uint16_t)blk->virtio.ring_count;
	config->max_discard_sectors = BLOCK_MAX_RANGE_BYTES >> SECTOR_SHIFT;
	config->max_discard_seg = 1;
	config->discard_sector_alignment = backing->physical_bytes >> SECTOR_SHIFT;
	config->max_write_zeroes_sectors = BLOCK_MAX_RANGE_BYTES >> SECTOR_SHIFT;
	config->max_write_zeroes_seg = 1;
	config->write_zeroes_may_unmap = 1;
}

static uint64_t offered(const struct virtio_blk *blk)
{
	const struct block_device *backing = blk->backing;
	bool writable = !backing->read_only && backing->writers;
	uint64_t features = BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |
		BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_GEOMETRY) |
		BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_FLUSH);

	if (blk->virtio.ring_count > 1)
		features |= BIT(VIRTIO_BLK_F_MQ);
	if (!writable)
		return features | BIT(VIRTIO_BLK_F_RO);
	if (backing->can_discard)
		features |= BIT(VIRTIO_BLK_F_DISCARD);
	if (backing->can_write_zeroes)
		features |= BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	return features;
}

static void init_requests(struct virtio_blk *blk)
{
	for (unsigned int i = 0; i < BLK_IN_FLIGHT; i++) {
		struct blk_request *request = &blk->requests[i];

		request->blk = blk;
		request->io.segments = request->segments;
		request->io.done = piece_done;
		request_free(request);
	}
}

static void init_rings(struct virtio_blk *blk, struct vm *vm)
{
	for (unsigned int i = 0; i < BLK_QUEUES; i++) {
		blk->rings[i].memory = &vm->memory;
		blk->rings[i].size_max = BLK_QUEUE_SIZE;
		ring_reset(&blk->rings[i]);
	}
}

int virtio_blk_create(struct vm *vm, struct pci *pci, struct block_device *backing,
	const char *serial, struct virtio_blk **out)
{
	struct virtio_blk *blk = heap_alloc(sizeof(*blk), FRAME_VM);

	if (!blk)
		return -ENOMEM;
	blk->requests = heap_alloc(BLK_IN_FLIGHT * sizeof(*blk->requests), FRAME_VM);
	if (!blk->requests) {
		heap_free(blk);
		return -ENOMEM;
	}
	blk->virtio.operations = &blk_operations;
	blk->virtio.rings = blk->rings;
	blk->virtio.ring_count = MIN(vm->vcpu_count, (unsigned int)BLK_QUEUES);
	blk->backing = backing;
	memcpy(blk->serial, serial, strnlen(serial, sizeof(blk->serial)));
	blk->virtio.offered = offered(blk);
	set_config(blk);
	vm_work_init(&blk->work, blk_work);
	list_init(&blk->idle);
	list_init(&blk->completed);
	init_requests(blk);
	init_rings(blk, vm);
	*out = blk;
	return virtio_add(vm, pci, &blk->virtio);
}

unsigned int virtio_blk_in_flight(const struct virtio_blk *blk)
{
	return blk->in_flight;
}
