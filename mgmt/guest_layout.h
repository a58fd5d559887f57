/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where things lie in a guest's physical memory:
 *
 *	0           interrupt vectors, BIOS data area (0x400)
 *	0x1000      what the loaders leave for the kernel: GDT, page tables, boot information
 *	0x80000     free RAM
 *	0x9fc00     EBDA, up to 640 KiB
 *	0xa0000     VGA window: nothing
 *	0xc0000     RAM, reported as reserved; RSDP and all ACPI tables from 0xe0000
 *	0x100000    RAM up to PCI_HOLE_START at most
 *	0xe0000000  PCI configuration space; BARs below it, and where a system moves them
 *	4 GiB       the rest of RAM
 *	n GiB       behind it, RAM that can be plugged in while the guest runs
 *
 * As on a PC, the VGA window costs the guest its 128 KiB: RAM ends where it would without it.
 */
#ifndef BALLAST_MGMT_GUEST_LAYOUT_H
#define BALLAST_MGMT_GUEST_LAYOUT_H

#include "lib/util.h"

struct guest_memory;
struct memory_slot;
struct vm;

#define LAYOUT_BOOT 0x1000ULL
#define LAYOUT_BOOT_END 0x80000ULL
#define LAYOUT_EBDA 0x9fc00ULL
#define LAYOUT_VGA 0xa0000ULL
#define LAYOUT_BIOS 0xc0000ULL
#define LAYOUT_ACPI 0xe0000ULL
#define LAYOUT_ACPI_END 0x100000ULL
#define LAYOUT_LOW_END 0x100000ULL
#define LAYOUT_HIGH GIB(4)
#define LAYOUT_RANGES 8

/* Types of the E820 and of the Multiboot and PVH memory maps, which agree. */
enum layout_type {
	LAYOUT_RAM = 1,
	LAYOUT_RESERVED = 2,
	LAYOUT_ACPI_RECLAIM = 3,
};

struct layout_range {
	gpa_t start;
	uint64_t bytes;
	enum layout_type type;
};

/*
 * Add the RAM slots for `memory_bytes` of RAM to a VM without slots, before it is first loaded.
 * -EINVAL when that is less than 1 MiB, no whole number of pages, or more than the guest's CPU can
 * address, else what guest_memory_add() says.
 */
int guest_layout_add_memory(struct vm *vm, uint64_t memory_bytes) __must_check;
/* And behind them, of such a VM, RAM to be plugged: so much, rounded up to its blocks. */
int guest_layout_add_hotplug(struct vm *vm, uint64_t bytes) __must_check;
/* What was added: without what can be plugged, and that alone (NULL: there is none). */
uint64_t guest_layout_memory_bytes(const struct guest_memory *memory);
const struct memory_slot *guest_layout_hotplug(const struct guest_memory *memory);

/* The memory map a guest is told, sorted and disjoint; returns how many ranges there are. */
size_t guest_layout_map(uint64_t memory_bytes, struct layout_range ranges[LAYOUT_RANGES]);
/* End of the RAM that starts at 1 MiB: at most PCI_HOLE_START. */
gpa_t guest_layout_low_end(uint64_t memory_bytes);
/* May a kernel be loaded there: RAM below 4 GiB that nothing of Ballast's lies in? */
bool guest_layout_is_free(uint64_t memory_bytes, gpa_t start, uint64_t bytes);

#endif
