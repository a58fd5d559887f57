/* SPDX-License-Identifier: BSD-2-Clause */
/* The firmware's memory map: leaving the firmware with it, and what it means for the host. */
#include "boot/boot.h"

#include "lib/string.h"

/* The map grows by its own allocation, and by what the firmware does meanwhile. */
#define MAP_SLACK_ENTRIES 64
#define EXIT_ATTEMPTS 8
#define LOW_MEMORY_END MIB(1)

static struct {
	uint8_t *entries;
	UINTN room, bytes, entry_bytes, key;
} map;

static const EFI_MEMORY_DESCRIPTOR *entry_at(size_t index)
{
	/* Entries may be longer than the structure that we know. */
	return (const EFI_MEMORY_DESCRIPTOR *)(map.entries + index * map.entry_bytes);
}

static size_t entry_count(void)
{
	return map.bytes / map.entry_bytes;
}

static struct memory_range entry_range(const EFI_MEMORY_DESCRIPTOR *entry)
{
	return (struct memory_range){entry->PhysicalStart, entry->NumberOfPages << PAGE_SHIFT};
}

static bool is_free(const EFI_MEMORY_DESCRIPTOR *entry)
{
	return entry->Type == EfiConventionalMemory || entry->Type == EfiBootServicesCode ||
	       entry->Type == EfiBootServicesData;
}

static EFI_STATUS get_map(void)
{
	UINT32 version;

	map.bytes = map.room;
	return firmware->BootServices->GetMemoryMap(&map.bytes,
		(EFI_MEMORY_DESCRIPTOR *)map.entries, &map.key, &map.entry_bytes, &version);
}

static EFI_STATUS make_room(void)
{
	EFI_PHYSICAL_ADDRESS memory;
	EFI_STATUS status;

	map.room = 0;
	status = get_map(); /* too small: tells the size */
	if (status != EFI_BUFFER_TOO_SMALL)
		return EFI_DEVICE_ERROR;
	map.room = ROUND_UP(map.bytes + MAP_SLACK_ENTRIES * map.entry_bytes, PAGE_SIZE);
	status = firmware->BootServices->AllocatePages(AllocateAnyPages, EfiLoaderData,
		map.room / PAGE_SIZE, &memory);
	map.entries = status == EFI_SUCCESS ? host_ptr(memory) : NULL;
	return status;
}

static void take_trampoline(void)
{
	EFI_PHYSICAL_ADDRESS memory = LOW_MEMORY_END - 1;

	if (machine.cpu_count > 1 &&
	    firmware->BootServices->AllocatePages(AllocateMaxAddress, EfiLoaderData, 3, &memory) ==
		    EFI_SUCCESS)
		machine.trampoline = memory;
}

/* Sorted by address: firmware need not do it. Few entries, mostly in order already. */
static void sort_map(void)
{
	uint8_t moved[256];

	if (map.entry_bytes > sizeof(moved))
		return;
	for (size_t i = 1; i < entry_count(); i++) {
		size_t to = i;

		while (to > 0 && entry_at(to - 1)->PhysicalStart > entry_at(i)->PhysicalStart)
			to--;
		if (to == i)
			continue;
		memcpy(moved, entry_at(i), map.entry_bytes);
		memmove(map.entries + (to + 1) * map.entry_bytes,
			map.entries + to * map.entry_bytes, (i - to) * map.entry_bytes);
		memcpy(map.entries + to * map.entry_bytes, moved, map.entry_bytes);
	}
}

/* How an entry is to be mapped; false: not at all. */
static bool mapping_kind(const EFI_MEMORY_DESCRIPTOR *entry, enum machine_mapping_kind *kind)
{
	switch (entry->Type) {
	case EfiConventionalMemory:
	case EfiBootServicesCode:
	case EfiBootServicesData:
	case EfiLoaderCode:
	case EfiLoaderData:
	case EfiACPIReclaimMemory:
	case EfiACPIMemoryNVS:
		*kind = MAPPING_RAM;
		return true;
	case EfiRuntimeServicesCode:
		*kind = MAPPING_RUNTIME_CODE;
		return true;
	case EfiRuntimeServicesData:
		*kind = MAPPING_RUNTIME_DATA;
		return true;
	case EfiMemoryMappedIO:
	case EfiMemoryMappedIOPortSpace:
		*kind = MAPPING_RUNTIME_MMIO;
		return entry->Attribute & EFI_MEMORY_RUNTIME;
	default:
		return false;
	}
}

/* False when the list is full. */
static bool add_mapping(struct memory_range range, enum machine_mapping_kind kind)
{
	struct machine_mapping *last = machine.mapping_count
		? &machine.mappings[machine.mapping_count - 1] : NULL;

	if (last && last->kind == kind &&
	    last->range.start + last->range.bytes == range.start) {
		last->range.bytes += range.bytes;
	} else if (machine.mapping_count < ARRAY_SIZE(machine.mappings)) {
		machine.mappings[machine.mapping_count++] =
			(struct machine_mapping){.range = range, .kind = kind};
	} else {
		return false;
	}
	if (kind != MAPPING_RUNTIME_MMIO)
		machine.ram_bytes += range.bytes;
	return true;
}

static void make_mappings(void)
{
	enum machine_mapping_kind kind;

	for (size_t i = 0; i < entry_count(); i++) {
		const EFI_MEMORY_DESCRIPTOR *entry = entry_at(i);

		if (!entry->NumberOfPages || !mapping_kind(entry, &kind))
			continue;
		if (!add_mapping(entry_range(entry), kind)) {
			/* What cannot be mapped is not used: the map ends here. */
			map.bytes = i * map.entry_bytes;
			return;
		}
	}
}

EFI_STATUS memmap_exit_boot_services(void)
{
	EFI_STATUS status;

	take_trampoline();
	status = make_room();
	/* An event between the two calls changes the map: again then, by memory services. */
	for (int i = 0; i < EXIT_ATTEMPTS && status == EFI_SUCCESS; i++) {
		status = get_map();
		if (status != EFI_SUCCESS)
			break;
		status = firmware->BootServices->ExitBootServices(firmware_image, map.key);
		if (status == EFI_SUCCESS) {
			firmware = NULL;
			sort_map();
			make_mappings();
			return EFI_SUCCESS;
		}
		status = status == EFI_INVALID_PARAMETER ? EFI_SUCCESS : status;
	}
	return status == EFI_SUCCESS ? EFI_INVALID_PARAMETER : status;
}

struct memory_range memmap_largest_unused(void)
{
	struct memory_range best = {0};

	for (size_t i = 0; i < entry_count(); i++) {
		struct memory_range range = entry_range(entry_at(i));

		if (entry_at(i)->Type == EfiConventionalMemory && range.bytes > best.bytes &&
		    range.start >= LOW_MEMORY_END)
			best = range;
	}
	return best;
}

static void add_free(hpa_t start, hpa_t end)
{
	struct memory_range *last = machine.memory_count
		? &machine.memory[machine.memory_count - 1] : NULL;

	if (start >= end)
		return;
	if (last && last->start + last->bytes == start)
		last->bytes += end - start;
	else if (machine.memory_count < ARRAY_SIZE(machine.memory))
		machine.memory[machine.memory_count++] =
			(struct memory_range){start, end - start};
}

void memmap_make_free_list(struct memory_range taken)
{
	hpa_t taken_end = taken.start + taken.bytes;

	for (size_t i = 0; i < entry_count(); i++) {
		struct memory_range range = entry_range(entry_at(i));
		/* Firmware keeps things below 1 MiB that its map does not tell of. */
		hpa_t start = MAX(range.start, LOW_MEMORY_END);
		hpa_t end = range.start + range.bytes;

		if (!is_free(entry_at(i)))
			continue;
		add_free(start, MIN(end, MAX(taken.start, start)));
		add_free(MAX(start, MIN(taken_end, end)), end);
	}
}
