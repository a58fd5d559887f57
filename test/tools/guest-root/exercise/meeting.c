/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUs that wait for one another: by interrupts from CPU to CPU, by sleeping and waking, by moving. */
#define _GNU_SOURCE
#include "exercise.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_uint_fast64_t operations, checks;

static void count_from_zero(void)
{
	atomic_store(&operations, 0);
	atomic_store(&checks, 0);
}

/* Dekker's two flags in rounds: the fast side has no fence, the slow side makes all CPUs have one, by interrupt. */
static struct {
	_Alignas(64) volatile unsigned int fast;
	_Alignas(64) volatile unsigned int slow;
	_Alignas(64) volatile unsigned int fast_saw, slow_saw;
	_Alignas(64) atomic_uint round, arrived;
} dekker;

/* Wait for the other's arrival; not in vain when the stage is over. */
static bool wait_until(atomic_uint *value, unsigned int wanted)
{
	for (unsigned int turn = 1; atomic_load(value) != wanted; turn++) {
		if (atomic_load(&over))
			return false;
		if (turn % 1000 == 0)
			sched_yield();
		__builtin_ia32_pause();
	}
	return true;
}

static void dekker_fast(void)
{
	for (unsigned int round = 1; wait_until(&dekker.round, round); round++) {
		dekker.fast = round;
		__asm__ volatile("" ::: "memory"); /* the compiler's order; the CPU's is the slow side's business */
		dekker.fast_saw = dekker.slow;
		atomic_fetch_add(&dekker.arrived, 1);
	}
}

static void dekker_slow(void)
{
	for (unsigned int round = 1; !atomic_load(&over); round++) {
		atomic_store(&dekker.arrived, 0);
		atomic_store(&dekker.round, round);
		dekker.slow = round;
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
			failed("membarrier fails: %s", strerror(errno));
		dekker.slow_saw = dekker.fast;
		if (!wait_until(&dekker.arrived, 1))
			return;
		if (dekker.fast_saw != round && dekker.slow_saw != round)
			failed("round %u: neither saw the other", round);
		atomic_fetch_add(&checks, 1);
	}
}

/* Two play, the others interrupt everyone. */
static void barrier_work(unsigned int index)
{
	if (index == 0)
		dekker_slow();
	else if (index == 1)
		dekker_fast();
	while (!atomic_load(&over)) {
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
			failed("membarrier fails: %s", strerror(errno));
		atomic_fetch_add(&operations, 1);
	}
}

void stage_barrier(void)
{
	count_from_zero();
	memset((void *)&dekker, 0, sizeof(dekker));
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0)
		failed("membarrier is not there: %s", strerror(errno));
	crew_run(cpu_count() < 2 ? 2 : cpu_count(), barrier_work);
	note(" %lu rounds, %lu more barriers", checks, operations);
	if (!checks)
		failed("nothing was done");
}

/* Pairs on different CPUs that wake each other in turn. */
static atomic_uint turns[2 * CPUS_MAX];

static void futex_work(unsigned int index)
{
	static const struct timespec patience = { .tv_nsec = 100000000 };
	atomic_uint *turn = &turns[index / 2];
	unsigned int mine = index % 2;

	while (!atomic_load(&over)) {
		unsigned int now = atomic_load(turn);

		if (now % 2 != mine) {
			syscall(SYS_futex, turn, FUTEX_WAIT_PRIVATE, now, &patience, NULL, 0);
			continue;
		}
		if (!atomic_compare_exchange_strong(turn, &now, now + 1))
			failed("pair %u: it was not the other's turn, but it played", index / 2);
		syscall(SYS_futex, turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		atomic_fetch_add(&operations, 1);
	}
}

void stage_futex(void)
{
	count_from_zero();
	memset((void *)turns, 0, sizeof(turns));
	crew_run(2 * cpu_count(), futex_work);
	note(" %lu wakes", operations);
	if (operations < 2 * cpu_count())
		failed("hardly any wake");
}

/* A ring of pipes through all CPUs, in which numbers run that each hand makes one greater. */
static int pipes[CPUS_MAX][2];

static void pipe_work(unsigned int index)
{
	unsigned int count = cpu_count();
	uint64_t number = 1, expected = 0;

	if (index == 0 && write(pipes[0][1], &number, sizeof(number)) != sizeof(number))
		failed("write fails");
	while (read(pipes[index][0], &number, sizeof(number)) == sizeof(number) && number != 0) {
		if (expected && number != expected)
			failed("hand %u read %lu for %lu", index, number, expected);
		expected = number + count;
		number = index == 0 && atomic_load(&over) ? 0 : number + 1;
		if (write(pipes[(index + 1) % count][1], &number, sizeof(number)) != sizeof(number))
			failed("write fails");
		atomic_fetch_add(&operations, 1);
		if (number == 0)
			return;
	}
	/* Hand on the end, but not to the first, who began it. */
	number = 0;
	if (index != 0 && index + 1 < count && write(pipes[index + 1][1], &number, sizeof(number)) != sizeof(number))
		failed("write fails");
}

void stage_pipe(void)
{
	count_from_zero();
	for (unsigned int i = 0; i < cpu_count(); i++) {
		if (pipe(pipes[i]) != 0)
			exit(2);
	}
	crew_run(cpu_count(), pipe_work);
	for (unsigned int i = 0; i < cpu_count(); i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	note(" %lu hand-overs", operations);
	if (operations < cpu_count())
		failed("the ring did not go round");
}

/* Moves from CPU to CPU; each time it is where it wanted to be, and no clock is behind what it was before. */
static void migrate_work(unsigned int index)
{
	uint64_t state = index + 1;

	while (!atomic_load(&over)) {
		unsigned int target = (unsigned int)(random_next(&state) % cpu_count());
		uint64_t time = now_ns(CLOCK_MONOTONIC), tsc = tsc_now(), tsc_then, time_then;

		pin(target);
		tsc_then = tsc_now();
		time_then = now_ns(CLOCK_MONOTONIC);
		if (sched_getcpu() != (int)target)
			failed("on CPU %d instead of %u", sched_getcpu(), target);
		if (time_then < time)
			failed("CLOCK_MONOTONIC went back by %lu ns on the way to CPU %u",
				(time - time_then), target);
		if (tsc_then < tsc)
			failed("the TSC went back by %lu on the way to CPU %u", (tsc - tsc_then), target);
		atomic_fetch_add(&operations, 1);
	}
}

void stage_migrate(void)
{
	count_from_zero();
	crew_run(cpu_count() + 1, migrate_work);
	note(" %lu moves", operations);
	if (!operations)
		failed("nothing was done");
}

/* Children share their parent's page until one of them writes: each sees its own value, nobody another's. */
static void fork_work(unsigned int index)
{
	volatile uint64_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	while (!atomic_load(&over)) {
		uint64_t stamp = ((uint64_t)index << 32) + atomic_fetch_add(&operations, 1) + 1;
		int status;
		pid_t child;

		*page = stamp;
		child = fork();
		if (child == 0) {
			bool good = *page == stamp;

			*page = ~stamp;
			_exit(good && *page == ~stamp ? 0 : 1);
		}
		if (child < 0) {
			failed("fork fails: %s", strerror(errno));
			return;
		}
		if (waitpid(child, &status, 0) != child || status != 0)
			failed("a child saw another's page");
		if (*page != stamp)
			failed("the parent's page is its child's");
	}
	munmap((void *)page, 4096);
}

void stage_fork(void)
{
	count_from_zero();
	crew_run(cpu_count() + 1, fork_work);
	note(" %lu children", operations);
	if (!operations)
		failed("nothing was done");
}
