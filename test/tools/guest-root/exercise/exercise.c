/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exercise check SECONDS [STAGE...]   strain this machine, each stage so long; a line for each, then a line of all
 * exercise spin|forks|ipis|timers     be a load
 * exercise victim SECONDS             say how much work gets done
 * exercise clocks EVERY TIMES         say what the clocks say
 * exercise touch MIB SEED [text|MS]   hold memory, and touch as much of it as it is told
 * exercise probe [EVERY_MS]           do a little, and say how long it took
 * exercise bomb PAUSE                 take memory until the kernel kills it, again and again
 * exercise read FILE MIB EVERY        read random records
 * exercise serve FOLDER FILES KIB EVERY   read and write many files
 */
#define _GNU_SOURCE
#include "exercise.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>
#include <x86intrin.h>

#define KLOG_READ_ALL 3
#define FAILURES_SHOWN 5

atomic_bool over;
static atomic_uint failures; /* of this stage */
static char notes[512];
static double stage_s;

static const struct stage {
	const char *name;
	void (*run)(void);
} stages[] = {
	{ "remap", stage_remap },     { "protect", stage_protect }, { "unmap", stage_unmap },
	{ "barrier", stage_barrier }, { "futex", stage_futex },     { "pipe", stage_pipe },
	{ "migrate", stage_migrate }, { "fork", stage_fork },       { "timers", stage_timers },
	{ "clocks", stage_clocks },
};
#define STAGES (sizeof(stages) / sizeof(stages[0]))

/*
 * What the kernel says when a CPU, its timer or its clock went missing. That an interrupt took long
 * is not among it: on a busy build machine an emulated CPU may stand still meanwhile.
 */
static const char *const complaints[] = {
	"soft lockup", "hard LOCKUP", "self-detected stall", "detected stalls on", "rcu: INFO:",
	"blocked for more than", "Marking clocksource", "Marking TSC unstable", "TSC synchronization", "TSC warped",
	"handler took too long", "BUG:", "WARNING: CPU", "Oops", "general protection", "No irq handler for",
	"nobody cared", "Spurious", "unchecked MSR access", "not responding", "APIC error", "timer interrupt is lost",
	"segfault",
};
#define COMPLAINTS (sizeof(complaints) / sizeof(complaints[0]))

unsigned int cpu_count(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count < 1 ? 1 : count > CPUS_MAX ? CPUS_MAX : (unsigned int)count;
}

uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t tsc_now(void)
{
	uint64_t now;

	_mm_lfence();
	now = __rdtsc();
	_mm_lfence();
	return now;
}

void pin(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		failed("CPU %u cannot be used", cpu);
}

uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

void failed(const char *format, ...)
{
	char line[256];
	va_list arguments;

	if (atomic_fetch_add(&failures, 1) >= FAILURES_SHOWN)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	printf("exercise:   %s\n", line);
}

unsigned int failed_count(void)
{
	return atomic_load(&failures);
}

void note(const char *format, ...)
{
	size_t used = strlen(notes);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(notes + used, sizeof(notes) - used, format, arguments);
	va_end(arguments);
}

struct hand {
	pthread_t thread;
	unsigned int index;
	void (*work)(unsigned int index);
};

static void *hand_run(void *argument)
{
	struct hand *hand = argument;

	pin(hand->index % cpu_count());
	hand->work(hand->index);
	return NULL;
}

void crew_run(unsigned int count, void (*work)(unsigned int index))
{
	static struct hand hands[4 * CPUS_MAX];
	struct timespec time = { (time_t)stage_s, (long)((stage_s - (time_t)stage_s) * 1e9) };

	atomic_store(&over, false);
	for (unsigned int i = 0; i < count; i++) {
		hands[i].index = i;
		hands[i].work = work;
		if (pthread_create(&hands[i].thread, NULL, hand_run, &hands[i]) != 0) {
			perror("exercise: pthread_create");
			exit(2);
		}
	}
	nanosleep(&time, NULL);
	atomic_store(&over, true);
	for (unsigned int i = 0; i < count; i++)
		pthread_join(hands[i].thread, NULL);
}

/* What a line of /proc/interrupts counts on all CPUs together, and the least of one CPU. */
static bool interrupts_read(const char *label, uint64_t *sum, uint64_t *least)
{
	FILE *file = fopen("/proc/interrupts", "r");
	static char line[4096];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		char *at = line + strspn(line, " ");

		if (strncmp(at, label, strlen(label)) != 0)
			continue;
		found = true;
		*sum = 0;
		*least = UINT64_MAX;
		at += strlen(label);
		for (unsigned int cpu = 0; cpu < cpu_count(); cpu++) {
			uint64_t value = strtoull(at, &at, 10);

			*sum += value;
			if (value < *least)
				*least = value;
		}
	}
	if (file)
		fclose(file);
	return found;
}

/* Timer interrupts came on every CPU; and of the interrupts from CPU to CPU, each kind. */
static void check_interrupts(void)
{
	static const char *const labels[] = { "LOC:", "RES:", "CAL:", "TLB:" };

	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		uint64_t sum, least;

		if (!interrupts_read(labels[i], &sum, &least)) {
			failed("/proc/interrupts has no line %s", labels[i]);
			continue;
		}
		note(" %s %lu (least %lu)", labels[i], sum, least);
		if (i == 0 && least == 0)
			failed("a CPU had no timer interrupt");
		if (i >= 2 && sum == 0 && cpu_count() > 1)
			failed("no interrupt of the kind %s", labels[i]);
	}
}

static void check_kernel_log(void)
{
	static char log[1 << 20];
	int bytes = klogctl(KLOG_READ_ALL, log, sizeof(log) - 1);
	unsigned int lines = 0;

	if (bytes < 0) {
		failed("the kernel's log cannot be read");
		return;
	}
	log[bytes] = '\0';
	for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n")) {
		lines++;
		/*
		 * Not something seen: without an invariant TSC, Linux assumes it of all CPUs that are not Intel's. No
		 * emulator has an invariant TSC to offer to an AMD guest.
		 */
		if (strstr(line, "Marking TSC unstable due to TSCs unsynchronized"))
			continue;
		for (size_t i = 0; i < COMPLAINTS; i++) {
			if (strstr(line, complaints[i])) {
				failed("the kernel says: %s", line);
				break;
			}
		}
	}
	note(" %u lines without complaint", lines);
}

static bool stage_run(const char *name, void (*run)(void))
{
	uint64_t began = now_ns(CLOCK_MONOTONIC);

	atomic_store(&failures, 0);
	notes[0] = '\0';
	run();
	printf("exercise: %-8s %s%s in %.1f s\n", name, failed_count() ? "FAILED" : "ok", notes,
		(double)(now_ns(CLOCK_MONOTONIC) - began) / 1e9);
	return failed_count() == 0;
}

static bool wanted(const char *name, int count, char **names)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return count == 0;
}

static int check(double seconds, int count, char **names)
{
	unsigned int bad = 0, run = 0;

	stage_s = seconds;
	for (size_t i = 0; i < STAGES; i++) {
		if (!wanted(stages[i].name, count, names))
			continue;
		run++;
		bad += !stage_run(stages[i].name, stages[i].run);
	}
	bad += !stage_run("interrupts", check_interrupts);
	bad += !stage_run("log", check_kernel_log);
	printf("exercise: %u stages on %u CPUs, %u failed\n", run + 2, cpu_count(), bad);
	return bad != 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(verb, "check") == 0 && argc > 2)
		return check(atof(argv[2]), argc - 3, argv + 3);
	if (strcmp(verb, "spin") == 0)
		return load_spin();
	if (strcmp(verb, "forks") == 0)
		return load_forks();
	if (strcmp(verb, "ipis") == 0)
		return load_ipis();
	if (strcmp(verb, "timers") == 0)
		return load_timers();
	if (strcmp(verb, "victim") == 0 && argc > 2)
		return load_victim((unsigned int)atoi(argv[2]));
	if (strcmp(verb, "clocks") == 0 && argc > 3)
		return load_clocks((unsigned int)atoi(argv[2]), (unsigned int)atoi(argv[3]));
	if (strcmp(verb, "touch") == 0 && argc > 3)
		return load_touch((unsigned int)atoi(argv[2]), (unsigned int)atoi(argv[3]),
			argc > 4 && strcmp(argv[4], "text") == 0, argc > 4 ? atoi(argv[4]) : 0);
	if (strcmp(verb, "probe") == 0)
		return load_probe(argc > 2 ? (unsigned int)atoi(argv[2]) : 100);
	if (strcmp(verb, "bomb") == 0 && argc > 2)
		return load_bomb((unsigned int)atoi(argv[2]));
	if (strcmp(verb, "read") == 0 && argc > 4)
		return load_read(argv[2], (unsigned int)atoi(argv[3]), (unsigned int)atoi(argv[4]));
	if (strcmp(verb, "serve") == 0 && argc > 5)
		return load_serve(argv[2], (unsigned int)atoi(argv[3]), (unsigned int)atoi(argv[4]),
			(unsigned int)atoi(argv[5]));
	fprintf(stderr, "usage: exercise check SECONDS [STAGE...] | spin | forks | ipis | timers | victim SECONDS | "
			"clocks EVERY TIMES | touch MIB SEED [text|MS] | probe [EVERY_MS] | bomb PAUSE | "
			"read FILE MIB EVERY | serve FOLDER FILES KIB EVERY\n");
	return 2;
}
