/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store of compressed pages and the swap disk. Every CPU puts pages into the store, reads, moves and drops them,
 * and reads and drops swapped ones; the boot CPU swaps out, in batches, as the economy does. The disk is memory: any
 * CPU answers, in any order, now and then with an error. Checked: each page is what it was, nothing is forgotten, and
 * in the end all frames and slots are free.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "balloon/store.h"
#include "balloon/swap.h"
#include "host/lock.h"
#include "host/log.h"
#include "host/memory.h"
#include "host/random.h"
#include "test/tsan/machine.h"

#define CPUS 4
#define PLACES 400
#define FRAMES 600
#define SLOTS 1000
#define PENDING 64

/* A page of a guest, and who has it. */
static struct place {
	struct spinlock lock; /* as guest_memory.lock */
	enum { EMPTY, STORED, SWAPPED, BUSY } state; /* [lock] busy: a batch or a read has it */
	uint64_t handle;      /* [lock] or slot */
	uint64_t seed;        /* [lock] what it contains */
} places[PLACES];

static uint32_t stopped; /* [a] CPUs that begin nothing new */
static uint64_t totals[CPUS][5]; /* own CPU */
enum { PUT, GOT, MOVED, OUT, IN };

void log_line(const char *format, ...)
{
	(void)format;
}

int random_bytes(void *buffer, size_t bytes)
{
	memset(buffer, 0x35, bytes);
	return 0;
}

/* --- Frames --- */

static struct spinlock frames_lock;
static hpa_t free_frames[FRAMES]; /* [frames_lock] */
static size_t free_count;         /* [frames_lock] */

static void make_frames(void)
{
	uint8_t *start = mmap(NULL, FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	machine_check(start != MAP_FAILED);
	for (size_t i = 0; i < FRAMES; i++)
		free_frames[free_count++] = host_phys(start + i * PAGE_SIZE);
}

hpa_t frame_alloc(unsigned int order, enum frame_use use)
{
	hpa_t frame = HPA_NONE;

	machine_check(order == 0 && use == FRAME_STORE);
	spin_lock(&frames_lock);
	if (free_count)
		frame = free_frames[--free_count];
	spin_unlock(&frames_lock);
	return frame;
}

void frame_free(hpa_t start, unsigned int order)
{
	machine_check(order == 0);
	spin_lock(&frames_lock);
	machine_check(free_count < FRAMES);
	free_frames[free_count++] = start;
	spin_unlock(&frames_lock);
}

/* --- The disk --- */

static struct block_device whole;
static struct spinlock disk_lock;
static struct block_request *pending[PENDING]; /* [disk_lock] */
static unsigned int pending_count;             /* [disk_lock] */
static bool running;                           /* [I] once there are several CPUs */
static uint8_t contents[SLOTS][PAGE_SIZE];     /* by who has a request for it */

static int serve(const struct block_request *request)
{
	uint8_t *at = contents[request->sector / (PAGE_SIZE / SECTOR_BYTES)];
	uint64_t bytes = (uint64_t)request->sectors * SECTOR_BYTES;

	if (running && machine_random_below(3000) == 0)
		return -EIO;
	if (request->operation == BLOCK_WRITE)
		block_copy_from(request, 0, at, bytes);
	else
		block_copy_to(request, 0, at, bytes);
	return 0;
}

static bool submit(struct block_device *device, struct block_request *request)
{
	bool queued;

	(void)device;
	spin_lock(&disk_lock);
	queued = running && pending_count < PENDING && machine_random_below(8);
	if (queued)
		pending[pending_count++] = request;
	spin_unlock(&disk_lock);
	if (!queued)
		request->error = serve(request);
	return !queued;
}

static const struct block_operations operations = { .submit = submit };
static struct block_device disk = {
	.name = "disk", .operations = &operations, .sectors = SLOTS * (PAGE_SIZE / SECTOR_BYTES),
	.logical_bytes = SECTOR_BYTES, .physical_bytes = SECTOR_BYTES, .parent = &whole, .linux_swap = true,
};

/* As a driver's interrupt, on any CPU. */
static void serve_one(void)
{
	struct block_request *request = NULL;
	unsigned int which;

	spin_lock(&disk_lock);
	if (pending_count) {
		which = machine_random_below(pending_count);
		request = pending[which];
		pending[which] = pending[--pending_count];
	}
	spin_unlock(&disk_lock);
	if (request)
		block_finish(&disk, request, serve(request));
}

/* --- Pages --- */

static void fill(uint64_t *page, uint64_t seed)
{
	for (unsigned int i = 0; i < PAGE_SIZE / 8; i++)
		page[i] = i % 7 < seed % 7 ? seed * (i + 1) : seed;
}

static void check(const uint64_t *page, uint64_t seed)
{
	static __thread uint64_t expected[PAGE_SIZE / 8];

	fill(expected, seed);
	machine_check(memcmp(page, expected, PAGE_SIZE) == 0);
}

static uint64_t new_seed(void)
{
	return (uint64_t)machine_random() << 8 | 1;
}

static void count(unsigned int what)
{
	totals[this_cpu()->id][what]++;
}

static void put(struct place *place, uint64_t *page)
{
	int error;

	place->seed = new_seed();
	fill(page, place->seed);
	error = store_put(page, &place->handle);
	machine_check(!error || error == -ENOMEM || error == -E2BIG);
	if (error)
		return;
	place->state = STORED;
	count(PUT);
}

static void use_stored(struct place *place, uint64_t *page)
{
	switch (machine_random_below(4)) {
	case 0:
		store_drop(place->handle);
		place->state = EMPTY;
		return;
	case 1:
		if (store_move(&place->handle))
			count(MOVED);
		return;
	default:
		machine_check(store_get(place->handle, page) == 0);
		check(page, place->seed);
		count(GOT);
	}
}

/* One read of each CPU at a time. */
struct job {
	struct swap_read read;
	struct place *place;  /* own CPU; NULL: none is under way */
	uint32_t ended;       /* [a] */
	uint64_t page[PAGE_SIZE / 8];
};
static struct job jobs[CPUS];

static void read_done(struct swap_read *read)
{
	__atomic_store_n(&container_of(read, struct job, read)->ended, 1, __ATOMIC_RELEASE);
}

static void begin_read(struct job *job, struct place *place)
{
	job->place = place;
	place->state = BUSY;
	__atomic_store_n(&job->ended, 0, __ATOMIC_RELAXED);
	job->read = (struct swap_read){ .slot = place->handle, .count = 1, .pages = { job->page },
		.done = read_done };
	if (swap_in(&job->read))
		read_done(&job->read);
}

/* A page that could not be read is lost. */
static void end_read(struct job *job)
{
	struct place *place = job->place;
	int error;

	if (!place || !__atomic_load_n(&job->ended, __ATOMIC_ACQUIRE))
		return;
	error = swap_in_finish(place->handle, job->read.request.error, job->page, job->page);
	machine_check(error == (int)PAGE_SIZE || (error == -EIO && job->read.request.error == -EIO));
	spin_lock(&place->lock);
	if (error < 0) {
		swap_drop(place->handle);
		place->state = EMPTY;
	} else {
		check(job->page, place->seed);
		place->state = SWAPPED;
		count(IN);
	}
	spin_unlock(&place->lock);
	job->place = NULL;
}

static void use_any(struct job *job)
{
	static __thread uint64_t page[PAGE_SIZE / 8];
	struct place *place = &places[machine_random_below(PLACES)];

	spin_lock(&place->lock);
	if (place->state == EMPTY) {
		put(place, page);
	} else if (place->state == STORED) {
		use_stored(place, page);
	} else if (place->state == SWAPPED && machine_random_below(2)) {
		swap_drop(place->handle);
		place->state = EMPTY;
	} else if (place->state == SWAPPED && !job->place) {
		begin_read(job, place);
	}
	spin_unlock(&place->lock);
}

/* --- The boot CPU's batches --- */

#define BATCHES 3
static struct out {
	struct swap_batch batch;
	struct place *of[SWAP_BATCH_PAGES];
	bool under_way;
	uint64_t pages[SWAP_BATCH_PAGES][PAGE_SIZE / 8];
} outs[BATCHES]; /* boot CPU */

static void out_done(struct swap_batch *batch)
{
	struct out *out = container_of(batch, struct out, batch);

	machine_check(this_cpu()->id == 0 && out->under_way);
	for (unsigned int i = 0; i < batch->count; i++) {
		struct place *place = out->of[i];

		spin_lock(&place->lock);
		machine_check(place->state == BUSY && (batch->slots[i] != SWAP_NONE || batch->error));
		place->state = batch->slots[i] == SWAP_NONE ? EMPTY : SWAPPED;
		place->handle = batch->slots[i];
		spin_unlock(&place->lock);
	}
	count(OUT);
	out->under_way = false;
}

static void give_back(struct out *out, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		spin_lock(&out->of[i]->lock);
		out->of[i]->state = EMPTY;
		spin_unlock(&out->of[i]->lock);
	}
}

static void begin_out(struct out *out)
{
	unsigned int wanted = 1 + machine_random_below(SWAP_BATCH_PAGES), found = 0;

	for (unsigned int tries = 0; tries < 3 * wanted && found < wanted; tries++) {
		struct place *place = &places[machine_random_below(PLACES)];

		spin_lock(&place->lock);
		if (place->state == EMPTY) {
			place->state = BUSY;
			place->seed = new_seed();
			fill(out->pages[found], place->seed);
			out->batch.pages[found] = out->pages[found];
			out->of[found++] = place;
		}
		spin_unlock(&place->lock);
	}
	if (!found)
		return;
	out->batch.count = found;
	out->batch.done = out_done;
	out->under_way = swap_out(&out->batch) == 0;
	give_back(out, out->under_way ? out->batch.count : 0, found);
}

static void boot_cpu(bool begin)
{
	for (unsigned int i = 0; begin && i < BATCHES; i++)
		if (!outs[i].under_way)
			begin_out(&outs[i]);
	if (machine_random_below(30) == 0)
		store_set_limit(machine_random_below(FRAMES));
	block_poll();
}

static bool any_under_way(void)
{
	bool any = false;

	for (unsigned int i = 0; i < PLACES; i++) {
		spin_lock(&places[i].lock);
		any |= places[i].state == BUSY;
		spin_unlock(&places[i].lock);
	}
	return any;
}

static void run(struct cpu *cpu)
{
	struct job *job = &jobs[cpu->id];

	while (!machine_time_is_up()) {
		use_any(job);
		end_read(job);
		serve_one();
		if (cpu->id == 0)
			boot_cpu(true);
	}
	__atomic_fetch_add(&stopped, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&stopped, __ATOMIC_SEQ_CST) < CPUS || any_under_way()) {
		end_read(job);
		serve_one();
		if (cpu->id == 0)
			boot_cpu(false);
	}
}

/* One CPU is left. */
static void drop_all(void)
{
	struct store_stats kept;
	struct swap_stats swapped;

	for (unsigned int i = 0; i < PLACES; i++) {
		if (places[i].state == STORED)
			store_drop(places[i].handle);
		else if (places[i].state == SWAPPED)
			swap_drop(places[i].handle);
	}
	store_get_stats(&kept);
	swap_get_stats(&swapped);
	machine_check(!kept.pages && !kept.bytes && !kept.frames && !kept.damaged);
	machine_check(free_count == FRAMES);
	machine_check(swapped.used == swapped.bad && !swapped.damaged);
}

int main(int argc, char **argv)
{
	uint64_t sums[ARRAY_SIZE(totals[0])] = { 0 };

	machine_arguments(argc, argv);
	machine_init(CPUS);
	make_frames();
	block_register(&disk);
	if (store_init() || swap_open("disk", 0, GIB(1)))
		machine_fail("no memory");
	store_set_limit(FRAMES);
	running = true;
	machine_run(run);
	drop_all();
	for (unsigned int i = 0; i < CPUS; i++)
		for (unsigned int what = 0; what < ARRAY_SIZE(sums); what++)
			sums[what] += totals[i][what];
	printf("%lu put, %lu got, %lu moved; %lu batches out, %lu pages in\n", sums[PUT], sums[GOT], sums[MOVED],
		sums[OUT], sums[IN]);
	machine_check(sums[PUT] && sums[GOT] && sums[OUT] && sums[IN]);
	return 0;
}
