/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's PCI devices on a fake configuration space: what is found behind bridges of all kinds,
 * BARs, capability lists that lead nowhere, messages. What configuration space says is not trusted, so
 * the last test fills it at random.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <linux/pci_regs.h>

#include "host/clock.h"
#include "host/cpu.h"
#include "host/irq.h"
#include "host/log.h"
#include "host/pci.h"
#include "host/pci_config.h"
#include "test/unit/fake_frames.h"

#define FUNCTIONS_MAX 300
#define RAM_BYTES MIB(256)

struct function {
	uint8_t bus, devfn;
	uint8_t config[256];
	uint64_t bar_bytes[6]; /* 0: bits that cannot be written */
};

static struct function functions[FUNCTIONS_MAX];
static size_t function_count;
static size_t reads;
static size_t sized_while_decoding;
static struct pci_buses ranges[2];
static size_t range_count;
static uint64_t mapped_start, mapped_bytes;
static struct cpu cpus[3];
static unsigned int cpus_online;
static unsigned int vectors;
static uint8_t *table_memory; /* aligned to its 4 KiB: it stands for a BAR's memory */

static struct function *find(uint8_t bus, uint8_t devfn)
{
	for (size_t i = 0; i < function_count; i++)
		if (functions[i].bus == bus && functions[i].devfn == devfn)
			return &functions[i];
	return NULL;
}

uint32_t host_pci_read(const struct host_pci_device *pci, unsigned int offset, unsigned int size)
{
	const struct function *function = find(pci->bus, pci->devfn);
	uint32_t value = (uint32_t)byte_mask(size);

	reads++;
	assert_true(size == 1 || size == 2 || size == 4);
	assert_true(offset % size == 0);
	if (function && offset + size <= sizeof(function->config)) {
		value = 0;
		memcpy(&value, function->config + offset, size);
	}
	return value;
}

static uint32_t written_bar(struct function *function, unsigned int index, uint32_t value)
{
	bool upper = index && (function->config[PCI_BASE_ADDRESS_0 + 4 * (index - 1)] & 7) == 4;
	uint64_t bytes = function->bar_bytes[upper ? index - 1 : index];
	uint32_t low_bits = function->config[PCI_BASE_ADDRESS_0 + 4 * index] & 0xf;
	uint64_t mask = bytes ? -bytes : 0;

	if (value == 0xffffffff && (function->config[PCI_COMMAND] & 3))
		sized_while_decoding++;
	return upper ? value & (uint32_t)(mask >> 32) : (value & (uint32_t)mask & ~0xfU) | low_bits;
}

void host_pci_write(const struct host_pci_device *pci, unsigned int offset, unsigned int size,
	uint32_t value)
{
	struct function *function = find(pci->bus, pci->devfn);

	assert_true(offset % size == 0);
	if (!function || offset + size > sizeof(function->config))
		return;
	if (offset >= PCI_BASE_ADDRESS_0 && offset <= PCI_BASE_ADDRESS_5 && size == 4)
		value = written_bar(function, (offset - PCI_BASE_ADDRESS_0) / 4, value);
	memcpy(function->config + offset, &value, size);
}

void pci_config_init(void)
{
}

bool pci_config_buses(size_t index, struct pci_buses *buses)
{
	if (index >= range_count)
		return false;
	*buses = ranges[index];
	return true;
}

uint32_t pci_config_present(uint16_t segment, uint8_t bus, unsigned int slots)
{
	uint32_t present = 0;

	assert_in_range(slots, 1, 32);
	for (unsigned int slot = 0; slot < slots; slot++) {
		struct host_pci_device device = { .segment = segment, .bus = bus, .devfn = (uint8_t)(slot << 3) };

		if (host_pci_read(&device, PCI_VENDOR_ID, 2) != 0xffff)
			present |= 1U << slot;
	}
	return present;
}

const char *pci_config_way(void)
{
	return "a test";
}

bool pci_is_device_memory(uint64_t start, uint64_t bytes)
{
	return start >= RAM_BYTES && bytes && range_within(start, bytes, BIT(47));
}

int mmu_map_device(hpa_t start, uint64_t bytes)
{
	mapped_start = start;
	mapped_bytes = bytes;
	return 0;
}

int irq_register_message(void (*handler)(void *), void *argument)
{
	(void)handler;
	(void)argument;
	return vectors < IRQ_MESSAGES ? (int)(IRQ_VECTOR_MESSAGE + vectors++) : -ENOSPC;
}

void clock_wait(uint64_t ns)
{
	(void)ns;
}

unsigned int cpu_count(void)
{
	return cpus_online;
}

struct cpu *cpu_by_id(unsigned int id)
{
	return id < cpus_online ? &cpus[id] : NULL;
}

void log_line(const char *format, ...)
{
	(void)format;
}

void log_note(const char *format, ...)
{
	(void)format;
}

static void set(struct function *function, unsigned int offset, uint32_t value, unsigned int size)
{
	memcpy(function->config + offset, &value, size);
}

static uint32_t get(const struct function *function, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, function->config + offset, size);
	return value;
}

static struct function *add(uint8_t bus, uint8_t slot, uint8_t function_number, uint32_t class_code)
{
	struct function *function = &functions[function_count++];

	assert_true(function_count <= FUNCTIONS_MAX);
	memset(function, 0, sizeof(*function));
	function->bus = bus;
	function->devfn = (uint8_t)(slot << 3 | function_number);
	set(function, PCI_VENDOR_ID, 0x10008086U + function->devfn * 0x10000U, 4);
	set(function, PCI_CLASS_REVISION, class_code << 8 | 3, 4);
	set(function, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	return function;
}

static struct function *add_bridge(uint8_t bus, uint8_t slot, uint8_t second, uint8_t last)
{
	struct function *bridge = add(bus, slot, 0, 0x060400);

	set(bridge, PCI_HEADER_TYPE, PCI_HEADER_TYPE_BRIDGE, 1);
	set(bridge, PCI_PRIMARY_BUS, bus, 1);
	set(bridge, PCI_SECONDARY_BUS, second, 1);
	set(bridge, PCI_SUBORDINATE_BUS, last, 1);
	return bridge;
}

static void add_capability(struct function *function, uint8_t at, uint8_t id)
{
	set(function, at + PCI_CAP_LIST_ID, id, 1);
	set(function, at + PCI_CAP_LIST_NEXT, get(function, PCI_CAPABILITY_LIST, 1), 1);
	set(function, PCI_CAPABILITY_LIST, at, 1);
	set(function, PCI_STATUS, PCI_STATUS_CAP_LIST, 2);
}

static int begin(void **state)
{
	(void)state;
	function_count = 0;
	range_count = 1;
	ranges[0] = (struct pci_buses){ 0, 0, 0xff };
	reads = 0;
	sized_while_decoding = 0;
	vectors = 0;
	cpus_online = 3;
	cpus[0].apic_id = 4;
	cpus[1].apic_id = 0x1ff;
	cpus[2].apic_id = 6;
	mapped_bytes = 0;
	table_memory = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	memset(table_memory, 0, PAGE_SIZE);
	return 0;
}

static int end(void **state)
{
	(void)state;
	if (host_pci_count())
		heap_free(host_pci_at(0));
	free(table_memory);
	return 0;
}

static bool found(uint8_t bus, uint8_t devfn)
{
	for (size_t i = 0; i < host_pci_count(); i++)
		if (host_pci_at(i)->bus == bus && host_pci_at(i)->devfn == devfn)
			return true;
	return false;
}

static void devices_behind_bridges_are_found(void **state)
{
	(void)state;
	add(0, 2, 0, 0x020000);
	add_bridge(0, 3, 1, 3);
	add_bridge(1, 0, 3, 3);
	add(3, 5, 0, 0x010601);
	add(0, 0, 0, 0x060000);
	set(add(0, 7, 0, 0x0c0330), PCI_HEADER_TYPE, 0x80, 1);
	add(0, 7, 6, 0x010802);
	add(0, 8, 0, 0x010802);
	add(0, 8, 1, 0x010802); /* of a device that says it has one function */
	host_pci_init();
	assert_int_equal(host_pci_count(), 5);
	assert_true(found(0, 2 << 3));
	assert_true(found(3, 5 << 3));
	assert_true(found(0, 7 << 3));
	assert_true(found(0, 7 << 3 | 6));
	assert_true(found(0, 8 << 3));
	assert_int_equal(host_pci_at(0)->vendor, 0x8086);
	assert_int_equal(host_pci_at(0)->device, 0x1010);
	assert_int_equal(HOST_PCI_CLASS(host_pci_at(0)->class_code), 0x0200);
	assert_int_equal(host_pci_at(0)->revision, 3);
	assert_null(host_pci_at(5));
}

static void a_second_root_bus_is_found_and_nobodys_buses_are_passed_over(void **state)
{
	(void)state;
	add_bridge(0, 1, 1, 0x3f);
	add(0x20, 1, 0, 0x020000); /* a ghost: within the bridge's range, but behind no bridge */
	add(0x40, 1, 0, 0x020000);
	host_pci_init();
	assert_int_equal(host_pci_count(), 1);
	assert_true(found(0x40, 1 << 3));
}

static void bridges_in_a_loop_end(void **state)
{
	(void)state;
	add_bridge(0, 1, 0, 0xff);
	add_bridge(0, 2, 1, 1);
	add_bridge(1, 1, 0, 5);
	add_bridge(1, 2, 1, 1);
	add_bridge(1, 3, 9, 4);
	add(1, 4, 0, 0x020000);
	host_pci_init();
	assert_int_equal(host_pci_count(), 1);
}

static void behind_a_link_there_is_one_device(void **state)
{
	struct function *port = add_bridge(0, 1, 1, 1);

	(void)state;
	add_capability(port, 0x40, PCI_CAP_ID_EXP);
	set(port, 0x40 + PCI_EXP_FLAGS, PCI_EXP_TYPE_ROOT_PORT << 4, 2);
	for (uint8_t slot = 0; slot < 32; slot++)
		add(1, slot, 0, 0x020000);
	host_pci_init();
	assert_int_equal(host_pci_count(), 1);
}

static void more_devices_than_there_is_room_for(void **state)
{
	(void)state;
	add_bridge(0, 0, 1, 1);
	for (unsigned int i = 1; i < 200; i++) {
		struct function *function = add((uint8_t)(i / 32 / 4), i / 4 % 32, i % 4, 0x010601);

		set(function, PCI_HEADER_TYPE, 0x80, 1);
	}
	host_pci_init();
	assert_int_equal(host_pci_count(), HOST_PCI_DEVICES);
}

static void what_the_firmware_left_on_is_quiet(void **state)
{
	struct function *nic = add(0, 2, 0, 0x020000), *disk = add(0, 3, 0, 0x010601);

	(void)state;
	add_capability(nic, 0x50, PCI_CAP_ID_MSI);
	set(nic, 0x50 + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_64BIT, 2);
	add_capability(nic, 0x60, PCI_CAP_ID_MSIX);
	set(nic, 0x60 + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | 3, 2);
	host_pci_init();
	assert_int_equal(get(nic, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(get(nic, 0x50 + PCI_MSI_FLAGS, 2), PCI_MSI_FLAGS_64BIT);
	assert_int_equal(get(nic, 0x60 + PCI_MSIX_FLAGS, 2), 3);
	assert_int_equal(get(disk, PCI_COMMAND, 2),
		PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
}

static void capability_lists_that_lead_nowhere(void **state)
{
	struct function *function = add(0, 2, 0, 0x020000);
	struct host_pci_device *pci;

	(void)state;
	host_pci_init();
	pci = host_pci_at(0);
	assert_int_equal(host_pci_find_capability(pci, PCI_CAP_ID_MSI), 0);
	add_capability(function, 0x40, PCI_CAP_ID_PM);
	add_capability(function, 0x48, PCI_CAP_ID_MSI);
	assert_int_equal(host_pci_find_capability(pci, PCI_CAP_ID_PM), 0x40);
	assert_int_equal(host_pci_find_capability(pci, PCI_CAP_ID_MSI), 0x48);
	add_capability(function, 0x50, PCI_CAP_ID_VNDR);
	add_capability(function, 0x58, PCI_CAP_ID_PM);
	add_capability(function, 0x60, PCI_CAP_ID_VNDR);
	assert_int_equal(host_pci_find_capability(pci, PCI_CAP_ID_VNDR), 0x60);
	assert_int_equal(host_pci_next_capability(pci, PCI_CAP_ID_VNDR, 0x60), 0x50);
	assert_int_equal(host_pci_next_capability(pci, PCI_CAP_ID_VNDR, 0x50), 0);
	set(function, PCI_STATUS, 0, 2);
	assert_int_equal(host_pci_find_capability(pci, PCI_CAP_ID_MSI), 0);
	set(function, PCI_STATUS, PCI_STATUS_CAP_LIST, 2);
	set(function, 0x40 + PCI_CAP_LIST_NEXT, 0x48, 1); /* a loop */
	assert_int_equal(host_pci_find_capability(pci, PCI_CAP_ID_MSIX), 0);
	set(function, 0x40 + PCI_CAP_LIST_NEXT, 0x10, 1); /* into the header */
	assert_int_equal(host_pci_find_capability(pci, PCI_CAP_ID_MSIX), 0);
	set(function, 0x40 + PCI_CAP_LIST_NEXT, 0xff, 1); /* the last word */
	assert_int_equal(host_pci_find_capability(pci, PCI_CAP_ID_MSIX), 0);
}

static void set_bar(struct function *function, unsigned int index, uint64_t value, uint64_t bytes)
{
	set(function, PCI_BASE_ADDRESS_0 + 4 * index, (uint32_t)value, 4);
	if ((value & 7) == 4 && index < 5)
		set(function, PCI_BASE_ADDRESS_0 + 4 * (index + 1), (uint32_t)(value >> 32), 4);
	function->bar_bytes[index] = bytes;
}

static void bars_are_sized_and_mapped(void **state)
{
	struct function *function = add(0, 2, 0, 0x020000);
	struct host_pci_device *pci;
	uint64_t bytes;

	(void)state;
	set_bar(function, 0, 0xfe000000, KIB(128));
	set_bar(function, 1, GIB(64) | 0xc, GIB(8));
	set_bar(function, 3, 0xc001, 64);
	host_pci_init();
	pci = host_pci_at(0);
	assert_ptr_equal(host_pci_map_bar(pci, 0, &bytes), (void *)0xfe000000);
	assert_int_equal(bytes, KIB(128));
	assert_int_equal(mapped_start, 0xfe000000);
	assert_int_equal(mapped_bytes, KIB(128));
	assert_int_equal(get(function, PCI_BASE_ADDRESS_0, 4), 0xfe000000);
	assert_int_equal(get(function, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	assert_ptr_equal(host_pci_map_bar(pci, 1, &bytes), (void *)GIB(64));
	assert_int_equal(bytes, GIB(8));
	assert_int_equal(get(function, PCI_BASE_ADDRESS_2, 4), 16);
	assert_null(host_pci_map_bar(pci, 2, &bytes)); /* the upper half of the one before, as if it were one */
	assert_null(host_pci_map_bar(pci, 3, &bytes)); /* ports */
	assert_null(host_pci_map_bar(pci, 4, &bytes)); /* none */
	assert_null(host_pci_map_bar(pci, 6, &bytes));
	assert_int_equal(sized_while_decoding, 0);
	/* The second time the device is left alone. */
	reads = 0;
	assert_ptr_equal(host_pci_map_bar(pci, 0, &bytes), (void *)0xfe000000);
	assert_true(reads <= 1);
}

static void bars_that_cannot_be_used(void **state)
{
	struct function *function = add(0, 2, 0, 0x020000);
	struct host_pci_device *pci;
	uint64_t bytes;

	(void)state;
	set_bar(function, 0, 0, KIB(4));             /* no address */
	set_bar(function, 1, 0x2, KIB(4));           /* below 1 MiB */
	set_bar(function, 2, MIB(16), KIB(4));       /* RAM */
	set_bar(function, 3, BIT(50) | 4, KIB(4));   /* out of reach */
	set_bar(function, 5, 0xfe000004, KIB(4));    /* 64 bits, and no room for them */
	host_pci_init();
	pci = host_pci_at(0);
	for (unsigned int i = 0; i < 6; i++)
		assert_null(host_pci_map_bar(pci, i, &bytes));
	assert_int_equal(mapped_bytes, 0);
	assert_int_equal(get(function, PCI_BASE_ADDRESS_2, 4), MIB(16));
}

static void enabling_wakes(void **state)
{
	struct function *function = add(0, 2, 0, 0x020000);
	struct host_pci_device *pci;

	(void)state;
	add_capability(function, 0x40, PCI_CAP_ID_PM);
	set(function, 0x40 + PCI_PM_CTRL, 3 | PCI_PM_CTRL_PME_ENABLE, 2);
	set_bar(function, 0, 0xfe000000, KIB(128));
	host_pci_init();
	pci = host_pci_at(0);
	host_pci_enable(pci);
	assert_int_equal(get(function, 0x40 + PCI_PM_CTRL, 2), PCI_PM_CTRL_PME_ENABLE);
	assert_int_equal(get(function, PCI_BASE_ADDRESS_0, 4), 0xfe000000);
	assert_int_equal(get(function, PCI_COMMAND, 2),
		PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	host_pci_disable(pci);
	assert_int_equal(get(function, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
}

static void handler(void *argument)
{
	(void)argument;
}

static void msi_is_set_up(void **state)
{
	struct function *function = add(0, 2, 0, 0x020000);
	struct host_pci_device *pci;

	(void)state;
	host_pci_init();
	pci = host_pci_at(0);
	assert_int_equal(host_pci_attach_interrupt(pci, 0, 0, handler, NULL), -ENOTSUP);
	add_capability(function, 0x50, PCI_CAP_ID_MSI);
	set(function, 0x50 + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | 0x70, 2);
	set(function, 0x50 + PCI_MSI_MASK_64, 0xff, 4);
	assert_int_equal(host_pci_attach_interrupt(pci, 1, 0, handler, NULL), -ENOTSUP);
	assert_int_equal(host_pci_attach_interrupt(pci, 0, 2, handler, NULL), 0);
	assert_int_equal(get(function, 0x50 + PCI_MSI_FLAGS, 2),
		PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | PCI_MSI_FLAGS_ENABLE);
	assert_int_equal(get(function, 0x50 + PCI_MSI_ADDRESS_LO, 4), 0xfee06000);
	assert_int_equal(get(function, 0x50 + PCI_MSI_DATA_64, 2), IRQ_VECTOR_MESSAGE);
	assert_int_equal(get(function, 0x50 + PCI_MSI_MASK_64, 4), 0);
	/* The short form has its data elsewhere; a CPU out of reach is replaced. */
	set(function, 0x50 + PCI_MSI_FLAGS, 0, 2);
	assert_int_equal(host_pci_attach_interrupt(pci, 0, 1, handler, NULL), 0);
	assert_int_equal(get(function, 0x50 + PCI_MSI_ADDRESS_LO, 4), 0xfee04000);
	assert_int_equal(get(function, 0x50 + PCI_MSI_DATA_32, 2), IRQ_VECTOR_MESSAGE + 1);
	vectors = IRQ_MESSAGES;
	assert_int_equal(host_pci_attach_interrupt(pci, 0, 0, handler, NULL), -ENOSPC);
	cpus[0].apic_id = cpus[2].apic_id = 0xff;
	assert_int_equal(host_pci_attach_interrupt(pci, 0, 0, handler, NULL), -ENOTSUP);
}

static void msix_is_set_up(void **state)
{
	struct function *function = add(0, 2, 0, 0x020000);
	const uint32_t *table = (uint32_t *)(table_memory + 0x800);
	struct host_pci_device *pci;

	(void)state;
	set_bar(function, 2, (uint64_t)(uintptr_t)table_memory | 4, PAGE_SIZE);
	add_capability(function, 0x50, PCI_CAP_ID_MSIX);
	set(function, 0x50 + PCI_MSIX_FLAGS, 4, 2);
	set(function, 0x50 + PCI_MSIX_TABLE, 0x800 | 2, 4);
	host_pci_init();
	pci = host_pci_at(0);
	assert_int_equal(host_pci_attach_interrupt(pci, 5, 0, handler, NULL), -ENOTSUP);
	assert_int_equal(host_pci_attach_interrupt(pci, 3, 2, handler, NULL), 0);
	assert_int_equal(get(function, 0x50 + PCI_MSIX_FLAGS, 2), PCI_MSIX_FLAGS_ENABLE | 4);
	assert_int_equal(table[12], 0xfee06000);
	assert_int_equal(table[13], 0);
	assert_int_equal(table[14], IRQ_VECTOR_MESSAGE);
	assert_int_equal(table[15], 0);
	assert_int_equal(table[3], 1);
	assert_int_equal(table[19], 1);
	assert_int_equal(host_pci_attach_interrupt(pci, 0, 0, handler, NULL), 0);
	assert_int_equal(table[3], 0);
	assert_int_equal(table[15], 0); /* the first one stays on */
	/* A table that does not fit its BAR. */
	set(function, 0x50 + PCI_MSIX_FLAGS, 0x80, 2);
	assert_int_equal(host_pci_attach_interrupt(pci, 0, 0, handler, NULL), -ENOTSUP);
}

static void random_configuration_space_is_survived(void **state)
{
	static const uint8_t ids[] = { PCI_CAP_ID_MSI, PCI_CAP_ID_EXP, PCI_CAP_ID_PM };
	uint64_t bytes;

	(void)state;
	for (int round = 0; round < 300; round++) {
		function_count = 0;
		add(0, 1, 0, 0x020000);
		for (int i = 0; i < 20; i++) {
			struct function *function = add((uint8_t)(i < 8 ? 0 : rand() % 8), (uint8_t)(rand() % 32),
				(uint8_t)(rand() % 2 * (rand() % 8)), 0x020000);

			for (size_t at = 4; at < 256; at++)
				function->config[at] = (uint8_t)rand();
			set(function, PCI_HEADER_TYPE, (uint32_t)(rand() % 2 | (rand() % 2) << 7), 1);
			function->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
			for (int j = 0; j < 6; j++)
				function->bar_bytes[j] = rand() % 2 ? BIT(12 + rand() % 20) : (uint64_t)rand() << 20;
			for (int at = 0x40; at < 0x100; at += 4)
				if (rand() % 2)
					function->config[at] = ids[(size_t)rand() % ARRAY_SIZE(ids)];
		}
		host_pci_init();
		for (size_t i = 0; i < host_pci_count(); i++) {
			host_pci_enable(host_pci_at(i));
			for (unsigned int j = 0; j < 6; j++)
				(void)host_pci_map_bar(host_pci_at(i), j, &bytes);
			vectors = 0;
			(void)!host_pci_attach_interrupt(host_pci_at(i), 0, 0, handler, NULL);
			host_pci_disable(host_pci_at(i));
		}
		if (host_pci_count())
			heap_free(host_pci_at(0));
	}
	function_count = 0;
	add(0, 1, 0, 0x020000);
	host_pci_init();
}

#define PCI_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PCI_TEST(devices_behind_bridges_are_found),
		PCI_TEST(a_second_root_bus_is_found_and_nobodys_buses_are_passed_over),
		PCI_TEST(bridges_in_a_loop_end),
		PCI_TEST(behind_a_link_there_is_one_device),
		PCI_TEST(more_devices_than_there_is_room_for),
		PCI_TEST(what_the_firmware_left_on_is_quiet),
		PCI_TEST(capability_lists_that_lead_nowhere),
		PCI_TEST(bars_are_sized_and_mapped),
		PCI_TEST(bars_that_cannot_be_used),
		PCI_TEST(enabling_wakes),
		PCI_TEST(msi_is_set_up),
		PCI_TEST(msix_is_set_up),
		PCI_TEST(random_configuration_space_is_survived),
	};

	srand(7);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
