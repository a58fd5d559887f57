/* SPDX-License-Identifier: BSD-2-Clause */
/* Partitions as block devices. */
#include "host/block/partition.h"
#include "host/cpu.h"
#include "host/log.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"

/* A read of the boot CPU's, which waits for it. */
struct disk_source {
	struct partition_source source;
	struct block_device *disk;
	struct block_segment segment;
	struct block_request request;
	uint32_t ended; /* [a] */
};

static void read_done(struct block_request *request)
{
	struct disk_source *from = container_of(request, struct disk_source, request);

	__atomic_store_n(&from->ended, 1, __ATOMIC_RELEASE);
}

static int disk_read(struct partition_source *source, uint64_t block, void *buffer)
{
	struct disk_source *from = container_of(source, struct disk_source, source);
	uint32_t unit = source->logical_bytes / SECTOR_BYTES;

	from->segment = (struct block_segment){ host_phys(buffer), source->logical_bytes };
	from->request = (struct block_request){
		.operation = BLOCK_READ,
		.sector = block * unit,
		.sectors = unit,
		.segments = &from->segment,
		.segment_count = 1,
		.done = read_done,
	};
	from->ended = 0;
	if (!block_submit(from->disk, &from->request)) {
		while (!__atomic_load_n(&from->ended, __ATOMIC_ACQUIRE))
			irq_window();
	}
	return from->request.error;
}

/* The disk's driver ends it in the partition's name, so that it counts there. */
static bool partition_submit(struct block_device *device, struct block_request *request)
{
	request->sector += device->first_sector;
	return device->parent->operations->submit(device, request);
}

static const struct block_operations partition_operations = { .submit = partition_submit };

static void add(struct block_device *disk, const struct partition *partition)
{
	struct block_device *device = heap_alloc(sizeof(*device), FRAME_HOST);

	if (!device) {
		log_line("%s: no memory for partition %u", disk->name, partition->number);
		return;
	}
	device->operations = &partition_operations;
	device->logical_bytes = disk->logical_bytes;
	device->physical_bytes = disk->physical_bytes;
	device->read_only = disk->read_only;
	device->can_discard = disk->can_discard;
	device->can_write_zeroes = disk->can_write_zeroes;
	device->parent = disk;
	device->first_sector = partition->first_sector;
	device->sectors = partition->sectors;
	device->linux_swap = partition->linux_swap;
	snprintf(device->name, sizeof(device->name), "%.16sp%u", disk->name,
		partition->number);
	snprintf(device->description, sizeof(device->description), "%s", partition->label);
	/* Where it does not begin at the disk's own unit, writes cannot be better than sectors. */
	if (!IS_ALIGNED(device->first_sector * SECTOR_BYTES, (uint64_t)device->physical_bytes))
		device->physical_bytes = device->logical_bytes;
	block_register(device);
}

void partition_find(struct block_device *disk)
{
	struct disk_source *from = heap_alloc(sizeof(*from), FRAME_HOST);
	void *page = heap_alloc(PAGE_SIZE, FRAME_HOST);
	struct partition *list = heap_alloc(PARTITION_MAX * sizeof(*list), FRAME_HOST);
	size_t count = 0;

	if (from && page && list) {
		from->disk = disk;
		from->source.name = disk->name;
		from->source.sectors = disk->sectors;
		from->source.logical_bytes = disk->logical_bytes;
		from->source.read = disk_read;
		count = partition_parse(&from->source, page, list);
	} else {
		log_line("%s: no memory for its partition table", disk->name);
	}
	for (size_t i = 0; i < count; i++)
		add(disk, &list[i]);
	heap_free(list);
	heap_free(page);
	heap_free(from);
}
