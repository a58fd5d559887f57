/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the last fetched code page was found. Never trusted: each use reads the page-table entries
 * of the walk again and compares, so that the guest needs no flush to be seen; what it saves is
 * the search for where these entries and the page are in host memory.
 */
#ifndef BALLAST_VCPU_FETCH_CACHE_H
#define BALLAST_VCPU_FETCH_CACHE_H

#include "lib/util.h"

/* The tables a walk went through, so that the same walk can be repeated cheaply. */
struct walk_trail {
	const uint64_t *entries[5]; /* host addresses, leaf last */
	uint64_t values[5];
	unsigned int count;         /* 0: not repeatable */
};

struct fetch_cache {
	gva_t page;          /* linear, page aligned; 1: none */
	uint64_t cr3, cr4, efer;
	uint64_t generation; /* of the guest's memory, whose pointers these are */
	bool user;
	const uint8_t *code; /* the page */
	struct walk_trail trail;
};

#endif
