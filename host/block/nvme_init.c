/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding NVMe controllers and their namespaces. See nvme_internal.h. */
#include "host/block/nvme.h"

#include "host/block/nvme_internal.h"
#include "host/cpu.h"
#include "host/log.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"

#define CLASS_NVME 0x010802
#define CONTROLLER_NAMESPACES 16
#define IDENTIFY_NS (10 * NS_PER_SEC)

/* "Identify command": what is asked for. */
#define IDENTIFY_NAMESPACE 0
#define IDENTIFY_CONTROLLER 1
#define IDENTIFY_ACTIVE_LIST 2
#define VERSION_WITH_LIST 0x00010100

/* "Identify Controller Data Structure": offsets. */
#define CONTROLLER_MODEL 24
#define CONTROLLER_MODEL_BYTES 40
#define CONTROLLER_MDTS 77
#define CONTROLLER_NAMESPACE_COUNT 516
#define CONTROLLER_ONCS 520
#define ONCS_DATASET_MANAGEMENT BIT(2)
#define ONCS_WRITE_ZEROES BIT(3)
#define CONTROLLER_VWC 525
/* "Identify Namespace Data Structure": offsets. */
#define NAMESPACE_SIZE 0
#define NAMESPACE_FEATURES 24
#define FEATURES_GRANULARITY BIT(4)
#define NAMESPACE_FORMAT 26
#define NAMESPACE_PROTECTION 29
#define NAMESPACE_WRITE_GRANULARITY 64
#define NAMESPACE_ATTRIBUTES 99
#define NAMESPACE_FORMATS 128
#define FORMAT_METADATA(format) ((format) & 0xffff)
#define FORMAT_SHIFT(format) ((format) >> 16 & 0xff)

static unsigned int names; /* given to namespaces so far */

static uint32_t get16(const uint8_t *data, unsigned int at)
{
	return data[at] | (uint32_t)data[at + 1] << 8;
}

static uint32_t get32(const uint8_t *data, unsigned int at)
{
	return get16(data, at) | get16(data, at + 2) << 16;
}

static void nvme_interrupt(void *argument)
{
	struct nvme_controller *controller = argument;

	disk_queue_lock(&controller->queue);
	if (controller->state == NVME_LIVE)
		nvme_harvest(&controller->queue);
	disk_queue_unlock(&controller->queue);
}

/* Boot CPU: it has to wait, at most as long as the reset's steps may take. */
static bool bring_up(struct nvme_controller *controller)
{
	disk_queue_lock(&controller->queue);
	nvme_reset(controller, -EIO);
	disk_queue_unlock(&controller->queue);
	while (controller->state < NVME_LIVE) {
		disk_queue_lock(&controller->queue);
		nvme_step(&controller->queue);
		disk_queue_unlock(&controller->queue);
		irq_window();
	}
	return controller->state == NVME_LIVE;
}

/* Boot CPU: it waits for IDENTIFY_NS at most. */
static bool identify(struct nvme_controller *controller, uint32_t what, uint32_t nsid, void *page)
{
	uint64_t limit = clock_tsc() + clock_tsc_from_ns(IDENTIFY_NS);
	struct nvme_command command = {
		.opcode = NVME_IDENTIFY,
		.nsid = nsid,
		.prp1 = host_phys(page),
		.cdw10 = what,
	};

	memset(page, 0, PAGE_SIZE);
	disk_queue_lock(&controller->queue);
	nvme_admin_send(controller, &command);
	while (controller->admin_pending && controller->state == NVME_LIVE) {
		nvme_harvest(&controller->queue);
		if (controller->admin_pending && clock_tsc() >= limit)
			nvme_give_up(controller, "does not answer");
		disk_queue_unlock(&controller->queue);
		irq_window();
		disk_queue_lock(&controller->queue);
	}
	disk_queue_unlock(&controller->queue);
	return controller->state == NVME_LIVE && controller->admin_status == 0;
}

static bool ring_init(struct nvme_controller *controller, struct nvme_ring *ring, unsigned int id)
{
	uint32_t stride = NVME_CAP_STRIDE(controller->cap);

	ring->commands = heap_alloc(PAGE_SIZE, FRAME_HOST);
	ring->completions = heap_alloc(PAGE_SIZE, FRAME_HOST);
	ring->entries = (uint16_t)MIN(NVME_ENTRIES, NVME_CAP_ENTRIES(controller->cap));
	ring->commands_doorbell = NVME_DOORBELLS + 2 * id * stride;
	ring->completions_doorbell = ring->commands_doorbell + stride;
	return ring->commands && ring->completions;
}

static bool usable(const struct nvme_controller *controller, uint64_t register_bytes)
{
	uint64_t cap = controller->cap;

	if (register_bytes < NVME_DOORBELLS + 4 * NVME_CAP_STRIDE(cap) || cap == ~0ULL)
		log_line("%s has no registers", controller->name);
	else if (!(cap & NVME_CAP_NVM_COMMANDS) || NVME_CAP_PAGE_MIN(cap) ||
		 NVME_CAP_ENTRIES(cap) < 2)
		log_line("%s cannot be used: capabilities %lx", controller->name, cap);
	else
		return true;
	return false;
}

/* The page is scratch. */
static bool learn(struct nvme_controller *controller, uint8_t *page, uint8_t *model)
{
	unsigned int mdts;

	if (!identify(controller, IDENTIFY_CONTROLLER, 0, page))
		return false;
	memcpy(model, page + CONTROLLER_MODEL, CONTROLLER_MODEL_BYTES);
	controller->volatile_cache = page[CONTROLLER_VWC] & 1;
	controller->discard = get16(page, CONTROLLER_ONCS) & ONCS_DATASET_MANAGEMENT;
	controller->zeroes = get16(page, CONTROLLER_ONCS) & ONCS_WRITE_ZEROES;
	mdts = page[CONTROLLER_MDTS];
	controller->queue.max_sectors = BLOCK_MAX_BYTES / SECTOR_BYTES;
	controller->queue.max_zero_sectors = NVME_ZERO_SECTORS;
	controller->queue.max_discard_sectors = ~0U << 3;
	if (mdts && mdts < 8) {
		controller->queue.max_sectors = 8U << mdts;
		/* It need not hold for these, but some disks think so. */
		controller->queue.max_zero_sectors = 8U << mdts;
	}
	return true;
}

static void set_granularity(struct block_device *block, const uint8_t *page)
{
	uint32_t bytes = (get16(page, NAMESPACE_WRITE_GRANULARITY) + 1) * block->logical_bytes;

	block->physical_bytes = block->logical_bytes;
	if ((page[NAMESPACE_FEATURES] & FEATURES_GRANULARITY) && (bytes & (bytes - 1)) == 0)
		block->physical_bytes = bytes;
}

static void add_namespace(struct nvme_controller *controller, uint32_t nsid, const uint8_t *page,
	const uint8_t *model)
{
	uint32_t format = get32(page, NAMESPACE_FORMATS + 4 * (page[NAMESPACE_FORMAT] & 0xf));
	uint64_t blocks = get32(page, NAMESPACE_SIZE) |
			  (uint64_t)get32(page, NAMESPACE_SIZE + 4) << 32;
	struct nvme_namespace *namespace;
	unsigned int shift;

	if (!blocks)
		return; /* not there */
	shift = FORMAT_SHIFT(format) - SECTOR_SHIFT;
	if ((shift != 0 && shift != 3) || FORMAT_METADATA(format) || page[NAMESPACE_PROTECTION] ||
		blocks > BIT(48)) {
		log_line("%s: namespace %u is left alone: format %x", controller->name, nsid,
			format);
		return;
	}
	namespace = heap_alloc(sizeof(*namespace), FRAME_HOST);
	if (!namespace)
		return;
	namespace->controller = controller;
	namespace->nsid = nsid;
	namespace->shift = shift;
	namespace->block.operations = &nvme_block_operations;
	namespace->block.sectors = blocks << shift;
	namespace->block.logical_bytes = SECTOR_BYTES << shift;
	set_granularity(&namespace->block, page);
	namespace->block.read_only = page[NAMESPACE_ATTRIBUTES] & 1;
	namespace->block.can_discard = controller->discard;
	namespace->block.can_write_zeroes = controller->zeroes;
	snprintf(namespace->block.name, sizeof(namespace->block.name), "nvme%u", names++);
	disk_copy_text(namespace->block.description, sizeof(namespace->block.description), model,
		CONTROLLER_MODEL_BYTES);
	block_register(&namespace->block);
}

/* The namespaces' numbers, ascending; 0 behind the last. */
static void list_namespaces(struct nvme_controller *controller, uint8_t *page,
	uint32_t list[CONTROLLER_NAMESPACES + 1])
{
	uint32_t version = mmio_read32(controller->registers, NVME_VERSION);
	uint32_t count = MIN(get32(page, CONTROLLER_NAMESPACE_COUNT), CONTROLLER_NAMESPACES);

	memset(list, 0, (CONTROLLER_NAMESPACES + 1) * sizeof(list[0]));
	if (version >= VERSION_WITH_LIST && identify(controller, IDENTIFY_ACTIVE_LIST, 0, page)) {
		for (unsigned int i = 0; i < CONTROLLER_NAMESPACES; i++)
			list[i] = get32(page, 4 * i);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		list[i] = i + 1;
}

static void add_namespaces(struct nvme_controller *controller, uint8_t *page)
{
	uint32_t list[CONTROLLER_NAMESPACES + 1];
	uint8_t model[CONTROLLER_MODEL_BYTES];

	if (!learn(controller, page, model))
		return;
	list_namespaces(controller, page, list);
	for (unsigned int i = 0; list[i]; i++) {
		if (identify(controller, IDENTIFY_NAMESPACE, list[i], page))
			add_namespace(controller, list[i], page, model);
	}
}

static bool prepare(struct nvme_controller *controller)
{
	uint64_t bytes = 0;
	unsigned int depth;

	host_pci_enable(controller->pci);
	controller->registers = host_pci_map_bar(controller->pci, 0, &bytes);
	if (!controller->registers) {
		log_line("%s has no registers", controller->name);
		return false;
	}
	controller->cap = mmio_read64(controller->registers, NVME_CAP);
	if (!usable(controller, bytes))
		return false;
	depth = MIN(DISK_SLOTS, (unsigned int)NVME_CAP_ENTRIES(controller->cap) - 1);
	if (disk_queue_init(&controller->queue, &nvme_queue_operations, depth) ||
		!ring_init(controller, &controller->admin, NVME_ADMIN_QUEUE) ||
		!ring_init(controller, &controller->io, NVME_IO_QUEUE)) {
		log_line("%s: no memory for its queues", controller->name);
		return false;
	}
	controller->queue.page_chained = true;
	controller->queue.polled =
		host_pci_attach_interrupt(controller->pci, 0, 0, nvme_interrupt, controller) != 0;
	return true;
}

/* What cannot be used is left with its mastering off, and its few pages are not worth a return. */
static void start(struct host_pci_device *pci)
{
	struct nvme_controller *controller = heap_alloc(sizeof(*controller), FRAME_HOST);
	uint8_t *page = heap_alloc(PAGE_SIZE, FRAME_HOST);

	if (!controller || !page) {
		log_line("no memory for an NVMe controller");
		return;
	}
	pci->driver = "nvme";
	controller->pci = pci;
	snprintf(controller->name, sizeof(controller->name), "NVMe controller %02x:%02x.%u",
		pci->bus, pci->devfn >> 3, pci->devfn & 7);
	if (!prepare(controller))
		host_pci_disable(pci);
	else if (bring_up(controller))
		add_namespaces(controller, page);
	heap_free(page);
}

void nvme_init(void)
{
	for (size_t i = 0; i < host_pci_count(); i++) {
		struct host_pci_device *pci = host_pci_at(i);

		if (pci->class_code == CLASS_NVME && !pci->driver)
			start(pci);
	}
}
