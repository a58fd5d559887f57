/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nested page tables have the form of ordinary long-mode tables (AMD APM vol. 2, "Nested Paging").
 * The hardware walks them as a user, so every level allows user accesses. Leaves choose entry 0 of
 * the host's PAT, write-back; the guest's own types are combined with that.
 */
#include "svm/svm.h"

#define NPT_PRESENT BIT(0)
#define NPT_WRITE BIT(1)
#define NPT_USER BIT(2)
#define NPT_ACCESSED BIT(5)
#define NPT_DIRTY BIT(6)
#define NPT_LARGE BIT(7)
#define NPT_NO_EXECUTE BIT(63)

struct s2_format svm_npt_format = {
	.name = "NPT",
	.table_bits = NPT_PRESENT | NPT_WRITE | NPT_USER,
	.leaf_bits = NPT_PRESENT | NPT_USER,
	.large_bit = NPT_LARGE,
	.present = NPT_PRESENT,
	.write = NPT_WRITE,
	.no_exec = NPT_NO_EXECUTE,
	.accessed = NPT_ACCESSED,
	.dirty = NPT_DIRTY,
};
