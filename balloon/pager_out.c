/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages on their way to the swap device; see balloon/pager.h. Boot CPU. */
#include "balloon/pager.h"

#include "balloon/store.h"
#include "ept/guest_reclaim.h"
#include "host/memory.h"

#define WRITES 4

struct outgoing {
	struct swap_batch batch;
	struct guest_memory *memory;   /* NULL: the memory has gone */
	unsigned int *left;            /* good while the memory is */
	bool used;
	bool compressed;               /* they are in the store, under these handles */
	gpa_t gpas[SWAP_BATCH_PAGES];
	uint64_t handles[SWAP_BATCH_PAGES];
};

static struct outgoing *writes; /* WRITES of them; NULL: there is no swapping */

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

/* False: it was touched or given up meanwhile, or its memory has gone. */
static bool is_moved(struct outgoing *outgoing, unsigned int i, uint64_t slot)
{
	struct guest_memory *memory = outgoing->memory;

	if (!memory)
		return false;
	if (!outgoing->compressed)
		return guest_memory_decide(memory, outgoing->gpas[i], is_written, &slot);
	return outgoing->handles[i] && guest_memory_move_kept(memory, outgoing->gpas[i],
		PAGE_COMPRESSED, outgoing->handles[i], PAGE_SWAPPED, slot);
}

static void settle_page(struct outgoing *outgoing, unsigned int i)
{
	uint64_t slot = outgoing->batch.slots[i];

	if (slot != SWAP_NONE) {
		if (!is_moved(outgoing, i, slot))
			swap_drop(slot);
	} else if (outgoing->memory && !outgoing->compressed) {
		guest_memory_put_back(outgoing->memory, outgoing->gpas[i]);
	}
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
	for (unsigned int i = 0; writes && i < WRITES; i++) {
		if (!writes[i].used)
			return &writes[i];
	}
	return NULL;
}

/* What lies in the batch begins to be written; `count` is then what found a slot. */
static int begin(struct outgoing *outgoing, struct guest_memory *memory, unsigned int *left)
{
	int error;

	outgoing->batch.done = write_done;
	error = swap_out(&outgoing->batch);
	if (error)
		return error;
	outgoing->used = true;
	outgoing->memory = memory;
	outgoing->left = left;
	++*left;
	return 0;
}

int pager_out(struct guest_memory *memory, const gpa_t *gpas, unsigned int count,
	unsigned int *left)
{
	struct outgoing *outgoing = free_outgoing();
	struct swap_batch *batch;
	int error;

	if (!outgoing)
		return -EBUSY;
	outgoing->compressed = false;
	batch = &outgoing->batch;
	batch->count = 0;
	for (unsigned int i = 0; i < count; i++) {
		if (guest_memory_decide(
			    memory, gpas[i], find_page, &batch->pages[batch->count]))
			outgoing->gpas[batch->count++] = gpas[i];
	}
	count = batch->count;
	if (!count)
		return 0;
	error = begin(outgoing, memory, left);
	if (error && error != -EBUSY)
		all_back(memory, outgoing->gpas, count);
	if (error)
		return error;
	all_back(memory, outgoing->gpas + batch->count, count - batch->count);
	return 0;
}

/* ---- compressed ones ---- */

struct loading {
	struct guest_memory *memory;
	uint64_t handle; /* the page's, when it was chosen */
	void *page;
	unsigned int bytes;
};

static bool get_handle(uint64_t handle, void *arg)
{
	*(uint64_t *)arg = handle;
	return true;
}

static bool get_page(uint64_t handle, void *arg)
{
	struct loading *loading = arg;

	/* A damaged one is its guest's to find. */
	if (handle == loading->handle)
		loading->bytes = store_pack(handle, loading->page);
	return loading->bytes;
}

static unsigned int load(struct swap_batch *batch, unsigned int i, void *page)
{
	struct outgoing *outgoing = container_of(batch, struct outgoing, batch);
	struct loading loading = { outgoing->memory, outgoing->handles[i], page, 0 };

	if (loading.memory && guest_memory_look_kept(loading.memory, outgoing->gpas[i],
		    PAGE_COMPRESSED, get_page, &loading))
		return loading.bytes;
	outgoing->handles[i] = 0;
	return 0;
}

int pager_out_compressed(struct guest_memory *memory, const gpa_t *gpas, unsigned int count,
	unsigned int *left)
{
	struct outgoing *outgoing = free_outgoing();
	struct swap_batch *batch;

	if (!outgoing)
		return -EBUSY;
	outgoing->compressed = true;
	batch = &outgoing->batch;
	batch->count = 0;
	batch->load = load;
	for (unsigned int i = 0; i < count; i++) {
		if (!guest_memory_look_kept(memory, gpas[i], PAGE_COMPRESSED, get_handle,
			    &outgoing->handles[batch->count]))
			continue;
		batch->pages[batch->count] = NULL;
		outgoing->gpas[batch->count++] = gpas[i];
	}
	return batch->count ? begin(outgoing, memory, left) : 0;
}

void pager_cancel(const struct guest_memory *memory)
{
	for (unsigned int i = 0; writes && i < WRITES; i++) {
		if (writes[i].used && writes[i].memory == memory)
			writes[i].memory = NULL;
	}
}

int pager_init_out(void)
{
	writes = heap_alloc(WRITES * sizeof(*writes), FRAME_HOST);
	return writes ? 0 : -ENOMEM;
}

#ifdef BALLAST_UNIT_TEST
void pager_test_close_out(void)
{
	heap_free(writes);
	writes = NULL;
}
#endif
