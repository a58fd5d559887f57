/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Overlays against a model, an array of sectors: random requests over bases that answer at once, later, in any order,
 * or fail; and memory that runs out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/block/overlay.h"
#include "test/unit/fake_disk.h"
#include "test/unit/fake_frames.h"

static struct fake_disk disk;
static struct block_device *overlay;
static uint8_t (*model)[SECTOR_BYTES]; /* what a reader is to see */
static bool *own;                      /* the base does not count there */
static uint64_t seed;
static int64_t frames_before;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

static void begin(uint64_t limit_bytes, uint32_t logical_bytes)
{
	fake_frames_until_failure = -1;
	frames_before = fake_frames_in_use;
	fake_disk_init(&disk);
	disk.device.logical_bytes = logical_bytes;
	/* A last page that is not whole, if it can be so. */
	disk.device.sectors -= logical_bytes == SECTOR_BYTES ? 3 : 0;
	assert_int_equal(block_open(&disk.device, BLOCK_OPEN_READ), 0);
	assert_int_equal(overlay_create(&disk.device, limit_bytes, &overlay), 0);
	assert_int_equal(block_open(overlay, BLOCK_OPEN_WRITE), 0);
	model = malloc(FAKE_DISK_CELLS * SECTOR_BYTES);
	own = calloc(FAKE_DISK_CELLS, 1);
	assert_true(model && own);
	memcpy(model, disk.data, FAKE_DISK_CELLS * SECTOR_BYTES);
}

static void end(void)
{
	fake_frames_until_failure = -1;
	block_close(overlay, BLOCK_OPEN_WRITE);
	overlay_destroy(overlay);
	assert_int_equal(fake_frames_in_use, frames_before);
	if (disk.device.readers)
		block_close(&disk.device, BLOCK_OPEN_READ);
	fake_disk_free(&disk);
	free(model);
	free(own);
}

/* A request with a buffer of its own, in segments of any lengths. */
struct io {
	struct block_request request;
	struct block_segment segments[BLOCK_MAX_SEGMENTS];
	uint8_t *data;
	bool under_way, ended;
};

static void io_done(struct block_request *request)
{
	struct io *io = container_of(request, struct io, request);

	assert_true(io->under_way);
	assert_false(io->ended);
	io->ended = true;
}

static void io_begin(struct io *io, enum block_operation operation, uint64_t sector, uint32_t sectors)
{
	bool has_data = operation == BLOCK_READ || operation == BLOCK_WRITE;
	uint32_t bytes = has_data ? sectors * SECTOR_BYTES : 0, at = 0;
	unsigned int count = 0;

	memset(io, 0, sizeof(*io));
	io->data = malloc(bytes + 1);
	assert_non_null(io->data);
	while (at < bytes) {
		uint32_t part = count + 1 == BLOCK_MAX_SEGMENTS ? bytes - at : 1 + draw(draw(4) ? bytes : 600);

		part = MIN(part, bytes - at);
		io->segments[count++] = (struct block_segment){ host_phys(io->data + at), part };
		at += part;
	}
	io->request = (struct block_request){ .operation = operation, .sector = sector, .sectors = sectors,
		.segments = io->segments, .segment_count = count, .done = io_done };
}

static void io_submit(struct io *io)
{
	io->under_way = true;
	if (block_submit(overlay, &io->request)) {
		assert_false(io->ended);
		io->ended = true;
	}
}

static void complete_some(unsigned int leave)
{
	while (disk.pending_count > leave)
		fake_disk_complete(&disk, draw(disk.pending_count));
}

static int io_run(struct io *io)
{
	io_submit(io);
	complete_some(0);
	assert_true(io->ended);
	return io->request.error;
}

/* Reads that ended have what the model has, unless the base failed just there. */
static void check_read(const struct io *io)
{
	const struct block_request *request = &io->request;
	bool bad = false;

	for (uint32_t i = 0; i < request->sectors; i++) {
		size_t cell = fake_disk_cell(request->sector + i);

		bad = bad || (!own[cell] && disk.bad[cell]);
	}
	assert_int_equal(request->error, bad ? -EIO : 0);
	for (uint32_t i = 0; !bad && i < request->sectors; i++) {
		if (memcmp(io->data + i * SECTOR_BYTES, model[fake_disk_cell(request->sector + i)], SECTOR_BYTES))
			fail_msg("sector %llu of [%llu, +%u) is wrong", (unsigned long long)(request->sector + i),
				(unsigned long long)request->sector, request->sectors);
	}
}

static void choose_place(uint64_t *sector, uint32_t *sectors, uint32_t most, unsigned int window)
{
	uint32_t max = draw(3) ? 40 : most, unit = disk.device.logical_bytes / SECTOR_BYTES, at;

	*sectors = ROUND_UP(1 + draw(max), unit);
	if (*sectors > most)
		*sectors = most;
	at = draw(FAKE_DISK_WINDOW_SECTORS - *sectors + 1);
	*sector = ROUND_DOWN(fake_disk_window(window) + at, unit);
	if (*sector + *sectors > disk.device.sectors)
		*sector = disk.device.sectors - *sectors;
}

static void fill(struct io *io)
{
	for (uint32_t i = 0; i < io->request.sectors; i++) {
		uint64_t stamp[2] = { io->request.sector + i, seed };

		memset(io->data + i * SECTOR_BYTES, (int)draw(256), SECTOR_BYTES);
		memcpy(io->data + i * SECTOR_BYTES, stamp, sizeof(stamp));
	}
}

static void apply(const struct io *io)
{
	for (uint32_t i = 0; i < io->request.sectors; i++) {
		size_t cell = fake_disk_cell(io->request.sector + i);

		own[cell] = io->request.operation != BLOCK_DISCARD;
		if (io->request.operation == BLOCK_WRITE)
			memcpy(model[cell], io->data + i * SECTOR_BYTES, SECTOR_BYTES);
		else if (io->request.operation == BLOCK_WRITE_ZEROES)
			memset(model[cell], 0, SECTOR_BYTES);
		else
			memcpy(model[cell], disk.data[cell], SECTOR_BYTES);
	}
}

/* A change: it succeeds and is in the model, or is refused and nothing has happened. */
static int change(unsigned int window)
{
	static const enum block_operation kinds[] = { BLOCK_WRITE, BLOCK_WRITE, BLOCK_WRITE, BLOCK_DISCARD,
		BLOCK_WRITE_ZEROES };
	enum block_operation kind = kinds[draw(ARRAY_SIZE(kinds))];
	struct overlay_stats before, after;
	uint64_t sector;
	uint32_t sectors;
	struct io io;

	choose_place(&sector, &sectors, kind == BLOCK_WRITE ? 2048 : 8192, window);
	io_begin(&io, kind, sector, sectors);
	if (kind == BLOCK_WRITE)
		fill(&io);
	overlay_get_stats(overlay, &before);
	io_submit(&io);
	assert_true(io.ended);
	overlay_get_stats(overlay, &after);
	if (io.request.error) {
		assert_int_equal(io.request.error, -ENOSPC);
		assert_int_not_equal(kind, BLOCK_DISCARD);
		before.refused++;
		assert_memory_equal(&before, &after, sizeof(before));
	} else {
		apply(&io);
	}
	free(io.data);
	return io.request.error;
}

#define READS 20

static void reads(unsigned int window)
{
	static struct io ios[READS];
	unsigned int count = disk.asynchronous ? 1 + draw(READS) : 1;

	for (unsigned int i = 0; i < count; i++) {
		uint64_t sector;
		uint32_t sectors;

		choose_place(&sector, &sectors, 2048, window);
		io_begin(&ios[i], BLOCK_READ, sector, sectors);
		io_submit(&ios[i]);
		if (draw(4) == 0)
			complete_some(draw(disk.pending_count + 1));
	}
	/* Elsewhere there may be changes meanwhile. */
	if (disk.pending_count)
		change((window + 1) % FAKE_DISK_WINDOWS);
	complete_some(0);
	for (unsigned int i = 0; i < count; i++) {
		assert_true(ios[i].ended);
		check_read(&ios[i]);
		free(ios[i].data);
	}
}

/* Every sector of the windows, and the base as it was. */
static void check_all(void)
{
	for (unsigned int window = 0; window < FAKE_DISK_WINDOWS; window++) {
		for (uint32_t at = 0; at < FAKE_DISK_WINDOW_SECTORS; at += 2048) {
			uint64_t sector = fake_disk_window(window) + at;
			struct io io;

			io_begin(&io, BLOCK_READ, sector, MIN(2048, disk.device.sectors - sector));
			io_run(&io);
			check_read(&io);
			free(io.data);
		}
	}
}

static uint64_t base_hash(void)
{
	const uint8_t *data = disk.data[0];
	uint64_t hash = 14695981039346656037ULL;

	for (size_t i = 0; i < FAKE_DISK_CELLS * SECTOR_BYTES; i++)
		hash = (hash ^ data[i]) * 1099511628211ULL;
	return hash;
}

static void random_run(unsigned int steps)
{
	uint64_t hash = base_hash();

	for (unsigned int i = 0; i < steps; i++) {
		unsigned int window = draw(FAKE_DISK_WINDOWS);

		if (draw(2))
			change(window);
		else
			reads(window);
	}
	check_all();
	assert_true(hash == base_hash());
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 6; round++) {
		begin(GIB(1), round % 3 ? 512 : 4096);
		seed = round;
		disk.asynchronous = round & 1;
		random_run(300);
		end();
	}
}

static void test_bad_base(void **state)
{
	(void)state;
	begin(GIB(1), 512);
	for (unsigned int round = 0; round < 3; round++) {
		seed = round + 20;
		for (size_t i = 0; i < 200; i++)
			disk.bad[draw(FAKE_DISK_CELLS)] = true;
		disk.asynchronous = round != 1;
		random_run(200);
	}
	end();
}

static void test_no_memory(void **state)
{
	unsigned int refused = 0;

	(void)state;
	begin(GIB(1), 512);
	for (unsigned int round = 0; round < 2; round++) {
		seed = round + 30;
		disk.asynchronous = round;
		for (unsigned int i = 0; i < 400; i++) {
			fake_frames_until_failure = draw(60);
			refused += change(draw(FAKE_DISK_WINDOWS)) != 0;
			fake_frames_until_failure = 0;
			reads(draw(FAKE_DISK_WINDOWS));
		}
		check_all();
	}
	assert_true(refused > 50);
	end();
}

static void test_limit(void **state)
{
	struct overlay_stats stats;
	unsigned int refused = 0;

	(void)state;
	begin(MIB(4) + 100, 512);
	seed = 41;
	for (unsigned int i = 0; i < 600; i++) {
		refused += change(draw(FAKE_DISK_WINDOWS)) != 0;
		overlay_get_stats(overlay, &stats);
		assert_int_equal(stats.limit_pages, 1024);
		assert_true(fake_frames_in_use - frames_before <= 1024);
		assert_true(stats.pages <= 1024);
		assert_true(stats.overhead_bytes < KIB(100));
	}
	check_all();
	assert_true(refused > 20);
	assert_int_equal(stats.refused, refused);
	end();
}

/* What is forgotten or zeroed as a whole costs no page any more. */
static void test_gives_back(void **state)
{
	struct overlay_stats stats;
	struct io io;

	(void)state;
	begin(GIB(1), 512);
	for (uint32_t at = 0; at < 8192; at += 2048) {
		io_begin(&io, BLOCK_WRITE, at, 2048);
		memset(io.data, 1, 2048 * SECTOR_BYTES);
		assert_int_equal(io_run(&io), 0);
		apply(&io);
		free(io.data);
	}
	overlay_get_stats(overlay, &stats);
	assert_int_equal(stats.pages, 1024);
	io_begin(&io, BLOCK_WRITE_ZEROES, 4, 4000);
	assert_int_equal(io_run(&io), 0);
	apply(&io);
	free(io.data);
	overlay_get_stats(overlay, &stats);
	assert_int_equal(stats.pages, 1024 - 499);
	check_all();
	io_begin(&io, BLOCK_DISCARD, 0, 8192);
	assert_int_equal(io_run(&io), 0);
	apply(&io);
	free(io.data);
	overlay_get_stats(overlay, &stats);
	assert_int_equal(stats.pages, 0);
	assert_true(fake_frames_in_use - frames_before <= 1);
	check_all();

	seed = 51;
	random_run(100);
	overlay_discard(overlay);
	assert_int_equal(fake_frames_in_use, frames_before);
	memcpy(model, disk.data, FAKE_DISK_CELLS * SECTOR_BYTES);
	memset(own, 0, FAKE_DISK_CELLS);
	check_all();
	end();
}

static unsigned int commits;
static int commit_error;

static void committed(void *argument, int error)
{
	assert_ptr_equal(argument, &disk);
	commits++;
	commit_error = error;
}

static int commit(void)
{
	unsigned int steps = 0;

	block_close(&disk.device, BLOCK_OPEN_READ);
	assert_int_equal(block_open(&disk.device, BLOCK_OPEN_WRITE), 0);
	commits = 0;
	overlay_commit(overlay, committed, &disk);
	while (!commits) {
		unsigned int before = disk.requests;

		block_poll();
		complete_some(0);
		assert_true(disk.requests - before <= 2);
		assert_true(++steps < 100000);
	}
	for (unsigned int i = 0; i < 3; i++)
		block_poll();
	assert_int_equal(commits, 1);
	block_close(&disk.device, BLOCK_OPEN_WRITE);
	assert_int_equal(block_open(&disk.device, BLOCK_OPEN_READ), 0);
	return commit_error;
}

static void test_commit(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 8; round++) {
		begin(GIB(1), round & 4 ? 4096 : 512);
		seed = round + 60;
		disk.asynchronous = round & 1;
		disk.device.can_write_zeroes = round & 2;
		random_run(100);
		assert_int_equal(commit(), 0);
		assert_true(disk.flushes > 0);
		assert_int_equal(fake_frames_in_use, frames_before);
		assert_memory_equal(disk.data, model, FAKE_DISK_CELLS * SECTOR_BYTES);
		memset(own, 0, FAKE_DISK_CELLS);
		check_all();
		/* Nothing is left to write. */
		disk.requests = 0;
		assert_int_equal(commit(), 0);
		assert_int_equal(disk.requests, 1);
		end();
	}
}

/* At each request in turn the base fails: the overlay looks as before, and a second try does it. */
static void test_commit_fails(void **state)
{
	unsigned int failed = 0;

	(void)state;
	for (int64_t served = 0; !failed || commit_error; served += 1 + served / 4) {
		begin(GIB(1), 512);
		seed = 71;
		disk.asynchronous = served & 1;
		random_run(60);
		disk.until_failure = served;
		if (commit()) {
			assert_int_equal(commit_error, -EIO);
			failed++;
			disk.until_failure = -1;
			check_all();
			assert_int_equal(commit(), 0);
			commit_error = -EIO;
		}
		assert_memory_equal(disk.data, model, FAKE_DISK_CELLS * SECTOR_BYTES);
		end();
	}
	assert_true(failed > 5);
}

static void test_create(void **state)
{
	struct block_device huge = { .name = "huge", .sectors = BIT(50), .logical_bytes = 512 };
	struct block_device *made = NULL;

	(void)state;
	assert_int_equal(overlay_create(&huge, MIB(1), &made), -EFBIG);
	huge.sectors = 1;
	for (fake_frames_until_failure = 0; overlay_create(&huge, MIB(1), &made) == -ENOMEM;) {
		static int64_t allowed;

		assert_true(++allowed < 4);
		fake_frames_until_failure = allowed;
	}
	assert_non_null(made);
	assert_string_equal(made->name, "huge");
	overlay_destroy(made);
	fake_frames_until_failure = -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_bad_base),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_gives_back),
		cmocka_unit_test(test_commit),
		cmocka_unit_test(test_commit_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
