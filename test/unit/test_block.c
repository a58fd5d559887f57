/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of disks, images, who may open what, and the checks of every request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "host/block/block.h"
#include "host/cpu.h"
#include "host/log.h"
#include "host/machine.h"
#include "test/unit/fake_frames.h"

static struct cpu boot_cpu;
static unsigned int notified, lines;
static char last_line[200];

struct cpu *cpu_by_id(unsigned int id)
{
	assert_int_equal(id, 0);
	return &boot_cpu;
}

void cpu_notify(struct cpu *cpu)
{
	assert_ptr_equal(cpu, &boot_cpu);
	notified++;
}

void log_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(last_line, sizeof(last_line), format, args);
	va_end(args);
	lines++;
}

/* A disk that remembers what it was given. */
static struct block_request *given;
static bool answer;
static int answer_error;
static unsigned int released;

static bool submit(struct block_device *device, struct block_request *request)
{
	(void)device;
	given = request;
	request->error = answer_error;
	return answer;
}

static void release(struct block_device *device)
{
	assert_int_equal(device->readers + device->writers, 0);
	released++;
}

static const struct block_operations operations = { .submit = submit, .release = release };

static struct block_device disk = { .name = "nvme0", .sectors = 10000 };
static struct block_device first = { .name = "nvme0p1", .sectors = 1000, .parent = &disk, .first_sector = 100 };
static struct block_device second = { .name = "nvme0p2", .sectors = 500, .parent = &disk, .first_sector = 1100 };
/* As a broken table of partitions has them. */
static struct block_device inside = { .name = "nvme0p3", .sectors = 10, .parent = &disk, .first_sector = 1095 };
static struct block_device other = { .name = "sata0", .sectors = 10000 };
static struct block_device locked = { .name = "rom", .sectors = 8, .read_only = true };

static uint8_t image_data[4 * 512 + 17] __aligned(16);

static int group_setup(void **state)
{
	struct block_device *all[] = { &disk, &first, &second, &inside, &other, &locked };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		all[i]->operations = &operations;
		all[i]->logical_bytes = all[i]->physical_bytes = 512;
		all[i]->can_discard = all[i]->can_write_zeroes = true;
		block_register(all[i]);
	}
	machine.files[0] = (struct machine_file){ "\\images\\debian.img", image_data, sizeof(image_data), 0 };
	machine.files[1] = (struct machine_file){ "\\images\\empty.img", image_data, 0, 0 };
	machine.files[2] = (struct machine_file){ "\\images\\gone.img", NULL, 0, -ENOENT };
	machine.files[3] = (struct machine_file){ "whole.img", image_data, 512, 0 };
	machine.files[4] = (struct machine_file){ "tiny.img", image_data, 511, 0 };
	machine.file_count = 5;
	return 0;
}

static int setup(void **state)
{
	(void)state;
	lines = notified = released = 0;
	given = NULL;
	answer = true;
	answer_error = 0;
	fake_frames_until_failure = -1;
	return 0;
}

static void test_list(void **state)
{
	(void)state;
	assert_ptr_equal(block_at(0), &disk);
	assert_ptr_equal(block_at(5), &locked);
	assert_null(block_at(6));
	assert_ptr_equal(block_find("NVMe0P2"), &second);
	assert_null(block_find("nvme0p"));
	assert_null(block_find("nvme0p22"));
	assert_null(block_find(""));
}

static void test_images(void **state)
{
	struct block_device *image;

	(void)state;
	fake_frames_until_failure = 0;
	assert_null(block_find("\\images\\debian.img"));
	assert_non_null(strstr(last_line, "no memory"));
	fake_frames_until_failure = -1;

	lines = 0;
	image = block_find("/images/DEBIAN.img");
	assert_non_null(image);
	assert_int_equal(lines, 1);
	assert_non_null(strstr(last_line, "last 17 bytes"));
	assert_int_equal(image->sectors, 4);
	assert_string_equal(image->name, "\\images\\debian.img");
	assert_ptr_equal(block_find("\\images\\debian.img"), image);
	assert_ptr_equal(block_find("images/debian.img"), image);
	assert_int_equal(lines, 1);
	assert_ptr_equal(block_at(6), image);

	assert_null(block_find("images/none.img"));
	assert_int_equal(lines, 1);
	assert_null(block_find("images/empty.img"));
	assert_int_equal(lines, 2);
	assert_null(block_find("tiny.img"));
	assert_int_equal(lines, 3);
	assert_null(block_find("images/gone.img"));
	assert_int_equal(lines, 4);
	assert_non_null(strstr(last_line, "could not be read"));

	assert_int_equal(block_find("whole.img")->sectors, 1);
	assert_int_equal(lines, 4);
}

static void test_image_data(void **state)
{
	struct block_device *image = block_find("images/debian.img");
	uint8_t part[1024];
	struct block_segment segments[] = { { host_phys(part), 100 }, { host_phys(part + 100), 924 } };
	struct block_request request = {
		.operation = BLOCK_READ, .sector = 2, .sectors = 2, .segments = segments, .segment_count = 2,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(image_data); i++)
		image_data[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(block_open(image, BLOCK_OPEN_READ), 0);
	assert_true(block_submit(image, &request));
	assert_int_equal(request.error, 0);
	assert_memory_equal(part, image_data + 1024, 1024);

	/* Its readers see it as it was. */
	request.operation = BLOCK_WRITE;
	memset(part, 0x5a, sizeof(part));
	assert_true(block_submit(image, &request));
	assert_int_equal(request.error, -EROFS);
	assert_int_equal(image_data[1024], (uint8_t)(1024 * 7 + 4));
	block_close(image, BLOCK_OPEN_READ);

	assert_int_equal(block_open(image, BLOCK_OPEN_WRITE), 0);
	assert_true(block_submit(image, &request));
	assert_int_equal(request.error, 0);
	assert_memory_equal(part, image_data + 1024, 1024);
	assert_int_not_equal(image_data[1023], 0x5a);
	request = (struct block_request){ .operation = BLOCK_WRITE_ZEROES, .sector = 3, .sectors = 1 };
	assert_true(block_submit(image, &request));
	assert_int_equal(request.error, 0);
	assert_int_equal(image_data[3 * 512 - 1], 0x5a);
	assert_int_equal(image_data[3 * 512], 0);
	assert_int_equal(image_data[4 * 512 - 1], 0);
	assert_int_not_equal(image_data[4 * 512], 0);
	request = (struct block_request){ .operation = BLOCK_FLUSH };
	assert_true(block_submit(image, &request));
	assert_int_equal(request.error, 0);
	request = (struct block_request){ .operation = BLOCK_DISCARD, .sectors = 1 };
	assert_true(block_submit(image, &request));
	assert_int_equal(request.error, -ENOTSUP);
	block_close(image, BLOCK_OPEN_WRITE);

	assert_int_equal(image->reads, 1);
	assert_int_equal(image->read_sectors, 2);
	assert_int_equal(image->writes, 1);
	assert_int_equal(image->written_sectors, 2);
	assert_int_equal(image->flushes, 1);
	assert_int_equal(image->errors, 2);
}

static void opens(struct block_device *device, enum block_open how, int expected)
{
	assert_int_equal(block_open(device, how), expected);
	if (!expected)
		block_close(device, how);
}

static void test_open(void **state)
{
	(void)state;
	opens(&locked, BLOCK_OPEN_WRITE, -EROFS);
	opens(&locked, BLOCK_OPEN_READ, 0);
	assert_int_equal(released, 1);

	/* A partition's writer is alone on its sectors, but not on the disk. */
	assert_int_equal(block_open(&first, BLOCK_OPEN_WRITE), 0);
	opens(&first, BLOCK_OPEN_WRITE, -EBUSY);
	opens(&first, BLOCK_OPEN_READ, -EBUSY);
	opens(&disk, BLOCK_OPEN_READ, -EBUSY);
	opens(&disk, BLOCK_OPEN_WRITE, -EBUSY);
	opens(&second, BLOCK_OPEN_WRITE, 0);
	opens(&inside, BLOCK_OPEN_READ, -EBUSY);
	opens(&other, BLOCK_OPEN_WRITE, 0);
	block_close(&first, BLOCK_OPEN_WRITE);

	/* The disk's writer, on all partitions. */
	assert_int_equal(block_open(&disk, BLOCK_OPEN_WRITE), 0);
	opens(&first, BLOCK_OPEN_READ, -EBUSY);
	opens(&second, BLOCK_OPEN_WRITE, -EBUSY);
	opens(&other, BLOCK_OPEN_READ, 0);
	block_close(&disk, BLOCK_OPEN_WRITE);

	/* Readers go together. */
	released = 0;
	assert_int_equal(block_open(&disk, BLOCK_OPEN_READ), 0);
	assert_int_equal(block_open(&disk, BLOCK_OPEN_READ), 0);
	opens(&first, BLOCK_OPEN_READ, 0);
	opens(&first, BLOCK_OPEN_WRITE, -EBUSY);
	opens(&disk, BLOCK_OPEN_WRITE, -EBUSY);
	block_close(&disk, BLOCK_OPEN_READ);
	opens(&second, BLOCK_OPEN_WRITE, -EBUSY);
	assert_int_equal(released, 1);
	block_close(&disk, BLOCK_OPEN_READ);
	assert_int_equal(released, 2);
	opens(&second, BLOCK_OPEN_WRITE, 0);

	/* Neighbours that overlap by mistake. */
	assert_int_equal(block_open(&inside, BLOCK_OPEN_READ), 0);
	opens(&first, BLOCK_OPEN_WRITE, -EBUSY);
	opens(&second, BLOCK_OPEN_WRITE, -EBUSY);
	opens(&second, BLOCK_OPEN_READ, 0);
	block_close(&inside, BLOCK_OPEN_READ);

	/* One that is not in the list, as overlays are. */
	struct block_device apart = { .operations = &operations, .sectors = 10000 };

	assert_int_equal(block_open(&apart, BLOCK_OPEN_WRITE), 0);
	opens(&apart, BLOCK_OPEN_READ, -EBUSY);
	opens(&disk, BLOCK_OPEN_WRITE, 0);
	block_close(&apart, BLOCK_OPEN_WRITE);
}

static int try(struct block_device *device, struct block_request request)
{
	given = NULL;
	request.error = 1;
	assert_true(block_submit(device, &request));
	assert_int_equal(given == NULL, request.error != 0);
	return request.error;
}

#define RANGE(op, at, count) ((struct block_request){ .operation = op, .sector = at, .sectors = count })

static void test_checks(void **state)
{
	struct block_segment segments[65];
	struct block_request request = { .operation = BLOCK_READ, .sector = 0, .sectors = 65, .segments = segments,
		.segment_count = 65 };

	(void)state;
	assert_int_equal(try(&disk, RANGE(BLOCK_DISCARD, 9999, 1)), 0);
	assert_int_equal(try(&disk, RANGE(BLOCK_DISCARD, 10000, 1)), -EINVAL);
	assert_int_equal(try(&disk, RANGE(BLOCK_DISCARD, 9999, 2)), -EINVAL);
	assert_int_equal(try(&disk, RANGE(BLOCK_DISCARD, ~0ULL, 2)), -EINVAL);
	assert_int_equal(try(&disk, RANGE(BLOCK_DISCARD, 5, ~0U)), -EINVAL);
	assert_int_equal(try(&disk, RANGE(BLOCK_DISCARD, 5, 0)), -EINVAL);
	assert_int_equal(try(&disk, RANGE(BLOCK_DISCARD, 0, 8193)), -EINVAL);
	assert_int_equal(try(&disk, RANGE(BLOCK_WRITE_ZEROES, 0, 8192)), 0);
	assert_int_equal(try(&disk, RANGE(BLOCK_READ, 0, 1)), -EINVAL);
	assert_int_equal(try(&disk, RANGE((enum block_operation)99, 0, 1)), -EINVAL);
	assert_int_equal(try(&disk, RANGE(BLOCK_FLUSH, 0, 0)), 0);
	assert_int_equal(try(&disk, RANGE(BLOCK_FLUSH, 0, 1)), -EINVAL);
	assert_int_equal(try(&locked, RANGE(BLOCK_FLUSH, 0, 0)), 0);
	assert_int_equal(try(&locked, RANGE(BLOCK_WRITE_ZEROES, 0, 1)), -EROFS);
	disk.can_discard = disk.can_write_zeroes = false;
	assert_int_equal(try(&disk, RANGE(BLOCK_DISCARD, 0, 1)), -ENOTSUP);
	assert_int_equal(try(&disk, RANGE(BLOCK_WRITE_ZEROES, 0, 1)), -ENOTSUP);
	disk.can_discard = disk.can_write_zeroes = true;
	disk.logical_bytes = 4096;
	assert_int_equal(try(&disk, RANGE(BLOCK_DISCARD, 8, 16)), 0);
	assert_int_equal(try(&disk, RANGE(BLOCK_DISCARD, 4, 8)), -EINVAL);
	assert_int_equal(try(&disk, RANGE(BLOCK_DISCARD, 8, 4)), -EINVAL);
	disk.logical_bytes = 512;

	for (unsigned int i = 0; i < 65; i++)
		segments[i] = (struct block_segment){ 0x1000, 512 };
	assert_int_equal(try(&disk, request), -EINVAL);
	request.segment_count = request.sectors = 64;
	assert_int_equal(try(&disk, request), 0);
	request.sectors = 63;
	assert_int_equal(try(&disk, request), -EINVAL);
	request.sectors = 64;
	segments[3].bytes = 0;
	segments[4].bytes = 1024;
	assert_int_equal(try(&disk, request), -EINVAL);
	request.segment_count = 1;
	segments[0] = (struct block_segment){ 0x1000, MIB(1) };
	request.sectors = 2048;
	assert_int_equal(try(&disk, request), 0);
	segments[0].start = ~0ULL - 5;
	assert_int_equal(try(&disk, request), -EINVAL);
	segments[0] = (struct block_segment){ 0x1000, MIB(1) + 512 };
	request.sectors = 2049;
	assert_int_equal(try(&disk, request), -EINVAL);
	request.operation = BLOCK_DISCARD;
	assert_int_equal(try(&disk, request), -EINVAL);
}

static unsigned int ended;

static void request_ended(struct block_request *request)
{
	assert_int_equal(request->error, -ETIMEDOUT);
	ended++;
}

static void test_counts(void **state)
{
	uint8_t buffer[512];
	struct block_segment segment = { host_phys(buffer), 512 };
	struct block_request request = { .operation = BLOCK_WRITE, .sectors = 1, .segments = &segment,
		.segment_count = 1, .done = request_ended };
	uint64_t errors = other.errors;

	(void)state;
	answer = false;
	assert_false(block_submit(&other, &request));
	assert_int_equal(other.writes + other.errors, errors);
	block_finish(&other, &request, -ETIMEDOUT);
	assert_int_equal(ended, 1);
	assert_int_equal(other.writes, 0);
	assert_int_equal(other.errors, errors + 1);
	answer = true;
	answer_error = -EIO;
	assert_true(block_submit(&other, &request));
	assert_int_equal(request.error, -EIO);
	assert_int_equal(other.errors, errors + 2);
}

static struct block_work works[3];
static unsigned int ran, order[10];

static void run(struct block_work *work)
{
	order[ran++] = (unsigned int)(work - works);
	if (work == &works[1] && ran < 4)
		block_defer(work);
}

static void test_deferred(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(works); i++)
		works[i].run = run;
	block_poll();
	block_defer(&works[2]);
	block_defer(&works[1]);
	block_defer(&works[2]);
	assert_int_equal(notified, 2);
	block_poll();
	/* One that goes on does so after the operator's other business. */
	assert_int_equal(ran, 2);
	assert_int_equal(order[0], 2);
	assert_int_equal(order[1], 1);
	assert_int_equal(notified, 3);
	block_poll();
	assert_int_equal(ran, 3);
	block_poll();
	block_poll();
	assert_int_equal(ran, 4);
}

static void test_slices(void **state)
{
	uint8_t data[1024];
	struct block_segment segments[] = { { 0x1000, 10 }, { 0x2000, 502 }, { 0x3000, 512 } };
	struct block_request request = { .sectors = 2, .segments = segments, .segment_count = 3 };
	struct block_segment out[BLOCK_MAX_SEGMENTS];

	(void)state;
	assert_int_equal(block_slice(&request, 0, 1024, out), 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(out[i].start, segments[i].start);
		assert_int_equal(out[i].bytes, segments[i].bytes);
	}
	assert_int_equal(block_slice(&request, 10, 502, out), 1);
	assert_int_equal(out[0].start, 0x2000);
	assert_int_equal(out[0].bytes, 502);
	assert_int_equal(block_slice(&request, 5, 510, out), 3);
	assert_int_equal(out[0].start, 0x1005);
	assert_int_equal(out[0].bytes, 5);
	assert_int_equal(out[2].start, 0x3000);
	assert_int_equal(out[2].bytes, 3);
	assert_int_equal(block_slice(&request, 1024, 0, out), 0);

	segments[0].start = host_phys(data + 600);
	segments[1].start = host_phys(data);
	segments[2].start = host_phys(data + 502);
	memset(data, 1, sizeof(data));
	block_zero(&request, 8, 4);
	assert_int_equal(data[607], 1);
	assert_int_equal(data[608], 0);
	assert_int_equal(data[609], 0);
	assert_int_equal(data[610], 1);
	assert_int_equal(data[1], 0);
	assert_int_equal(data[2], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_list, setup),
		cmocka_unit_test_setup(test_images, setup),
		cmocka_unit_test_setup(test_image_data, setup),
		cmocka_unit_test_setup(test_open, setup),
		cmocka_unit_test_setup(test_checks, setup),
		cmocka_unit_test_setup(test_counts, setup),
		cmocka_unit_test_setup(test_deferred, setup),
		cmocka_unit_test_setup(test_slices, setup),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
