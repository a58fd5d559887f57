/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine whose CPUs are threads, for tests under ThreadSanitizer: host/cpu.h, the clock and the
 * APIC's timer over pthreads and futexes. As on the real one, interrupts come only in irq_window(),
 * in cpu_idle(), and as the end of a fake guest's run. The TSC counts nanoseconds, but
 * MACHINE_TIME_LAPSE times as fast as real ones pass: more turns in a short test.
 *
 * Every atomic operation of the sources under test may give another thread the processor (see
 * yield_points.c), so that the narrow places between two of them are met often.
 */
#ifndef BALLAST_TEST_TSAN_MACHINE_H
#define BALLAST_TEST_TSAN_MACHINE_H

#include "host/clock.h"
#include "host/cpu.h"

#define MACHINE_TIME_LAPSE 4
#define MACHINE_CPUS_MAX 16

/* So many CPUs, with timer queues; none runs yet. */
void machine_init(unsigned int cpus);
/* `run` on every CPU, each a thread; returns when all have returned. */
void machine_run(void (*run)(struct cpu *cpu));
/*
 * Real time is up, as asked for on the command line: "PROGRAM SECONDS [SEED]". Any CPU. After this
 * the machine goes on until what was begun has ended, but not for ever: see machine_fail().
 */
bool machine_time_is_up(void);
/* Since machine_init(), not lapsed. */
uint64_t machine_real_ns(void);
/* From a random sequence of this CPU's own. */
uint32_t machine_random(void);
/* In [0, bound). */
uint32_t machine_random_below(uint32_t bound);
/* An interrupt waits for this CPU. */
bool machine_interrupt_pending(void);

/* The test has failed. */
void machine_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#define machine_check(condition)                                                                   \
	do {                                                                                       \
		if (!(condition))                                                                  \
			machine_fail("%s:%d: %s", __FILE__, __LINE__, #condition);                 \
	} while (0)

/* Reads the command line; the whole program takes at most `seconds` and a while more. */
void machine_arguments(int argc, char **argv);

#endif
