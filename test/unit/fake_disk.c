/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_disk.h. */
#include "test/unit/fake_disk.h"

#undef NDEBUG
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cpu.h"
#include "host/log.h"

unsigned int fake_disk_notified;

static struct cpu boot_cpu;

struct cpu *cpu_by_id(unsigned int id)
{
	assert(id == 0);
	return &boot_cpu;
}

void cpu_notify(struct cpu *cpu)
{
	assert(cpu == &boot_cpu);
	fake_disk_notified++;
}

void log_line(const char *format, ...)
{
	(void)format;
}

uint64_t fake_disk_window(unsigned int window)
{
	static const uint64_t starts[FAKE_DISK_WINDOWS] = { 0, GIB(1) / SECTOR_BYTES - FAKE_DISK_WINDOW_SECTORS / 2,
		FAKE_DISK_SECTORS - FAKE_DISK_WINDOW_SECTORS };

	return starts[window];
}

size_t fake_disk_cell(uint64_t sector)
{
	for (unsigned int i = 0; i < FAKE_DISK_WINDOWS; i++)
		if (sector - fake_disk_window(i) < FAKE_DISK_WINDOW_SECTORS)
			return sector - fake_disk_window(i) + i * FAKE_DISK_WINDOW_SECTORS;
	return FAKE_DISK_CELLS;
}

static bool touches_bad(const struct fake_disk *disk, const struct block_request *request)
{
	for (uint32_t i = 0; i < request->sectors; i++) {
		size_t cell = fake_disk_cell(request->sector + i);

		if (cell < FAKE_DISK_CELLS && disk->bad[cell])
			return true;
	}
	return false;
}

static void transfer(struct fake_disk *disk, const struct block_request *request, uint32_t i)
{
	size_t cell = fake_disk_cell(request->sector + i);

	if (request->operation == BLOCK_READ) {
		if (cell < FAKE_DISK_CELLS)
			block_copy_to(request, i * SECTOR_BYTES, disk->data[cell], SECTOR_BYTES);
		else
			block_zero(request, i * SECTOR_BYTES, SECTOR_BYTES);
		return;
	}
	if (cell == FAKE_DISK_CELLS)
		return;
	if (request->operation == BLOCK_WRITE)
		block_copy_from(request, i * SECTOR_BYTES, disk->data[cell], SECTOR_BYTES);
	else if (request->operation == BLOCK_WRITE_ZEROES)
		memset(disk->data[cell], 0, SECTOR_BYTES);
}

static int serve(struct fake_disk *disk, const struct block_request *request)
{
	disk->requests++;
	if (disk->until_failure == 0)
		return -EIO;
	if (disk->until_failure > 0)
		disk->until_failure--;
	if (touches_bad(disk, request))
		return -EIO;
	if (request->operation == BLOCK_FLUSH)
		disk->flushes++;
	for (uint32_t i = 0; i < request->sectors; i++)
		transfer(disk, request, i);
	return 0;
}

static bool submit(struct block_device *device, struct block_request *request)
{
	struct fake_disk *disk = container_of(device, struct fake_disk, device);

	assert(request->operation == BLOCK_READ || request->operation == BLOCK_FLUSH || device->writers == 1);
	if (!disk->asynchronous) {
		request->error = serve(disk, request);
		return true;
	}
	assert(disk->pending_count < FAKE_DISK_PENDING);
	disk->pending[disk->pending_count++] = request;
	return false;
}

void fake_disk_complete(struct fake_disk *disk, unsigned int which)
{
	struct block_request *request = disk->pending[which];

	assert(which < disk->pending_count);
	disk->pending[which] = disk->pending[--disk->pending_count];
	block_finish(&disk->device, request, serve(disk, request));
}

void fake_disk_run(struct fake_disk *disk, uint32_t (*draw)(uint32_t below))
{
	unsigned int notified;

	do {
		notified = fake_disk_notified;
		block_poll();
		while (disk->pending_count)
			fake_disk_complete(disk, draw(disk->pending_count));
	} while (notified != fake_disk_notified);
}

static const struct block_operations operations = { .submit = submit };

void fake_disk_init(struct fake_disk *disk)
{
	*disk = (struct fake_disk){
		.device = {
			.name = "fake",
			.operations = &operations,
			.sectors = FAKE_DISK_SECTORS,
			.logical_bytes = SECTOR_BYTES,
			.physical_bytes = SECTOR_BYTES,
			.can_discard = true,
			.can_write_zeroes = true,
		},
		.data = malloc(FAKE_DISK_CELLS * SECTOR_BYTES),
		.bad = calloc(FAKE_DISK_CELLS, 1),
		.until_failure = -1,
	};
	assert(disk->data && disk->bad);
	for (size_t cell = 0; cell < FAKE_DISK_CELLS; cell++) {
		memset(disk->data[cell], 0x40 + (int)(cell % 23), SECTOR_BYTES);
		memcpy(disk->data[cell], &cell, sizeof(cell));
	}
}

void fake_disk_free(struct fake_disk *disk)
{
	assert(!disk->pending_count);
	free(disk->data);
	free(disk->bad);
}
