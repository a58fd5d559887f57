/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU that spins on what another one of its VM will do wastes its turn when that one waits for a
 * CPU: it gives the turn away. Hardware tells loops of PAUSE from a few (VMX: PAUSE-loop exiting;
 * SVM: pause filter). Where it cannot, each PAUSE exits, but only while another vCPU of the VM
 * waits for a CPU, and they are counted here.
 */
#ifndef BALLAST_VCPU_PAUSE_H
#define BALLAST_VCPU_PAUSE_H

#include "vcpu/exit.h"

struct vcpu;

/* The vCPU gets its CPU. Own CPU, vCPU loaded. */
void pause_scheduled(struct vcpu *vcpu);
enum exit_action exit_pause(struct vcpu *vcpu);

#endif
