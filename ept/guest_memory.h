/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's physical memory: slots of RAM, backed on first touch by zeroed host frames, as large
 * as slot and alignment allow. Everything outside the slots is MMIO or nothing.
 *
 * A page of RAM is, one at a time:
 * - untouched: it reads as zeroes, and has no frame;
 * - private: it is mapped to a frame of its own (FRAME_GUEST), alone or in a leaf of 2 MiB;
 * - leaving: its own frame is about to be taken away (ept/guest_reclaim.h), and a touch rescues it;
 * - zero: it is mapped, read-only, to the one frame of zeroes;
 * - shared: it is mapped, read-only, to a FRAME_SHARED that other pages show as well;
 * - kept: its contents are kept elsewhere, compressed or on a disk, by the memory's keeper.
 * A write to a zero or shared page gives it a frame of its own first, whoever writes.
 *
 * Pages can be pinned by those who touch them at moments when nothing can wait: such a page is not
 * taken from the guest, whatever the need.
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

/* Of a slot that comes and goes: what of it is there. */
struct hotplug_map {
	uint64_t plugged_bytes; /* [a] */
	uint64_t blocks[];      /* [a] a bit for each 2 MiB */
};

struct memory_slot {
	gpa_t start;    /* page aligned */
	uint64_t bytes;
	bool read_only; /* guest writes are denied; the hypervisor's own are not */
	struct hotplug_map *hotplug; /* ept/guest_hotplug.h; NULL: all of it is there */
};

struct guest_memory;

/* Kinds of kept pages: what their numbers in the tables mean. */
enum page_keep {
	PAGE_COMPRESSED = 1,
	PAGE_SWAPPED = 2,
};
#define PAGE_HANDLE_BITS 40

/* Who keeps pages and looks after memory (balloon/): the upward calls of ept/. Any CPU. */
struct memory_keeper {
	/*
	 * Bring back a kept page's contents, under memory.lock. -EAGAIN: they are on the way, and
	 * the guest waits; -EIO: they are lost. First with `page` NULL, before there is a frame
	 * for them: 0 if they can be had now.
	 */
	int (*fetch)(struct guest_memory *memory, gpa_t gpa, enum page_keep keep, uint64_t handle,
		void *page);
	/* Nobody wants these contents any more; under memory.lock. */
	void (*forget)(enum page_keep keep, uint64_t handle);
	/* The guest waits for a frame, or frames wait to be freed: see to it soon. */
	void (*needed)(struct guest_memory *memory);
};

#define LIMBO_ENTRIES 512

/* Pages that are not to be taken, as often as they were pinned. */
struct guest_pins {
	uint64_t *gfns;             /* [lock] */
	unsigned int count, room;   /* [lock] */
};

/* Frames that were taken away and may be in use still; see ept/guest_reclaim.h. */
struct guest_limbo {
	uint64_t *filling;          /* [lock] address, order and what is to become of them */
	uint64_t *waiting;          /* for the grace period under way; its caller's alone */
	unsigned int filling_count; /* [lock] */
	unsigned int waiting_count;
	enum { LIMBO_IDLE, LIMBO_CPUS, LIMBO_IO } state; /* likewise */
	uint64_t ticket;            /* likewise; see host/grace.h */
	uint32_t phase;             /* [a] the one to which I/O that begins belongs */
	uint32_t holds[2];          /* [a] I/O under way, by phase */
};

struct guest_memory {
	struct spinlock lock;
	struct s2 s2;                                  /* [lock] */
	struct memory_slot slots[GUEST_MEMORY_SLOTS];  /* [I] once the guest runs; sorted */
	size_t slot_count;                             /* [I] likewise */
	uint32_t number;                               /* [I] of all memories alone; not 0 */
	uint64_t resident_pages;                       /* [lock] private and leaving ones */
	uint64_t leaving_pages, zero_pages, shared_pages; /* [lock] */
	uint64_t kept_pages[PAGE_SWAPPED + 1];         /* [lock] by enum page_keep */
	uint64_t faults;                               /* [lock] pages that were given a frame */
	uint64_t rescues;                              /* [lock] touches of leaving pages */
	uint64_t waits;                                /* [lock] times that there was no frame */
	uint64_t limit_pages;                          /* [a] all that is there of the slots */
	uint64_t boot_pages;                           /* [I] of these, what is there always */
	/* [a] counts up whenever backing is taken away: pointers got before are then stale */
	uint64_t generation;
	uint64_t guaranteed_pages;                     /* [a] that it gets whatever others have */
	uint64_t ceiling_pages;                        /* [a] beyond that no frames for it now, */
	uint64_t ceiling_faults;                       /* [a] or only until `faults` is so many */
	bool by_page;                                  /* [a] no more at once than was touched */
	bool may_swap;                                 /* [a] what is RAM may be long in coming */
	bool lost;                                     /* [a] a page cannot be read back */
	bool devices_wait;                             /* [a] a queue's memory is on its way */
	bool came;                                     /* [a] some has come, for such a queue */
	uint8_t read_ahead;                            /* [keeper's lock] pages; 0: new */
	struct guest_pins pins;
	struct guest_limbo limbo;
	const struct memory_keeper *keeper;            /* [I] NULL: nobody */
	/*
	 * Mappings were taken away: no vCPU uses them any more when it returns. Any lock may be
	 * held. NULL: there are no vCPUs.
	 */
	void (*flush)(struct guest_memory *memory);    /* [I] */
};

enum memory_answer {
	MEMORY_MAPPED,    /* RAM, populated now or by someone else meanwhile: try again */
	MEMORY_MMIO,      /* no slot: a device, or nothing */
	MEMORY_DENIED,    /* a write to read-only memory */
	MEMORY_WAIT,      /* RAM, but it cannot be had yet: try again in a while */
	MEMORY_LOST,      /* RAM, but what was kept of it cannot be read any more */
};

/*
 * Guests get frames by touching their memory while more than `frames` are free, and `kept` besides
 * for those that are above their ceilings; guests that have less than they are guaranteed, while
 * more than `least` are: the rest is for Ballast's own accesses on behalf of guests, which cannot
 * wait.
 */
void guest_memory_set_floor(uint64_t frames, uint64_t kept, uint64_t least);

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
 * it is contiguous. NULL when it is not RAM or cannot be had. `access` is S2_READ, or S2_WRITE for
 * what may be written too, which memory that is read-only to the guest allows.
 *
 * The pointer is good until this CPU takes an interrupt, so within an exit's handler; kept longer,
 * until `generation` changes, which is read before the pointer is got and compared before each
 * use; for I/O that goes on by itself, between guest_memory_hold() and guest_memory_release(). The
 * contents change under the reader: copy once, then check.
 */
void *guest_memory_ptr(struct guest_memory *memory, gpa_t gpa, uint64_t access, uint64_t *bytes);

/*
 * Is the page there as it is, for this access? In *bytes how far that is so for certain; undefined
 * where it is not.
 */
bool guest_memory_is_mapped(
	const struct guest_memory *memory, gpa_t gpa, uint64_t access, uint64_t *bytes);

/*
 * I/O that uses pointers beyond their handler begins, before its handler returns; the answer is
 * what guest_memory_release() wants when it is over. Any CPU.
 */
static inline __must_check unsigned int guest_memory_hold(struct guest_memory *memory)
{
	uint32_t phase = __atomic_load_n(&memory->limbo.phase, __ATOMIC_ACQUIRE);

	__atomic_fetch_add(&memory->limbo.holds[phase], 1, __ATOMIC_ACQUIRE);
	return phase;
}

static inline void guest_memory_release(struct guest_memory *memory, unsigned int hold)
{
	__atomic_fetch_sub(&memory->limbo.holds[hold], 1, __ATOMIC_RELEASE);
}

/*
 * Copies across pages. -EFAULT when any byte is not RAM, -EAGAIN when it cannot be had now; nothing
 * is promised about the others.
 */
int guest_memory_read(struct guest_memory *memory, gpa_t gpa, void *to, uint64_t bytes)
	__must_check;
int guest_memory_write(struct guest_memory *memory, gpa_t gpa, const void *from, uint64_t bytes)
	__must_check;
/*
 * The pages of a range stay where they are once they have been touched, until they are unpinned as
 * often as they were pinned. -ENOMEM.
 */
int guest_memory_pin(struct guest_memory *memory, gpa_t gpa, uint64_t bytes) __must_check;
void guest_memory_unpin(struct guest_memory *memory, gpa_t gpa, uint64_t bytes);
/* How many pages are pinned, each counted once. */
uint64_t guest_memory_pinned(struct guest_memory *memory);
/*
 * The guest gives up the whole pages of a range of RAM (by a balloon, or as free); what it finds
 * there later are zeroes. Answers the bytes from the start of the range that are done with: fewer
 * than all where a slot ends or after some work, and then the caller goes on; 0 when too much waits
 * for its grace period: try again in a millisecond.
 */
uint64_t guest_memory_discard(struct guest_memory *memory, gpa_t gpa, uint64_t bytes);
/*
 * What was taken away or given up before this is gone for everybody: no vCPU uses the old mappings
 * any more, and pointers that were kept by `generation` are stale.
 */
void guest_memory_flush(struct guest_memory *memory);
bool guest_memory_is_ram(const struct guest_memory *memory, gpa_t gpa);

static inline bool memory_slot_has(const struct memory_slot *slot, gpa_t gpa)
{
	uint64_t block = (gpa - slot->start) / LARGE_PAGE_SIZE;

	return !slot->hotplug || (__atomic_load_n(&slot->hotplug->blocks[block / 64],
		__ATOMIC_ACQUIRE) & BIT(block % 64));
}

/* The slot of an address, whether RAM is plugged there or not; NULL: none. Without the lock. */
static inline const struct memory_slot *guest_memory_slot(
	const struct guest_memory *memory, gpa_t gpa)
{
	for (size_t i = 0; i < memory->slot_count; i++) {
		if (gpa - memory->slots[i].start < memory->slots[i].bytes)
			return &memory->slots[i];
	}
	return NULL;
}

/* The same, of RAM that is there. */
static inline const struct memory_slot *guest_memory_ram(
	const struct guest_memory *memory, gpa_t gpa)
{
	const struct memory_slot *slot = guest_memory_slot(memory, gpa);

	return slot && memory_slot_has(slot, gpa) ? slot : NULL;
}

/* Does the range lie in one slot as a whole, and begin with RAM? `bytes` is not 0. */
static inline bool guest_memory_contains(
	const struct guest_memory *memory, gpa_t gpa, uint64_t bytes)
{
	const struct memory_slot *slot = guest_memory_ram(memory, gpa);

	return slot && bytes <= slot->bytes - (gpa - slot->start);
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
