/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine with guests around the memory economy, in simulated time: economy_poll() is called when it is due, guests
 * touch pages within the limits that ept/guest_memory.c keeps, their balloons follow their targets, and what the
 * economy wants to be rid of is taken by a cycle_step() that costs the CPU's time. No page has contents.
 */
#ifndef BALLAST_TEST_FAKE_ECONOMY_H
#define BALLAST_TEST_FAKE_ECONOMY_H

#include "balloon/economy_internal.h"
#include "test/unit/fake_clock.h"
#include "vcpu/balloon_port.h"

#define FAKE_GUESTS 8

struct fake_guest {
	struct vm vm;
	struct vm_balloon balloon;
	/* What it is like. */
	uint64_t wants_pages;     /* it touches new ones until it has so many */
	uint64_t touches_pages;   /* in a second, at most */
	uint64_t inflates_pages;  /* in a second; 0: its balloon does not move */
	uint64_t hot_pages;       /* of what it has, touched all at once every PROBE_NS */
	bool has_balloon;
	/* What happened. */
	uint64_t taken_pages;     /* by the economy */
	uint64_t hot_taken;       /* of these hot ones, in thousandths of a page */
	uint64_t owes_pages;      /* that this probe needs back */
	uint64_t probe_ns, longest_ns; /* when the running one began; 0: none runs */
	unsigned int probes, resets, told, stats_wanted;
	unsigned int permits;     /* cycle_step() was last called with, */
	uint64_t wanted_pages;
	uint64_t steps;           /* and how often */
};

#define FAKE_NEVER (~0ULL)
#define FAKE_PROBE_NS (2 * NS_PER_SEC)

extern struct fake_guest fake_guests[FAKE_GUESTS];
extern uint64_t fake_total;      /* frames for guests */
extern uint64_t fake_shared;     /* frames that are shared */
extern uint64_t fake_floor, fake_kept, fake_least; /* guest_memory_set_floor() */
extern uint64_t fake_take_ns;    /* of the CPU, to take a page; FAKE_NEVER: it cannot be done */
extern bool fake_no_memory;      /* nothing can be allocated */
extern bool fake_table;          /* the table of equal pages is there */
extern unsigned int fake_stopped; /* calls of vm_stop() */
extern unsigned int fake_notified; /* calls of cpu_notify() */
extern unsigned int fake_polls;

void fake_economy_begin(uint64_t total_pages);
/* It runs, and has nothing yet. */
struct fake_guest *fake_economy_add(uint64_t min_pages, uint64_t memory_pages, bool balloon);
void fake_economy_start(struct fake_guest *guest);
void fake_economy_stop(struct fake_guest *guest);
/* Let time pass, a millisecond at a time. */
void fake_economy_run(uint64_t ms);
/* All guests are removed. */
void fake_economy_end(void);
uint64_t fake_economy_free(void);

#endif
