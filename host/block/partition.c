/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/block/partition.h"

#include "host/log.h"
#include "lib/printf.h"
#include "lib/string.h"

/* Master boot record: four entries of 16 bytes, and a signature. */
#define MBR_TABLE 446
#define MBR_ENTRIES 4
#define MBR_ENTRY_BYTES 16
#define MBR_TYPE 4
#define MBR_FIRST 8
#define MBR_BLOCKS 12
#define MBR_SIGNATURE 510
#define MBR_ACTIVE 0x80
#define MBR_TYPE_GPT 0xee
#define MBR_TYPE_LINUX_SWAP 0x82
#define MBR_LOGICAL 5 /* the first one's number */
#define MBR_CHAIN 100 /* links that are followed */

/* GPT header and entry: offsets. */
#define GPT_REVISION 8
#define GPT_HEADER_BYTES 12
#define GPT_HEADER_LEAST 92
#define GPT_CRC 16
#define GPT_OWN_BLOCK 24
#define GPT_FIRST_USABLE 40
#define GPT_LAST_USABLE 48
#define GPT_TABLE 72
#define GPT_ENTRIES 80
#define GPT_ENTRY_BYTES 84
#define GPT_TABLE_CRC 88
#define ENTRY_FIRST 32
#define ENTRY_LAST 40
#define ENTRY_NAME 56
#define ENTRY_NAME_UNITS 36
#define ENTRY_BYTES_LEAST 128
#define ENTRIES_MOST 1024

struct gpt {
	uint64_t first_usable, last_usable;
	uint64_t table;
	uint32_t entries, entry_bytes;
	uint32_t table_crc;
};

/* What is being put together. */
struct table {
	struct partition_source *source;
	uint8_t *page;
	struct partition *list;
	size_t count;
	bool full;
};

static uint32_t get32(const uint8_t *data, unsigned int at)
{
	return data[at] | (uint32_t)data[at + 1] << 8 | (uint32_t)data[at + 2] << 16 |
	       (uint32_t)data[at + 3] << 24;
}

static uint64_t get64(const uint8_t *data, unsigned int at)
{
	return get32(data, at) | (uint64_t)get32(data, at + 4) << 32;
}

/*
 * CRC-32 as GPT wants it, of more bytes; the first call's `crc` is 0. Four bits at a time: every
 * disk's tables are summed at each start.
 */
static uint32_t crc32(uint32_t crc, const uint8_t *data, size_t bytes)
{
	static const uint32_t of_nibble[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};

	crc = ~crc;
	while (bytes--) {
		crc ^= *data++;
		crc = crc >> 4 ^ of_nibble[crc & 15];
		crc = crc >> 4 ^ of_nibble[crc & 15];
	}
	return ~crc;
}

static uint64_t blocks(const struct partition_source *source)
{
	return source->sectors / (source->logical_bytes / SECTOR_BYTES);
}

/* Take an entry, in blocks. `last` is its last one. False: there is no room. */
static bool take(struct table *table, unsigned int number, uint64_t first, uint64_t last)
{
	uint32_t unit = table->source->logical_bytes / SECTOR_BYTES;
	struct partition *partition = &table->list[table->count];

	if (table->count == PARTITION_MAX) {
		if (!table->full)
			log_line("%s: more than %u partitions; the others are ignored",
				table->source->name, PARTITION_MAX);
		table->full = true;
		return false;
	}
	if (last < first || last >= blocks(table->source)) {
		log_line("%s: partition %u does not lie on the disk and is ignored",
			table->source->name, number);
		return true;
	}
	partition->number = number;
	partition->first_sector = first * unit;
	partition->sectors = (last - first + 1) * unit;
	partition->label[0] = '\0';
	partition->linux_swap = false;
	table->count++;
	return true;
}

static bool overlap(const struct partition *a, const struct partition *b)
{
	return a->first_sector < b->first_sector + b->sectors &&
	       b->first_sector < a->first_sector + a->sectors;
}

/* Of two that overlap, the one that stands first in the table stays. */
static void drop_overlaps(struct table *table)
{
	size_t kept = 0, other;

	for (size_t i = 0; i < table->count; i++) {
		const struct partition *partition = &table->list[i];

		for (other = 0; other < kept; other++) {
			if (overlap(partition, &table->list[other]))
				break;
		}
		if (other < kept)
			log_line("%s: partition %u overlaps partition %u and is ignored",
				table->source->name, partition->number, table->list[other].number);
		else
			table->list[kept++] = *partition;
	}
	table->count = kept;
}

/* The header at `block`, if it is a good one. */
static bool gpt_read(struct table *table, uint64_t block, struct gpt *gpt)
{
	uint8_t *header = table->page;
	uint32_t bytes, crc;

	if (table->source->read(table->source, block, header) ||
		memcmp(header, "EFI PART", 8) != 0)
		return false;
	bytes = get32(header, GPT_HEADER_BYTES);
	crc = get32(header, GPT_CRC);
	if (bytes < GPT_HEADER_LEAST || bytes > table->source->logical_bytes)
		return false;
	memset(header + GPT_CRC, 0, 4);
	if (crc32(0, header, bytes) != crc || get64(header, GPT_OWN_BLOCK) != block)
		return false;
	gpt->first_usable = get64(header, GPT_FIRST_USABLE);
	gpt->last_usable = get64(header, GPT_LAST_USABLE);
	gpt->table = get64(header, GPT_TABLE);
	gpt->entries = get32(header, GPT_ENTRIES);
	gpt->entry_bytes = get32(header, GPT_ENTRY_BYTES);
	gpt->table_crc = get32(header, GPT_TABLE_CRC);
	/* A size is 128 times a power of two: so entries fill blocks. */
	return gpt->entries <= ENTRIES_MOST && gpt->entry_bytes >= ENTRY_BYTES_LEAST &&
	       gpt->entry_bytes <= table->source->logical_bytes &&
	       (gpt->entry_bytes & (gpt->entry_bytes - 1)) == 0 &&
	       gpt->first_usable <= gpt->last_usable &&
	       gpt->last_usable < blocks(table->source);
}

static bool in_use(const uint8_t *entry)
{
	for (unsigned int i = 0; i < 16; i++) {
		if (entry[i])
			return true;
	}
	return false;
}

static void set_label(struct partition *partition, const uint8_t *entry)
{
	unsigned int length = 0;

	for (unsigned int i = 0; i < ENTRY_NAME_UNITS; i++) {
		unsigned int unit = entry[ENTRY_NAME + 2 * i] |
				    (unsigned int)entry[ENTRY_NAME + 2 * i + 1] << 8;

		if (!unit)
			break;
		partition->label[length++] = unit >= ' ' && unit <= '~' ? (char)unit : '?';
	}
	partition->label[length] = '\0';
}

static void gpt_take(struct table *table, const struct gpt *gpt, unsigned int number,
	const uint8_t *entry)
{
	uint64_t first = get64(entry, ENTRY_FIRST), last = get64(entry, ENTRY_LAST);
	size_t before = table->count;
	/* 0657fd6d-a4ab-43c4-84e5-0933c84b4f4f, the first three parts little-endian */
	static const uint8_t linux_swap[16] = { 0x6d, 0xfd, 0x57, 0x06, 0xab, 0xa4, 0xc4, 0x43,
		0x84, 0xe5, 0x09, 0x33, 0xc8, 0x4b, 0x4f, 0x4f };

	if (!in_use(entry))
		return;
	if (first < gpt->first_usable || last > gpt->last_usable)
		last = ~0ULL; /* for take() to refuse it */
	take(table, number, first, last);
	if (table->count == before)
		return;
	set_label(&table->list[before], entry);
	table->list[before].linux_swap = memcmp(entry, linux_swap, sizeof(linux_swap)) == 0;
}

/* Go through the table that the header names. False: it cannot be read, or is damaged. */
static bool gpt_walk_table(struct table *table, const struct gpt *gpt, bool take_entries)
{
	uint32_t per_block = table->source->logical_bytes / gpt->entry_bytes, crc = 0, part;
	uint64_t block = gpt->table;

	for (uint32_t first = 0; first < gpt->entries; first += part, block++) {
		part = MIN(per_block, gpt->entries - first);
		if (block >= blocks(table->source) ||
			table->source->read(table->source, block, table->page))
			return false;
		crc = crc32(crc, table->page, (size_t)part * gpt->entry_bytes);
		for (uint32_t i = 0; take_entries && i < part; i++)
			gpt_take(table, gpt, first + i + 1,
				table->page + (size_t)i * gpt->entry_bytes);
	}
	return crc == gpt->table_crc;
}

/* Entries are looked at, and complained of, only when all of the table is as it was written. */
static bool gpt_read_table(struct table *table, const struct gpt *gpt)
{
	return gpt_walk_table(table, gpt, false) && gpt_walk_table(table, gpt, true);
}

static bool gpt_try(struct table *table, uint64_t block)
{
	struct gpt gpt;

	table->count = 0;
	if (gpt_read(table, block, &gpt) && gpt_read_table(table, &gpt))
		return true;
	table->count = 0;
	return false;
}

static void gpt_parse(struct table *table)
{
	const char *name = table->source->name;

	if (gpt_try(table, 1))
		return;
	if (gpt_try(table, blocks(table->source) - 1))
		log_line("%s: the partition table is damaged; its backup is used", name);
	else
		log_line("%s: the partition table is damaged, and so is its backup", name);
}

static bool mbr_is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

static bool mbr_read(struct table *table, uint64_t block, uint8_t entries[64])
{
	if (table->source->read(table->source, block, table->page) ||
		table->page[MBR_SIGNATURE] != 0x55 || table->page[MBR_SIGNATURE + 1] != 0xaa)
		return false;
	memcpy(entries, table->page + MBR_TABLE, (size_t)MBR_ENTRIES * MBR_ENTRY_BYTES);
	/* A file system's boot sector has the signature, too; its code is no table. */
	for (unsigned int i = 0; i < MBR_ENTRIES; i++) {
		if (entries[i * MBR_ENTRY_BYTES] & ~MBR_ACTIVE)
			return false;
	}
	return true;
}

static bool mbr_take(struct table *table, unsigned int number, uint64_t base, const uint8_t *entry)
{
	uint64_t first = base + get32(entry, MBR_FIRST), count = get32(entry, MBR_BLOCKS);
	size_t before = table->count;

	if (!entry[MBR_TYPE] || !count)
		return false;
	take(table, number, first, first + count - 1);
	if (table->count == before)
		return true;
	snprintf(table->list[before].label, sizeof(table->list[before].label), "MBR type %02x",
		entry[MBR_TYPE]);
	table->list[before].linux_swap = entry[MBR_TYPE] == MBR_TYPE_LINUX_SWAP;
	return true;
}

/* A chain of records, each with a partition and the place of the next one in the extended one. */
static void mbr_parse_logical(struct table *table, const uint8_t *extended)
{
	uint64_t start = get32(extended, MBR_FIRST), size = get32(extended, MBR_BLOCKS), at = 0;
	uint8_t entries[MBR_ENTRIES * MBR_ENTRY_BYTES];
	unsigned int number = MBR_LOGICAL;
	const uint8_t *next = entries + MBR_ENTRY_BYTES;

	for (unsigned int link = 0; link < MBR_CHAIN; link++) {
		if (at >= size || start + at >= blocks(table->source) ||
			!mbr_read(table, start + at, entries)) {
			log_line("%s: the chain of logical partitions is broken",
				table->source->name);
			return;
		}
		if (mbr_take(table, number, start + at, entries))
			number++;
		if (!mbr_is_extended(next[MBR_TYPE]) || table->full)
			return;
		at = get32(next, MBR_FIRST);
	}
	log_line("%s: the chain of logical partitions has no end", table->source->name);
}

static void mbr_parse(struct table *table, const uint8_t *entries)
{
	for (unsigned int i = 0; i < MBR_ENTRIES; i++) {
		const uint8_t *entry = entries + (size_t)i * MBR_ENTRY_BYTES;

		if (!mbr_is_extended(entry[MBR_TYPE]))
			mbr_take(table, i + 1, 0, entry);
	}
	for (unsigned int i = 0; i < MBR_ENTRIES; i++) {
		const uint8_t *entry = entries + (size_t)i * MBR_ENTRY_BYTES;

		if (mbr_is_extended(entry[MBR_TYPE])) {
			mbr_parse_logical(table, entry);
			return;
		}
	}
}

static bool mbr_is_protective(const uint8_t *entries)
{
	for (unsigned int i = 0; i < MBR_ENTRIES; i++) {
		if (entries[i * MBR_ENTRY_BYTES + MBR_TYPE] == MBR_TYPE_GPT)
			return true;
	}
	return false;
}

size_t partition_parse(struct partition_source *source, void *page,
	struct partition list[PARTITION_MAX])
{
	struct table table = { .source = source, .page = page, .list = list };
	uint8_t entries[MBR_ENTRIES * MBR_ENTRY_BYTES];

	if (blocks(source) < 2 || !mbr_read(&table, 0, entries))
		return 0;
	if (mbr_is_protective(entries))
		gpt_parse(&table);
	else
		mbr_parse(&table, entries);
	drop_overlaps(&table);
	return table.count;
}
