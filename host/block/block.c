/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of block devices, who has them open, and the checks that every request passes. */
#include "host/block/block.h"

#include "host/block/image.h"
#include "host/cpu.h"
#include "host/lock.h"
#include "host/machine.h"
#include "lib/string.h"

static struct list devices = LIST_INIT(devices); /* boot CPU */

static struct spinlock work_lock;          /* a leaf */
static struct list work = LIST_INIT(work); /* [work_lock] */

void block_register(struct block_device *device)
{
	list_add_tail(&devices, &device->link);
}

struct block_device *block_at(size_t index)
{
	struct block_device *device;

	list_for_each(device, &devices, struct block_device, link)
		if (index-- == 0)
			return device;
	return NULL;
}

static struct block_device *find_registered(const char *name)
{
	struct block_device *device;

	list_for_each(device, &devices, struct block_device, link)
		if (machine_same_name(device->name, name))
			return device;
	return NULL;
}

struct block_device *block_find(const char *name)
{
	struct block_device *device = find_registered(name);
	const struct machine_file *file;

	if (device)
		return device;
	file = machine_find_file(name);
	if (!file)
		return NULL;
	device = find_registered(file->path);
	if (device)
		return device;
	device = image_create(file);
	if (device)
		block_register(device);
	return device;
}

/* Do the two have sectors in common? */
static bool overlap(const struct block_device *a, const struct block_device *b)
{
	uint64_t start_a = a->parent ? a->first_sector : 0;
	uint64_t start_b = b->parent ? b->first_sector : 0;

	if ((a->parent ? a->parent : a) != (b->parent ? b->parent : b))
		return false;
	return start_a < start_b ? b->sectors && start_b - start_a < a->sectors :
		a->sectors && start_a - start_b < b->sectors;
}

static bool excludes(const struct block_device *other, enum block_open how)
{
	return other->writers || (how == BLOCK_OPEN_WRITE && other->readers);
}

static void count_holder(unsigned int *holders, int change)
{
	__atomic_store_n(holders, *holders + (unsigned int)change, __ATOMIC_RELAXED);
}

int block_open(struct block_device *device, enum block_open how)
{
	struct block_device *other;

	if (how == BLOCK_OPEN_WRITE && device->read_only)
		return -EROFS;
	/* An overlay is not in the list. */
	if (excludes(device, how))
		return -EBUSY;
	list_for_each(other, &devices, struct block_device, link)
		if (overlap(device, other) && excludes(other, how))
			return -EBUSY;
	count_holder(how == BLOCK_OPEN_WRITE ? &device->writers : &device->readers, 1);
	return 0;
}

void block_close(struct block_device *device, enum block_open how)
{
	count_holder(how == BLOCK_OPEN_WRITE ? &device->writers : &device->readers, -1);
	if (!device->readers && !device->writers && device->operations->release)
		device->operations->release(device);
}

static int check_segments(const struct block_request *request)
{
	uint64_t bytes = 0;

	if (request->segment_count > BLOCK_MAX_SEGMENTS)
		return -EINVAL;
	for (unsigned int i = 0; i < request->segment_count; i++) {
		uint64_t end;

		if (!request->segments[i].bytes ||
			add_overflows(request->segments[i].start, request->segments[i].bytes, &end))
			return -EINVAL;
		bytes += request->segments[i].bytes;
	}
	return bytes == (uint64_t)request->sectors << SECTOR_SHIFT && bytes <= BLOCK_MAX_BYTES ?
		0 : -EINVAL;
}

static int check_range(const struct block_device *device, const struct block_request *request)
{
	uint64_t unit = device->logical_bytes >> SECTOR_SHIFT;

	if (!request->sectors ||
		!range_within(request->sector, request->sectors, device->sectors) ||
		!IS_ALIGNED(request->sector | request->sectors, unit))
		return -EINVAL;
	return 0;
}

static int check(const struct block_device *device, const struct block_request *request)
{
	int error;

	if (request->operation == BLOCK_FLUSH)
		return request->sectors || request->segment_count ? -EINVAL : 0;
	if (request->operation != BLOCK_READ && device->read_only)
		return -EROFS;
	error = check_range(device, request);
	if (error)
		return error;
	switch (request->operation) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		return check_segments(request);
	case BLOCK_DISCARD:
		error = device->can_discard ? 0 : -ENOTSUP;
		break;
	case BLOCK_WRITE_ZEROES:
		error = device->can_write_zeroes ? 0 : -ENOTSUP;
		break;
	default:
		return -EINVAL;
	}
	if (request->segment_count || request->sectors > BLOCK_MAX_RANGE_BYTES >> SECTOR_SHIFT)
		return -EINVAL;
	return error;
}

static void add(uint64_t *counter, uint64_t amount)
{
	__atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

static void count_one(struct block_device *device, const struct block_request *request)
{
	if (request->error) {
		add(&device->errors, 1);
	} else if (request->operation == BLOCK_READ) {
		add(&device->reads, 1);
		add(&device->read_sectors, request->sectors);
	} else if (request->operation == BLOCK_WRITE) {
		add(&device->writes, 1);
		add(&device->written_sectors, request->sectors);
	} else if (request->operation == BLOCK_FLUSH) {
		add(&device->flushes, 1);
	}
}

/* A partition's requests are its disk's, too. */
static void count(struct block_device *device, const struct block_request *request)
{
	for (; device; device = device->parent)
		count_one(device, request);
}

bool block_submit(struct block_device *device, struct block_request *request)
{
	request->error = check(device, request);
	if (!request->error && !device->operations->submit(device, request))
		return false;
	count(device, request);
	return true;
}

void block_finish(struct block_device *device, struct block_request *request, int error)
{
	request->error = error;
	count(device, request);
	request->done(request);
}

void block_defer(struct block_work *item)
{
	bool added;

	spin_lock(&work_lock);
	added = !item->queued;
	if (added) {
		item->queued = true;
		list_add_tail(&work, &item->link);
	}
	spin_unlock(&work_lock);
	if (added)
		cpu_notify(cpu_by_id(0));
}

static struct block_work *take_work(struct list *from)
{
	struct block_work *item = NULL;

	spin_lock(&work_lock);
	if (!list_empty(from)) {
		item = list_first(from, struct block_work, link);
		list_remove(&item->link);
		item->queued = false;
	}
	spin_unlock(&work_lock);
	return item;
}

void block_poll(void)
{
	struct list now;
	struct block_work *item;

	/* What is deferred from here on has notified this CPU again. */
	list_init(&now);
	spin_lock(&work_lock);
	if (!list_empty(&work)) {
		list_insert_before(work.next, &now);
		list_remove(&work);
	}
	spin_unlock(&work_lock);
	while ((item = take_work(&now)))
		item->run(item);
}
