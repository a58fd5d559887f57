/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NVMe controller's reset, at start and when it fails, step by step: nothing waits. See
 * nvme_internal.h, and "Controller Initialization" of the specification.
 */
#include "host/block/nvme_internal.h"

#include "host/log.h"
#include "host/memory.h"
#include "lib/string.h"

#define ABORT_NS (5 * NS_PER_SEC)
#define ADMIN_NS (10 * NS_PER_SEC)
#define RESET_LEAST_NS NS_PER_SEC

static struct nvme_controller *controller_of(struct disk_queue *queue)
{
	return container_of(queue, struct nvme_controller, queue);
}

static void enter(struct nvme_controller *controller, enum nvme_state state, uint64_t limit_ns)
{
	controller->state = state;
	controller->step_deadline_tsc = clock_tsc() + clock_tsc_from_ns(limit_ns);
}

static uint64_t reset_ns(const struct nvme_controller *controller)
{
	return MAX(NVME_CAP_TIMEOUT_NS(controller->cap), RESET_LEAST_NS);
}

bool nvme_admin_send(struct nvme_controller *controller, struct nvme_command *command)
{
	if (controller->admin_pending)
		return false;
	controller->admin_pending = true;
	command->id = ++controller->admin_id;
	nvme_ring_put(&controller->admin, command);
	nvme_ring_bell(controller, &controller->admin);
	return true;
}

void nvme_give_up(struct nvme_controller *controller, const char *why)
{
	log_line("%s %s and is not used any more", controller->name, why);
	/* Nothing of it may touch memory that its requests had. */
	host_pci_disable(controller->pci);
	controller->state = NVME_DEAD;
	disk_queue_kill(&controller->queue);
}

void nvme_reset(struct nvme_controller *controller, int error)
{
	uint32_t config = mmio_read32(controller->registers, NVME_CC);

	disk_queue_hold(&controller->queue);
	controller->reset_error = error;
	controller->admin_pending = false;
	mmio_write32(controller->registers, NVME_CC, config & ~NVME_CC_ENABLE);
	enter(controller, NVME_DISABLING, reset_ns(controller));
}

static void ring_clear(struct nvme_ring *ring)
{
	memset(ring->completions, 0, ring->entries * sizeof(ring->completions[0]));
	ring->tail = 0;
	ring->head = 0;
	ring->phase = 1;
}

static void enable(struct nvme_controller *controller)
{
	volatile void *registers = controller->registers;
	uint32_t last = controller->admin.entries - 1U;

	ring_clear(&controller->admin);
	ring_clear(&controller->io);
	mmio_write32(registers, NVME_AQA, last << 16 | last);
	mmio_write64(registers, NVME_ASQ, host_phys(controller->admin.commands));
	mmio_write64(registers, NVME_ACQ, host_phys(controller->admin.completions));
	/* Pages of 4 KiB, the NVM command set, round robin. */
	mmio_write32(registers, NVME_CC, NVME_CC_ENTRY_SIZES | NVME_CC_ENABLE);
	enter(controller, NVME_ENABLING, reset_ns(controller));
}

/* The admin commands that make the queue pair, in the order of the states. */
static void make_queues(struct nvme_controller *controller, enum nvme_state state)
{
	const struct nvme_ring *io = &controller->io;
	uint32_t queue = (io->entries - 1U) << 16 | NVME_IO_QUEUE;
	uint32_t interrupt = controller->queue.polled ? 0 : 2;
	struct nvme_command command = { 0 };

	switch (state) {
	case NVME_SETTING:
		command.opcode = NVME_SET_FEATURES; /* one pair: the counts are less one */
		command.cdw10 = NVME_FEATURE_QUEUES;
		break;
	case NVME_MAKING_CQ:
		command.opcode = NVME_CREATE_CQ;
		command.prp1 = host_phys(io->completions);
		command.cdw10 = queue;
		command.cdw11 = 1 | interrupt; /* contiguous; interrupt vector 0 */
		break;
	default:
		command.opcode = NVME_CREATE_SQ;
		command.prp1 = host_phys(io->commands);
		command.cdw10 = queue;
		command.cdw11 = NVME_IO_QUEUE << 16 | 1; /* its completion queue; contiguous */
	}
	enter(controller, state, ADMIN_NS);
	nvme_admin_send(controller, &command);
}

static void admin_step(struct nvme_controller *controller)
{
	nvme_harvest(&controller->queue);
	if (controller->admin_pending)
		return;
	/* Set Features may be refused: then there is one pair anyway. */
	if (controller->admin_status && controller->state != NVME_SETTING) {
		nvme_give_up(controller, "cannot make a queue");
		return;
	}
	if (controller->state != NVME_MAKING_SQ) {
		make_queues(controller, controller->state + 1);
		return;
	}
	controller->state = NVME_LIVE;
	controller->queue.held = false;
}

void nvme_step(struct disk_queue *queue)
{
	struct nvme_controller *controller = controller_of(queue);
	uint32_t status = mmio_read32(controller->registers, NVME_CSTS);

	if (status == NVME_GONE) {
		nvme_give_up(controller, "is gone");
		return;
	}
	switch (controller->state) {
	case NVME_DISABLING:
		if (status & NVME_CSTS_READY)
			break;
		disk_queue_fail_issued(queue, controller->reset_error);
		enable(controller);
		return;
	case NVME_ENABLING:
		if (!(status & NVME_CSTS_READY))
			break;
		make_queues(controller, NVME_SETTING);
		return;
	default:
		admin_step(controller);
	}
	if (controller->state < NVME_LIVE && clock_tsc() >= controller->step_deadline_tsc)
		nvme_give_up(controller, "does not come up");
}

void nvme_check(struct disk_queue *queue)
{
	struct nvme_controller *controller = controller_of(queue);
	uint32_t status = mmio_read32(controller->registers, NVME_CSTS);

	if (status == NVME_GONE) {
		nvme_give_up(controller, "is gone");
	} else if (status & NVME_CSTS_FATAL) {
		log_line("%s has failed; it is reset", controller->name);
		nvme_reset(controller, -EIO);
	}
}

void nvme_late(struct disk_queue *queue, unsigned int index)
{
	struct nvme_controller *controller = controller_of(queue);
	struct disk_slot *slot = &queue->slots[index];
	struct nvme_command abort = {
		.opcode = NVME_ABORT,
		.cdw10 = index << 16 | NVME_IO_QUEUE,
	};

	if (!slot->late && nvme_admin_send(controller, &abort)) {
		slot->late = true;
		slot->deadline_tsc = clock_tsc() + clock_tsc_from_ns(ABORT_NS);
		return;
	}
	log_line("%s does not answer; it is reset", controller->name);
	nvme_reset(controller, -ETIMEDOUT);
}
