/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages of several guests are mapped, written, taken, shared, kept, given up and merged at random, over the real frame
 * allocator, beside a model that knows what each page must contain. Readers hold pointers over the operations of
 * others, as CPUs do: what they point to must not go to anybody else before their grace period is over. A disk that
 * writes and reads later, in any order, and fails at times, is between some pages and where they are kept; and who pins
 * pages finds them there.
 *
 * An argument is the number of operations; the environment's BALLAST_SEED makes another run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "ept/guest_reclaim.h"
#include "host/grace.h"
#include "host/log.h"

#define RAM_START MIB(256)
#define RAM_BYTES MIB(48)
#define GUESTS 3
#define GUEST_PAGES 2048 /* twice 4 MiB: blocks of 2 MiB, not aligned at the first one's start */
#define HIGH_START MIB(64)
#define BATCH 64
#define READERS 4
#define KEPT 4096
#define WRITES 24 /* pages on their way to the disk */
#define READS 6    /* on their way back; fewer than are wanted at a time */
#define PINS 8
#define CONTENTS 24 /* so few that pages are often equal; 0 is zeroes */

static const struct s2_format format = {
	.name = "test", .table_bits = 7, .large_bit = BIT(7), .present = 7, .read = 1, .write = 2, .exec = 4,
};

struct guest {
	struct guest_memory memory;
	uint8_t expected[GUEST_PAGES];
	gpa_t batch[BATCH];
	unsigned int batched;
	bool sealed;
	unsigned int writing; /* no page is taken meanwhile, nor is any of the batch decided on twice */
	struct { gpa_t gpa; bool touched; } pins[PINS];
	unsigned int pinned;
};

/* A page that stays leaving while it is written, and what the disk has got of it. */
struct write {
	struct guest *guest; /* NULL: none, or its guest has ended */
	bool used;
	gpa_t gpa;
	unsigned int handle;
	unsigned int from; /* KEPT, or where the page is kept, compressed, until then */
	uint8_t content;
};

/* Somebody in the middle of a handler. */
struct reader {
	const uint8_t *page;
	unsigned int guest;
	uint64_t since; /* the newest grace period when it began */
};

static struct guest guests[GUESTS];
static struct reader readers[READERS];
static uint64_t grace_newest;
static hpa_t shared[CONTENTS]; /* a frame of this content that the table holds; 0: none */
static struct { bool used; uint8_t content; } kept[KEPT];
static unsigned int kept_count;
static uint64_t state = 1, operations = 300000;
static struct write writes[WRITES];
static unsigned int fails; /* one of so many pages cannot be read; 0: all can */
static struct { bool used, here, forgotten; unsigned int handle; } reads[READS];
static struct {
	uint64_t shared, zero, kept, rescued, merged, breaks, fetched, waits;
	uint64_t written, too_late, refused, read, forgotten;
	uint64_t failed_writes, failed_reads, moved, moved_too_late, shifted;
} seen;

static uint32_t random32(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16);
}

static unsigned int below(unsigned int limit)
{
	return random32() % limit;
}

uint64_t grace_begin(void)
{
	return ++grace_newest;
}

bool grace_is_over(uint64_t ticket)
{
	for (unsigned int i = 0; i < READERS; i++)
		if (readers[i].page && readers[i].since < ticket)
			return false;
	return true;
}

static gpa_t gpa_of(unsigned int page)
{
	return page < GUEST_PAGES / 2 ? (uint64_t)page << PAGE_SHIFT :
		HIGH_START + PAGE_SIZE + ((uint64_t)(page - GUEST_PAGES / 2) << PAGE_SHIFT);
}

static unsigned int page_of(gpa_t gpa)
{
	return gpa < HIGH_START ? (unsigned int)(gpa >> PAGE_SHIFT) :
		(unsigned int)((gpa - HIGH_START - PAGE_SIZE) >> PAGE_SHIFT) + GUEST_PAGES / 2;
}

/* Whole pages are of one content: its number in all words, but for two places that tell neighbours apart. */
static void fill(void *page, uint8_t content)
{
	memset(page, content * 7, PAGE_SIZE);
}

static void holds(const void *page, uint8_t content)
{
	const uint8_t *bytes = page;
	uint8_t want = (uint8_t)(content * 7);

	if (bytes[0] != want || bytes[PAGE_SIZE - 1] != want || bytes[below(PAGE_SIZE)] != want)
		fail_msg("a page contains %u, not %u", bytes[0] / 7, content);
}

/* From the disk: begun by the first who asks, there for one who asks after it has come. */
static int read_back(uint64_t handle, bool take)
{
	int free = -1;

	for (int i = 0; i < READS; i++) {
		if (!reads[i].used)
			free = i;
		else if (reads[i].handle == handle && !reads[i].here)
			return -EAGAIN;
		else if (reads[i].handle == handle) {
			reads[i].used = !take;
			seen.read += take;
			return 0;
		}
	}
	if (free >= 0) {
		reads[free].used = true;
		reads[free].here = reads[free].forgotten = false;
		reads[free].handle = (unsigned int)handle;
	}
	return -EAGAIN;
}

static void drop(unsigned int handle)
{
	assert_true(kept[handle].used);
	kept[handle].used = false;
	kept_count--;
}

static void disk_reads(void)
{
	unsigned int i = below(READS);

	if (!reads[i].used)
		return;
	/* What came and is not fetched for long goes again, so that others have room. */
	if (reads[i].here && below(8))
		return;
	if (reads[i].here || reads[i].forgotten) {
		if (reads[i].forgotten)
			drop(reads[i].handle);
		reads[i].used = false;
	} else {
		reads[i].here = true;
	}
}

static int fetch(struct guest_memory *memory, gpa_t gpa, enum page_keep keep, uint64_t handle, void *page)
{
	(void)memory, (void)gpa;
	assert_true(kept[handle].used);
	if (keep == PAGE_SWAPPED && read_back(handle, page != NULL))
		return -EAGAIN;
	if (!page)
		return 0;
	if (keep == PAGE_SWAPPED && fails && below(fails) == 0) {
		seen.failed_reads++;
		return -EIO;
	}
	fill(page, kept[handle].content);
	seen.fetched++;
	return 0;
}

static void forget(enum page_keep keep, uint64_t handle)
{
	for (unsigned int i = 0; keep == PAGE_SWAPPED && i < READS; i++) {
		if (!reads[i].used || reads[i].handle != handle)
			continue;
		if (reads[i].here) {
			reads[i].used = false;
			break;
		}
		assert_false(reads[i].forgotten);
		reads[i].forgotten = true;
		seen.forgotten++;
		return;
	}
	drop((unsigned int)handle);
}

static void needed(struct guest_memory *memory)
{
	(void)memory;
}

static const struct memory_keeper keeper = { .fetch = fetch, .forget = forget, .needed = needed };

static void begin_guest(struct guest *guest)
{
	memset(guest->expected, 0, sizeof(guest->expected));
	guest->batched = guest->writing = guest->pinned = 0;
	guest->sealed = false;
	if (guest_memory_init(&guest->memory, &format))
		fail_msg("no memory for a guest");
	assert_int_equal(guest_memory_add(&guest->memory, 0, MIB(4), false), 0);
	assert_int_equal(guest_memory_add(&guest->memory, HIGH_START + PAGE_SIZE, MIB(4), false), 0);
	guest->memory.keeper = &keeper;
}

/* As a CPU does it: the tables are asked, and a fault when they do not allow the access. NULL: it has to wait. */
static void *touch(struct guest *guest, gpa_t gpa, uint64_t access)
{
	struct s2_mapping mapping;

	for (unsigned int tries = 0; tries < 3; tries++) {
		if (s2_lookup(&guest->memory.s2, gpa, &mapping) && !(access & ~mapping.access))
			return host_ptr(mapping.hpa);
		switch (guest_memory_fault(&guest->memory, gpa, access)) {
		case MEMORY_MAPPED:
			continue;
		case MEMORY_WAIT:
			seen.waits++;
			return NULL;
		case MEMORY_LOST:
			return NULL;
		default:
			fail_msg("RAM is not RAM");
		}
	}
	fail_msg("a fault that leads nowhere");
	return NULL;
}

static void guest_writes(struct guest *guest, unsigned int page)
{
	bool was_shared = guest_memory_state(&guest->memory, gpa_of(page), NULL) == PAGE_STATE_SHARED;
	uint8_t content = (uint8_t)below(CONTENTS);
	void *at;

	if (below(8) == 0) {
		at = guest_memory_ptr(&guest->memory, gpa_of(page), S2_WRITE, NULL);
	} else {
		at = touch(guest, gpa_of(page), S2_WRITE);
	}
	if (!at)
		return;
	holds(at, guest->expected[page]);
	seen.breaks += was_shared;
	fill(at, content);
	guest->expected[page] = content;
}

/* What did not come at once is wanted again. */
static struct { struct guest *guest; unsigned int page; } wanted[READS];

static void guest_reads(struct guest *guest, unsigned int page)
{
	unsigned int again = below(READS);

	if (wanted[again].guest && below(2)) {
		guest = wanted[again].guest;
		page = wanted[again].page;
	}
	const void *at = below(8) ? touch(guest, gpa_of(page), S2_READ) :
		guest_memory_ptr(&guest->memory, gpa_of(page), S2_READ, NULL);

	wanted[again].guest = at ? NULL : guest;
	wanted[again].page = page;
	if (at)
		holds(at, guest->expected[page]);
}

static void reader_steps(unsigned int which)
{
	struct reader *reader = &readers[which];
	struct frame_facts facts;

	if (!reader->page) {
		unsigned int guest = below(GUESTS), page = below(GUEST_PAGES);

		if (guest_memory_state(&guests[guest].memory, gpa_of(page), NULL) == PAGE_STATE_UNTOUCHED)
			return;
		reader->page = guest_memory_ptr(&guests[guest].memory, gpa_of(page), S2_READ, NULL);
		reader->guest = guest;
		reader->since = grace_newest;
		return;
	}
	/* The frame is still of this guest, or shared. */
	frame_describe(host_phys(reader->page), &facts);
	if (facts.use == FRAME_GUEST)
		assert_int_equal(facts.owner, guests[reader->guest].memory.number);
	else if (facts.use != FRAME_SHARED && facts.use != FRAME_RESERVED)
		fail_msg("a page was freed while somebody reads it: use %d", facts.use);
	if (below(3) == 0)
		reader->page = NULL;
}

static bool is_filled(const void *page, uint8_t content)
{
	const uint8_t *bytes = page;

	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		if (bytes[i] != (uint8_t)(content * 7))
			return false;
	return true;
}

struct deciding {
	struct guest *guest;
	uint8_t content;
	bool stays;
};

/* KEPT: there is none. */
static unsigned int take_handle(uint8_t content)
{
	unsigned int handle;

	if (kept_count == KEPT)
		return KEPT;
	for (handle = below(KEPT); kept[handle].used;)
		handle = (handle + 1) % KEPT;
	kept[handle].used = true;
	kept[handle].content = content;
	kept_count++;
	return handle;
}

static struct page_fate decide(const void *page, hpa_t frame, void *arg)
{
	struct deciding *deciding = arg;
	uint8_t content = deciding->content;
	unsigned int handle;

	deciding->stays = false;

	assert_true(is_filled(page, content));
	if (below(8) == 0)
		return (struct page_fate){ .fate = FATE_BACK };
	if (content == 0) {
		seen.zero++;
		return (struct page_fate){ .fate = FATE_ZERO };
	}
	if (below(2)) {
		seen.shared++;
		if (!shared[content]) {
			frame_share(frame);
			shared[content] = frame;
		}
		frame_hold(shared[content]);
		return (struct page_fate){ .fate = FATE_SHARED, .shared = shared[content] };
	}
	deciding->stays = below(2);
	if (deciding->stays)
		return (struct page_fate){ .fate = FATE_STAY };
	handle = take_handle(content);
	if (handle == KEPT)
		return (struct page_fate){ .fate = FATE_BACK };
	seen.kept++;
	return (struct page_fate){ .fate = FATE_KEPT, .keep = PAGE_COMPRESSED, .handle = handle };
}

static struct page_fate written(const void *page, hpa_t frame, void *arg)
{
	const struct write *write = arg;

	(void)frame;
	assert_true(is_filled(page, write->content));
	if (write->handle == KEPT)
		return (struct page_fate){ .fate = FATE_BACK };
	return (struct page_fate){ .fate = FATE_KEPT, .keep = PAGE_SWAPPED, .handle = write->handle };
}

static struct page_fate back(const void *page, hpa_t frame, void *arg)
{
	(void)page, (void)frame, (void)arg;
	return (struct page_fate){ .fate = FATE_BACK };
}

/* A page that is leaving begins to be written; its bytes are read some time before the end. */
static void write_begins(struct guest *guest, gpa_t gpa, uint8_t content)
{
	for (unsigned int i = 0; i < WRITES; i++) {
		if (writes[i].used)
			continue;
		writes[i] = (struct write){ guest, true, gpa, take_handle(content), KEPT, content };
		guest->writing++;
		return;
	}
	guest_memory_decide(&guest->memory, gpa, back, NULL);
}

static bool found(uint64_t handle, void *arg)
{
	*(unsigned int *)arg = (unsigned int)handle;
	return true;
}

/* A compressed page begins to go on to the disk. */
static void move_begins(struct guest *guest)
{
	unsigned int from, i, page = below(GUEST_PAGES);
	gpa_t gpa;

	for (i = 0; i < WRITES && writes[i].used; i++)
		;
	for (unsigned int tries = 0; tries < 64; tries++, page = (page + 1) % GUEST_PAGES)
		if (guest_memory_handle(&guest->memory, gpa_of(page), PAGE_COMPRESSED))
			break;
	gpa = gpa_of(page);
	if (i == WRITES || !guest_memory_look_kept(&guest->memory, gpa, PAGE_COMPRESSED, found, &from))
		return;
	assert_true(kept[from].used);
	assert_int_equal(kept[from].content, guest->expected[page_of(gpa)]);
	/* The same page is not written twice at a time. */
	for (unsigned int j = 0; j < WRITES; j++)
		if (writes[j].used && writes[j].guest == guest && writes[j].gpa == gpa)
			return;
	writes[i] = (struct write){ guest, true, gpa, take_handle(kept[from].content), from, kept[from].content };
	guest->writing++;
}

/* The store puts a page elsewhere, whether it is on its way to the disk or not. */
static bool shift(uint64_t *handle)
{
	unsigned int to = take_handle(kept[*handle].content);

	if (to == KEPT)
		return false;
	drop((unsigned int)*handle);
	*handle = to;
	return true;
}

static void shift_some(struct guest *guest)
{
	for (unsigned int tries = 0; tries < 16; tries++)
		seen.shifted += guest_memory_shift_kept(
			&guest->memory, gpa_of(below(GUEST_PAGES)), PAGE_COMPRESSED, shift);
}

static bool write_moves(const struct write *write)
{
	bool moved = write->handle != KEPT && guest_memory_move_kept(&write->guest->memory, write->gpa,
		PAGE_COMPRESSED, write->from, PAGE_SWAPPED, write->handle);

	seen.moved += moved;
	seen.moved_too_late += !moved && write->handle != KEPT;
	return moved;
}

/* One of them ends, or fails. */
static void disk_writes(void)
{
	struct write *write = &writes[below(WRITES)];

	if (!write->used)
		return;
	write->used = false;
	if (write->guest)
		write->guest->writing--;
	if (write->handle != KEPT && below(8) == 0) {
		drop(write->handle);
		write->handle = KEPT;
		seen.failed_writes++;
	}
	if (write->guest && write->from != KEPT) {
		if (!write_moves(write) && write->handle != KEPT)
			drop(write->handle);
		return;
	}
	if (write->guest && guest_memory_decide(&write->guest->memory, write->gpa, written, write)) {
		seen.written += write->handle != KEPT;
		return;
	}
	/* It was touched or given up meanwhile. */
	seen.too_late += write->guest != NULL;
	if (write->handle != KEPT)
		drop(write->handle);
}

/* Who has pinned a page and touched it once finds it there whenever he likes, and nobody takes it. */
static void guest_pins(struct guest *guest)
{
	unsigned int which = below(PINS);
	gpa_t gpa = gpa_of(below(GUEST_PAGES));

	if (which >= guest->pinned) {
		if (guest->pinned == PINS)
			return;
		which = guest->pinned++;
		guest->pins[which].gpa = gpa;
		guest->pins[which].touched = false;
		assert_int_equal(guest_memory_pin(&guest->memory, gpa, 1), 0);
	} else if (below(16) == 0) {
		guest_memory_unpin(&guest->memory, guest->pins[which].gpa, 1);
		guest->pins[which] = guest->pins[--guest->pinned];
		return;
	}
	gpa = guest->pins[which].gpa;
	assert_int_equal(guest_memory_take(&guest->memory, gpa) == 0, false);
	if (guest->pins[which].touched &&
		guest_memory_state(&guest->memory, gpa, NULL) != PAGE_STATE_UNTOUCHED)
		assert_int_equal(guest_memory_state(&guest->memory, gpa, NULL), PAGE_STATE_PRIVATE);
	if (guest_memory_ptr(&guest->memory, gpa, S2_WRITE, NULL))
		guest->pins[which].touched = true;
	seen.refused++;
}

static void reclaim_steps(struct guest *guest)
{
	if (!guest->batched && !guest->sealed && below(4) == 0)
		move_begins(guest);
	if (below(16) == 0)
		shift_some(guest);
	if (guest->writing)
		return;
	if (!guest->sealed) {
		gpa_t gpa = gpa_of(below(GUEST_PAGES));

		if (guest->batched < BATCH && guest_memory_take(&guest->memory, gpa) == 0)
			guest->batch[guest->batched++] = gpa;
		if (below(BATCH) == 0)
			guest->sealed = guest_memory_seal(&guest->memory);
		return;
	}
	if (!guest_memory_settle(&guest->memory))
		return;
	for (unsigned int i = 0; i < guest->batched; i++) {
		struct deciding deciding = { guest, guest->expected[page_of(guest->batch[i])], false };

		if (!guest_memory_decide(&guest->memory, guest->batch[i], decide, &deciding))
			seen.rescued++;
		else if (deciding.stays)
			write_begins(guest, guest->batch[i], deciding.content);
	}
	guest->batched = 0;
	guest->sealed = false;
}

static void guest_discards(struct guest *guest)
{
	unsigned int page = below(GUEST_PAGES), count = below(4) ? 1 + below(4) : 1 + below(1200);
	uint64_t bytes;

	count = MIN(count, (page < GUEST_PAGES / 2 ? GUEST_PAGES / 2 : GUEST_PAGES) - page);
	bytes = guest_memory_discard(&guest->memory, gpa_of(page), (uint64_t)count << PAGE_SHIFT);
	assert_true(bytes <= (uint64_t)count << PAGE_SHIFT);
	memset(guest->expected + page, 0, bytes >> PAGE_SHIFT);
}

/* The table gives up frames that nobody else shows. */
static void prune(void)
{
	unsigned int content = below(CONTENTS);

	if (shared[content] && frame_holders(shared[content]) == 1) {
		frame_drop(shared[content]);
		shared[content] = 0;
	}
}

static void readers_of(unsigned int guest)
{
	for (unsigned int i = 0; i < READERS; i++)
		if (readers[i].page && readers[i].guest == guest)
			readers[i].page = NULL;
}

/* The guest ends or starts anew: nobody is in a handler of it. */
static void guest_ends(unsigned int which)
{
	struct guest *guest = &guests[which];

	readers_of(which);
	for (unsigned int i = 0; i < WRITES; i++)
		if (writes[i].guest == guest)
			writes[i].guest = NULL;
	guest->writing = 0;
	if (below(2)) {
		guest_memory_destroy(&guest->memory);
		begin_guest(guest);
		return;
	}
	guest_memory_clear(&guest->memory);
	memset(guest->expected, 0, sizeof(guest->expected));
	guest->batched = 0;
	guest->sealed = false;
}

static void check_all(void)
{
	struct memory_stats stats;
	uint64_t resident = 0, frames = 0, limbo = 0;

	for (unsigned int i = 0; i < GUESTS; i++) {
		const char *wrong = guest_memory_check(&guests[i].memory);

		if (wrong)
			fail_msg("%s", wrong);
		resident += guests[i].memory.resident_pages;
		limbo += guests[i].memory.limbo.filling_count + guests[i].memory.limbo.waiting_count;
	}
	frame_get_stats(&stats);
	for (unsigned int use = 0; use < FRAME_USES; use++)
		frames += stats.frames[use];
	assert_int_equal(frames, RAM_BYTES >> PAGE_SHIFT);
	/* What is in limbo may be a leaf of 2 MiB. */
	assert_true(stats.frames[FRAME_GUEST] >= resident &&
		stats.frames[FRAME_GUEST] <= resident + limbo * 512);
}

/* One of whose memory something cannot be read back goes no further. */
static void end_lost(void)
{
	for (unsigned int i = 0; i < GUESTS; i++)
		if (guests[i].memory.lost)
			guest_ends(i);
}

static void operate(void)
{
	unsigned int which = below(GUESTS), page = below(GUEST_PAGES), what = below(1000);
	struct guest *guest = &guests[which];

	if (what < 300)
		guest_writes(guest, page);
	else if (what < 500)
		guest_reads(guest, page);
	else if (what < 600)
		reader_steps(below(READERS));
	else if (what < 630)
		disk_writes();
	else if (what < 660)
		disk_reads();
	else if (what < 680)
		guest_pins(guest);
	else if (what < 960)
		reclaim_steps(guest);
	else if (what < 970)
		guest_discards(guest);
	else if (what < 980)
		prune();
	else if (what < 990)
		guest->memory.by_page = below(2);
	else if (what < 995)
		guest->memory.ceiling_pages = below(4) ? UINT64_MAX : guest->memory.resident_pages;
	else if (what < 999)
		seen.merged += guest_memory_merge(&guest->memory, gpa_of(page)) == 0;
	else if (below(20) == 0)
		guest_ends(which);
}

static int map_ram(void **unused)
{
	struct memory_range ram = { RAM_START, RAM_BYTES };
	void *at = mmap((void *)RAM_START, RAM_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	(void)unused;
	if (at != (void *)RAM_START)
		return -1;
	frame_init(&ram, 1);
	return 0;
}

static void pages_come_and_go(void **unused)
{
	struct memory_stats before, after;

	(void)unused;
	frame_get_stats(&before);
	for (unsigned int i = 0; i < GUESTS; i++)
		begin_guest(&guests[i]);
	fails = 12;
	for (uint64_t i = 0; i < operations; i++) {
		operate();
		end_lost();
		if (below(16) == 0)
			frame_erase();
		if (i % 4096 == 0)
			check_all();
	}
	check_all();
	printf("%llu operations: %llu pages shared, %llu zero, %llu kept, %llu fetched, %llu rescued, %llu merged, "
	       "%llu breaks, %llu waits; %llu written, %llu too late, %llu read, %llu forgotten, %llu pins; "
	       "%llu compressed ones moved, %llu too late, %llu put elsewhere; %llu writes failed, %llu reads failed\n",
		(unsigned long long)operations, (unsigned long long)seen.shared,
		(unsigned long long)seen.zero, (unsigned long long)seen.kept, (unsigned long long)seen.fetched,
		(unsigned long long)seen.rescued, (unsigned long long)seen.merged, (unsigned long long)seen.breaks,
		(unsigned long long)seen.waits, (unsigned long long)seen.written, (unsigned long long)seen.too_late,
		(unsigned long long)seen.read, (unsigned long long)seen.forgotten, (unsigned long long)seen.refused,
		(unsigned long long)seen.moved, (unsigned long long)seen.moved_too_late,
		(unsigned long long)seen.shifted,
		(unsigned long long)seen.failed_writes, (unsigned long long)seen.failed_reads);
	if (!seen.shifted || !seen.written || !seen.too_late || !seen.read || !seen.forgotten || !seen.refused ||
		!seen.moved || !seen.moved_too_late || !seen.failed_writes || !seen.failed_reads)
		fail_msg("something never happened on the disk");
	if (!seen.shared || !seen.zero || !seen.kept || !seen.fetched || !seen.rescued || !seen.breaks || !seen.waits)
		fail_msg("something never happened");
	memset(readers, 0, sizeof(readers));
	for (unsigned int i = 0; i < 1000 * WRITES; i++)
		disk_writes();
	for (unsigned int i = 0; i < GUESTS; i++)
		guest_memory_destroy(&guests[i].memory);
	for (unsigned int i = 0; i < CONTENTS; i++)
		if (shared[i])
			frame_drop(shared[i]);
	for (unsigned int i = 0; i < 1000 * READS; i++)
		disk_reads();
	assert_int_equal(kept_count, 0);
	frame_get_stats(&after);
	assert_int_equal(after.frames[FRAME_GUEST], before.frames[FRAME_GUEST]);
	assert_int_equal(after.frames[FRAME_SHARED], 0);
	/* The heap may keep an empty slab. */
	assert_true(after.frames[FRAME_FREE] + 8 >= before.frames[FRAME_FREE]);
}

static void whole_leaf_comes_back(void **unused)
{
	struct guest *guest = &guests[0];
	struct s2_mapping mapping;

	(void)unused;
	begin_guest(guest);
	assert_non_null(touch(guest, 0, S2_WRITE));
	assert_true(s2_lookup(&guest->memory.s2, 0x5000, &mapping));
	assert_int_equal(mapping.order, FRAME_ORDER_2M);
	assert_int_equal(guest_memory_take(&guest->memory, 0x5000), 0);
	assert_int_equal(guest_memory_merge(&guest->memory, 0x6000), -EINVAL);
	assert_int_equal(guest_memory_state(&guest->memory, 0x5000, NULL), PAGE_STATE_LEAVING);
	assert_non_null(touch(guest, 0x5000, S2_READ));
	assert_int_equal(guest->memory.rescues, 1);
	assert_int_equal(guest_memory_merge(&guest->memory, 0x5000), 0);
	assert_true(s2_lookup(&guest->memory.s2, 0x5000, &mapping));
	assert_int_equal(mapping.order, FRAME_ORDER_2M);
	assert_null(guest_memory_check(&guest->memory));
	/* It is given up in one piece, and freed when I/O that was under way is over. */
	unsigned int hold = guest_memory_hold(&guest->memory);

	assert_int_equal(guest_memory_discard(&guest->memory, 0, MIB(2)), MIB(2));
	assert_int_equal(guest->memory.resident_pages, 0);
	assert_int_equal(guest->memory.limbo.filling_count, 2); /* the table is the other */
	assert_true(guest_memory_seal(&guest->memory));
	assert_false(guest_memory_settle(&guest->memory));
	assert_false(guest_memory_seal(&guest->memory));
	guest_memory_release(&guest->memory, hold);
	hold = guest_memory_hold(&guest->memory); /* a later one does not matter */
	assert_true(guest_memory_settle(&guest->memory));
	guest_memory_release(&guest->memory, hold);
	guest_memory_destroy(&guest->memory);
}

/* Where a table is, a page is backed by a frame, and no more are tried (and cleared) for it. */
static void page_of_broken_leaf_takes_one(void **unused)
{
	struct guest *guest = &guests[0];
	struct memory_stats stats;

	(void)unused;
	begin_guest(guest);
	assert_non_null(touch(guest, 0, S2_WRITE));
	assert_int_equal(guest_memory_discard(&guest->memory, 0x5000, PAGE_SIZE), PAGE_SIZE);
	while (frame_erase())
		;
	assert_non_null(touch(guest, 0x5000, S2_WRITE));
	assert_int_equal(guest->memory.resident_pages, 512);
	frame_get_stats(&stats);
	assert_int_equal(stats.stale_frames, 0);
	assert_true(guest_memory_seal(&guest->memory));
	assert_true(guest_memory_settle(&guest->memory));
	guest_memory_destroy(&guest->memory);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(whole_leaf_comes_back, map_ram),
		cmocka_unit_test(page_of_broken_leaf_takes_one),
		cmocka_unit_test(pages_come_and_go),
	};
	const char *seed = getenv("BALLAST_SEED");

	if (argc > 1)
		operations = strtoull(argv[1], NULL, 0);
	if (seed)
		state = strtoull(seed, NULL, 0) | 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
