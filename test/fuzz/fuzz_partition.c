/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Partition tables from any bytes: the result lies on the disk, nothing overlaps, and the work is
 * bounded. The first byte says how large blocks are and which checksums are made right, for a
 * fuzzer does not guess them.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/block/partition.h"
#include "host/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK_BYTES (KIB(32))
#define MOST_READS 4000

static uint8_t disk[DISK_BYTES];
static unsigned int reads;

void log_line(const char *format, ...)
{
	(void)format;
}

static int disk_read(struct partition_source *source, uint64_t block, void *buffer)
{
	assert(block < source->sectors * SECTOR_BYTES / source->logical_bytes);
	assert(++reads < MOST_READS);
	if (!range_within(block * source->logical_bytes, source->logical_bytes, DISK_BYTES))
		return -EIO;
	memcpy(buffer, disk + block * source->logical_bytes, source->logical_bytes);
	return 0;
}

static uint32_t crc32(const uint8_t *data, size_t bytes)
{
	uint32_t crc = ~0U;

	while (bytes--) {
		crc ^= *data++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
	}
	return ~crc;
}

static uint64_t get(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

/* Make the header at this block look right, and the table that it names. */
static void repair(uint64_t block, uint32_t logical)
{
	uint8_t *header = disk + block * logical;
	uint64_t table = get(header + 72, 8);
	uint64_t bytes = get(header + 80, 4) * get(header + 84, 4), length = get(header + 12, 4);
	uint32_t crc;

	memcpy(header, "EFI PART", 8);
	memcpy(header + 24, &block, 8);
	if (table < DISK_BYTES / logical && range_within(table * logical, bytes, DISK_BYTES)) {
		crc = crc32(disk + table * logical, bytes);
		memcpy(header + 88, &crc, 4);
	}
	memset(header + 16, 0, 4);
	if (length > logical)
		return;
	crc = crc32(header, length);
	memcpy(header + 16, &crc, 4);
}

static void check(const struct partition_source *source, const struct partition *list, size_t count)
{
	assert(count <= PARTITION_MAX);
	for (size_t i = 0; i < count; i++) {
		assert(list[i].sectors && range_within(list[i].first_sector, list[i].sectors, source->sectors));
		assert(IS_ALIGNED(list[i].first_sector | list[i].sectors, source->logical_bytes / SECTOR_BYTES));
		assert(memchr(list[i].label, 0, sizeof(list[i].label)));
		for (const char *c = list[i].label; *c; c++)
			assert(*c >= ' ' && *c <= '~');
		for (size_t j = 0; j < i; j++)
			assert(list[j].number != list[i].number &&
				(list[j].first_sector + list[j].sectors <= list[i].first_sector ||
				 list[i].first_sector + list[i].sectors <= list[j].first_sector));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct partition list[PARTITION_MAX];
	struct partition_source source = { .name = "disk", .sectors = DISK_BYTES / SECTOR_BYTES,
		.logical_bytes = 512, .read = disk_read };
	uint8_t *page;

	if (!size)
		return 0;
	source.logical_bytes = data[0] & 1 ? 4096 : 512;
	memset(disk, 0, sizeof(disk));
	memcpy(disk, data + 1, MIN(size - 1, DISK_BYTES));
	if (data[0] & 2) {
		disk[510] = 0x55;
		disk[511] = 0xaa;
	}
	if (data[0] & 4)
		repair(1, source.logical_bytes);
	if (data[0] & 8)
		repair(DISK_BYTES / source.logical_bytes - 1, source.logical_bytes);
	if (data[0] & 16)
		source.sectors = UINT64_MAX / 1024; /* most of it cannot be read */
	reads = 0;
	/* Of its exact size: the address sanitizer sees what is read beyond. */
	page = malloc(source.logical_bytes);
	check(&source, list, partition_parse(&source, page, list));
	free(page);
	return 0;
}
