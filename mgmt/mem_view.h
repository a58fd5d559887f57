/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures about memory for the commands that show them, and ten minutes of some. Boot CPU. */
#ifndef BALLAST_MGMT_MEM_VIEW_H
#define BALLAST_MGMT_MEM_VIEW_H

#include "balloon/memory_view.h"
#include "mgmt/mem_history.h"

struct managed_vm;

/* Of one that does not run: what it would have. */
void mem_view_vm(const struct managed_vm *managed, struct vm_memory_view *view);

/* "3.3 faults, 41 us a second; 1234 faults, 25 ms in all", behind `what`. */
void mem_view_print_cost(const char *what, const struct sampling_cost *cost);

/* The machine's free pages when samples of all VMs were taken. */
struct mem_machine_history {
	uint32_t samples; /* so far; the last is at (samples - 1) % MEM_HISTORY_SLOTS */
	uint32_t seconds[MEM_HISTORY_SLOTS]; /* since the start */
	uint32_t free_pages[MEM_HISTORY_SLOTS];
};
const struct mem_machine_history *mem_machine_history(void);

/* Take a sample when it is time. Returns when to call again. */
uint64_t mem_history_poll(void);

#endif
