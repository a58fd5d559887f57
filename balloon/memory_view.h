/* SPDX-License-Identifier: BSD-2-Clause */
/* What the memory economy tells of itself, as mgmt/ shows it. In pages of 4 KiB. */
#ifndef BALLAST_BALLOON_MEMORY_VIEW_H
#define BALLAST_BALLOON_MEMORY_VIEW_H

#include "balloon/policy.h"

/* What it costs to tell how many of a guest's pages are in use, or of all guests'. */
struct sampling_cost {
	uint64_t pages;  /* that were watched */
	uint64_t faults; /* touches of them, each of which brought one back */
	uint64_t ticks;  /* of the boot CPU's TSC, to take, look at and put back */
	uint64_t faults_per_1000_s, ns_per_s; /* in the last whole period */
};

struct memory_view {
	enum policy_state state;
	uint64_t state_ns[POLICY_STATES]; /* how long which was, somebody taking part */
	uint64_t total_pages;      /* for guests, and what is needed for them */
	uint64_t free_pages;
	uint64_t private_pages;    /* frames that are one page of one guest */
	uint64_t shared_pages;     /* frames that are several pages, of one guest or of several */
	uint64_t saved_pages;      /* that these would take besides */
	uint64_t zero_pages;       /* that stand on the frame of zeroes */
	uint64_t compressed_pages; /* that are in the store */
	uint64_t store_pages;      /* frames of the store */
	uint64_t swapped_pages;
	uint64_t ballooned_pages;
	uint64_t overhead_pages;   /* records and tables of the guests */
	struct sampling_cost sampling;
};

struct vm_memory_view {
	uint64_t memory_pages;     /* that it may use now */
	uint64_t max_pages;        /* that it sees */
	uint64_t min_pages;        /* guaranteed */
	uint32_t shares;
	uint64_t entitled_pages, target_pages;
	uint64_t resident_pages;   /* that it has, shared ones and zeroes among them */
	uint64_t active_pages;     /* of these, by estimate; the others are idle */
	uint64_t price;            /* policy_price() */
	bool has_balloon;
	uint64_t balloon_target_pages, balloon_pages;
	uint64_t shared_pages;     /* of its pages, on frames with several of them */
	uint64_t saved_pages;      /* its part of what that saves */
	uint64_t zero_pages, compressed_pages, swapped_pages;
	uint64_t pinned_pages;     /* that are not taken, whatever the need */
	uint64_t faults_per_second; /* on pages that were taken away */
	struct sampling_cost sampling;
	uint64_t waiting_since_ns; /* a vCPU waits for memory since then; 0: none */
};

#endif
