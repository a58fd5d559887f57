/* SPDX-License-Identifier: BSD-2-Clause */
/* IOAPIC: two indirect registers and a table of redirection entries (Intel 82093AA data sheet). */
#include "host/ioapic.h"

#include "host/log.h"
#include "host/machine.h"

#define IOAPIC_CUSTOMARY 0xfec00000ULL
#define IOAPIC_VERSION 1
#define IOAPIC_ENTRY(pin) (0x10 + 2 * (pin))
#define ENTRY_MASKED BIT(16)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_ACTIVE_LOW BIT(13)

struct ioapic {
	volatile uint32_t *registers;
	uint32_t gsi_base;
	uint32_t pins;
};

static struct ioapic ioapics[ACPI_MAX_IOAPICS];
static size_t ioapic_count;

static uint32_t ioapic_read(const struct ioapic *ioapic, uint32_t index)
{
	ioapic->registers[0] = index;
	return ioapic->registers[4];
}

static void ioapic_write(const struct ioapic *ioapic, uint32_t index, uint32_t value)
{
	ioapic->registers[0] = index;
	ioapic->registers[4] = value;
}

static void add(hpa_t address, uint32_t gsi_base)
{
	struct ioapic *ioapic = &ioapics[ioapic_count];
	uint32_t version;

	if (mmu_map_device(address, PAGE_SIZE))
		return;
	ioapic->registers = host_ptr(address);
	ioapic->gsi_base = gsi_base;
	version = ioapic_read(ioapic, IOAPIC_VERSION);
	ioapic->pins = (version >> 16 & 0xff) + 1;
	/* Nothing there answers with all ones, or all zeroes: a real one has a version and pins. */
	if (version == 0xffffffff || (version & 0xff) == 0 || ioapic->pins < 2) {
		log_note("no IOAPIC at 0x%lx", address);
		return;
	}
	ioapic_count++;
	for (uint32_t pin = 0; pin < ioapic->pins; pin++) {
		ioapic_write(ioapic, IOAPIC_ENTRY(pin), ENTRY_MASKED);
		ioapic_write(ioapic, IOAPIC_ENTRY(pin) + 1, 0);
	}
}

void ioapic_init(void)
{
	if (!machine.acpi.present) {
		add(IOAPIC_CUSTOMARY, 0);
		return;
	}
	for (size_t i = 0; i < machine.acpi.ioapic_count; i++)
		add(machine.acpi.ioapics[i].address, machine.acpi.ioapics[i].gsi_base);
}

int ioapic_route(uint32_t gsi, bool active_low, bool level, uint32_t apic_id, uint8_t vector)
{
	for (size_t i = 0; i < ioapic_count; i++) {
		const struct ioapic *ioapic = &ioapics[i];
		uint32_t pin = gsi - ioapic->gsi_base;

		if (gsi < ioapic->gsi_base || pin >= ioapic->pins)
			continue;
		if (apic_id > 0xff) /* physical destinations have 8 bits without remapping */
			return -ENODEV;
		ioapic_write(ioapic, IOAPIC_ENTRY(pin) + 1, apic_id << 24);
		ioapic_write(ioapic, IOAPIC_ENTRY(pin),
			(uint32_t)((level ? ENTRY_LEVEL : 0) | (active_low ? ENTRY_ACTIVE_LOW : 0) |
				vector));
		return 0;
	}
	return -ENODEV;
}
