/* SPDX-License-Identifier: BSD-2-Clause */
/* Where kept pages are: compressed ones in the store, others with the pager. */
#ifndef BALLAST_BALLOON_KEEP_H
#define BALLAST_BALLOON_KEEP_H

#include "ept/guest_memory.h"

/* As memory_keeper.fetch and forget. Any CPU, under memory.lock. */
int keep_fetch(struct guest_memory *memory, gpa_t gpa, enum page_keep keep, uint64_t handle,
	void *page) __must_check;
void keep_forget(enum page_keep keep, uint64_t handle);

#endif
