/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pages of a buffer are found and given up range by range; the buffer goes back to the driver
 * when all of it was done. What does not fit into one go is left to the VM's own turns, and when
 * too many pages wait to come free, the rest follows a millisecond later.
 */
#include "devices/virtio/balloon.h"

#include <linux/virtio_balloon.h>

#include "devices/device_timer.h"
#include "host/memory.h"
#include "lib/string.h"
#include "vcpu/balloon_port.h"

/* Linux reports 32 ranges at a time, and does without reporting when they do not fit. */
#define QUEUE_ENTRIES 64
#define CLASS_CODE 0x050000 /* memory controller, RAM */

/* Of one queue, in one go: pages, each call or buffer being counted as so many of them. */
#define BUDGET_PAGES 512
#define STEP_COST 4
#define RETRY_NS NS_PER_MS

#define PFNS 256       /* that are looked at together: a buffer of Linux */
#define STATISTICS 64  /* of one buffer; what is behind them is ignored */

/* By the specification. */
enum queue { INFLATE, DEFLATE, STATS, HINT, REPORTING, QUEUES };

enum { ASKED_TARGET = 1, ASKED_STATS = 2 };

_Static_assert(sizeof(struct virtio_balloon_config) == 16, "configuration as specified");
_Static_assert(sizeof(struct virtio_balloon_stat) == 10, "statistics as specified");

/* Where a queue stands. All [vm.lock]. */
struct balloon_queue {
	struct virtio_ring *ring;   /* NULL: not negotiated */
	bool held;                  /* `chain` is at hand */
	uint32_t at;                /* what comes next: byte of an array, or segment */
	gpa_t start;                /* what was found, and is not done yet */
	uint64_t bytes;
	struct virtio_chain chain;
};

struct virtio_balloon {
	struct virtio_device virtio;
	struct virtio_ring rings[QUEUES];
	struct balloon_queue queues[QUEUES];
	struct virtio_balloon_config config; /* [vm.lock] what the driver has written */
	struct vm_balloon port;              /* the economy's side */
	struct vm_work work;
	bool stale;                          /* [vm.lock] see settle() */
	struct device_timer retry;           /* armed: pages are given up again after that */
	uint32_t asked;                      /* [a] ASKED_...: what the economy wants */
};

static struct virtio_balloon *balloon_of(struct virtio_device *device)
{
	return container_of(device, struct virtio_balloon, virtio);
}

static struct guest_memory *memory_of(struct virtio_balloon *balloon)
{
	return &balloon->virtio.device.vm->memory;
}

static void store(uint64_t *at, uint64_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELAXED);
}

/* --- Buffers --- */

/* The next buffer of a queue. False: there is none, and the driver will say when there is. */
static bool take(struct virtio_balloon *balloon, struct balloon_queue *queue)
{
	int got = ring_pop(queue->ring, &queue->chain);

	if (got == 0 && ring_want_notifications(queue->ring, true))
		got = ring_pop(queue->ring, &queue->chain);
	if (got < 0 || queue->ring->broken)
		virtio_break(&balloon->virtio, "a queue that breaks the rules");
	queue->held = got > 0;
	queue->at = 0;
	queue->bytes = 0;
	return queue->held;
}

static void give_back(struct balloon_queue *queue)
{
	ring_push(queue->ring, queue->chain.head, 0);
	queue->held = false;
}

/* --- Ranges of pages --- */

/* Where guests may have a page of their own: what they cannot write they cannot give up. */
static const struct memory_slot *slot_of(const struct guest_memory *memory, gpa_t gpa)
{
	const struct memory_slot *slot = guest_memory_slot(memory, gpa);

	return slot && !slot->read_only ? slot : NULL;
}

static void retry_later(struct virtio_balloon *balloon)
{
	device_timer_set(&balloon->retry, clock_tsc() + clock_tsc_from_ns(RETRY_NS));
}

static gpa_t page_at(uint32_t pfn)
{
	return (gpa_t)pfn << VIRTIO_BALLOON_PFN_SHIFT;
}

/* How many of them are neighbours in a slot, one after the other, upwards or downwards? */
static uint32_t run_length(const struct memory_slot *slot, const uint32_t *pfns, uint32_t count)
{
	uint32_t step = count > 1 && pfns[1] == pfns[0] - 1 ? -1U : 1;
	uint32_t length = 1;

	while (length < count && pfns[length] == pfns[length - 1] + step &&
		page_at(pfns[length]) - slot->start < slot->bytes)
		length++;
	return length;
}

/*
 * The next range of an array of page numbers, or none but some numbers that are of no RAM: such
 * pages are none to give, and the specification has nothing against a driver that names them.
 * False: no number can be read.
 */
static bool find_numbered(struct virtio_balloon *balloon, struct balloon_queue *queue, int *budget)
{
	const struct memory_slot *slot = NULL;
	uint32_t pfns[PFNS];
	uint32_t count, skipped, length = 0;

	count = chain_read(queue->ring, &queue->chain, queue->at, pfns, sizeof(pfns)) /
		sizeof(pfns[0]);
	for (skipped = 0; skipped < count; skipped++) {
		slot = slot_of(memory_of(balloon), page_at(pfns[skipped]));
		if (slot)
			break;
	}
	if (slot) {
		length = run_length(slot, pfns + skipped, count - skipped);
		queue->start = page_at(MIN(pfns[skipped], pfns[skipped + length - 1]));
		queue->bytes = length * PAGE_SIZE;
	}
	store(&balloon->port.skipped_pages, balloon->port.skipped_pages + skipped);
	queue->at += (skipped + length) * sizeof(pfns[0]);
	*budget -= (int)skipped;
	return count != 0;
}

/* The whole pages of the next segment, which may be none. False: there is no more of them. */
static bool find_segment(struct virtio_balloon *balloon, struct balloon_queue *queue, int *budget)
{
	const struct virtio_chain *chain = &queue->chain;
	const struct virtio_segment *segment = &chain->segments[queue->at];
	gpa_t end;

	if (queue->at >= (uint32_t)chain->readable + chain->writable)
		return false;
	queue->at++;
	*budget -= STEP_COST;
	if (!slot_of(memory_of(balloon), segment->gpa))
		return true;
	end = ROUND_DOWN(segment->gpa + segment->bytes, PAGE_SIZE);
	queue->start = ROUND_UP(segment->gpa, PAGE_SIZE);
	queue->bytes = end > queue->start ? end - queue->start : 0;
	return true;
}

static bool reports_count(const struct virtio_balloon *balloon)
{
	return !virtio_has(&balloon->virtio, VIRTIO_BALLOON_F_PAGE_POISON) ||
		balloon->config.poison_val == 0;
}

/* There are more numbers, and their page cannot be had now. */
static bool is_absent(const struct balloon_queue *queue)
{
	return !queue->ring->broken &&
		queue->at + sizeof(uint32_t) <= queue->chain.readable_bytes;
}

/* The next range of the buffer at hand. False: it is done. */
static bool find(struct virtio_balloon *balloon, enum queue which, int *budget)
{
	struct balloon_queue *queue = &balloon->queues[which];

	switch (which) {
	case INFLATE:
		if (find_numbered(balloon, queue, budget))
			return true;
		if (!is_absent(queue))
			return false;
		retry_later(balloon);
		return true;
	case DEFLATE:
		if (find_numbered(balloon, queue, budget))
			return true;
		if (!is_absent(queue))
			return false;
		*budget = 0;
		return true;
	case REPORTING:
		return reports_count(balloon) && find_segment(balloon, queue, budget);
	default:
		return false;
	}
}

/* A guest may say what it likes: there are never more than it has, nor fewer than none. */
static void count_in(struct virtio_balloon *balloon, uint64_t pages)
{
	store(&balloon->port.actual_pages,
		MIN(balloon->port.actual_pages + pages, memory_of(balloon)->limit_pages));
}

static void count_out(struct virtio_balloon *balloon, uint64_t pages)
{
	store(&balloon->port.actual_pages,
		balloon->port.actual_pages - MIN(pages, balloon->port.actual_pages));
}

/*
 * Before the guest may use again what it gave up: nothing leads to the old frames any more. Else
 * what a vCPU or a device wrote there would be lost.
 */
static void settle(struct virtio_balloon *balloon)
{
	if (balloon->stale)
		guest_memory_flush(memory_of(balloon));
	balloon->stale = false;
}

/* Some of the range that was found, within one large page: by that, time is bounded. */
static void give_up(struct virtio_balloon *balloon, enum queue which, int *budget)
{
	struct balloon_queue *queue = &balloon->queues[which];
	uint64_t bytes = MIN(queue->bytes, LARGE_PAGE_SIZE - queue->start % LARGE_PAGE_SIZE);
	uint64_t given = guest_memory_discard(memory_of(balloon), queue->start, bytes);
	uint64_t pages = given / PAGE_SIZE;

	if (which == INFLATE)
		count_in(balloon, pages);
	else
		store(&balloon->port.reported_pages, balloon->port.reported_pages + pages);
	queue->start += given;
	queue->bytes -= given;
	*budget -= (int)pages + STEP_COST;
	balloon->stale |= given != 0;
	if (!given)
		retry_later(balloon);
}

/* Those that are taken out again need nothing: they come when they are touched. */
static void take_out(struct virtio_balloon *balloon, int *budget)
{
	struct balloon_queue *queue = &balloon->queues[DEFLATE];

	count_out(balloon, queue->bytes / PAGE_SIZE);
	*budget -= (int)(queue->bytes / PAGE_SIZE);
	queue->bytes = 0;
}

static bool must_wait(const struct virtio_balloon *balloon, enum queue which)
{
	return which != DEFLATE && which != HINT && device_timer_armed(&balloon->retry);
}

/* True: there is more than could be done in one go. */
static bool serve(struct virtio_balloon *balloon, enum queue which)
{
	struct balloon_queue *queue = &balloon->queues[which];
	int budget = BUDGET_PAGES;

	while (budget > 0 && !must_wait(balloon, which) &&
		(queue->held || take(balloon, queue))) {
		if (queue->bytes && which == DEFLATE) {
			take_out(balloon, &budget);
		} else if (queue->bytes) {
			give_up(balloon, which, &budget);
		} else if (!find(balloon, which, &budget)) {
			settle(balloon);
			give_back(queue);
			budget -= STEP_COST;
		}
	}
	virtio_signal(&balloon->virtio, (unsigned int)(queue->ring - balloon->rings));
	return budget <= 0;
}

/* --- Statistics --- */

/* Those of the buffer at hand, which is kept: given back, it asks for new ones. */
static void read_statistics(struct virtio_balloon *balloon)
{
	struct balloon_queue *queue = &balloon->queues[STATS];
	struct virtio_balloon_stat told[STATISTICS];
	uint64_t values[VIRTIO_BALLOON_S_NR];
	uint32_t count;

	memset(values, 0xff, sizeof(values)); /* BALLOON_STAT_UNKNOWN */
	count = chain_read(queue->ring, &queue->chain, 0, told, sizeof(told)) / sizeof(told[0]);
	for (uint32_t i = 0; i < count; i++)
		if (told[i].tag < VIRTIO_BALLOON_S_NR)
			values[told[i].tag] = told[i].val;
	for (unsigned int i = 0; i < VIRTIO_BALLOON_S_NR; i++)
		store(&balloon->port.stats[i], values[i]);
	store(&balloon->port.stats_ns, clock_now_ns());
}

static void serve_statistics(struct virtio_balloon *balloon)
{
	struct balloon_queue *queue = &balloon->queues[STATS];

	if (!queue->held && take(balloon, queue))
		read_statistics(balloon);
	/* The driver is to tell us of the next one, which there is not before it gets this back. */
	if (queue->held && ring_want_notifications(queue->ring, true))
		virtio_break(&balloon->virtio, "two buffers for statistics");
}

/* Without a buffer new figures are on their way already. */
static void ask_for_statistics(struct virtio_balloon *balloon)
{
	struct balloon_queue *queue = &balloon->queues[STATS];

	if (!queue->ring || !queue->held)
		return;
	give_back(queue);
	virtio_signal(&balloon->virtio, (unsigned int)(queue->ring - balloon->rings));
}

/* --- What makes it go --- */

static void go_on(struct virtio_balloon *balloon)
{
	bool more = false;

	for (unsigned int which = 0; which < QUEUES; which++) {
		if (!balloon->queues[which].ring || !virtio_is_live(&balloon->virtio))
			continue;
		if (which == STATS)
			serve_statistics(balloon);
		else
			more |= serve(balloon, which);
	}
	__atomic_store_n(&balloon->port.live, virtio_is_live(&balloon->virtio), __ATOMIC_RELAXED);
	if (more)
		vm_work_queue(balloon->virtio.device.vm, &balloon->work);
}

static void notified(struct virtio_device *device, unsigned int queue)
{
	(void)queue;
	go_on(balloon_of(device));
}

static void work(struct vm_work *at)
{
	struct virtio_balloon *balloon = container_of(at, struct virtio_balloon, work);
	uint32_t asked = __atomic_exchange_n(&balloon->asked, 0, __ATOMIC_ACQUIRE);

	if (!virtio_is_live(&balloon->virtio))
		return;
	if (asked & ASKED_TARGET)
		virtio_config_changed(&balloon->virtio);
	if (asked & ASKED_STATS)
		ask_for_statistics(balloon);
	go_on(balloon);
}

static void retry(struct device_timer *timer)
{
	struct virtio_balloon *balloon = container_of(timer, struct virtio_balloon, retry);

	vm_work_queue(balloon->virtio.device.vm, &balloon->work);
}

/* A driver that comes later looks at the target by itself, and brings its figures. */
static void ask(struct vm_balloon *port, uint32_t what)
{
	struct virtio_balloon *balloon = container_of(port, struct virtio_balloon, port);

	if (!__atomic_load_n(&port->live, __ATOMIC_RELAXED))
		return;
	__atomic_fetch_or(&balloon->asked, what, __ATOMIC_RELEASE);
	vm_work_queue(balloon->virtio.device.vm, &balloon->work);
}

static void retarget(struct vm_balloon *port)
{
	ask(port, ASKED_TARGET);
}

static void want_stats(struct vm_balloon *port)
{
	ask(port, ASKED_STATS);
}

/* --- The device --- */

static bool has_queue(const struct virtio_balloon *balloon, enum queue which)
{
	switch (which) {
	case STATS:
		return virtio_has(&balloon->virtio, VIRTIO_BALLOON_F_STATS_VQ);
	case HINT:
		return virtio_has(&balloon->virtio, VIRTIO_BALLOON_F_FREE_PAGE_HINT);
	case REPORTING:
		return virtio_has(&balloon->virtio, VIRTIO_BALLOON_F_REPORTING);
	default:
		return true;
	}
}

/*
 * By the specification queues have fixed numbers. Many a Linux leaves no gaps for those of features
 * that were not negotiated. Which it is shows in those that the driver has enabled.
 */
static bool numbers_are_fixed(const struct virtio_balloon *balloon)
{
	for (unsigned int which = 0; which < QUEUES; which++)
		if (has_queue(balloon, which) && !balloon->rings[which].enabled)
			return false;
	return true;
}

static void ready(struct virtio_device *device)
{
	struct virtio_balloon *balloon = balloon_of(device);
	bool fixed = numbers_are_fixed(balloon);
	unsigned int next = 0;

	for (unsigned int which = 0; which < QUEUES; which++) {
		if (!has_queue(balloon, which))
			continue;
		balloon->queues[which].ring = &balloon->rings[fixed ? which : next++];
		/* What the guest is done with is not fetched to be thrown away. */
		balloon->queues[which].ring->names_pages = which == HINT || which == REPORTING;
	}
	/* Linux has told us of a buffer for statistics before it is ready, when nobody listens. */
	go_on(balloon);
}

static void forget_figures(struct vm_balloon *port)
{
	__atomic_store_n(&port->live, false, __ATOMIC_RELAXED);
	store(&port->actual_pages, 0);
	store(&port->stats_ns, 0);
	for (unsigned int i = 0; i < VIRTIO_BALLOON_S_NR; i++)
		store(&port->stats[i], BALLOON_STAT_UNKNOWN);
}

static void reset(struct virtio_device *device)
{
	struct virtio_balloon *balloon = balloon_of(device);

	settle(balloon);
	device_timer_stop(&balloon->retry);
	vm_work_cancel(device->device.vm, &balloon->work);
	for (unsigned int which = 0; which < QUEUES; which++) {
		balloon->queues[which].ring = NULL;
		balloon->queues[which].held = false;
	}
	memset(&balloon->config, 0, sizeof(balloon->config));
	forget_figures(&balloon->port);
}

static void destroy(struct virtio_device *device)
{
	struct virtio_balloon *balloon = balloon_of(device);

	device->device.vm->balloon = NULL;
	device_timer_destroy(&balloon->retry);
	vm_work_cancel(device->device.vm, &balloon->work);
	heap_free(balloon);
}

static uint32_t config_read(struct virtio_device *device, unsigned int offset, unsigned int size)
{
	struct virtio_balloon *balloon = balloon_of(device);
	uint64_t target = __atomic_load_n(&balloon->port.target_pages, __ATOMIC_RELAXED);
	struct virtio_balloon_config config = balloon->config;
	uint32_t value = 0;

	config.num_pages = (uint32_t)MIN(target, MIN(memory_of(balloon)->limit_pages, ~0U));
	config.free_page_hint_cmd_id = VIRTIO_BALLOON_CMD_ID_STOP;
	memcpy(&value, (const uint8_t *)&config + offset, size);
	return value;
}

/* `actual` is the driver's own count. The poison is final when the driver is ready. */
static void config_write(struct virtio_device *device, unsigned int offset, unsigned int size,
	uint32_t value)
{
	struct virtio_balloon *balloon = balloon_of(device);
	bool poison = virtio_has(device, VIRTIO_BALLOON_F_PAGE_POISON) &&
		!(device->status & VIRTIO_CONFIG_S_DRIVER_OK);
	unsigned int field = offset & ~3U;

	if (field == offsetof(struct virtio_balloon_config, actual) ||
		(field == offsetof(struct virtio_balloon_config, poison_val) && poison))
		memcpy((uint8_t *)&balloon->config + offset, &value,
			MIN(size, field + 4 - offset));
}

static const struct virtio_operations operations = {
	.id = VIRTIO_ID_BALLOON,
	.class_code = CLASS_CODE,
	.config_bytes = sizeof(struct virtio_balloon_config),
	.config_read = config_read,
	.config_write = config_write,
	.ready = ready,
	.notified = notified,
	.reset = reset,
	.destroy = destroy,
};

int virtio_balloon_create(struct vm *vm, struct pci *pci)
{
	struct virtio_balloon *balloon = heap_alloc(sizeof(*balloon), FRAME_VM);

	if (!balloon)
		return -ENOMEM;
	balloon->virtio.operations = &operations;
	balloon->virtio.offered = BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
		BIT(VIRTIO_BALLOON_F_STATS_VQ) | BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
		BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT) | BIT(VIRTIO_BALLOON_F_PAGE_POISON) |
		BIT(VIRTIO_BALLOON_F_REPORTING);
	balloon->virtio.rings = balloon->rings;
	balloon->virtio.ring_count = QUEUES;
	for (unsigned int i = 0; i < QUEUES; i++) {
		balloon->rings[i].memory = &vm->memory;
		balloon->rings[i].size_max = QUEUE_ENTRIES;
	}
	balloon->port.retarget = retarget;
	balloon->port.want_stats = want_stats;
	forget_figures(&balloon->port);
	vm_work_init(&balloon->work, work);
	device_timer_init(&balloon->retry, vm, retry);
	vm->balloon = &balloon->port;
	return virtio_add(vm, pci, &balloon->virtio);
}
