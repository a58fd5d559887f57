/* SPDX-License-Identifier: BSD-2-Clause */
/* Where kept pages are; see balloon/keep.h. */
#include "balloon/keep.h"

#include "balloon/pager.h"
#include "balloon/store.h"

int keep_fetch(
	struct guest_memory *memory, gpa_t gpa, enum page_keep keep, uint64_t handle, void *page)
{
	if (keep == PAGE_SWAPPED)
		return pager_fetch(memory, gpa, handle, page);
	return page ? store_get(handle, page) : 0;
}

void keep_forget(enum page_keep keep, uint64_t handle)
{
	if (keep == PAGE_COMPRESSED)
		store_drop(handle);
	else
		pager_forget(handle);
}
