/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's own page tables: RAM 1:1 with the largest pages that fit, nothing both writable and
 * executable but the firmware's runtime code, nothing executable but that and our own text. The
 * lower levels are shared by all CPUs and by both depths of paging.
 *
 * Locks: mmu_lock, then frame_lock.
 */
#include "host/init.h"
#include "host/lock.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/memory.h"
#include "host/x86.h"

#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_WRITE_THROUGH BIT(3)
#define PTE_UNCACHED BIT(4)
#define PTE_ACCESSED BIT(5)
#define PTE_DIRTY BIT(6)
#define PTE_LARGE BIT(7)
#define PTE_NX BIT(63)
#define PTE_ADDRESS 0x000ffffffffff000ULL

#define PTE_LEAF (PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY)
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED)

#define ENTRIES 512
/* Levels: 0 is the page table of 4 KiB pages, 3 the root of four-level paging. */
#define LEVEL_SHIFT(level) (PAGE_SHIFT + 9 * (level))
#define LEVEL_BYTES(level) (1ULL << LEVEL_SHIFT(level))
#define ROOT_LEVEL 3

static struct spinlock mmu_lock;
static uint64_t *root;             /* [I] */
static unsigned int largest_level; /* [I] of a page: 1 or 2 */
static uint64_t nx;                /* [I] PTE_NX, or 0 on a CPU without it */
static hpa_t pool_next, pool_end;  /* used before the frame allocator lives */

static uint64_t *new_table(void)
{
	hpa_t page = pool_next;

	if (page < pool_end) {
		pool_next += PAGE_SIZE;
	} else {
		page = frame_alloc(FRAME_ORDER_4K, FRAME_HOST);
		if (page == HPA_NONE)
			return NULL;
	}
	page_zero(host_ptr(page), PAGE_SIZE);
	return host_ptr(page);
}

/* Replace a large page by a table that says the same. The switch is one store. */
static uint64_t *split(uint64_t *entry, unsigned int level)
{
	uint64_t *table = new_table();
	uint64_t leaf = *entry;

	if (!table)
		return NULL;
	if (leaf & PTE_PRESENT) {
		if (level == 1)
			leaf &= ~PTE_LARGE;
		for (unsigned int i = 0; i < ENTRIES; i++)
			table[i] = leaf + i * LEVEL_BYTES(level - 1);
	}
	__atomic_store_n(entry, host_phys(table) | PTE_TABLE, __ATOMIC_RELEASE);
	return table;
}

/* The entry for `address` at `level`, with the tables above it. NULL when out of memory. */
static uint64_t *walk(hpa_t address, unsigned int level)
{
	uint64_t *table = root;

	for (unsigned int at = ROOT_LEVEL; at > level; at--) {
		uint64_t *entry = &table[address >> LEVEL_SHIFT(at) & (ENTRIES - 1)];

		if ((*entry & PTE_PRESENT) && !(*entry & PTE_LARGE))
			table = host_ptr(*entry & PTE_ADDRESS);
		else
			table = split(entry, at);
		if (!table)
			return NULL;
	}
	return &table[address >> LEVEL_SHIFT(level) & (ENTRIES - 1)];
}

/* Map what was not mapped, with the largest pages that fit. */
static int map(hpa_t at, uint64_t bytes, uint64_t flags)
{
	while (bytes) {
		unsigned int level = largest_level;
		uint64_t *entry, run;

		while (level && (!IS_ALIGNED(at, LEVEL_BYTES(level)) || bytes < LEVEL_BYTES(level)))
			level--;
		entry = walk(at, level);
		if (!entry)
			return -ENOMEM;
		/* As far as this table goes, without walking again. */
		run = ENTRIES - (at >> LEVEL_SHIFT(level) & (ENTRIES - 1));
		run = MIN(run, bytes >> LEVEL_SHIFT(level));
		/* ... and no farther than to where a larger page fits. */
		if (level < largest_level) {
			uint64_t next = ROUND_UP(at + 1, LEVEL_BYTES(level + 1));

			run = MIN(run, (next - at) >> LEVEL_SHIFT(level));
		}
		bytes -= run << LEVEL_SHIFT(level);
		for (; run; run--, at += LEVEL_BYTES(level))
			*entry++ = at | flags | (level ? PTE_LARGE : 0);
	}
	return 0;
}

/* Change one page, whatever size it is mapped with now; `leaf` 0 unmaps it. */
static int set_page(hpa_t page, uint64_t leaf)
{
	uint64_t *entry = walk(page, 0);

	if (!entry)
		return -ENOMEM;
	*entry = leaf ? page | leaf : 0;
	__asm__ volatile("invlpg (%0)" : : "r"(page) : "memory");
	return 0;
}

static int protect_image(const char *start, const char *end, uint64_t flags)
{
	for (hpa_t page = host_phys(start); page < host_phys(end); page += PAGE_SIZE) {
		if (set_page(page, flags))
			return -ENOMEM;
	}
	return 0;
}

uint64_t mmu_pool_bytes(void)
{
	/* Each mapping may end inside a large page of both sizes at both ends; the image, too. */
	uint64_t pages = 16 + 4 * machine.mapping_count;
	hpa_t limit = 0;

	if (machine.mapping_count) {
		const struct machine_mapping *last = &machine.mappings[machine.mapping_count - 1];

		limit = last->range.start + last->range.bytes;
	}
	pages += limit / LEVEL_BYTES(3) + 1;
	if (!(cpuid(0x80000001, 0).edx & BIT(26)))
		pages += machine.ram_bytes / LEVEL_BYTES(2) + 4;
	return pages * PAGE_SIZE;
}

static uint64_t mapping_flags(enum machine_mapping_kind kind)
{
	switch (kind) {
	case MAPPING_RUNTIME_CODE:
		return PTE_LEAF | PTE_WRITE;
	case MAPPING_RUNTIME_MMIO:
		return PTE_LEAF | PTE_WRITE | PTE_UNCACHED | PTE_WRITE_THROUGH | nx;
	default:
		return PTE_LEAF | PTE_WRITE | nx;
	}
}

static int build(void)
{
	for (size_t i = 0; i < machine.mapping_count; i++) {
		struct memory_range range = machine.mappings[i].range;

		if (range.start == 0) {
			/* Page 0 stays unmapped: there a null pointer is found out. */
			range.start += PAGE_SIZE;
			range.bytes -= PAGE_SIZE;
		}
		if (map(range.start, range.bytes, mapping_flags(machine.mappings[i].kind)))
			return -ENOMEM;
	}
	if (protect_image(image_text, image_text_end, PTE_LEAF) ||
	    protect_image(image_text_end, image_rodata_end, PTE_LEAF | nx))
		return -ENOMEM;
	return 0;
}

uint64_t mmu_init(struct memory_range pool)
{
	uint64_t *top;

	pool_next = pool.start;
	pool_end = pool.start + pool.bytes;
	nx = cpuid(0x80000001, 0).edx & BIT(20) ? PTE_NX : 0;
	largest_level = cpuid(0x80000001, 0).edx & BIT(26) ? 2 : 1;
	root = new_table();
	top = root;
	if (!root || build())
		panic("page tables need more than %lu bytes", pool.bytes);
	if (read_cr4() & CR4_LA57) {
		top = new_table();
		if (!top)
			panic("no page for the fifth level of page tables");
		top[0] = host_phys(root) | PTE_TABLE;
	}
	write_cr3(host_phys(top));
	pool_end = pool_next;
	return pool_next - pool.start;
}

hpa_t mmu_root(void)
{
	return host_phys(root);
}

/* One page of a device's memory, large where that fits and nothing is mapped; its size, or 0. */
static uint64_t map_device_page(hpa_t page, hpa_t end)
{
	uint64_t leaf = PTE_LEAF | PTE_WRITE | PTE_UNCACHED | PTE_WRITE_THROUGH | nx;
	uint64_t *entry;

	if (IS_ALIGNED(page, LEVEL_BYTES(1)) && end - page >= LEVEL_BYTES(1)) {
		entry = walk(page, 1);
		if (!entry)
			return 0;
		if (!*entry) {
			*entry = page | leaf | PTE_LARGE;
			return LEVEL_BYTES(1);
		}
	}
	return set_page(page, leaf) ? 0 : PAGE_SIZE;
}

int mmu_map_device(hpa_t start, uint64_t bytes)
{
	hpa_t end = ROUND_UP(start + bytes, PAGE_SIZE);
	uint64_t mapped = PAGE_SIZE;

	spin_lock(&mmu_lock);
	for (hpa_t page = ROUND_DOWN(start, PAGE_SIZE); page < end && mapped; page += mapped)
		mapped = map_device_page(page, end);
	spin_unlock(&mmu_lock);
	return mapped ? 0 : -ENOMEM;
}

void mmu_unmap_guard(const void *page)
{
	int error;

	spin_lock(&mmu_lock);
	error = set_page(host_phys(page), 0);
	spin_unlock(&mmu_lock);
	if (error)
		log_note("no memory for a guard page at %p", page);
}

int mmu_set_executable(hpa_t page, bool executable)
{
	int error;

	spin_lock(&mmu_lock);
	error = set_page(page, executable ? PTE_LEAF : PTE_LEAF | PTE_WRITE | nx);
	spin_unlock(&mmu_lock);
	return error;
}
