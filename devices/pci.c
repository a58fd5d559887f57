/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI configuration mechanism #1 and the host bridge; see devices/pci.h. */
#include "devices/pci.h"

#include <linux/pci_regs.h>

#include "devices/platform.h"
#include "devices/reset.h"
#include "host/memory.h"
#include "lib/string.h"

#define ADDRESS_ENABLE BIT(31)
#define ADDRESS_WRITABLE 0x80fffffcU
#define DATA_OFFSET (PORT_PCI_DATA - PORT_PCI_ADDRESS)
#define RESET_OFFSET (PORT_RESET_CONTROL - PORT_PCI_ADDRESS)

/*
 * The host bridge of Intel's 440FX: every system of thirty years knows it, none drives it, and
 * mechanism #1 is all that it promises.
 */
#define HOST_BRIDGE_VENDOR 0x8086
#define HOST_BRIDGE_DEVICE 0x1237
#define HOST_BRIDGE_REVISION 0x02
#define CLASS_HOST_BRIDGE 0x06

static struct pci_function *find(const struct pci *pci, uint8_t devfn)
{
	for (size_t i = 0; i < pci->count; i++) {
		if (pci->functions[i]->devfn == devfn)
			return pci->functions[i];
	}
	return NULL;
}

int pci_add(struct pci *pci, struct pci_function *function)
{
	if (find(pci, function->devfn))
		return -EEXIST;
	if (pci->count == PCI_MAX_FUNCTIONS)
		return -ENOSPC;
	pci->functions[pci->count++] = function;
	return 0;
}

/* The function that the address register selects, or NULL: none, or the register is not enabled. */
static struct pci_function *selected(const struct pci *pci)
{
	uint8_t bus = pci->address >> 16;

	if (!(pci->address & ADDRESS_ENABLE) || bus != 0)
		return NULL;
	return find(pci, pci->address >> 8);
}

static uint64_t data_read(const struct pci *pci, unsigned int byte, unsigned int size)
{
	const struct pci_function *function = selected(pci);
	unsigned int at = (pci->address & 0xfc) + byte;
	uint64_t value = 0;

	if (!function)
		return ~0ULL;
	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)function->config[at + i] << (8 * i);
	return value;
}

static void data_write(struct pci *pci, unsigned int byte, unsigned int size, uint64_t value)
{
	struct pci_function *function = selected(pci);
	unsigned int at = (pci->address & 0xfc) + byte;

	if (!function)
		return;
	for (unsigned int i = 0; i < size; i++) {
		uint8_t written = value >> (8 * i), mask = function->writable[at + i];
		uint8_t *config = &function->config[at + i];

		*config = (*config & ~mask) | (written & mask);
		*config &= ~(written & function->write_clears[at + i]);
	}
	if (function->written)
		function->written(function, at, size);
}

/* Only a whole double word reaches the address register; bytes go to what else is there. */
static uint64_t pci_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct pci *pci = container_of(region, struct pci, ports);

	if (offset == 0 && size == 4)
		return pci->address;
	if (offset == RESET_OFFSET && size == 1)
		return reset_read_control(pci->reset);
	/* An access may not run from one port into the other, nor beyond its double word. */
	if (offset < DATA_OFFSET)
		return ~0ULL;
	return data_read(pci, offset - DATA_OFFSET, size);
}

static void pci_write(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pci *pci = container_of(region, struct pci, ports);

	if (offset == 0 && size == 4)
		pci->address = value & ADDRESS_WRITABLE;
	else if (offset == RESET_OFFSET && size == 1)
		reset_write_control(pci->reset, value);
	else if (offset >= DATA_OFFSET)
		data_write(pci, offset - DATA_OFFSET, size, value);
}

static void reset_host_bridge(struct pci_function *bridge)
{
	memset(bridge->config, 0, sizeof(bridge->config));
	pci_put16(bridge->config, PCI_VENDOR_ID, HOST_BRIDGE_VENDOR);
	pci_put16(bridge->config, PCI_DEVICE_ID, HOST_BRIDGE_DEVICE);
	/* It answers to memory accesses and masters the bus, and that cannot be switched off. */
	pci_put16(bridge->config, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	bridge->config[PCI_REVISION_ID] = HOST_BRIDGE_REVISION;
	bridge->config[PCI_CLASS_DEVICE + 1] = CLASS_HOST_BRIDGE;
}

static void pci_reset(struct device *device)
{
	struct pci *pci = container_of(device, struct pci, device);

	pci->address = 0;
	reset_host_bridge(&pci->host_bridge);
}

static void pci_destroy(struct device *device)
{
	heap_free(container_of(device, struct pci, device));
}

int pci_create(struct vm *vm, struct reset *reset, struct pci **out)
{
	struct pci *pci = heap_alloc(sizeof(*pci), FRAME_VM);
	int error;

	if (!pci)
		return -ENOMEM;
	pci->device = (struct device){ .name = "pci", .reset = pci_reset, .destroy = pci_destroy };
	pci->ports = (struct io_region){ .start = PORT_PCI_ADDRESS, .length = 8, .max_size = 4,
		.read = pci_read, .write = pci_write };
	pci->reset = reset;
	vm_add_device(vm, &pci->device);
	pci_reset(&pci->device);
	*out = pci;
	error = pci_add(pci, &pci->host_bridge);
	return error ? error : io_bus_add(&vm->ports, &pci->ports);
}
