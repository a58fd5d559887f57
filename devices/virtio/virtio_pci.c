/* SPDX-License-Identifier: BSD-2-Clause */
/* The PCI transport of virtio devices; see devices/virtio/virtio_pci.h. */
#include "devices/virtio/virtio_pci.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "host/memory.h"
#include "lib/string.h"

#define VENDOR 0x1af4
#define DEVICE_BASE 0x1040
#define REVISION 1

#define BAR_PORTS 0
#define BAR_MEMORY 1
#define PORTS_BYTES 4
#define MEMORY_BYTES 0x4000

#define COMMON_OFFSET 0x0000
#define COMMON_BYTES sizeof(struct virtio_pci_common_cfg)
#define ISR_OFFSET 0x0100
#define NOTIFY_OFFSET 0x0200
#define NOTIFY_BYTES 4
#define CONFIG_OFFSET 0x1000
#define TABLE_OFFSET 0x2000
#define PENDING_OFFSET 0x3000
#define PART(offset) ((offset) & 0xff00)

#define ISR_QUEUE 1

_Static_assert(COMMON_BYTES == 56, "common configuration structure");
_Static_assert(VIRTIO_MAX_RINGS + 1 <= PCI_MSIX_VECTORS, "a vector for each queue");

static void update_pin(struct virtio_pci *transport)
{
	pci_set_intx(&transport->function, transport->isr && !pci_msix_enabled(&transport->msix));
}

static void interrupt(struct virtio_pci *transport, uint16_t vector, uint8_t isr)
{
	if (likely(pci_msix_enabled(&transport->msix))) {
		pci_msix_send(&transport->msix, vector);
		return;
	}
	transport->isr |= isr;
	update_pin(transport);
}

void virtio_pci_signal(struct virtio_pci *transport, unsigned int queue)
{
	interrupt(transport, transport->queue_vectors[queue], ISR_QUEUE);
}

void virtio_pci_signal_config(struct virtio_pci *transport)
{
	interrupt(transport, transport->config_vector, VIRTIO_PCI_ISR_CONFIG);
}

unsigned int virtio_pci_slot(const struct virtio_pci *transport)
{
	return transport->function.devfn >> 3;
}

/* Reading tells what it was, and ends the interrupt. */
static uint8_t read_isr(struct virtio_pci *transport)
{
	uint8_t isr = transport->isr;

	transport->isr = 0;
	update_pin(transport);
	return isr;
}

static uint32_t read_config(struct virtio_pci *transport, unsigned int offset, unsigned int size)
{
	struct virtio_device *device = transport->device;

	if (!range_within(offset, size, device->operations->config_bytes))
		return 0;
	return device->operations->config_read(device, offset, size);
}

static void write_config(
	struct virtio_pci *transport, unsigned int offset, unsigned int size, uint32_t value)
{
	struct virtio_device *device = transport->device;

	if (device->operations->config_write &&
		range_within(offset, size, device->operations->config_bytes))
		device->operations->config_write(device, offset, size, value);
}

static uint64_t memory_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct virtio_pci *transport =
		container_of(region, struct virtio_pci, function.bars[BAR_MEMORY].region);

	if (offset >= PENDING_OFFSET)
		return pci_msix_read_pending(&transport->msix, offset - PENDING_OFFSET, size);
	if (offset >= TABLE_OFFSET)
		return pci_msix_read_table(&transport->msix, offset - TABLE_OFFSET, size);
	if (offset >= CONFIG_OFFSET)
		return read_config(transport, offset - CONFIG_OFFSET, size);
	if (PART(offset) == COMMON_OFFSET)
		return virtio_pci_read_common(transport, offset, size);
	return offset == ISR_OFFSET ? read_isr(transport) : 0;
}

static void memory_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct virtio_pci *transport =
		container_of(region, struct virtio_pci, function.bars[BAR_MEMORY].region);

	if (offset == NOTIFY_OFFSET)
		virtio_notify(transport->device, value & 0xffff);
	else if (PART(offset) == COMMON_OFFSET)
		virtio_pci_write_common(transport, offset, size, value);
	else if (offset >= CONFIG_OFFSET && offset < TABLE_OFFSET)
		write_config(transport, offset - CONFIG_OFFSET, size, value);
	else if (offset >= TABLE_OFFSET && offset < PENDING_OFFSET)
		pci_msix_write_table(&transport->msix, offset - TABLE_OFFSET, size, value);
}

static uint64_t ports_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	(void)region, (void)offset, (void)size;
	return 0;
}

static void ports_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	if (offset == 0)
		virtio_notify(container_of(region, struct virtio_pci,
				      function.bars[BAR_PORTS].region)->device,
			value & 0xffff);
}

/*
 * The window of the PCI_CFG capability: an access to a BAR by configuration space, as the
 * capability's fields say at that moment. False: they say nothing that can be done.
 */
static bool window_target(struct virtio_pci *transport, struct io_region **region,
	uint32_t *offset, uint32_t *bytes)
{
	const uint8_t *cap = transport->function.config + transport->window;
	uint8_t bar = cap[VIRTIO_PCI_CAP_BAR];

	*offset = pci_get32(cap, VIRTIO_PCI_CAP_OFFSET);
	*bytes = pci_get32(cap, VIRTIO_PCI_CAP_LENGTH);
	if (bar > BAR_MEMORY || (*bytes != 1 && *bytes != 2 && *bytes != 4) ||
		!IS_ALIGNED(*offset, *bytes))
		return false;
	*region = &transport->function.bars[bar].region;
	return range_within(*offset, *bytes, (*region)->length);
}

static unsigned int window_data(const struct virtio_pci *transport)
{
	return transport->window + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
}

static void config_reading(struct pci_function *function, unsigned int offset, unsigned int size)
{
	struct virtio_pci *transport = container_of(function, struct virtio_pci, function);
	struct io_region *region;
	uint32_t at, bytes;

	(void)size;
	if (offset == window_data(transport) && window_target(transport, &region, &at, &bytes))
		pci_put32(function->config, offset, region->read(region, at, bytes));
}

static void config_written(struct pci_function *function, unsigned int offset, unsigned int size)
{
	struct virtio_pci *transport = container_of(function, struct virtio_pci, function);
	struct io_region *region;
	uint32_t at, bytes;

	pci_msix_written(&transport->msix, offset, size);
	update_pin(transport);
	if (offset == window_data(transport) && window_target(transport, &region, &at, &bytes))
		region->write(region, at, bytes,
			pci_get32(function->config, offset) & byte_mask(bytes));
}

void virtio_pci_forget(struct virtio_pci *transport)
{
	transport->device_feature_select = 0;
	transport->driver_feature_select = 0;
	transport->queue_select = 0;
	transport->config_vector = VIRTIO_MSI_NO_VECTOR;
	for (unsigned int i = 0; i < VIRTIO_MAX_RINGS; i++)
		transport->queue_vectors[i] = VIRTIO_MSI_NO_VECTOR;
	transport->isr = 0;
	update_pin(transport);
}

void virtio_pci_reset(struct virtio_pci *transport)
{
	pci_msix_reset(&transport->msix);
	pci_function_reset(&transport->function);
}

/* A structure's capability; 0 when there is no room. */
static unsigned int add_structure(struct virtio_pci *transport, unsigned int bytes, uint8_t type,
	uint8_t bar, uint32_t offset, uint32_t length)
{
	unsigned int at = pci_add_capability(&transport->function, PCI_CAP_ID_VNDR, bytes);
	uint8_t *cap = transport->function.config + at;

	if (!at)
		return 0;
	cap[VIRTIO_PCI_CAP_LEN] = bytes;
	cap[VIRTIO_PCI_CAP_CFG_TYPE] = type;
	cap[VIRTIO_PCI_CAP_BAR] = bar;
	pci_put32(cap, VIRTIO_PCI_CAP_OFFSET, offset);
	pci_put32(cap, VIRTIO_PCI_CAP_LENGTH, length);
	return at;
}

static bool add_window(struct virtio_pci *transport)
{
	uint8_t *writable;

	transport->window = add_structure(transport, sizeof(struct virtio_pci_cfg_cap),
		VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0);
	if (!transport->window)
		return false;
	writable = transport->function.writable + transport->window;
	writable[VIRTIO_PCI_CAP_BAR] = 0xff;
	pci_put32(writable, VIRTIO_PCI_CAP_OFFSET, ~0U);
	pci_put32(writable, VIRTIO_PCI_CAP_LENGTH, ~0U);
	pci_put32(writable, offsetof(struct virtio_pci_cfg_cap, pci_cfg_data), ~0U);
	return true;
}

/* Drivers take the first structure of a kind that they can reach: the port, then. */
static int add_capabilities(struct virtio_pci *transport)
{
	const struct virtio_operations *operations = transport->device->operations;
	int error = pci_msix_init(&transport->msix, &transport->function,
		transport->device->ring_count + 1, BAR_MEMORY, TABLE_OFFSET, PENDING_OFFSET);

	if (error)
		return error;
	if (!add_structure(transport, sizeof(struct virtio_pci_cap), VIRTIO_PCI_CAP_COMMON_CFG,
		    BAR_MEMORY, COMMON_OFFSET, COMMON_BYTES) ||
		!add_structure(transport, sizeof(struct virtio_pci_cap), VIRTIO_PCI_CAP_ISR_CFG,
			BAR_MEMORY, ISR_OFFSET, 1) ||
		!add_structure(transport, sizeof(struct virtio_pci_notify_cap),
			VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_PORTS, 0, PORTS_BYTES) ||
		!add_structure(transport, sizeof(struct virtio_pci_notify_cap),
			VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_MEMORY, NOTIFY_OFFSET, NOTIFY_BYTES) ||
		(operations->config_bytes &&
			!add_structure(transport, sizeof(struct virtio_pci_cap),
				VIRTIO_PCI_CAP_DEVICE_CFG, BAR_MEMORY, CONFIG_OFFSET,
				operations->config_bytes)) ||
		!add_window(transport))
		return -ENOSPC;
	return 0;
}

static int make_function(struct pci *pci, struct virtio_pci *transport)
{
	const struct virtio_operations *operations = transport->device->operations;
	struct pci_function *function = &transport->function;
	const struct pci_identity identity = { VENDOR, DEVICE_BASE + operations->id, VENDOR,
		DEVICE_BASE + operations->id, REVISION, operations->class_code };
	int error;

	pci_function_init(function, &identity);
	function->bars[BAR_PORTS].region = (struct io_region){ .length = PORTS_BYTES,
		.max_size = 4, .read = ports_read, .write = ports_write };
	function->bars[BAR_MEMORY].region = (struct io_region){ .length = MEMORY_BYTES,
		.max_size = 4, .read = memory_read, .write = memory_write };
	function->reading = config_reading;
	function->written = config_written;
	error = pci_add_bar(pci, function, BAR_PORTS, true);
	if (!error)
		error = pci_add_bar(pci, function, BAR_MEMORY, false);
	return error ? error : add_capabilities(transport);
}

int virtio_pci_create(struct vm *vm, struct pci *pci, struct virtio_device *device)
{
	struct virtio_pci *transport = heap_alloc(sizeof(*transport), FRAME_VM);
	int error;

	if (!transport)
		return -ENOMEM;
	transport->device = device;
	error = make_function(pci, transport);
	if (error) {
		heap_free(transport);
		return error;
	}
	spin_lock(&vm->lock);
	error = pci_add(pci, &transport->function);
	if (!error) {
		device->pci = transport;
		virtio_pci_forget(transport);
	}
	spin_unlock(&vm->lock);
	if (error)
		heap_free(transport);
	return error;
}

void virtio_pci_destroy(struct virtio_pci *transport)
{
	heap_free(transport);
}
