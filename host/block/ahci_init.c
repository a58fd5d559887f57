/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding AHCI controllers and their disks. See ahci_internal.h. */
#include "host/block/ahci.h"

#include "host/block/ahci_internal.h"
#include "host/cpu.h"
#include "host/log.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"

#define CLASS_AHCI 0x010601
#define AHCI_BAR 5

/* How long is waited for what, at boot. */
#define HANDOFF_NS (2 * NS_PER_SEC)
#define HBA_RESET_NS NS_PER_SEC
#define IDENTIFY_NS (5 * NS_PER_SEC)
#define STEP_NS (200 * NS_PER_US)

/* "IDENTIFY DEVICE data": words. */
#define ID_MODEL 27
#define ID_MODEL_BYTES 40
#define ID_QUEUE_DEPTH 75
#define ID_SATA 76
#define ID_SATA_NCQ BIT(8)
#define ID_COMMANDS 83
#define ID_COMMANDS_LBA48 BIT(10)
#define ID_ENABLED 85
#define ID_ENABLED_CACHE BIT(5)
#define ID_SECTORS 100
#define ID_SECTOR_SIZE 106
#define ID_SECTOR_SIZE_VALID(word) (((word) & 0xc000) == 0x4000)
#define ID_SECTOR_SIZE_LOGICAL BIT(12)
#define ID_SECTOR_SIZE_PHYSICAL BIT(13)
#define ID_LOGICAL_WORDS 117
#define ID_TRIM 169

static unsigned int names; /* given to disks so far */

/* Wait on the boot CPU until the register has none of `bits`, or the time is over. */
static bool wait_clear(struct ahci_hba *hba, uint32_t offset, uint32_t bits, uint64_t limit_ns)
{
	uint64_t limit = clock_tsc() + clock_tsc_from_ns(limit_ns);

	while (mmio_read32(hba->registers, offset) & bits) {
		if (clock_tsc() >= limit)
			return false;
		irq_window();
	}
	return true;
}

/* "BIOS/OS Handoff": the firmware's own driver may still think that the controller is its. */
static void take_over(struct ahci_hba *hba)
{
	if (!(mmio_read32(hba->registers, AHCI_CAP2) & AHCI_CAP2_HANDOFF))
		return;
	mmio_write32(hba->registers, AHCI_BOHC,
		mmio_read32(hba->registers, AHCI_BOHC) | AHCI_BOHC_OS);
	if (!wait_clear(hba, AHCI_BOHC, AHCI_BOHC_BIOS, HANDOFF_NS))
		log_line("the firmware does not let go of an AHCI controller; it is taken");
}

/* The ports that there are; 0 when it does not come up. */
static uint32_t reset_hba(struct ahci_hba *hba)
{
	uint32_t ports;

	mmio_write32(hba->registers, AHCI_GHC, AHCI_GHC_ENABLE);
	ports = mmio_read32(hba->registers, AHCI_PI);
	take_over(hba);
	mmio_write32(hba->registers, AHCI_GHC, AHCI_GHC_ENABLE | AHCI_GHC_RESET);
	if (!wait_clear(hba, AHCI_GHC, AHCI_GHC_RESET, HBA_RESET_NS)) {
		log_line("an AHCI controller does not come out of its reset");
		return 0;
	}
	mmio_write32(hba->registers, AHCI_GHC, AHCI_GHC_ENABLE);
	/* The firmware's to set, once; some controllers forget it in a reset. */
	if (mmio_read32(hba->registers, AHCI_PI) != ports)
		mmio_write32(hba->registers, AHCI_PI, ports);
	return ports;
}

static struct ahci_port *port_create(struct ahci_hba *hba, unsigned int index)
{
	struct ahci_port *port = heap_alloc(sizeof(*port), FRAME_HOST);

	if (!port)
		return NULL;
	port->hba = hba;
	port->index = index;
	port->area = heap_alloc(PAGE_SIZE, FRAME_HOST);
	if (!port->area || disk_queue_init(&port->queue, &ahci_queue_operations, 0)) {
		heap_free(port->area);
		heap_free(port);
		return NULL;
	}
	snprintf(port->name, sizeof(port->name), "AHCI %02x:%02x.%u port %u", hba->pci->bus,
		hba->pci->devfn >> 3, hba->pci->devfn & 7, index);
	return port;
}

/* Bring up all ports at once. Boot CPU: it waits for the slowest. */
static void bring_up(struct ahci_hba *hba, uint32_t present)
{
	bool waiting = true;

	for (unsigned int i = 0; i < AHCI_PORTS; i++) {
		if (present & BIT(i))
			hba->ports[i] = port_create(hba, i);
		if (hba->ports[i])
			ahci_port_begin(hba->ports[i]);
	}
	while (waiting) {
		waiting = false;
		for (unsigned int i = 0; i < AHCI_PORTS; i++) {
			if (!hba->ports[i] || hba->ports[i]->state >= AHCI_LIVE)
				continue;
			ahci_port_step(&hba->ports[i]->queue);
			waiting = true;
		}
		if (waiting)
			clock_wait(STEP_NS);
		irq_window();
	}
}

/* Into `words`, a page. Boot CPU: it waits for IDENTIFY_NS at most. */
static bool identify(struct ahci_port *port, uint16_t *words)
{
	struct ahci_table *table = &port->area->identify;
	uint32_t base = AHCI_PORT(port->index);

	ahci_set_command(port, 0, table, ATA_IDENTIFY, 0, 0);
	table->data[0] = (struct ahci_prd){
		.start = host_phys(words),
		.bytes = SECTOR_BYTES - 1,
	};
	port->area->headers[0].flags |= 1U << 16;
	ahci_port_write(port, AHCI_PORT_CI, 1);
	if (!wait_clear(port->hba, base + AHCI_PORT_CI, 1, IDENTIFY_NS) ||
		ahci_port_read(port, AHCI_PORT_TFD) & AHCI_PORT_TFD_ERROR) {
		log_line("%s does not tell what it is", port->name);
		return false;
	}
	return true;
}

static void set_sizes(struct ahci_port *port, const uint16_t *words)
{
	struct block_device *block = &port->block;
	uint16_t size = words[ID_SECTOR_SIZE];

	block->logical_bytes = SECTOR_BYTES;
	if (ID_SECTOR_SIZE_VALID(size) && size & ID_SECTOR_SIZE_LOGICAL)
		block->logical_bytes = 2 * (words[ID_LOGICAL_WORDS] |
			(uint32_t)words[ID_LOGICAL_WORDS + 1] << 16);
	block->physical_bytes = block->logical_bytes;
	if (ID_SECTOR_SIZE_VALID(size) && size & ID_SECTOR_SIZE_PHYSICAL)
		block->physical_bytes <<= size & 7;
	port->shift = block->logical_bytes == SECTOR_BYTES ? 0 : 3;
	block->sectors = words[ID_SECTORS] | (uint64_t)words[ID_SECTORS + 1] << 16 |
			 (uint64_t)words[ID_SECTORS + 2] << 32;
	block->sectors <<= port->shift;
}

static bool usable(const struct ahci_port *port, const uint16_t *words)
{
	uint32_t logical = port->block.logical_bytes;

	if (!(words[ID_COMMANDS] & ID_COMMANDS_LBA48) || !port->block.sectors ||
		words[ID_SECTORS + 3] || (logical != 512 && logical != 4096)) {
		log_line("%s: a disk of %u-byte sectors is left alone", port->name, logical);
		return false;
	}
	return true;
}

static void set_model(struct block_device *block, const uint16_t *words)
{
	uint8_t model[ID_MODEL_BYTES];

	for (unsigned int i = 0; i < ID_MODEL_BYTES; i++)
		model[i] = (uint8_t)(words[ID_MODEL + i / 2] >> (i & 1 ? 0 : 8));
	disk_copy_text(block->description, sizeof(block->description), model, sizeof(model));
}

static bool disk_init(struct ahci_port *port, const uint16_t *words)
{
	unsigned int depth = 1;

	set_sizes(port, words);
	if (!usable(port, words))
		return false;
	port->ncq = port->hba->cap & AHCI_CAP_NCQ && words[ID_SATA] != 0xffff &&
		    words[ID_SATA] & ID_SATA_NCQ;
	if (port->ncq)
		depth = MIN(AHCI_CAP_SLOTS(port->hba->cap),
			(words[ID_QUEUE_DEPTH] & 0x1fU) + 1);
	port->volatile_cache = words[ID_ENABLED] & ID_ENABLED_CACHE;
	if (disk_queue_init(&port->queue, &ahci_queue_operations, depth)) {
		log_line("%s: no memory for its queue", port->name);
		return false;
	}
	port->queue.max_sectors = BLOCK_MAX_BYTES / SECTOR_BYTES;
	port->queue.max_discard_sectors = ATA_TRIM_RANGES * ATA_TRIM_RANGE_SECTORS << port->shift;
	port->block.operations = &ahci_block_operations;
	port->block.can_discard = words[ID_TRIM] & 1;
	set_model(&port->block, words);
	return true;
}

static void port_destroy(struct ahci_port *port)
{
	disk_queue_destroy(&port->queue);
	heap_free(port->area);
	heap_free(port);
}

/* A port that has a disk of use, or not. The page is scratch. */
static bool port_find_disk(struct ahci_port *port, uint16_t *page)
{
	uint32_t signature;

	if (port->state != AHCI_LIVE)
		return false;
	signature = ahci_port_read(port, AHCI_PORT_SIG);
	if (signature != AHCI_SIG_DISK) {
		log_note("%s: no disk, but %x", port->name, signature);
		return false;
	}
	return identify(port, page) && disk_init(port, page);
}

/* What the port had of memory can be given back. */
static void port_stop(struct ahci_port *port)
{
	uint32_t base = AHCI_PORT(port->index);

	ahci_port_write(port, AHCI_PORT_CMD, 0);
	if (wait_clear(port->hba, base + AHCI_PORT_CMD, AHCI_PORT_CMD_RUNNING, NS_PER_SEC) &&
		wait_clear(port->hba, base + AHCI_PORT_CMD, AHCI_PORT_CMD_RECEIVING, NS_PER_SEC))
		port_destroy(port);
}

static void ahci_interrupt(void *argument)
{
	struct ahci_hba *hba = argument;
	uint32_t status = mmio_read32(hba->registers, AHCI_IS);

	for (unsigned int i = 0; i < AHCI_PORTS; i++) {
		struct ahci_port *port = hba->ports[i];

		if (!port || !(status & BIT(i)))
			continue;
		disk_queue_lock(&port->queue);
		if (port->state == AHCI_LIVE)
			ahci_harvest(&port->queue);
		disk_queue_unlock(&port->queue);
	}
	/* After the ports' own: they are what sets it. */
	mmio_write32(hba->registers, AHCI_IS, status);
}

static void port_register(struct ahci_port *port)
{
	snprintf(port->block.name, sizeof(port->block.name), "sata%u", names++);
	port->known = true;
	port->queue.polled = port->hba->polled;
	ahci_port_write(port, AHCI_PORT_IS, ahci_port_read(port, AHCI_PORT_IS));
	if (!port->hba->polled)
		ahci_port_write(port, AHCI_PORT_IE, AHCI_PORT_IE_WANTED);
	block_register(&port->block);
}

static void find_disks(struct ahci_hba *hba, uint32_t present, uint16_t *page)
{
	bring_up(hba, present);
	for (unsigned int i = 0; i < AHCI_PORTS; i++) {
		if (!hba->ports[i] || port_find_disk(hba->ports[i], page))
			continue;
		port_stop(hba->ports[i]);
		hba->ports[i] = NULL;
	}
	hba->polled = host_pci_attach_interrupt(hba->pci, 0, 0, ahci_interrupt, hba) != 0;
	for (unsigned int i = 0; i < AHCI_PORTS; i++) {
		if (hba->ports[i])
			port_register(hba->ports[i]);
	}
	mmio_write32(hba->registers, AHCI_IS, mmio_read32(hba->registers, AHCI_IS));
	if (!hba->polled)
		mmio_write32(hba->registers, AHCI_GHC, AHCI_GHC_ENABLE | AHCI_GHC_INTERRUPTS);
}

static void start(struct host_pci_device *pci)
{
	struct ahci_hba *hba = heap_alloc(sizeof(*hba), FRAME_HOST);
	uint16_t *page = heap_alloc(PAGE_SIZE, FRAME_HOST);
	uint64_t bytes = 0;
	uint32_t present = 0;

	if (!hba || !page) {
		log_line("no memory for an AHCI controller");
		return;
	}
	pci->driver = "ahci";
	hba->pci = pci;
	host_pci_enable(pci);
	hba->registers = host_pci_map_bar(pci, AHCI_BAR, &bytes);
	if (hba->registers)
		hba->cap = mmio_read32(hba->registers, AHCI_CAP);
	if (!hba->registers || bytes < AHCI_PORT(1) || hba->cap == AHCI_GONE)
		log_line("an AHCI controller has no registers");
	else if (!(hba->cap & AHCI_CAP_64_BIT))
		log_line("an AHCI controller cannot address all memory and is left alone");
	else
		present = reset_hba(hba);
	/* No register lies beyond the BAR. */
	for (unsigned int i = 0; i < AHCI_PORTS; i++) {
		if (AHCI_PORT(i + 1) > bytes)
			present &= ~(uint32_t)BIT(i);
	}
	if (present)
		find_disks(hba, present, page);
	else
		host_pci_disable(pci);
	heap_free(page);
}

void ahci_init(void)
{
	for (size_t i = 0; i < host_pci_count(); i++) {
		struct host_pci_device *pci = host_pci_at(i);

		if (pci->class_code == CLASS_AHCI && !pci->driver)
			start(pci);
	}
}
