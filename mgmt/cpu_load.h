/* SPDX-License-Identifier: BSD-2-Clause */
/* How busy the machine's CPUs have been lately. Boot CPU. */
#ifndef BALLAST_MGMT_CPU_LOAD_H
#define BALLAST_MGMT_CPU_LOAD_H

#include "lib/util.h"

/* Take a sample when it is time; returns when to call again. */
uint64_t cpu_load_poll(void);
/* Percent of the last second or two that the CPU did not halt. */
unsigned int cpu_load_percent(unsigned int id);

#endif
