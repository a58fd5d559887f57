/* SPDX-License-Identifier: BSD-2-Clause */
#include "balloon/store.h"

#include "host/clock.h"
#include "host/cpu.h"
#include "host/lock.h"
#include "host/log.h"
#include "host/memory.h"
#include "lib/bits.h"
#include "lib/hash.h"
#include "lib/list.h"
#include "lib/lz.h"
#include "lib/string.h"

#define CHUNK_BYTES 64U
#define CHUNKS 64U
#define CHUNK_BITS 6 /* of a place: frame number << CHUNK_BITS | first chunk */
_Static_assert(CHUNK_BYTES * CHUNKS == PAGE_SIZE, "chunks of a frame");

/* Of what is cut into two, the first part's least: less is not worth the second copy. */
#define SPLIT_LEAST 8U

/* In a frame's first chunk. */
struct store_frame {
	struct list link;     /* [store.lock] among those with the same longest free run */
	uint64_t free;        /* [store.lock] chunks, a bit each */
	uint64_t starts;      /* [store.lock] chunks in use with which a piece begins */
	unsigned int longest; /* [store.lock] free run, where it is listed; 0: it is not */
	uint64_t newest_ns;   /* [store.lock] when something was put here */
};
_Static_assert(sizeof(struct store_frame) <= CHUNK_BYTES, "the frame's own chunk");
#define FRAME_EMPTY (~1ULL)

/* A page: this, and its compressed bytes, which may go on in a second piece. */
struct object {
	uint64_t hash; /* of the page as it was */
	uint64_t shape;
};
/* Shape: where the second piece is, or 0; how many compressed bytes; and a check of both. */
#define SHAPE_TAIL(shape) ((shape) >> 24)
#define SHAPE_BYTES(shape) ((uint32_t)(shape) >> 12 & 0xfffU)
#define SHAPE_CHECK(shape) ((uint32_t)(shape) & 0xfffU)
_Static_assert(STORE_MOST_BYTES <= 0xfff && STORE_HANDLE_BITS <= 40, "a shape's fields");
#define OBJECT_CHUNKS(bytes) (((bytes) + sizeof(struct object) + CHUNK_BYTES - 1) / CHUNK_BYTES)

static struct {
	struct spinlock lock;
	struct list rooms[CHUNKS];  /* [lock] frames by their longest free run */
	uint64_t listed;            /* [lock] a bit for each that is not empty */
	struct store_stats stats;   /* [lock] */
	uint8_t *scratch[CPU_MAX];  /* [I] a CPU's own, for a page's compressed bytes */
} store;

static struct store_frame *frame_of(uint64_t place)
{
	return host_ptr(place >> CHUNK_BITS << PAGE_SHIFT);
}

static unsigned int chunk_of(uint64_t place)
{
	return place & (CHUNKS - 1);
}

static uint8_t *data_of(uint64_t place)
{
	return (uint8_t *)frame_of(place) + (size_t)chunk_of(place) * CHUNK_BYTES;
}

static uint64_t make_shape(uint64_t tail, uint32_t bytes)
{
	uint64_t fields = tail << 24 | (uint64_t)bytes << 12;

	return fields | (fields * 0x9e3779b97f4a7c15ULL) >> 52;
}

static bool shape_is_good(uint64_t shape)
{
	return shape == make_shape(SHAPE_TAIL(shape), SHAPE_BYTES(shape)) &&
	       SHAPE_BYTES(shape) <= STORE_MOST_BYTES;
}

static void unlist(struct store_frame *frame)
{
	if (!frame->longest)
		return;
	list_remove(&frame->link);
	if (list_empty(&store.rooms[frame->longest]))
		store.listed &= ~BIT(frame->longest);
	frame->longest = 0;
}

/* Its free chunks have changed. */
static void relist(struct store_frame *frame)
{
	unsigned int start, longest = bits_longest_run(frame->free, &start);

	if (longest == frame->longest)
		return;
	unlist(frame);
	frame->longest = longest;
	if (!longest)
		return;
	list_add_head(&store.rooms[longest], &frame->link);
	store.listed |= BIT(longest);
}

static struct store_frame *add_frame(void)
{
	struct store_frame *frame;
	hpa_t hpa;

	if (store.stats.frames >= store.stats.limit_frames)
		return NULL;
	hpa = frame_alloc(FRAME_ORDER_4K, FRAME_STORE);
	if (hpa == HPA_NONE)
		return NULL;
	store.stats.frames++;
	frame = host_ptr(hpa);
	frame->free = FRAME_EMPTY;
	frame->starts = 0;
	frame->longest = 0;
	return frame;
}

static uint64_t take(struct store_frame *frame, unsigned int start, unsigned int chunks)
{
	frame->newest_ns = clock_now_ns();
	frame->free &= ~bits_run(start, chunks);
	frame->starts |= BIT(start);
	relist(frame);
	return host_phys(frame) >> PAGE_SHIFT << CHUNK_BITS | start;
}

/*
 * A run in one piece, from the smallest that is long enough; 0: there is none, nor a new frame if
 * the store may grow.
 */
static uint64_t place_whole(unsigned int chunks, bool grow)
{
	uint64_t fits = store.listed >> chunks << chunks;
	struct store_frame *frame = NULL;

	if (fits)
		frame = list_first(&store.rooms[__builtin_ctzll(fits)], struct store_frame, link);
	else if (grow)
		frame = add_frame();
	return frame ? take(frame, bits_find_run(frame->free, chunks), chunks) : 0;
}

static void give_back(uint64_t place)
{
	struct store_frame *frame = frame_of(place);
	unsigned int start = chunk_of(place), end = start + 1;

	while (end < CHUNKS && !((frame->free | frame->starts) & BIT(end)))
		end++;
	/* The frame may be others' for long. */
	memset(data_of(place), 0, (size_t)(end - start) * CHUNK_BYTES);
	frame->starts &= ~BIT(start);
	frame->free |= bits_run(start, end - start);
	if (frame->free != FRAME_EMPTY) {
		relist(frame);
		return;
	}
	unlist(frame);
	frame_free(host_phys(frame), FRAME_ORDER_4K);
	store.stats.frames--;
}

/* Where a page is, or is to be. */
struct spot {
	uint64_t first, tail; /* no tail: 0 */
	unsigned int head;    /* chunks of the first piece */
};

/*
 * Room for a page. When no run is long enough it is cut, and its first part fills the longest that
 * there is. False: there is no room.
 */
static bool place(unsigned int chunks, bool grow, struct spot *spot)
{
	unsigned int longest = store.listed ? 63 - (unsigned int)__builtin_clzll(store.listed) : 0;
	struct store_frame *frame;

	*spot = (struct spot){ .head = chunks };
	if (longest >= chunks || longest < SPLIT_LEAST) {
		spot->first = place_whole(chunks, grow);
		return spot->first != 0;
	}
	spot->head = longest;
	frame = list_first(&store.rooms[longest], struct store_frame, link);
	spot->first = take(frame, bits_find_run(frame->free, longest), longest);
	spot->tail = place_whole(chunks - longest, grow);
	if (!spot->tail)
		give_back(spot->first);
	return spot->tail != 0;
}

/* The spot is the new object's alone. */
static void fill(const struct spot *spot, uint64_t hash, uint32_t bytes, const uint8_t *data)
{
	struct object object = { hash, make_shape(spot->tail, bytes) };
	uint32_t here = MIN(bytes, spot->head * CHUNK_BYTES - (uint32_t)sizeof(object));

	memcpy(data_of(spot->first), &object, sizeof(object));
	memcpy(data_of(spot->first) + sizeof(object), data, here);
	if (spot->tail)
		memcpy(data_of(spot->tail), data + here, bytes - here);
}

int store_put(const void *page, uint64_t *handle)
{
	uint8_t *data = store.scratch[this_cpu()->id];
	uint32_t bytes = (uint32_t)lz_compress(page, data, STORE_MOST_BYTES);
	struct spot spot;
	bool placed;

	spin_lock(&store.lock);
	placed = bytes && place((unsigned int)OBJECT_CHUNKS(bytes), true, &spot);
	if (placed) {
		store.stats.pages++;
		store.stats.bytes += bytes;
		store.stats.split += spot.tail != 0;
	}
	store.stats.refused += !bytes;
	spin_unlock(&store.lock);
	if (placed) {
		fill(&spot, hash_page(page, 0), bytes, data);
		*handle = spot.first;
	}
	memset(data, 0, STORE_MOST_BYTES);
	if (!placed)
		return bytes ? -ENOMEM : -E2BIG;
	return 0;
}

/* How many bytes the piece has. With the lock held: others of its frame come and go. */
static uint32_t piece_bytes(uint64_t place)
{
	const struct store_frame *frame = frame_of(place);
	uint64_t ends = (frame->free | frame->starts) >> chunk_of(place) >> 1;

	if (!(frame->starts & BIT(chunk_of(place))))
		panic("store: 0x%lx is no page", place);
	return (ends ? (uint32_t)__builtin_ctzll(ends) + 1 : CHUNKS - chunk_of(place)) *
	       CHUNK_BYTES;
}

/* The bytes of an object's first piece, and of all of it, fit each other and where they are. */
static bool sizes_are_good(uint64_t handle, uint64_t shape, uint32_t *here)
{
	uint32_t bytes = SHAPE_BYTES(shape);

	*here = piece_bytes(handle) - (uint32_t)sizeof(struct object);
	if (!shape_is_good(shape))
		return false;
	if (!SHAPE_TAIL(shape))
		return bytes <= *here;
	return bytes > *here && bytes - *here <= piece_bytes(SHAPE_TAIL(shape));
}

/* The compressed bytes in one piece, maybe in this CPU's scratch. */
static const uint8_t *join(uint64_t handle, uint64_t shape, uint32_t here)
{
	const uint8_t *data = data_of(handle) + sizeof(struct object);
	uint8_t *joined = store.scratch[this_cpu()->id];

	if (!SHAPE_TAIL(shape))
		return data;
	memcpy(joined, data, here);
	memcpy(joined + here, data_of(SHAPE_TAIL(shape)), SHAPE_BYTES(shape) - here);
	return joined;
}

static void count_damage(uint64_t handle)
{
	log_line("compressed memory: a page at 0x%lx is damaged",
		host_phys(data_of(handle)));
	spin_lock(&store.lock);
	store.stats.damaged++;
	spin_unlock(&store.lock);
}

int store_get(uint64_t handle, void *page)
{
	struct object object = *(const struct object *)data_of(handle);
	uint32_t here;
	bool good;

	spin_lock(&store.lock);
	good = sizes_are_good(handle, object.shape, &here);
	spin_unlock(&store.lock);
	if (good && !lz_decompress(join(handle, object.shape, here), SHAPE_BYTES(object.shape),
			page) && hash_page(page, 0) == object.hash)
		return 0;
	count_damage(handle);
	return -EIO;
}

struct packed {
	uint64_t hash; /* of the page as it was */
	uint64_t bytes;
	uint8_t data[];
};
_Static_assert(sizeof(struct packed) + STORE_MOST_BYTES == STORE_PACKED_BYTES, "room for a page");

unsigned int store_pack(uint64_t handle, void *to)
{
	struct object object = *(const struct object *)data_of(handle);
	struct packed *packed = to;
	uint32_t here;
	bool good;

	spin_lock(&store.lock);
	good = sizes_are_good(handle, object.shape, &here);
	spin_unlock(&store.lock);
	if (!good)
		return 0;
	packed->hash = object.hash;
	packed->bytes = SHAPE_BYTES(object.shape);
	memcpy(packed->data, join(handle, object.shape, here), packed->bytes);
	return (unsigned int)(sizeof(*packed) + packed->bytes);
}

int store_unpack(const void *from, void *page)
{
	const struct packed *packed = from;

	if (packed->bytes > STORE_MOST_BYTES ||
		lz_decompress(packed->data, packed->bytes, page) ||
		hash_page(page, 0) != packed->hash)
		return -EIO;
	return 0;
}

uint64_t store_since_ns(uint64_t handle)
{
	return __atomic_load_n(&frame_of(handle)->newest_ns, __ATOMIC_RELAXED);
}

static void drop_pieces(uint64_t handle, uint64_t shape)
{
	if (SHAPE_TAIL(shape))
		give_back(SHAPE_TAIL(shape));
	give_back(handle);
}

void store_drop(uint64_t handle)
{
	uint64_t shape = ((const struct object *)data_of(handle))->shape;
	uint32_t here;

	spin_lock(&store.lock);
	/* Of a damaged one it is not known where the rest is, nor how long: that is lost. */
	if (!sizes_are_good(handle, shape, &here))
		shape = 0;
	store.stats.pages--;
	store.stats.bytes -= SHAPE_BYTES(shape);
	store.stats.split -= SHAPE_TAIL(shape) != 0;
	drop_pieces(handle, shape);
	spin_unlock(&store.lock);
}

static bool is_sparse(uint64_t place)
{
	return place && bit_count(frame_of(place)->free) > CHUNKS / 2;
}

/* To runs in other frames than those that are to become empty. */
static bool move(uint64_t *handle, const struct object *object, uint32_t here)
{
	uint64_t tail = SHAPE_TAIL(object->shape);
	uint32_t bytes = SHAPE_BYTES(object->shape);
	struct spot spot;
	bool placed;

	unlist(frame_of(*handle));
	if (tail)
		unlist(frame_of(tail));
	placed = place((unsigned int)OBJECT_CHUNKS(bytes), false, &spot);
	relist(frame_of(*handle));
	if (tail)
		relist(frame_of(tail));
	if (!placed)
		return false;
	fill(&spot, object->hash, bytes, join(*handle, object->shape, here));
	store.stats.split += (spot.tail != 0) - (uint64_t)(tail != 0);
	drop_pieces(*handle, object->shape);
	*handle = spot.first;
	return true;
}

bool store_move(uint64_t *handle)
{
	const struct object object = *(const struct object *)data_of(*handle);
	bool moved = false;
	uint32_t here;

	spin_lock(&store.lock);
	if (sizes_are_good(*handle, object.shape, &here) &&
		(is_sparse(*handle) || is_sparse(SHAPE_TAIL(object.shape))))
		moved = move(handle, &object, here);
	spin_unlock(&store.lock);
	return moved;
}

void store_set_limit(uint64_t frames)
{
	spin_lock(&store.lock);
	store.stats.limit_frames = frames;
	spin_unlock(&store.lock);
}

void store_get_stats(struct store_stats *stats)
{
	spin_lock(&store.lock);
	*stats = store.stats;
	spin_unlock(&store.lock);
}

int store_init(void)
{
	for (unsigned int i = 0; i < CHUNKS; i++)
		list_init(&store.rooms[i]);
	for (unsigned int i = 0; i < cpu_count(); i++) {
		store.scratch[i] = heap_alloc(STORE_MOST_BYTES, FRAME_HOST);
		if (!store.scratch[i])
			return -ENOMEM;
	}
	return 0;
}
