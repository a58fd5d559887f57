/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/block/overlay_map.h"

#include "host/memory.h"
#include "lib/string.h"

#define TABLE_SHIFT 9
#define TABLE_ENTRIES (1U << TABLE_SHIFT)
#define ROOT_SHIFT (2 * TABLE_SHIFT) /* pages of 4 KiB to GiB */
#define ROOT_MAX 65536U
#define ALL_SECTORS 0xffU /* of a page: the low bits of its entry */

/* Frames allocated before anything is changed, linked through their first bytes. */
struct spare {
	hpa_t first;
};

static uint64_t *table_at(uint64_t entry)
{
	return host_ptr(entry);
}

static hpa_t page_of(uint64_t entry)
{
	return entry & ~PAGE_MASK;
}

static uint64_t page_number(uint64_t sector)
{
	return sector / OVERLAY_PAGE_SECTORS;
}

/* Which sectors of page `page` lie in [sector, end). Some do. */
static uint64_t sectors_in(uint64_t page, uint64_t sector, uint64_t end)
{
	uint64_t start = page * OVERLAY_PAGE_SECTORS;
	uint64_t first = sector > start ? sector - start : 0;
	uint64_t last = MIN(end - start, OVERLAY_PAGE_SECTORS);

	return (ALL_SECTORS << first) & (ALL_SECTORS >> (OVERLAY_PAGE_SECTORS - last));
}

int overlay_map_init(struct overlay_map *map, uint64_t sectors, uint64_t limit_bytes)
{
	uint64_t gib = (sectors >> (30 - SECTOR_SHIFT)) + 1;

	if (gib > ROOT_MAX)
		return -EFBIG;
	*map = (struct overlay_map){
		.root_count = gib,
		.limit_frames = limit_bytes >> PAGE_SHIFT,
	};
	map->root = heap_alloc(gib * sizeof(*map->root), FRAME_HOST);
	return map->root ? 0 : -ENOMEM;
}

void overlay_map_destroy(struct overlay_map *map)
{
	while (!overlay_map_drop(map, TABLE_ENTRIES))
		;
	heap_free(map->root);
}

/* The table of 512 leaves that a page is in; NULL: there is none. */
static uint64_t *middle_of(const struct overlay_map *map, uint64_t page)
{
	uint64_t entry = map->root[page >> ROOT_SHIFT];

	return entry ? table_at(entry) : NULL;
}

static uint64_t *leaf_of(const struct overlay_map *map, uint64_t page)
{
	uint64_t *middle = middle_of(map, page);
	uint64_t entry = middle ? middle[(page >> TABLE_SHIFT) % TABLE_ENTRIES] : 0;

	return entry ? table_at(entry) : NULL;
}

static uint64_t next_leaf(uint64_t page)
{
	return ROUND_DOWN(page, TABLE_ENTRIES) + TABLE_ENTRIES;
}

/* The first page from `page` to `end` in whose place there is something; `end`: nothing is. */
static uint64_t skip_empty(const struct overlay_map *map, uint64_t page, uint64_t end)
{
	while (page < end) {
		const uint64_t *leaf = leaf_of(map, page);

		if (leaf && leaf[page % TABLE_ENTRIES])
			break;
		if (leaf)
			page++;
		else if (middle_of(map, page))
			page = next_leaf(page);
		else
			page = ((page >> ROOT_SHIFT) + 1) << ROOT_SHIFT;
	}
	return MIN(page, end);
}

/* Sectors of the base from `sector`, before whose page nothing is. */
static uint64_t base_sectors(const struct overlay_map *map, uint64_t sector, uint64_t max)
{
	uint64_t end = page_number(sector + max - 1) + 1;
	uint64_t page = skip_empty(map, page_number(sector) + 1, end);

	return MIN(page * OVERLAY_PAGE_SECTORS - sector, max);
}

struct overlay_run overlay_map_run(const struct overlay_map *map, uint64_t sector, uint64_t max)
{
	uint64_t page = page_number(sector), within = sector % OVERLAY_PAGE_SECTORS;
	const uint64_t *leaf = leaf_of(map, page);
	uint64_t entry = leaf ? leaf[page % TABLE_ENTRIES] : 0;
	struct overlay_run run = { .kind = OVERLAY_BASE };
	bool own = entry & BIT(within);
	uint64_t count = 1;

	if (!entry) {
		run.sectors = base_sectors(map, sector, max);
		return run;
	}
	while (within + count < OVERLAY_PAGE_SECTORS && !(entry & BIT(within + count)) == !own)
		count++;
	run.sectors = MIN(count, max);
	if (own) {
		run.kind = page_of(entry) ? OVERLAY_DATA : OVERLAY_ZERO;
		run.data = page_of(entry) + within * SECTOR_BYTES;
	}
	return run;
}

/* How many frames pages [page, end) lack: tables, and with `data` also pages. */
static uint64_t count_missing(const struct overlay_map *map, uint64_t page, uint64_t end, bool data)
{
	uint64_t first = page, missing = 0;

	while (page < end) {
		const uint64_t *leaf = leaf_of(map, page);
		uint64_t part_end = MIN(next_leaf(page), end);

		if (!middle_of(map, page) && (page == first || page % BIT(ROOT_SHIFT) == 0))
			missing++;
		if (!leaf)
			missing += 1 + (data ? part_end - page : 0);
		for (; leaf && data && page < part_end; page++)
			missing += !page_of(leaf[page % TABLE_ENTRIES]);
		page = part_end;
	}
	return missing;
}

static hpa_t spare_take(struct spare *spare)
{
	hpa_t frame = spare->first;

	spare->first = *(hpa_t *)host_ptr(frame);
	return frame;
}

/* All frames that a change of pages [page, end) will need, or none: then -ENOSPC. */
static int reserve(const struct overlay_map *map, uint64_t page, uint64_t end, bool data,
	struct spare *spare)
{
	uint64_t missing = count_missing(map, page, end, data);

	spare->first = 0;
	if (missing > map->limit_frames - map->pages - map->tables)
		return -ENOSPC;
	while (missing--) {
		hpa_t frame = frame_alloc(FRAME_ORDER_4K, FRAME_DISK);

		if (frame == HPA_NONE) {
			while (spare->first)
				frame_free(spare_take(spare), FRAME_ORDER_4K);
			return -ENOSPC;
		}
		*(hpa_t *)host_ptr(frame) = spare->first;
		spare->first = frame;
	}
	return 0;
}

/* The table that an entry points to: a new one, if need be. */
static uint64_t *table_make(struct overlay_map *map, uint64_t *entry, struct spare *spare)
{
	if (!*entry) {
		*entry = spare_take(spare);
		memset(table_at(*entry), 0, PAGE_SIZE);
		map->tables++;
	}
	return table_at(*entry);
}

/* A page's entry, for which reserve() has been called. */
static uint64_t *entry_make(struct overlay_map *map, uint64_t page, struct spare *spare)
{
	uint64_t *middle = table_make(map, &map->root[page >> ROOT_SHIFT], spare);
	uint64_t *leaf = table_make(map, &middle[(page >> TABLE_SHIFT) % TABLE_ENTRIES], spare);

	return &leaf[page % TABLE_ENTRIES];
}

static void page_free(struct overlay_map *map, uint64_t *entry)
{
	if (page_of(*entry)) {
		frame_free(page_of(*entry), FRAME_ORDER_4K);
		map->pages--;
	}
	*entry &= PAGE_MASK;
}

static void page_make(struct overlay_map *map, uint64_t *entry, struct spare *spare)
{
	hpa_t page;

	if (page_of(*entry))
		return;
	page = spare_take(spare);
	map->pages++;
	/* Own sectors without a page were zero, and are to stay so. */
	if (*entry)
		memset(host_ptr(page), 0, PAGE_SIZE);
	*entry |= page;
}

int overlay_map_write(struct overlay_map *map, const struct block_request *request)
{
	uint64_t sector = request->sector, end = sector + request->sectors, at = 0;
	uint64_t page_end = page_number(end - 1) + 1;
	struct spare spare;
	int error = reserve(map, page_number(sector), page_end, true, &spare);

	if (error)
		return error;
	for (uint64_t page = page_number(sector); page < page_end; page++) {
		uint64_t *entry = entry_make(map, page, &spare);
		uint64_t own = sectors_in(page, sector, end);
		uint64_t bytes = (uint64_t)bit_count(own) * SECTOR_BYTES;

		page_make(map, entry, &spare);
		block_copy_from(request, at, host_ptr(page_of(*entry) +
			(uint64_t)__builtin_ctzll(own) * SECTOR_BYTES), bytes);
		*entry |= own;
		at += bytes;
	}
	return 0;
}

static void zero_sectors(struct overlay_map *map, uint64_t *entry, uint64_t own)
{
	if (own == ALL_SECTORS)
		page_free(map, entry);
	else if (page_of(*entry))
		memset(host_ptr(page_of(*entry) + (uint64_t)__builtin_ctzll(own) * SECTOR_BYTES), 0,
			(size_t)bit_count(own) * SECTOR_BYTES);
	*entry |= own;
}

int overlay_map_zero(struct overlay_map *map, uint64_t sector, uint64_t sectors)
{
	uint64_t end = sector + sectors, page_end = page_number(end - 1) + 1;
	struct spare spare;
	int error = reserve(map, page_number(sector), page_end, false, &spare);

	if (error)
		return error;
	for (uint64_t page = page_number(sector); page < page_end; page++)
		zero_sectors(map, entry_make(map, page, &spare), sectors_in(page, sector, end));
	return 0;
}

static void leaf_free(struct overlay_map *map, uint64_t *in_middle)
{
	uint64_t *leaf = table_at(*in_middle);

	for (unsigned int i = 0; i < TABLE_ENTRIES; i++)
		page_free(map, &leaf[i]);
	frame_free(*in_middle, FRAME_ORDER_4K);
	map->tables--;
	*in_middle = 0;
}

/* Sectors [sector, end) of one leaf, which is there. */
static void leaf_discard(struct overlay_map *map, uint64_t *leaf, uint64_t sector, uint64_t end)
{
	for (uint64_t page = page_number(sector); page <= page_number(end - 1); page++) {
		uint64_t *entry = &leaf[page % TABLE_ENTRIES];

		*entry &= ~sectors_in(page, sector, end);
		if (!(*entry & ALL_SECTORS))
			page_free(map, entry);
	}
}

void overlay_map_discard(struct overlay_map *map, uint64_t sector, uint64_t sectors)
{
	uint64_t end = sector + sectors;

	while (sector < end) {
		uint64_t page = page_number(sector);
		uint64_t leaf_end = next_leaf(page) * OVERLAY_PAGE_SECTORS;
		uint64_t *leaf = leaf_of(map, page), part_end = MIN(leaf_end, end);
		unsigned int index = (page >> TABLE_SHIFT) % TABLE_ENTRIES;

		if (leaf && part_end - sector == TABLE_ENTRIES * OVERLAY_PAGE_SECTORS)
			leaf_free(map, &middle_of(map, page)[index]);
		else if (leaf)
			leaf_discard(map, leaf, sector, part_end);
		sector = part_end;
	}
}

bool overlay_map_drop(struct overlay_map *map, unsigned int parts)
{
	for (size_t i = 0; i < map->root_count; i++) {
		uint64_t *middle = map->root[i] ? table_at(map->root[i]) : NULL;

		for (unsigned int j = 0; middle && j < TABLE_ENTRIES; j++) {
			if (!middle[j])
				continue;
			if (parts-- == 0)
				return false;
			leaf_free(map, &middle[j]);
		}
		if (middle) {
			frame_free(map->root[i], FRAME_ORDER_4K);
			map->root[i] = 0;
			map->tables--;
		}
	}
	return true;
}
