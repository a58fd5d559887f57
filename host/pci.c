/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discovery. Buses are looked at in the order of their numbers, each once, so bridges that are
 * programmed into a loop make none here. A bus is skipped only where bridges say that nobody has
 * it: a server has several root buses in one segment, which only its AML would name.
 */
#include "host/pci.h"

#include <linux/pci_regs.h>

#include "host/clock.h"
#include "host/log.h"
#include "host/memory.h"
#include "host/pci_config.h"
#include "lib/string.h"

#define BUSES 256
#define SLOTS 32
#define FUNCTIONS 8
#define CAPABILITIES_MAX ((PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / 4)

#define BASE_CLASS_NETWORK 0x02
#define BASE_CLASS_BRIDGE 0x06
#define BASE_CLASS_SYSTEM 0x08
#define BASE_CLASS_WIRELESS 0x0d
#define BASE_CLASS_MEASURING 0x11

#define D3_TO_D0_NS (10 * NS_PER_MS)

enum bus_state {
	BUS_UNKNOWN = 0,
	BUS_NOBODYS,  /* within what a bridge forwards, but no bridge's own second bus */
	BUS_SECOND,   /* behind a bridge */
	BUS_LINK,     /* behind a PCI Express port: one device, 0 */
};

static struct host_pci_device *devices; /* [I] */
static size_t device_count, left_out;   /* [I] */

size_t host_pci_count(void)
{
	return device_count;
}

struct host_pci_device *host_pci_at(size_t index)
{
	return index < device_count ? &devices[index] : NULL;
}

/* `at`: where the list goes on. As many as there is room for: a list in a loop ends, too. */
static unsigned int search(const struct host_pci_device *pci, uint8_t id, unsigned int at)
{
	for (unsigned int i = 0; i < CAPABILITIES_MAX; i++) {
		at &= ~3U;
		if (at < PCI_STD_HEADER_SIZEOF)
			return 0;
		if (host_pci_read(pci, at + PCI_CAP_LIST_ID, 1) == id)
			return at;
		at = host_pci_read(pci, at + PCI_CAP_LIST_NEXT, 1);
	}
	return 0;
}

unsigned int host_pci_find_capability(const struct host_pci_device *pci, uint8_t id)
{
	if (!(host_pci_read(pci, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return 0;
	return search(pci, id, host_pci_read(pci, PCI_CAPABILITY_LIST, 1));
}

unsigned int host_pci_next_capability(const struct host_pci_device *pci, uint8_t id,
	unsigned int after)
{
	return search(pci, id, host_pci_read(pci, after + PCI_CAP_LIST_NEXT, 1));
}

/* Does the bridge lead to a PCI Express link? Some devices there answer to all 32 numbers. */
static bool leads_to_link(const struct host_pci_device *bridge)
{
	unsigned int express = host_pci_find_capability(bridge, PCI_CAP_ID_EXP);
	unsigned int type;

	if (!express)
		return false;
	type = host_pci_read(bridge, express + PCI_EXP_FLAGS, 2) & PCI_EXP_FLAGS_TYPE;
	return type == PCI_EXP_TYPE_ROOT_PORT << 4 || type == PCI_EXP_TYPE_DOWNSTREAM << 4;
}

static void note_bridge(const struct host_pci_device *bridge, uint8_t *buses)
{
	unsigned int second = host_pci_read(bridge, PCI_SECONDARY_BUS, 1);
	unsigned int last = host_pci_read(bridge, PCI_SUBORDINATE_BUS, 1);

	/* Firmware counts on as it goes down; a bridge it did not set up leads nowhere. */
	if (second <= bridge->bus || last < second)
		return;
	for (unsigned int bus = second + 1; bus <= last; bus++)
		if (buses[bus] == BUS_UNKNOWN)
			buses[bus] = BUS_NOBODYS;
	buses[second] = leads_to_link(bridge) ? BUS_LINK : BUS_SECOND;
}

/* What no driver wants; big servers have hundreds of these. */
static bool is_furniture(uint32_t class_code)
{
	uint32_t base = class_code >> 16;

	return base == BASE_CLASS_BRIDGE || base == BASE_CLASS_SYSTEM ||
		base == BASE_CLASS_MEASURING;
}

static void silence(const struct host_pci_device *pci)
{
	uint32_t command = host_pci_read(pci, PCI_COMMAND, 2);
	unsigned int msi = host_pci_find_capability(pci, PCI_CAP_ID_MSI);
	unsigned int msix = host_pci_find_capability(pci, PCI_CAP_ID_MSIX);
	uint32_t base = pci->class_code >> 16;

	command |= PCI_COMMAND_INTX_DISABLE;
	if (base == BASE_CLASS_NETWORK || base == BASE_CLASS_WIRELESS)
		command &= ~(uint32_t)PCI_COMMAND_MASTER;
	host_pci_write(pci, PCI_COMMAND, 2, command);
	if (msi)
		host_pci_write(pci, msi + PCI_MSI_FLAGS, 2,
			host_pci_read(pci, msi + PCI_MSI_FLAGS, 2) & ~PCI_MSI_FLAGS_ENABLE);
	if (msix)
		host_pci_write(pci, msix + PCI_MSIX_FLAGS, 2,
			host_pci_read(pci, msix + PCI_MSIX_FLAGS, 2) & ~PCI_MSIX_FLAGS_ENABLE);
}

static void keep(const struct host_pci_device *found)
{
	uint32_t command = host_pci_read(found, PCI_COMMAND, 2);

	if (device_count == HOST_PCI_DEVICES) {
		left_out++;
		return;
	}
	silence(found);
	devices[device_count++] = *found;
	log_note("pci %04x:%02x:%02x.%u: %04x:%04x, class %06x%s", found->segment, found->bus,
		found->devfn >> 3, found->devfn & 7, found->vendor, found->device,
		found->class_code, command & PCI_COMMAND_MASTER ? ", the firmware used it" : "");
}

/* False: there is no function. `many`: the device has more than this one. */
static bool look(uint16_t segment, uint8_t bus, uint8_t devfn, uint8_t *buses, bool *many)
{
	struct host_pci_device found = { .segment = segment, .bus = bus, .devfn = devfn };
	uint32_t id = host_pci_read(&found, PCI_VENDOR_ID, 4), class_code, header;

	if ((id & 0xffff) == 0xffff || (id & 0xffff) == 0)
		return false;
	class_code = host_pci_read(&found, PCI_CLASS_REVISION, 4);
	header = host_pci_read(&found, PCI_HEADER_TYPE, 1);
	found.vendor = (uint16_t)id;
	found.device = (uint16_t)(id >> 16);
	found.class_code = class_code >> 8;
	found.revision = (uint8_t)class_code;
	*many = header & 0x80;
	if ((header & 0x7f) == PCI_HEADER_TYPE_BRIDGE)
		note_bridge(&found, buses);
	else if ((header & 0x7f) == PCI_HEADER_TYPE_NORMAL && !is_furniture(found.class_code))
		keep(&found);
	return true;
}

static void look_at_bus(uint16_t segment, uint8_t bus, uint8_t *buses)
{
	uint32_t present = pci_config_present(segment, bus, buses[bus] == BUS_LINK ? 1 : SLOTS);
	bool many, ignored;

	for (; present; present &= present - 1) {
		unsigned int slot = (unsigned int)__builtin_ctz(present);

		if (!look(segment, bus, (uint8_t)(slot << 3), buses, &many) || !many)
			continue;
		for (unsigned int function = 1; function < FUNCTIONS; function++)
			look(segment, bus, (uint8_t)(slot << 3 | function), buses, &ignored);
	}
}

static void look_at_buses(const struct pci_buses *range)
{
	uint8_t states[BUSES] = { 0 };

	for (unsigned int bus = range->first; bus <= range->last; bus++)
		if (states[bus] != BUS_NOBODYS)
			look_at_bus(range->segment, (uint8_t)bus, states);
}

void host_pci_init(void)
{
	struct pci_buses range;

	devices = heap_alloc(HOST_PCI_DEVICES * sizeof(*devices), FRAME_HOST);
	device_count = left_out = 0;
	if (!devices) {
		log_line("no memory for PCI devices: there are none");
		return;
	}
	pci_config_init();
	for (size_t i = 0; pci_config_buses(i, &range); i++)
		look_at_buses(&range);
	log_note("pci: %zu found, by %s", device_count, pci_config_way());
	if (left_out)
		log_line("pci: %zu devices more than %d are left out", left_out, HOST_PCI_DEVICES);
}

/* Registers may lose what the firmware wrote there when a device leaves D3hot. */
static void wake(const struct host_pci_device *pci)
{
	unsigned int power = host_pci_find_capability(pci, PCI_CAP_ID_PM);
	uint32_t state, header[PCI_STD_HEADER_SIZEOF / 4];

	if (!power)
		return;
	state = host_pci_read(pci, power + PCI_PM_CTRL, 2);
	if (!(state & PCI_PM_CTRL_STATE_MASK))
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(header); i++)
		header[i] = host_pci_read(pci, i * 4, 4);
	host_pci_write(pci, power + PCI_PM_CTRL, 2,
		state & ~(uint32_t)(PCI_PM_CTRL_STATE_MASK | PCI_PM_CTRL_PME_STATUS));
	clock_wait(D3_TO_D0_NS);
	for (unsigned int i = PCI_BASE_ADDRESS_0 / 4; i <= PCI_BASE_ADDRESS_5 / 4; i++)
		host_pci_write(pci, i * 4, 4, header[i]);
	host_pci_write(pci, PCI_CACHE_LINE_SIZE, 2,
		header[PCI_CACHE_LINE_SIZE / 4] & 0xffff);
}

void host_pci_decode(const struct host_pci_device *pci)
{
	wake(pci);
	host_pci_write(pci, PCI_COMMAND, 2, host_pci_read(pci, PCI_COMMAND, 2) |
		PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
}

void host_pci_enable(const struct host_pci_device *pci)
{
	host_pci_decode(pci);
	host_pci_write(pci, PCI_COMMAND, 2,
		host_pci_read(pci, PCI_COMMAND, 2) | PCI_COMMAND_MASTER);
}

void host_pci_disable(const struct host_pci_device *pci)
{
	host_pci_write(pci, PCI_COMMAND, 2,
		host_pci_read(pci, PCI_COMMAND, 2) & ~(uint32_t)PCI_COMMAND_MASTER);
}
