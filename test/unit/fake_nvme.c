/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_nvme.h. */
#include "test/unit/fake_nvme.h"

#undef NDEBUG /* its checks are part of the tests, in every kind of build */
#include <assert.h>
#include <string.h>

#include "host/memory.h"

#define QUEUES 2
#define UNDER_WAY 64

struct fake_nvme fake_nvme;

struct queue {
	bool made;
	bool interrupts;
	uint32_t entries;
	hpa_t commands, completions;
	uint32_t tail, head;     /* of commands: the host's doorbell, and how far it was read */
	uint32_t done, taken;    /* of completions: where the next goes, and the host's doorbell */
	uint8_t phase;
};

static struct queue queues[QUEUES];
static uint32_t cc, aqa;
static uint64_t asq, acq;
static bool ready;
static struct under_way {
	bool used, lost, failing;
	unsigned int queue;
	uint8_t command[64];
} under_way[UNDER_WAY];

static uint64_t get(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

static void put(void *to, size_t at, uint64_t value, size_t bytes)
{
	memcpy((uint8_t *)to + at, &value, bytes);
}

static uint64_t capabilities(void)
{
	return (fake_nvme.entries - 1) | 1ULL << 16 | 2ULL << 24 | (uint64_t)fake_nvme.stride << 32 | 1ULL << 37;
}

static uint32_t fake_read(uint32_t offset)
{
	if (fake_nvme.gone)
		return ~0U;
	switch (offset) {
	case 0x00:
		return (uint32_t)capabilities();
	case 0x04:
		return (uint32_t)(capabilities() >> 32);
	case 0x08:
		return fake_nvme.old ? 0x00010000 : 0x00010400;
	case 0x14:
		return cc;
	case 0x1c:
		return (uint32_t)ready | (uint32_t)fake_nvme.fatal << 1;
	default:
		assert(!"a register that has no use");
	}
}

static void enable(void)
{
	assert((cc & ~1U) == (6U << 16 | 4U << 20)); /* sizes of entries; pages of 4 KiB */
	assert((aqa & 0xfff) && (aqa & 0xfff) == (aqa >> 16 & 0xfff));
	assert(IS_ALIGNED(asq, PAGE_SIZE) && IS_ALIGNED(acq, PAGE_SIZE));
	queues[0] = (struct queue){ .made = true, .interrupts = true, .entries = (aqa & 0xfff) + 1,
		.commands = asq, .completions = acq, .phase = 1 };
}

static void set_config(uint32_t value)
{
	bool was = cc & 1;

	cc = value;
	if (was && !(value & 1)) {
		memset(queues, 0, sizeof(queues));
		memset(under_way, 0, sizeof(under_way));
		fake_nvme.resets++;
		fake_nvme.fatal = false;
	} else if (!was && value & 1) {
		enable();
	}
}

static void ring(uint32_t index, uint32_t value)
{
	struct queue *queue = &queues[index / 2];

	assert(index / 2 < QUEUES && queue->made && value < queue->entries);
	if (index & 1)
		queue->taken = value;
	else
		queue->tail = value;
}

static void fake_write(uint32_t offset, uint32_t value)
{
	uint32_t stride = 4U << fake_nvme.stride;

	if (fake_nvme.gone)
		return;
	if (offset >= 0x1000) {
		assert(ready && (offset - 0x1000) % stride == 0);
		ring((offset - 0x1000) / stride, value);
		return;
	}
	switch (offset) {
	case 0x14:
		set_config(value);
		break;
	case 0x24:
		aqa = value;
		break;
	case 0x28:
		asq = (asq & ~0xffffffffULL) | value;
		break;
	case 0x2c:
		asq = (uint32_t)asq | (uint64_t)value << 32;
		break;
	case 0x30:
		acq = (acq & ~0xffffffffULL) | value;
		break;
	case 0x34:
		acq = (uint32_t)acq | (uint64_t)value << 32;
		break;
	default:
		assert(!"a register that is not to be written");
	}
}

/* False: the completion queue is full. */
static bool complete(unsigned int index, uint16_t id, uint16_t status, uint32_t result)
{
	struct queue *queue = &queues[index];
	uint8_t *entry;

	if ((queue->done + 1) % queue->entries == queue->taken)
		return false;
	entry = host_ptr(queue->completions + 16ULL * queue->done);
	put(entry, 0, result, 4);
	put(entry, 8, queue->head, 2);
	put(entry, 10, index, 2);
	put(entry, 12, id, 2);
	put(entry, 14, (uint64_t)status << 1 | queue->phase, 2);
	if (++queue->done == queue->entries) {
		queue->done = 0;
		queue->phase ^= 1;
	}
	if (queue->interrupts)
		disk_lab_interrupt();
	return true;
}

/* Move `bytes` between the disk and what the PRPs name. */
static void move(const uint8_t *command, uint8_t *disk, uint32_t bytes, bool to_memory)
{
	hpa_t at = get(command + 24, 8);
	const uint64_t *list = NULL;
	uint32_t index = 0;
	uint64_t second = get(command + 32, 8);

	assert(IS_ALIGNED(at, 4) && disk_lab_mastering());
	while (bytes) {
		uint32_t part = (uint32_t)(PAGE_SIZE - (at & PAGE_MASK));

		part = MIN(part, bytes);
		if (to_memory)
			memcpy(host_ptr(at), disk, part);
		else
			memcpy(disk, host_ptr(at), part);
		disk += part;
		bytes -= part;
		if (!bytes)
			break;
		if (!list && bytes > PAGE_SIZE) {
			assert(IS_ALIGNED(second, 8));
			list = host_ptr(second);
		}
		at = list ? list[index++] : second;
		assert(at && IS_ALIGNED(at, PAGE_SIZE));
		assert(!list || (second & PAGE_MASK) + 8ULL * index <= PAGE_SIZE); /* one list is enough here */
	}
}

static void identify_controller(uint8_t *data)
{
	memcpy(data + 24, "Model of an NVMe disk                   ", 40);
	data[77] = fake_nvme.mdts;
	put(data, 516, fake_nvme.namespaces, 4);
	put(data, 520, 1 << 2 | 1 << 3, 2);
	data[525] = fake_nvme.volatile_cache;
}

static void identify_namespace(uint8_t *data, uint32_t nsid)
{
	bool large = nsid == 2;

	if (nsid > fake_nvme.namespaces)
		return;
	put(data, 0, FAKE_NVME_SECTORS >> (large ? 3 : 0), 8);
	data[26] = 1; /* the second format */
	put(data, 128 + 4, (large ? 12U : 9U) << 16 | (nsid == 1 ? fake_nvme.metadata : 0U), 4);
}

static uint16_t identify(const uint8_t *command)
{
	uint8_t *data = host_ptr(get(command + 24, 8));
	uint32_t nsid = (uint32_t)get(command + 4, 4);

	assert(IS_ALIGNED(get(command + 24, 8), PAGE_SIZE));
	memset(data, 0, PAGE_SIZE);
	switch (get(command + 40, 4)) {
	case 0:
		identify_namespace(data, nsid);
		return 0;
	case 1:
		identify_controller(data);
		return 0;
	case 2:
		assert(!fake_nvme.old);
		for (uint32_t i = 0; i < fake_nvme.namespaces; i++)
			put(data, 4 * i, i + 1, 4);
		return 0;
	default:
		return 2;
	}
}

static uint16_t make_queue(const uint8_t *command, bool completions)
{
	struct queue *queue = &queues[1];
	uint32_t size = (uint32_t)get(command + 40, 4), flags = (uint32_t)get(command + 44, 4);

	assert((size & 0xffff) == 1 && (size >> 16) && (size >> 16) < fake_nvme.entries && flags & 1);
	if (completions) {
		queue->completions = get(command + 24, 8);
		queue->entries = (size >> 16) + 1;
		queue->interrupts = flags & 2;
		queue->phase = 1;
		assert(flags >> 16 == 0 && queue->interrupts == fake_nvme.model.messages);
	} else {
		assert(queue->completions && flags >> 16 == 1 && queue->entries == (size >> 16) + 1);
		queue->commands = get(command + 24, 8);
		queue->made = true;
	}
	return 0;
}

/* The command that is to be aborted ends, if it is still there. */
static void abort_command(uint32_t what)
{
	fake_nvme.aborts++;
	assert((what & 0xffff) == 1);
	for (unsigned int i = 0; i < UNDER_WAY && !fake_nvme.deaf; i++) {
		if (under_way[i].used && under_way[i].queue == 1 && get(under_way[i].command + 2, 2) == what >> 16) {
			under_way[i].used = false;
			complete(1, (uint16_t)(what >> 16), 0x007, 0);
		}
	}
}

static uint16_t do_admin(const uint8_t *command)
{
	switch (command[0]) {
	case 0x01:
		return make_queue(command, false);
	case 0x05:
		return make_queue(command, true);
	case 0x06:
		return identify(command);
	case 0x08:
		abort_command((uint32_t)get(command + 40, 4));
		return 0;
	case 0x09:
		return 0;
	default:
		assert(!"an admin command that has no use");
	}
}

static uint16_t do_io(const uint8_t *command)
{
	uint32_t nsid = (uint32_t)get(command + 4, 4);
	unsigned int shift = nsid == 2 ? 12 : 9;
	uint64_t first = get(command + 40, 8), count = (get(command + 48, 4) & 0xffff) + 1;
	uint8_t *contents, range[16];

	assert(nsid >= 1 && nsid <= fake_nvme.namespaces);
	contents = fake_nvme.contents[nsid - 1];
	if (command[0] == 0x00) {
		fake_nvme.flushes++;
		assert(fake_nvme.volatile_cache);
		return 0;
	}
	if (command[0] == 0x09) {
		assert(get(command + 40, 4) == 0 && get(command + 44, 4) == 4);
		move(command, range, sizeof(range), false);
		count = get(range + 4, 4);
		first = get(range + 8, 8);
	}
	assert(range_within(first, count, (FAKE_NVME_SECTORS * SECTOR_BYTES) >> shift));
	contents += first << shift;
	if (command[0] != 0x02)
		fake_nvme.writes++;
	if (command[0] >= 0x08) {
		memset(contents, 0, count << shift);
		return 0;
	}
	assert(command[0] == 0x01 || command[0] == 0x02);
	assert(!fake_nvme.mdts || count << shift <= PAGE_SIZE << fake_nvme.mdts);
	move(command, contents, (uint32_t)(count << shift), command[0] == 0x02);
	return 0;
}

static void fetch(unsigned int index)
{
	struct queue *queue = &queues[index];
	unsigned int slot, used = 0;

	while (queue->made && queue->head != queue->tail) {
		for (slot = 0; slot < UNDER_WAY && under_way[slot].used; slot++)
			;
		assert(slot < UNDER_WAY);
		under_way[slot] = (struct under_way){ .used = true, .queue = index };
		memcpy(under_way[slot].command, host_ptr(queue->commands + 64ULL * queue->head), 64);
		queue->head = (queue->head + 1) % queue->entries;
		for (unsigned int i = 0; i < UNDER_WAY; i++) {
			used += index && under_way[i].used && under_way[i].queue;
			/* Each has an identifier of its own. */
			assert(i == slot || !under_way[i].used || under_way[i].queue != index ||
				get(under_way[i].command + 2, 2) != get(under_way[slot].command + 2, 2));
		}
		fake_nvme.most_under_way = MAX(fake_nvme.most_under_way, used);
		used = 0;
		if (index) {
			fake_nvme.commands++;
			under_way[slot].failing = fake_nvme.fail_at && --fake_nvme.fail_at == 0;
			under_way[slot].lost = fake_nvme.lose_at && --fake_nvme.lose_at == 0;
		}
	}
}

static void carry_out(struct under_way *command)
{
	uint16_t id = (uint16_t)get(command->command + 2, 2), status = 0x281; /* unrecovered read error */
	struct queue *queue = &queues[command->queue];

	if ((queue->done + 1) % queue->entries == queue->taken)
		return; /* no room for its completion yet */
	command->used = false;
	if (command->queue == 0)
		status = do_admin(command->command);
	else if (!command->failing)
		status = do_io(command->command);
	assert(complete(command->queue, id, status, 0));
	if (fake_nvme.bogus && command->queue) {
		complete(command->queue, 0xffff, 0, 0);
		complete(command->queue, id, 0, 0);
	}
}

static void fake_run(void)
{
	ready = (cc & 1) ? ready || !fake_nvme.stuck : ready && fake_nvme.never_stops;
	if (!ready || fake_nvme.gone || fake_nvme.fatal)
		return;
	fetch(0);
	fetch(1);
	for (unsigned int i = 0; i < UNDER_WAY; i++) {
		struct under_way *command = &under_way[i];

		if (command->used && !command->lost && (command->queue || !fake_nvme.admin_deaf) &&
			(command->queue == 0 || disk_lab_random(3) == 0))
			carry_out(command);
	}
}

void fake_nvme_reset(void)
{
	memset(&fake_nvme, 0, sizeof(fake_nvme));
	fake_nvme.model = (struct disk_lab_model){ .class_code = 0x010802, .bar_bytes = 0x4000, .messages = true,
		.read = fake_read, .write = fake_write, .run = fake_run };
	fake_nvme.entries = 1024;
	fake_nvme.namespaces = 1;
	fake_nvme.volatile_cache = true;
	memset(queues, 0, sizeof(queues));
	memset(under_way, 0, sizeof(under_way));
	cc = 0;
	ready = false;
	disk_lab_machine(&fake_nvme.model);
}
