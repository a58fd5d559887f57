/* SPDX-License-Identifier: BSD-2-Clause */
/* The NVMe driver against a model of a controller, in good and in bad days. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/block/nvme.h"
#include "host/block/partition.h"
#include "test/unit/fake_frames.h"
#include "test/unit/fake_nvme.h"

#define SECONDS(n) ((n) * NS_PER_SEC)

static struct block_device *start(void)
{
	nvme_init();
	assert_true(disk_lab_count() >= 1);
	/* Whoever looks for disks changes nothing on them. */
	assert_int_equal(fake_nvme.commands, 0);
	return disk_lab_at(0);
}

static void finds_namespaces(void **state)
{
	struct block_device *disk;

	(void)state;
	for (int old = 0; old < 2; old++) {
		fake_nvme_reset();
		fake_nvme.namespaces = 2;
		fake_nvme.old = old;
		disk = start();
		assert_int_equal(disk_lab_count(), 2);
		assert_int_equal(disk->sectors, FAKE_NVME_SECTORS);
		assert_int_equal(disk->logical_bytes, 512);
		assert_int_equal(disk_lab_at(1)->sectors, FAKE_NVME_SECTORS);
		assert_int_equal(disk_lab_at(1)->logical_bytes, 4096);
		assert_string_equal(disk->description, "Model of an NVMe disk");
		assert_memory_equal(disk->name, "nvme", 4);
		assert_true(disk->can_discard && disk->can_write_zeroes);
	}
}

static void leaves_metadata_alone(void **state)
{
	(void)state;
	fake_nvme_reset();
	fake_nvme.namespaces = 2;
	fake_nvme.metadata = 8;
	nvme_init();
	assert_int_equal(disk_lab_count(), 1);
	assert_int_equal(disk_lab_at(0)->logical_bytes, 4096);
	assert_true(disk_lab_logged("namespace 1 is left alone"));
}

static void soak(unsigned int count)
{
	struct block_device *disk;
	uint8_t *copy;

	for (unsigned int i = 0; i < disk_lab_count(); i++) {
		disk = disk_lab_at(i);
		copy = calloc(1, sizeof(fake_nvme.contents[0]));
		memcpy(copy, fake_nvme.contents[i], sizeof(fake_nvme.contents[0]));
		disk_lab_soak(disk, copy, count);
		assert_memory_equal(copy, fake_nvme.contents[i], sizeof(fake_nvme.contents[0]));
		free(copy);
	}
}

static void carries_out_requests(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 8; round++) {
		disk_lab_seed(round + 1);
		fake_nvme_reset();
		fake_nvme.namespaces = 2;
		fake_nvme.model.messages = round & 1;
		fake_nvme.mdts = round & 2 ? 2 : 0;
		fake_nvme.stride = round & 3;
		fake_nvme.volatile_cache = round != 3;
		if (round == 4)
			fake_nvme.entries = 2; /* one command at a time */
		else if (round == 5)
			fake_nvme.entries = 7;
		start();
		soak(3000);
		assert_true(fake_nvme.most_under_way <= MIN(32, fake_nvme.entries - 1));
		assert_true(fake_nvme.most_under_way >= MIN(20, fake_nvme.entries - 1));
		assert_int_equal(fake_nvme.flushes != 0, fake_nvme.volatile_cache);
	}
}

static void ignores_what_it_did_not_ask_for(void **state)
{
	struct block_device *disk;
	uint8_t page[512] __aligned(16);

	(void)state;
	fake_nvme_reset();
	fake_nvme.bogus = true;
	disk = start();
	for (int i = 0; i < 200; i++)
		assert_int_equal(disk_lab_do(disk, BLOCK_WRITE, 0, 1, page, SECONDS(1)), 0);
}

static void reports_each_error(void **state)
{
	unsigned int errors[256], count = 40;
	struct block_device *disk;

	(void)state;
	fake_nvme_reset();
	disk = start();
	for (unsigned int n = 1; n <= count; n++) {
		fake_nvme.fail_at = n;
		disk_lab_burst(disk, count, SECONDS(1), errors);
		assert_int_equal(errors[EIO], 1);
		assert_int_equal(errors[0], count - 1);
	}
	assert_true(disk_lab_logged("failed"));
	soak(200);
}

static void aborts_what_is_late(void **state)
{
	unsigned int errors[256];
	struct block_device *disk;

	(void)state;
	fake_nvme_reset();
	disk = start();
	fake_nvme.lose_at = 7;
	disk_lab_burst(disk, 40, SECONDS(29), errors);
	assert_int_equal(errors[0], 39);
	disk_lab_pass(SECONDS(1));
	for (int i = 0; i < 2000; i++)
		disk_lab_pass(NS_PER_MS);
	assert_int_equal(fake_nvme.aborts, 1);
	assert_int_equal(fake_nvme.resets, 0);
	disk_lab_burst(disk, 40, SECONDS(1), errors);
	assert_int_equal(errors[0], 40);
	fake_nvme.lose_at = 1;
	assert_int_equal(disk_lab_do(disk, BLOCK_FLUSH, 0, 0, NULL, SECONDS(40)), -ETIMEDOUT);
}

static void resets_what_does_not_abort(void **state)
{
	unsigned int errors[256];
	struct block_device *disk;

	(void)state;
	fake_nvme_reset();
	disk = start();
	for (unsigned int round = 1; round < 4; round++) {
		fake_nvme.deaf = true;
		fake_nvme.lose_at = 10;
		disk_lab_burst(disk, 40, SECONDS(40), errors);
		assert_int_equal(errors[ETIMEDOUT], 1);
		assert_int_equal(errors[0], 39);
		assert_int_equal(fake_nvme.resets, round);
		fake_nvme.deaf = false;
		soak(200);
	}
	/* Nor does Abort's own end ever come. */
	fake_nvme.admin_deaf = true;
	fake_nvme.lose_at = 3;
	disk_lab_burst(disk, 5, SECONDS(60), errors);
	assert_int_equal(errors[0], 4);
	assert_int_equal(errors[ETIMEDOUT], 1);
	assert_int_equal(disk_lab_do(disk, BLOCK_FLUSH, 0, 0, NULL, SECONDS(20)), -EIO);
	assert_true(disk_lab_logged("does not come up"));
}

static void fails_all_when(bool *what, bool late)
{
	unsigned int errors[256];
	struct block_device *disk;

	fake_nvme_reset();
	disk = start();
	if (!late)
		*what = true;
	fake_nvme.deaf = true;
	fake_nvme.lose_at = late ? 3 : 0;
	fake_nvme.fatal = !late && what != &fake_nvme.gone;
	if (late)
		*what = true;
	disk_lab_burst(disk, 40, SECONDS(60), errors);
	assert_int_equal(errors[0] + errors[EIO] + errors[ETIMEDOUT], 40);
	assert_true(errors[EIO] + errors[ETIMEDOUT] >= 1);
	for (int i = 0; i < 3000; i++)
		disk_lab_pass(NS_PER_MS);
	assert_false(disk_lab_mastering());
	assert_int_equal(disk_lab_do(disk, BLOCK_READ, 0, 1, (void *)0x1000, SECONDS(1)), -EIO);
	assert_int_equal(disk_lab_do(disk, BLOCK_FLUSH, 0, 0, NULL, SECONDS(1)), -EIO);
	assert_true(disk_lab_logged("is not used any more"));
}

static void survives_its_end(void **state)
{
	(void)state;
	fails_all_when(&fake_nvme.gone, false);
	fails_all_when(&fake_nvme.stuck, true);
	fails_all_when(&fake_nvme.never_stops, true);
	fails_all_when(&fake_nvme.stuck, false);
	fails_all_when(&fake_nvme.never_stops, false);
}

static void is_pulled_out_at_any_time(void **state)
{
	static uint8_t page[4096] __aligned(4096);
	struct block_device *disk;
	int result;

	(void)state;
	for (unsigned int after = 0; after < 40; after++) {
		disk_lab_seed(after + 1);
		fake_nvme_reset();
		disk = start();
		for (unsigned int i = 0; i < after; i++)
			assert_int_equal(disk_lab_do(disk, BLOCK_WRITE, i, 1, page, SECONDS(1)), 0);
		fake_nvme.gone = true;
		result = disk_lab_do(disk, BLOCK_WRITE, 0, 1, page, SECONDS(1));
		assert_int_equal(result, -EIO);
	}
}

static void recovers_from_a_fatal_status(void **state)
{
	unsigned int errors[256];
	struct block_device *disk;

	(void)state;
	fake_nvme_reset();
	disk = start();
	fake_nvme.fatal = true;
	disk_lab_burst(disk, 40, SECONDS(5), errors);
	assert_int_equal(errors[EIO], 32);
	assert_int_equal(errors[0], 8); /* they waited, and were carried out after the reset */
	assert_int_equal(fake_nvme.resets, 1);
	soak(500);
}

static void is_not_there_after_all(void **state)
{
	(void)state;
	for (int kind = 0; kind < 5; kind++) {
		fake_nvme_reset();
		fake_nvme.gone = kind == 0;
		fake_nvme.stuck = kind == 1;
		fake_nvme.admin_deaf = kind == 2;
		if (kind == 3)
			fake_nvme.model.bar_bytes = 0x1000;
		if (kind == 4)
			fake_nvme.model.bar = 2;
		nvme_init();
		assert_int_equal(disk_lab_count(), 0);
		assert_false(disk_lab_mastering());
		assert_true(disk_lab_logged("NVMe controller 00:00.0"));
	}
}

static void has_partitions(void **state)
{
	static uint8_t page[4096] __aligned(4096);
	uint8_t *record = fake_nvme.contents[0];
	struct block_device *disk, *part;

	(void)state;
	fake_nvme_reset();
	/* Two entries of an MBR: sectors 100 to 199, and 200 to 300. */
	memcpy(record + 446, (uint8_t[16]){ 0, 0, 0, 0, 0x83, 0, 0, 0, 100, 0, 0, 0, 100 }, 16);
	memcpy(record + 462, (uint8_t[16]){ 0, 0, 0, 0, 0x83, 0, 0, 0, 200, 0, 0, 0, 101 }, 16);
	memcpy(record + 510, "\x55\xaa", 2);
	nvme_init();
	disk = disk_lab_at(0);
	partition_find(disk);
	assert_int_equal(fake_nvme.writes, 0);
	assert_int_equal(disk_lab_count(), 3);
	part = disk_lab_at(2);
	assert_memory_equal(part->name, disk->name, strlen(disk->name));
	assert_string_equal(part->name + strlen(disk->name), "p2");
	assert_ptr_equal(part->parent, disk);
	assert_int_equal(part->first_sector, 200);
	assert_int_equal(part->sectors, 101);
	memset(page, 0x5a, sizeof(page));
	assert_int_equal(disk_lab_do(part, BLOCK_WRITE, 3, 8, page, SECONDS(1)), 0);
	assert_memory_equal(record + 203 * SECTOR_BYTES, page, sizeof(page));
	assert_int_equal(record[203 * SECTOR_BYTES - 1], 0);
	memset(record + 200 * SECTOR_BYTES, 0xa5, SECTOR_BYTES);
	assert_int_equal(disk_lab_do(part, BLOCK_READ, 0, 8, page, SECONDS(1)), 0);
	assert_int_equal(page[0], 0xa5);
	assert_int_equal(page[3 * SECTOR_BYTES], 0x5a);
	assert_int_equal(disk_lab_do(part, BLOCK_FLUSH, 0, 0, NULL, SECONDS(1)), 0);
}

static void gets_no_memory(void **state)
{
	(void)state;
	for (int after = 0; after < 75; after++) {
		fake_nvme_reset();
		fake_frames_until_failure = after;
		nvme_init();
		fake_frames_until_failure = -1;
		if (disk_lab_count())
			soak(50);
	}
	assert_int_equal(disk_lab_count(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_namespaces),
		cmocka_unit_test(leaves_metadata_alone),
		cmocka_unit_test(carries_out_requests),
		cmocka_unit_test(ignores_what_it_did_not_ask_for),
		cmocka_unit_test(reports_each_error),
		cmocka_unit_test(aborts_what_is_late),
		cmocka_unit_test(resets_what_does_not_abort),
		cmocka_unit_test(survives_its_end),
		cmocka_unit_test(is_pulled_out_at_any_time),
		cmocka_unit_test(recovers_from_a_fatal_status),
		cmocka_unit_test(is_not_there_after_all),
		cmocka_unit_test(has_partitions),
		cmocka_unit_test(gets_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
