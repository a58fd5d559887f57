/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the tests of svm/: one vCPU on one CPU, with a function in place of the hardware that sees
 * and changes the VMCB as VMRUN would, and what svm/ calls in other folders.
 */
#ifndef BALLAST_TEST_UNIT_FAKE_SVM_H
#define BALLAST_TEST_UNIT_FAKE_SVM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "svm/svm.h"

extern struct vmcb vmcb;
extern struct svm_cpu cpu;
extern unsigned int mitigated_runs; /* of those through the longer way */
extern unsigned int pokes;         /* of the own CPU */
extern unsigned int offers;        /* by the own APIC, anew */
extern struct svm_vcpu svm;
extern struct vcpu vcpu;
/* What VMRUN does: it is called with the VMCB of the entry and leaves that of the exit. */
extern void (*hardware)(struct vmcb *vmcb);

/* A fresh vCPU at RIP 0x1000 with interrupts on, on a CPU without optional features. */
int setup(void **state);
/* Enter and come back with this exit, all registers unchanged; the kind that is made of it. */
enum exit_kind run(uint64_t code, uint64_t info1, uint64_t info2);

/* Bytes at the guest's RIP, or the error in fetching them. */
extern const uint8_t *fetched;
extern int fetch_error;

/* The CPU's own CR2. */
extern uint64_t written_cr2;

/* A sink for lines, and what came into it. */
extern char lines[4096];
void collect(const char *format, ...) __printf(1, 2);

#endif
