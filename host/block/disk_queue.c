/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/block/disk_queue.h"

#include "host/log.h"
#include "host/memory.h"
#include "lib/string.h"

/* How often to look: for interrupts that got lost and late commands; without interrupts; and while
 * the hardware is recovered. */
#define WATCH_NS (50 * NS_PER_MS)
#define POLL_NS (100 * NS_PER_US)
#define RECOVER_NS NS_PER_MS

#define ERRORS_TOLD 20 /* and no more are logged: a dying disk has many */

static bool is_data(const struct block_request *request)
{
	return request->operation == BLOCK_READ || request->operation == BLOCK_WRITE;
}

/* driver_word of a request in a queue: it had company when something failed. */
static bool is_exclusive(struct disk_queue *queue, const struct block_request *request)
{
	return request->driver_word ||
	       (queue->operations->exclusive && queue->operations->exclusive(queue, request));
}

/*
 * How many of the next `limit` bytes of the request, from byte `at`, the hardware's DMA can be
 * told of: as long as memory is aligned to dwords and, where the segments have to be chained by
 * pages, one ends and the next begins at a page's boundary.
 */
static uint32_t direct_bytes(const struct disk_queue *queue, const struct block_request *request,
	uint32_t at, uint32_t limit)
{
	const struct block_segment *segment = request->segments;
	uint64_t mask = queue->page_chained ? PAGE_MASK : 3;
	uint32_t bytes;
	hpa_t end;

	while (at >= segment->bytes)
		at -= segment++->bytes;
	if ((segment->start + at) & 3)
		return 0;
	bytes = segment->bytes - at;
	for (; bytes < limit; segment++) {
		end = segment[0].start + segment[0].bytes;
		if ((end | segment[1].start) & mask)
			return bytes;
		bytes += segment[1].bytes;
	}
	return limit;
}

static void choose_data(struct disk_queue *queue, struct disk_slot *slot, uint32_t left)
{
	uint32_t limit = MIN(left, queue->max_sectors) * SECTOR_BYTES;
	uint32_t page = MIN(limit, (uint32_t)PAGE_SIZE), direct;

	direct = direct_bytes(queue, slot->request, slot->done_sectors * SECTOR_BYTES, limit);
	direct = ROUND_DOWN(direct, slot->device->logical_bytes);
	slot->bounced = direct < page;
	slot->piece_sectors = (slot->bounced ? page : direct) / SECTOR_BYTES;
	if (slot->bounced && slot->request->operation == BLOCK_WRITE)
		block_copy_from(slot->request, (uint64_t)slot->done_sectors * SECTOR_BYTES,
			slot->bounce, page);
}

static void issue_piece(struct disk_queue *queue, unsigned int index)
{
	struct disk_slot *slot = &queue->slots[index];
	uint32_t left = slot->request->sectors - slot->done_sectors;

	slot->bounced = false;
	slot->late = false;
	if (is_data(slot->request))
		choose_data(queue, slot, left);
	else if (slot->request->operation == BLOCK_DISCARD)
		slot->piece_sectors = MIN(left, queue->max_discard_sectors);
	else
		slot->piece_sectors = MIN(left, queue->max_zero_sectors);
	slot->deadline_tsc = clock_tsc() + clock_tsc_from_ns(DISK_COMMAND_NS);
	queue->issued = true;
	queue->operations->issue(queue, index);
}

static bool may_start(struct disk_queue *queue, const struct block_request *request)
{
	if (queue->held || queue->alone || queue->busy == BIT(queue->depth) - 1)
		return false;
	return !queue->busy || !is_exclusive(queue, request);
}

static void start(struct disk_queue *queue, struct block_request *request)
{
	unsigned int index = (unsigned int)__builtin_ctz(~queue->busy);
	struct disk_slot *slot = &queue->slots[index];

	slot->request = request;
	slot->device = disk_of(request->driver);
	slot->done_sectors = 0;
	queue->busy |= (uint32_t)BIT(index);
	queue->alone = is_exclusive(queue, request);
	issue_piece(queue, index);
}

static void start_waiting(struct disk_queue *queue)
{
	struct block_request *request;

	while (!list_empty(&queue->waiting)) {
		request = list_first(&queue->waiting, struct block_request, link);
		if (!may_start(queue, request))
			break;
		list_remove(&request->link);
		start(queue, request);
	}
	if (queue->issued) {
		queue->issued = false;
		queue->operations->kick(queue);
	}
}

bool disk_queue_submit(struct disk_queue *queue, struct block_device *device,
	struct block_request *request)
{
	bool begin;

	request->driver = device;
	request->driver_word = 0;
	disk_queue_lock(queue);
	if (queue->dead) {
		spin_unlock(&queue->lock);
		request->error = -EIO;
		return true;
	}
	list_add_tail(&queue->waiting, &request->link);
	start_waiting(queue);
	begin = !queue->ticking;
	queue->ticking = true;
	spin_unlock(&queue->lock);
	if (begin)
		timer_set(&queue->timer, clock_tsc() +
			clock_tsc_from_ns(queue->polled ? POLL_NS : WATCH_NS));
	return false;
}

void disk_queue_unlock(struct disk_queue *queue)
{
	struct block_request *request, *next;
	struct list finished;

	start_waiting(queue);
	list_init(&finished);
	if (!list_empty(&queue->finished)) {
		list_insert_before(&queue->finished, &finished);
		list_remove(&queue->finished);
	}
	spin_unlock(&queue->lock);
	list_for_each_safe(request, next, &finished, struct block_request, link) {
		list_remove(&request->link);
		block_finish(request->driver, request, request->error);
	}
}

/* Take the request out of its slot. */
static struct block_request *vacate(struct disk_queue *queue, unsigned int index)
{
	struct block_request *request = queue->slots[index].request;

	queue->slots[index].request = NULL;
	queue->busy &= ~(uint32_t)BIT(index);
	queue->alone = false;
	return request;
}

static void finish(struct disk_queue *queue, struct block_request *request, int error)
{
	static const char *const words[] = { "read", "write", "flush", "discard", "zeroing" };
	const struct block_device *disk = disk_of(request->driver);

	if (error && queue->errors_told < ERRORS_TOLD) {
		queue->errors_told++;
		log_line("%s: %s failed: error %d, %u sectors at %lu", disk->name,
			words[request->operation], -error, request->sectors,
			request->sectors ? request->sector : 0);
	}
	request->error = error;
	list_add_tail(&queue->finished, &request->link);
}

void disk_queue_piece_done(struct disk_queue *queue, unsigned int index, int error)
{
	struct disk_slot *slot = &queue->slots[index];

	if (!error && slot->bounced && slot->request->operation == BLOCK_READ)
		block_copy_to(slot->request, (uint64_t)slot->done_sectors * SECTOR_BYTES,
			slot->bounce, slot->piece_sectors * SECTOR_BYTES);
	slot->done_sectors += slot->piece_sectors;
	if (error || slot->done_sectors >= slot->request->sectors)
		finish(queue, vacate(queue, index), error);
	else
		issue_piece(queue, index);
}

void disk_queue_fail_issued(struct disk_queue *queue, int error)
{
	for (unsigned int i = 0; i < queue->depth; i++) {
		if (queue->busy & BIT(i))
			finish(queue, vacate(queue, i), error);
	}
}

void disk_queue_retry_issued(struct disk_queue *queue)
{
	struct block_request *request;

	for (unsigned int i = 0; i < queue->depth; i++) {
		if (!(queue->busy & BIT(i)))
			continue;
		request = vacate(queue, i);
		request->driver_word = 1;
		list_add_head(&queue->waiting, &request->link);
	}
}

void disk_queue_hold(struct disk_queue *queue)
{
	queue->held = true;
	queue->issued = false;
}

void disk_queue_kill(struct disk_queue *queue)
{
	struct block_request *request, *next;

	queue->dead = true;
	queue->held = false;
	queue->issued = false;
	disk_queue_fail_issued(queue, -EIO);
	list_for_each_safe(request, next, &queue->waiting, struct block_request, link) {
		list_remove(&request->link);
		finish(queue, request, -EIO);
	}
}

static void find_late(struct disk_queue *queue)
{
	uint64_t now = clock_tsc();

	for (unsigned int i = 0; i < queue->depth && !queue->held && !queue->dead; i++) {
		if ((queue->busy & BIT(i)) && now >= queue->slots[i].deadline_tsc)
			queue->operations->late(queue, i);
	}
}

static void tick(struct timer *timer)
{
	struct disk_queue *queue = container_of(timer, struct disk_queue, timer);
	uint64_t period_ns = queue->polled ? POLL_NS : WATCH_NS;

	disk_queue_lock(queue);
	if (!queue->busy && list_empty(&queue->waiting) && !queue->held) {
		queue->ticking = false;
		spin_unlock(&queue->lock);
		return;
	}
	if (!queue->held && !queue->dead)
		queue->operations->harvest(queue);
	if (!queue->held && !queue->dead)
		queue->operations->check(queue);
	find_late(queue);
	if (queue->held)
		queue->operations->recover(queue);
	if (queue->held)
		period_ns = RECOVER_NS;
	disk_queue_unlock(queue);
	timer_set(timer, clock_tsc() + clock_tsc_from_ns(period_ns));
}

void disk_walk_start(struct disk_walk *walk, const struct disk_slot *slot)
{
	walk->left = slot->piece_sectors * SECTOR_BYTES;
	walk->bounce = (struct block_segment){ host_phys(slot->bounce), walk->left };
	walk->segment = slot->bounced ? &walk->bounce : slot->request->segments;
	walk->offset = slot->bounced ? 0 : slot->done_sectors * SECTOR_BYTES;
}

bool disk_walk_next(struct disk_walk *walk, struct block_segment *range)
{
	if (!walk->left)
		return false;
	while (walk->offset >= walk->segment->bytes)
		walk->offset -= walk->segment++->bytes;
	range->start = walk->segment->start + walk->offset;
	range->bytes = MIN(walk->segment->bytes - walk->offset, walk->left);
	walk->left -= range->bytes;
	walk->offset += range->bytes;
	return true;
}

int disk_queue_init(struct disk_queue *queue, const struct disk_queue_operations *operations,
	unsigned int depth)
{
	queue->operations = operations;
	queue->depth = depth;
	list_init(&queue->waiting);
	list_init(&queue->finished);
	timer_init(&queue->timer, tick);
	for (unsigned int i = 0; i < depth; i++) {
		queue->slots[i].table = heap_alloc(PAGE_SIZE, FRAME_HOST);
		queue->slots[i].bounce = heap_alloc(PAGE_SIZE, FRAME_HOST);
		if (!queue->slots[i].table || !queue->slots[i].bounce)
			return -ENOMEM;
	}
	return 0;
}

void disk_queue_destroy(struct disk_queue *queue)
{
	for (unsigned int i = 0; i < DISK_SLOTS; i++) {
		heap_free(queue->slots[i].table);
		heap_free(queue->slots[i].bounce);
	}
}

void disk_copy_text(char *to, size_t size, const uint8_t *from, size_t bytes)
{
	size_t length = MIN(bytes, size - 1);

	for (size_t i = 0; i < length; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? (char)from[i] : ' ';
	while (length && to[length - 1] == ' ')
		length--;
	to[length] = '\0';
}
