/* SPDX-License-Identifier: BSD-2-Clause */
/* Which way to configuration space is taken: memory that the MCFG table names, if it can be right, else ports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "host/log.h"
#include "host/machine.h"
#include "host/pci.h"
#include "host/pci_config.h"

#define BUSES 3
#define BRIDGE 0x29c08086U
#define BY_PORTS 0x5500U

struct machine machine;
static uint8_t *space; /* ECAM of BUSES buses */
static bool ports;
static uint32_t port_id, port_written;

bool pci_ports_present(void)
{
	return ports;
}

uint32_t pci_ports_read(uint8_t bus, uint8_t devfn, unsigned int offset, unsigned int size)
{
	(void)size;
	assert_true(offset < 256);
	return offset == 0 && devfn == 0 ? port_id : BY_PORTS + bus;
}

void pci_ports_write(uint8_t bus, uint8_t devfn, unsigned int offset, unsigned int size, uint32_t value)
{
	(void)bus;
	(void)devfn;
	(void)offset;
	(void)size;
	port_written = value;
}

int mmu_map_device(hpa_t start, uint64_t bytes)
{
	return host_ptr(start) == space && bytes == BUSES * MIB(1) ? 0 : -ENOMEM;
}

void log_note(const char *format, ...)
{
	(void)format;
}

static int begin(void **state)
{
	(void)state;
	/* As aligned as ECAM is, and where physical addresses of any CPU can be. */
	space = mmap(NULL, (BUSES + 1) * MIB(1), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	assert_ptr_not_equal(space, MAP_FAILED);
	space = (uint8_t *)ROUND_UP((uintptr_t)space, MIB(1));
	memset(&machine, 0, sizeof(machine));
	machine.acpi.ecam_count = 1;
	machine.acpi.ecams[0] = (struct acpi_ecam){ .address = host_phys(space), .last_bus = BUSES - 1 };
	memcpy(space, &(uint32_t){ BRIDGE }, 4);
	ports = true;
	port_id = BRIDGE;
	return 0;
}

static const struct host_pci_device device = { .bus = 2, .devfn = 3 << 3 | 1 };

static void by_memory(void **state)
{
	uint8_t *config = space + MIB(2) + KIB(4) * device.devfn;
	struct pci_buses buses;

	(void)state;
	pci_config_init();
	assert_true(pci_config_buses(0, &buses));
	assert_int_equal(buses.last, BUSES - 1);
	assert_false(pci_config_buses(1, &buses));
	memcpy(config + 0x104, "\x11\x22\x33\x44\x55", 5);
	assert_int_equal(host_pci_read(&device, 0x104, 4), 0x44332211);
	assert_int_equal(host_pci_read(&device, 0x106, 2), 0x4433);
	assert_int_equal(host_pci_read(&device, 0x107, 1), 0x44);
	host_pci_write(&device, 0x104, 4, 0xaabbccdd);
	host_pci_write(&device, 0x106, 2, 0x1234);
	host_pci_write(&device, 0x105, 1, 0x99);
	assert_memory_equal(config + 0x104, "\xdd\x99\x34\x12\x55", 5);
	assert_int_equal(host_pci_read(&device, 4096, 4), 0xffffffff);
}

static void a_bus_that_memory_lacks_is_reached_by_ports(void **state)
{
	struct host_pci_device far = { .bus = 9 };

	(void)state;
	pci_config_init();
	assert_int_equal(host_pci_read(&far, 4, 4), BY_PORTS + 9);
	assert_int_equal(host_pci_read(&far, 0x100, 4), 0xffffffff);
	host_pci_write(&far, 4, 2, 7);
	assert_int_equal(port_written, 7);
	far.segment = 1;
	assert_int_equal(host_pci_read(&far, 4, 2), 0xffff);
}

/* What is zero, too, is there: memory that is no device's would be. It is for the caller to judge. */
static void empty_slots(void **state)
{
	(void)state;
	pci_config_init();
	memset(space + MIB(1), 0xff, MIB(1));
	assert_int_equal(pci_config_present(0, 1, 32), 0);
	memcpy(space + MIB(1) + KIB(32) * 5, &(uint32_t){ BRIDGE }, 4);
	memcpy(space + MIB(1) + KIB(32) * 6 + KIB(4), &(uint32_t){ BRIDGE }, 4); /* a second function alone */
	memset(space + MIB(1) + KIB(32) * 31, 0, 4);
	assert_int_equal(pci_config_present(0, 1, 32), 1U << 31 | 1U << 5);
	assert_int_equal(pci_config_present(0, 1, 5), 0);
	assert_int_equal(pci_config_present(0, 1, 6), 1U << 5);
	/* By ports, and by no way at all. */
	assert_int_equal(pci_config_present(0, 9, 3), 7);
	port_id = 0xffffffff;
	assert_int_equal(pci_config_present(0, 9, 3), 6);
	assert_int_equal(pci_config_present(1, 9, 3), 0);
}

static void check_ports_are_used(void)
{
	struct pci_buses buses;

	pci_config_init();
	assert_true(pci_config_buses(0, &buses));
	assert_int_equal(buses.last, 0xff);
	assert_int_equal(host_pci_read(&device, 4, 4), BY_PORTS + 2);
}

static void a_table_that_is_wrong_is_not_used(void **state)
{
	struct acpi_ecam *ecam = &machine.acpi.ecams[0];
	struct pci_buses buses;

	(void)state;
	port_id = 0x12345678; /* what stands there is no configuration space */
	check_ports_are_used();
	port_id = BRIDGE;
	ecam->address += KIB(4);
	check_ports_are_used();
	ecam->address = ~0ULL << 20;
	check_ports_are_used();
	ecam->address = host_phys(space);
	machine.mapping_count = 1;
	machine.mappings[0] = (struct machine_mapping){
		.range = { .start = host_phys(space) + MIB(2), .bytes = KIB(4) }, .kind = MAPPING_RAM };
	check_ports_are_used();
	machine.mappings[0].kind = MAPPING_RUNTIME_MMIO;
	pci_config_init();
	assert_true(pci_config_buses(0, &buses));
	assert_int_equal(buses.last, BUSES - 1);
}

static void a_machine_without_pci(void **state)
{
	struct pci_buses buses;

	(void)state;
	machine.acpi.ecam_count = 0;
	ports = false;
	pci_config_init();
	assert_false(pci_config_buses(0, &buses));
	assert_int_equal(host_pci_read(&device, 0, 4), 0xffffffff);
	assert_int_equal(pci_config_present(0, 0, 32), 0);
	host_pci_write(&device, 0, 4, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(by_memory, begin),
		cmocka_unit_test_setup(a_bus_that_memory_lacks_is_reached_by_ports, begin),
		cmocka_unit_test_setup(empty_slots, begin),
		cmocka_unit_test_setup(a_table_that_is_wrong_is_not_used, begin),
		cmocka_unit_test_setup(a_machine_without_pci, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
