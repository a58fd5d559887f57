/* SPDX-License-Identifier: BSD-2-Clause */
#include "balloon/swap_internal.h"

#include "host/log.h"
#include "lib/hash.h"
#include "lib/string.h"

/* Pages that are encrypted in one step: tens of microseconds. */
#define STEP_PAGES 2
/* After so many batches in a row of which nothing could be written the disk is given up. */
#define FAILURES_MOST 8
/* A slot is not written more often: the nonces of its next pages would be old ones. */
#define WRITES_MOST (~0U)
#define SLOT_BLOCKS ((unsigned int)PAGE_SIZE / CHACHA20_BLOCK_BYTES)

struct swap swap;

bool swap_available(void)
{
	bool available;

	spin_lock(&swap.lock);
	available = swap.device && !swap.stats.failing && swap.slots.free;
	spin_unlock(&swap.lock);
	return available;
}

/* Each is used once: a slot's count of writes never comes back to a value. */
static void apply_cipher(uint64_t slot, const void *from, void *to, unsigned int bytes)
{
	uint8_t nonce[CHACHA20_NONCE_BYTES];

	memcpy(nonce, &slot, sizeof(slot));
	memcpy(nonce + sizeof(slot), swap_slots_writes(&swap.slots, slot), sizeof(uint32_t));
	chacha20_xor(&swap.key, nonce, 0, from, to, bytes);
}

/* --- Out --- */

static uint8_t *take_cipher(void)
{
	uint8_t *cipher = NULL;

	for (unsigned int i = 0; !cipher && i < SWAP_BATCHES; i++) {
		cipher = swap.ciphers[i];
		swap.ciphers[i] = NULL;
	}
	return cipher;
}

static void give_cipher(uint8_t *cipher)
{
	unsigned int i = 0;

	while (swap.ciphers[i])
		i++;
	swap.ciphers[i] = cipher;
}

/* The batch's slots, in runs as long as can be had. */
static void take_slots(struct swap_batch *batch)
{
	unsigned int taken = 0, length;
	uint64_t first;

	while (taken < batch->count) {
		length = swap_slots_take(&swap.slots, batch->count - taken, &first);
		if (!length)
			break;
		for (unsigned int i = 0; i < length; i++)
			batch->slots[taken++] = first + i;
	}
	batch->count = taken;
}

static void encrypt(struct swap_batch *batch, unsigned int index)
{
	uint8_t *cipher = batch->cipher + index * PAGE_SIZE;
	const void *page = batch->pages[index];
	uint64_t slot = batch->slots[index];
	unsigned int bytes = PAGE_SIZE;

	++*swap_slots_writes(&swap.slots, slot);
	if (!page) {
		bytes = batch->load(batch, index, cipher);
		/* Where there is nothing to write it may have been filled in part. */
		memset(cipher + bytes, 0, PAGE_SIZE - bytes);
		page = cipher;
	}
	bytes = ROUND_UP(bytes, CHACHA20_BLOCK_BYTES);
	*swap_slots_blocks(&swap.slots, slot) =
		(uint8_t)(bytes / CHACHA20_BLOCK_BYTES % SLOT_BLOCKS);
	*swap_slots_check(&swap.slots, slot) = hash_page(page, swap.check_seed);
	apply_cipher(slot, page, cipher, bytes);
}

static void run_ended(struct swap_batch *batch)
{
	if (__atomic_sub_fetch(&batch->runs_left, 1, __ATOMIC_ACQ_REL) == 0)
		block_defer(&batch->work);
}

static void write_done(struct block_request *request)
{
	run_ended(container_of(request, struct swap_run, request)->batch);
}

/* The run that begins with this page; returns the page behind it. */
static unsigned int make_run(struct swap_batch *batch, unsigned int first)
{
	struct swap_run *run = &batch->runs[batch->run_count++];
	unsigned int end = first + 1;

	while (end < batch->count && batch->slots[end] == batch->slots[end - 1] + 1)
		end++;
	run->batch = batch;
	run->first = first;
	run->count = end - first;
	run->segment.start = host_phys(batch->cipher + first * PAGE_SIZE);
	run->segment.bytes = run->count * (uint32_t)PAGE_SIZE;
	run->request = (struct block_request){
		.operation = BLOCK_WRITE,
		.sector = batch->slots[first] * SLOT_SECTORS,
		.sectors = run->count * SLOT_SECTORS,
		.segments = &run->segment,
		.segment_count = 1,
		.done = write_done,
	};
	return end;
}

static void write_out(struct swap_batch *batch)
{
	for (unsigned int page = 0; page < batch->count;)
		page = make_run(batch, page);
	batch->runs_left = batch->run_count + 1;
	for (unsigned int i = 0; i < batch->run_count; i++) {
		if (block_submit(swap.device, &batch->runs[i].request))
			run_ended(batch);
	}
	run_ended(batch);
}

/* Its pages stay where they are. The slots are left alone from now on. */
static void lose_run(struct swap_batch *batch, const struct swap_run *run)
{
	for (unsigned int i = run->first; i < run->first + run->count; i++)
		batch->slots[i] = SWAP_NONE;
	if (!batch->error)
		batch->error = run->request.error;
	swap.stats.bad += run->count;
	swap.stats.write_errors += run->count;
}

/* With the lock held. True: it is just now that the disk is given up. */
static bool settle(struct swap_batch *batch)
{
	unsigned int lost = 0;

	for (unsigned int i = 0; i < batch->run_count; i++) {
		const struct swap_run *run = &batch->runs[i];

		if (run->request.error) {
			lose_run(batch, run);
			lost++;
		} else {
			swap.stats.written += run->count;
		}
	}
	give_cipher(batch->cipher);
	swap.failed_batches = lost == batch->run_count ? swap.failed_batches + 1 : 0;
	if (swap.failed_batches < FAILURES_MOST || swap.stats.failing)
		return false;
	swap.stats.failing = true;
	return true;
}

static void finish(struct swap_batch *batch)
{
	bool given_up;

	spin_lock(&swap.lock);
	given_up = settle(batch);
	spin_unlock(&swap.lock);
	if (given_up)
		log_line("swap: %s fails again and again: nothing more is written to it",
			swap.device->name);
	batch->done(batch);
}

static void step(struct block_work *work)
{
	struct swap_batch *batch = container_of(work, struct swap_batch, work);

	if (batch->run_count) {
		finish(batch);
		return;
	}
	for (unsigned int i = 0; i < STEP_PAGES && batch->encrypted < batch->count; i++)
		encrypt(batch, batch->encrypted++);
	if (batch->encrypted < batch->count)
		block_defer(work);
	else
		write_out(batch);
}

/* With the lock held. */
static int begin(struct swap_batch *batch)
{
	if (!swap.device || swap.stats.failing)
		return -ENODEV;
	if (!swap.slots.free)
		return -ENOSPC;
	batch->cipher = take_cipher();
	if (!batch->cipher)
		return -EBUSY;
	take_slots(batch);
	return 0;
}

int swap_out(struct swap_batch *batch)
{
	int error;

	spin_lock(&swap.lock);
	error = begin(batch);
	spin_unlock(&swap.lock);
	if (error)
		return error;
	batch->error = 0;
	batch->encrypted = 0;
	batch->run_count = 0;
	batch->work = (struct block_work){ .run = step };
	block_defer(&batch->work);
	return 0;
}

/* --- In --- */

static void check_used(uint64_t slot)
{
	if (!swap_slots_used(&swap.slots, slot))
		panic("swap: slot %lu is not in use", slot);
}

static void read_done(struct block_request *request)
{
	struct swap_read *read = container_of(request, struct swap_read, request);

	read->done(read);
}

bool swap_in(struct swap_read *read)
{
	spin_lock(&swap.lock);
	for (unsigned int i = 0; i < read->count; i++)
		check_used(read->slot + i);
	spin_unlock(&swap.lock);
	for (unsigned int i = 0; i < read->count; i++)
		read->segments[i] =
			(struct block_segment){ host_phys(read->pages[i]), PAGE_SIZE };
	read->request = (struct block_request){
		.operation = BLOCK_READ,
		.sector = read->slot * SLOT_SECTORS,
		.sectors = read->count * SLOT_SECTORS,
		.segments = read->segments,
		.segment_count = read->count,
		.done = read_done,
	};
	return block_submit(swap.device, &read->request);
}

int swap_in_finish(uint64_t slot, int error, const void *read, void *page)
{
	unsigned int blocks = *swap_slots_blocks(&swap.slots, slot);
	unsigned int bytes = (blocks ? blocks : SLOT_BLOCKS) * CHACHA20_BLOCK_BYTES;
	bool good = false;

	if (!error) {
		apply_cipher(slot, read, page, bytes);
		memset((uint8_t *)page + bytes, 0, PAGE_SIZE - bytes);
		good = hash_page(page, swap.check_seed) == *swap_slots_check(&swap.slots, slot);
	}
	spin_lock(&swap.lock);
	swap.stats.read += good;
	swap.stats.read_errors += error != 0;
	swap.stats.damaged += !error && !good;
	spin_unlock(&swap.lock);
	if (!good && !error)
		log_line("swap: slot %lu of %s has not what was written there", slot,
			swap.device->name);
	return good ? (int)bytes : -EIO;
}

void swap_drop(uint64_t slot)
{
	spin_lock(&swap.lock);
	check_used(slot);
	if (*swap_slots_writes(&swap.slots, slot) == WRITES_MOST)
		swap.stats.bad++;
	else
		swap_slots_free(&swap.slots, slot);
	spin_unlock(&swap.lock);
}

void swap_get_stats(struct swap_stats *stats)
{
	spin_lock(&swap.lock);
	*stats = swap.stats;
	stats->device = swap.device ? swap.device->name : NULL;
	stats->slots = swap.slots.count;
	stats->used = swap.slots.count - swap.slots.free;
	spin_unlock(&swap.lock);
	if (stats->slots) {
		stats->slots--;
		stats->used--;
	}
}
