/* SPDX-License-Identifier: BSD-2-Clause */
/* At what pace a guest's pages are looked at, and what speeds it up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "balloon/cycle.h"
#include "balloon/pager.h"
#include "balloon/share.h"
#include "balloon/store.h"
#include "ept/guest_reclaim.h"

#define PAGES 2048U
#define SCAN 2048U /* in a second: a round of the memory takes one */
#define STEP_NS NS_PER_MS

static struct vm vm;
static struct vm_economy economy;
static enum page_state states[PAGES];
static uint8_t page[PAGE_SIZE];
static bool equal;       /* all pages are like a frame that is there */
static bool hinted;      /* all pages are like another guest's, which nobody shares yet */
static unsigned int looks;
static uint64_t now_ns;
static bool disk;        /* there is one to swap to */
static uint64_t compressed_ns; /* when pages were compressed */
static unsigned int moves; /* so often it was asked whether they lie well */

enum page_state guest_memory_state(const struct guest_memory *of, gpa_t gpa, struct s2_mapping *mapping)
{
	assert_ptr_equal(of, &vm.memory);
	if (mapping)
		*mapping = (struct s2_mapping){ .hpa = host_phys(page) };
	return states[gpa >> PAGE_SHIFT];
}

int guest_memory_take(struct guest_memory *of, gpa_t gpa)
{
	(void)of;
	states[gpa >> PAGE_SHIFT] = PAGE_STATE_LEAVING;
	return 0;
}

bool guest_memory_seal(struct guest_memory *of)
{
	(void)of;
	return true;
}

bool guest_memory_settle(struct guest_memory *of)
{
	(void)of;
	return true;
}

bool guest_memory_decide(struct guest_memory *of, gpa_t gpa,
	struct page_fate (*decide)(const void *contents, hpa_t frame, void *arg), void *arg)
{
	struct page_fate fate = decide(page, host_phys(page), arg);

	(void)of;
	states[gpa >> PAGE_SHIFT] = fate.fate == FATE_SHARED ? PAGE_STATE_SHARED : PAGE_STATE_PRIVATE;
	return true;
}

void guest_memory_put_back(struct guest_memory *of, gpa_t gpa)
{
	(void)of, (void)gpa;
}

int guest_memory_merge(struct guest_memory *of, gpa_t gpa)
{
	(void)of, (void)gpa;
	return -ENOENT;
}

uint64_t share_hash(const void *contents, uint64_t group)
{
	(void)contents, (void)group;
	return 1;
}

bool share_is_zero(const void *contents)
{
	(void)contents;
	looks++;
	return false;
}

enum share_find share_look(uint64_t hash, uint32_t number, uint64_t gfn)
{
	(void)hash, (void)number, (void)gfn;
	return equal ? SHARE_FRAME : hinted ? SHARE_HINT : SHARE_NEW;
}

hpa_t share_join(uint64_t hash, const void *contents, hpa_t own)
{
	(void)hash, (void)contents;
	return equal ? own + PAGE_SIZE : own;
}

int store_put(const void *contents, uint64_t *handle)
{
	(void)contents, (void)handle;
	return -ENOSPC;
}

uint64_t store_since_ns(uint64_t handle)
{
	(void)handle;
	return compressed_ns;
}

void store_get_stats(struct store_stats *stats)
{
	*stats = (struct store_stats){ .limit_frames = PAGES };
}

bool guest_memory_look_kept(struct guest_memory *of, gpa_t gpa, enum page_keep keep,
	bool (*look)(uint64_t handle, void *arg), void *arg)
{
	(void)of, (void)keep;
	return states[gpa >> PAGE_SHIFT] == PAGE_STATE_COMPRESSED && look(1, arg);
}

bool guest_memory_shift_kept(struct guest_memory *of, gpa_t gpa, enum page_keep keep, bool (*move)(uint64_t *handle))
{
	uint64_t handle = 1;

	(void)of, (void)keep;
	return states[gpa >> PAGE_SHIFT] == PAGE_STATE_COMPRESSED && move(&handle);
}

bool store_move(uint64_t *handle)
{
	(void)handle;
	moves++;
	return false;
}

int pager_out_compressed(struct guest_memory *of, const gpa_t *gpas, unsigned int count,
	unsigned int *left)
{
	(void)of, (void)left;
	for (unsigned int i = 0; i < count; i++)
		states[gpas[i] >> PAGE_SHIFT] = PAGE_STATE_SWAPPED;
	return 0;
}

bool pager_available(void)
{
	return disk;
}

int pager_out(struct guest_memory *of, const gpa_t *gpas, unsigned int count, unsigned int *left)
{
	(void)of, (void)gpas, (void)count, (void)left;
	return -EBUSY;
}

void pager_cancel(const struct guest_memory *of)
{
	(void)of;
}

void sampling_reset(struct sampling *sampling)
{
	(void)sampling;
}

uint64_t sampling_step(struct sampling *sampling, struct guest_memory *of, uint32_t period_s, bool may_begin,
	uint64_t now)
{
	(void)sampling, (void)of, (void)period_s, (void)may_begin, (void)now;
	return 0;
}

void sampling_sealed(struct sampling *sampling, uint64_t ticks)
{
	(void)sampling, (void)ticks;
}

void sampling_settled(struct sampling *sampling)
{
	(void)sampling;
}

/* How many pages are looked at in so many seconds. */
static unsigned int looks_in(unsigned int seconds, unsigned int permits)
{
	looks = 0;
	for (uint64_t until = now_ns + seconds * NS_PER_SEC; now_ns < until; now_ns += STEP_NS)
		cycle_step(&economy, permits, 0, now_ns);
	return looks;
}

static int setup(void **state)
{
	(void)state;
	vm = (struct vm){ .memory = { .slots = { { .bytes = PAGES * PAGE_SIZE } }, .slot_count = 1,
		.limit_pages = PAGES } };
	economy = (struct vm_economy){ .vm = &vm, .terms = { .memory_pages = PAGES } };
	for (unsigned int i = 0; i < PAGES; i++)
		states[i] = PAGE_STATE_PRIVATE;
	equal = hinted = disk = false;
	policy_settings.scan_pages = SCAN;
	cycle_reset(&economy);
	return 0;
}

static void one_that_rests_is_looked_at_less(void **state)
{
	(void)state;
	assert_in_range(looks_in(1, 0), SCAN * 9 / 10, SCAN);
	/* Down to a sixteenth, after rounds of 1, 2, 4 and 8 seconds. */
	looks_in(18, 0);
	assert_in_range(looks_in(32, 0), 2 * SCAN - SCAN / 8, 2 * SCAN + SCAN / 8);
}

static void new_pages_are_looked_at(void **state)
{
	(void)state;
	looks_in(20, 0);
	vm.memory.faults += PAGES / 128;
	assert_in_range(looks_in(2, 0), 0, SCAN / 4);
	vm.memory.faults += PAGES / 32;
	assert_in_range(looks_in(2, 0), SCAN * 5 / 4, 2 * SCAN);
	/* One round. */
	assert_in_range(looks_in(18, 0), SCAN, 6 * SCAN);
}

static void what_others_have_is_looked_for(void **state)
{
	static struct vm_economy other;

	(void)state;
	looks_in(20, 0);
	/* Another guest has found that it has what this one had. */
	other = economy;
	hinted = true;
	for (unsigned int i = 0; i < 1000; i++, now_ns += STEP_NS)
		cycle_step(&other, POLICY_MAY_SHARE, 0, now_ns);
	hinted = false;
	for (unsigned int i = 0; i < PAGES; i++)
		states[i] = PAGE_STATE_PRIVATE;
	assert_in_range(looks_in(1, 0), SCAN * 3 / 4, SCAN);
}

static void one_that_gains_is_looked_at_at_once(void **state)
{
	(void)state;
	looks_in(20, 0);
	equal = true;
	/* At the end of the slow round. */
	looks_in(17, 0);
	for (unsigned int i = 0; i < PAGES; i++)
		states[i] = PAGE_STATE_PRIVATE;
	assert_in_range(looks_in(2, 0), SCAN / 2, 4 * SCAN);
}

static void short_memory_is_in_a_hurry(void **state)
{
	(void)state;
	looks_in(20, 0);
	assert_in_range(looks_in(2, POLICY_MAY_SHARE), SCAN * 3 / 2, 2 * SCAN);
}

static unsigned int count_state(enum page_state state)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		count += states[i] == state;
	return count;
}

/* Nothing is to be taken from the guest: but what it has in the store takes memory that others need. */
static void what_is_compressed_goes_on(void **state)
{
	(void)state;
	disk = true;
	for (unsigned int i = 0; i < PAGES; i += 3)
		states[i] = PAGE_STATE_COMPRESSED;
	compressed_ns = now_ns;
	moves = 0;
	looks_in(20, POLICY_MAY_COMPRESS);
	assert_int_equal(count_state(PAGE_STATE_SWAPPED), 0);
	/* Where they may stay they are put together. */
	assert_true(moves > PAGES / 3);
	looks_in(5, POLICY_MAY_COMPRESS | POLICY_MAY_SWAP);
	assert_int_equal(count_state(PAGE_STATE_SWAPPED), 0);
	moves = 0;
	looks_in(7, POLICY_MAY_COMPRESS | POLICY_MAY_SWAP);
	assert_int_equal(moves, 0);
	assert_int_equal(count_state(PAGE_STATE_COMPRESSED), 0);
	assert_int_equal(count_state(PAGE_STATE_SWAPPED), PAGES / 3 + 1);
	assert_int_equal(count_state(PAGE_STATE_PRIVATE), PAGES - PAGES / 3 - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_that_rests_is_looked_at_less, setup),
		cmocka_unit_test_setup(new_pages_are_looked_at, setup),
		cmocka_unit_test_setup(what_others_have_is_looked_for, setup),
		cmocka_unit_test_setup(one_that_gains_is_looked_at_at_once, setup),
		cmocka_unit_test_setup(short_memory_is_in_a_hurry, setup),
		cmocka_unit_test_setup(what_is_compressed_goes_on, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
