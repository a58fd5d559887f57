/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory layout and firmware tables. The ACPI tables are read back by checksum, by the
 * host's own ACPI reader, and by iasl's disassembler where the build found it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>

#include "devices/platform.h"
#include "fake_guest_memory.h"
#include "host/acpi.h"
#include "mgmt/guest_firmware.h"
#include "mgmt/guest_layout.h"
#include "vcpu/cpuid.h"
#include "vcpu/vm.h"

static struct cpuid_table cpuid_policy = { .physical_bits = 36 };
static struct vm vm = { .cpuid = &cpuid_policy };

static void reset(void)
{
	fake_guest_memory_reset(&vm.memory);
}

static void assert_slot(size_t index, gpa_t start, gpa_t end)
{
	assert_int_equal(vm.memory.slots[index].start, start);
	assert_int_equal(vm.memory.slots[index].start + vm.memory.slots[index].bytes, end);
	assert_false(vm.memory.slots[index].read_only);
}

static void ram_lies_around_the_holes(void **state)
{
	(void)state;
	reset();
	assert_int_equal(guest_layout_add_memory(&vm, MIB(256)), 0);
	assert_int_equal(vm.memory.slot_count, 2);
	assert_slot(0, 0, 0xa0000);
	assert_slot(1, 0xc0000, MIB(256));

	reset();
	assert_int_equal(guest_layout_add_memory(&vm, MIB(1)), 0);
	assert_slot(1, 0xc0000, MIB(1));

	reset();
	assert_int_equal(guest_layout_add_memory(&vm, GIB(3)), 0);
	assert_int_equal(vm.memory.slot_count, 2);
	assert_slot(1, 0xc0000, 0xc0000000);

	reset();
	assert_int_equal(guest_layout_add_memory(&vm, GIB(5)), 0);
	assert_int_equal(vm.memory.slot_count, 3);
	assert_slot(1, 0xc0000, 0xc0000000);
	assert_slot(2, GIB(4), GIB(6));
}

static void impossible_sizes_are_refused(void **state)
{
	(void)state;
	reset();
	assert_int_equal(guest_layout_add_memory(&vm, MIB(1) - 4096), -EINVAL);
	assert_int_equal(guest_layout_add_memory(&vm, MIB(2) + 1), -EINVAL);
	assert_int_equal(guest_layout_add_memory(&vm, GIB(63) + 4096), -EINVAL);
	assert_int_equal(guest_layout_add_memory(&vm, ~PAGE_MASK), -EINVAL);
	assert_int_equal(vm.memory.slot_count, 0);
	assert_int_equal(guest_layout_add_memory(&vm, GIB(63)), 0);
	assert_slot(2, GIB(4), GIB(64));
}

static void what_can_be_plugged_lies_behind_the_ram(void **state)
{
	static const uint64_t sizes[][2] = {
		{ MIB(256), GIB(4) }, { PCI_HOLE_START, GIB(4) }, { GIB(5), GIB(6) }, { GIB(62), GIB(63) } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct memory_slot *slot;

		reset();
		assert_int_equal(guest_layout_add_memory(&vm, sizes[i][0]), 0);
		assert_null(guest_layout_hotplug(&vm.memory));
		assert_int_equal(guest_layout_add_hotplug(&vm, MIB(101)), 0);
		slot = guest_layout_hotplug(&vm.memory);
		assert_non_null(slot);
		assert_int_equal(slot->start, sizes[i][1]);
		assert_int_equal(slot->bytes, MIB(102));
		assert_int_equal(guest_layout_memory_bytes(&vm.memory), sizes[i][0]);
	}
	reset();
	assert_int_equal(guest_layout_add_memory(&vm, GIB(62)), 0);
	assert_int_equal(guest_layout_add_hotplug(&vm, GIB(2)), -EINVAL);
}

static void the_map_is_sorted_and_tells_of_ram_only_where_it_is(void **state)
{
	static const uint64_t sizes[] = { MIB(1), MIB(2), MIB(256), GIB(3), GIB(3) + 4096, GIB(8) };
	struct layout_range ranges[LAYOUT_RANGES];

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		size_t count = guest_layout_map(sizes[s], ranges);
		uint64_t end = 0, ram = 0;

		reset();
		assert_int_equal(guest_layout_add_memory(&vm, sizes[s]), 0);
		for (size_t i = 0; i < count; i++) {
			gpa_t last = ranges[i].start + ranges[i].bytes - 1;

			assert_true(ranges[i].bytes > 0);
			assert_true(ranges[i].start >= end);
			end = last + 1;
			if (ranges[i].type != LAYOUT_RAM)
				continue;
			ram += ranges[i].bytes;
			assert_true(guest_memory_is_ram(&vm.memory, ranges[i].start));
			assert_true(guest_memory_is_ram(&vm.memory, last));
		}
		assert_int_equal(ram, sizes[s] - (MIB(1) - LAYOUT_EBDA));
	}
}

static void kernels_may_lie_in_free_ram_only(void **state)
{
	(void)state;
	assert_true(guest_layout_is_free(MIB(64), MIB(1), MIB(63)));
	assert_false(guest_layout_is_free(MIB(64), MIB(1), MIB(63) + 1));
	assert_false(guest_layout_is_free(MIB(64), MIB(65), 1));
	assert_false(guest_layout_is_free(MIB(64), ~0ULL, 2));
	assert_false(guest_layout_is_free(GIB(8), GIB(4), 1));
	assert_false(guest_layout_is_free(MIB(64), 0, 1));
	assert_false(guest_layout_is_free(MIB(64), LAYOUT_BOOT_END - 1, 1));
	assert_true(guest_layout_is_free(MIB(64), LAYOUT_BOOT_END, LAYOUT_EBDA - LAYOUT_BOOT_END));
	assert_false(guest_layout_is_free(MIB(64), LAYOUT_BOOT_END, MIB(1)));
	assert_false(guest_layout_is_free(MIB(64), MIB(1) - 1, 1));
}

static uint32_t get(gpa_t gpa, unsigned int bytes)
{
	uint32_t value = 0;

	memcpy(&value, fake_guest_memory_at(gpa), bytes);
	return value;
}

static gpa_t write_firmware(unsigned int vcpus)
{
	gpa_t rsdp = 0;

	reset();
	assert_int_equal(guest_layout_add_memory(&vm, MIB(64)), 0);
	assert_int_equal(guest_firmware_write(&vm.memory, vcpus, &rsdp), 0);
	return rsdp;
}

static void the_bios_data_area_is_filled(void **state)
{
	(void)state;
	write_firmware(1);
	assert_int_equal(get(0x400, 2), PORT_COM1);
	assert_int_equal(get(0x402, 2), 0);
	assert_int_equal(get(0x40e, 2) << 4, LAYOUT_EBDA);
	assert_int_equal(get(0x410, 2) >> 9 & 7, 1);
	assert_int_equal(get(0x413, 2) << 10, LAYOUT_EBDA);
	assert_int_equal(get(LAYOUT_EBDA, 1) << 10, LAYOUT_VGA - LAYOUT_EBDA);
}

/* The far pointers of the vector table lead to an IRET, and all but interrupts set carry before. */
static void vectors_lead_to_stubs(void **state)
{
	static const uint8_t service[] = { 0x55, 0x89, 0xe5, 0x80, 0x4e, 0x06, 0x01, 0x5d, 0xcf };

	(void)state;
	write_firmware(1);
	for (unsigned int i = 0; i < 256; i++) {
		gpa_t at = get(i * 4 + 2, 2) * 16 + get(i * 4, 2);

		if (i < 0x10 || (i >= 0x70 && i < 0x78))
			assert_int_equal(get(at, 1), 0xcf);
		else
			assert_memory_equal(fake_guest_memory_at(at), service, sizeof(service));
	}
	/* mov dx, 0xcf9; mov al, 6; out dx, al */
	assert_int_equal(get(0xffff0, 3), 0xba | PORT_RESET_CONTROL << 8);
	assert_int_equal(get(0xffff3, 3), 0xb0 | ACPI_RESET_VALUE << 8 | 0xee << 16);
}

static void assert_sum(gpa_t at, uint32_t bytes)
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + get(at + i, 1));
	assert_int_equal(sum, 0);
}

static void assert_table(gpa_t at, const char *signature)
{
	assert_memory_equal(fake_guest_memory_at(at), signature, 4);
	assert_sum(at, get(at + 4, 4));
}

static void acpi_tables_hang_together(void **state)
{
	gpa_t rsdp = write_firmware(4), rsdt, xsdt, fadt, madt, mcfg;

	(void)state;
	assert_int_equal(rsdp & 15, 0);
	assert_in_range(rsdp, 0xe0000, 0xfffff);
	assert_memory_equal(fake_guest_memory_at(rsdp), "RSD PTR ", 8);
	assert_int_equal(get(rsdp + 15, 1), 2);
	assert_int_equal(get(rsdp + 20, 4), 36);
	assert_sum(rsdp, 20);
	assert_sum(rsdp, 36);
	rsdt = get(rsdp + 16, 4);
	xsdt = get(rsdp + 24, 4);
	assert_table(rsdt, "RSDT");
	assert_table(xsdt, "XSDT");
	assert_int_equal(get(rsdt + 4, 4), 36 + 3 * 4);
	assert_int_equal(get(xsdt + 4, 4), 36 + 3 * 8);
	fadt = get(xsdt + 36, 4);
	madt = get(xsdt + 44, 4);
	assert_int_equal(get(rsdt + 36, 4), fadt);
	assert_int_equal(get(rsdt + 40, 4), madt);
	assert_table(fadt, "FACP");
	assert_table(madt, "APIC");
	mcfg = get(xsdt + 52, 4);
	assert_int_equal(get(rsdt + 44, 4), mcfg);
	assert_table(mcfg, "MCFG");
	assert_int_equal(get(mcfg + 4, 4), 60);
	assert_int_equal(get(mcfg + 44, 4), PCI_ECAM_BASE);
	assert_int_equal(get(mcfg + 52, 4), 0); /* segment 0, buses 0 to 0 */
	assert_int_equal(get(fadt + 80, 4), PORT_GPE);
	assert_int_equal(get(fadt + 92, 1), 2);
	assert_table(get(fadt + 40, 4), "DSDT");
	assert_int_equal(get(fadt + 140, 4), get(fadt + 40, 4));
	assert_memory_equal(fake_guest_memory_at(get(fadt + 36, 4)), "FACS", 4);
	assert_int_equal(get(fadt + 36, 4) & 63, 0);
	assert_int_equal(get(fadt + 132, 4), get(fadt + 36, 4));
	assert_int_equal(get(fadt + 46, 2), IRQ_SCI);
	assert_int_equal(get(fadt + 109, 2), 1 | 4);
}

/* The entries of the MADT as a guest walks them; returns how many CPUs there are. */
static unsigned int walk_madt(gpa_t madt)
{
	gpa_t at = madt + 44, end = madt + get(madt + 4, 4);
	unsigned int cpus = 0, others = 0;

	for (; at < end; at += get(at + 1, 1)) {
		assert_true(get(at + 1, 1) >= 2);
		switch (get(at, 1)) {
		case 0:
			assert_int_equal(get(at + 1, 1), 8);
			assert_int_equal(get(at + 3, 1), cpus++);
			assert_int_equal(get(at + 4, 4), 1);
			break;
		case 1:
			assert_int_equal(get(at + 2, 1), IOAPIC_ID);
			assert_int_equal(get(at + 4, 4), IOAPIC_BASE);
			assert_int_equal(get(at + 8, 4), 0);
			others |= 1;
			break;
		case 2:
			if (get(at + 3, 1) == IRQ_PIT) {
				assert_int_equal(get(at + 4, 4), IOAPIC_PIT_PIN);
				assert_int_equal(get(at + 8, 2), 0);
				others |= 2;
			} else {
				assert_int_equal(get(at + 3, 1), IRQ_SCI);
				assert_int_equal(get(at + 4, 4), IRQ_SCI);
				assert_int_equal(get(at + 8, 2), 0xd);
				others |= 4;
			}
			break;
		case 4:
			assert_int_equal(get(at + 2, 1), 0xff);
			assert_int_equal(get(at + 5, 1), 1);
			others |= 8;
			break;
		default:
			fail();
		}
	}
	assert_int_equal(at, end);
	assert_int_equal(others, 15);
	return cpus;
}

static void the_madt_has_one_entry_a_vcpu(void **state)
{
	static const unsigned int counts[] = { 1, 2, 63, 64 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		gpa_t rsdp = write_firmware(counts[i]);

		assert_int_equal(walk_madt(get(get(rsdp + 24, 4) + 44, 4)), counts[i]);
	}
}

static const void *map_guest(uint64_t address, uint64_t bytes)
{
	return range_within(address, bytes, MIB(64)) ? fake_guest_memory_at(address) : NULL;
}

static void the_hosts_reader_understands_them(void **state)
{
	static struct acpi_info info;
	gpa_t rsdp = write_firmware(3);

	(void)state;
	assert_int_equal(acpi_read(rsdp, map_guest, &info), 0);
	assert_int_equal(info.cpu_count, 3);
	assert_int_equal(info.cpu_apic_ids[2], 2);
	assert_int_equal(info.ioapic_count, 1);
	assert_int_equal(info.ioapics[0].address, IOAPIC_BASE);
	assert_int_equal(info.isa_irqs[IRQ_PIT].gsi, IOAPIC_PIT_PIN);
	assert_int_equal(info.isa_irqs[IRQ_COM1].gsi, IRQ_COM1);
	assert_true(info.isa_irqs[IRQ_SCI].level);
	assert_false(info.isa_irqs[IRQ_SCI].active_low);
	assert_int_equal(info.pm_timer.port, PORT_PM_TIMER);
	assert_int_equal(info.pm_timer_32bit, ACPI_PM_TIMER_32BIT);
	assert_int_equal(info.pm1a_control.port, PORT_PM1_CONTROL);
	assert_true(info.has_s5);
	assert_int_equal(info.s5_type_a, ACPI_S5_TYPE);
	assert_int_equal(info.reset_port.port, PORT_RESET_CONTROL);
	assert_int_equal(info.reset_value, ACPI_RESET_VALUE);
}

static void tables_that_do_not_fit_are_refused(void **state)
{
	gpa_t rsdp;

	(void)state;
	reset();
	assert_int_equal(guest_layout_add_memory(&vm, MIB(64)), 0);
	assert_int_equal(guest_acpi_write(&vm.memory, 0xe0000, 0xe0400, 1), -ENOSPC);
	assert_int_equal(guest_acpi_write(&vm.memory, 0xe0000, 0xf0000, 65), -EINVAL);
	reset();
	assert_int_equal(guest_layout_add_memory(&vm, MIB(64)), 0);
	fake_guest_memory_set_limit(2);
	assert_int_equal(guest_firmware_write(&vm.memory, 1, &rsdp), -EFAULT);
}

#ifdef IASL
/* Disassemble one table; the text, to be freed. */
static char *disassemble(const char *folder, gpa_t at)
{
	char path[200], command[600];
	char *text = calloc(1, 65536);
	FILE *file;

	snprintf(path, sizeof(path), "%s/t.dat", folder);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(fake_guest_memory_at(at), 1, get(at + 4, 4), file),
		get(at + 4, 4));
	fclose(file);
	snprintf(command, sizeof(command), "cd %s && " IASL " -p t -d t.dat > log 2>&1", folder);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/t.dsl", folder);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

static void assert_disassembly_has(const char *folder, gpa_t at, const char *const *words)
{
	char *text = disassemble(folder, at);

	for (; *words; words++) {
		if (!strstr(text, *words))
			fail_msg("'%s' is not in:\n%s", *words, text);
	}
	assert_null(strstr(text, "Invalid"));
	assert_null(strstr(text, "should be"));
	free(text);
}

static void iasl_disassembles_them(void **state)
{
	static const char *const fadt_words[] = { "Reset Register : [Generic Address Structure]",
		"Legacy Devices Supported", "PM Timer Block Length : 04", NULL };
	static const char *const madt_words[] = { "Processor Local APIC", "I/O APIC",
		"Interrupt Source Override", "Local APIC NMI", NULL };
	static const char *const mcfg_words[] = { "Base Address : 00000000E0000000", "End Bus Number : 00", NULL };
	static const char *const dsdt_words[] = { "_S5", "PNP0A03", "PNP0501", "0x03F8", "PNP0B00",
		"_PRT", "_E01", "0x001FFFFF", "0xE0000000", NULL };
	char folder[] = "/tmp/ballast-acpi-XXXXXX", command[100];
	gpa_t rsdp = write_firmware(2), fadt, madt;

	(void)state;
	assert_non_null(mkdtemp(folder));
	fadt = get(get(rsdp + 24, 4) + 36, 4);
	madt = get(get(rsdp + 24, 4) + 44, 4);
	assert_disassembly_has(folder, fadt, fadt_words);
	assert_disassembly_has(folder, madt, madt_words);
	assert_disassembly_has(folder, get(get(rsdp + 24, 4) + 52, 4), mcfg_words);
	assert_disassembly_has(folder, get(fadt + 40, 4), dsdt_words);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ram_lies_around_the_holes),
		cmocka_unit_test(impossible_sizes_are_refused),
		cmocka_unit_test(what_can_be_plugged_lies_behind_the_ram),
		cmocka_unit_test(the_map_is_sorted_and_tells_of_ram_only_where_it_is),
		cmocka_unit_test(kernels_may_lie_in_free_ram_only),
		cmocka_unit_test(the_bios_data_area_is_filled),
		cmocka_unit_test(vectors_lead_to_stubs),
		cmocka_unit_test(acpi_tables_hang_together),
		cmocka_unit_test(the_madt_has_one_entry_a_vcpu),
		cmocka_unit_test(the_hosts_reader_understands_them),
		cmocka_unit_test(tables_that_do_not_fit_are_refused),
#ifdef IASL
		cmocka_unit_test(iasl_disassembles_them),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
