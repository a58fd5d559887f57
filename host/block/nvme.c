/* SPDX-License-Identifier: BSD-2-Clause */
/* The way of a request through an NVMe controller's queue pair. See nvme_internal.h. */
#include "host/block/nvme_internal.h"

#include "host/memory.h"
#include "lib/string.h"

static struct nvme_controller *controller_of(struct disk_queue *queue)
{
	return container_of(queue, struct nvme_controller, queue);
}

void nvme_ring_put(struct nvme_ring *ring, const struct nvme_command *command)
{
	ring->commands[ring->tail] = *command;
	ring->tail = (uint16_t)(ring->tail + 1 == ring->entries ? 0 : ring->tail + 1);
}

void nvme_ring_bell(struct nvme_controller *controller, struct nvme_ring *ring)
{
	mmio_write32(controller->registers, ring->commands_doorbell, ring->tail);
}

/* "Physical Region Page Entry and List": the first one may begin within a page. */
static void set_data(const struct disk_slot *slot, struct nvme_command *command)
{
	uint64_t *list = slot->table;
	struct block_segment range;
	struct disk_walk walk;
	unsigned int count = 0;
	hpa_t page;

	disk_walk_start(&walk, slot);
	while (disk_walk_next(&walk, &range)) {
		if (!command->prp1)
			command->prp1 = range.start;
		else
			list[count++] = range.start;
		page = ROUND_DOWN(range.start, PAGE_SIZE) + PAGE_SIZE;
		for (; page < range.start + range.bytes; page += PAGE_SIZE)
			list[count++] = page;
	}
	if (count)
		command->prp2 = count == 1 ? list[0] : host_phys(list);
}

static void set_discard(const struct disk_slot *slot, struct nvme_command *command,
	unsigned int shift)
{
	struct nvme_range *range = slot->bounce;

	*range = (struct nvme_range){
		.blocks = slot->piece_sectors >> shift,
		.first = disk_slot_sector(slot) >> shift,
	};
	command->prp1 = host_phys(range);
	command->cdw10 = 0; /* ranges, less one */
	command->cdw11 = NVME_DEALLOCATE;
}

static void set_blocks(const struct disk_slot *slot, struct nvme_command *command,
	unsigned int shift)
{
	uint64_t first = disk_slot_sector(slot) >> shift;

	command->cdw10 = (uint32_t)first;
	command->cdw11 = (uint32_t)(first >> 32);
	command->cdw12 = (slot->piece_sectors >> shift) - 1;
}

static void nvme_issue(struct disk_queue *queue, unsigned int index)
{
	static const uint8_t opcodes[] = {
		[BLOCK_READ] = NVME_READ,
		[BLOCK_WRITE] = NVME_WRITE,
		[BLOCK_FLUSH] = NVME_FLUSH,
		[BLOCK_DISCARD] = NVME_DATASET_MANAGEMENT,
		[BLOCK_WRITE_ZEROES] = NVME_WRITE_ZEROES,
	};
	struct nvme_controller *controller = controller_of(queue);
	const struct disk_slot *slot = &queue->slots[index];
	const struct nvme_namespace *namespace =
		container_of(slot->device, struct nvme_namespace, block);
	enum block_operation operation = slot->request->operation;
	struct nvme_command command = {
		.opcode = opcodes[operation],
		.id = (uint16_t)index,
		.nsid = namespace->nsid,
	};

	if (operation == BLOCK_DISCARD)
		set_discard(slot, &command, namespace->shift);
	else if (operation != BLOCK_FLUSH)
		set_blocks(slot, &command, namespace->shift);
	if (operation == BLOCK_READ || operation == BLOCK_WRITE)
		set_data(slot, &command);
	nvme_ring_put(&controller->io, &command);
}

static void nvme_kick(struct disk_queue *queue)
{
	nvme_ring_bell(controller_of(queue), &controller_of(queue)->io);
}

static int error_of(uint16_t status)
{
	switch (NVME_STATUS(status)) {
	case 0:
		return 0;
	case NVME_STATUS_ABORTED:
		return -ETIMEDOUT;
	case NVME_STATUS_FULL:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

static void finish_io(struct nvme_controller *controller, const struct nvme_completion *completion)
{
	struct disk_queue *queue = &controller->queue;

	/* What it finishes that it does not have is ignored. */
	if (completion->id < queue->depth && (queue->busy & BIT(completion->id)))
		disk_queue_piece_done(queue, completion->id, error_of(completion->status));
}

static void finish_admin(struct nvme_controller *controller,
	const struct nvme_completion *completion)
{
	if (!controller->admin_pending || completion->id != controller->admin_id)
		return;
	controller->admin_pending = false;
	controller->admin_status = NVME_STATUS(completion->status);
	controller->admin_result = completion->result;
}

static void harvest_ring(struct nvme_controller *controller, struct nvme_ring *ring,
	void (*done)(struct nvme_controller *, const struct nvme_completion *))
{
	struct nvme_completion completion;
	unsigned int count;

	for (count = 0; count < ring->entries; count++) {
		struct nvme_completion *entry = &ring->completions[ring->head];
		uint16_t status = __atomic_load_n(&entry->status, __ATOMIC_ACQUIRE);

		if ((status & 1) != ring->phase)
			break;
		completion = *entry;
		if (++ring->head == ring->entries) {
			ring->head = 0;
			ring->phase ^= 1;
		}
		done(controller, &completion);
	}
	if (count)
		mmio_write32(controller->registers, ring->completions_doorbell, ring->head);
}

void nvme_harvest(struct disk_queue *queue)
{
	struct nvme_controller *controller = controller_of(queue);

	harvest_ring(controller, &controller->admin, finish_admin);
	harvest_ring(controller, &controller->io, finish_io);
}

static bool nvme_submit(struct block_device *device, struct block_request *request)
{
	struct nvme_namespace *namespace =
		container_of(disk_of(device), struct nvme_namespace, block);

	if (request->operation == BLOCK_FLUSH && !namespace->controller->volatile_cache) {
		request->error = 0;
		return true;
	}
	return disk_queue_submit(&namespace->controller->queue, device, request);
}

const struct disk_queue_operations nvme_queue_operations = {
	.issue = nvme_issue,
	.kick = nvme_kick,
	.harvest = nvme_harvest,
	.check = nvme_check,
	.late = nvme_late,
	.recover = nvme_step,
};

const struct block_operations nvme_block_operations = { .submit = nvme_submit };
