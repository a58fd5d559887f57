/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's physical memory: slots of RAM, backed on first touch by zeroed host frames, as large
 * as slot and alignment allow. Everything outside the slots is MMIO or nothing.
 *
 * All functions may be called on any CPU; they take the memory's own lock, below vm.lock.
 */
#ifndef BALLAST_EPT_GUEST_MEMORY_H
#define BALLAST_EPT_GUEST_MEMORY_H

#include "ept/s2.h"
#include "host/lock.h"

#define GUEST_MEMORY_SLOTS 8
/* No slot reaches beyond this; four levels of tables could map two bits more. */
#define GUEST_PHYSICAL_LIMIT BIT(46)

struct memory_slot {
	gpa_t start;    /* page aligned */
	uint64_t bytes;
	bool read_only; /* guest writes are denied; the hypervisor's own are not */
};

struct guest_memory {
	struct spinlock lock;
	struct s2 s2;                                  /* [lock] */
	struct memory_slot slots[GUEST_MEMORY_SLOTS];  /* [I] once the guest runs; sorted */
	size_t slot_count;                             /* [I] likewise */
	uint64_t resident_pages;                       /* [lock] 4 KiB frames backing the guest */
	uint64_t limit_pages;                          /* [I] all slots together */
	/* [a] counts up whenever backing is taken away: pointers got before are then stale */
	uint64_t generation;
	/*
	 * When memory is short: frees some and returns true to try again. The one upward call of
	 * ept/ (balloon/ registers it); NULL means there is nothing to reclaim.
	 */
	bool (*reclaim)(struct guest_memory *memory, unsigned int order);
};

enum memory_answer {
	MEMORY_MAPPED,    /* RAM, populated now or by someone else meanwhile: try again */
	MEMORY_MMIO,      /* no slot: a device, or nothing */
	MEMORY_DENIED,    /* a write to read-only memory */
	MEMORY_EXHAUSTED, /* RAM, but the host has no frame left */
};

/* No slots yet; -ENOMEM. */
int guest_memory_init(struct guest_memory *memory, const struct s2_format *format) __must_check;
/* Page-aligned RAM at `start`. -EINVAL when misaligned, wrapping or overlapping, -ENOSPC. */
int guest_memory_add(struct guest_memory *memory, gpa_t start, uint64_t bytes, bool read_only)
	__must_check;
/* Drop all backing, so that the guest's memory reads as zeroes again (reset). vCPUs are stopped. */
void guest_memory_clear(struct guest_memory *memory);
/* Frees backing and tables; vCPUs are stopped. */
void guest_memory_destroy(struct guest_memory *memory);

/* A second-level fault at `gpa`; `access` is S2_READ, S2_WRITE or S2_EXEC. */
enum memory_answer guest_memory_fault(struct guest_memory *memory, gpa_t gpa, uint64_t access);

/*
 * The host address of RAM at `gpa`, populated if need be, and in *bytes (when not NULL) how far
 * it is contiguous. NULL when it is not RAM or no frame is left. The pointer stays good until
 * `generation` changes; its contents change under the reader: copy once, then check.
 */
void *guest_memory_ptr(struct guest_memory *memory, gpa_t gpa, uint64_t *bytes);

/* Copies across pages. -EFAULT when any byte is not RAM (nothing is promised about the others). */
int guest_memory_read(struct guest_memory *memory, gpa_t gpa, void *to, uint64_t bytes)
	__must_check;
int guest_memory_write(struct guest_memory *memory, gpa_t gpa, const void *from, uint64_t bytes)
	__must_check;
/*
 * The guest gives up the whole pages of a range of RAM (by a balloon, or as free); what it finds
 * there later are zeroes. The bytes given up, from the start of the range: fewer where a slot ends,
 * or when too much waits for its grace period (ept/guest_reclaim.h): try the rest in a millisecond.
 */
uint64_t guest_memory_discard(struct guest_memory *memory, gpa_t gpa, uint64_t bytes,
	bool ballooned);
bool guest_memory_is_ram(const struct guest_memory *memory, gpa_t gpa);

/* Does the range lie in one slot as a whole? `bytes` is not 0. */
static inline bool guest_memory_contains(
	const struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	for (size_t i = 0; i < memory->slot_count; i++) {
		const struct memory_slot *slot = &memory->slots[i];
		uint64_t offset = gpa - slot->start;

		if (offset < slot->bytes)
			return bytes <= slot->bytes - offset;
	}
	return false;
}

/* Does any of the range lie in a slot? It does not wrap. */
static inline bool guest_memory_overlaps(
	const struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	for (size_t i = 0; i < memory->slot_count; i++) {
		const struct memory_slot *slot = &memory->slots[i];

		if (gpa < slot->start + slot->bytes && slot->start < gpa + bytes)
			return true;
	}
	return false;
}

#endif
