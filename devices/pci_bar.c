/* SPDX-License-Identifier: BSD-2-Clause */
/* Base address registers; see devices/pci.h. */
#include "devices/pci.h"

#include <linux/pci_regs.h>

#include "devices/platform.h"

#define PORT_BYTES_MIN 4
#define MEMORY_BYTES_MIN 16

static unsigned int bar_offset(unsigned int index)
{
	return PCI_BASE_ADDRESS_0 + 4 * index;
}

/* The next free place of so many bytes in a window; 0 when there is none. */
static uint32_t take_place(uint32_t *next, uint64_t end, uint64_t bytes)
{
	uint64_t start = ROUND_UP((uint64_t)*next, bytes);

	if (!range_within(start, bytes, end))
		return 0;
	*next = start + bytes;
	return start;
}

int pci_add_bar(struct pci *pci, struct pci_function *function, unsigned int index, bool ports)
{
	struct pci_bar *bar = &function->bars[index];
	uint64_t bytes = bar->region.length;
	uint32_t start;

	if (index >= PCI_BARS || (bytes & (bytes - 1)) ||
		bytes < (ports ? PORT_BYTES_MIN : MEMORY_BYTES_MIN))
		return -EINVAL;
	start = ports ? take_place(&pci->next_port, PCI_BARS_PORTS_END, bytes) :
			take_place(&pci->next_memory, PCI_BARS_MEMORY_END, bytes);
	if (!start)
		return -ENOSPC;
	bar->ports = ports;
	pci_put32(function->config, bar_offset(index),
		start | (ports ? PCI_BASE_ADDRESS_SPACE_IO : 0));
	/* Of a port's address a PC knows 16 bits. */
	pci_put32(function->writable, bar_offset(index), (ports ? 0xffff : ~0U) & ~(bytes - 1));
	pci_put16(function->config, PCI_COMMAND,
		pci_get16(function->config, PCI_COMMAND) |
			(ports ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY));
	return 0;
}

static struct io_bus *bus_of(struct pci_function *function, const struct pci_bar *bar)
{
	struct vm *vm = function->pci->device.vm;

	return bar->ports ? &vm->ports : &vm->mmio;
}

/*
 * Where it should decode. Not while it is being sized, nor at 0, which is how systems write down
 * that it has no place.
 */
static bool wants(const struct pci_function *function, unsigned int index, uint32_t *start)
{
	const struct pci_bar *bar = &function->bars[index];
	uint32_t mask = pci_get32(function->writable, bar_offset(index));

	*start = pci_get32(function->config, bar_offset(index)) & mask;
	return (pci_get16(function->config, PCI_COMMAND) &
		       (bar->ports ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) &&
		*start != 0 && *start != mask;
}

/* RAM and the LAPICs are on no bus; all else the bus itself keeps apart. */
static bool is_forbidden(struct pci_function *function, const struct pci_bar *bar)
{
	uint64_t start = bar->region.start, bytes = bar->region.length;

	if (bar->ports)
		return false;
	return guest_memory_overlaps(&function->pci->device.vm->memory, start, bytes) ||
		(start < LAPIC_DEFAULT_BASE + PAGE_SIZE && LAPIC_DEFAULT_BASE < start + bytes);
}

static void decode(struct pci_function *function, unsigned int index)
{
	struct pci_bar *bar = &function->bars[index];
	uint32_t start;

	if (bar->region.length == 0 || bar->decoded || !wants(function, index, &start))
		return;
	bar->region.start = start;
	if (!is_forbidden(function, bar))
		bar->decoded = io_bus_add(bus_of(function, bar), &bar->region) == 0;
}

static void leave(struct pci_function *function, unsigned int index)
{
	struct pci_bar *bar = &function->bars[index];
	uint32_t start;

	if (!bar->decoded || (wants(function, index, &start) && start == bar->region.start))
		return;
	io_bus_remove(bus_of(function, bar), &bar->region);
	bar->decoded = false;
}

void pci_update_bars(struct pci_function *function)
{
	struct pci *pci = function->pci;

	for (unsigned int i = 0; i < PCI_BARS; i++)
		leave(function, i);
	/* Others may have waited for a place that is free now. */
	for (unsigned int slot = 0; slot < pci->slots_end; slot++) {
		for (unsigned int i = 0; i < PCI_BARS && pci->slots[slot]; i++)
			decode(pci->slots[slot], i);
	}
}
