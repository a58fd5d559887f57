/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/pci_config.h"

#include <linux/pci_regs.h>

#include "host/log.h"
#include "host/machine.h"
#include "host/pci.h"
#include "host/x86.h"

#define BUS_BYTES MIB(1)
#define FUNCTION_BYTES KIB(4)
/* The host's own page tables map 1:1 with four levels, the lower half of them. */
#define MAPPABLE_BITS 47

static struct acpi_ecam ecams[ACPI_MAX_ECAMS]; /* [I] those that are mapped */
static size_t ecam_count;                      /* [I] */
static bool has_ports;                         /* [I] */

bool pci_is_device_memory(uint64_t start, uint64_t bytes)
{
	unsigned int bits = cpuid(0x80000008, 0).eax & 0xff;

	if (!start || !bytes || !range_within(start, bytes, BIT(MIN(bits, MAPPABLE_BITS))))
		return false;
	for (size_t i = 0; i < machine.mapping_count; i++) {
		const struct machine_mapping *mapping = &machine.mappings[i];

		if (mapping->kind != MAPPING_RUNTIME_MMIO &&
			start < mapping->range.start + mapping->range.bytes &&
			mapping->range.start < start + bytes)
			return false;
	}
	return true;
}

/* Move instructions that name EAX are the only ones that AMD's family 10h takes there. */
static uint32_t ecam_read(hpa_t address, unsigned int size)
{
	uint32_t value;

	if (size == 1)
		__asm__ volatile("movb (%1), %b0\n\tmovzbl %b0, %0"
			: "=&a"(value) : "r"(address) : "memory");
	else if (size == 2)
		__asm__ volatile("movw (%1), %w0\n\tmovzwl %w0, %0"
			: "=&a"(value) : "r"(address) : "memory");
	else
		__asm__ volatile("movl (%1), %0" : "=a"(value) : "r"(address) : "memory");
	return value;
}

static void ecam_write(hpa_t address, unsigned int size, uint32_t value)
{
	if (size == 1)
		__asm__ volatile("movb %b0, (%1)" : : "a"(value), "r"(address) : "memory");
	else if (size == 2)
		__asm__ volatile("movw %w0, (%1)" : : "a"(value), "r"(address) : "memory");
	else
		__asm__ volatile("movl %0, (%1)" : : "a"(value), "r"(address) : "memory");
}

/* Where the register is in memory; 0: by ports alone. */
static hpa_t ecam_address(const struct host_pci_device *pci, unsigned int offset)
{
	for (size_t i = 0; i < ecam_count; i++)
		if (ecams[i].segment == pci->segment && pci->bus >= ecams[i].first_bus &&
			pci->bus <= ecams[i].last_bus)
			return ecams[i].address + pci->bus * BUS_BYTES +
				pci->devfn * FUNCTION_BYTES + offset;
	return 0;
}

static bool by_ports(const struct host_pci_device *pci, unsigned int offset)
{
	return has_ports && pci->segment == 0 && offset < PCI_CFG_SPACE_SIZE;
}

uint32_t host_pci_read(const struct host_pci_device *pci, unsigned int offset, unsigned int size)
{
	hpa_t address = offset < PCI_CFG_SPACE_EXP_SIZE ? ecam_address(pci, offset) : 0;

	if (address)
		return ecam_read(address, size);
	if (by_ports(pci, offset))
		return pci_ports_read(pci->bus, pci->devfn, offset, size);
	return (uint32_t)byte_mask(size);
}

void host_pci_write(const struct host_pci_device *pci, unsigned int offset, unsigned int size,
	uint32_t value)
{
	hpa_t address = offset < PCI_CFG_SPACE_EXP_SIZE ? ecam_address(pci, offset) : 0;

	if (address)
		ecam_write(address, size, value);
	else if (by_ports(pci, offset))
		pci_ports_write(pci->bus, pci->devfn, offset, size, value);
}

/* A table that is wrong would have us write anywhere: the host bridge must be seen through it. */
static bool ecam_agrees(const struct acpi_ecam *ecam)
{
	uint64_t start = ecam->address + ecam->first_bus * BUS_BYTES;

	return !has_ports || ecam->segment != 0 ||
		ecam_read(start, 4) == pci_ports_read(ecam->first_bus, 0, PCI_VENDOR_ID, 4);
}

static void add_ecam(const struct acpi_ecam *ecam)
{
	uint64_t bytes = (ecam->last_bus - ecam->first_bus + 1U) * BUS_BYTES;
	uint64_t start;

	if (!IS_ALIGNED(ecam->address, BUS_BYTES) ||
		add_overflows(ecam->address, ecam->first_bus * BUS_BYTES, &start) ||
		!pci_is_device_memory(start, bytes) || mmu_map_device(start, bytes) ||
		!ecam_agrees(ecam)) {
		log_note("pci: ECAM at 0x%lx for segment %u is not usable", ecam->address,
			ecam->segment);
		return;
	}
	ecams[ecam_count++] = *ecam;
}

void pci_config_init(void)
{
	has_ports = pci_ports_present();
	ecam_count = 0;
	for (size_t i = 0; i < machine.acpi.ecam_count; i++)
		add_ecam(&machine.acpi.ecams[i]);
}

uint32_t pci_config_present(uint16_t segment, uint8_t bus, unsigned int slots)
{
	struct host_pci_device first = { .segment = segment, .bus = bus };
	hpa_t address = ecam_address(&first, PCI_VENDOR_ID);
	uint32_t present = 0;

	if (!address && !by_ports(&first, PCI_VENDOR_ID))
		return 0;
	for (unsigned int slot = 0; slot < slots; slot++) {
		unsigned int devfn = slot << 3;
		uint32_t id = address ? ecam_read(address + devfn * FUNCTION_BYTES, 4) :
			pci_ports_read(bus, (uint8_t)devfn, PCI_VENDOR_ID, 4);

		if ((id & 0xffff) != 0xffff)
			present |= 1U << slot;
	}
	return present;
}

bool pci_config_buses(size_t index, struct pci_buses *buses)
{
	if (index < ecam_count) {
		*buses = (struct pci_buses){ ecams[index].segment, ecams[index].first_bus,
			ecams[index].last_bus };
		return true;
	}
	*buses = (struct pci_buses){ 0, 0, 0xff };
	return index == 0 && has_ports;
}

const char *pci_config_way(void)
{
	return ecam_count ? "ECAM" : has_ports ? "mechanism #1" : "no way";
}
