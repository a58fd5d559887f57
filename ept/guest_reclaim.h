/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking pages away from a guest that runs, and keeping what they contain in a cheaper way.
 *
 * 1. guest_memory_take() makes a private page a leaving one: it is mapped no more. Vast numbers may
 *    be taken; a touch, by the guest or by Ballast on its behalf, rescues a page at once.
 * 2. guest_memory_seal(), after a batch: pointers kept by `generation` are stale, vCPUs flush, and
 *    a grace period begins.
 * 3. guest_memory_settle(), from time to time, until it says that the grace period is over: by now
 *    no CPU and no I/O uses what was taken before the seal.
 * 4. guest_memory_decide(), page by page, for those that are leaving still. Their contents stand
 *    still, so they can be compared, copied or compressed, and their frames become free at once.
 *
 * What the guest itself gives up (guest_memory_discard()), and what breaks of sharing leave behind,
 * waits in limbo for the next seal. One caller at a time drives a memory's steps 2 and 3.
 */
#ifndef BALLAST_EPT_GUEST_RECLAIM_H
#define BALLAST_EPT_GUEST_RECLAIM_H

#include "ept/guest_memory.h"

/*
 * Begin to take the private page at gpa; a leaf of 2 MiB is split first. -ENOENT: no page is mapped
 * there; -EBUSY: it is read-only, zero, shared or pinned; -ENOMEM: no table to split with.
 */
int guest_memory_take(struct guest_memory *memory, gpa_t gpa) __must_check;
/* False: the last grace period is not over yet, and nothing was done. */
bool guest_memory_seal(struct guest_memory *memory) __must_check;
/* True: none is under way. Frees the frames that waited for it. */
bool guest_memory_settle(struct guest_memory *memory);

/* What is to become of a leaving page. */
struct page_fate {
	enum {
		FATE_BACK,   /* mapped again, as it was */
		FATE_ZERO,   /* it contains zeroes only */
		FATE_SHARED, /* it shows `shared`, which it now is a holder of */
		FATE_KEPT,   /* its contents are kept under `handle` */
		FATE_STAY,   /* leaving, as it was: it is decided on later */
	} fate;
	hpa_t shared;    /* may be the page's own frame, if frame_share() was called for it */
	enum page_keep keep;
	uint64_t handle; /* below 2^PAGE_HANDLE_BITS */
};

/*
 * Decide on a page that was taken before the last seal, after its grace period: `decide` gets its
 * contents and its frame, under memory.lock, and says its fate. False: the page is not leaving any
 * more, and `decide` was not called.
 */
bool guest_memory_decide(struct guest_memory *memory, gpa_t gpa,
	struct page_fate (*decide)(const void *page, hpa_t frame, void *arg), void *arg);

/*
 * Whoever keeps the page keeps it elsewhere now: if it is still kept so, and under this handle,
 * which is forgotten then. Nothing else may be made of the memory's pages between the look at the
 * contents and this, or the handle may be another page's.
 */
bool guest_memory_move_kept(struct guest_memory *memory, gpa_t gpa, enum page_keep from,
	uint64_t old, enum page_keep to, uint64_t handle) __must_check;
/*
 * Call `look` for a page that is kept so, with its handle, under memory.lock: what that answers.
 * False, and no call: it is not.
 */
bool guest_memory_look_kept(struct guest_memory *memory, gpa_t gpa, enum page_keep keep,
	bool (*look)(uint64_t handle, void *arg), void *arg) __must_check;
/*
 * Let whoever keeps the page put it elsewhere in the same kind of keep: `move` is called as above,
 * and answers whether the handle is another one now. False: it is not kept so, or stays.
 */
bool guest_memory_shift_kept(struct guest_memory *memory, gpa_t gpa, enum page_keep keep,
	bool (*move)(uint64_t *handle));
/* The handle of a page that is kept so; 0: it is not. Under memory.lock, or else it may change. */
uint64_t guest_memory_handle(const struct guest_memory *memory, gpa_t gpa, enum page_keep keep);

/* A page that is leaving still is the guest's own again, as it was. */
void guest_memory_put_back(struct guest_memory *memory, gpa_t gpa);

/*
 * The 2 MiB around gpa are one leaf again: all their pages are private and in one piece. 0;
 * -ENOENT, -EINVAL: they are not; -EAGAIN: too much is in limbo.
 */
int guest_memory_merge(struct guest_memory *memory, gpa_t gpa) __must_check;

/* What a page of RAM is, at this moment. */
enum page_state {
	PAGE_STATE_NONE, /* not RAM */
	PAGE_STATE_UNTOUCHED,
	PAGE_STATE_PRIVATE,
	PAGE_STATE_LEAVING,
	PAGE_STATE_ZERO,
	PAGE_STATE_SHARED,
	PAGE_STATE_COMPRESSED,
	PAGE_STATE_SWAPPED,
};
/*
 * Its state, and how it is mapped in *mapping (when not NULL), if it is. Without the lock: it may
 * have changed on return, but what it is mapped to can be read until this CPU takes an interrupt.
 */
enum page_state guest_memory_state(const struct guest_memory *memory, gpa_t gpa,
	struct s2_mapping *mapping);

/*
 * Compare the tables, the counts and the frames' records of one memory: NULL, or what is wrong.
 * Takes time in proportion to the memory.
 */
const char *guest_memory_check(struct guest_memory *memory);

#endif
