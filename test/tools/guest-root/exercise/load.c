/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads: bullies of a machine's time, a victim that counts its work, and a reporter of clocks. */
#define _GNU_SOURCE
#include "exercise.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORTION 20000u /* additions in a portion of work */

/* One thread for each CPU; never returns. */
static int all_cpus(void *(*work)(void *))
{
	pthread_t thread;

	for (unsigned int cpu = 1; cpu < cpu_count(); cpu++)
		pthread_create(&thread, NULL, work, (void *)(uintptr_t)cpu);
	work(NULL);
	return 1;
}

static void portion(void)
{
	for (volatile unsigned int i = 0; i < PORTION; i++)
		;
}

static void *spin_work(void *cpu)
{
	pin((unsigned int)(uintptr_t)cpu);
	for (;;)
		portion();
	return NULL;
}

int load_spin(void)
{
	return all_cpus(spin_work);
}

#define FORKS_MAX 200
#define NOBODY 65534

/*
 * A fork bomb that a limit on processes holds, so that the guest's shell lives on: as many as are let be, each of
 * them forking, all always runnable. One that may not fork makes room for the others' children.
 */
int load_forks(void)
{
	const struct rlimit limit = { FORKS_MAX, FORKS_MAX };
	const pid_t first = getpid();

	signal(SIGCHLD, SIG_IGN);
	/* Root would be let have any number. */
	if (setrlimit(RLIMIT_NPROC, &limit) || setuid(NOBODY))
		return 1;
	for (;;) {
		if (fork() >= 0)
			continue;
		if (getpid() != first)
			_exit(0);
		sched_yield();
	}
}

static void *ipi_work(void *cpu)
{
	pin((unsigned int)(uintptr_t)cpu);
	for (;;)
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	return NULL;
}

int load_ipis(void)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	return all_cpus(ipi_work);
}

/* Timers due all the time; the thread never sleeps, so the CPU is never idle either. */
static void *timer_work(void *cpu)
{
	struct itimerspec setting = { .it_interval = { .tv_nsec = 10000 }, .it_value = { .tv_nsec = 10000 } };

	pin((unsigned int)(uintptr_t)cpu);
	for (int i = 0; i < 64; i++) {
		setting.it_value.tv_nsec += 157;
		timerfd_settime(timerfd_create(CLOCK_MONOTONIC, 0), 0, &setting, NULL);
	}
	for (;;)
		portion();
	return NULL;
}

int load_timers(void)
{
	return all_cpus(timer_work);
}

int load_victim(unsigned int seconds)
{
	uint64_t next = now_ns(CLOCK_MONOTONIC), count;

	for (unsigned int second = 0; second < seconds; second++) {
		uint64_t began = next;

		next += NS_PER_S;
		for (count = 0; now_ns(CLOCK_MONOTONIC) < next; count++)
			portion();
		printf("exercise: second %u, %lu portions in %lu us\n", second, count,
			((now_ns(CLOCK_MONOTONIC) - began) / 1000));
		next = now_ns(CLOCK_MONOTONIC);
	}
	return 0;
}

/* What the kernel's first line of /proc/stat says, as it stands. */
static void cpu_line(char *line, int bytes)
{
	FILE *file = fopen("/proc/stat", "r");

	if (!file || !fgets(line, bytes, file))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (file)
		fclose(file);
}

struct clocks {
	uint64_t tsc, within, monotonic, real;
};

/* All clocks at once: the closest of some tries, for the thread may lose its CPU in between. */
static void clocks_read(struct clocks *best)
{
	*best = (struct clocks){ .within = UINT64_MAX };
	for (unsigned int turn = 0; turn < 20; turn++) {
		uint64_t before = tsc_now();
		uint64_t monotonic = now_ns(CLOCK_MONOTONIC);
		uint64_t real = now_ns(CLOCK_REALTIME);
		uint64_t within = tsc_now() - before;

		if (within < best->within)
			*best = (struct clocks){ before + within / 2, within, monotonic, real };
	}
}

static void *watch_work(void *cpu)
{
	pin((unsigned int)(uintptr_t)cpu);
	clocks_watch((unsigned int)(uintptr_t)cpu);
	return NULL;
}

int load_clocks(unsigned int every_s, unsigned int times)
{
	pthread_t thread;
	char stat[256];

	for (unsigned int cpu = 0; cpu < cpu_count(); cpu++)
		pthread_create(&thread, NULL, watch_work, (void *)(uintptr_t)cpu);
	for (unsigned int i = 0; i <= times; i++) {
		struct clocks now;

		clocks_read(&now);
		cpu_line(stat, sizeof(stat));
		printf("exercise: clocks tsc=%lu within=%lu monotonic=%lu real=%lu %s\n", now.tsc,
			now.within, now.monotonic, now.real, stat);
		if (i < times)
			sleep(every_s);
	}
	printf("exercise: clocks ran backwards %u times\n", failed_count());
	return failed_count() != 0;
}
