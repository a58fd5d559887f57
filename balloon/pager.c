/* SPDX-License-Identifier: BSD-2-Clause */
#include "balloon/pager.h"

#include "ept/guest_reclaim.h"
#include "host/clock.h"
#include "host/lock.h"
#include "host/memory.h"
#include "lib/string.h"

/* A page that has come is left to its guest for so long. */
#define LEAVE_NS (20 * NS_PER_MS)
#define WRITES 4

struct incoming {
	struct swap_read read;         /* its slot; 0: the record is free [lock] */
	struct guest_memory *memory;   /* whose page it is; good while the slot is not forgotten */
	gpa_t gpa;
	bool here;                     /* [lock] it has been read, or could not be */
	bool forgotten;                /* [lock] while it was being read */
	bool news;                     /* [lock] nobody was told yet */
	uint64_t here_ns;              /* [lock] since when */
};

struct outgoing {
	struct swap_batch batch;
	struct guest_memory *memory;   /* NULL: the memory has gone */
	unsigned int *left;            /* NULL: the record is free, or the memory has gone */
	bool used;
	gpa_t gpas[SWAP_BATCH_PAGES];
};

static struct {
	struct spinlock lock;
	struct incoming *reads;        /* [I] PAGER_READS of them; NULL: there is no swapping */
	struct outgoing *writes;       /* boot CPU; WRITES of them */
	void (*came)(void);            /* [I] */
	uint32_t here;                 /* [a] records of pages that are here */
} pager;

bool pager_available(void)
{
	return pager.reads && swap_available();
}

/* ---- in ---- */

/* With the lock held; slot 0: a free one. NULL: there is none. */
static struct incoming *find(uint64_t slot)
{
	for (unsigned int i = 0; pager.reads && i < PAGER_READS; i++) {
		if (pager.reads[i].read.slot == slot)
			return &pager.reads[i];
	}
	return NULL;
}

/* With the lock held. */
static void release(struct incoming *incoming)
{
	if (incoming->here)
		__atomic_fetch_sub(&pager.here, 1, __ATOMIC_RELAXED);
	incoming->read.slot = SWAP_NONE;
	incoming->here = incoming->forgotten = incoming->news = false;
}

static void has_come(struct incoming *incoming)
{
	uint64_t slot = incoming->read.slot;
	bool forgotten;

	spin_lock(&pager.lock);
	forgotten = incoming->forgotten;
	incoming->here = incoming->news = true;
	incoming->here_ns = clock_now_ns();
	__atomic_fetch_add(&pager.here, 1, __ATOMIC_RELAXED);
	if (forgotten)
		release(incoming);
	spin_unlock(&pager.lock);
	if (forgotten)
		swap_drop(slot);
}

static void read_done(struct swap_read *read)
{
	has_come(container_of(read, struct incoming, read));
	pager.came();
}

static struct incoming *begin(struct guest_memory *memory, gpa_t gpa, uint64_t slot)
{
	struct incoming *incoming;

	spin_lock(&pager.lock);
	incoming = find(SWAP_NONE);
	if (incoming) {
		incoming->read.slot = slot;
		incoming->memory = memory;
		incoming->gpa = gpa;
	}
	spin_unlock(&pager.lock);
	return incoming;
}

int pager_fetch(struct guest_memory *memory, gpa_t gpa, uint64_t slot, void *page)
{
	struct incoming *incoming;
	bool here;
	int error;

	spin_lock(&pager.lock);
	incoming = find(slot);
	here = incoming && incoming->here;
	spin_unlock(&pager.lock);
	if (!incoming) {
		incoming = begin(memory, gpa, slot);
		if (!incoming || !swap_in(&incoming->read))
			return -EAGAIN;
		has_come(incoming);
		here = true;
	}
	if (!here)
		return -EAGAIN;
	/* What is here is its memory's, whose lock is held. */
	error = swap_in_finish(&incoming->read);
	if (!error)
		memcpy(page, incoming->read.page, PAGE_SIZE);
	/* The guest's own page is the only one. */
	page_zero(incoming->read.page, PAGE_SIZE);
	spin_lock(&pager.lock);
	release(incoming);
	spin_unlock(&pager.lock);
	return error;
}

void pager_forget(uint64_t slot)
{
	struct incoming *incoming;
	bool reading;

	spin_lock(&pager.lock);
	incoming = find(slot);
	reading = incoming && !incoming->here;
	if (reading)
		incoming->forgotten = true;
	else if (incoming)
		release(incoming);
	spin_unlock(&pager.lock);
	/* The disk may still be writing what it read: the slot's page goes when it is done. */
	if (!reading)
		swap_drop(slot);
}

bool pager_came(const struct guest_memory *memory)
{
	bool any = false;

	if (!__atomic_load_n(&pager.here, __ATOMIC_RELAXED))
		return false;
	spin_lock(&pager.lock);
	for (unsigned int i = 0; i < PAGER_READS; i++) {
		struct incoming *incoming = &pager.reads[i];

		if (!incoming->here || incoming->memory != memory)
			continue;
		any |= incoming->news;
		incoming->news = false;
	}
	spin_unlock(&pager.lock);
	return any;
}

uint64_t pager_poll(uint64_t now_ns)
{
	if (!__atomic_load_n(&pager.here, __ATOMIC_RELAXED))
		return 0;
	for (unsigned int i = 0; i < PAGER_READS; i++) {
		struct incoming *incoming = &pager.reads[i];
		struct guest_memory *memory;
		gpa_t gpa;
		bool old;

		spin_lock(&pager.lock);
		old = incoming->here && now_ns - incoming->here_ns >= LEAVE_NS;
		memory = incoming->memory;
		gpa = incoming->gpa;
		spin_unlock(&pager.lock);
		/* Only this CPU ends memories. */
		if (old)
			guest_memory_ptr(memory, gpa, S2_READ, NULL);
	}
	return now_ns + LEAVE_NS;
}

/* ---- out ---- */

static struct page_fate is_written(const void *page, hpa_t frame, void *arg)
{
	(void)page, (void)frame;
	return (struct page_fate){
		.fate = FATE_KEPT, .keep = PAGE_SWAPPED, .handle = *(const uint64_t *)arg };
}

static struct page_fate find_page(const void *page, hpa_t frame, void *arg)
{
	(void)frame;
	*(const void **)arg = page;
	return (struct page_fate){ .fate = FATE_STAY };
}

static void all_back(struct guest_memory *memory, const gpa_t *gpas, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		guest_memory_put_back(memory, gpas[i]);
}

/* One that was rescued, or whose memory has gone, leaves its slot behind. */
static void settle_page(struct outgoing *outgoing, unsigned int i)
{
	uint64_t slot = outgoing->batch.slots[i];

	if (slot == SWAP_NONE) {
		if (outgoing->memory)
			all_back(outgoing->memory, &outgoing->gpas[i], 1);
		return;
	}
	if (!outgoing->memory ||
		!guest_memory_decide(outgoing->memory, outgoing->gpas[i], is_written, &slot))
		swap_drop(slot);
}

static void write_done(struct swap_batch *batch)
{
	struct outgoing *outgoing = container_of(batch, struct outgoing, batch);

	for (unsigned int i = 0; i < batch->count; i++)
		settle_page(outgoing, i);
	if (outgoing->memory)
		--*outgoing->left;
	outgoing->memory = NULL;
	outgoing->used = false;
}

static struct outgoing *free_outgoing(void)
{
	for (unsigned int i = 0; pager.writes && i < WRITES; i++) {
		if (!pager.writes[i].used)
			return &pager.writes[i];
	}
	return NULL;
}

int pager_out(struct guest_memory *memory, const gpa_t *gpas, unsigned int count,
	unsigned int *left)
{
	struct outgoing *outgoing = free_outgoing();
	struct swap_batch *batch;
	int error;

	if (!outgoing)
		return -EBUSY;
	batch = &outgoing->batch;
	batch->count = 0;
	for (unsigned int i = 0; i < count; i++) {
		if (!guest_memory_decide(
			    memory, gpas[i], find_page, &batch->pages[batch->count]))
			continue;
		outgoing->gpas[batch->count++] = gpas[i];
	}
	count = batch->count;
	if (!count)
		return 0;
	batch->done = write_done;
	error = swap_out(batch);
	if (error && error != -EBUSY)
		all_back(memory, outgoing->gpas, count);
	if (error)
		return error;
	all_back(memory, outgoing->gpas + batch->count, count - batch->count);
	outgoing->used = true;
	outgoing->memory = memory;
	outgoing->left = left;
	++*left;
	return 0;
}

void pager_cancel(const struct guest_memory *memory)
{
	for (unsigned int i = 0; pager.writes && i < WRITES; i++) {
		if (pager.writes[i].used && pager.writes[i].memory == memory)
			pager.writes[i].memory = NULL;
	}
}

/* ---- the start ---- */

int pager_init(void (*came)(void))
{
	struct outgoing *writes = heap_alloc(WRITES * sizeof(*writes), FRAME_HOST);
	struct incoming *reads = heap_alloc(PAGER_READS * sizeof(*reads), FRAME_HOST);
	hpa_t frame = HPA_NONE;

	for (unsigned int i = 0; writes && reads && i < PAGER_READS; i++) {
		frame = frame_alloc(FRAME_ORDER_4K, FRAME_HOST);
		if (frame == HPA_NONE)
			break;
		reads[i].read.page = host_ptr(frame);
		reads[i].read.done = read_done;
	}
	if (frame == HPA_NONE) {
		for (unsigned int i = 0; reads && i < PAGER_READS && reads[i].read.page; i++)
			frame_free(host_phys(reads[i].read.page), FRAME_ORDER_4K);
		heap_free(reads);
		heap_free(writes);
		return -ENOMEM;
	}
	pager.came = came;
	pager.writes = writes;
	pager.reads = reads;
	return 0;
}
