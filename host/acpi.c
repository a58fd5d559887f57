/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI tables (ACPI specification, "ACPI Software Programming Model"), SPCR (Microsoft), and MCFG
 * (PCI Firmware Specification).
 */
#include "host/acpi.h"

#include "lib/string.h"

/* A table longer than this is taken for damage. */
#define ACPI_MAX_TABLE MIB(16)
#define ACPI_MAX_ROOT_ENTRIES 1024
#define ACPI_HEADER_BYTES 36
#define ACPI_SPACE_IO 1

struct acpi_reader {
	const void *(*map)(uint64_t address, uint64_t bytes);
	struct acpi_info *info;
};

/* A whole table whose length and checksum are right. */
struct acpi_table {
	const uint8_t *data;
	uint32_t bytes;
};

/* Fields are little-endian, unaligned, and read as zero when the table ends before them. */
static uint64_t table_field(const struct acpi_table *table, uint64_t offset, unsigned int bytes)
{
	uint64_t value = 0;

	if (range_within(offset, bytes, table->bytes))
		memcpy(&value, table->data + offset, bytes);
	return value;
}

static uint8_t checksum(const uint8_t *data, uint64_t bytes)
{
	uint8_t sum = 0;

	while (bytes--)
		sum = (uint8_t)(sum + *data++);
	return sum;
}

static bool open_table(const struct acpi_reader *reader, uint64_t address,
		       struct acpi_table *table)
{
	const uint8_t *header = address ? reader->map(address, ACPI_HEADER_BYTES) : NULL;
	uint32_t bytes;

	if (!header)
		return false;
	memcpy(&bytes, header + 4, 4);
	if (bytes < ACPI_HEADER_BYTES || bytes > ACPI_MAX_TABLE)
		return false;
	table->data = reader->map(address, bytes);
	table->bytes = bytes;
	return table->data && checksum(table->data, bytes) == 0;
}

static void add_cpu(struct acpi_info *info, uint32_t apic_id, uint32_t flags)
{
	if (!(flags & BIT(0))) /* not enabled: absent, or for hot plug */
		return;
	for (size_t i = 0; i < info->cpu_count; i++)
		if (info->cpu_apic_ids[i] == apic_id)
			return;
	if (info->cpu_count < ACPI_MAX_CPUS)
		info->cpu_apic_ids[info->cpu_count++] = apic_id;
	else
		info->cpus_beyond++;
}

static void add_ioapic(struct acpi_info *info, uint64_t address, uint32_t gsi_base)
{
	if (info->ioapic_count < ACPI_MAX_IOAPICS)
		info->ioapics[info->ioapic_count++] =
			(struct acpi_ioapic){.address = address, .gsi_base = gsi_base};
}

static void add_override(struct acpi_info *info, uint8_t bus, uint8_t irq, uint32_t gsi,
			 uint16_t flags)
{
	struct acpi_isa_irq *wiring = &info->isa_irqs[irq % ACPI_ISA_IRQS];

	if (bus != 0 || irq >= ACPI_ISA_IRQS)
		return;
	wiring->gsi = gsi;
	/* 0 is the bus' habit, for ISA edge and active high. */
	wiring->active_low = (flags & 3) == 3;
	wiring->level = (flags >> 2 & 3) == 3;
}

static void read_madt_entry(struct acpi_info *info, const struct acpi_table *table,
			    uint64_t at, uint8_t type, uint8_t bytes)
{
	uint32_t id;

	if (type == 0 && bytes >= 8) {
		id = (uint32_t)table_field(table, at + 3, 1);
		if (id != 0xff)
			add_cpu(info, id, (uint32_t)table_field(table, at + 4, 4));
	} else if (type == 9 && bytes >= 16) {
		id = (uint32_t)table_field(table, at + 4, 4);
		if (id != 0xffffffff)
			add_cpu(info, id, (uint32_t)table_field(table, at + 8, 4));
	} else if (type == 1 && bytes >= 12) {
		add_ioapic(info, table_field(table, at + 4, 4),
			   (uint32_t)table_field(table, at + 8, 4));
	} else if (type == 2 && bytes >= 10) {
		add_override(info, (uint8_t)table_field(table, at + 2, 1),
			     (uint8_t)table_field(table, at + 3, 1),
			     (uint32_t)table_field(table, at + 4, 4),
			     (uint16_t)table_field(table, at + 8, 2));
	}
}

static void read_madt(struct acpi_info *info, const struct acpi_table *table)
{
	uint64_t at = ACPI_HEADER_BYTES + 8;

	while (at + 2 <= table->bytes) {
		uint8_t type = (uint8_t)table_field(table, at, 1);
		uint8_t bytes = (uint8_t)table_field(table, at + 1, 1);

		if (bytes < 2 || !range_within(at, bytes, table->bytes))
			return;
		read_madt_entry(info, table, at, type, bytes);
		at += bytes;
	}
}

/* A Generic Address Structure that names an I/O port. */
static struct acpi_port gas_port(const struct acpi_table *table, uint64_t offset)
{
	uint64_t address = table_field(table, offset + 4, 8);
	uint64_t bits = table_field(table, offset + 1, 1);

	if (table_field(table, offset, 1) != ACPI_SPACE_IO || address > 0xffff)
		return (struct acpi_port){0};
	return (struct acpi_port){.port = (uint16_t)address, .bytes = (uint8_t)(bits / 8)};
}

/* A register block of the FADT: the extended field when it is filled, else the 32-bit one. */
static struct acpi_port fadt_block(const struct acpi_table *table, uint64_t extended,
				   uint64_t legacy, uint64_t legacy_length)
{
	struct acpi_port block = gas_port(table, extended);
	uint64_t port = table_field(table, legacy, 4);

	if (block.port || table_field(table, extended + 4, 8))
		return block;
	if (port > 0xffff)
		return block;
	block.port = (uint16_t)port;
	block.bytes = (uint8_t)table_field(table, legacy_length, 1);
	return block;
}

static void read_spcr(struct acpi_info *info, const struct acpi_table *table)
{
	static const uint32_t bauds[] = {[3] = 9600, [4] = 19200, [6] = 57600, [7] = 115200};
	uint64_t type = table_field(table, 36, 1), baud = table_field(table, 58, 1);

	info->has_spcr = true;
	/* 16550, its subset, or compatible with parameters in the address structure. */
	if (type == 0 || type == 1 || type == 0x12)
		info->serial_port = gas_port(table, 40).port;
	if (table_field(table, 52, 1) & BIT(0))
		info->serial_isa_irq = (uint8_t)table_field(table, 53, 1);
	info->serial_baud = baud < ARRAY_SIZE(bauds) ? bauds[baud] : 0;
}

/* One element of the package: a byte, word or doubleword constant, or Zero, One, Ones. */
static bool aml_integer(const struct acpi_table *table, uint64_t *at, uint8_t *value)
{
	uint8_t op = (uint8_t)table_field(table, *at, 1);
	unsigned int bytes = op == 0x0a ? 1 : op == 0x0b ? 2 : op == 0x0c ? 4 : 0;

	if (op == 0x00 || op == 0x01 || op == 0xff) {
		*value = op;
		*at += 1;
		return true;
	}
	if (!bytes || !range_within(*at + 1, bytes, table->bytes))
		return false;
	*value = (uint8_t)table_field(table, *at + 1, 1);
	*at += 1 + bytes;
	return true;
}

/* At the bytes `_S5_`: Name(_S5_, Package() {type a, type b, ...})? */
static bool read_s5(struct acpi_info *info, const struct acpi_table *table, uint64_t name)
{
	uint64_t at = name + 4;
	bool is_name = table_field(table, name - 1, 1) == 0x08 ||
		       (table_field(table, name - 1, 1) == '\\' &&
			table_field(table, name - 2, 1) == 0x08);

	if (!is_name || table_field(table, at, 1) != 0x12)
		return false;
	at += 2 + (table_field(table, at + 1, 1) >> 6); /* PkgLength: 1 to 4 bytes */
	if (table_field(table, at, 1) < 1)
		return false;
	at += 1; /* number of elements */
	if (!aml_integer(table, &at, &info->s5_type_a))
		return false;
	if (!aml_integer(table, &at, &info->s5_type_b))
		info->s5_type_b = info->s5_type_a;
	info->has_s5 = info->s5_type_a < 8 && info->s5_type_b < 8;
	return info->has_s5;
}

static void read_dsdt(struct acpi_info *info, const struct acpi_table *table)
{
	for (uint64_t at = ACPI_HEADER_BYTES + 2; at + 8 <= table->bytes; at++)
		if (table->data[at] == '_' && memcmp(table->data + at, "_S5_", 4) == 0 &&
		    read_s5(info, table, at))
			return;
}

static void read_fadt(const struct acpi_reader *reader, const struct acpi_table *table)
{
	struct acpi_info *info = reader->info;
	uint64_t flags = table_field(table, 112, 4);
	uint64_t dsdt_address = table_field(table, 140, 8);
	struct acpi_table dsdt;

	info->pm_timer = fadt_block(table, 208, 76, 91);
	info->pm_timer_32bit = flags & BIT(8);
	info->pm1a_control = fadt_block(table, 172, 64, 89);
	info->pm1b_control = fadt_block(table, 184, 68, 89);
	if (flags & BIT(10)) {
		info->reset_port = gas_port(table, 116);
		info->reset_value = (uint8_t)table_field(table, 128, 1);
	}
	if (!dsdt_address)
		dsdt_address = table_field(table, 40, 4);
	if (open_table(reader, dsdt_address, &dsdt))
		read_dsdt(info, &dsdt);
}

static void read_mcfg(struct acpi_info *info, const struct acpi_table *table)
{
	uint64_t at = ACPI_HEADER_BYTES + 8;

	for (; at + 16 <= table->bytes && info->ecam_count < ACPI_MAX_ECAMS; at += 16) {
		struct acpi_ecam ecam = {
			.address = table_field(table, at, 8),
			.segment = (uint16_t)table_field(table, at + 8, 2),
			.first_bus = (uint8_t)table_field(table, at + 10, 1),
			.last_bus = (uint8_t)table_field(table, at + 11, 1),
		};

		if (ecam.address && ecam.first_bus <= ecam.last_bus)
			info->ecams[info->ecam_count++] = ecam;
	}
}

static void read_table(const struct acpi_reader *reader, uint64_t address)
{
	struct acpi_table table;

	if (!open_table(reader, address, &table))
		return;
	if (memcmp(table.data, "APIC", 4) == 0)
		read_madt(reader->info, &table);
	else if (memcmp(table.data, "FACP", 4) == 0)
		read_fadt(reader, &table);
	else if (memcmp(table.data, "SPCR", 4) == 0)
		read_spcr(reader->info, &table);
	else if (memcmp(table.data, "MCFG", 4) == 0)
		read_mcfg(reader->info, &table);
}

static bool read_root(const struct acpi_reader *reader, uint64_t address, unsigned int entry_bytes)
{
	struct acpi_table root;
	uint64_t at = ACPI_HEADER_BYTES;

	if (!open_table(reader, address, &root) ||
	    memcmp(root.data, entry_bytes == 8 ? "XSDT" : "RSDT", 4) != 0)
		return false;
	for (unsigned int i = 0; i < ACPI_MAX_ROOT_ENTRIES && at + entry_bytes <= root.bytes; i++) {
		read_table(reader, table_field(&root, at, entry_bytes));
		at += entry_bytes;
	}
	return true;
}

int acpi_read(uint64_t rsdp, const void *(*map)(uint64_t address, uint64_t bytes),
	      struct acpi_info *info)
{
	struct acpi_reader reader = {.map = map, .info = info};
	const uint8_t *pointer = rsdp ? map(rsdp, 20) : NULL;
	uint64_t xsdt = 0;
	uint32_t rsdt;

	memset(info, 0, sizeof(*info));
	for (uint32_t i = 0; i < ACPI_ISA_IRQS; i++)
		info->isa_irqs[i].gsi = i;
	if (!pointer || memcmp(pointer, "RSD PTR ", 8) != 0 || checksum(pointer, 20) != 0)
		return -ENOENT;
	memcpy(&rsdt, pointer + 16, 4);
	if (pointer[15] >= 2) {
		pointer = map(rsdp, 36);
		if (pointer && checksum(pointer, 36) == 0)
			memcpy(&xsdt, pointer + 24, 8);
	}
	info->present = (xsdt && read_root(&reader, xsdt, 8)) ||
			(rsdt && read_root(&reader, rsdt, 4));
	return info->present ? 0 : -ENOENT;
}
