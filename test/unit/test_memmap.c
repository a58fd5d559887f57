/* SPDX-License-Identifier: BSD-2-Clause */
/* Leaving the firmware and reading its memory map, with a firmware made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "boot/boot.h"

#define ENTRY_BYTES 48 /* longer than the structure, as real firmware has it */
#define MAX_ENTRIES 600

struct entry {
	uint32_t type;
	hpa_t start;
	uint64_t pages;
	uint64_t attribute;
};

struct machine machine;
EFI_SYSTEM_TABLE *firmware;
EFI_HANDLE firmware_image = (EFI_HANDLE)0x1234;

static struct entry entries[MAX_ENTRIES];
static size_t entry_count;
static UINTN current_key, exits, refusals;
static uint8_t map_memory[MAX_ENTRIES * ENTRY_BYTES + 8 * PAGE_SIZE] __aligned(4096);

static EFI_STATUS EFIAPI get_memory_map(UINTN *bytes, EFI_MEMORY_DESCRIPTOR *map, UINTN *key,
	UINTN *entry_bytes, UINT32 *version)
{
	UINTN needed = entry_count * ENTRY_BYTES;

	*entry_bytes = ENTRY_BYTES;
	*version = 1;
	if (*bytes < needed) {
		*bytes = needed;
		return EFI_BUFFER_TOO_SMALL;
	}
	memset(map, 0xee, *bytes);
	*bytes = needed;
	for (size_t i = 0; i < entry_count; i++) {
		EFI_MEMORY_DESCRIPTOR *to =
			(EFI_MEMORY_DESCRIPTOR *)((uint8_t *)map + i * ENTRY_BYTES);

		to->Type = entries[i].type;
		to->PhysicalStart = entries[i].start;
		to->VirtualStart = 0;
		to->NumberOfPages = entries[i].pages;
		to->Attribute = entries[i].attribute;
	}
	*key = current_key;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI allocate_pages(EFI_ALLOCATE_TYPE type, EFI_MEMORY_TYPE memory_type,
	UINTN pages, EFI_PHYSICAL_ADDRESS *memory)
{
	assert_int_equal(memory_type, EfiLoaderData);
	current_key++;
	if (type == AllocateMaxAddress) {
		assert_int_equal(pages, 3);
		assert_int_equal(*memory, 0xfffff);
		*memory = 0x9c000;
		return EFI_SUCCESS;
	}
	assert_true(pages * PAGE_SIZE <= sizeof(map_memory));
	*memory = (uintptr_t)map_memory;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI exit_boot_services(EFI_HANDLE image, UINTN key)
{
	assert_ptr_equal(image, firmware_image);
	exits++;
	if (refusals) {
		refusals--;
		current_key++;
	}
	return key == current_key ? EFI_SUCCESS : EFI_INVALID_PARAMETER;
}

static EFI_BOOT_SERVICES services;
static EFI_SYSTEM_TABLE system_table;

static int set_up(void **state)
{
	(void)state;
	memset(&machine, 0, sizeof(machine));
	machine.cpu_count = 2;
	services.GetMemoryMap = get_memory_map;
	services.AllocatePages = allocate_pages;
	services.ExitBootServices = exit_boot_services;
	system_table.BootServices = &services;
	firmware = &system_table;
	entry_count = 0;
	exits = 0;
	refusals = 0;
	return 0;
}

static void add(uint32_t type, hpa_t start, uint64_t bytes, uint64_t attribute)
{
	entries[entry_count++] = (struct entry){type, start, bytes >> PAGE_SHIFT, attribute};
}

/* A small PC, its entries in disorder. */
static void add_usual(void)
{
	add(EfiConventionalMemory, MIB(1), MIB(7), 0xf);
	add(EfiBootServicesCode, 0, PAGE_SIZE, 0xf);
	add(EfiConventionalMemory, PAGE_SIZE, 0x9f000, 0xf);
	add(EfiBootServicesData, MIB(8), MIB(1), 0xf);
	add(EfiReservedMemoryType, MIB(2048) - MIB(1), MIB(1), 0xf);
	add(EfiLoaderCode, MIB(40), MIB(1), 0xf);
	add(EfiConventionalMemory, MIB(9), MIB(31), 0xf);
	add(EfiConventionalMemory, MIB(41), MIB(1900), 0xf);
	add(EfiRuntimeServicesCode, MIB(1941), MIB(1), 0xf | EFI_MEMORY_RUNTIME);
	add(EfiRuntimeServicesData, MIB(1942), MIB(2), 0xf | EFI_MEMORY_RUNTIME);
	add(EfiACPIReclaimMemory, MIB(1944), PAGE_SIZE, 0xf);
	add(EfiMemoryMappedIO, 0xffc00000, MIB(4), 1 | EFI_MEMORY_RUNTIME);
	add(EfiMemoryMappedIO, 0xe0000000, MIB(256), 1);
	add(EfiConventionalMemory, GIB(4), GIB(2), 0xf);
}

static enum machine_mapping_kind mapped(hpa_t address, bool *found)
{
	*found = false;
	for (size_t i = 0; i < machine.mapping_count; i++) {
		const struct machine_mapping *m = &machine.mappings[i];

		if (address - m->range.start < m->range.bytes) {
			*found = true;
			return m->kind;
		}
	}
	return 0;
}

static bool is_free(hpa_t address)
{
	for (size_t i = 0; i < machine.memory_count; i++)
		if (address - machine.memory[i].start < machine.memory[i].bytes)
			return true;
	return false;
}

static void expect_sorted(void)
{
	for (size_t i = 1; i < machine.memory_count; i++)
		assert_true(machine.memory[i - 1].start + machine.memory[i - 1].bytes <
			    machine.memory[i].start);
	for (size_t i = 1; i < machine.mapping_count; i++)
		assert_true(machine.mappings[i - 1].range.start +
				    machine.mappings[i - 1].range.bytes <=
			    machine.mappings[i].range.start);
}

static void the_usual_map_is_understood(void **state)
{
	bool found;
	struct memory_range unused;

	(void)state;
	add_usual();
	assert_int_equal(memmap_exit_boot_services(), EFI_SUCCESS);
	assert_null(firmware);
	assert_int_equal(exits, 1);
	assert_int_equal(machine.trampoline, 0x9c000);
	assert_int_equal(mapped(MIB(8), &found), MAPPING_RAM);
	assert_true(found);
	assert_int_equal(mapped(MIB(1941), &found), MAPPING_RUNTIME_CODE);
	assert_int_equal(mapped(MIB(1943), &found), MAPPING_RUNTIME_DATA);
	assert_int_equal(mapped(0xffc00000, &found), MAPPING_RUNTIME_MMIO);
	mapped(0xe0000000, &found);
	assert_false(found);
	mapped(MIB(2048) - MIB(1), &found);
	assert_false(found);
	assert_int_equal(machine.ram_bytes,
		0xa0000 + MIB(1940) + MIB(3) + PAGE_SIZE + GIB(2));
	unused = memmap_largest_unused();
	assert_int_equal(unused.start, GIB(4));
	assert_int_equal(unused.bytes, GIB(2));
	memmap_make_free_list((struct memory_range){GIB(4), MIB(3)});
	expect_sorted();
	assert_false(is_free(0x1000)); /* below 1 MiB */
	assert_true(is_free(MIB(1)));
	assert_true(is_free(MIB(8)));  /* boot services */
	assert_false(is_free(MIB(40))); /* the image */
	assert_false(is_free(MIB(1941)));
	assert_false(is_free(GIB(4)));
	assert_false(is_free(GIB(4) + MIB(3) - 1));
	assert_true(is_free(GIB(4) + MIB(3)));
	assert_int_equal(machine.memory_count, 3);
}

static void what_is_taken_is_cut_out_of_the_middle(void **state)
{
	(void)state;
	add_usual();
	assert_int_equal(memmap_exit_boot_services(), EFI_SUCCESS);
	memmap_make_free_list((struct memory_range){MIB(100), MIB(2)});
	expect_sorted();
	assert_int_equal(machine.memory_count, 4);
	assert_true(is_free(MIB(100) - 1));
	assert_false(is_free(MIB(100)));
	assert_false(is_free(MIB(102) - 1));
	assert_true(is_free(MIB(102)));
}

static void a_changed_map_is_read_again(void **state)
{
	(void)state;
	add_usual();
	refusals = 3;
	assert_int_equal(memmap_exit_boot_services(), EFI_SUCCESS);
	assert_int_equal(exits, 4);
}

static void a_firmware_that_never_lets_go_is_an_error(void **state)
{
	(void)state;
	add_usual();
	refusals = 1000;
	assert_int_equal(memmap_exit_boot_services(), EFI_INVALID_PARAMETER);
	assert_true(exits < 20);
	assert_non_null(firmware);
}

/* More pieces than there is room for: the upper ones are not used, rather than used unmapped. */
static void a_shattered_map_loses_its_end(void **state)
{
	bool found;

	(void)state;
	for (hpa_t i = 0; i < 580; i++)
		add(i % 2 ? EfiReservedMemoryType : EfiConventionalMemory, MIB(1 + i), MIB(1), 0xf);
	assert_int_equal(memmap_exit_boot_services(), EFI_SUCCESS);
	assert_int_equal(machine.mapping_count, MACHINE_MAX_RANGES);
	memmap_make_free_list((struct memory_range){0});
	expect_sorted();
	for (size_t i = 0; i < machine.memory_count; i++) {
		mapped(machine.memory[i].start, &found);
		assert_true(found);
		mapped(machine.memory[i].start + machine.memory[i].bytes - 1, &found);
		assert_true(found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_usual_map_is_understood, set_up),
		cmocka_unit_test_setup(what_is_taken_is_cut_out_of_the_middle, set_up),
		cmocka_unit_test_setup(a_changed_map_is_read_again, set_up),
		cmocka_unit_test_setup(a_firmware_that_never_lets_go_is_an_error, set_up),
		cmocka_unit_test_setup(a_shattered_map_loses_its_end, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
