/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame allocator: a binary buddy system over all memory, up to 1 GiB a block. Records are
 * made for each GiB that has memory. To start fast on large machines, only the first record of
 * each 2 MiB (a chunk) is written at the start; the others when their chunk is first split.
 *
 * What comes back is stale: it joins stale buddies alone, is taken only when there is nothing else,
 * and becomes free, and known to be zeroes, by frame_erase().
 *
 * Locks: frame_lock is a leaf.
 */
#include "host/frame.h"

#include "host/lock.h"
#include "host/log.h"
#include "host/machine.h"
#include "lib/string.h"

#define FRAME_ADDRESS_BITS (32 + PAGE_SHIFT)
#define CHUNK_FRAMES (1U << FRAME_ORDER_2M)
#define REGION_SHIFT FRAME_ORDER_1G
#define REGION_FRAMES (1U << REGION_SHIFT)
/* That frame_erase() clears at a time. */
#define ERASE_BYTES (64 * 1024ULL)

/* The records of one GiB, up to its last frame that is memory, in whole chunks. */
struct region {
	struct frame *records; /* [I] */
	uint32_t count;        /* [I] */
};

static struct region *regions; /* [I] */
static uint32_t region_count;  /* [I] */

static struct spinlock frame_lock;
static uint32_t free_heads[FRAME_ORDERS];     /* [frame_lock] */
static uint32_t stale_heads[FRAME_ORDERS];    /* [frame_lock] */
static uint64_t stale_frames;                 /* [frame_lock] of the free ones */
static uint64_t use_frames[FRAME_USES];       /* [frame_lock] */
static uint64_t reserved_frames;              /* [frame_lock] of the free ones */
static uint64_t total_frames;                 /* [I] */

struct frame *frame_record(uint32_t number)
{
	uint32_t index = number >> REGION_SHIFT, within = number & (REGION_FRAMES - 1);

	if (index >= region_count || within >= regions[index].count)
		return NULL;
	return &regions[index].records[within];
}

/* The record of a frame that is known to be memory. */
static inline struct frame *record(uint32_t number)
{
	return &regions[number >> REGION_SHIFT].records[number & (REGION_FRAMES - 1)];
}

static void chunk_make_ready(uint32_t number)
{
	struct frame *first = record(number & ~(CHUNK_FRAMES - 1));

	if (first->ready)
		return;
	for (uint32_t i = 1; i < CHUNK_FRAMES; i++)
		first[i] = (struct frame){.order = FRAME_ORDER_TAIL};
	first->ready = 1;
}

/* The lists of blocks that are free, or stale. */
static inline uint32_t *heads_of(enum frame_use use)
{
	return use == FRAME_FREE ? free_heads : stale_heads;
}

static void list_push(uint32_t number)
{
	struct frame *frame = record(number);
	uint32_t *head = &heads_of(frame->use)[frame->order];

	frame->next = *head;
	frame->prev = FRAME_NONE;
	if (frame->next != FRAME_NONE)
		record(frame->next)->prev = number;
	*head = number;
}

static void list_take(uint32_t number)
{
	struct frame *frame = record(number);

	if (frame->next != FRAME_NONE)
		record(frame->next)->prev = frame->prev;
	if (frame->prev != FRAME_NONE)
		record(frame->prev)->next = frame->next;
	else
		heads_of(frame->use)[frame->order] = frame->next;
}

static void set_head(uint32_t number, unsigned int order, enum frame_use use)
{
	struct frame *frame;

	if (order < FRAME_ORDER_2M)
		chunk_make_ready(number);
	frame = record(number);
	frame->use = (uint8_t)use;
	frame->order = (uint8_t)order;
	frame->slab_class = 0;
}

/*
 * Put a block on the lists of free or stale ones, joined with its buddies of the same kind. From 2
 * MiB on zeroes stay apart from what is not known to be zeroes: nobody wants larger zeroes.
 */
static void release(uint32_t number, unsigned int order, enum frame_use use, bool zero)
{
	if (order < FRAME_ORDER_2M)
		chunk_make_ready(number);
	while (order < FRAME_ORDERS - 1) {
		uint32_t buddy = number ^ (1U << order);
		struct frame *other = frame_record(buddy);

		if (!other || other->use != use || other->order != order ||
			(order >= FRAME_ORDER_2M && other->zero != zero))
			break;
		zero = zero && other->zero;
		list_take(buddy);
		record(number | buddy)->order = FRAME_ORDER_TAIL;
		record(number | buddy)->use = FRAME_RESERVED;
		number &= buddy;
		order++;
	}
	set_head(number, order, use);
	record(number)->zero = zero;
	list_push(number);
}

/*
 * Split blocks in use until `number` heads one of `order`: memory that was allocated as one block
 * may come back in pieces. NULL when no block in use contains it.
 */
static struct frame *isolate(uint32_t number, unsigned int order)
{
	uint32_t head = number & ~(CHUNK_FRAMES - 1);
	struct frame *frame = frame_record(head);
	unsigned int from = order;

	if (!frame)
		return NULL;
	if (!frame->ready && from < FRAME_ORDER_2M)
		from = FRAME_ORDER_2M;
	for (; from < FRAME_ORDERS; from++) {
		head = number & ~((1U << from) - 1);
		frame = frame_record(head);
		if (frame && frame->order != FRAME_ORDER_TAIL)
			break;
	}
	if (from == FRAME_ORDERS || frame->order < from || frame->use <= FRAME_STALE)
		return NULL;
	while (frame->order > order) {
		unsigned int half = frame->order - 1U;
		uint32_t second = head + (1U << half);

		set_head(head, half, frame->use);
		set_head(second, half, frame->use);
		if (frame->use == FRAME_GUEST) {
			record(second)->owner = frame->owner;
			record(second)->gfn = frame->gfn + BIT(half);
		}
		if (number >= second)
			head = second;
		frame = record(head);
	}
	return frame;
}

/* A block of this order off the lists, split from a larger one if need be; FRAME_NONE. */
static inline uint32_t take_block(unsigned int order, enum frame_use kind)
{
	const uint32_t *heads = heads_of(kind);
	unsigned int from = order;
	uint32_t number;

	while (from < FRAME_ORDERS && heads[from] == FRAME_NONE)
		from++;
	if (from >= FRAME_ORDERS)
		return FRAME_NONE;
	number = heads[from];
	list_take(number);
	while (from > order) {
		uint32_t second = number + (1U << --from);

		set_head(second, from, kind);
		record(second)->zero = record(number)->zero;
		list_push(second);
	}
	return number;
}

/* A block of stale frames, now its taker's to erase. */
static uint32_t take_stale(unsigned int order)
{
	uint32_t number = take_block(order, FRAME_STALE);

	if (number != FRAME_NONE)
		stale_frames -= 1ULL << order;
	return number;
}

/* As frame_alloc(); *zero says whether it is known to be zeroes. */
static inline hpa_t alloc(unsigned int order, enum frame_use use, bool *zero)
{
	uint32_t number = FRAME_NONE;
	bool stale = false;

	spin_lock(&frame_lock);
	if (use != FRAME_DISK || use_frames[FRAME_FREE] >= reserved_frames + (1ULL << order)) {
		number = take_block(order, FRAME_FREE);
		stale = number == FRAME_NONE;
		if (unlikely(stale))
			number = take_stale(order);
	}
	if (number == FRAME_NONE) {
		spin_unlock(&frame_lock);
		return HPA_NONE;
	}
	set_head(number, order, use);
	*zero = stale || record(number)->zero;
	record(number)->zero = false;
	if (use == FRAME_GUEST)
		record(number)->owner = 0;
	use_frames[FRAME_FREE] -= 1ULL << order;
	use_frames[use] += 1ULL << order;
	spin_unlock(&frame_lock);
	if (unlikely(stale))
		page_zero(host_ptr((hpa_t)number << PAGE_SHIFT), PAGE_SIZE << order);
	return (hpa_t)number << PAGE_SHIFT;
}

hpa_t frame_alloc(unsigned int order, enum frame_use use)
{
	bool zero;

	return alloc(order, use, &zero);
}

hpa_t frame_alloc_zeroed(unsigned int order, enum frame_use use)
{
	bool zero;
	hpa_t start = alloc(order, use, &zero);

	if (start != HPA_NONE && !zero)
		page_zero(host_ptr(start), PAGE_SIZE << order);
	return start;
}

void frame_free(hpa_t start, unsigned int order)
{
	uint32_t number = frame_number(start);
	struct frame *frame;

	spin_lock(&frame_lock);
	frame = start >> FRAME_ADDRESS_BITS ? NULL : isolate(number, order);
	if (!frame || frame->order != order || (start & ((PAGE_SIZE << order) - 1)))
		panic("frame_free: 0x%lx order %u is no block in use", start, order);
	use_frames[frame->use] -= 1ULL << order;
	use_frames[FRAME_FREE] += 1ULL << order;
	stale_frames += 1ULL << order;
	release(number, order, FRAME_STALE, false);
	spin_unlock(&frame_lock);
}

/* What frame_erase() is at: a block on no list. Boot CPU. */
static struct {
	uint32_t number; /* FRAME_NONE: nothing */
	unsigned int order;
	uint64_t done_bytes;
} erasing;

/* False: there is nothing to erase. */
static bool erase_next(void)
{
	unsigned int order = 0;

	if (!__atomic_load_n(&stale_frames, __ATOMIC_RELAXED))
		return false;
	spin_lock(&frame_lock);
	while (order < FRAME_ORDERS && stale_heads[order] == FRAME_NONE)
		order++;
	/* While it is erased, nobody gets it: so it is not too much. */
	order = MIN(order, (unsigned int)FRAME_ORDER_2M);
	erasing.number = take_stale(order);
	erasing.order = order;
	erasing.done_bytes = 0;
	if (erasing.number != FRAME_NONE)
		set_head(erasing.number, order, FRAME_RESERVED);
	spin_unlock(&frame_lock);
	return erasing.number != FRAME_NONE;
}

bool frame_erase(void)
{
	uint64_t left = ERASE_BYTES;

	while (left && (erasing.number != FRAME_NONE || erase_next())) {
		hpa_t at = ((hpa_t)erasing.number << PAGE_SHIFT) + erasing.done_bytes;
		uint64_t bytes = MIN((PAGE_SIZE << erasing.order) - erasing.done_bytes, left);

		page_zero(host_ptr(at), bytes);
		erasing.done_bytes += bytes;
		left -= bytes;
		if (erasing.done_bytes < PAGE_SIZE << erasing.order)
			break;
		spin_lock(&frame_lock);
		release(erasing.number, erasing.order, FRAME_FREE, true);
		spin_unlock(&frame_lock);
		erasing.number = FRAME_NONE;
	}
	return left == 0 || erasing.number != FRAME_NONE;
}

void frame_set_owner(hpa_t start, uint32_t owner, uint64_t gfn)
{
	struct frame *frame = record(frame_number(start));

	frame->owner = owner;
	frame->gfn = gfn;
}

/* Are these 2 MiB in use for guests, in blocks that end where they do? */
static bool is_joinable(uint32_t number)
{
	const struct frame *first = frame_record(number), *frame;

	if (!first || (!first->ready && first->order < FRAME_ORDER_2M))
		return false;
	for (uint32_t at = 0; at < CHUNK_FRAMES; at += 1U << frame->order) {
		frame = first + at;
		if (frame->order > FRAME_ORDER_2M || frame->use != FRAME_GUEST)
			return false;
	}
	return true;
}

bool frame_join(hpa_t start)
{
	uint32_t number = frame_number(start);
	struct frame *first;
	bool joins;

	spin_lock(&frame_lock);
	joins = IS_ALIGNED(start, PAGE_SIZE << FRAME_ORDER_2M) && is_joinable(number);
	first = record(number);
	if (joins && first->order < FRAME_ORDER_2M) {
		for (uint32_t at = 1; at < CHUNK_FRAMES; at++) {
			first[at].order = FRAME_ORDER_TAIL;
			first[at].use = FRAME_RESERVED;
		}
		first->order = FRAME_ORDER_2M;
	}
	spin_unlock(&frame_lock);
	return joins;
}

void frame_share(hpa_t start)
{
	struct frame *frame;

	spin_lock(&frame_lock);
	frame = isolate(frame_number(start), FRAME_ORDER_4K);
	if (!frame || frame->use != FRAME_GUEST)
		panic("frame_share: 0x%lx is no guest's", start);
	frame->use = FRAME_SHARED;
	__atomic_store_n(&frame->holders, 1, __ATOMIC_RELAXED);
	use_frames[FRAME_GUEST]--;
	use_frames[FRAME_SHARED]++;
	spin_unlock(&frame_lock);
}

void frame_hold(hpa_t start)
{
	__atomic_fetch_add(&record(frame_number(start))->holders, 1, __ATOMIC_RELAXED);
}

void frame_drop(hpa_t start)
{
	struct frame *frame = record(frame_number(start));
	uint32_t left = __atomic_sub_fetch(&frame->holders, 1, __ATOMIC_ACQ_REL);

	if (left == 0)
		frame_free(start, FRAME_ORDER_4K);
	else if (left == ~0U)
		panic("frame_drop: nobody holds 0x%lx", start);
}

uint32_t frame_holders(hpa_t start)
{
	return __atomic_load_n(&record(frame_number(start))->holders, __ATOMIC_ACQUIRE);
}

/* The block that contains a frame, whatever it is used for: its head, and its number in *head. */
static const struct frame *block_of(uint32_t number, uint32_t *head)
{
	const struct frame *first = frame_record(number & ~(CHUNK_FRAMES - 1));
	unsigned int order = first && first->ready ? 0 : FRAME_ORDER_2M;

	for (; first && order < FRAME_ORDERS; order++) {
		const struct frame *frame;

		*head = number & ~((1U << order) - 1);
		frame = frame_record(*head);
		if (frame && frame->order != FRAME_ORDER_TAIL)
			return frame->order >= order ? frame : NULL;
	}
	return NULL;
}

void frame_describe(hpa_t start, struct frame_facts *facts)
{
	const struct frame *frame;
	uint32_t head = 0;

	*facts = (struct frame_facts){ .use = FRAME_RESERVED };
	spin_lock(&frame_lock);
	frame = start >> FRAME_ADDRESS_BITS ? NULL : block_of(frame_number(start), &head);
	if (frame)
		facts->use = frame->use;
	if (facts->use == FRAME_GUEST) {
		facts->owner = frame->owner;
		facts->gfn = frame->gfn + (frame_number(start) - head);
	}
	if (facts->use == FRAME_SHARED)
		facts->holders = __atomic_load_n(&frame->holders, __ATOMIC_RELAXED);
	spin_unlock(&frame_lock);
}

uint64_t frame_free_count(void)
{
	return __atomic_load_n(&use_frames[FRAME_FREE], __ATOMIC_RELAXED);
}

void frame_set_reserve(uint64_t frames)
{
	spin_lock(&frame_lock);
	reserved_frames = frames;
	spin_unlock(&frame_lock);
}

void frame_get_stats(struct memory_stats *stats)
{
	spin_lock(&frame_lock);
	stats->total_frames = total_frames;
	memcpy(stats->frames, use_frames, sizeof(use_frames));
	stats->stale_frames = stale_frames;
	if (erasing.number != FRAME_NONE)
		stats->stale_frames += BIT(erasing.order);
	stats->largest_free_order = 0;
	for (unsigned int order = 0; order < FRAME_ORDERS; order++)
		if (free_heads[order] != FRAME_NONE || stale_heads[order] != FRAME_NONE)
			stats->largest_free_order = order;
	spin_unlock(&frame_lock);
}

/* A working copy of the ranges, from whose ends the records are carved. */
static struct memory_range left[MACHINE_MAX_RANGES];
static size_t left_count;

/* `bytes` from the end of the last range that has room, looking at `near` first. */
static void *carve(uint64_t bytes, hpa_t near_start, hpa_t near_end)
{
	struct memory_range *best = NULL;

	bytes = ROUND_UP(bytes, PAGE_SIZE);
	for (size_t i = 0; i < left_count; i++) {
		struct memory_range *range = &left[i];
		bool near = range->start < near_end && range->start + range->bytes > near_start;

		if (range->bytes >= bytes && (!best || near || range->bytes > best->bytes))
			best = range;
		if (best == range && near)
			break;
	}
	if (!best)
		panic("no room for %lu bytes of frame records", bytes);
	best->bytes -= bytes;
	use_frames[FRAME_HOST] += bytes >> PAGE_SHIFT;
	return host_ptr(best->start + best->bytes);
}

/* How many frames of a region have records: up to the end of its memory, in whole chunks. */
static uint32_t region_extent(const struct memory_range *ranges, size_t count, uint32_t index)
{
	uint64_t first = (uint64_t)index << REGION_SHIFT, extent = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t start = ranges[i].start >> PAGE_SHIFT;
		uint64_t end = start + (ranges[i].bytes >> PAGE_SHIFT);

		if (start < first + REGION_FRAMES && end > first)
			extent = MAX(extent, MIN(end - first, REGION_FRAMES));
	}
	return (uint32_t)ROUND_UP(extent, CHUNK_FRAMES);
}

static void make_records(const struct memory_range *ranges, size_t count)
{
	for (uint32_t i = 0; i < region_count; i++) {
		uint32_t frames = region_extent(ranges, count, i);
		struct frame *records;

		regions[i] = (struct region){0};
		if (!frames)
			continue;
		records = carve(frames * sizeof(struct frame), (hpa_t)i << 30,
				(hpa_t)(i + 1) << 30);
		for (uint32_t chunk = 0; chunk < frames; chunk += CHUNK_FRAMES)
			records[chunk] = (struct frame){.order = FRAME_ORDER_TAIL};
		regions[i] = (struct region){.records = records, .count = frames};
	}
}

/* Hand out a range in the largest naturally aligned blocks. */
static void add_range(const struct memory_range *range)
{
	uint64_t at = range->start >> PAGE_SHIFT, end = at + (range->bytes >> PAGE_SHIFT);

	while (at < end) {
		unsigned int order = at ? (unsigned int)__builtin_ctzll(at) : FRAME_ORDERS - 1;

		order = MIN(order, (unsigned int)FRAME_ORDERS - 1);
		while (at + (1ULL << order) > end)
			order--;
		use_frames[FRAME_FREE] += 1ULL << order;
		release((uint32_t)at, order, FRAME_FREE, false);
		at += 1ULL << order;
	}
}

void frame_init(const struct memory_range *ranges, size_t count)
{
	hpa_t limit = 0;

	left_count = 0;
	total_frames = 0;
	memset(use_frames, 0, sizeof(use_frames));
	for (unsigned int order = 0; order < FRAME_ORDERS; order++)
		free_heads[order] = stale_heads[order] = FRAME_NONE;
	stale_frames = 0;
	erasing.number = FRAME_NONE;
	for (size_t i = 0; i < count && i < ARRAY_SIZE(left); i++) {
		struct memory_range range = ranges[i];

		if (range.start >> FRAME_ADDRESS_BITS)
			break;
		range.bytes = MIN(range.bytes, (1ULL << FRAME_ADDRESS_BITS) - range.start);
		limit = range.start + range.bytes;
		total_frames += range.bytes >> PAGE_SHIFT;
		left[left_count++] = range;
	}
	region_count = (uint32_t)((limit + GIB(1) - 1) >> 30);
	regions = carve(region_count * sizeof(struct region), 0, 0);
	make_records(ranges, left_count);
	for (size_t i = 0; i < left_count; i++)
		add_range(&left[i]);
}
