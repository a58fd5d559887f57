/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking, taking and deciding, for one VM; see balloon/cycle.h. */
#include "balloon/cycle.h"

#include "balloon/pager.h"
#include "balloon/share.h"
#include "balloon/store.h"
#include "ept/guest_reclaim.h"
#include "host/clock.h"
#include "lib/string.h"

/* In one step: pages looked at, and pages decided on. */
#define LOOK_PAGES 64U
#define DECIDE_PAGES 32U
/* A large leaf is broken for so many pages of it that take less room, not for fewer. */
#define BREAK_PAGES 16U
/* While something is under way. */
#define STEP_NS (2 * NS_PER_MS)
/* A round that gains less than one page in so many makes the next one half as fast, */
#define WORTH_PART 64U
/* down to 1 / 2^n. */
#define SLOWEST 4U
/* So long a page may be touched before it counts as cold; less when guests wait for memory. */
#define AGE_NS (200 * NS_PER_MS)
#define HURRIED_AGE_NS (20 * NS_PER_MS)
/* So long a page stays compressed before it goes on to the disk. */
#define COLD_NS (30 * NS_PER_SEC)
#define HURRIED_COLD_NS (5 * NS_PER_SEC)
/* This part of what the store may take is much. */
#define STORE_MUCH 2
#define REGION_BYTES (PAGE_SIZE * CYCLE_BATCH)

static uint64_t new_frames; /* pages of all guests that became frames for others to join */

void cycle_reset(struct vm_economy *economy)
{
	sampling_reset(&economy->sampling);
	economy->due_ns = 0;
	economy->stage = CYCLE_SCAN;
	economy->slower = 0;
	economy->looked = economy->gained = 0;
	pager_cancel(&economy->vm->memory);
	economy->batched = economy->decided = 0;
	economy->swapping = economy->sent = economy->writing = 0;
	economy->cold = economy->cold_sent = 0;
	economy->region = 0;
	economy->at = 0;
}

/* ---- looking for pages that take less room ---- */

/* Whose contents this VM shares. */
static uint64_t group_of(const struct vm_economy *economy)
{
	/* Numbers of VMs alone are apart from those of groups. */
	return economy->terms.group ? economy->terms.group : ~economy->vm->domain;
}

static bool is_worth(const struct vm_economy *economy, gpa_t gpa, const void *page)
{
	if (economy->pressed || share_is_zero(page))
		return true;
	return share_look(share_hash(page, group_of(economy)), economy->vm->memory.number,
		gpa >> PAGE_SHIFT) != SHARE_NEW;
}

static bool is_cold(uint64_t handle, void *arg)
{
	return store_since_ns(handle) < *(const uint64_t *)arg;
}

static void look_at(struct vm_economy *economy, gpa_t gpa)
{
	struct guest_memory *memory = &economy->vm->memory;
	struct s2_mapping mapping;

	switch (guest_memory_state(memory, gpa, &mapping)) {
	case PAGE_STATE_PRIVATE:
		if (is_worth(economy, gpa, host_ptr(mapping.hpa)))
			economy->batch[economy->batched++] = gpa;
		break;
	case PAGE_STATE_COMPRESSED:
		if (!economy->swaps) /* Its frame may be for the most part empty by now. */
			guest_memory_shift_kept(memory, gpa, PAGE_COMPRESSED, store_move);
		else if (guest_memory_look_kept(
				 memory, gpa, PAGE_COMPRESSED, is_cold, &economy->cold_ns))
			economy->batch[CYCLE_BATCH - ++economy->cold] = gpa;
		break;
	default:
		break;
	}
}

/* Of one that rests all has been seen; looking for more is worth little. */
static void end_round(struct vm_economy *economy)
{
	if (economy->gained < economy->looked / WORTH_PART)
		economy->slower = MIN(economy->slower + 1, SLOWEST);
	else
		economy->slower = 0;
	economy->scan_faults = economy->vm->memory.faults;
	economy->scan_frames = new_frames;
	economy->looked = economy->gained = 0;
}

/*
 * From one look to the next. The full pace is worth it again for a guest that has got new pages
 * since, and for all when others have got pages that some guest had before.
 */
static uint64_t pace_ns(struct vm_economy *economy, unsigned int permits)
{
	const struct guest_memory *memory = &economy->vm->memory;
	uint64_t news = MAX(memory->faults - economy->scan_faults,
		new_frames - economy->scan_frames);

	if (permits || news > memory->limit_pages / WORTH_PART)
		economy->slower = 0;
	return (NS_PER_SEC * LOOK_PAGES / MAX(policy_settings.scan_pages, 1U)) << economy->slower;
}

/* The region after this one in which the guest has RAM; from the last back to the first. */
static void next_region(struct vm_economy *economy)
{
	const struct guest_memory *memory = &economy->vm->memory;

	economy->at = 0;
	economy->region += REGION_BYTES;
	for (size_t i = 0; i < memory->slot_count; i++) {
		const struct memory_slot *slot = &memory->slots[i];

		if (slot->read_only || economy->region >= slot->start + slot->bytes)
			continue;
		economy->region =
			MAX(economy->region, ROUND_DOWN(slot->start, (uint64_t)REGION_BYTES));
		return;
	}
	economy->region = 0;
	end_round(economy);
}

static void take_batch(struct vm_economy *economy)
{
	struct guest_memory *memory = &economy->vm->memory;
	struct s2_mapping mapping;
	unsigned int taken = 0;

	if (economy->batched < BREAK_PAGES && economy->batched &&
		guest_memory_state(memory, economy->batch[0], &mapping) == PAGE_STATE_PRIVATE &&
		mapping.order)
		economy->batched = 0;
	for (unsigned int i = 0; i < economy->batched; i++)
		if (guest_memory_take(memory, economy->batch[i]) == 0)
			economy->batch[taken++] = economy->batch[i];
	economy->batched = taken;
	economy->decided = 0;
	if (taken)
		economy->stage = CYCLE_TAKEN;
	else if (economy->cold)
		economy->stage = CYCLE_SWAP;
}

/* Some pages more of the region. When to go on. */
static uint64_t look(struct vm_economy *economy, unsigned int permits, uint64_t now_ns)
{
	uint64_t pace = pace_ns(economy, permits), due_ns = economy->scan_ns + pace;

	if (!economy->pressed && (now_ns < due_ns || !policy_settings.scan_pages))
		return policy_settings.scan_pages ? due_ns : 0;
	economy->scan_ns = now_ns;
	economy->looked += LOOK_PAGES;
	for (unsigned int i = 0; i < LOOK_PAGES && economy->at < CYCLE_BATCH; i++)
		look_at(economy, economy->region + (uint64_t)economy->at++ * PAGE_SIZE);
	if (economy->at < CYCLE_BATCH)
		return economy->pressed ? now_ns + STEP_NS : now_ns + pace;
	take_batch(economy);
	/* Where memory is plentiful, a region with nothing to gain is one leaf again. */
	if (economy->stage == CYCLE_SCAN && !permits)
		(void)!guest_memory_merge(&economy->vm->memory, economy->region);
	next_region(economy);
	return now_ns + STEP_NS;
}

/* ---- deciding ---- */

static struct page_fate compress(const void *page)
{
	struct page_fate fate = { .fate = FATE_KEPT, .keep = PAGE_COMPRESSED };

	if (store_put(page, &fate.handle))
		return (struct page_fate){ .fate = FATE_BACK };
	return fate;
}

struct question {
	const struct vm_economy *economy;
	gpa_t gpa;
	bool swap;  /* what does not go elsewhere goes to the disk */
	bool stays; /* and so does this page */
	bool gains; /* it takes less room, and whoever looks for such pages may find more */
};

static struct page_fate decide(const void *page, hpa_t frame, void *arg)
{
	struct question *question = arg;
	struct page_fate fate = { .fate = FATE_BACK };
	const struct vm_economy *economy = question->economy;
	uint64_t hash;
	hpa_t shared = HPA_NONE;

	if (share_is_zero(page)) {
		question->gains = true;
		return (struct page_fate){ .fate = FATE_ZERO };
	}
	hash = share_hash(page, group_of(economy));
	if (share_look(hash, economy->vm->memory.number, question->gpa >> PAGE_SHIFT) != SHARE_NEW)
		shared = share_join(hash, page, frame);
	new_frames += shared == frame;
	question->gains = shared != HPA_NONE;
	if (question->gains)
		return (struct page_fate){ .fate = FATE_SHARED, .shared = shared };
	if (economy->pressed)
		fate = compress(page);
	if (fate.fate == FATE_BACK && question->swap)
		fate.fate = FATE_STAY;
	question->stays = fate.fate == FATE_STAY;
	return fate;
}

static bool may_swap(
	const struct vm_economy *economy, unsigned int permits, uint64_t wanted_pages)
{
	return economy->pressed && economy->swaps && (permits & POLICY_MAY_SWAP) &&
		economy->swapping < wanted_pages;
}

static void decide_some(struct vm_economy *economy, unsigned int permits, uint64_t wanted_pages)
{
	unsigned int end = MIN(economy->decided + DECIDE_PAGES, economy->batched);

	for (; economy->decided < end; economy->decided++) {
		struct question question = { economy, economy->batch[economy->decided],
			may_swap(economy, permits, wanted_pages), false, false };

		/* One that was rescued is none any more. */
		guest_memory_decide(&economy->vm->memory, question.gpa, decide, &question);
		economy->gained += question.gains;
		if (question.stays)
			economy->batch[economy->swapping++] = question.gpa;
	}
	if (economy->decided == economy->batched) {
		economy->stage = economy->swapping || economy->cold ? CYCLE_SWAP : CYCLE_SCAN;
		economy->batched = economy->decided = economy->sent = 0;
	}
}

/* ---- to the disk ---- */

/* No more is needed than has been sent. */
static void keep_rest(struct vm_economy *economy)
{
	for (; economy->sent < economy->swapping; economy->sent++)
		guest_memory_put_back(&economy->vm->memory, economy->batch[economy->sent]);
}

/* -EBUSY: too many writes are under way. */
static int send(struct vm_economy *economy)
{
	unsigned int count = MIN(economy->swapping - economy->sent, SWAP_BATCH_PAGES);
	int error = pager_out(&economy->vm->memory, economy->batch + economy->sent, count,
		&economy->writing);

	if (error != -EBUSY)
		economy->sent += count;
	return error;
}

static int send_cold(struct vm_economy *economy)
{
	unsigned int count = MIN(economy->cold - economy->cold_sent, SWAP_BATCH_PAGES);
	const gpa_t *next = &economy->batch[CYCLE_BATCH - 1 - economy->cold_sent];
	gpa_t gpas[SWAP_BATCH_PAGES];
	int error;

	for (unsigned int i = 0; i < count; i++)
		gpas[i] = *next--;
	error = pager_out_compressed(&economy->vm->memory, gpas, count, &economy->writing);
	if (error != -EBUSY)
		economy->cold_sent += count;
	return error;
}

/* Nothing else is taken meanwhile: see balloon/pager.h. */
static void swap_some(struct vm_economy *economy, unsigned int permits, uint64_t wanted_pages)
{
	if (!(permits & POLICY_MAY_SWAP) || !wanted_pages)
		keep_rest(economy);
	if (!(permits & POLICY_MAY_SWAP))
		economy->cold_sent = economy->cold;
	while (economy->sent < economy->swapping)
		if (send(economy) == -EBUSY)
			return;
	while (economy->cold_sent < economy->cold)
		if (send_cold(economy) == -EBUSY)
			return;
	if (economy->writing)
		return;
	economy->swapping = economy->sent = 0;
	economy->cold = economy->cold_sent = 0;
	economy->stage = CYCLE_SCAN;
}

/* ---- the steps ---- */

/* Pages were taken, or given up by the guest, that no grace period has been waited for. */
static bool has_to_seal(const struct vm_economy *economy)
{
	const struct guest_limbo *limbo = &economy->vm->memory.limbo;

	return __atomic_load_n(&limbo->filling_count, __ATOMIC_RELAXED) ||
		economy->stage == CYCLE_TAKEN;
}

/* What was taken before the last seal stands still now. */
static void settled(struct vm_economy *economy, unsigned int permits, uint64_t now_ns)
{
	sampling_settled(&economy->sampling);
	if (economy->stage != CYCLE_SEALED)
		return;
	economy->stage = CYCLE_AGE;
	economy->ready_ns = now_ns;
	if (economy->pressed)
		economy->ready_ns += permits & POLICY_MAY_HOLD ? HURRIED_AGE_NS : AGE_NS;
}

static void seal(struct vm_economy *economy)
{
	bool for_others = has_to_seal(economy);
	uint64_t began = clock_tsc();

	if (!guest_memory_seal(&economy->vm->memory))
		return;
	sampling_sealed(&economy->sampling, for_others ? 0 : clock_tsc() - began);
	if (economy->stage == CYCLE_TAKEN)
		economy->stage = CYCLE_SEALED;
}

/* Where memory is very short, or the store has much of it, what is compressed goes on sooner. */
static uint64_t cold_age_ns(unsigned int permits)
{
	struct store_stats stats;

	store_get_stats(&stats);
	return (permits & POLICY_MAY_HOLD) || stats.frames >= stats.limit_frames / STORE_MUCH ?
		HURRIED_COLD_NS : COLD_NS;
}

static void begin_region(struct vm_economy *economy, unsigned int permits, uint64_t wanted_pages,
	uint64_t now_ns)
{
	uint64_t age_ns = cold_age_ns(permits);

	economy->cold_ns = now_ns - MIN(now_ns, age_ns);
	economy->pressed = (permits & POLICY_MAY_COMPRESS) && wanted_pages;
	/* What is compressed goes on also when all have what is meant for them: it takes frames. */
	economy->swaps = (permits & POLICY_MAY_SWAP) && pager_available();
	/* Before the first page is taken for it: by the end of its grace period all know. */
	if (economy->swaps)
		__atomic_store_n(&economy->vm->memory.may_swap, true, __ATOMIC_RELAXED);
}

/* The stage's own part of a step; when to come again. */
static uint64_t stage_step(
	struct vm_economy *economy, unsigned int permits, uint64_t wanted_pages, uint64_t now_ns)
{
	switch (economy->stage) {
	case CYCLE_SCAN:
		if (economy->at == 0)
			begin_region(economy, permits, wanted_pages, now_ns);
		return look(economy, permits, now_ns);
	case CYCLE_AGE:
		if (now_ns < economy->ready_ns)
			return economy->ready_ns;
		economy->stage = CYCLE_DECIDE;
		break;
	case CYCLE_DECIDE:
		decide_some(economy, permits, wanted_pages);
		break;
	case CYCLE_SWAP:
		swap_some(economy, permits, wanted_pages);
		break;
	default:
		break;
	}
	return now_ns + STEP_NS;
}

uint64_t cycle_step(struct vm_economy *economy, unsigned int permits, uint64_t wanted_pages,
	uint64_t now_ns)
{
	bool idle = guest_memory_settle(&economy->vm->memory);
	uint64_t again = 0;

	if (idle)
		settled(economy, permits, now_ns);
	if (economy_takes_part(economy)) {
		/* Not while pages of a batch wait for their fate: one grace period serves all. */
		again = sampling_step(&economy->sampling, &economy->vm->memory,
			policy_settings.sample_period_s, economy->stage == CYCLE_SCAN, now_ns);
		again = clock_sooner(again, stage_step(economy, permits, wanted_pages, now_ns));
	}
	if (has_to_seal(economy) || sampling_waits(&economy->sampling)) {
		if (idle)
			seal(economy);
		idle = false;
	}
	return idle ? again : clock_sooner(again, now_ns + STEP_NS);
}
