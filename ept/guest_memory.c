/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory slots and their backing on first touch; see ept/guest_memory.h. */
#include "ept/guest_memory.h"

#include "ept/guest_hotplug.h"
#include "ept/guest_pages.h"
#include "lib/string.h"

static uint8_t zeroes[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static uint64_t floor_frames, kept_frames, least_frames; /* [a] */
static uint32_t newest_number; /* [a] */

void guest_memory_set_floor(uint64_t frames, uint64_t kept, uint64_t least)
{
	__atomic_store_n(&kept_frames, kept, __ATOMIC_RELAXED);
	__atomic_store_n(&floor_frames, frames, __ATOMIC_RELAXED);
	__atomic_store_n(&least_frames, least, __ATOMIC_RELAXED);
}

hpa_t page_zero_frame(void)
{
	return host_phys(zeroes);
}

bool page_is_zero_frame(hpa_t frame)
{
	return frame == host_phys(zeroes);
}

int guest_memory_init(struct guest_memory *memory, const struct s2_format *format)
{
	struct guest_limbo *limbo = &memory->limbo;

	memset(memory, 0, sizeof(*memory));
	memory->number = __atomic_add_fetch(&newest_number, 1, __ATOMIC_RELAXED);
	memory->ceiling_pages = UINT64_MAX;
	limbo->filling = heap_alloc(2 * LIMBO_ENTRIES * sizeof(uint64_t), FRAME_VM);
	if (!limbo->filling)
		return -ENOMEM;
	limbo->waiting = limbo->filling + LIMBO_ENTRIES;
	if (s2_init(&memory->s2, format)) {
		heap_free(limbo->filling);
		return -ENOMEM;
	}
	return 0;
}

int guest_memory_add(struct guest_memory *memory, gpa_t start, uint64_t bytes, bool read_only)
{
	size_t at = memory->slot_count;

	if (bytes == 0 || !IS_ALIGNED(start, PAGE_SIZE) || !IS_ALIGNED(bytes, PAGE_SIZE) ||
		!range_within(start, bytes, GUEST_PHYSICAL_LIMIT))
		return -EINVAL;
	if (at == GUEST_MEMORY_SLOTS)
		return -ENOSPC;
	while (at > 0 && memory->slots[at - 1].start > start)
		at--;
	if (at > 0 && memory->slots[at - 1].start + memory->slots[at - 1].bytes > start)
		return -EINVAL;
	if (at < memory->slot_count && start + bytes > memory->slots[at].start)
		return -EINVAL;
	memmove(&memory->slots[at + 1], &memory->slots[at],
		(memory->slot_count - at) * sizeof(memory->slots[0]));
	memory->slots[at] = (struct memory_slot){
		.start = start, .bytes = bytes, .read_only = read_only };
	memory->slot_count++;
	memory->boot_pages += bytes >> PAGE_SHIFT;
	memory->limit_pages += bytes >> PAGE_SHIFT;
	return 0;
}

bool guest_memory_is_ram(const struct guest_memory *memory, gpa_t gpa)
{
	return guest_memory_ram(memory, gpa) != NULL;
}

/* ---- giving back ---- */

void limbo_free(uint64_t entry)
{
	hpa_t frame = entry & ~(uint64_t)PAGE_MASK;

	if (entry & LIMBO_DROP)
		frame_drop(frame);
	else
		frame_free(frame, entry & LIMBO_ORDER);
}

static void free_leaf(gpa_t gpa, const struct s2_mapping *mapping, void *arg)
{
	if (page_is_zero_frame(mapping->hpa))
		return;
	if (page_is_borrowed(guest_memory_slot(arg, gpa), mapping))
		frame_drop(mapping->hpa);
	else
		frame_free(mapping->hpa, mapping->order);
}

static void free_number(gpa_t gpa, uint64_t number, void *arg)
{
	struct guest_memory *memory = arg;

	(void)gpa;
	if (number_kind(number) == NUMBER_LEAVING)
		frame_free(number_payload(number) << PAGE_SHIFT, FRAME_ORDER_4K);
	else
		memory->keeper->forget(number_kind(number), number_payload(number));
}

/* No vCPU runs, no I/O is under way: limbo is over as well. */
static void free_backing(struct guest_memory *memory)
{
	const struct s2_visitor visitor = { free_leaf, free_number, memory };
	struct guest_limbo *limbo = &memory->limbo;

	s2_for_each(&memory->s2, &visitor);
	for (unsigned int i = 0; i < limbo->filling_count; i++)
		limbo_free(limbo->filling[i]);
	for (unsigned int i = 0; i < limbo->waiting_count; i++)
		limbo_free(limbo->waiting[i]);
	limbo->filling_count = limbo->waiting_count = 0;
	limbo->state = LIMBO_IDLE;
	memory->resident_pages = memory->leaving_pages = 0;
	memory->zero_pages = memory->shared_pages = 0;
	memset(memory->kept_pages, 0, sizeof(memory->kept_pages));
	memory->lost = memory->may_swap = false;
	memory->generation++;
}

void guest_memory_clear(struct guest_memory *memory)
{
	spin_lock(&memory->lock);
	free_backing(memory);
	guest_hotplug_clear(memory);
	s2_clear(&memory->s2);
	spin_unlock(&memory->lock);
}

void guest_memory_destroy(struct guest_memory *memory)
{
	free_backing(memory);
	s2_destroy(&memory->s2);
	guest_hotplug_destroy(memory);
	/* Both halves are one piece; they change places. */
	heap_free(MIN(memory->limbo.filling, memory->limbo.waiting));
	heap_free(memory->pins.gfns);
}

/* ---- having pages ---- */

/* Does the naturally aligned block of this order around gpa lie inside the slot? */
static bool block_fits(const struct memory_slot *slot, gpa_t gpa, unsigned int order)
{
	uint64_t bytes = PAGE_SIZE << order;
	gpa_t start = ROUND_DOWN(gpa, bytes);

	return start >= slot->start && start + bytes <= slot->start + slot->bytes;
}

/* What is needed, and by whom. */
struct need {
	struct guest_memory *memory;
	const struct memory_slot *slot;
	gpa_t gpa;
	uint64_t access;
	bool urgent; /* by Ballast itself, which cannot wait */
};

static bool may_take(const struct need *need, unsigned int order)
{
	const struct guest_memory *memory = need->memory;
	uint64_t resident = memory->resident_pages + BIT(order), floor;

	if (need->urgent)
		return true;
	if (resident <= __atomic_load_n(&memory->guaranteed_pages, __ATOMIC_RELAXED)) {
		floor = __atomic_load_n(&least_frames, __ATOMIC_RELAXED);
	} else {
		floor = __atomic_load_n(&floor_frames, __ATOMIC_RELAXED);
		if (resident <= __atomic_load_n(&memory->ceiling_pages, __ATOMIC_RELAXED))
			floor += __atomic_load_n(&kept_frames, __ATOMIC_RELAXED);
		else if (memory->faults >=
			__atomic_load_n(&memory->ceiling_faults, __ATOMIC_RELAXED))
			return false;
	}
	return frame_free_count() >= BIT(order) + floor;
}

/* Of zeroes, or with undefined contents. */
static inline hpa_t take_frames(const struct need *need, unsigned int order, bool zeroed)
{
	struct guest_memory *memory = need->memory;
	hpa_t frames;

	if (!may_take(need, order))
		return HPA_NONE;
	frames = zeroed ? frame_alloc_zeroed(order, FRAME_GUEST) : frame_alloc(order, FRAME_GUEST);
	if (frames != HPA_NONE)
		frame_set_owner(frames, memory->number,
			ROUND_DOWN(need->gpa, PAGE_SIZE << order) >> PAGE_SHIFT);
	return frames;
}

static void count_fault(struct guest_memory *memory, unsigned int order)
{
	memory->resident_pages += BIT(order);
	memory->faults++;
}

static int populate_order(const struct need *need, unsigned int order)
{
	gpa_t start = ROUND_DOWN(need->gpa, PAGE_SIZE << order);
	hpa_t frame = take_frames(need, order, true);
	int error;

	if (frame == HPA_NONE)
		return -ENOMEM;
	error = s2_map(&need->memory->s2, start, frame, order, slot_access(need->slot));
	if (error)
		frame_free(frame, order);
	else
		count_fault(need->memory, order);
	return error;
}

/*
 * Frames mapped by 4 KiB leaves where a 2 MiB leaf does not fit (the first megabyte around the VGA
 * window is touched page by page at every boot): so many at once spare as many exits.
 */
#define SMALL_ORDER 4

/* A block in the slot. Asked for before it is cleared: where pages came and went it may not fit. */
static int populate_block(const struct need *need, unsigned int order)
{
	if (!s2_is_blank(&need->memory->s2, need->gpa, order))
		return -EEXIST;
	return populate_order(need, order);
}

/*
 * Back the page at gpa: 2 MiB where it fits and the host has such a block, else a block of 4 KiB
 * pages, else the one page. (1 GiB is not tried: zeroing it would keep the CPU from its other work
 * for tens of milliseconds.) A block of which something is known already answers -EEXIST, and the
 * next smaller one is tried.
 */
static int populate(const struct need *need)
{
	int error = -ENOMEM;

	if (!__atomic_load_n(&need->memory->by_page, __ATOMIC_RELAXED)) {
		if (block_fits(need->slot, need->gpa, FRAME_ORDER_2M))
			error = populate_block(need, FRAME_ORDER_2M);
		else if (block_fits(need->slot, need->gpa, SMALL_ORDER))
			error = populate_block(need, SMALL_ORDER);
	}
	return error ? populate_order(need, FRAME_ORDER_4K) : 0;
}

void page_rescue(struct guest_memory *memory, const struct memory_slot *slot, gpa_t gpa,
	uint64_t number)
{
	/* The table is there, so this cannot fail. */
	if (s2_set_page(&memory->s2, gpa, number_payload(number) << PAGE_SHIFT, slot_access(slot)))
		return;
	memory->leaving_pages--;
	memory->rescues++;
}

static int fetch(const struct need *need, gpa_t page, uint64_t number)
{
	struct guest_memory *memory = need->memory;
	enum page_keep keep = number_kind(number);
	int error = memory->keeper->fetch(memory, page, keep, number_payload(number), NULL);
	hpa_t frame;

	if (error)
		return error;
	frame = take_frames(need, FRAME_ORDER_4K, false);
	if (frame == HPA_NONE)
		return -ENOMEM;
	error = memory->keeper->fetch(memory, page, keep, number_payload(number), host_ptr(frame));
	if (!error)
		error = s2_set_page(&memory->s2, page, frame, slot_access(need->slot));
	if (error) {
		frame_free(frame, FRAME_ORDER_4K);
		return error;
	}
	memory->keeper->forget(keep, number_payload(number));
	memory->kept_pages[keep]--;
	count_fault(memory, FRAME_ORDER_4K);
	return 0;
}

void guest_memory_flush(struct guest_memory *memory)
{
	__atomic_fetch_add(&memory->generation, 1, __ATOMIC_SEQ_CST);
	if (memory->flush)
		memory->flush(memory);
}

/* A write to a zero or shared page: it gets a frame of its own, with the same contents. */
static int break_sharing(const struct need *need, gpa_t page, hpa_t from)
{
	struct guest_memory *memory = need->memory;
	bool zero = page_is_zero_frame(from);
	hpa_t frame;

	/* Readers may have a pointer to it. */
	if (!zero && memory->limbo.filling_count == LIMBO_ENTRIES)
		return -ENOMEM;
	frame = take_frames(need, FRAME_ORDER_4K, zero);
	if (frame == HPA_NONE)
		return -ENOMEM;
	if (!zero)
		memcpy(host_ptr(frame), host_ptr(from), PAGE_SIZE);
	if (s2_set_page(&memory->s2, page, frame, slot_access(need->slot))) {
		frame_free(frame, FRAME_ORDER_4K);
		return -ENOMEM;
	}
	if (zero)
		memory->zero_pages--;
	else
		memory->shared_pages--;
	if (!zero && limbo_add(&memory->limbo, from, LIMBO_DROP) && memory->keeper)
		memory->keeper->needed(memory);
	count_fault(memory, FRAME_ORDER_4K);
	/* Other vCPUs must not go on to read what stood there. */
	guest_memory_flush(memory);
	return 0;
}

/*
 * The page is there and allows the access: 0; -ENOMEM or -EAGAIN: not yet; -EIO: it is lost;
 * -ENXIO: it has been unplugged meanwhile.
 */
static int have_page(const struct need *need)
{
	struct guest_memory *memory = need->memory;
	gpa_t page = ROUND_DOWN(need->gpa, PAGE_SIZE);
	struct s2_mapping mapping;
	uint64_t number;

	if (!memory_slot_has(need->slot, page))
		return -ENXIO;
	if (s2_lookup(&memory->s2, page, &mapping)) {
		if ((need->access & S2_WRITE) && page_is_borrowed(need->slot, &mapping))
			return break_sharing(need, page, mapping.hpa);
		return 0;
	}
	number = s2_number(&memory->s2, page);
	if (!number)
		return populate(need);
	if (number_kind(number) != NUMBER_LEAVING)
		return fetch(need, page, number);
	page_rescue(memory, need->slot, page, number);
	return 0;
}

/* The same; how it is mapped is stored in *mapping. */
static int have(const struct need *need, struct s2_mapping *mapping)
{
	struct guest_memory *memory = need->memory;
	int error;

	spin_lock(&memory->lock);
	error = have_page(need);
	if (!error && !s2_lookup(&memory->s2, need->gpa, mapping))
		error = -ENOMEM;
	memory->waits += error == -ENOMEM;
	spin_unlock(&memory->lock);
	if (error == -EIO)
		__atomic_store_n(&memory->lost, true, __ATOMIC_RELAXED);
	if ((error == -ENOMEM || error == -EIO) && memory->keeper)
		memory->keeper->needed(memory);
	return error;
}

enum memory_answer guest_memory_fault(struct guest_memory *memory, gpa_t gpa, uint64_t access)
{
	const struct memory_slot *slot = guest_memory_ram(memory, gpa);
	struct need need = { memory, slot, gpa, access, .urgent = false };
	struct s2_mapping mapping;

	if (!slot)
		return MEMORY_MMIO;
	if ((access & S2_WRITE) && slot->read_only)
		return MEMORY_DENIED;
	switch (have(&need, &mapping)) {
	case 0:
		return MEMORY_MAPPED;
	case -ENXIO:
		return MEMORY_MMIO;
	case -EIO:
		return MEMORY_LOST;
	default:
		return MEMORY_WAIT;
	}
}

/* Not mapped, or not for this access. */
static __attribute__((noinline)) bool look_again(
	struct guest_memory *memory, gpa_t gpa, uint64_t access, struct s2_mapping *mapping)
{
	struct need need = { memory, guest_memory_ram(memory, gpa), gpa, access, .urgent = true };

	return need.slot && have(&need, mapping) == 0;
}

void *guest_memory_ptr(struct guest_memory *memory, gpa_t gpa, uint64_t access, uint64_t *bytes)
{
	struct s2_mapping mapping;
	uint64_t block;

	/* The walker looks at 48 bits; an address beyond must not alias one below. */
	if (unlikely(gpa >= GUEST_PHYSICAL_LIMIT))
		return NULL;
	/* Tables are freed after a grace period only, so looking is free of the lock. */
	if (unlikely(!s2_lookup(&memory->s2, gpa, &mapping) || (access & ~mapping.access)) &&
		!look_again(memory, gpa, access, &mapping))
		return NULL;
	if (bytes) {
		block = PAGE_SIZE << mapping.order;
		*bytes = block - (gpa & (block - 1));
	}
	return host_ptr(mapping.hpa);
}

bool guest_memory_is_mapped(
	const struct guest_memory *memory, gpa_t gpa, uint64_t access, uint64_t *bytes)
{
	struct s2_mapping mapping;

	if (gpa >= GUEST_PHYSICAL_LIMIT || !s2_lookup(&memory->s2, gpa, &mapping) ||
		(access & ~mapping.access))
		return false;
	*bytes = (PAGE_SIZE << mapping.order) - (gpa & ((PAGE_SIZE << mapping.order) - 1));
	return true;
}

static int copy(struct guest_memory *memory, gpa_t gpa, void *buffer, uint64_t bytes, bool write)
{
	while (bytes > 0) {
		uint64_t room;
		void *ptr = guest_memory_ptr(memory, gpa, write ? S2_WRITE : S2_READ, &room);
		uint64_t now;

		if (!ptr)
			return guest_memory_is_ram(memory, gpa) ? -EAGAIN : -EFAULT;
		now = MIN(room, bytes);
		if (write)
			memcpy(ptr, buffer, now);
		else
			memcpy(buffer, ptr, now);
		gpa += now;
		buffer = (char *)buffer + now;
		bytes -= now;
	}
	return 0;
}

int guest_memory_read(struct guest_memory *memory, gpa_t gpa, void *to, uint64_t bytes)
{
	return copy(memory, gpa, to, bytes, false);
}

int guest_memory_write(struct guest_memory *memory, gpa_t gpa, const void *from, uint64_t bytes)
{
	return copy(memory, gpa, (void *)(uintptr_t)from, bytes, true);
}

/* ---- pins ---- */

static int make_room(struct guest_pins *pins, uint64_t pages)
{
	unsigned int room = MAX(2 * pins->room, 64U);
	uint64_t *gfns;

	if (pins->count + pages <= pins->room)
		return 0;
	if (pins->count + pages > room)
		return -ENOMEM;
	gfns = heap_alloc(room * sizeof(*gfns), FRAME_VM);
	if (!gfns)
		return -ENOMEM;
	if (pins->count)
		memcpy(gfns, pins->gfns, pins->count * sizeof(*gfns));
	heap_free(pins->gfns);
	pins->gfns = gfns;
	pins->room = room;
	return 0;
}

static uint64_t last_gfn(gpa_t gpa, uint64_t bytes)
{
	return (gpa + bytes - 1) >> PAGE_SHIFT;
}

int guest_memory_pin(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	uint64_t gfn = gpa >> PAGE_SHIFT, last = last_gfn(gpa, bytes);
	struct guest_pins *pins = &memory->pins;
	int error;

	spin_lock(&memory->lock);
	error = make_room(pins, last - gfn + 1);
	for (; !error && gfn <= last; gfn++)
		pins->gfns[pins->count++] = gfn;
	spin_unlock(&memory->lock);
	return error;
}

uint64_t guest_memory_pinned(struct guest_memory *memory)
{
	const struct guest_pins *pins = &memory->pins;
	uint64_t pages = 0;

	spin_lock(&memory->lock);
	for (unsigned int i = 0, before; i < pins->count; i++) {
		for (before = 0; pins->gfns[before] != pins->gfns[i]; before++)
			;
		pages += before == i;
	}
	spin_unlock(&memory->lock);
	return pages;
}

static void unpin_page(struct guest_pins *pins, uint64_t gfn)
{
	for (unsigned int i = 0; i < pins->count; i++) {
		if (pins->gfns[i] != gfn)
			continue;
		pins->gfns[i] = pins->gfns[--pins->count];
		return;
	}
}

void guest_memory_unpin(struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	uint64_t last = last_gfn(gpa, bytes);

	spin_lock(&memory->lock);
	for (uint64_t gfn = gpa >> PAGE_SHIFT; gfn <= last; gfn++)
		unpin_page(&memory->pins, gfn);
	spin_unlock(&memory->lock);
}

bool page_is_pinned(const struct guest_memory *memory, gpa_t page)
{
	const struct guest_pins *pins = &memory->pins;

	for (unsigned int i = 0; i < pins->count; i++) {
		if (pins->gfns[i] == page >> PAGE_SHIFT)
			return true;
	}
	return false;
}
