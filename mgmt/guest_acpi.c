/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's ACPI tables (ACPI Specification 5.0, "ACPI Software Programming Model"): FADT of
 * revision 4, the last without the fields of hardware-reduced ACPI. Each table is made in a local
 * structure, summed, and copied to the guest.
 */
#include "devices/platform.h"
#include "ept/guest_memory.h"
#include "lib/string.h"
#include "mgmt/guest_firmware.h"
#include "mgmt/guest_layout.h"

#define OEM_ID "BALAST"
#define OEM_TABLE_ID "BALLAST "

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __packed;
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI table header size");

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __packed;
_Static_assert(sizeof(struct acpi_rsdp) == 36, "RSDP size");
#define RSDP_FIRST_PART 20

/* FADT, MADT, MCFG. */
#define TABLES 3

struct acpi_rsdt {
	struct acpi_header header;
	uint32_t tables[TABLES];
} __packed;

struct acpi_xsdt {
	struct acpi_header header;
	uint64_t tables[TABLES];
} __packed;

struct acpi_address {
	uint8_t space;
	uint8_t bits;
	uint8_t bit_offset;
	uint8_t access; /* 1 byte, 2 word, 3 dword */
	uint64_t address;
} __packed;
#define ADDRESS_IO(bits, access, port) { 1, bits, 0, access, port }

struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t reserved0;
	uint8_t profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate_control;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer;
	uint32_t gpe0, gpe1;
	uint8_t pm1_event_bytes, pm1_control_bytes, pm2_control_bytes, pm_timer_bytes;
	uint8_t gpe0_bytes, gpe1_bytes, gpe1_base, cstate_control;
	uint16_t c2_latency, c3_latency;
	uint16_t flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_flags;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_address reset_register;
	uint8_t reset_value;
	uint8_t reserved2[3];
	uint64_t x_facs, x_dsdt;
	struct acpi_address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
	struct acpi_address x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
} __packed;
_Static_assert(sizeof(struct acpi_fadt) == 244, "FADT size");
_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "FADT flags offset");
#define FADT_REVISION 4

#define FADT_WBINVD BIT(0)
#define FADT_PROC_C1 BIT(2)
#define FADT_NO_POWER_BUTTON BIT(4)
#define FADT_NO_SLEEP_BUTTON BIT(5)
#define FADT_NO_RTC_WAKE BIT(6)
#define FADT_TIMER_32BIT BIT(8)
#define FADT_RESET_REGISTER BIT(10)

/*
 * Serial port, RTC and the like are there; no VGA. The keyboard controller is not announced:
 * nothing will ever be plugged into it, and a guest that looks for a keyboard spends time on it.
 */
#define FADT_BOOT_LEGACY_DEVICES BIT(0)
#define FADT_BOOT_NO_VGA BIT(2)

/* Latencies that mean "not supported". */
#define FADT_NO_C2 101
#define FADT_NO_C3 1001

struct acpi_facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature;
	uint32_t waking_vector;
	uint32_t global_lock;
	uint32_t flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} __packed;
_Static_assert(sizeof(struct acpi_facs) == 64, "FACS size");

struct madt_lapic {
	uint8_t type, length;
	uint8_t processor;
	uint8_t apic_id;
	uint32_t flags;
} __packed;
_Static_assert(sizeof(struct madt_lapic) == 8, "MADT LAPIC entry size");

struct madt_ioapic {
	uint8_t type, length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
} __packed;
_Static_assert(sizeof(struct madt_ioapic) == 12, "MADT IOAPIC entry size");

struct madt_override {
	uint8_t type, length;
	uint8_t bus;
	uint8_t irq;
	uint32_t gsi;
	uint16_t flags;
} __packed;
_Static_assert(sizeof(struct madt_override) == 10, "MADT override entry size");

struct madt_nmi {
	uint8_t type, length;
	uint8_t processor;
	uint16_t flags;
	uint8_t lint;
} __packed;
_Static_assert(sizeof(struct madt_nmi) == 6, "MADT LAPIC NMI entry size");

/* In guest memory the LAPICs' entries beyond vcpu_count are left out: they come last. */
struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic_address;
	uint32_t flags;
	struct madt_ioapic ioapic;
	struct madt_override timer;
	struct madt_override sci;
	struct madt_nmi nmi;
	struct madt_lapic lapics[VM_MAX_VCPUS];
} __packed;
_Static_assert(offsetof(struct acpi_madt, ioapic) == 44, "MADT size");

#define MADT_PCAT_COMPAT 1
#define MADT_LAPIC 0
#define MADT_IOAPIC 1
#define MADT_OVERRIDE 2
#define MADT_NMI 4
#define MADT_ENABLED 1
#define MADT_ALL_PROCESSORS 0xff
#define MADT_ACTIVE_HIGH 0x1
#define MADT_LEVEL 0xc
#define MADT_LINT_NMI 1

/* PCI Firmware Specification, "MCFG Table Description". */
struct acpi_mcfg {
	struct acpi_header header;
	uint64_t reserved0;
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved1;
} __packed;
_Static_assert(sizeof(struct acpi_mcfg) == 60, "MCFG size");

/* Where the next table goes. */
struct writer {
	struct guest_memory *memory;
	gpa_t next, end;
};

static uint8_t checksum(const void *table, size_t bytes)
{
	const uint8_t *at = table;
	uint8_t sum = 0;

	for (size_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + at[i]);
	return (uint8_t)-sum;
}

static void init_header(struct acpi_header *header, const char *signature, size_t length,
	uint8_t revision)
{
	memset(header, 0, sizeof(*header));
	memcpy(header->signature, signature, sizeof(header->signature));
	header->length = (uint32_t)length;
	header->revision = revision;
	memcpy(header->oem_id, OEM_ID, sizeof(header->oem_id));
	memcpy(header->oem_table_id, OEM_TABLE_ID, sizeof(header->oem_table_id));
	header->oem_revision = 1;
	memcpy(header->creator_id, "BLST", sizeof(header->creator_id));
	header->creator_revision = 1;
}

/* Copy a structure to the next free place, 64-byte aligned as the FACS must be. */
static int put(struct writer *writer, const void *data, size_t bytes, uint64_t *at)
{
	uint64_t start = ROUND_UP(writer->next, 64);

	if (!range_within(start, bytes, writer->end))
		return -ENOSPC;
	*at = start;
	writer->next = start + bytes;
	return guest_memory_write(writer->memory, start, data, bytes);
}

static int put_table(struct writer *writer, struct acpi_header *table, uint64_t *at)
{
	table->checksum = checksum(table, table->length);
	return put(writer, table, table->length, at);
}

static int put_facs(struct writer *writer, uint64_t *at)
{
	struct acpi_facs facs = {
		.signature = { 'F', 'A', 'C', 'S' },
		.length = sizeof(facs),
		.version = 1,
	};

	return put(writer, &facs, sizeof(facs), at);
}

static int put_fadt(struct writer *writer, uint64_t facs, uint64_t dsdt, uint64_t *at)
{
	struct acpi_fadt fadt = {
		.facs = (uint32_t)facs,
		.dsdt = (uint32_t)dsdt,
		.sci = IRQ_SCI,
		.smi_command = PORT_SMI_COMMAND,
		.acpi_enable = ACPI_ENABLE_VALUE,
		.acpi_disable = ACPI_DISABLE_VALUE,
		.pm1a_event = PORT_PM1_EVENT,
		.pm1a_control = PORT_PM1_CONTROL,
		.pm_timer = PORT_PM_TIMER,
		.gpe0 = PORT_GPE,
		.pm1_event_bytes = 4,
		.pm1_control_bytes = 2,
		.pm_timer_bytes = 4,
		.gpe0_bytes = 2,
		.c2_latency = FADT_NO_C2,
		.c3_latency = FADT_NO_C3,
		.century = ACPI_RTC_CENTURY,
		.boot_flags = FADT_BOOT_LEGACY_DEVICES | FADT_BOOT_NO_VGA,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON |
			 FADT_NO_RTC_WAKE | FADT_RESET_REGISTER |
			 (ACPI_PM_TIMER_32BIT ? FADT_TIMER_32BIT : 0),
		.reset_register = ADDRESS_IO(8, 1, PORT_RESET_CONTROL),
		.reset_value = ACPI_RESET_VALUE,
		.x_facs = facs, /* both: Xen complains when they differ */
		.x_dsdt = dsdt,
		.x_pm1a_event = ADDRESS_IO(32, 2, PORT_PM1_EVENT),
		.x_pm1a_control = ADDRESS_IO(16, 2, PORT_PM1_CONTROL),
		.x_pm_timer = ADDRESS_IO(32, 3, PORT_PM_TIMER),
		.x_gpe0 = ADDRESS_IO(16, 1, PORT_GPE),
	};

	init_header(&fadt.header, "FACP", sizeof(fadt), FADT_REVISION);
	return put_table(writer, &fadt.header, at);
}

static int put_madt(struct writer *writer, unsigned int vcpu_count, uint64_t *at)
{
	struct acpi_madt madt = {
		.lapic_address = LAPIC_DEFAULT_BASE,
		.flags = MADT_PCAT_COMPAT,
		.ioapic = { MADT_IOAPIC, sizeof(madt.ioapic), IOAPIC_ID, 0, IOAPIC_BASE, 0 },
		.timer = { MADT_OVERRIDE, sizeof(madt.timer), 0, IRQ_PIT, IOAPIC_PIT_PIN, 0 },
		.sci = { MADT_OVERRIDE, sizeof(madt.sci), 0, IRQ_SCI, IRQ_SCI,
			MADT_ACTIVE_HIGH | MADT_LEVEL },
		.nmi = { MADT_NMI, sizeof(madt.nmi), MADT_ALL_PROCESSORS, 0, MADT_LINT_NMI },
	};

	if (vcpu_count > VM_MAX_VCPUS)
		return -EINVAL;
	for (unsigned int i = 0; i < vcpu_count; i++)
		madt.lapics[i] = (struct madt_lapic){ MADT_LAPIC, sizeof(madt.lapics[i]),
			(uint8_t)i, (uint8_t)i, MADT_ENABLED };
	init_header(&madt.header, "APIC",
		offsetof(struct acpi_madt, lapics) + vcpu_count * sizeof(madt.lapics[0]), 3);
	return put_table(writer, &madt.header, at);
}

static int put_mcfg(struct writer *writer, uint64_t *at)
{
	struct acpi_mcfg mcfg = { .base = PCI_ECAM_BASE };

	init_header(&mcfg.header, "MCFG", sizeof(mcfg), 1);
	return put_table(writer, &mcfg.header, at);
}

/* RSDT and XSDT for these tables, and the RSDP that points to them. */
static int put_roots(struct writer *writer, const uint64_t tables[TABLES], gpa_t rsdp_at)
{
	struct acpi_rsdt rsdt;
	struct acpi_xsdt xsdt;
	struct acpi_rsdp rsdp = { .revision = 2, .length = sizeof(rsdp) };
	uint64_t rsdt_at, xsdt_at;
	int error;

	for (size_t i = 0; i < TABLES; i++) {
		rsdt.tables[i] = (uint32_t)tables[i];
		xsdt.tables[i] = tables[i];
	}
	init_header(&rsdt.header, "RSDT", sizeof(rsdt), 1);
	init_header(&xsdt.header, "XSDT", sizeof(xsdt), 1);
	error = put_table(writer, &rsdt.header, &rsdt_at);
	if (!error)
		error = put_table(writer, &xsdt.header, &xsdt_at);
	if (error)
		return error;
	memcpy(rsdp.signature, "RSD PTR ", sizeof(rsdp.signature));
	memcpy(rsdp.oem_id, OEM_ID, sizeof(rsdp.oem_id));
	rsdp.rsdt = (uint32_t)rsdt_at;
	rsdp.xsdt = xsdt_at;
	rsdp.checksum = checksum(&rsdp, RSDP_FIRST_PART);
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	return guest_memory_write(writer->memory, rsdp_at, &rsdp, sizeof(rsdp));
}

int guest_acpi_write(struct guest_memory *memory, gpa_t start, gpa_t end, unsigned int vcpu_count)
{
	struct writer writer = { memory, start + sizeof(struct acpi_rsdp), end };
	uint64_t facs, dsdt, tables[TABLES];
	int error = put_facs(&writer, &facs);

	if (!error)
		error = put(&writer, guest_dsdt, guest_dsdt_bytes, &dsdt);
	if (!error)
		error = put_fadt(&writer, facs, dsdt, &tables[0]);
	if (!error)
		error = put_madt(&writer, vcpu_count, &tables[1]);
	if (!error)
		error = put_mcfg(&writer, &tables[2]);
	if (!error)
		error = put_roots(&writer, tables, start);
	return error;
}
