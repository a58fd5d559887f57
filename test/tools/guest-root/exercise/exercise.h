/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program for Linux guests of the tests, linked statically. It strains what a hypervisor must get right for
 * several CPUs, and checks each result; or it is a load, well-behaved or not, of which another guest should feel
 * nothing. Stages fail by failed(), which says what was wrong; nothing is left to the eye.
 */
#ifndef EXERCISE_H
#define EXERCISE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define CPUS_MAX 64

/* Set when the stage's time is over: its threads return. */
extern atomic_bool over;

/* The CPUs that are online. */
unsigned int cpu_count(void);
uint64_t now_ns(clockid_t clock);
/* The TSC; no earlier load is later, no later one earlier. */
uint64_t tsc_now(void);
/* The calling thread runs on this CPU from now on. */
void pin(unsigned int cpu);
/* xorshift; the seed must not be 0. */
uint64_t random_next(uint64_t *state);

/* What was wrong; the stage has failed. Any thread. */
void failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
unsigned int failed_count(void);
/* More about a stage, shown behind its verdict. Main thread. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Run `count` threads, number i on CPU i modulo their number, for the stage's time; return when all have ended. */
void crew_run(unsigned int count, void (*work)(unsigned int index));

/* Memory: translations that change under other CPUs' eyes. */
void stage_remap(void);
void stage_protect(void);
void stage_unmap(void);
/* CPUs that wait for one another. */
void stage_barrier(void);
void stage_futex(void);
void stage_pipe(void);
void stage_migrate(void);
void stage_fork(void);
/* Time. */
void stage_timers(void);
void stage_clocks(void);
/* Look until `over` whether a clock of this CPU is behind what another has seen. The thread is on that CPU. */
void clocks_watch(unsigned int cpu);

/* Loads: for ever. */
int load_spin(void);
int load_forks(void);
int load_ipis(void);
int load_timers(void);
/* Work in equal portions; says each second of CLOCK_MONOTONIC how many there were, for so many seconds. */
int load_victim(unsigned int seconds);
/* Say all clocks at once, each so many seconds, so many times; meanwhile every CPU is busy comparing clocks. */
int load_clocks(unsigned int every_s, unsigned int times);
/*
 * Hold so much memory, of text or of what does not compress; no seed gives a page of another's. Orders: a number, so
 * many MiB are touched from now on, each so many milliseconds (0: ten times a second); `mark NUMBER SECOND`, write that
 * to every page, beginning at that second of the real-time clock; `check`, compare all of it with what it must be.
 */
int load_touch(unsigned int mib, unsigned int own_seed, bool text, int every_ms);
/* Do a little, with pauses of so many ms; at any order, say how long it took since the last one. */
int load_probe(unsigned int pause_ms);
/*
 * Children take memory until the kernel kills them, one after the other with a pause of seconds; every second one's
 * compresses. At any order, say how many there were.
 */
int load_bomb(unsigned int pause_s);
/* Read random records of 64 KiB of a file's first MIB, and say how many, each so many seconds, for ever. */
int load_read(const char *path, unsigned int mib, unsigned int every_s);
/* Make so many files of KIB on average, then read and write them at random, likewise. */
int load_serve(const char *folder, unsigned int files, unsigned int kib, unsigned int every_s);

#endif
