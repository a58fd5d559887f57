/* SPDX-License-Identifier: BSD-2-Clause */
/* The overlay as a device: what it holds itself at once, the rest from its base. */
#include "host/block/overlay_internal.h"

#include "lib/printf.h"
#include "lib/string.h"

/*
 * Sectors from `at` of a read: those that the overlay holds are copied. Returns where the first of
 * the base's run is, and its length; the request's length when there is none.
 */
static uint32_t read_own(struct overlay *overlay, const struct block_request *request, uint32_t at,
	uint32_t *base_sectors)
{
	spin_lock(&overlay->lock);
	while (at < request->sectors) {
		struct overlay_run run = overlay_map_run(&overlay->map, request->sector + at,
			request->sectors - at);
		uint64_t byte = (uint64_t)at << SECTOR_SHIFT, bytes = run.sectors << SECTOR_SHIFT;

		if (run.kind == OVERLAY_BASE) {
			*base_sectors = (uint32_t)run.sectors;
			break;
		}
		if (run.kind == OVERLAY_DATA)
			block_copy_to(request, byte, host_ptr(run.data), bytes);
		else
			block_zero(request, byte, bytes);
		at += (uint32_t)run.sectors;
	}
	spin_unlock(&overlay->lock);
	return at;
}

/* Ask the base for the next sectors; true: it has answered. */
static bool reader_submit(struct overlay_reader *reader, uint32_t sectors)
{
	const struct block_request *request = reader->request;
	struct block_request *child = &reader->child;

	child->sector = request->sector + reader->at;
	child->sectors = sectors;
	child->segment_count = block_slice(request, (uint64_t)reader->at << SECTOR_SHIFT,
		(uint64_t)sectors << SECTOR_SHIFT, reader->segments);
	reader->at += sectors;
	return block_submit(reader->overlay->base, child);
}

/* Go on until the base has to be waited for (false), or the read is done: child.error. */
static bool reader_advance(struct overlay_reader *reader)
{
	uint32_t sectors;

	while (!reader->child.error) {
		reader->at = read_own(reader->overlay, reader->request, reader->at, &sectors);
		if (reader->at == reader->request->sectors)
			break;
		/* The base may answer on another CPU, which then goes on: hands off. */
		if (!reader_submit(reader, sectors))
			return false;
	}
	return true;
}

static void reader_begin(struct overlay_reader *reader, struct block_request *request, uint32_t at)
{
	reader->request = request;
	reader->at = at;
	reader->child.error = 0;
}

/* A reader for a request, which waits when there is none: NULL. */
static struct overlay_reader *reader_take(struct overlay *overlay, struct block_request *request)
{
	struct overlay_reader *reader = NULL;

	spin_lock(&overlay->lock);
	if (list_empty(&overlay->idle)) {
		list_add_tail(&overlay->waiting, &request->link);
	} else {
		reader = list_first(&overlay->idle, struct overlay_reader, link);
		list_remove(&reader->link);
	}
	spin_unlock(&overlay->lock);
	return reader;
}

/* The reader's work is done: the next request that waits, or NULL and the reader is idle. */
static struct block_request *reader_next(struct overlay_reader *reader)
{
	struct overlay *overlay = reader->overlay;
	struct block_request *request = NULL;

	spin_lock(&overlay->lock);
	if (list_empty(&overlay->waiting)) {
		list_add_head(&overlay->idle, &reader->link);
	} else {
		request = list_first(&overlay->waiting, struct block_request, link);
		list_remove(&request->link);
	}
	spin_unlock(&overlay->lock);
	return request;
}

/* Serve what waits for a reader, which has nothing to do. */
static void reader_serve(struct overlay_reader *reader)
{
	struct block_device *device = &reader->overlay->device;
	struct block_request *request = reader_next(reader);

	while (request) {
		struct block_request *served = request;
		int error;

		reader_begin(reader, served, 0);
		if (!reader_advance(reader))
			return;
		error = reader->child.error;
		request = reader_next(reader); /* NULL: it may be another CPU's by now */
		block_finish(device, served, error);
	}
}

static void reader_done(struct block_request *child)
{
	struct overlay_reader *reader = container_of(child, struct overlay_reader, child);
	struct block_device *device = &reader->overlay->device;
	struct block_request *request = reader->request;
	int error;

	if (!reader_advance(reader))
		return;
	error = child->error;
	reader_serve(reader);
	block_finish(device, request, error);
}

static bool overlay_read(struct overlay *overlay, struct block_request *request)
{
	struct overlay_reader *reader;
	uint32_t sectors = 0, at = read_own(overlay, request, 0, &sectors);

	if (at == request->sectors)
		return true;
	reader = reader_take(overlay, request);
	if (!reader)
		return false;
	reader_begin(reader, request, at);
	if (!reader_submit(reader, sectors) || !reader_advance(reader))
		return false;
	request->error = reader->child.error;
	reader_serve(reader);
	return true;
}

static bool overlay_submit(struct block_device *device, struct block_request *request)
{
	struct overlay *overlay = overlay_of(device);

	if (request->operation == BLOCK_READ)
		return overlay_read(overlay, request);
	spin_lock(&overlay->lock);
	if (request->operation == BLOCK_WRITE)
		request->error = overlay_map_write(&overlay->map, request);
	else if (request->operation == BLOCK_WRITE_ZEROES)
		request->error = overlay_map_zero(&overlay->map, request->sector, request->sectors);
	else if (request->operation == BLOCK_DISCARD)
		overlay_map_discard(&overlay->map, request->sector, request->sectors);
	if (request->error)
		overlay->refused++;
	spin_unlock(&overlay->lock);
	return true;
}

static const struct block_operations overlay_operations = {
	.submit = overlay_submit,
};

static void describe(struct overlay *overlay)
{
	const struct block_device *base = overlay->base;

	overlay->device = (struct block_device){
		.operations = &overlay_operations,
		.sectors = base->sectors,
		/* So that what is the overlay's own always begins and ends where the base can. */
		.logical_bytes = base->logical_bytes,
		.physical_bytes = MAX(base->physical_bytes, (uint32_t)PAGE_SIZE),
		.can_discard = true,
		.can_write_zeroes = true,
	};
	memcpy(overlay->device.name, base->name, sizeof(overlay->device.name));
	snprintf(overlay->device.description, sizeof(overlay->device.description),
		"copy on write, in memory");
}

int overlay_create(struct block_device *base, uint64_t limit_bytes, struct block_device **out)
{
	struct overlay *overlay = heap_alloc(sizeof(*overlay), FRAME_HOST);
	int error;

	if (!overlay)
		return -ENOMEM;
	error = overlay_map_init(&overlay->map, base->sectors, limit_bytes);
	if (error) {
		heap_free(overlay);
		return error;
	}
	overlay->base = base;
	describe(overlay);
	list_init(&overlay->idle);
	list_init(&overlay->waiting);
	for (unsigned int i = 0; i < OVERLAY_READERS; i++) {
		struct overlay_reader *reader = &overlay->readers[i];

		reader->overlay = overlay;
		reader->child.operation = BLOCK_READ;
		reader->child.segments = reader->segments;
		reader->child.done = reader_done;
		list_add_tail(&overlay->idle, &reader->link);
	}
	*out = &overlay->device;
	return 0;
}

void overlay_destroy(struct block_device *device)
{
	struct overlay *overlay = overlay_of(device);

	overlay_map_destroy(&overlay->map);
	heap_free(overlay);
}

void overlay_get_stats(struct block_device *device, struct overlay_stats *stats)
{
	struct overlay *overlay = overlay_of(device);
	const struct overlay_map *map = &overlay->map;

	spin_lock(&overlay->lock);
	*stats = (struct overlay_stats){
		.pages = map->pages,
		.limit_pages = map->limit_frames,
		.overhead_bytes = sizeof(*overlay) + map->root_count * sizeof(*map->root) +
			map->tables * PAGE_SIZE,
		.refused = overlay->refused,
	};
	spin_unlock(&overlay->lock);
}

void overlay_discard(struct block_device *device)
{
	struct overlay *overlay = overlay_of(device);
	bool empty = false;

	while (!empty) {
		spin_lock(&overlay->lock);
		empty = overlay_map_drop(&overlay->map, 16);
		spin_unlock(&overlay->lock);
	}
}
