/* SPDX-License-Identifier: BSD-2-Clause */
#include "mgmt/guest_layout.h"

#include "devices/platform.h"
#include "ept/guest_hotplug.h"
#include "vcpu/cpuid.h"
#include "vcpu/vm.h"

gpa_t guest_layout_low_end(uint64_t memory_bytes)
{
	return MIN(memory_bytes, PCI_HOLE_START);
}

/* RAM above 4 GiB: what the hole for devices displaced. */
static uint64_t high_bytes(uint64_t memory_bytes)
{
	return memory_bytes - guest_layout_low_end(memory_bytes);
}

int guest_layout_add_memory(struct vm *vm, uint64_t memory_bytes)
{
	gpa_t low_end = guest_layout_low_end(memory_bytes);
	uint64_t high = high_bytes(memory_bytes);
	int error;

	if (memory_bytes < LAYOUT_LOW_END || !IS_ALIGNED(memory_bytes, PAGE_SIZE))
		return -EINVAL;
	if (high && !range_within(LAYOUT_HIGH, high, BIT(vm->cpuid->physical_bits)))
		return -EINVAL;
	error = guest_memory_add(&vm->memory, 0, LAYOUT_VGA, false);
	if (!error)
		error = guest_memory_add(&vm->memory, LAYOUT_BIOS, low_end - LAYOUT_BIOS, false);
	if (!error && high)
		error = guest_memory_add(&vm->memory, LAYOUT_HIGH, high, false);
	return error;
}

int guest_layout_add_hotplug(struct vm *vm, uint64_t bytes)
{
	gpa_t start = ROUND_UP(LAYOUT_HIGH + high_bytes(guest_layout_memory_bytes(&vm->memory)),
		GIB(1));

	bytes = ROUND_UP(bytes, LARGE_PAGE_SIZE);
	if (!range_within(start, bytes, BIT(vm->cpuid->physical_bits)))
		return -EINVAL;
	return guest_hotplug_add(&vm->memory, start, bytes);
}

uint64_t guest_layout_memory_bytes(const struct guest_memory *memory)
{
	uint64_t low_end = 0, high = 0;

	for (size_t i = 0; i < memory->slot_count; i++) {
		const struct memory_slot *slot = &memory->slots[i];

		if (slot->start < LAYOUT_HIGH)
			low_end = MAX(low_end, slot->start + slot->bytes);
		else if (!slot->hotplug)
			high += slot->bytes;
	}
	return low_end + high;
}

const struct memory_slot *guest_layout_hotplug(const struct guest_memory *memory)
{
	for (size_t i = 0; i < memory->slot_count; i++)
		if (memory->slots[i].hotplug)
			return &memory->slots[i];
	return NULL;
}

size_t guest_layout_map(uint64_t memory_bytes, struct layout_range ranges[LAYOUT_RANGES])
{
	gpa_t low_end = guest_layout_low_end(memory_bytes);
	const struct layout_range all[] = {
		{ 0, LAYOUT_EBDA, LAYOUT_RAM },
		{ LAYOUT_EBDA, LAYOUT_VGA - LAYOUT_EBDA, LAYOUT_RESERVED },
		{ LAYOUT_BIOS, LAYOUT_LOW_END - LAYOUT_BIOS, LAYOUT_RESERVED },
		{ LAYOUT_LOW_END, low_end - LAYOUT_LOW_END, LAYOUT_RAM },
		{ PCI_ECAM_BASE, PCI_ECAM_BYTES, LAYOUT_RESERVED },
		{ IOAPIC_BASE, PAGE_SIZE, LAYOUT_RESERVED },
		{ LAPIC_DEFAULT_BASE, PAGE_SIZE, LAYOUT_RESERVED },
		{ LAYOUT_HIGH, high_bytes(memory_bytes), LAYOUT_RAM },
	};
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i].bytes)
			ranges[count++] = all[i];
	}
	return count;
}

bool guest_layout_is_free(uint64_t memory_bytes, gpa_t start, uint64_t bytes)
{
	if (start >= LAYOUT_LOW_END)
		return range_within(start, bytes, guest_layout_low_end(memory_bytes));
	return start >= LAYOUT_BOOT_END && range_within(start, bytes, LAYOUT_EBDA);
}
