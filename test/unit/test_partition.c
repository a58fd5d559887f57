/* SPDX-License-Identifier: BSD-2-Clause */
/* Partition tables made here: right ones, damaged ones and impossible ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "host/block/partition.h"
#include "host/log.h"

#define BLOCKS 4096U /* of 512 bytes; the last 33 and the first 34 are GPT's */
#define LINUX 0x83
#define EXTENDED 0x05

static uint8_t disk[BLOCKS * 512] __aligned(4096);
static uint8_t page[4096];
static struct partition list[PARTITION_MAX];
static uint32_t logical;
static unsigned int reads, unreadable_from;
static char logged[4096];

void log_line(const char *format, ...)
{
	size_t used = strlen(logged);
	va_list args;

	va_start(args, format);
	vsnprintf(logged + used, sizeof(logged) - used, format, args);
	va_end(args);
}

static int disk_read(struct partition_source *source, uint64_t block, void *buffer)
{
	(void)source;
	reads++;
	assert_true(block < sizeof(disk) / logical);
	if (block >= unreadable_from)
		return -EIO;
	memcpy(buffer, disk + block * logical, logical);
	return 0;
}

static size_t parse(void)
{
	struct partition_source source = { .name = "disk", .sectors = BLOCKS, .logical_bytes = logical,
		.read = disk_read };

	reads = 0;
	logged[0] = '\0';
	return partition_parse(&source, page, list);
}

static void clear(uint32_t logical_bytes)
{
	memset(disk, 0, sizeof(disk));
	logical = logical_bytes;
	unreadable_from = ~0U;
}

static void put(uint64_t at, uint64_t value, size_t bytes)
{
	memcpy(disk + at, &value, bytes);
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

static void mbr_entry(uint64_t block, unsigned int index, uint8_t type, uint32_t first, uint32_t count)
{
	uint64_t at = block * logical + 446 + 16 * index;

	put(at + 4, type, 1);
	put(at + 8, first, 4);
	put(at + 12, count, 4);
	put(block * logical + 510, 0xaa55, 2);
}

#define ENTRIES 128U

static uint64_t gpt_table(bool backup)
{
	uint32_t blocks = sizeof(disk) / logical, table_blocks = ENTRIES * 128 / logical;

	return backup ? blocks - 1 - table_blocks : 2;
}

static void gpt_entry(unsigned int index, uint64_t first, uint64_t last, const char *name)
{
	for (int backup = 0; backup < 2; backup++) {
		uint64_t at = gpt_table(backup) * logical + 128 * index;

		put(at, 0x0fc63daf, 4);
		put(at + 16, index + 1, 4);
		put(at + 32, first, 8);
		put(at + 40, last, 8);
		for (size_t i = 0; name[i]; i++)
			put(at + 56 + 2 * i, (uint8_t)name[i], 2);
	}
}

static void gpt_seal(void)
{
	uint32_t blocks = sizeof(disk) / logical;

	mbr_entry(0, 0, 0xee, 1, blocks - 1);
	for (int backup = 0; backup < 2; backup++) {
		uint64_t own = backup ? blocks - 1 : 1, at = own * logical;

		memset(disk + at, 0, logical);
		memcpy(disk + at, "EFI PART", 8);
		put(at + 8, 0x10000, 4);
		put(at + 12, 92, 4);
		put(at + 24, own, 8);
		put(at + 32, backup ? 1 : blocks - 1, 8);
		put(at + 40, gpt_table(false) + ENTRIES * 128 / logical, 8);
		put(at + 48, gpt_table(true) - 1, 8);
		put(at + 72, gpt_table(backup), 8);
		put(at + 80, ENTRIES, 4);
		put(at + 84, 128, 4);
		put(at + 88, crc32(disk + gpt_table(backup) * logical, ENTRIES * 128), 4);
		put(at + 16, crc32(disk + at, 92), 4);
	}
}

static void assert_partition(size_t index, unsigned int number, uint64_t first, uint64_t sectors)
{
	assert_int_equal(list[index].number, number);
	assert_int_equal(list[index].first_sector, first);
	assert_int_equal(list[index].sectors, sectors);
}

static void reads_gpt(void **state)
{
	(void)state;
	clear(512);
	gpt_entry(0, 34, 99, "EFI system");
	gpt_entry(4, 2048, 3000, "caf\xc3");
	gpt_seal();
	assert_int_equal(parse(), 2);
	assert_partition(0, 1, 34, 66);
	assert_string_equal(list[0].label, "EFI system");
	assert_partition(1, 5, 2048, 953);
	assert_string_equal(list[1].label, "caf?");
	assert_string_equal(logged, "");
	clear(4096);
	gpt_entry(0, 6, 7, "");
	gpt_entry(127, 100, 200, "");
	gpt_seal();
	assert_int_equal(parse(), 2);
	assert_partition(0, 1, 48, 16);
	assert_partition(1, 128, 800, 808);
}

static void uses_the_backup(void **state)
{
	static const uint32_t damages[] = { 512, 512 + 16, 512 + 40, 512 + 84, 1024, 1024 + 32, 1024 + 16383 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		clear(512);
		gpt_entry(0, 34, 99, "one");
		gpt_entry(1, 100, 199, "two");
		gpt_seal();
		disk[damages[i]] ^= 0x10;
		assert_int_equal(parse(), 2);
		assert_partition(1, 2, 100, 100);
		assert_non_null(strstr(logged, "backup is used"));
		/* Both of them: then there is nothing that can be believed. */
		disk[sizeof(disk) - 512 + 20 + i] ^= 0x10;
		disk[sizeof(disk) - 512 + 56] ^= 0x10;
		assert_int_equal(parse(), 0);
		assert_non_null(strstr(logged, "so is its backup"));
	}
}

/* A header with good checksums and senseless contents is refused, whichever of its fields it is. */
static void refuses_senseless_headers(void **state)
{
	static const struct {
		uint32_t at;
		uint64_t value;
		size_t bytes;
	} cases[] = {
		{ 12, 91, 4 }, { 12, 513, 4 }, { 12, ~0U, 4 }, { 24, 2, 8 }, { 40, 4090, 8 }, { 48, 4096, 8 },
		{ 48, ~0ULL, 8 }, { 72, 4090, 8 }, { 72, ~0ULL, 8 }, { 72, 1ULL << 55, 8 }, { 80, 1025, 4 },
		{ 80, ~0U, 4 }, { 84, 64, 4 }, { 84, 0, 4 }, { 84, 1024, 4 }, { 84, 192, 4 }, { 84, ~0U, 4 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int backup = 0; backup < 2; backup++) {
			uint64_t at = backup ? sizeof(disk) - 512 : 512;

			if (!backup) {
				clear(512);
				gpt_entry(0, 34, 99, "one");
				gpt_seal();
			}
			put(at + cases[i].at, cases[i].value, cases[i].bytes);
			put(at + 16, 0, 4);
			put(at + 16, crc32(disk + at, 92), 4);
		}
		assert_int_equal(parse(), 0);
		assert_true(reads < 100);
	}
}

static void refuses_entries(void **state)
{
	(void)state;
	clear(512);
	gpt_entry(0, 100, 199, "stays");
	gpt_entry(1, 199, 250, "overlaps");
	gpt_entry(2, 4000, 5000, "beyond");
	gpt_entry(3, 300, 299, "nothing");
	gpt_entry(4, 1, 99, "over the table");
	gpt_entry(5, 400, ~0ULL, "wraps");
	gpt_entry(6, 200, 250, "stays");
	gpt_entry(7, 50, 4000, "around all");
	gpt_seal();
	assert_int_equal(parse(), 2);
	assert_partition(0, 1, 100, 100);
	assert_partition(1, 7, 200, 51);
	assert_non_null(strstr(logged, "partition 2 overlaps partition 1"));
	assert_non_null(strstr(logged, "partition 3 does not lie"));
	assert_non_null(strstr(logged, "partition 4 does not lie"));
	assert_non_null(strstr(logged, "partition 5 does not lie"));
	assert_non_null(strstr(logged, "partition 6 does not lie"));
	assert_non_null(strstr(logged, "partition 8 overlaps partition 1"));
}

static void reads_mbr(void **state)
{
	(void)state;
	for (logical = 512; logical <= 4096; logical *= 8) {
		uint32_t unit = logical / 512;

		clear(logical);
		mbr_entry(0, 0, LINUX, 10, 20);
		mbr_entry(0, 1, EXTENDED, 100, 200);
		mbr_entry(0, 3, 0x07, 400, 50);
		mbr_entry(100, 0, LINUX, 1, 9);
		mbr_entry(100, 1, EXTENDED, 50, 60);
		mbr_entry(150, 0, 0x82, 2, 58);
		assert_int_equal(parse(), 4);
		assert_partition(0, 1, 10 * unit, 20 * unit);
		assert_string_equal(list[0].label, "MBR type 83");
		assert_partition(1, 4, 400 * unit, 50 * unit);
		assert_partition(2, 5, 101 * unit, 9 * unit);
		assert_partition(3, 6, 152 * unit, 58 * unit);
		assert_string_equal(logged, "");
	}
}

/* As `sgdisk -t 1:8200` and `sfdisk` write them. */
static void knows_swap(void **state)
{
	(void)state;
	clear(512);
	gpt_entry(0, 100, 199, "files");
	gpt_entry(1, 200, 299, "swap");
	for (int backup = 0; backup < 2; backup++) {
		put(gpt_table(backup) * logical + 128, 0x43c4a4ab0657fd6dULL, 8);
		put(gpt_table(backup) * logical + 128 + 8, 0x4f4f4bc83309e584ULL, 8);
	}
	gpt_seal();
	assert_int_equal(parse(), 2);
	assert_false(list[0].linux_swap);
	assert_true(list[1].linux_swap);
	clear(512);
	mbr_entry(0, 0, 0x82, 10, 20);
	mbr_entry(0, 1, LINUX, 30, 20);
	mbr_entry(0, 2, EXTENDED, 100, 100);
	mbr_entry(100, 0, 0x82, 1, 9);
	assert_int_equal(parse(), 3);
	assert_true(list[0].linux_swap);
	assert_false(list[1].linux_swap);
	assert_true(list[2].linux_swap);
}

static void refuses_bad_chains(void **state)
{
	(void)state;
	clear(512);
	mbr_entry(0, 1, EXTENDED, 100, 200);
	mbr_entry(100, 0, LINUX, 1, 9);
	mbr_entry(100, 1, EXTENDED, 0, 60); /* to itself */
	assert_int_equal(parse(), 1);
	assert_partition(0, 5, 101, 9);
	assert_non_null(strstr(logged, "has no end"));
	assert_true(reads < 150);
	mbr_entry(100, 1, EXTENDED, 200, 60); /* out of the extended partition */
	assert_int_equal(parse(), 1);
	assert_non_null(strstr(logged, "is broken"));
	mbr_entry(100, 1, EXTENDED, 50, 60); /* to where there is none */
	assert_int_equal(parse(), 1);
	assert_non_null(strstr(logged, "is broken"));
	mbr_entry(0, 1, EXTENDED, 0xffffffff, 0xffffffff);
	assert_int_equal(parse(), 0);
	mbr_entry(0, 1, LINUX, 0xffffffff, 0xffffffff);
	assert_int_equal(parse(), 0);
	assert_non_null(strstr(logged, "does not lie on the disk"));
}

static void finds_no_table(void **state)
{
	(void)state;
	clear(512);
	assert_int_equal(parse(), 0);
	/* A FAT's boot sector: the signature, and code where the table would be. */
	mbr_entry(0, 0, LINUX, 10, 20);
	disk[446] = 0x33;
	assert_int_equal(parse(), 0);
	disk[446] = 0x80;
	assert_int_equal(parse(), 1);
	unreadable_from = 0;
	assert_int_equal(parse(), 0);
	clear(512);
	gpt_entry(0, 34, 99, "one");
	gpt_seal();
	for (unreadable_from = 1; unreadable_from < 34; unreadable_from++)
		assert_int_equal(parse(), 0);
	/* Without the protective record it is not a GPT disk, whatever was there once. */
	unreadable_from = ~0U;
	memset(disk, 0, 512);
	assert_int_equal(parse(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_gpt),
		cmocka_unit_test(uses_the_backup),
		cmocka_unit_test(refuses_senseless_headers),
		cmocka_unit_test(refuses_entries),
		cmocka_unit_test(reads_mbr),
		cmocka_unit_test(knows_swap),
		cmocka_unit_test(refuses_bad_chains),
		cmocka_unit_test(finds_no_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
