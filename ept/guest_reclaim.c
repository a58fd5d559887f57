/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages leave a guest, and what becomes of them; see ept/guest_reclaim.h. */
#include "ept/guest_reclaim.h"

#include "ept/guest_pages.h"
#include "host/grace.h"
#include "host/log.h"

int guest_memory_take(struct guest_memory *memory, gpa_t gpa)
{
	const struct memory_slot *slot = guest_memory_slot(memory, gpa);
	gpa_t page = ROUND_DOWN(gpa, PAGE_SIZE);
	struct s2_mapping mapping;
	int error = 0;

	if (!slot)
		return -ENOENT;
	if (slot->read_only)
		return -EBUSY;
	spin_lock(&memory->lock);
	if (!s2_lookup(&memory->s2, page, &mapping))
		error = -ENOENT;
	else if (page_is_borrowed(slot, &mapping) || page_is_pinned(memory, page))
		error = -EBUSY;
	else if (mapping.order)
		error = s2_split(&memory->s2, page);
	if (!error)
		error = s2_set_number(&memory->s2, page,
			page_number(NUMBER_LEAVING, mapping.hpa >> PAGE_SHIFT));
	if (!error)
		memory->leaving_pages++;
	spin_unlock(&memory->lock);
	return error;
}

bool guest_memory_seal(struct guest_memory *memory)
{
	struct guest_limbo *limbo = &memory->limbo;
	uint64_t *filling;

	if (limbo->state != LIMBO_IDLE)
		return false;
	spin_lock(&memory->lock);
	filling = limbo->filling;
	limbo->filling = limbo->waiting;
	limbo->waiting = filling;
	limbo->waiting_count = limbo->filling_count;
	limbo->filling_count = 0;
	spin_unlock(&memory->lock);
	guest_memory_flush(memory);
	limbo->ticket = grace_begin();
	limbo->state = LIMBO_CPUS;
	return true;
}

/*
 * First the CPUs: a handler that was running may have begun I/O with what it had found. From then
 * on nothing new begins with it, so it is enough to wait for all I/O of the phase that ends here.
 */
bool guest_memory_settle(struct guest_memory *memory)
{
	struct guest_limbo *limbo = &memory->limbo;

	if (limbo->state == LIMBO_CPUS && grace_is_over(limbo->ticket)) {
		__atomic_store_n(&limbo->phase, !limbo->phase, __ATOMIC_SEQ_CST);
		limbo->state = LIMBO_IO;
	}
	if (limbo->state == LIMBO_IO &&
		__atomic_load_n(&limbo->holds[!limbo->phase], __ATOMIC_ACQUIRE) == 0) {
		for (unsigned int i = 0; i < limbo->waiting_count; i++)
			limbo_free(limbo->waiting[i]);
		limbo->waiting_count = 0;
		limbo->state = LIMBO_IDLE;
	}
	return limbo->state == LIMBO_IDLE;
}

/* The page's own frame is given up for what its fate says. Under the lock. */
static int let_go(
	struct guest_memory *memory, gpa_t page, hpa_t frame, const struct page_fate *fate)
{
	int error;

	switch (fate->fate) {
	case FATE_ZERO:
		error = s2_set_page(&memory->s2, page, page_zero_frame(), S2_READ | S2_EXEC);
		memory->zero_pages += !error;
		break;
	case FATE_SHARED:
		error = s2_set_page(&memory->s2, page, fate->shared, S2_READ | S2_EXEC);
		memory->shared_pages += !error;
		break;
	default:
		error = s2_set_number(&memory->s2, page, page_number(fate->keep, fate->handle));
		memory->kept_pages[fate->keep] += !error;
		break;
	}
	/* The table is there, since the page was leaving. */
	if (error)
		return error;
	memory->resident_pages--;
	memory->leaving_pages--;
	if (fate->fate != FATE_SHARED || fate->shared != frame)
		frame_free(frame, FRAME_ORDER_4K);
	return 0;
}

bool guest_memory_decide(struct guest_memory *memory, gpa_t gpa,
	struct page_fate (*decide)(const void *page, hpa_t frame, void *arg), void *arg)
{
	const struct memory_slot *slot = guest_memory_slot(memory, gpa);
	gpa_t page = ROUND_DOWN(gpa, PAGE_SIZE);
	struct page_fate fate;
	uint64_t number;
	hpa_t frame;
	bool leaving;

	if (!slot)
		return false;
	spin_lock(&memory->lock);
	number = s2_number(&memory->s2, page);
	leaving = number_kind(number) == NUMBER_LEAVING;
	if (leaving) {
		frame = number_payload(number) << PAGE_SHIFT;
		fate = decide(host_ptr(frame), frame, arg);
		if (fate.fate != FATE_STAY &&
			(fate.fate == FATE_BACK || let_go(memory, page, frame, &fate))) {
			page_rescue(memory, slot, page, number);
			memory->rescues--;
		}
	}
	spin_unlock(&memory->lock);
	return leaving;
}

uint64_t guest_memory_handle(const struct guest_memory *memory, gpa_t gpa, enum page_keep keep)
{
	uint64_t number = gpa < GUEST_PHYSICAL_LIMIT ? s2_number(&memory->s2, gpa) : 0;

	return number_kind(number) == keep ? number_payload(number) : 0;
}

bool guest_memory_move_kept(struct guest_memory *memory, gpa_t gpa, enum page_keep from,
	uint64_t old, enum page_keep to, uint64_t handle)
{
	bool same;

	spin_lock(&memory->lock);
	same = guest_memory_handle(memory, gpa, from) == old;
	/* The table is there. */
	same = same && !s2_set_number(&memory->s2, gpa, page_number(to, handle));
	if (same) {
		memory->kept_pages[from]--;
		memory->kept_pages[to]++;
		memory->keeper->forget(from, old);
	}
	spin_unlock(&memory->lock);
	return same;
}

bool guest_memory_look_kept(struct guest_memory *memory, gpa_t gpa, enum page_keep keep,
	bool (*look)(uint64_t handle, void *arg), void *arg)
{
	uint64_t handle;
	bool answer;

	spin_lock(&memory->lock);
	handle = guest_memory_handle(memory, gpa, keep);
	answer = handle && look(handle, arg);
	spin_unlock(&memory->lock);
	return answer;
}

bool guest_memory_shift_kept(struct guest_memory *memory, gpa_t gpa, enum page_keep keep,
	bool (*move)(uint64_t *handle))
{
	uint64_t handle;
	bool moved;

	spin_lock(&memory->lock);
	handle = guest_memory_handle(memory, gpa, keep);
	moved = handle && move(&handle);
	/* The table is there, so that it cannot fail. */
	if (moved && s2_set_number(&memory->s2, gpa, page_number(keep, handle)))
		moved = false;
	spin_unlock(&memory->lock);
	return moved;
}

static struct page_fate back(const void *page, hpa_t frame, void *arg)
{
	(void)page, (void)frame, (void)arg;
	return (struct page_fate){ .fate = FATE_BACK };
}

void guest_memory_put_back(struct guest_memory *memory, gpa_t gpa)
{
	guest_memory_decide(memory, gpa, back, NULL);
}

int guest_memory_merge(struct guest_memory *memory, gpa_t gpa)
{
	struct guest_limbo *limbo = &memory->limbo;
	gpa_t start = ROUND_DOWN(gpa, PAGE_SIZE << FRAME_ORDER_2M);
	struct s2_mapping mapping;
	int error = -ENOENT;
	hpa_t table;

	spin_lock(&memory->lock);
	if (limbo->filling_count == LIMBO_ENTRIES)
		error = -EAGAIN;
	else if (s2_lookup(&memory->s2, gpa, &mapping) && mapping.order == FRAME_ORDER_4K)
		error = s2_merge(&memory->s2, gpa, S2_ALL, &table);
	if (!error) {
		if (!s2_lookup(&memory->s2, start, &mapping) || !frame_join(mapping.hpa))
			panic("the pieces of a guest's 2 MiB are not one owner's");
		limbo_add(limbo, table, FRAME_ORDER_4K);
	}
	spin_unlock(&memory->lock);
	return error;
}

enum page_state guest_memory_state(const struct guest_memory *memory, gpa_t gpa,
	struct s2_mapping *mapping)
{
	const struct memory_slot *slot = guest_memory_slot(memory, gpa);
	struct s2_mapping here;

	if (!slot)
		return PAGE_STATE_NONE;
	if (!mapping)
		mapping = &here;
	if (s2_lookup(&memory->s2, gpa, mapping)) {
		if (!page_is_borrowed(slot, mapping))
			return PAGE_STATE_PRIVATE;
		return page_is_zero_frame(mapping->hpa & ~(hpa_t)PAGE_MASK) ? PAGE_STATE_ZERO :
			PAGE_STATE_SHARED;
	}
	switch (number_kind(s2_number(&memory->s2, gpa))) {
	case NUMBER_LEAVING:
		return PAGE_STATE_LEAVING;
	case PAGE_COMPRESSED:
		return PAGE_STATE_COMPRESSED;
	case PAGE_SWAPPED:
		return PAGE_STATE_SWAPPED;
	default:
		return PAGE_STATE_UNTOUCHED;
	}
}

/* ---- given up by the guest ---- */

/* A page that is mapped, or its whole 2 MiB where the range has them. As discard_at(). */
static uint64_t discard_mapped(struct guest_memory *memory, gpa_t page, uint64_t left,
	const struct s2_mapping *mapping)
{
	bool zero = page_is_zero_frame(mapping->hpa);
	bool shared = !zero && page_is_borrowed(guest_memory_slot(memory, page), mapping);
	unsigned int order = mapping->order;
	struct s2_mapping old;

	if (order && ((page & ((PAGE_SIZE << order) - 1)) || left < PAGE_SIZE << order)) {
		if (s2_split(&memory->s2, page))
			return 0;
		order = FRAME_ORDER_4K;
	}
	if (!zero && !limbo_add(&memory->limbo, mapping->hpa, shared ? LIMBO_DROP : order))
		return 0;
	/* It is there. */
	if (s2_unmap(&memory->s2, page, &old))
		return 0;
	memory->zero_pages -= zero;
	memory->shared_pages -= shared;
	memory->resident_pages -= zero || shared ? 0 : BIT(order);
	return PAGE_SIZE << order;
}

/* The bytes that are done with; 0: there is no room in limbo, or no table to split with. */
static uint64_t discard_at(struct guest_memory *memory, gpa_t page, uint64_t left)
{
	struct s2_mapping mapping;
	uint64_t number;

	if (s2_lookup(&memory->s2, page, &mapping))
		return discard_mapped(memory, page, left, &mapping);
	number = s2_number(&memory->s2, page);
	if (!number)
		return PAGE_SIZE;
	if (number_kind(number) == NUMBER_LEAVING) {
		if (!limbo_add(&memory->limbo, number_payload(number) << PAGE_SHIFT, 0))
			return 0;
		memory->leaving_pages--;
		memory->resident_pages--;
	} else {
		memory->keeper->forget(number_kind(number), number_payload(number));
		memory->kept_pages[number_kind(number)]--;
	}
	/* The table is there. */
	return s2_set_number(&memory->s2, page, 0) ? 0 : PAGE_SIZE;
}

uint64_t guest_memory_discard(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	const struct memory_slot *slot = guest_memory_slot(memory, gpa);
	gpa_t start = ROUND_UP(gpa, PAGE_SIZE), at = start, end;
	uint64_t step = 1;

	if (!slot || slot->read_only)
		return 0;
	end = gpa + MIN(bytes, slot->start + slot->bytes - gpa);
	spin_lock(&memory->lock);
	for (unsigned int i = 0; i < LIMBO_ENTRIES && step && at + PAGE_SIZE <= end; i++) {
		step = discard_at(memory, at, end - at);
		at += step;
	}
	spin_unlock(&memory->lock);
	if (memory->keeper)
		memory->keeper->needed(memory);
	/* What is left is no whole page. */
	return at + PAGE_SIZE > end ? end - gpa : at - start;
}

/* ---- the check ---- */

struct check {
	struct guest_memory *memory;
	uint64_t private, leaving, zero, shared, kept[PAGE_SWAPPED + 1];
	const char *wrong;
};

static void check_owned(struct check *check, gpa_t gpa, hpa_t frame)
{
	struct frame_facts facts;

	frame_describe(frame, &facts);
	if (facts.use != FRAME_GUEST)
		check->wrong = "a private page's frame is not a guest's";
	else if (facts.owner != check->memory->number || facts.gfn != gpa >> PAGE_SHIFT)
		check->wrong = "a private page's frame has another owner";
}

static void check_leaf(gpa_t gpa, const struct s2_mapping *mapping, void *arg)
{
	struct check *check = arg;
	struct frame_facts facts;

	if (page_is_zero_frame(mapping->hpa)) {
		check->zero++;
		if (mapping->access & S2_WRITE)
			check->wrong = "the frame of zeroes can be written";
	} else if (page_is_borrowed(guest_memory_slot(check->memory, gpa), mapping)) {
		check->shared++;
		frame_describe(mapping->hpa, &facts);
		if (facts.use != FRAME_SHARED || !facts.holders || mapping->order)
			check->wrong = "a read-only page's frame is not shared";
	} else {
		check->private += BIT(mapping->order);
		for (uint64_t i = 0; i < BIT(mapping->order); i++)
			check_owned(check, gpa + i * PAGE_SIZE, mapping->hpa + i * PAGE_SIZE);
	}
}

static void check_number(gpa_t gpa, uint64_t number, void *arg)
{
	struct check *check = arg;
	unsigned int kind = number_kind(number);

	if (kind == NUMBER_LEAVING) {
		check->leaving++;
		check_owned(check, gpa, number_payload(number) << PAGE_SHIFT);
	} else if (kind == PAGE_COMPRESSED || kind == PAGE_SWAPPED) {
		check->kept[kind]++;
	} else {
		check->wrong = "an entry of the tables means nothing";
	}
}

const char *guest_memory_check(struct guest_memory *memory)
{
	struct check check = { .memory = memory };
	const struct s2_visitor visitor = { check_leaf, check_number, &check };

	spin_lock(&memory->lock);
	s2_for_each(&memory->s2, &visitor);
	if (!check.wrong && (check.private + check.leaving != memory->resident_pages ||
		check.leaving != memory->leaving_pages || check.zero != memory->zero_pages ||
		check.shared != memory->shared_pages ||
		check.kept[PAGE_COMPRESSED] != memory->kept_pages[PAGE_COMPRESSED] ||
		check.kept[PAGE_SWAPPED] != memory->kept_pages[PAGE_SWAPPED]))
		check.wrong = "the counts of pages differ from the tables";
	spin_unlock(&memory->lock);
	return check.wrong;
}
