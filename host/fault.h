/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults on demand, for tests of what notices them. Only in ballast-faults.efi: ballast.efi has
 * none of this.
 */
#ifndef BALLAST_HOST_FAULT_H
#define BALLAST_HOST_FAULT_H

#include "host/cpu.h"

/* `cpu`, where it serves its next interrupt, spins for so long with interrupts off. Any CPU. */
void fault_spin(struct cpu *cpu, uint64_t ns);
/* Where a CPU serves the kick that tells it. */
void fault_serve(void);

#endif
