/* SPDX-License-Identifier: BSD-2-Clause */
/* mem history: the figures behind `mem graph`, a line for each sample of one VM. */
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/mem_view.h"
#include "mgmt/vms.h"

#define TENTHS_PER_MIB 10

struct tenths {
	unsigned long long mib, rest;
};

static struct tenths tenths(uint64_t pages)
{
	uint64_t number = pages * TENTHS_PER_MIB >> (20 - PAGE_SHIFT);

	return (struct tenths){ number / TENTHS_PER_MIB, number % TENTHS_PER_MIB };
}

void cmd_mem_history(const struct shell_call *call)
{
	const struct mem_machine_history *machine = mem_machine_history();
	const struct mem_history *past = &call->vm->memory_history;
	uint32_t first = machine->samples - MIN(machine->samples, MEM_HISTORY_SLOTS);

	console_print("%9s %9s %9s %9s %9s   (MiB)\n", "SECOND", "FREE", "IN USE", "ACTIVE",
		"TARGET");
	for (uint32_t sample = first; sample != machine->samples; sample++) {
		unsigned int slot = sample % MEM_HISTORY_SLOTS;
		struct tenths free = tenths(machine->free_pages[slot]);
		struct tenths used = tenths(past->resident_pages[slot]);
		struct tenths active = tenths(past->active_pages[slot]);
		struct tenths target = tenths(past->target_pages[slot]);

		console_print("%9u %7llu.%llu %7llu.%llu %7llu.%llu %7llu.%llu\n",
			machine->seconds[slot], free.mib, free.rest, used.mib, used.rest,
			active.mib, active.rest, target.mib, target.rest);
	}
}
