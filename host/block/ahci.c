/* SPDX-License-Identifier: BSD-2-Clause */
/* The way of a request through an AHCI port. See ahci_internal.h. */
#include "host/block/ahci_internal.h"

#include "host/memory.h"
#include "lib/string.h"

static struct ahci_port *port_of(struct disk_queue *queue)
{
	return container_of(queue, struct ahci_port, queue);
}

static bool is_data(const struct block_request *request)
{
	return request->operation == BLOCK_READ || request->operation == BLOCK_WRITE;
}

/* NCQ's commands and others cannot be under way together; of the others, one. */
static bool ahci_exclusive(struct disk_queue *queue, const struct block_request *request)
{
	return !port_of(queue)->ncq || !is_data(request);
}

void ahci_set_command(struct ahci_port *port, unsigned int slot, struct ahci_table *table,
	enum ata_command command, uint64_t sector, uint32_t sectors)
{
	struct ahci_header *header = &port->area->headers[slot];

	table->fis = (struct ahci_fis){
		.type = AHCI_FIS_HOST_TO_DEVICE,
		.flags = AHCI_FIS_COMMAND,
		.command = (uint8_t)command,
		.lba_low = { (uint8_t)sector, (uint8_t)(sector >> 8), (uint8_t)(sector >> 16) },
		.lba_high = { (uint8_t)(sector >> 24), (uint8_t)(sector >> 32),
			(uint8_t)(sector >> 40) },
		.device = ATA_DEVICE_LBA,
		.count_low = (uint8_t)sectors,
		.count_high = (uint8_t)(sectors >> 8),
	};
	header->flags = AHCI_HEADER_FIS_WORDS;
	header->transferred = 0;
	header->table = host_phys(table);
}

static void set_data(struct ahci_port *port, unsigned int index, struct ahci_table *table)
{
	struct block_segment range;
	struct disk_walk walk;
	uint32_t count = 0;

	disk_walk_start(&walk, &port->queue.slots[index]);
	while (disk_walk_next(&walk, &range))
		table->data[count++] = (struct ahci_prd){
			.start = range.start,
			.bytes = range.bytes - 1,
		};
	port->area->headers[index].flags |= count << 16;
}

static void set_queued(unsigned int index, struct ahci_fis *fis)
{
	fis->features_low = fis->count_low;
	fis->features_high = fis->count_high;
	fis->count_low = (uint8_t)(index << 3);
	fis->count_high = 0;
}

static void issue_data(struct ahci_port *port, unsigned int index, bool write)
{
	struct disk_slot *slot = &port->queue.slots[index];
	struct ahci_table *table = slot->table;
	enum ata_command command;

	/* One that had company when something failed is tried again without NCQ. */
	port->queued = port->ncq && !port->queue.alone;
	if (port->queued)
		command = write ? ATA_WRITE_FPDMA_QUEUED : ATA_READ_FPDMA_QUEUED;
	else
		command = write ? ATA_WRITE_DMA_EXT : ATA_READ_DMA_EXT;
	ahci_set_command(port, index, table, command, disk_slot_sector(slot) >> port->shift,
		slot->piece_sectors >> port->shift);
	if (port->queued)
		set_queued(index, &table->fis);
	if (write)
		port->area->headers[index].flags |= AHCI_HEADER_WRITE;
	set_data(port, index, table);
}

/* "DATA SET MANAGEMENT": ranges of 48 bits of address and 16 of length, 0 for those not used. */
static void issue_trim(struct ahci_port *port, unsigned int index)
{
	struct disk_slot *slot = &port->queue.slots[index];
	uint64_t sector = disk_slot_sector(slot) >> port->shift, *range = slot->bounce;
	uint32_t left = slot->piece_sectors >> port->shift;
	struct ahci_table *table = slot->table;

	memset(range, 0, SECTOR_BYTES);
	while (left) {
		uint32_t part = MIN(left, ATA_TRIM_RANGE_SECTORS);

		*range++ = sector | (uint64_t)part << 48;
		sector += part;
		left -= part;
	}
	ahci_set_command(port, index, table, ATA_DATA_SET_MANAGEMENT, 0, 1);
	table->fis.features_low = ATA_TRIM;
	table->data[0] = (struct ahci_prd){
		.start = host_phys(slot->bounce),
		.bytes = SECTOR_BYTES - 1,
	};
	port->area->headers[index].flags |= AHCI_HEADER_WRITE | 1U << 16;
}

static void ahci_issue(struct disk_queue *queue, unsigned int index)
{
	struct ahci_port *port = port_of(queue);
	const struct disk_slot *slot = &queue->slots[index];

	port->queued = false;
	switch (slot->request->operation) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		issue_data(port, index, slot->request->operation == BLOCK_WRITE);
		break;
	case BLOCK_DISCARD:
		issue_trim(port, index);
		break;
	default:
		ahci_set_command(port, index, slot->table, ATA_FLUSH_CACHE_EXT, 0, 0);
	}
	port->issue |= 1U << index;
}

static void ahci_kick(struct disk_queue *queue)
{
	struct ahci_port *port = port_of(queue);

	if (port->queued)
		ahci_port_write(port, AHCI_PORT_SACT, port->issue);
	ahci_port_write(port, AHCI_PORT_CI, port->issue);
	port->issue = 0;
}

/* False: the one command that is not NCQ's has failed. */
static bool finish(struct ahci_port *port, uint32_t finished)
{
	struct disk_queue *queue = &port->queue;

	/* A queued command that failed stays active. Of another one the task file tells. */
	if (finished && !port->queued && ahci_port_read(port, AHCI_PORT_TFD) & AHCI_PORT_TFD_ERROR)
		return false;
	for (unsigned int i = 0; finished; i++, finished >>= 1) {
		if (finished & 1)
			disk_queue_piece_done(queue, i, 0);
	}
	return true;
}

void ahci_harvest(struct disk_queue *queue)
{
	struct ahci_port *port = port_of(queue);
	uint32_t status = ahci_port_read(port, AHCI_PORT_IS), active;
	bool failed;

	if (status && status != AHCI_GONE)
		ahci_port_write(port, AHCI_PORT_IS, status);
	active = ahci_port_read(port, AHCI_PORT_CI) | ahci_port_read(port, AHCI_PORT_SACT);
	/* What has been issued but not kicked yet is not known to the hardware. */
	failed = status != AHCI_GONE && status & AHCI_PORT_IS_ERRORS;
	if (port->queued || !failed)
		failed |= !finish(port, queue->busy & ~active & ~port->issue);
	if (failed)
		/* The one that is under way has failed; of several it is not known which. */
		ahci_port_recover(port, port->queued,
			(queue->busy & (queue->busy - 1)) == 0 ? -EIO : 0);
	else if (status != AHCI_GONE && status & AHCI_PORT_IS_CONNECT)
		ahci_port_end(port, "was exchanged");
}

static bool ahci_submit(struct block_device *device, struct block_request *request)
{
	struct ahci_port *port = container_of(disk_of(device), struct ahci_port, block);

	if (request->operation == BLOCK_FLUSH && !port->volatile_cache) {
		request->error = 0;
		return true;
	}
	return disk_queue_submit(&port->queue, device, request);
}

const struct disk_queue_operations ahci_queue_operations = {
	.issue = ahci_issue,
	.kick = ahci_kick,
	.harvest = ahci_harvest,
	.check = ahci_port_check,
	.late = ahci_port_late,
	.recover = ahci_port_step,
	.exclusive = ahci_exclusive,
};

const struct block_operations ahci_block_operations = { .submit = ahci_submit };
