/* SPDX-License-Identifier: BSD-2-Clause */
/* How an EPT entry is written (Intel SDM vol. 3, "The Extended Page Table Mechanism (EPT)"). */
#include "vmx/vmx.h"

#define ENTRY_READ BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_EXEC BIT(2)
#define ENTRY_WRITE_BACK (6 << 3)
/*
 * The guest's PAT has no say: all of its memory is the host's ordinary RAM, and two memory types
 * for one frame would be slow and, for the host's own view of it, undefined.
 */
#define ENTRY_IGNORE_PAT BIT(6)
#define ENTRY_LARGE BIT(7)
#define ENTRY_ACCESSED BIT(8)
#define ENTRY_DIRTY BIT(9)

struct s2_format vmx_ept_format = {
	.name = "EPT",
	.table_bits = ENTRY_READ | ENTRY_WRITE | ENTRY_EXEC,
	.leaf_bits = ENTRY_WRITE_BACK | ENTRY_IGNORE_PAT,
	.large_bit = ENTRY_LARGE,
	.present = ENTRY_READ | ENTRY_WRITE | ENTRY_EXEC,
	.read = ENTRY_READ,
	.write = ENTRY_WRITE,
	.exec = ENTRY_EXEC,
};

void vmx_ept_format_init(uint64_t ept_vpid)
{
	vmx_ept_format.huge_pages = ept_vpid & EPT_CAP_1G;
	if (ept_vpid & EPT_CAP_ACCESSED_DIRTY) {
		vmx_ept_format.accessed = ENTRY_ACCESSED;
		vmx_ept_format.dirty = ENTRY_DIRTY;
	}
}
