/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI functions, configuration space, interrupt pins, the host bridge; see devices/pci.h. */
#include "devices/pci.h"

#include <linux/pci_regs.h>

#include "devices/acpi_pm.h"
#include "devices/platform.h"
#include "devices/reset.h"
#include "host/memory.h"
#include "lib/string.h"

#define ADDRESS_ENABLE BIT(31)
#define ADDRESS_WRITABLE 0x80fffffcU
#define DATA_OFFSET (PORT_PCI_DATA - PORT_PCI_ADDRESS)
#define RESET_OFFSET (PORT_RESET_CONTROL - PORT_PCI_ADDRESS)

/* Of an ECAM address: which function, which of its 4096 bytes. */
#define ECAM_DEVFN(offset) ((offset) >> 12)
#define ECAM_REGISTER(offset) ((offset) & 0xfff)

#define FIRST_CAPABILITY 0x40
#define PIN_A 1

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
	struct pci_function *function = pci->slots[devfn >> 3];

	return function && function->devfn == devfn ? function : NULL;
}

void pci_function_init(struct pci_function *function, const struct pci_identity *identity)
{
	uint8_t *config = function->config;

	memset(config, 0, PCI_CONFIG_BYTES);
	memset(function->writable, 0, PCI_CONFIG_BYTES);
	memset(function->write_clears, 0, PCI_CONFIG_BYTES);
	function->devfn = PCI_ANY_SLOT;
	function->last_capability = 0;
	function->capabilities_end = FIRST_CAPABILITY;
	pci_put16(config, PCI_VENDOR_ID, identity->vendor);
	pci_put16(config, PCI_DEVICE_ID, identity->device);
	pci_put32(config, PCI_CLASS_REVISION, identity->class_code << 8 | identity->revision);
	pci_put16(config, PCI_SUBSYSTEM_VENDOR_ID, identity->subsystem_vendor);
	pci_put16(config, PCI_SUBSYSTEM_ID, identity->subsystem);
	config[PCI_INTERRUPT_PIN] = PIN_A;
	pci_put16(function->writable, PCI_COMMAND,
		PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
			PCI_COMMAND_INTX_DISABLE);
	function->writable[PCI_INTERRUPT_LINE] = 0xff;
	function->writable[PCI_CACHE_LINE_SIZE] = 0xff;
}

unsigned int pci_add_capability(struct pci_function *function, uint8_t id, unsigned int bytes)
{
	unsigned int at = function->capabilities_end;
	unsigned int before = function->last_capability;

	if (bytes < 2 || at + ROUND_UP(bytes, 4) > PCI_CONFIG_BYTES)
		return 0;
	function->config[at] = id;
	function->config[before ? before + PCI_CAP_LIST_NEXT : PCI_CAPABILITY_LIST] = at;
	function->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	function->last_capability = at;
	function->capabilities_end = at + ROUND_UP(bytes, 4);
	return at;
}

static int find_slot(const struct pci *pci, uint8_t *devfn)
{
	for (unsigned int slot = 1; slot < PCI_SLOTS; slot++) {
		*devfn = slot << 3;
		if (!pci->slots[slot])
			return 0;
	}
	return -ENOSPC;
}

/* Slots take the two lines in turn. */
static unsigned int line_of(const struct pci_function *function)
{
	return (function->devfn >> 3) % 2;
}

int pci_add(struct pci *pci, struct pci_function *function)
{
	if (function->devfn == PCI_ANY_SLOT && find_slot(pci, &function->devfn))
		return -ENOSPC;
	if (pci->slots[function->devfn >> 3])
		return -EEXIST;
	/* For systems that do not read the DSDT. */
	if (function->config[PCI_INTERRUPT_PIN])
		function->config[PCI_INTERRUPT_LINE] =
			line_of(function) ? IRQ_PCI_B : IRQ_PCI_A;
	memcpy(function->initial, function->config, PCI_CONFIG_BYTES);
	function->pci = pci;
	pci->slots[function->devfn >> 3] = function;
	pci->slots_end = MAX(pci->slots_end, (unsigned int)(function->devfn >> 3) + 1);
	pci_update_bars(function);
	if (pci->device.vm->state == VM_RUNNING)
		acpi_pm_raise(pci->acpi, ACPI_GPE_PCI);
	return 0;
}

static bool asserts(const struct pci_function *function, unsigned int line)
{
	return function && function->intx && line_of(function) == line &&
		!(pci_get16(function->config, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE);
}

/* A line is asserted while one of its functions asserts it. */
static void update_line(struct pci *pci, unsigned int line)
{
	bool level = false;

	for (unsigned int slot = 0; slot < pci->slots_end && !level; slot++)
		level = asserts(pci->slots[slot], line);
	if (level == pci->line_level[line])
		return;
	pci->line_level[line] = level;
	vm_set_irq(pci->device.vm, line ? IRQ_PCI_B : IRQ_PCI_A, level);
}

void pci_set_intx(struct pci_function *function, bool level)
{
	if (function->intx == level)
		return;
	function->intx = level;
	/* It says what the device wants, masked or not. */
	if (level)
		function->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	else
		function->config[PCI_STATUS] &= ~PCI_STATUS_INTERRUPT;
	update_line(function->pci, line_of(function));
}

void pci_function_reset(struct pci_function *function)
{
	pci_set_intx(function, false);
	memcpy(function->config, function->initial, PCI_CONFIG_BYTES);
	pci_update_bars(function);
}

/* `at` and `size` lie within one aligned double word of the first 256 bytes. */
static uint32_t config_read(struct pci_function *function, unsigned int at, unsigned int size)
{
	uint32_t value = 0;

	if (function->reading)
		function->reading(function, at, size);
	if (likely(size == 4))
		return pci_get32(function->config, at);
	for (unsigned int i = 0; i < size; i++)
		value |= (uint32_t)function->config[at + i] << (8 * i);
	return value;
}

static void config_write(
	struct pci_function *function, unsigned int at, unsigned int size, uint32_t value)
{
	for (unsigned int i = 0; i < size; i++) {
		uint8_t written = value >> (8 * i), mask = function->writable[at + i];
		uint8_t *config = &function->config[at + i];

		*config = (*config & ~mask) | (written & mask);
		*config &= ~(written & function->write_clears[at + i]);
	}
	if (at < PCI_BASE_ADDRESS_0 + 4 * PCI_BARS) {
		pci_update_bars(function);
		update_line(function->pci, line_of(function));
	}
	if (function->written)
		function->written(function, at, size);
}

/* The function that the address register selects, or NULL: none, or the register is not enabled. */
static struct pci_function *selected(const struct pci *pci)
{
	uint8_t bus = pci->address >> 16;

	if (!(pci->address & ADDRESS_ENABLE) || bus != 0)
		return NULL;
	return find(pci, pci->address >> 8);
}

/* Only a whole double word reaches the address register; bytes go to what else is there. */
static uint64_t pci_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct pci *pci = container_of(region, struct pci, ports);
	struct pci_function *function;

	if (offset == 0 && size == 4)
		return pci->address;
	if (offset == RESET_OFFSET && size == 1)
		return reset_read_control(pci->reset);
	/* An access may not run from one port into the other, nor beyond its double word. */
	if (offset < DATA_OFFSET)
		return ~0ULL;
	function = selected(pci);
	if (!function)
		return ~0ULL;
	return config_read(function, (pci->address & 0xfc) + offset - DATA_OFFSET, size);
}

static void pci_write(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pci *pci = container_of(region, struct pci, ports);
	struct pci_function *function;

	if (offset == 0 && size == 4) {
		pci->address = value & ADDRESS_WRITABLE;
		return;
	}
	if (offset == RESET_OFFSET && size == 1) {
		reset_write_control(pci->reset, value);
		return;
	}
	function = offset >= DATA_OFFSET ? selected(pci) : NULL;
	if (function)
		config_write(function, (pci->address & 0xfc) + offset - DATA_OFFSET, size, value);
}

/* Beyond the 256 bytes that everybody has a function has nothing: reads give 0. */
static uint64_t ecam_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct pci *pci = container_of(region, struct pci, ecam);
	struct pci_function *function = find(pci, ECAM_DEVFN(offset));

	if (!function || (offset & 3) + size > 4)
		return ~0ULL;
	if (ECAM_REGISTER(offset) >= PCI_CONFIG_BYTES)
		return 0;
	return config_read(function, ECAM_REGISTER(offset), size);
}

static void ecam_write(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pci *pci = container_of(region, struct pci, ecam);
	struct pci_function *function = find(pci, ECAM_DEVFN(offset));

	if (function && (offset & 3) + size <= 4 && ECAM_REGISTER(offset) < PCI_CONFIG_BYTES)
		config_write(function, ECAM_REGISTER(offset), size, value);
}

static void init_host_bridge(struct pci_function *bridge)
{
	bridge->devfn = 0;
	pci_put16(bridge->config, PCI_VENDOR_ID, HOST_BRIDGE_VENDOR);
	pci_put16(bridge->config, PCI_DEVICE_ID, HOST_BRIDGE_DEVICE);
	/* It answers to memory accesses and masters the bus, and that cannot be switched off. */
	pci_put16(bridge->config, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	bridge->config[PCI_REVISION_ID] = HOST_BRIDGE_REVISION;
	bridge->config[PCI_CLASS_DEVICE + 1] = CLASS_HOST_BRIDGE;
}

/* Functions are reset with the devices that they are part of. */
static void pci_reset(struct device *device)
{
	container_of(device, struct pci, device)->address = 0;
}

static void pci_destroy(struct device *device)
{
	heap_free(container_of(device, struct pci, device));
}

int pci_create(struct vm *vm, struct reset *reset, struct acpi_pm *acpi, struct pci **out)
{
	struct pci *pci = heap_alloc(sizeof(*pci), FRAME_VM);
	int error;

	if (!pci)
		return -ENOMEM;
	pci->device = (struct device){ .name = "pci", .reset = pci_reset, .destroy = pci_destroy };
	pci->ports = (struct io_region){ .start = PORT_PCI_ADDRESS, .length = 8, .max_size = 4,
		.read = pci_read, .write = pci_write };
	pci->ecam = (struct io_region){ .start = PCI_ECAM_BASE, .length = PCI_ECAM_BYTES,
		.max_size = 4, .read = ecam_read, .write = ecam_write };
	pci->reset = reset;
	pci->acpi = acpi;
	pci->next_memory = PCI_BARS_MEMORY;
	pci->next_port = PCI_BARS_PORTS;
	vm_add_device(vm, &pci->device);
	init_host_bridge(&pci->host_bridge);
	*out = pci;
	error = pci_add(pci, &pci->host_bridge);
	if (!error)
		error = io_bus_add(&vm->mmio, &pci->ecam);
	return error ? error : io_bus_add(&vm->ports, &pci->ports);
}
