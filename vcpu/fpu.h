/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's x87, SSE, AVX, AVX-512 and PKRU state. The host never touches these registers, so
 * they stay in the CPU from exit to entry and are switched only when another vCPU is loaded.
 */
#ifndef BALLAST_VCPU_FPU_H
#define BALLAST_VCPU_FPU_H

#include "lib/util.h"

/*
 * Once on each CPU, before any vCPU is loaded: makes XSAVE usable there. The boot CPU, first of
 * all, finds out what there is to switch.
 */
void fpu_cpu_init(void);
/* Components that are switched, and so may be offered to guests (as in XCR0); 0: no XSAVE. */
uint64_t fpu_components(void);

/* An XSAVE area for all components that are switched; heap_free() takes it. NULL: no memory. */
void *fpu_alloc(void) __must_check;
/* The state after power-up. */
void fpu_reset(void *area);
/* `xcr0`: the guest's own, which is in the CPU while its state is. */
void fpu_save(void *area, uint64_t *xcr0);
void fpu_restore(const void *area, uint64_t xcr0);
/* Of the vCPU that is loaded. XSETBV need not exit, so the register itself is asked. */
uint64_t fpu_guest_xcr0(void);

#endif
