/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X; see devices/pci_msix.h. */
#include "devices/pci_msix.h"

#include <linux/pci_regs.h>

#include "lib/string.h"
#include "vcpu/lapic.h"

/* Intel SDM vol. 3, "Message Address Register Format" and "Message Data Register Format". */
#define MSI_ADDRESS_BASE 0xfee00000ULL
#define MSI_ADDRESS_MASK 0xfffffffffff00000ULL
#define MSI_ADDRESS_DESTINATION(address) ((address) >> 12 & 0xff)
#define MSI_ADDRESS_LOGICAL BIT(2)
#define MSI_DATA_DELIVERY(data) ((data) >> 8 & 7)
#define MSI_DATA_ASSERT BIT(14)
#define MSI_DATA_LEVEL BIT(15)

int pci_msix_init(struct pci_msix *msix, struct pci_function *function, unsigned int count,
	unsigned int bar, uint32_t table, uint32_t pending)
{
	unsigned int at;

	if (count == 0 || count > PCI_MSIX_VECTORS)
		return -EINVAL;
	at = pci_add_capability(function, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
	if (!at)
		return -ENOSPC;
	msix->function = function;
	msix->count = count;
	msix->capability = at;
	pci_put16(function->config, at + PCI_MSIX_FLAGS, count - 1);
	pci_put16(function->writable, at + PCI_MSIX_FLAGS,
		PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_put32(function->config, at + PCI_MSIX_TABLE, table | bar);
	pci_put32(function->config, at + PCI_MSIX_PBA, pending | bar);
	pci_msix_reset(msix);
	return 0;
}

void pci_msix_reset(struct pci_msix *msix)
{
	memset(msix->table, 0, sizeof(msix->table));
	for (unsigned int i = 0; i < msix->count; i++)
		msix->table[i].control = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	msix->pending = 0;
}

static uint16_t flags(const struct pci_msix *msix)
{
	return pci_get16(msix->function->config, msix->capability + PCI_MSIX_FLAGS);
}

bool pci_msix_enabled(const struct pci_msix *msix)
{
	return flags(msix) & PCI_MSIX_FLAGS_ENABLE;
}

static bool is_masked(const struct pci_msix *msix, unsigned int vector)
{
	return (flags(msix) & PCI_MSIX_FLAGS_MASKALL) ||
		(msix->table[vector].control & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

/* A message is a write to memory; only those to the LAPICs go anywhere. */
static void deliver(struct pci_msix *msix, const struct pci_msix_entry *entry)
{
	struct apic_message message = {
		.destination = MSI_ADDRESS_DESTINATION(entry->address),
		.logical = entry->address & MSI_ADDRESS_LOGICAL,
		.level = entry->data & MSI_DATA_LEVEL,
		.assert = entry->data & MSI_DATA_ASSERT,
		.delivery = MSI_DATA_DELIVERY(entry->data),
		.vector = entry->data,
	};

	if ((entry->address & MSI_ADDRESS_MASK) == MSI_ADDRESS_BASE)
		lapic_deliver(msix->function->pci->device.vm, &message);
}

void pci_msix_send(struct pci_msix *msix, unsigned int vector)
{
	if (vector >= msix->count || !pci_msix_enabled(msix))
		return;
	if (is_masked(msix, vector))
		msix->pending |= BIT(vector);
	else
		deliver(msix, &msix->table[vector]);
}

static void send_pending(struct pci_msix *msix, unsigned int vector)
{
	if (!(msix->pending & BIT(vector)) || !pci_msix_enabled(msix) || is_masked(msix, vector))
		return;
	msix->pending &= ~BIT(vector);
	deliver(msix, &msix->table[vector]);
}

void pci_msix_written(struct pci_msix *msix, unsigned int offset, unsigned int size)
{
	unsigned int upper = msix->capability + PCI_MSIX_FLAGS + 1;

	if (offset > upper || offset + size <= upper)
		return;
	for (unsigned int i = 0; i < msix->count && msix->pending; i++)
		send_pending(msix, i);
}

/* A double word of the table. */
static uint32_t table_word(const struct pci_msix *msix, uint64_t offset)
{
	const struct pci_msix_entry *entry = &msix->table[offset / PCI_MSIX_ENTRY_SIZE];

	switch (offset % PCI_MSIX_ENTRY_SIZE) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		return entry->address;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		return entry->address >> 32;
	case PCI_MSIX_ENTRY_DATA:
		return entry->data;
	default:
		return entry->control;
	}
}

uint32_t pci_msix_read_table(const struct pci_msix *msix, uint64_t offset, unsigned int size)
{
	if (!range_within(offset, size, msix->count * PCI_MSIX_ENTRY_SIZE))
		return 0;
	return table_word(msix, offset & ~3ULL) >> (8 * (offset & 3));
}

/* Only whole aligned double words are defined; others change nothing. */
void pci_msix_write_table(
	struct pci_msix *msix, uint64_t offset, unsigned int size, uint32_t value)
{
	unsigned int vector = offset / PCI_MSIX_ENTRY_SIZE;
	struct pci_msix_entry *entry;

	if (size != 4 || (offset & 3) || vector >= msix->count)
		return;
	entry = &msix->table[vector];
	switch (offset % PCI_MSIX_ENTRY_SIZE) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		entry->address = (entry->address & ~0xffffffffULL) | (value & ~3U);
		break;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		entry->address = (uint32_t)entry->address | (uint64_t)value << 32;
		break;
	case PCI_MSIX_ENTRY_DATA:
		entry->data = value;
		break;
	case PCI_MSIX_ENTRY_VECTOR_CTRL:
		entry->control = value & PCI_MSIX_ENTRY_CTRL_MASKBIT;
		send_pending(msix, vector);
		break;
	}
}

uint32_t pci_msix_read_pending(const struct pci_msix *msix, uint64_t offset, unsigned int size)
{
	(void)size;
	return offset < sizeof(msix->pending) ? msix->pending >> (8 * offset) : 0;
}
