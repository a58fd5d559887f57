/* SPDX-License-Identifier: BSD-2-Clause */
/* The AHCI driver against a model of a controller with disks, in good and in bad days. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/block/ahci.h"
#include "test/unit/fake_ahci.h"
#include "test/unit/fake_frames.h"

#define SECONDS(n) ((n) * NS_PER_SEC)

static struct block_device *start(void)
{
	ahci_init();
	assert_int_equal(disk_lab_count(), 2);
	/* Whoever looks for disks changes nothing on them. */
	assert_int_equal(fake_ahci.commands, 0);
	return disk_lab_at(0);
}

static void wait_ms(unsigned int ms)
{
	while (ms--)
		disk_lab_pass(NS_PER_MS);
}

static void finds_disks(void **state)
{
	struct block_device *disk;

	(void)state;
	fake_ahci_reset();
	disk = start();
	assert_int_equal(disk->sectors, FAKE_AHCI_SECTORS);
	assert_int_equal(disk->logical_bytes, 512);
	assert_int_equal(disk->physical_bytes, 4096);
	assert_int_equal(disk_lab_at(1)->sectors, FAKE_AHCI_SECTORS);
	assert_int_equal(disk_lab_at(1)->logical_bytes, 4096);
	assert_int_equal(disk_lab_at(1)->physical_bytes, 4096);
	assert_string_equal(disk->description, "Model of a SATA disk");
	assert_memory_equal(disk->name, "sata", 4);
	assert_true(disk->can_discard && !disk->can_write_zeroes);
}

static void soak(unsigned int first, unsigned int count)
{
	struct block_device *disk;
	uint8_t *copy;

	for (unsigned int i = first; i < disk_lab_count(); i++) {
		disk = disk_lab_at(i);
		copy = calloc(1, sizeof(fake_ahci.contents[0]));
		memcpy(copy, fake_ahci.contents[i], sizeof(fake_ahci.contents[0]));
		disk_lab_soak(disk, copy, count);
		assert_memory_equal(copy, fake_ahci.contents[i], sizeof(fake_ahci.contents[0]));
		free(copy);
	}
}

static void carries_out_requests(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 6; round++) {
		disk_lab_seed(round + 1);
		fake_ahci_reset();
		fake_ahci.model.messages = round & 1;
		fake_ahci.ncq = !(round & 2);
		fake_ahci.trim = round != 1;
		fake_ahci.cache = round != 4;
		fake_ahci.firmware_keeps = round == 3;
		fake_ahci.forgets_ports = round == 2;
		fake_ahci.slots = round == 5 ? 4 : 32;
		start();
		soak(0, 3000);
		assert_int_equal(fake_ahci.flushes != 0, fake_ahci.cache);
		assert_int_equal(fake_ahci.most_under_way > 1, fake_ahci.ncq);
		assert_int_equal(fake_ahci.comresets, 0);
	}
}

static void reports_each_error(void **state)
{
	unsigned int errors[256], count = 40;
	struct block_device *disk;

	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		fake_ahci_reset();
		fake_ahci.ncq = kind & 1;
		fake_ahci.clears_failed = kind & 2;
		disk = start();
		for (unsigned int n = 0; n < count; n++) {
			fake_ahci.bad_sector = 8 * n + 3;
			disk_lab_burst(disk, count, SECONDS(10), errors);
			assert_int_equal(errors[EIO], 1);
			assert_int_equal(errors[0], count - 1);
		}
		/* The port is reset for NCQ's sake alone. */
		assert_int_equal(fake_ahci.comresets != 0, fake_ahci.ncq);
		fake_ahci.bad_sector = ~0ULL;
		soak(0, 300);
	}
}

/* What fails once, having had company, is tried again, and nobody sees the error. */
static void retries_after_ncq_errors(void **state)
{
	unsigned int errors[256];
	struct block_device *disk;

	(void)state;
	fake_ahci_reset();
	disk = start();
	for (unsigned int n = 1; n < 40; n += 3) {
		fake_ahci.fail_at = n;
		disk_lab_burst(disk, 40, SECONDS(10), errors);
		assert_true(errors[0] >= 39 && errors[0] + errors[EIO] == 40);
		wait_ms(200);
	}
	fake_ahci.fail_at = 1;
	assert_int_equal(disk_lab_do(disk, BLOCK_FLUSH, 0, 0, NULL, SECONDS(5)), -EIO);
	assert_int_equal(disk_lab_do(disk, BLOCK_FLUSH, 0, 0, NULL, SECONDS(5)), 0);
	fake_ahci.fail_at = 1;
	assert_int_equal(disk_lab_do(disk, BLOCK_DISCARD, 8, 8, NULL, SECONDS(5)), -EIO);
	assert_int_equal(disk_lab_do(disk, BLOCK_DISCARD, 8, 8, NULL, SECONDS(5)), 0);
}

static void resets_what_is_late(void **state)
{
	unsigned int errors[256];
	struct block_device *disk;

	(void)state;
	for (int ncq = 0; ncq < 2; ncq++) {
		fake_ahci_reset();
		fake_ahci.ncq = ncq;
		disk = start();
		for (unsigned int round = 1; round < 4; round++) {
			fake_ahci.lose_at = 10;
			disk_lab_burst(disk, 40, SECONDS(50), errors);
assert_int_equal(errors[ETIMEDOUT], 1);
			assert_int_equal(errors[0], 39);
			wait_ms(100);
			assert_int_equal(fake_ahci.comresets, round);
		}
		soak(0, 300);
	}
}

static void check_end(struct block_device *disk)
{
	static uint8_t page[4096] __aligned(4096);
	unsigned int errors[256];

	disk_lab_burst(disk, 40, SECONDS(60), errors);
	assert_int_equal(errors[0] + errors[EIO] + errors[ETIMEDOUT], 40);
	assert_true(errors[EIO] + errors[ETIMEDOUT] >= 1);
	wait_ms(20000);
	assert_int_equal(disk_lab_do(disk, BLOCK_READ, 0, 1, page, SECONDS(1)), -EIO);
	assert_int_equal(disk_lab_do(disk, BLOCK_FLUSH, 0, 0, NULL, SECONDS(1)), -EIO);
	assert_true(disk_lab_logged("is not used any more"));
}

static void survives_a_disks_end(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		struct block_device *disk;

		fake_ahci_reset();
		disk = start();
		fake_ahci.lose_at = kind < 2 ? 5 : 0;
		fake_ahci.no_link = kind == 0;
		fake_ahci.never_ready = kind == 1;
		if (kind >= 2)
			fake_ahci_unplug(kind == 3);
		check_end(disk);
		/* The other disk does not care. */
		soak(1, 300);
	}
}

static void survives_the_controllers_end(void **state)
{
	static uint8_t page[4096] __aligned(4096);
	struct block_device *disk;

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		fake_ahci_reset();
		disk = start();
		if (kind == 0) {
			fake_ahci.gone = true;
		} else {
			fake_ahci.lose_at = 5;
			fake_ahci.never_stops = true;
		}
		check_end(disk);
		assert_int_equal(disk_lab_do(disk_lab_at(1), BLOCK_READ, 0, 8, page, SECONDS(1)), -EIO);
		assert_false(disk_lab_mastering());
	}
}

static void is_not_there_after_all(void **state)
{
	(void)state;
	for (int kind = 0; kind < 5; kind++) {
		fake_ahci_reset();
		fake_ahci.gone = kind == 0;
		fake_ahci.silent = kind == 1;
		fake_ahci.narrow = kind == 2;
		if (kind == 3)
			fake_ahci.model.bar_bytes = 0x100;
		if (kind == 4)
			fake_ahci.never_ready = true;
		ahci_init();
		assert_int_equal(disk_lab_count(), kind == 4 ? 1 : 0);
	}
}

static void gets_no_memory(void **state)
{
	(void)state;
	for (int after = 0; after < 145; after++) {
		fake_ahci_reset();
		fake_frames_until_failure = after;
		ahci_init();
		fake_frames_until_failure = -1;
		soak(disk_lab_count() == 2 ? 0 : 2, 20);
	}
	assert_int_equal(disk_lab_count(), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_disks),
		cmocka_unit_test(carries_out_requests),
		cmocka_unit_test(reports_each_error),
		cmocka_unit_test(retries_after_ncq_errors),
		cmocka_unit_test(resets_what_is_late),
		cmocka_unit_test(survives_a_disks_end),
		cmocka_unit_test(survives_the_controllers_end),
		cmocka_unit_test(is_not_there_after_all),
		cmocka_unit_test(gets_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
