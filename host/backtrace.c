/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/backtrace.h"

#include "host/cpu.h"
#include "host/descriptor.h"
#include "host/init.h"
#include "host/memory.h"
#include "host/symbols.h"
#include "lib/printf.h"

/* Does a call instruction end at `address`? E8 with 32-bit offset, or FF /2 in its short forms. */
static bool follows_call(uint64_t address)
{
	const uint8_t *at = (const uint8_t *)(uintptr_t)address;

	if (address < (uint64_t)(uintptr_t)image_text + 8 ||
	    address > (uint64_t)(uintptr_t)image_text_end)
		return false;
	if (at[-5] == 0xe8)
		return true;
	for (int length = 2; length <= 7; length++)
		if (at[-length] == 0xff && (at[-length + 1] >> 3 & 7) == 2)
			return true;
	return false;
}

/*
 * The part of a stack that is in use above `rsp`, so that the scan stays on mapped memory: empty
 * when `rsp` is on none of our stacks. An overflown stack, `rsp` in its guard, is in use wholly.
 */
static void find_stack(uint64_t rsp, uint64_t *start, uint64_t *end)
{
	struct cpu_area *area = host_ptr(ROUND_DOWN(rsp, sizeof(*area)));
	const struct memory_range stacks[] = {
		{host_phys(area->stack_double_fault), sizeof(area->stack_double_fault)},
		{host_phys(area->stack_nmi), sizeof(area->stack_nmi)},
		{host_phys(area->stack_machine_check), sizeof(area->stack_machine_check)},
		{host_phys(area->stack_main), sizeof(area->stack_main)},
	};
	bool ours = false;

	*start = rsp;
	*end = rsp;
	for (unsigned int id = 0; cpu_by_id(id); id++)
		ours |= container_of(cpu_by_id(id), struct cpu_area, cpu) == area;
	for (size_t i = 0; ours && i < ARRAY_SIZE(stacks); i++) {
		uint64_t top = stacks[i].start + stacks[i].bytes;

		if (rsp < stacks[i].start - PAGE_SIZE || rsp >= top)
			continue;
		*start = MAX(rsp, stacks[i].start);
		*end = top;
	}
}

unsigned int backtrace_scan(uint64_t rsp, uint64_t *addresses, unsigned int most)
{
	unsigned int count = 0;
	uint64_t at, end;

	find_stack(rsp & ~7ULL, &at, &end);
	for (; at < end && count < most; at += 8) {
		uint64_t word = *(const uint64_t *)host_ptr(at);

		if (follows_call(word))
			addresses[count++] = word;
	}
	return count;
}

void backtrace_describe(uint64_t address, char text[BACKTRACE_TEXT_BYTES])
{
	char name[SYMBOL_NAME_BYTES];
	uint64_t offset;

	if (symbol_find(address, name, &offset))
		snprintf(text, BACKTRACE_TEXT_BYTES, "%s+0x%lx (image+0x%lx)", name, offset,
			address - (uint64_t)(uintptr_t)image_text);
	else
		snprintf(text, BACKTRACE_TEXT_BYTES, "0x%016lx", address);
}
