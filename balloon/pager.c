/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages on their way back from the swap device; see balloon/pager.h. */
#include "balloon/pager.h"

#include "balloon/store.h"
#include "ept/guest_reclaim.h"
#include "host/clock.h"
#include "host/lock.h"
#include "host/memory.h"
#include "lib/string.h"

/* A page that was wanted, and has come, is room for others when nobody fetched it for so long. */
#define LEAVE_NS NS_PER_SEC
/* Neighbours that come along: two when they were of no use, up to so many when they were. */
#define WINDOW_LEAST 2
#define WINDOW_MOST SWAP_READ_PAGES

struct incoming {
	uint64_t slot;                 /* [lock] SWAP_NONE: the record is free */
	struct guest_memory *memory;   /* [lock] whose page it is; good while not forgotten */
	void *page;                    /* [I] encrypted, as it comes */
	bool here;                     /* [lock] it has been read, or could not be */
	bool ahead;                    /* [lock] nobody has wanted it yet */
	bool forgotten;                /* [lock] while it was being read */
	int error;                     /* once here: of the read */
	uint64_t since_ns;             /* [lock] since when it is here, or was last wanted */
	/* Of the first of those that are read together: they are one request. */
	struct swap_read read;
	struct incoming *parts[SWAP_READ_PAGES];
};

static struct {
	struct spinlock lock;
	struct incoming *reads;        /* [I] PAGER_READS of them; NULL: there is no swapping */
	void (*came)(struct guest_memory *memory); /* [I] */
	struct pager_stats stats;      /* [lock] */
} pager;

bool pager_available(void)
{
	return pager.reads && swap_available();
}

/* ---- records; all with the lock held ---- */

/* NULL: there is none. Slot 0: a free one. */
static struct incoming *find(uint64_t slot)
{
	for (unsigned int i = 0; pager.reads && i < PAGER_READS; i++) {
		if (pager.reads[i].slot == slot)
			return &pager.reads[i];
	}
	return NULL;
}

static void release(struct incoming *incoming)
{
	incoming->slot = SWAP_NONE;
	incoming->here = incoming->ahead = incoming->forgotten = false;
}

/* Others may have its place. */
static bool is_idle(const struct incoming *incoming, uint64_t now_ns)
{
	return incoming->here && (incoming->ahead || now_ns - incoming->since_ns >= LEAVE_NS);
}

/* How much this memory has of what others cannot have, and how much is left. */
static void count_records(const struct guest_memory *memory, uint64_t now_ns, unsigned int *mine,
	unsigned int *room)
{
	*mine = *room = 0;
	for (unsigned int i = 0; i < PAGER_READS; i++) {
		const struct incoming *incoming = &pager.reads[i];

		if (incoming->slot == SWAP_NONE || is_idle(incoming, now_ns))
			++*room;
		else
			*mine += incoming->memory == memory;
	}
}

/* Neighbours were of use, or not: more or fewer of them the next time. */
static void judge_ahead(struct guest_memory *memory, bool useful)
{
	unsigned int pages = MAX(memory->read_ahead, WINDOW_LEAST);

	pages = useful ? MIN(2 * pages, WINDOW_MOST) : MAX(pages / 2, WINDOW_LEAST);
	memory->read_ahead = (uint8_t)pages;
}

/* Somebody wants it. */
static void want(struct incoming *incoming)
{
	if (incoming->ahead) {
		pager.stats.hits++;
		judge_ahead(incoming->memory, true);
	}
	incoming->ahead = false;
	incoming->since_ns = clock_now_ns();
}

/* A free record, or the one that has been of no use for the longest time; NULL: all are in use. */
static struct incoming *take_record(uint64_t now_ns)
{
	struct incoming *oldest = find(SWAP_NONE);

	if (oldest)
		return oldest;
	for (unsigned int i = 0; i < PAGER_READS; i++) {
		struct incoming *incoming = &pager.reads[i];

		if (is_idle(incoming, now_ns) &&
			(!oldest || incoming->since_ns < oldest->since_ns))
			oldest = incoming;
	}
	if (oldest && oldest->ahead)
		judge_ahead(oldest->memory, false);
	if (oldest)
		release(oldest);
	return oldest;
}

/* ---- what comes together ---- */

/* A page that is wanted, and its neighbours in the tables and on the disk. */
struct plan {
	struct guest_memory *memory;
	gpa_t gpa;
	uint64_t slot;
	unsigned int before, after;
};

static bool is_neighbour(const struct plan *plan, int64_t by)
{
	uint64_t slot = plan->slot + (uint64_t)by;

	return guest_memory_handle(plan->memory, plan->gpa + (uint64_t)by * PAGE_SIZE,
		PAGE_SWAPPED) == slot && !find(slot);
}

/* At most so many beside the page itself, and none beyond an aligned window around it. */
static void plan_neighbours(struct plan *plan, unsigned int most)
{
	unsigned int window = plan->memory->read_ahead ? plan->memory->read_ahead : WINDOW_MOST;
	unsigned int at = (plan->gpa >> PAGE_SHIFT) & (window - 1);

	while (at + plan->after + 1 < window && plan->after < most &&
		is_neighbour(plan, plan->after + 1))
		plan->after++;
	while (plan->before < at && plan->before + plan->after < most &&
		is_neighbour(plan, -(int64_t)plan->before - 1))
		plan->before++;
}

/* Records for all of the plan, of which there are enough, and the request. The first of them. */
static struct incoming *make_request(const struct plan *plan, uint64_t now_ns)
{
	struct incoming *parts[SWAP_READ_PAGES], *first;
	unsigned int count = plan->before + 1 + plan->after;

	for (unsigned int i = 0; i < count; i++) {
		parts[i] = take_record(now_ns);
		parts[i]->slot = plan->slot - plan->before + i;
		parts[i]->memory = plan->memory;
		parts[i]->ahead = i != plan->before;
		parts[i]->since_ns = now_ns;
	}
	first = parts[0];
	first->read.slot = first->slot;
	first->read.count = count;
	for (unsigned int i = 0; i < count; i++) {
		first->parts[i] = parts[i];
		first->read.pages[i] = parts[i]->page;
	}
	pager.stats.requests++;
	pager.stats.ahead += count - 1;
	return first;
}

/* Under memory.lock too. NULL: there is no room for it now. */
static struct incoming *begin(struct guest_memory *memory, gpa_t gpa, uint64_t slot)
{
	struct plan plan = { .memory = memory, .gpa = gpa, .slot = slot };
	uint64_t now_ns = clock_now_ns();
	unsigned int mine, room;

	count_records(memory, now_ns, &mine, &room);
	if (mine >= 2 * room)
		return NULL;
	if (mine + 1 < room)
		plan_neighbours(&plan, (room - mine - 1) / 2);
	return make_request(&plan, now_ns);
}

/* ---- what has come ---- */

struct ended {
	unsigned int drops, retries;
	uint64_t slots[SWAP_READ_PAGES];
	struct incoming *again[SWAP_READ_PAGES];
};

/*
 * With the lock held. When a request of several fails that says nothing of this page: what is
 * wanted is read again, alone.
 */
static void part_ended(struct incoming *part, bool alone, int error, struct ended *ended)
{
	if (part->forgotten) {
		ended->slots[ended->drops++] = part->slot;
		release(part);
	} else if (error && !alone && part->ahead) {
		release(part);
	} else if (error && !alone) {
		ended->again[ended->retries++] = part;
	} else {
		part->here = true;
		part->error = error;
		part->since_ns = clock_now_ns();
	}
}

static void read_done(struct swap_read *read)
{
	struct incoming *first = container_of(read, struct incoming, read);
	struct guest_memory *memory = first->memory;
	unsigned int count = read->count;
	struct ended ended = { 0 };

	spin_lock(&pager.lock);
	for (unsigned int i = 0; i < count; i++)
		part_ended(first->parts[i], count == 1, read->request.error, &ended);
	/* Those that were not forgotten keep the memory. */
	if (ended.drops < count)
		pager.came(memory);
	for (unsigned int i = 0; i < ended.retries; i++) {
		struct incoming *part = ended.again[i];

		part->read.slot = part->slot;
		part->read.count = 1;
		part->read.pages[0] = part->page;
		part->parts[0] = part;
	}
	spin_unlock(&pager.lock);
	for (unsigned int i = 0; i < ended.drops; i++)
		swap_drop(ended.slots[i]);
	for (unsigned int i = 0; i < ended.retries; i++) {
		if (swap_in(&ended.again[i]->read))
			read_done(&ended.again[i]->read);
	}
}

/* ---- what guests ask for ---- */

/* It went out compressed. Where it was encrypted there is room for that. */
static int unpack(void *room, unsigned int bytes, void *page)
{
	int error;

	memcpy(room, page, bytes);
	error = store_unpack(room, page);
	/* It is nobody's page. */
	memset(room, 0, bytes);
	return error;
}

static int take_page(struct incoming *incoming, void *page)
{
	/* It is wanted, so nobody else has the record, and memory.lock is held. */
	int bytes = swap_in_finish(incoming->slot, incoming->error, incoming->page, page);
	int error = MIN(bytes, 0);

	if (!error && bytes < (int)PAGE_SIZE)
		error = unpack(incoming->page, (unsigned int)bytes, page);
	spin_lock(&pager.lock);
	release(incoming);
	spin_unlock(&pager.lock);
	return error;
}

static bool is_here(uint64_t slot)
{
	const struct incoming *incoming;
	bool here;

	spin_lock(&pager.lock);
	incoming = find(slot);
	here = incoming && incoming->here;
	spin_unlock(&pager.lock);
	return here;
}

int pager_fetch(struct guest_memory *memory, gpa_t gpa, uint64_t slot, void *page)
{
	struct incoming *incoming, *first = NULL;
	bool here;

	spin_lock(&pager.lock);
	incoming = find(slot);
	if (incoming)
		want(incoming);
	else
		first = begin(memory, gpa, slot);
	here = incoming && incoming->here;
	spin_unlock(&pager.lock);
	if (first && swap_in(&first->read)) {
		read_done(&first->read);
		if (!page && is_here(slot))
			return 0;
	}
	if (!here)
		return -EAGAIN;
	return page ? take_page(incoming, page) : 0;
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

void pager_get_stats(struct pager_stats *stats)
{
	spin_lock(&pager.lock);
	*stats = pager.stats;
	spin_unlock(&pager.lock);
}

/* ---- the start ---- */

static void free_reads(struct incoming *reads)
{
	for (unsigned int i = 0; reads && i < PAGER_READS && reads[i].page; i++)
		frame_free(host_phys(reads[i].page), FRAME_ORDER_4K);
	heap_free(reads);
}

int pager_init(void (*came)(struct guest_memory *memory))
{
	struct incoming *reads = heap_alloc(PAGER_READS * sizeof(*reads), FRAME_HOST);
	unsigned int i;

	for (i = 0; reads && i < PAGER_READS; i++) {
		hpa_t frame = frame_alloc(FRAME_ORDER_4K, FRAME_HOST);

		if (frame == HPA_NONE)
			break;
		reads[i].page = host_ptr(frame);
		reads[i].read.done = read_done;
	}
	if (i < PAGER_READS || pager_init_out()) {
		free_reads(reads);
		return -ENOMEM;
	}
	pager.came = came;
	pager.reads = reads;
	return 0;
}

#ifdef BALLAST_UNIT_TEST
void pager_test_close(void)
{
	free_reads(pager.reads);
	pager.reads = NULL;
	pager.stats = (struct pager_stats){ 0 };
	pager_test_close_out();
}
#endif
