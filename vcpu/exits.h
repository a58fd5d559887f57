/* SPDX-License-Identifier: BSD-2-Clause */
/* The dispatch table and the handlers that fill it. */
#ifndef BALLAST_VCPU_EXITS_H
#define BALLAST_VCPU_EXITS_H

#include "vcpu/cpuid.h"
#include "vcpu/guest_access.h"
#include "vcpu/msr.h"
#include "vcpu/vcpu.h"

/* Intel SDM vol. 3, "Debug Registers". */
#define DR6_FIXED 0xffff0ff0ULL
#define DR6_STATUS 0x0000e00fULL /* B0-B3, BD, BS, BT */
#define DR6_SINGLE_STEP BIT(14)
#define DR7_GENERAL_DETECT BIT(13)

/* Indexed by enum exit_kind; every entry is there (EXIT_HOST_INTERRUPT is the run loop's own). */
extern enum exit_action (*const exit_handlers[EXIT_KINDS])(struct vcpu *vcpu);

/* Control registers (vcpu/control.c). */
enum exit_action exit_cr(struct vcpu *vcpu);
enum exit_action exit_xsetbv(struct vcpu *vcpu);
/* Hypercalls (vcpu/hypercall.c). */
enum exit_action exit_hypercall(struct vcpu *vcpu);
/* Ports (vcpu/ports.c). */
enum exit_action exit_port(struct vcpu *vcpu);
enum exit_action exit_port_string(struct vcpu *vcpu);

#endif
