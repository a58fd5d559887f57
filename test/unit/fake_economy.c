/* SPDX-License-Identifier: BSD-2-Clause */
#include "test/unit/fake_economy.h"

#include <stdlib.h>
#include <string.h>

#include "balloon/keep.h"
#include "balloon/pager.h"
#include "balloon/share.h"
#include "balloon/store.h"
#include "host/cpu.h"
#include "host/log.h"

#define TICK_NS NS_PER_MS
#define BATCH 8U /* pages that are taken in a step */
#define STEP_NS (2 * NS_PER_MS)

struct fake_guest fake_guests[FAKE_GUESTS];
uint64_t fake_total, fake_shared, fake_floor, fake_kept, fake_least, fake_take_ns;
bool fake_no_memory, fake_table;
unsigned int fake_stopped, fake_notified, fake_polls;
static unsigned int guests;
static uint64_t due_ns;
static bool notified;

static struct fake_guest *guest_of(const struct guest_memory *memory)
{
	return container_of(container_of(memory, struct vm, memory), struct fake_guest, vm);
}

/* --- The machine --- */

static uint64_t guest_frames(void)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < guests; i++)
		pages += fake_guests[i].vm.memory.resident_pages;
	return pages;
}

uint64_t fake_economy_free(void)
{
	uint64_t used = guest_frames() + fake_shared;

	return fake_total - MIN(fake_total, used);
}

uint64_t frame_free_count(void)
{
	return fake_economy_free();
}

void frame_get_stats(struct memory_stats *stats)
{
	*stats = (struct memory_stats){ .total_frames = fake_total };
	stats->frames[FRAME_FREE] = fake_economy_free();
	stats->frames[FRAME_GUEST] = guest_frames();
	stats->frames[FRAME_SHARED] = fake_shared;
}

void *heap_alloc(size_t bytes, enum frame_use use)
{
	(void)use;
	return fake_no_memory ? NULL : calloc(1, bytes);
}

void heap_free(void *object)
{
	free(object);
}

struct cpu *cpu_by_id(unsigned int id)
{
	(void)id;
	return NULL;
}

void cpu_notify(struct cpu *cpu)
{
	(void)cpu;
	fake_notified++;
	notified = true;
}

void log_line(const char *format, ...)
{
	(void)format;
}

void guest_memory_set_floor(uint64_t frames, uint64_t kept, uint64_t least)
{
	fake_floor = frames;
	fake_kept = kept;
	fake_least = least;
}

uint64_t guest_memory_pinned(struct guest_memory *memory)
{
	(void)memory;
	return 0;
}

void vm_memory_came(struct vm *vm, bool devices)
{
	container_of(vm, struct fake_guest, vm)->told += devices;
}

void vm_stop(struct vm *vm, enum vm_stop reason, uint32_t status, const char *why)
{
	(void)status, (void)why;
	vm->stop = reason;
	fake_stopped++;
}

/* --- The economy's other parts --- */

int store_init(void)
{
	return 0;
}

void store_set_limit(uint64_t frames)
{
	(void)frames;
}

void store_get_stats(struct store_stats *stats)
{
	*stats = (struct store_stats){ 0 };
}

int share_init(uint64_t frames)
{
	(void)frames;
	fake_table = !fake_no_memory;
	return fake_no_memory ? -ENOMEM : 0;
}

void share_exit(void)
{
	fake_table = false;
}

unsigned int share_prune(unsigned int entries)
{
	(void)entries;
	return 0;
}

void share_get_stats(struct share_stats *stats)
{
	*stats = (struct share_stats){ .frames = fake_shared };
}

bool swap_available(void)
{
	return true;
}

int pager_init(void (*came)(struct guest_memory *memory))
{
	(void)came;
	return 0;
}

void pager_cancel(const struct guest_memory *memory)
{
	(void)memory;
}

int keep_fetch(struct guest_memory *memory, gpa_t gpa, enum page_keep keep, uint64_t handle, void *page)
{
	(void)memory, (void)gpa, (void)keep, (void)handle, (void)page;
	return -EIO;
}

void keep_forget(enum page_keep keep, uint64_t handle)
{
	(void)keep, (void)handle;
}

void cycle_reset(struct vm_economy *economy)
{
	guest_of(&economy->vm->memory)->resets++;
	economy->due_ns = 0;
}

/* Hot pages go as any others: nobody knows them. */
static void take_page(struct fake_guest *guest)
{
	uint64_t resident = guest->vm.memory.resident_pages;

	guest->hot_taken += MIN(1000 * guest->hot_pages / resident, 1000U);
	guest->vm.memory.resident_pages--;
	guest->taken_pages++;
}

uint64_t cycle_step(struct vm_economy *economy, unsigned int permits, uint64_t wanted_pages, uint64_t now_ns)
{
	struct fake_guest *guest = guest_of(&economy->vm->memory);
	uint64_t pages = MIN(MIN(wanted_pages, guest->vm.memory.resident_pages), BATCH);

	guest->permits = permits;
	guest->wanted_pages = wanted_pages;
	guest->steps++;
	if (!(permits & POLICY_MAY_COMPRESS) || !pages || fake_take_ns == FAKE_NEVER)
		return 0;
	for (uint64_t i = 0; i < pages; i++)
		take_page(guest);
	fake_clock_stall(pages * fake_take_ns);
	return now_ns + STEP_NS;
}

/* --- Guests --- */

/* As in ept/guest_memory.c. */
static bool may_take(const struct guest_memory *memory)
{
	if (memory->resident_pages < memory->guaranteed_pages)
		return fake_economy_free() > fake_least;
	if (memory->resident_pages < memory->ceiling_pages)
		return fake_economy_free() > fake_floor + fake_kept;
	return memory->faults < memory->ceiling_faults && fake_economy_free() > fake_floor;
}

static bool touch(struct fake_guest *guest)
{
	struct guest_memory *memory = &guest->vm.memory;

	if (may_take(memory)) {
		memory->resident_pages++;
		memory->faults++;
		return true;
	}
	memory->waits++;
	memory->keeper->needed(memory);
	return false;
}

/* What one tick has of so many in a second, in the long run. */
static uint64_t portion(uint64_t pages, uint64_t tick)
{
	return pages * (tick + 1) / 1000 - pages * tick / 1000;
}

static void probe(struct fake_guest *guest, uint64_t now_ns)
{
	if (!guest->probe_ns && now_ns / FAKE_PROBE_NS > guest->probes) {
		guest->probes = (unsigned int)(now_ns / FAKE_PROBE_NS);
		guest->probe_ns = now_ns;
		guest->owes_pages = guest->hot_taken / 1000;
		guest->hot_taken %= 1000;
	}
	while (guest->owes_pages && touch(guest))
		guest->owes_pages--;
	if (guest->probe_ns)
		guest->longest_ns = MAX(guest->longest_ns, now_ns - guest->probe_ns);
	if (!guest->owes_pages)
		guest->probe_ns = 0;
}

static void move_balloon(struct fake_guest *guest, uint64_t tick)
{
	struct vm_balloon *balloon = &guest->balloon;
	uint64_t pages = portion(guest->inflates_pages, tick);

	if (balloon->actual_pages > balloon->target_pages)
		balloon->actual_pages = balloon->target_pages;
	for (; pages && balloon->actual_pages < balloon->target_pages; pages--) {
		uint64_t *resident = &guest->vm.memory.resident_pages;

		balloon->actual_pages++;
		/* Pages of no use go first; then it has to give up some that it has. */
		*resident -= *resident && *resident + balloon->actual_pages > guest->vm.memory.limit_pages;
	}
}

static void live(struct fake_guest *guest, uint64_t now_ns)
{
	uint64_t tick = now_ns / TICK_NS;
	uint64_t room = guest->vm.memory.limit_pages - guest->balloon.actual_pages;

	if (guest->has_balloon)
		move_balloon(guest, tick);
	for (uint64_t i = portion(guest->touches_pages, tick); i; i--) {
		if (guest->vm.memory.resident_pages >= MIN(guest->wants_pages, room) || !touch(guest))
			break;
	}
	if (guest->hot_pages)
		probe(guest, now_ns);
}

void fake_economy_run(uint64_t ms)
{
	uint64_t until_ns = clock_now_ns() + ms * NS_PER_MS;

	while (clock_now_ns() < until_ns) {
		if (notified || (due_ns && clock_now_ns() >= due_ns)) {
			notified = false;
			fake_polls++;
			due_ns = economy_poll();
		}
		fake_clock_advance(TICK_NS);
		for (unsigned int i = 0; i < guests; i++)
			if (fake_guests[i].vm.state == VM_RUNNING)
				live(&fake_guests[i], clock_now_ns());
	}
}

/* --- Beginning and end --- */

static void target_is_another(struct vm_balloon *balloon)
{
	(void)balloon;
}

static void figures_are_wanted(struct vm_balloon *balloon)
{
	container_of(balloon, struct fake_guest, balloon)->stats_wanted++;
}

void fake_economy_begin(uint64_t total_pages)
{
	static bool again;

	memset(fake_guests, 0, sizeof(fake_guests));
	guests = 0;
	/* The economy remembers when it did what: time goes on. */
	if (!again)
		fake_clock_reset(0);
	again = true;
	fake_clock_advance(NS_PER_SEC);
	fake_total = total_pages;
	fake_shared = 0;
	fake_take_ns = 0;
	fake_no_memory = false;
	fake_stopped = fake_notified = fake_polls = 0;
	due_ns = 0;
	notified = true;
}

void fake_economy_start(struct fake_guest *guest)
{
	guest->vm.stop = VM_STOP_NONE;
	guest->vm.started_ns = clock_now_ns();
	guest->vm.state = VM_RUNNING;
	guest->probes = (unsigned int)(clock_now_ns() / FAKE_PROBE_NS);
	guest->balloon.live = guest->has_balloon;
	notified = true;
}

void fake_economy_stop(struct fake_guest *guest)
{
	guest->vm.state = VM_STOPPED;
	guest->vm.memory.resident_pages = 0;
	guest->balloon.live = false;
	guest->balloon.actual_pages = 0;
	notified = true;
}

struct fake_guest *fake_economy_add(uint64_t min_pages, uint64_t memory_pages, bool balloon)
{
	const struct economy_terms terms = { .min_pages = min_pages, .memory_pages = memory_pages, .shares = 1000 };
	struct fake_guest *guest = &fake_guests[guests];

	guest->vm.memory.limit_pages = guest->vm.memory.boot_pages = memory_pages;
	guest->vm.memory.ceiling_pages = UINT64_MAX;
	guest->has_balloon = balloon;
	guest->balloon.retarget = target_is_another;
	guest->balloon.want_stats = figures_are_wanted;
	if (balloon)
		guest->vm.balloon = &guest->balloon;
	if (economy_add(&guest->vm, &terms))
		return NULL;
	guests++;
	fake_economy_start(guest);
	return guest;
}

void fake_economy_end(void)
{
	for (unsigned int i = 0; i < guests; i++)
		economy_remove(&fake_guests[i].vm);
	/* What it remembers of them goes with the next look. */
	fake_shared = 0;
	for (unsigned int i = 0; i < 4; i++) {
		fake_clock_advance(NS_PER_SEC);
		economy_poll();
	}
}
