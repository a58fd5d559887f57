/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk of the guest's page tables (Intel SDM vol. 3, "Paging"; AMD APM vol. 2, "Page
 * Translation and Protection"), without queueing anything: guest_access.c decides what a failed
 * walk means. Own vCPU, loaded.
 *
 * Protection keys are not checked: the hardware has done so for the access that made the exit, and
 * they protect no one but the program that sets them.
 */
#ifndef BALLAST_VCPU_GUEST_WALK_H
#define BALLAST_VCPU_GUEST_WALK_H

#include "vcpu/guest_access.h"

/* What a walk, and the checks of an access, need of the registers. */
#define WALK_REGISTERS                                                                             \
	(REG_CR0 | REG_CR3 | REG_CR4 | REG_EFER | REG_SS | REG_RFLAGS)

/*
 * 0 and the address; -EFAULT and the error code of the #PF; -EAGAIN when a table cannot be had
 * now. `trail` may be NULL. Accessed and dirty bits are set. WALK_REGISTERS are valid.
 */
int guest_walk(struct vcpu *vcpu, gva_t linear, uint64_t access, gpa_t *gpa, uint32_t *error,
	struct walk_trail *trail) __must_check;

/* Where the walk of the three formats with wide entries begins: its first entry. */
gpa_t guest_walk_root(const struct vcpu *vcpu, gva_t linear);

/* Is this RAM that the guest may write? */
bool guest_ram_writable(const struct vcpu *vcpu, gpa_t gpa);

#endif
