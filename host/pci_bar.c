/* SPDX-License-Identifier: BSD-2-Clause */
/* Base address registers (PCI Local Bus Specification 3.0, "Base Addresses"). */
#include "host/pci.h"

#include <linux/pci_regs.h>

#include "host/log.h"
#include "host/memory.h"
#include "host/pci_config.h"

struct bar {
	uint64_t start, mask; /* mask: which bits of the address can be written */
};

static uint32_t probe(const struct host_pci_device *pci, unsigned int offset)
{
	uint32_t old = host_pci_read(pci, offset, 4), mask;

	host_pci_write(pci, offset, 4, 0xffffffff);
	mask = host_pci_read(pci, offset, 4);
	host_pci_write(pci, offset, 4, old);
	return mask;
}

/* False: there is no such memory BAR. */
static bool read_bar(const struct host_pci_device *pci, unsigned int index, struct bar *bar)
{
	unsigned int offset = PCI_BASE_ADDRESS_0 + 4 * index;
	uint32_t low = host_pci_read(pci, offset, 4), type = low & PCI_BASE_ADDRESS_MEM_TYPE_MASK;

	if ((low & PCI_BASE_ADDRESS_SPACE_IO) ||
		(type != PCI_BASE_ADDRESS_MEM_TYPE_32 && type != PCI_BASE_ADDRESS_MEM_TYPE_64))
		return false;
	bar->start = low & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
	bar->mask = probe(pci, offset) & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
	if (type == PCI_BASE_ADDRESS_MEM_TYPE_32)
		return true;
	if (index + 1 >= HOST_PCI_BARS)
		return false;
	bar->start |= (uint64_t)host_pci_read(pci, offset + 4, 4) << 32;
	bar->mask |= (uint64_t)probe(pci, offset + 4) << 32;
	return true;
}

/* The size is the lowest bit of the address that can be written. 0: none can. */
static uint64_t bar_bytes(const struct bar *bar)
{
	return bar->mask & -bar->mask;
}

volatile void *host_pci_map_bar(struct host_pci_device *pci, unsigned int index, uint64_t *bytes)
{
	uint32_t command = host_pci_read(pci, PCI_COMMAND, 2);
	struct bar bar;
	bool found;

	if (index >= HOST_PCI_BARS)
		return NULL;
	if (!pci->bars[index].bytes) {
		/* All ones would be an address, too: the device must not answer there. */
		host_pci_write(pci, PCI_COMMAND, 2,
			command & ~(uint32_t)(PCI_COMMAND_MEMORY | PCI_COMMAND_IO));
		found = read_bar(pci, index, &bar);
		host_pci_write(pci, PCI_COMMAND, 2, command);
		if (!found || !pci_is_device_memory(bar.start, bar_bytes(&bar)) ||
			mmu_map_device(bar.start, bar_bytes(&bar)))
			return NULL;
		pci->bars[index].start = bar.start;
		pci->bars[index].bytes = bar_bytes(&bar);
	}
	*bytes = pci->bars[index].bytes;
	return host_ptr(pci->bars[index].start);
}
