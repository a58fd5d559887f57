/* SPDX-License-Identifier: BSD-2-Clause */
/* What guest_memory.c and guest_reclaim.c share: how pages stand in the tables. Under the lock. */
#ifndef BALLAST_EPT_GUEST_PAGES_H
#define BALLAST_EPT_GUEST_PAGES_H

#include "ept/guest_memory.h"

/* A number in the tables (s2_set_number()): kind, and a frame number or a handle. */
#define NUMBER_KIND_BITS 3
#define NUMBER_LEAVING 7U
_Static_assert(PAGE_HANDLE_BITS + NUMBER_KIND_BITS == S2_NUMBER_BITS, "numbers in page tables");

static inline uint64_t page_number(unsigned int kind, uint64_t payload)
{
	return payload << NUMBER_KIND_BITS | kind;
}

static inline unsigned int number_kind(uint64_t number)
{
	return number & (BIT(NUMBER_KIND_BITS) - 1);
}

static inline uint64_t number_payload(uint64_t number)
{
	return number >> NUMBER_KIND_BITS;
}

/* In limbo's entries, below the address: an order, or that the frame is to be dropped. */
#define LIMBO_DROP BIT(11)
#define LIMBO_ORDER 0x1fULL

/* What the guest may do to a private page of this slot. */
static inline uint64_t slot_access(const struct memory_slot *slot)
{
	return slot->read_only ? S2_READ | S2_EXEC : S2_ALL;
}

bool page_is_zero_frame(hpa_t frame);
/* The frame of zeroes. */
hpa_t page_zero_frame(void);
/* Read-only although its slot is not: zero or shared. */
static inline bool page_is_borrowed(
	const struct memory_slot *slot, const struct s2_mapping *mapping)
{
	return !slot->read_only && !(mapping->access & S2_WRITE);
}

/* False: there is no room. */
static inline bool limbo_add(struct guest_limbo *limbo, hpa_t frame, uint64_t how)
{
	if (limbo->filling_count == LIMBO_ENTRIES)
		return false;
	limbo->filling[limbo->filling_count++] = frame | how;
	return true;
}

/* Frees what an entry names. */
void limbo_free(uint64_t entry);

bool page_is_pinned(const struct guest_memory *memory, gpa_t page);

/* A leaving page is mapped again. */
void page_rescue(struct guest_memory *memory, const struct memory_slot *slot, gpa_t gpa,
	uint64_t number);

#endif
