/* SPDX-License-Identifier: BSD-2-Clause */
/* Timers that are never early and never lost; clocks that never run backwards from one CPU to another. */
#define _GNU_SOURCE
#include "exercise.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PERIOD_NS 2000000ull

static atomic_uint_fast64_t expiries, sleeps, latest_ns;

static void remember_latest(uint64_t late_ns)
{
	uint64_t known = atomic_load(&latest_ns);

	while (late_ns > known && !atomic_compare_exchange_weak(&latest_ns, &known, late_ns))
		;
}

/* A periodic timer: as many expiries as periods went by, whoever was late to look. */
static void periodic(void)
{
	int timer = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t began = now_ns(CLOCK_MONOTONIC), count, sum = 0;
	struct itimerspec setting = { .it_interval = { .tv_nsec = PERIOD_NS } };
	uint64_t first = began + PERIOD_NS;

	setting.it_value.tv_sec = (time_t)(first / NS_PER_S);
	setting.it_value.tv_nsec = (long)(first % NS_PER_S);
	if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &setting, NULL) != 0)
		failed("timerfd_settime fails: %s", strerror(errno));
	while (!atomic_load(&over)) {
		uint64_t before = now_ns(CLOCK_MONOTONIC), after;

		if (read(timer, &count, sizeof(count)) != sizeof(count))
			break;
		after = now_ns(CLOCK_MONOTONIC);
		sum += count;
		if (sum > (after - began) / PERIOD_NS)
			failed("timer: %lu expiries in %lu us", sum, ((after - began) / 1000));
		if (sum < (before - began) / PERIOD_NS)
			failed("timer: only %lu expiries in %lu us", sum,
				((before - began) / 1000));
	}
	atomic_fetch_add(&expiries, sum);
	close(timer);
}

/* Short sleeps of random length: none ends early. */
static void sleeper(uint64_t seed)
{
	while (!atomic_load(&over)) {
		uint64_t until = now_ns(CLOCK_MONOTONIC) + 50000 + random_next(&seed) % 1000000, now;
		struct timespec when = { (time_t)(until / NS_PER_S), (long)(until % NS_PER_S) };

		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) != 0)
			failed("clock_nanosleep fails");
		now = now_ns(CLOCK_MONOTONIC);
		if (now < until)
			failed("a sleep ended %lu ns early", (until - now));
		else
			remember_latest(now - until);
		atomic_fetch_add(&sleeps, 1);
	}
}

static void timers_work(unsigned int index)
{
	if (index < cpu_count())
		periodic();
	else
		sleeper(index);
}

void stage_timers(void)
{
	atomic_store(&expiries, 0);
	atomic_store(&sleeps, 0);
	atomic_store(&latest_ns, 0);
	crew_run(3 * cpu_count(), timers_work);
	note(" %lu expiries, %lu sleeps, at most %lu us late", expiries, sleeps,
		(latest_ns / 1000));
	if (!expiries || !sleeps)
		failed("no timer came");
}

/*
 * The greatest value that any CPU has seen of each clock: no CPU may see less afterwards. The clock is read after
 * the greatest, which orders the two.
 */
static atomic_uint_fast64_t greatest[3], readings;

static uint64_t clock_read(unsigned int which)
{
	if (which == 0)
		return tsc_now();
	return now_ns(which == 1 ? CLOCK_MONOTONIC : CLOCK_MONOTONIC_RAW);
}

void clocks_watch(unsigned int index)
{
	static const char *const names[] = { "TSC", "CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW" };
	uint64_t count = 0;

	for (; !atomic_load(&over); count++) {
		unsigned int which = (unsigned int)(count % 3);
		uint64_t known = atomic_load(&greatest[which]);
		uint64_t now = clock_read(which);

		if (now < known)
			failed("%s: CPU %u is %lu behind another", names[which], index, (known - now));
		while (now > known && !atomic_compare_exchange_weak(&greatest[which], &known, now))
			;
	}
	atomic_fetch_add(&readings, count);
}

void stage_clocks(void)
{
	memset((void *)greatest, 0, sizeof(greatest));
	atomic_store(&readings, 0);
	crew_run(cpu_count(), clocks_watch);
	note(" %lu readings", readings);
	if (!readings)
		failed("nothing was done");
}
