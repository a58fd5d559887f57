/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts as messages: MSI and MSI-X (PCI Local Bus Specification 3.0, "Message Signaled
 * Interrupts"), with addresses and data as x86 wants them (Intel SDM vol. 3, "Message Signalled
 * Interrupts").
 */
#include "host/pci.h"

#include <linux/pci_regs.h>

#include "host/cpu.h"
#include "host/irq.h"

#define MESSAGE_ADDRESS 0xfee00000U
#define MESSAGE_APIC_SHIFT 12
#define ENTRY_WORDS (PCI_MSIX_ENTRY_SIZE / 4)
/* Fixed delivery, edge: zeroes. 0xff means all CPUs, and there are no bits for more. */
#define LARGEST_APIC_ID 0xfe

struct message {
	uint32_t address, data;
};

/* False: no CPU can be reached. */
static bool choose_address(unsigned int cpu, uint32_t *address)
{
	const struct cpu *target = cpu_by_id(cpu);

	if (!target || target->apic_id > LARGEST_APIC_ID)
		target = NULL;
	for (unsigned int id = 0; !target && id < cpu_count(); id++)
		if (cpu_by_id(id)->apic_id <= LARGEST_APIC_ID)
			target = cpu_by_id(id);
	if (!target)
		return false;
	*address = MESSAGE_ADDRESS | target->apic_id << MESSAGE_APIC_SHIFT;
	return true;
}

static void set_msi(const struct host_pci_device *pci, unsigned int msi,
	const struct message *message)
{
	uint32_t flags = host_pci_read(pci, msi + PCI_MSI_FLAGS, 2);
	unsigned int data = flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32;

	flags &= ~(uint32_t)(PCI_MSI_FLAGS_QSIZE | PCI_MSI_FLAGS_ENABLE);
	host_pci_write(pci, msi + PCI_MSI_FLAGS, 2, flags);
	host_pci_write(pci, msi + PCI_MSI_ADDRESS_LO, 4, message->address);
	if (flags & PCI_MSI_FLAGS_64BIT)
		host_pci_write(pci, msi + PCI_MSI_ADDRESS_HI, 4, 0);
	host_pci_write(pci, msi + data, 2, message->data);
	if (flags & PCI_MSI_FLAGS_MASKBIT)
		host_pci_write(pci, msi + data + 4, 4, 0);
	host_pci_write(pci, msi + PCI_MSI_FLAGS, 2, flags | PCI_MSI_FLAGS_ENABLE);
}

/* The table's first entry; NULL when it has no entry `index`. */
static volatile uint32_t *msix_table(struct host_pci_device *pci, unsigned int msix,
	unsigned int index)
{
	uint32_t last = host_pci_read(pci, msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE;
	uint32_t table = host_pci_read(pci, msix + PCI_MSIX_TABLE, 4);
	uint32_t offset = table & ~(uint32_t)PCI_MSIX_TABLE_BIR;
	uint64_t bytes;
	volatile void *bar;

	if (index > last)
		return NULL;
	bar = host_pci_map_bar(pci, table & PCI_MSIX_TABLE_BIR, &bytes);
	if (!bar || !range_within(offset, (last + 1U) * PCI_MSIX_ENTRY_SIZE, bytes))
		return NULL;
	return (volatile uint32_t *)((volatile uint8_t *)bar + offset);
}

/* The first time: the device uses its table, in which nobody has asked for anything yet. */
static void enable_msix(const struct host_pci_device *pci, unsigned int msix,
	volatile uint32_t *table)
{
	uint32_t flags = host_pci_read(pci, msix + PCI_MSIX_FLAGS, 2);
	unsigned int entries = (flags & PCI_MSIX_FLAGS_QSIZE) + 1;

	if (flags & PCI_MSIX_FLAGS_ENABLE)
		return;
	flags |= PCI_MSIX_FLAGS_ENABLE;
	host_pci_write(pci, msix + PCI_MSIX_FLAGS, 2, flags | PCI_MSIX_FLAGS_MASKALL);
	for (unsigned int i = 0; i < entries; i++)
		table[i * ENTRY_WORDS + PCI_MSIX_ENTRY_VECTOR_CTRL / 4] =
			PCI_MSIX_ENTRY_CTRL_MASKBIT;
	host_pci_write(pci, msix + PCI_MSIX_FLAGS, 2, flags & ~(uint32_t)PCI_MSIX_FLAGS_MASKALL);
}

static void set_msix(const struct host_pci_device *pci, unsigned int msix,
	volatile uint32_t *table, unsigned int index, const struct message *message)
{
	volatile uint32_t *entry = table + index * ENTRY_WORDS;

	/* The table is memory of the device. */
	host_pci_write(pci, PCI_COMMAND, 2,
		host_pci_read(pci, PCI_COMMAND, 2) | PCI_COMMAND_MEMORY);
	enable_msix(pci, msix, table);
	entry[PCI_MSIX_ENTRY_VECTOR_CTRL / 4] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	entry[PCI_MSIX_ENTRY_LOWER_ADDR / 4] = message->address;
	entry[PCI_MSIX_ENTRY_UPPER_ADDR / 4] = 0;
	entry[PCI_MSIX_ENTRY_DATA / 4] = message->data;
	entry[PCI_MSIX_ENTRY_VECTOR_CTRL / 4] = 0;
}

int host_pci_attach_interrupt(struct host_pci_device *pci, unsigned int index, unsigned int cpu,
	void (*handler)(void *argument), void *argument)
{
	unsigned int msix = host_pci_find_capability(pci, PCI_CAP_ID_MSIX);
	unsigned int msi = host_pci_find_capability(pci, PCI_CAP_ID_MSI);
	volatile uint32_t *table = msix ? msix_table(pci, msix, index) : NULL;
	struct message message;
	int vector;

	if ((!table && (!msi || index)) || !choose_address(cpu, &message.address))
		return -ENOTSUP;
	vector = irq_register_message(handler, argument);
	if (vector < 0)
		return vector;
	message.data = (uint32_t)vector;
	if (table)
		set_msix(pci, msix, table, index, &message);
	else
		set_msi(pci, msi, &message);
	return 0;
}
