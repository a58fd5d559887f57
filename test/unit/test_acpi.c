/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reader of the machine's ACPI tables, on tables made here: right ones, and the same ones cut
 * and changed at random. Each piece is handed out as an allocation of its exact size, so that the
 * address sanitizer sees every byte that is read beyond what was asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/acpi.h"

#define MEMORY_BASE 0x7f000000ULL
#define MEMORY_BYTES 8192
#define HANDED_OUT 4096

static uint8_t memory[MEMORY_BYTES];
static size_t used;
static void *handed_out[HANDED_OUT];
static size_t handed_out_count;

static const void *map(uint64_t address, uint64_t bytes)
{
	void *copy;

	if (address < MEMORY_BASE || !range_within(address - MEMORY_BASE, bytes, MEMORY_BYTES))
		return NULL;
	copy = malloc(bytes);
	memcpy(copy, memory + (address - MEMORY_BASE), bytes);
	assert_true(handed_out_count < HANDED_OUT);
	handed_out[handed_out_count++] = copy;
	return copy;
}

static void give_back(void)
{
	while (handed_out_count)
		free(handed_out[--handed_out_count]);
}

static void set_checksum(uint8_t *table, size_t bytes, size_t at)
{
	uint8_t sum = 0;

	table[at] = 0;
	for (size_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + table[i]);
	table[at] = (uint8_t)-sum;
}

static void put(uint8_t *table, size_t at, uint64_t value, size_t bytes)
{
	memcpy(table + at, &value, bytes);
}

/* Start a table at the next free place. */
static uint8_t *begin(const char *signature, size_t bytes)
{
	uint8_t *table = memory + used;

	used += (bytes + 15) & ~15UL;
	memset(table, 0, bytes);
	memcpy(table, signature, 4);
	put(table, 4, bytes, 4);
	return table;
}

static uint64_t finish(uint8_t *table)
{
	uint32_t bytes;

	memcpy(&bytes, table + 4, 4);
	set_checksum(table, bytes, 9);
	return MEMORY_BASE + (uint64_t)(table - memory);
}

static const uint8_t madt_entries[] = {
	0, 8, 0, 0, 1, 0, 0, 0,                         /* LAPIC id 0, enabled */
	0, 8, 1, 2, 1, 0, 0, 0,                         /* id 2, enabled */
	0, 8, 2, 4, 0, 0, 0, 0,                         /* id 4, not enabled */
	0, 8, 3, 2, 1, 0, 0, 0,                         /* id 2 again */
	9, 16, 0, 0, 0x34, 0x12, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, /* x2APIC 0x1234 */
	1, 12, 5, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,      /* IOAPIC 0xfec00000 */
	1, 12, 6, 0, 0, 0, 0xc1, 0xfe, 24, 0, 0, 0,     /* IOAPIC 0xfec10000, from 24 */
	2, 10, 0, 0, 2, 0, 0, 0, 0, 0,                  /* irq 0 is gsi 2 */
	2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0,               /* irq 9: level, high */
	2, 10, 0, 11, 20, 0, 0, 0, 0x0f, 0,             /* irq 11: gsi 20, level, low */
	4, 6, 0xff, 0, 0, 1,                            /* LINT1 is NMI */
};

static uint64_t make_madt(void)
{
	uint8_t *table = begin("APIC", 44 + sizeof(madt_entries));

	memcpy(table + 44, madt_entries, sizeof(madt_entries));
	return finish(table);
}

static const uint8_t aml[] = {
	0x10, 0x20, '_', 'S', '5', '_',                  /* not a Name: passed over */
	0x08, '_', 'S', '5', '_', 0x12, 0x08, 0x04, 0x0a, 0x05, 0x0a, 0x06, 0x00, 0x00,
};

static uint64_t make_fadt(bool extended)
{
	uint8_t *dsdt = begin("DSDT", 36 + sizeof(aml)), *table;
	uint64_t dsdt_address;

	memcpy(dsdt + 36, aml, sizeof(aml));
	dsdt_address = finish(dsdt);
	table = begin("FACP", extended ? 268 : 116);
	put(table, 40, dsdt_address, 4);
	put(table, 64, 0x604, 4);
	put(table, 76, 0x608, 4);
	put(table, 89, 2, 1);
	put(table, 91, 4, 1);
	put(table, 112, 1 << 8 | 1 << 10, 4);
	if (extended) {
		put(table, 116, 8 << 8 | 1, 4);
		put(table, 120, 0xcf9, 8);
		put(table, 128, 0x0f, 1);
		put(table, 140, dsdt_address, 8);
		put(table, 172, 16 << 8 | 1, 4);
		put(table, 176, 0x1804, 8);
		put(table, 208, 32 << 8 | 1, 4);
		put(table, 212, 0x1808, 8);
	}
	return finish(table);
}

static uint64_t make_spcr(uint8_t space, uint64_t address)
{
	uint8_t *table = begin("SPCR", 80);

	put(table, 36, 0, 1);
	put(table, 40, 8 << 8 | space, 4);
	put(table, 44, address, 8);
	put(table, 52, 1, 1);
	put(table, 53, 3, 1);
	put(table, 58, 7, 1);
	return finish(table);
}

static uint64_t make_mcfg(void)
{
	static const uint8_t entries[] = {
		0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0,
		0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0x20, 0x3f, 0, 0, 0, 0, /* at 4 GiB, segment 3 */
		0, 0, 0, 0xc0, 0, 0, 0, 0, 4, 0, 9, 8, 0, 0, 0, 0,    /* no bus: left out */
		0, 0, 0, 0xd0, 0, 0, 0, 0, 5, 0, 0, 9,                /* cut */
	};
	uint8_t *table = begin("MCFG", 44 + sizeof(entries));

	memcpy(table + 44, entries, sizeof(entries));
	return finish(table);
}

static uint64_t make_root(bool extended, const uint64_t *tables, size_t count)
{
	size_t entry = extended ? 8 : 4;
	uint8_t *root = begin(extended ? "XSDT" : "RSDT", 36 + count * entry), *rsdp;
	uint64_t address;

	for (size_t i = 0; i < count; i++)
		put(root, 36 + i * entry, tables[i], entry);
	address = finish(root);
	rsdp = memory + used;
	used += 48;
	memset(rsdp, 0, 36);
	memcpy(rsdp, "RSD PTR ", 8);
	put(rsdp, 15, extended ? 2 : 0, 1);
	put(rsdp, 16, extended ? 0 : address, 4);
	put(rsdp, 20, 36, 4);
	put(rsdp, 24, extended ? address : 0, 8);
	set_checksum(rsdp, 20, 8);
	set_checksum(rsdp, 36, 32);
	return MEMORY_BASE + (uint64_t)(rsdp - memory);
}

static uint64_t make_all(bool extended)
{
	uint64_t tables[4];

	memset(memory, 0, sizeof(memory));
	used = 0;
	tables[0] = make_madt();
	tables[1] = make_fadt(extended);
	tables[2] = make_spcr(1, 0x2f8);
	tables[3] = make_mcfg();
	return make_root(extended, tables, 4);
}

static void check_cpus(const struct acpi_info *info)
{
	assert_int_equal(info->cpu_count, 3);
	assert_int_equal(info->cpu_apic_ids[0], 0);
	assert_int_equal(info->cpu_apic_ids[1], 2);
	assert_int_equal(info->cpu_apic_ids[2], 0x1234);
	assert_int_equal(info->ioapic_count, 2);
	assert_int_equal(info->ioapics[1].address, 0xfec10000);
	assert_int_equal(info->ioapics[1].gsi_base, 24);
	assert_int_equal(info->isa_irqs[0].gsi, 2);
	assert_int_equal(info->isa_irqs[4].gsi, 4);
	assert_false(info->isa_irqs[4].level);
	assert_true(info->isa_irqs[9].level);
	assert_false(info->isa_irqs[9].active_low);
	assert_int_equal(info->isa_irqs[11].gsi, 20);
	assert_true(info->isa_irqs[11].level && info->isa_irqs[11].active_low);
	assert_int_equal(info->ecam_count, 2);
	assert_int_equal(info->ecams[0].address, 0xb0000000);
	assert_int_equal(info->ecams[0].first_bus, 0);
	assert_int_equal(info->ecams[0].last_bus, 0x7f);
	assert_int_equal(info->ecams[1].address, GIB(4));
	assert_int_equal(info->ecams[1].segment, 3);
	assert_int_equal(info->ecams[1].first_bus, 0x20);
}

static void reads_xsdt(void **state)
{
	struct acpi_info info;

	(void)state;
	assert_int_equal(acpi_read(make_all(true), map, &info), 0);
	assert_true(info.present);
	check_cpus(&info);
	assert_true(info.has_spcr);
	assert_int_equal(info.serial_port, 0x2f8);
	assert_int_equal(info.serial_isa_irq, 3);
	assert_int_equal(info.serial_baud, 115200);
	assert_int_equal(info.pm_timer.port, 0x1808);
	assert_int_equal(info.pm_timer.bytes, 4);
	assert_true(info.pm_timer_32bit);
	assert_int_equal(info.pm1a_control.port, 0x1804);
	assert_int_equal(info.pm1b_control.port, 0);
	assert_int_equal(info.reset_port.port, 0xcf9);
	assert_int_equal(info.reset_value, 0x0f);
	assert_true(info.has_s5);
	assert_int_equal(info.s5_type_a, 5);
	assert_int_equal(info.s5_type_b, 6);
	give_back();
}

static void reads_rsdt_and_short_fadt(void **state)
{
	struct acpi_info info;

	(void)state;
	assert_int_equal(acpi_read(make_all(false), map, &info), 0);
	check_cpus(&info);
	assert_int_equal(info.pm_timer.port, 0x608);
	assert_int_equal(info.pm_timer.bytes, 4);
	assert_int_equal(info.pm1a_control.port, 0x604);
	assert_int_equal(info.reset_port.port, 0);
	assert_true(info.has_s5);
	give_back();
}

static void a_serial_port_in_memory_is_not_taken_for_io(void **state)
{
	struct acpi_info info;
	uint64_t table;

	(void)state;
	memset(memory, 0, sizeof(memory));
	used = 0;
	table = make_spcr(0, 0xfe000000);
	assert_int_equal(acpi_read(make_root(true, &table, 1), map, &info), 0);
	assert_true(info.has_spcr);
	assert_int_equal(info.serial_port, 0);
	give_back();
}

static void no_tables_is_said(void **state)
{
	struct acpi_info info;
	uint64_t rsdp = make_all(true);

	(void)state;
	assert_int_equal(acpi_read(0, map, &info), -ENOENT);
	assert_int_equal(acpi_read(1, map, &info), -ENOENT);
	memory[rsdp - MEMORY_BASE] ^= 1;
	assert_int_equal(acpi_read(rsdp, map, &info), -ENOENT);
	assert_false(info.present);
	assert_int_equal(info.isa_irqs[4].gsi, 4);
	give_back();
}

static void a_wrong_checksum_leaves_the_table_out(void **state)
{
	struct acpi_info info;
	uint64_t rsdp = make_all(true);

	(void)state;
	memory[44] ^= 1; /* in the MADT, which is the first */
	assert_int_equal(acpi_read(rsdp, map, &info), 0);
	assert_int_equal(info.cpu_count, 0);
	assert_int_equal(info.pm_timer.port, 0x1808);
	give_back();
}

/* Fix all checksums that can be found, so that damage is read and not just refused. */
static void fix_checksums(void)
{
	static const char *const names[] = {"APIC", "FACP", "SPCR", "MCFG", "DSDT", "XSDT", "RSDT"};

	for (size_t at = 0; at + 48 <= MEMORY_BYTES; at += 16) {
		uint32_t bytes;

		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			memcpy(&bytes, memory + at + 4, 4);
			if (memcmp(memory + at, names[i], 4) == 0 && bytes >= 36 &&
			    bytes <= MEMORY_BYTES - at)
				set_checksum(memory + at, bytes, 9);
		}
	}
}

static void damaged_tables_are_survived(void **state)
{
	struct acpi_info info;

	(void)state;
	for (int round = 0; round < 30000; round++) {
		uint64_t rsdp = make_all(round & 1);

		for (int i = rand() % 8; i >= 0; i--) {
			size_t at = (size_t)rand() % used;

			memory[at] = (uint8_t)(rand() % 3 ? rand() : 0xff);
		}
		if (rand() % 4)
			fix_checksums();
		(void)!acpi_read(rsdp, map, &info);
		assert_true(info.cpu_count <= ACPI_MAX_CPUS);
		assert_true(info.ioapic_count <= ACPI_MAX_IOAPICS);
		assert_true(info.ecam_count <= ACPI_MAX_ECAMS);
		give_back();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_xsdt),
		cmocka_unit_test(reads_rsdt_and_short_fadt),
		cmocka_unit_test(a_serial_port_in_memory_is_not_taken_for_io),
		cmocka_unit_test(no_tables_is_said),
		cmocka_unit_test(a_wrong_checksum_leaves_the_table_out),
		cmocka_unit_test(damaged_tables_are_survived),
	};

	srand(4);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
