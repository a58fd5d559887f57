/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's memory in the last ten minutes. */
#ifndef BALLAST_MGMT_MEM_HISTORY_H
#define BALLAST_MGMT_MEM_HISTORY_H

#include "lib/util.h"

#define MEM_HISTORY_SLOTS 60U
#define MEM_HISTORY_PERIOD_NS (10 * NS_PER_SEC)

/* In pages, none for when it did not run; at the times of struct mem_machine_history. */
struct mem_history {
	uint32_t resident_pages[MEM_HISTORY_SLOTS];
	uint32_t active_pages[MEM_HISTORY_SLOTS];
	uint32_t target_pages[MEM_HISTORY_SLOTS];
};

#endif
