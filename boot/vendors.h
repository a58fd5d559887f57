/* SPDX-License-Identifier: BSD-2-Clause */
/* The hardware layers in this build: the only place that names them both. */
#ifndef BALLAST_BOOT_VENDORS_H
#define BALLAST_BOOT_VENDORS_H

#include "vcpu/hw.h"

extern const struct hw_ops vmx_ops, svm_ops;

#endif
