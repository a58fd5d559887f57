/* SPDX-License-Identifier: BSD-2-Clause */
/* The port with which a test guest ends its VM: any write stops it with the value as status. */
#ifndef BALLAST_DEVICES_DEBUG_EXIT_H
#define BALLAST_DEVICES_DEBUG_EXIT_H

#include "vcpu/vm.h"

int debug_exit_create(struct vm *vm) __must_check;

#endif
