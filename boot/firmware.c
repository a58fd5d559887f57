/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/boot.h"

#include "host/clock.h"
#include "host/init.h"
#include "lib/printf.h"
#include "lib/string.h"

#define COM1_PORT 0x3f8
#define COM1_IRQ 4
#define COM1_BAUD 115200

EFI_SYSTEM_TABLE *firmware;
EFI_HANDLE firmware_image;

void firmware_print(const char *format, ...)
{
	char text[256];
	CHAR16 wide[2 * sizeof(text)];
	va_list args;
	size_t n = 0;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (const char *c = text; *c; c++) {
		if (*c == '\n')
			wide[n++] = '\r';
		wide[n++] = (CHAR16)*c;
	}
	wide[n] = 0;
	if (firmware->ConOut)
		firmware->ConOut->OutputString(firmware->ConOut, wide);
}

void *firmware_find_table(const EFI_GUID *guid)
{
	for (UINTN i = 0; i < firmware->NumberOfTableEntries; i++)
		if (memcmp(&firmware->ConfigurationTable[i].VendorGuid, guid, sizeof(*guid)) == 0)
			return firmware->ConfigurationTable[i].VendorTable;
	return NULL;
}

/* The firmware maps all memory 1:1 (UEFI specification, "x64 Platforms"). */
static const void *map_physical(uint64_t address, uint64_t bytes)
{
	uint64_t end;

	if (!address || add_overflows(address, bytes, &end) || end >> 52)
		return NULL;
	return host_ptr(address);
}

static void read_acpi(void)
{
	static const EFI_GUID acpi2 = ACPI_20_TABLE_GUID, acpi1 = ACPI_TABLE_GUID;
	const void *rsdp = firmware_find_table(&acpi2);

	if (!rsdp)
		rsdp = firmware_find_table(&acpi1);
	machine.acpi_rsdp = host_phys(rsdp);
	if (acpi_read(machine.acpi_rsdp, map_physical, &machine.acpi))
		machine.acpi_rsdp = 0;
}

static void choose_serial(void)
{
	machine.serial_port = COM1_PORT;
	machine.serial_isa_irq = COM1_IRQ;
	machine.serial_baud = COM1_BAUD;
	if (!machine.acpi.has_spcr || !machine.acpi.serial_port)
		return;
	machine.serial_port = machine.acpi.serial_port;
	machine.serial_baud = machine.acpi.serial_baud;
	if (machine.acpi.serial_isa_irq)
		machine.serial_isa_irq = machine.acpi.serial_isa_irq;
	else if (machine.serial_port == 0x2f8 || machine.serial_port == 0x2e8)
		machine.serial_isa_irq = 3;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar. */
static uint64_t days_since_1970(unsigned int year, unsigned int month, unsigned int day)
{
	/* Years that begin in March put the leap day last. */
	unsigned int y = month <= 2 ? year - 1 : year;
	unsigned int m = month <= 2 ? month + 9 : month - 3;
	uint64_t days = 365ULL * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;

	return days - 719468;
}

static void read_wall_clock(void)
{
	EFI_TIME time;
	uint64_t seconds;

	machine.tsc_at_wall = clock_tsc();
	if (firmware->RuntimeServices->GetTime(&time, NULL) != EFI_SUCCESS || time.Year < 1970 ||
	    time.Month < 1 || time.Month > 12 || time.Day < 1 || time.Day > 31)
		return;
	seconds = days_since_1970(time.Year, time.Month, time.Day) * 86400 +
		  time.Hour * 3600ULL + time.Minute * 60ULL + time.Second;
	/* Local time = UTC - TimeZone, in minutes; most servers do not say, and mean UTC. */
	if (time.TimeZone >= -1440 && time.TimeZone <= 1440)
		seconds += (uint64_t)(int64_t)time.TimeZone * 60;
	machine.wall_ns_at_boot = seconds * NS_PER_SEC + time.Nanosecond;
}

static void read_name(void)
{
	char vendor[40];
	size_t n = 0;

	for (const CHAR16 *c = firmware->FirmwareVendor; c && *c && n + 1 < sizeof(vendor); c++)
		vendor[n++] = *c >= ' ' && *c <= '~' ? (char)*c : '?';
	vendor[n] = '\0';
	snprintf(machine.firmware, sizeof(machine.firmware), "%s 0x%x, UEFI %u.%u", vendor,
		 firmware->FirmwareRevision, firmware->Hdr.Revision >> 16,
		 (firmware->Hdr.Revision & 0xffff) / 10);
}

void firmware_read_machine(void)
{
	read_acpi();
	clock_start();
	choose_serial();
	read_wall_clock();
	read_name();
	machine.reset_system = (uint64_t)(uintptr_t)firmware->RuntimeServices->ResetSystem;
}
