/* SPDX-License-Identifier: BSD-2-Clause */
/* Split virtqueues; see devices/virtio/ring.h. */
#include "devices/virtio/ring_internal.h"

#include "lib/string.h"

/* Pages that a chain misses are had in portions of so many. */
#define MISSING_MOST 64U

/* A field of a part; NULL when its memory has been taken away and cannot be had again. */
static inline void *field(struct virtio_ring *ring, uint8_t *host, gpa_t gpa, uint32_t offset)
{
	if (likely(host))
		return host + offset;
	return guest_memory_ptr(ring->memory, gpa + offset, S2_WRITE, NULL);
}

static inline bool load16(
	struct virtio_ring *ring, uint8_t *host, gpa_t gpa, uint32_t offset, uint16_t *value)
{
	uint16_t *at = field(ring, host, gpa, offset);

	if (unlikely(!at)) {
		ring_break(ring);
		return false;
	}
	*value = __atomic_load_n(at, __ATOMIC_ACQUIRE);
	return true;
}

static inline bool load_available(struct virtio_ring *ring, uint32_t offset, uint16_t *value)
{
	return load16(ring, ring->host_available, ring->available, offset, value);
}

static inline void store_used16(struct virtio_ring *ring, uint32_t offset, uint16_t value)
{
	uint16_t *at = field(ring, ring->host_used, ring->used, offset);

	if (unlikely(!at))
		ring_break(ring);
	else
		__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

static inline void store_used32(struct virtio_ring *ring, uint32_t offset, uint32_t value)
{
	uint32_t *at = field(ring, ring->host_used, ring->used, offset);

	if (unlikely(!at))
		ring_break(ring);
	else
		__atomic_store_n(at, value, __ATOMIC_RELAXED);
}

/*
 * The driver's index. What it has made available and not been given back, which is told by what was
 * published, cannot be more than the ring holds.
 */
static inline bool read_index(struct virtio_ring *ring)
{
	uint16_t index;

	if (!load_available(ring, INDEX_OFFSET, &index))
		return false;
	if (unlikely((uint16_t)(index - ring->published) > ring->size ||
		    (uint16_t)(index - ring->next_available) > ring->size)) {
		ring_break(ring);
		return false;
	}
	ring->seen_available = index;
	return index != ring->next_available;
}

static inline bool has_available(struct virtio_ring *ring)
{
	if (unlikely(!ring_usable(ring) || ring->absent))
		return false;
	return ring->seen_available != ring->next_available || read_index(ring);
}

bool ring_has_available(struct virtio_ring *ring)
{
	return has_available(ring);
}

bool ring_look_again(struct virtio_ring *ring)
{
	bool waited = ring->absent;

	ring->absent = false;
	return waited;
}

/* Descriptors, in the ring or in an indirect table. */
struct table {
	const uint8_t *host; /* NULL: not contiguous, or not aligned */
	gpa_t gpa;
	uint32_t entries;
};

/* Address; length, flags and the next one's number. */
struct descriptor {
	uint64_t gpa, rest;
};

#define DESCRIPTOR_LENGTH(rest) ((uint32_t)(rest))
#define DESCRIPTOR_FLAG(rest, flag) ((rest) & (uint64_t)(flag) << 32)
#define DESCRIPTOR_NEXT(rest) ((rest) >> 48)

static __attribute__((noinline)) bool copy_descriptor(
	struct virtio_ring *ring, gpa_t gpa, struct descriptor *out)
{
	int error = guest_memory_read(ring->memory, gpa, out, sizeof(*out));

	if (error == -EAGAIN)
		ring_wait(ring);
	return !error;
}

/* Both halves are read once: the driver may write at the same time. */
static inline __attribute__((always_inline)) bool read_descriptor(struct virtio_ring *ring,
	const struct table *table, uint32_t index, uint64_t *gpa, uint64_t *rest)
{
	struct descriptor copied;

	if (likely(table->host)) {
		const uint64_t *at = (const uint64_t *)(table->host + DESCRIPTOR_BYTES * index);

		*gpa = __atomic_load_n(&at[0], __ATOMIC_RELAXED);
		*rest = __atomic_load_n(&at[1], __ATOMIC_RELAXED);
		return true;
	}
	if (!copy_descriptor(ring, table->gpa + DESCRIPTOR_BYTES * index, &copied))
		return false;
	*gpa = copied.gpa;
	*rest = copied.rest;
	return true;
}

static inline struct ring_block *block_of(struct virtio_ring *ring, gpa_t gpa)
{
	return &ring->blocks[gpa / LARGE_PAGE_SIZE % RING_BLOCKS];
}

static __attribute__((noinline)) uint8_t *find_host(
	struct virtio_ring *ring, gpa_t gpa, uint64_t *room)
{
	struct ring_block *block = block_of(ring, gpa);
	uint8_t *host = guest_memory_ptr(ring->memory, gpa, S2_WRITE, room);

	/* So much is only left in a leaf that is larger than a page. */
	if (host && *room > PAGE_SIZE) {
		block->start = ROUND_DOWN(gpa, LARGE_PAGE_SIZE);
		block->host = host - (gpa - block->start);
	}
	return host;
}

/* As guest_memory_ptr(), with a memory for blocks of 2 MiB. The ring is usable. */
static inline uint8_t *host_at(struct virtio_ring *ring, gpa_t gpa, uint64_t *room)
{
	const struct ring_block *block = block_of(ring, gpa);
	uint64_t offset = gpa % LARGE_PAGE_SIZE;

	if (unlikely(block->start != gpa - offset))
		return find_host(ring, gpa, room);
	*room = LARGE_PAGE_SIZE - offset;
	return block->host + offset;
}

/* Is all of it RAM? What lies in a block that has been found is. */
static inline bool is_ram(struct virtio_ring *ring, gpa_t gpa, uint32_t bytes)
{
	uint64_t offset = gpa % LARGE_PAGE_SIZE;

	if (likely(block_of(ring, gpa)->start == gpa - offset &&
		    offset + bytes <= LARGE_PAGE_SIZE))
		return true;
	return guest_memory_contains(ring->memory, gpa, bytes);
}

static inline bool enter_indirect(
	struct virtio_ring *ring, gpa_t gpa, uint64_t rest, struct table *table)
{
	uint32_t bytes = DESCRIPTOR_LENGTH(rest);
	uint64_t room;

	if (!ring->indirect || DESCRIPTOR_FLAG(rest, VRING_DESC_F_NEXT) || bytes == 0 ||
		bytes % DESCRIPTOR_BYTES || bytes / DESCRIPTOR_BYTES > TABLE_MAX_ENTRIES ||
		!is_ram(ring, gpa, bytes))
		return false;
	table->gpa = gpa;
	table->entries = bytes / DESCRIPTOR_BYTES;
	table->host = host_at(ring, gpa, &room);
	if (!table->host) {
		if (guest_memory_is_ram(ring->memory, gpa))
			ring_wait(ring);
		return false;
	}
	if (room < bytes || !IS_ALIGNED(gpa, sizeof(uint64_t)))
		table->host = NULL;
	return true;
}

/* What a walk has found so far. */
struct found {
	uint32_t segments, readable;
	uint64_t bytes, readable_bytes;
};

/* One more segment. An empty descriptor is allowed, and is none. */
static inline __attribute__((always_inline)) bool add_segment(struct virtio_ring *ring,
	struct virtio_chain *chain, gpa_t gpa, uint64_t rest, struct found *found)
{
	uint32_t bytes = DESCRIPTOR_LENGTH(rest);

	if (unlikely(bytes == 0))
		return true;
	if (unlikely(found->segments == VIRTIO_CHAIN_SEGMENTS || !is_ram(ring, gpa, bytes)))
		return false;
	found->bytes += bytes;
	if (!DESCRIPTOR_FLAG(rest, VRING_DESC_F_WRITE)) {
		if (unlikely(found->readable != found->segments))
			return false;
		found->readable++;
		found->readable_bytes += bytes;
	}
	chain->segments[found->segments++] = (struct virtio_segment){ gpa, bytes };
	return true;
}

/* The lengths of each part must fit 32 bits. */
static inline bool tell(struct virtio_chain *chain, const struct found *found)
{
	uint64_t writable_bytes = found->bytes - found->readable_bytes;

	chain->readable = found->readable;
	chain->writable = found->segments - found->readable;
	chain->readable_bytes = found->readable_bytes;
	chain->writable_bytes = writable_bytes;
	return (found->readable_bytes | writable_bytes) >> 32 == 0;
}

/*
 * The descriptors from `index` on: no more of them than their table has, or they go round in a
 * circle. An indirect table comes last and holds no other.
 */
static inline bool walk(struct virtio_ring *ring, uint32_t index, struct virtio_chain *chain)
{
	struct table table = { ring->host_descriptors, ring->descriptors, ring->size };
	struct found found = { 0 };
	bool indirect = false;
	uint32_t left = table.entries;
	uint64_t gpa, rest;

	for (;;) {
		if (unlikely(index >= table.entries || left-- == 0 ||
			    !read_descriptor(ring, &table, index, &gpa, &rest)))
			return false;
		if (DESCRIPTOR_FLAG(rest, VRING_DESC_F_INDIRECT)) {
			if (indirect || !enter_indirect(ring, gpa, rest, &table))
				return false;
			indirect = true;
			index = 0;
			/* Empty ones fill no segment, so the length of a walk has a bound, too. */
			left = MIN(table.entries, 2 * VIRTIO_CHAIN_SEGMENTS);
			continue;
		}
		if (unlikely(!add_segment(ring, chain, gpa, rest, &found)))
			return false;
		if (!DESCRIPTOR_FLAG(rest, VRING_DESC_F_NEXT))
			return tell(chain, &found);
		index = DESCRIPTOR_NEXT(rest);
	}
}

/*
 * Is the page there? How far the answer reaches is in *room. One that is not begins to come, within
 * the limits of the guest's own touches, and at most MISSING_MOST at a time: each costs time.
 */
static bool page_is_there(
	struct virtio_ring *ring, gpa_t gpa, uint64_t *room, unsigned int *missing)
{
	const struct ring_block *block = block_of(ring, gpa);
	enum memory_answer answer;

	*room = LARGE_PAGE_SIZE - gpa % LARGE_PAGE_SIZE;
	if (block->start == ROUND_DOWN(gpa, LARGE_PAGE_SIZE) ||
		guest_memory_is_mapped(ring->memory, gpa, S2_WRITE, room))
		return true;
	*room = PAGE_SIZE - (gpa & PAGE_MASK);
	if (++*missing > MISSING_MOST)
		return false;
	answer = guest_memory_fault(ring->memory, gpa, S2_WRITE);
	/* What has been unplugged is no reason to wait. */
	return answer != MEMORY_WAIT && answer != MEMORY_LOST;
}

/* Pages of a chain that are not there begin to come, many of them at a time. */
static __attribute__((noinline)) bool is_there(
	struct virtio_ring *ring, const struct virtio_chain *chain)
{
	unsigned int missing = 0;
	bool all = true;

	for (unsigned int i = 0; i < (unsigned int)chain->readable + chain->writable; i++) {
		const struct virtio_segment *segment = &chain->segments[i];
		uint64_t room;

		for (uint64_t at = 0; at < segment->bytes && missing <= MISSING_MOST; at += room)
			all &= page_is_there(ring, segment->gpa + at, &room, &missing);
	}
	return all;
}

int ring_pop(struct virtio_ring *ring, struct virtio_chain *chain)
{
	uint16_t head;

	if (!has_available(ring))
		return ring->broken ? -EINVAL : 0;
	if (!load_available(ring,
		    RING_OFFSET + sizeof(uint16_t) * (ring->next_available & (ring->size - 1)),
		    &head))
		return -EINVAL;
	chain->head = head;
	if (unlikely(!walk(ring, head, chain)))
		return ring->absent ? 0 : ring_break(ring);
	if (unlikely(__atomic_load_n(&ring->memory->may_swap, __ATOMIC_RELAXED)) &&
		!ring->names_pages && !is_there(ring, chain)) {
		ring_wait(ring);
		return 0;
	}
	ring->next_available++;
	return 1;
}

void ring_unpop(struct virtio_ring *ring)
{
	ring->next_available--;
}

void ring_put(struct virtio_ring *ring, uint16_t head, uint32_t written)
{
	uint32_t at = RING_OFFSET + USED_ELEMENT_BYTES * (ring->next_used & (ring->size - 1));

	if (unlikely(!ring_usable(ring)))
		return;
	store_used32(ring, at, head);
	store_used32(ring, at + sizeof(uint32_t), written);
	ring->next_used++;
}

void ring_publish(struct virtio_ring *ring)
{
	if (unlikely(!ring_usable(ring)) || ring->published == ring->next_used)
		return;
	ring->published = ring->next_used;
	/* Released after the elements, and after what was written to the chains' memory. */
	store_used16(ring, INDEX_OFFSET, ring->next_used);
}

void ring_push(struct virtio_ring *ring, uint16_t head, uint32_t written)
{
	ring_put(ring, head, written);
	ring_publish(ring);
}

void ring_take_back(struct virtio_ring *ring)
{
	ring->next_available -= (uint16_t)(ring->next_used - ring->published);
	ring->next_used = ring->published;
}

bool ring_needs_signal(struct virtio_ring *ring)
{
	uint16_t before = ring->signalled, flags, event;

	if (unlikely(!ring_usable(ring)) || before == ring->next_used)
		return false;
	ring->signalled = ring->next_used;
	/* The index is out before the driver's wish is read; the driver does it the other way. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!ring->event_index)
		return load_available(ring, FLAGS_OFFSET, &flags) &&
			!(flags & VRING_AVAIL_F_NO_INTERRUPT);
	return load_available(ring, used_event_offset(ring), &event) &&
		vring_need_event(event, ring->next_used, before);
}

bool ring_want_notifications(struct virtio_ring *ring, bool wanted)
{
	if (unlikely(!ring_usable(ring)))
		return false;
	/* With event index an event that has passed already keeps the driver silent. */
	if (ring->event_index && !wanted)
		return false;
	if (ring->event_index)
		store_used16(ring, available_event_offset(ring), ring->next_available);
	else if (ring->silenced == wanted)
		store_used16(ring, FLAGS_OFFSET, wanted ? 0 : VRING_USED_F_NO_NOTIFY);
	ring->silenced = !wanted;
	if (!wanted)
		return false;
	/* The wish is out before the driver's index is read; the driver does it the other way. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return has_available(ring);
}

bool ring_want_more(struct virtio_ring *ring)
{
	uint16_t seen = ring->seen_available;

	if (unlikely(!ring_usable(ring) || ring->absent))
		return false;
	/* The driver is past an event at what is still to be popped, and would stay silent. */
	if (ring->event_index)
		store_used16(ring, available_event_offset(ring), seen);
	else if (ring->silenced)
		store_used16(ring, FLAGS_OFFSET, 0);
	ring->silenced = false;
	/* As above. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return read_index(ring) && ring->seen_available != seen;
}

static bool copy_segment(
	struct virtio_ring *ring, gpa_t gpa, uint8_t *buffer, uint32_t bytes, bool write)
{
	while (bytes > 0) {
		uint64_t room;
		uint8_t *host = host_at(ring, gpa, &room);
		uint32_t now;

		if (!host)
			return false;
		now = MIN(room, bytes);
		if (write)
			memcpy(host, buffer, now);
		else
			memcpy(buffer, host, now);
		gpa += now;
		buffer += now;
		bytes -= now;
	}
	return true;
}

/* From byte `at` of the first of some segments on. */
static __attribute__((noinline)) uint32_t copy_segments(struct virtio_ring *ring,
	const struct virtio_segment *segment, const struct virtio_segment *end, uint32_t at,
	uint8_t *buffer, uint32_t bytes, bool write)
{
	uint32_t done = 0;

	for (; segment < end && done < bytes; segment++) {
		uint32_t now = MIN(bytes - done, segment->bytes - at);

		if (!copy_segment(ring, segment->gpa + at, buffer + done, now, write))
			break;
		done += now;
		at = 0;
	}
	return done;
}

/* Of a chain's part, `count` segments, from byte `at`: as a rule within one block of memory. */
static inline __attribute__((always_inline)) uint32_t copy(struct virtio_ring *ring,
	const struct virtio_segment *segment, unsigned int count, uint32_t at, uint8_t *buffer,
	uint32_t bytes, bool write)
{
	const struct virtio_segment *end = segment + count;
	uint64_t room;
	uint8_t *host;

	if (unlikely(!ring_usable(ring)))
		return 0;
	for (; segment < end && at >= segment->bytes; segment++)
		at -= segment->bytes;
	if (segment == end)
		return 0;
	if (unlikely(bytes > segment->bytes - at))
		return copy_segments(ring, segment, end, at, buffer, bytes, write);
	host = host_at(ring, segment->gpa + at, &room);
	if (unlikely(!host || room < bytes))
		return copy_segments(ring, segment, end, at, buffer, bytes, write);
	if (write)
		memcpy(host, buffer, bytes);
	else
		memcpy(buffer, host, bytes);
	return bytes;
}

uint32_t chain_read(struct virtio_ring *ring, const struct virtio_chain *chain, uint32_t at,
	void *to, uint32_t bytes)
{
	return copy(ring, chain->segments, chain->readable, at, to, bytes, false);
}

uint32_t chain_write(struct virtio_ring *ring, const struct virtio_chain *chain, uint32_t at,
	const void *from, uint32_t bytes)
{
	return copy(ring, chain->segments + chain->readable, chain->writable, at,
		(uint8_t *)(uintptr_t)from, bytes, true);
}

/* Segments of host memory that are being collected. */
struct map {
	struct block_segment *segments;
	unsigned int count, max;
};

static bool map_add(struct map *map, hpa_t start, uint32_t bytes)
{
	struct block_segment *last = map->count ? &map->segments[map->count - 1] : NULL;

	if (last && last->start + last->bytes == start) {
		last->bytes += bytes;
		return true;
	}
	if (map->count == map->max)
		return false;
	map->segments[map->count++] = (struct block_segment){ start, bytes };
	return true;
}

static int map_segment(struct virtio_ring *ring, gpa_t gpa, uint32_t bytes, struct map *map)
{
	while (bytes > 0) {
		uint64_t room;
		uint8_t *host = host_at(ring, gpa, &room);
		uint32_t now;

		if (!host)
			return -EFAULT;
		now = MIN(room, bytes);
		if (!map_add(map, host_phys(host), now))
			return -ENOSPC;
		gpa += now;
		bytes -= now;
	}
	return 0;
}

int chain_map(struct virtio_ring *ring, const struct virtio_chain *chain, bool writable,
	uint32_t at, uint32_t bytes, struct block_segment *segments, unsigned int max)
{
	const struct virtio_segment *from = chain->segments + (writable ? chain->readable : 0);
	unsigned int count = writable ? chain->writable : chain->readable;
	struct map map = { segments, 0, max };

	if (unlikely(!ring_usable(ring)))
		return -EFAULT;
	for (unsigned int i = 0; i < count && bytes > 0; i++) {
		uint32_t now;
		int error;

		if (at >= from[i].bytes) {
			at -= from[i].bytes;
			continue;
		}
		now = MIN(bytes, from[i].bytes - at);
		error = map_segment(ring, from[i].gpa + at, now, &map);
		if (error)
			return error;
		bytes -= now;
		at = 0;
	}
	return bytes ? -EFAULT : (int)map.count;
}
