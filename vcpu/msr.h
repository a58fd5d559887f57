/* SPDX-License-Identifier: BSD-2-Clause */
/* MSR policy: which exit, which do not, what the rest read as and accept. */
#ifndef BALLAST_VCPU_MSR_H
#define BALLAST_VCPU_MSR_H

#include "vcpu/vcpu.h"

/* Intel SDM vol. 4, IA32_MISC_ENABLE: fast strings; no BTS, no PEBS. */
#define MISC_ENABLE_RESET (BIT(0) | BIT(11) | BIT(12))

/*
 * MSRs that a guest reads and writes without an exit, because hardware or vcpu_load() switches
 * them (struct msr_state, segment bases). The vendors build their bitmaps from this list, less
 * those that the machine does not have.
 */
extern const uint32_t msr_passthrough[];
extern const size_t msr_passthrough_count;

enum exit_action exit_rdmsr(struct vcpu *vcpu);
enum exit_action exit_wrmsr(struct vcpu *vcpu);

#endif
