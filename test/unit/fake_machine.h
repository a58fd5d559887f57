/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine of several CPUs in virtual time, for tests of what runs on all of them: each CPU is a
 * coroutine, time passes only where one says so, and of those that wait the one whose time comes
 * first goes on. The same every time. Timers are host/timer.c's own. As on the real machine,
 * interrupts come in irq_window() and cpu_idle() alone, and end a guest's run.
 */
#ifndef BALLAST_TEST_FAKE_MACHINE_H
#define BALLAST_TEST_FAKE_MACHINE_H

#include "host/clock.h"
#include "host/cpu.h"

#define FAKE_MACHINE_CPUS 64

/* So many CPUs, which will do `main` over and over. */
void fake_machine_begin(unsigned int cpus, void (*main)(struct cpu *cpu));
void fake_machine_end(void);
/* Let time pass, for all CPUs. */
void fake_machine_run(uint64_t ns);
/* What the caller has done as CPU 0 is done: that one looks at its work. */
void fake_machine_nudge(void);
/* On a CPU: time passes until then, or until an interrupt waits. */
void fake_machine_pass(uint64_t until_ns);
bool fake_machine_interrupted(void);
/* Interrupts sent from CPU to CPU. */
uint64_t fake_machine_interrupts(void);

#endif
