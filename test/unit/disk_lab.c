/* SPDX-License-Identifier: BSD-2-Clause */
/* See disk_lab.h. */
#include "test/unit/disk_lab.h"

#undef NDEBUG /* its checks are part of the tests, in every kind of build */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cpu.h"
#include "host/log.h"
#include "host/memory.h"
#include "host/mmio.h"
#include "test/unit/fake_clock.h"

#define DEVICES 64
#define STEP_NS (50 * NS_PER_US)
#define BUFFER_BYTES (KIB(128) + 2 * PAGE_SIZE)

const char *__asan_default_options(void);
/* Drivers live as long as the machine: they give nothing back. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static const struct disk_lab_model *model;
static struct host_pci_device function;
static bool mastering, message_waits;
static void (*handler)(void *argument);
static void *handler_argument;
static struct block_device *devices[DEVICES];
static unsigned int device_count;
static char logged[65536];
static uint32_t random_state = 1;

void disk_lab_seed(uint32_t seed)
{
	random_state = seed * 2654435761U | 1;
}

uint32_t disk_lab_random(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state % below;
}

void disk_lab_machine(const struct disk_lab_model *of)
{
	model = of;
	function = (struct host_pci_device){ .vendor = 1, .class_code = of->class_code };
	mastering = false;
	message_waits = false;
	handler = NULL;
	device_count = 0;
	logged[0] = '\0';
	fake_clock_reset(0);
}

/* host/pci.h */

size_t host_pci_count(void)
{
	return 1;
}

struct host_pci_device *host_pci_at(size_t index)
{
	assert(index == 0);
	return &function;
}

void host_pci_enable(const struct host_pci_device *pci)
{
	assert(pci == &function);
	mastering = true;
}

void host_pci_disable(const struct host_pci_device *pci)
{
	assert(pci == &function);
	mastering = false;
}

bool disk_lab_mastering(void)
{
	return mastering;
}

static char registers; /* only its address is used */

volatile void *host_pci_map_bar(struct host_pci_device *pci, unsigned int bar, uint64_t *bytes)
{
	assert(pci == &function);
	*bytes = model->bar_bytes;
	return bar == model->bar ? &registers : NULL;
}

int host_pci_attach_interrupt(struct host_pci_device *pci, unsigned int index, unsigned int cpu,
	void (*to)(void *argument), void *argument)
{
	assert(pci == &function && index == 0 && cpu == 0 && !handler);
	if (!model->messages)
		return -ENOTSUP;
	handler = to;
	handler_argument = argument;
	return 0;
}

void disk_lab_interrupt(void)
{
	if (handler)
		message_waits = true;
}

/* host/mmio.h */

uint32_t mmio_read32(const volatile void *base, uint32_t offset)
{
	assert(base == &registers && offset % 4 == 0 && offset + 4 <= model->bar_bytes);
	return model->read(offset);
}

void mmio_write32(volatile void *base, uint32_t offset, uint32_t value)
{
	assert(base == &registers && offset % 4 == 0 && offset + 4 <= model->bar_bytes);
	model->write(offset, value);
}

/* host/cpu.h, host/log.h */

void irq_window(void)
{
	disk_lab_pass(STEP_NS);
}

static void serve(void)
{
	if (!message_waits)
		return;
	message_waits = false;
	handler(handler_argument);
}

void disk_lab_pass(uint64_t ns)
{
	model->run();
	serve();
	fake_clock_advance(ns);
	serve();
}

void log_line(const char *format, ...)
{
	size_t used = strlen(logged);
	va_list args;

	va_start(args, format);
	vsnprintf(logged + used, sizeof(logged) - used, format, args);
	va_end(args);
	used = strlen(logged);
	snprintf(logged + used, sizeof(logged) - used, "\n");
}

void log_note(const char *format, ...)
{
	(void)format;
}

bool disk_lab_logged(const char *words)
{
	return strstr(logged, words) != NULL;
}

/* host/block/block.h */

void block_register(struct block_device *device)
{
	assert(device_count < DEVICES);
	assert(memchr(device->name, 0, sizeof(device->name)));
	assert(device->logical_bytes == 512 || device->logical_bytes == 4096);
	assert(device->physical_bytes >= device->logical_bytes);
	devices[device_count++] = device;
}

unsigned int disk_lab_count(void)
{
	return device_count;
}

struct block_device *disk_lab_at(unsigned int index)
{
	assert(index < device_count);
	return devices[index];
}

bool block_submit(struct block_device *device, struct block_request *request)
{
	return device->operations->submit(device, request);
}

void block_finish(struct block_device *device, struct block_request *request, int error)
{
	(void)device;
	request->error = error;
	request->done(request);
}

/* Requests. */

struct job {
	struct block_request request;
	struct block_segment segments[BLOCK_MAX_SEGMENTS];
	uint8_t *buffer; /* of BUFFER_BYTES */
	bool under_way, ended;
};

static struct job jobs[DISK_LAB_REQUESTS];

static void job_done(struct block_request *request)
{
	struct job *job = container_of(request, struct job, request);

	assert(job->under_way && !job->ended);
	job->ended = true;
}

static uint8_t *job_buffer(struct job *job)
{
	if (!job->buffer)
		job->buffer = aligned_alloc(PAGE_SIZE, BUFFER_BYTES);
	return job->buffer;
}

static void job_submit(struct block_device *device, struct job *job)
{
	job->request.done = job_done;
	job->request.segments = job->segments;
	job->request.link = (struct list){ NULL, NULL };
	job->request.driver_word = 0xa5a5a5a5; /* the submitter's leavings */
	job->ended = false;
	job->under_way = true;
	if (block_submit(device, &job->request))
		job_done(&job->request);
}

/* Whoever has waited for long waits for a time-out, and the test need not look so often. */
static uint64_t step_after(uint64_t waited_ns)
{
	return waited_ns < 20 * NS_PER_MS ? STEP_NS : 20 * STEP_NS;
}

int disk_lab_do(struct block_device *device, enum block_operation operation, uint64_t sector,
	uint32_t sectors, void *buffer, uint64_t limit_ns)
{
	static struct job job;
	bool data = operation == BLOCK_READ || operation == BLOCK_WRITE;

	job.segments[0] = (struct block_segment){ host_phys(buffer), sectors * SECTOR_BYTES };
	job.request = (struct block_request){ .operation = operation, .sector = sector, .sectors = sectors,
		.segment_count = data ? 1 : 0 };
	job_submit(device, &job);
	for (uint64_t ns = 0; !job.ended && ns < limit_ns; ns += step_after(ns))
		disk_lab_pass(step_after(ns));
	job.under_way = false;
	return job.ended ? job.request.error : 1;
}

/* Cut `bytes` of the job's buffer into segments of one of several kinds. */
static void cut(struct job *job, uint32_t bytes)
{
	unsigned int kind = disk_lab_random(5), count = 0;
	/* In the middle of a page; to the byte; anywhere, in sectors; whole pages; all in one. */
	uint32_t at = kind == 0 ? 512 * disk_lab_random(8) : kind == 1 ? disk_lab_random(64) : 0;

	while (bytes) {
		uint32_t part = bytes;

		if (kind == 1)
			part = 1 + disk_lab_random(5000);
		else if (kind == 2)
			part = 512 * (1 + disk_lab_random(9));
		else if (kind != 4)
			part = (uint32_t)PAGE_SIZE - (at & (uint32_t)PAGE_MASK);
		part = MIN(part, bytes);
		if (count == BLOCK_MAX_SEGMENTS - 1)
			part = bytes;
		job->segments[count++] = (struct block_segment){ host_phys(job->buffer + at), part };
		at += part;
		bytes -= part;
	}
	/* Segments need not be in order. */
	for (unsigned int i = 0; kind == 3 && i + 2 < count; i++) {
		unsigned int other = 1 + disk_lab_random(count - 2);
		hpa_t start = job->segments[1 + i % (count - 2)].start;

		job->segments[1 + i % (count - 2)].start = job->segments[other].start;
		job->segments[other].start = start;
	}
	job->request.segment_count = count;
}

static bool collides(const struct job *job)
{
	for (unsigned int i = 0; i < DISK_LAB_REQUESTS; i++) {
		const struct block_request *other = &jobs[i].request;

		if (&jobs[i] != job && jobs[i].under_way &&
			job->request.sector < other->sector + other->sectors &&
			other->sector < job->request.sector + job->request.sectors)
			return true;
	}
	return false;
}

static enum block_operation choose_operation(const struct block_device *device)
{
	uint32_t dice = disk_lab_random(20);

	if (dice == 0)
		return BLOCK_FLUSH;
	if (dice == 1 && device->can_discard)
		return BLOCK_DISCARD;
	if (dice == 2 && device->can_write_zeroes)
		return BLOCK_WRITE_ZEROES;
	return dice < 11 ? BLOCK_READ : BLOCK_WRITE;
}

static bool job_start(struct block_device *device, struct job *job)
{
	uint32_t unit = device->logical_bytes / SECTOR_BYTES;
	uint32_t units = 1 + disk_lab_random(disk_lab_random(2) ? 8 : (uint32_t)KIB(128) / SECTOR_BYTES / unit);
	uint64_t at = disk_lab_random((uint32_t)(device->sectors / unit - units + 1));

	job->request = (struct block_request){ .operation = choose_operation(device), .sector = at * unit,
		.sectors = units * unit };
	if (job->request.operation == BLOCK_FLUSH)
		job->request.sectors = 0;
	if (collides(job))
		return false;
	if (job->request.operation <= BLOCK_WRITE) {
		job_buffer(job);
		for (uint32_t i = 0; i < BUFFER_BYTES; i += 64)
			job->buffer[i] = (uint8_t)disk_lab_random(256);
		cut(job, job->request.sectors * SECTOR_BYTES);
	}
	job_submit(device, job);
	return true;
}

/* What the job should have done is done to the copy, or compared with it. */
static void job_check(struct job *job, uint8_t *contents)
{
	uint8_t *at = contents + job->request.sector * SECTOR_BYTES, *read;
	size_t bytes = (size_t)job->request.sectors * SECTOR_BYTES;

	assert(job->request.error == 0);
	switch (job->request.operation) {
	case BLOCK_READ:
		read = malloc(bytes);
		block_copy_from(&job->request, 0, read, bytes);
		assert(memcmp(read, at, bytes) == 0);
		free(read);
		break;
	case BLOCK_WRITE:
		block_copy_from(&job->request, 0, at, bytes);
		break;
	case BLOCK_FLUSH:
		break;
	default: /* the models answer zeroes */
		memset(at, 0, bytes);
	}
	job->under_way = false;
}

void disk_lab_soak(struct block_device *device, uint8_t *contents, unsigned int count)
{
	unsigned int started = 0, ended = 0;
	uint64_t turns = 0;

	while (ended < count) {
		for (unsigned int i = 0; i < DISK_LAB_REQUESTS; i++) {
			if (jobs[i].under_way && jobs[i].ended) {
				job_check(&jobs[i], contents);
				ended++;
			}
			if (!jobs[i].under_way && started < count && disk_lab_random(4) == 0)
				started += job_start(device, &jobs[i]);
		}
		disk_lab_pass(STEP_NS);
		assert(turns++ < 1000 + 100ULL * count);
	}
}

void disk_lab_burst(struct block_device *device, unsigned int count, uint64_t limit_ns, unsigned int errors[256])
{
	unsigned int ended = 0;

	assert(count <= DISK_LAB_REQUESTS);
	memset(errors, 0, 256 * sizeof(errors[0]));
	for (unsigned int i = 0; i < count; i++) {
		jobs[i].segments[0] = (struct block_segment){ host_phys(job_buffer(&jobs[i])), (uint32_t)PAGE_SIZE };
		jobs[i].request = (struct block_request){ .operation = BLOCK_READ, .sector = 8ULL * i, .sectors = 8,
			.segment_count = 1 };
		job_submit(device, &jobs[i]);
	}
	for (uint64_t ns = 0; ended < count && ns < limit_ns; ns += step_after(ns)) {
		for (unsigned int i = 0; i < count; i++) {
			if (!jobs[i].under_way || !jobs[i].ended)
				continue;
			jobs[i].under_way = false;
			errors[-jobs[i].request.error]++;
			ended++;
		}
		disk_lab_pass(step_after(ns));
	}
}
