/* SPDX-License-Identifier: BSD-2-Clause */
/* What top shows: shares and rates of the last second, the busiest first, 24 rows of 79 columns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/machine.h"
#include "host/memory.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/cpu_load.h"
#include "mgmt/vms.h"
#include "test/unit/fake_clock.h"

#define VMS 40

struct machine machine;
static unsigned int cpus;

static struct {
	struct vm_config config;
	struct managed_vm managed;
	struct vm vm;
	struct vcpu vcpus[2];
	struct sched_times times[2];
} all[VMS];
static size_t count;

size_t vms_count(void)
{
	return count;
}

struct managed_vm *vms_at(size_t index)
{
	assert_true(index < count);
	return &all[index].managed;
}

const char *vms_state_name(const struct managed_vm *managed)
{
	return managed_is_running(managed) ? "running" : "not started";
}

void sched_times(const struct vcpu *vcpu, struct sched_times *times)
{
	for (size_t i = 0; i < count; i++)
		for (unsigned int id = 0; id < 2; id++)
			if (vcpu == &all[i].vcpus[id]) {
				*times = all[i].times[id];
				return;
			}
	fail();
}

unsigned int cpu_count(void)
{
	return cpus;
}

unsigned int cpu_load_percent(unsigned int id)
{
	return id == 1 ? 100 : id;
}

void frame_get_stats(struct memory_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	stats->frames[FRAME_FREE] = MIB(1890) / PAGE_SIZE;
}

static const struct console_screen *screen;
static char rows[CONSOLE_ROWS][200];

void console_screen_begin(const struct console_screen *owner)
{
	screen = owner;
	memset(rows, 0, sizeof(rows));
}

void console_screen_row(unsigned int row, const char *text)
{
	assert_true(row < CONSOLE_ROWS);
	assert_true(strlen(text) <= CONSOLE_COLUMNS);
	snprintf(rows[row], sizeof(rows[row]), "%s", text);
}

void console_screen_end(void)
{
	screen = NULL;
}

static void add_vm(const char *name)
{
	size_t at = count++;

	memset(&all[at], 0, sizeof(all[at]));
	snprintf(all[at].config.name, sizeof(all[at].config.name), "%s", name);
	all[at].config.vcpus = 2;
	all[at].managed.config = &all[at].config;
	all[at].managed.vm = &all[at].vm;
	all[at].vm.vcpu_count = 2;
	for (unsigned int id = 0; id < 2; id++)
		all[at].vm.vcpus[id] = &all[at].vcpus[id];
	all[at].vm.state = VM_RUNNING;
	all[at].vm.started_ns = clock_now_ns();
	all[at].vm.memory.resident_pages = MIB(100) / PAGE_SIZE;
}

/* In the next second the VM uses these parts of it. */
static void runs(size_t at, unsigned int run_percent, unsigned int steal_percent)
{
	for (unsigned int id = 0; id < 2; id++) {
		all[at].times[id].run_ns += run_percent * NS_PER_SEC / 200;
		all[at].times[id].steal_ns += steal_percent * NS_PER_SEC / 200;
	}
}

static void second(void)
{
	fake_clock_advance(NS_PER_SEC);
	screen->draw(clock_now_ns());
}

static void top(uint64_t frames)
{
	struct shell_call call = {.number = frames};

	cmd_top(&call);
	assert_non_null(screen);
	assert_int_equal(screen->period_ns, NS_PER_SEC);
}

static int setup(void **state)
{
	(void)state;
	fake_clock_reset(0);
	fake_clock_advance(100 * NS_PER_SEC);
	machine.tsc_at_entry = clock_tsc() - clock_tsc_from_ns(61 * NS_PER_SEC);
	machine.ram_bytes = MIB(2047);
	count = 0;
	cpus = 3;
	return 0;
}

static void shares_and_rates_are_those_of_the_last_second(void **state)
{
	(void)state;
	add_vm("first");
	add_vm("second-with-a-long-name");
	add_vm("third");
	all[2].vm.state = VM_STOPPED;
	runs(0, 50, 10);
	all[0].vcpus[0].exits[EXIT_HLT] = 900;
	top(0);
	second();
	assert_string_equal(rows[0], "Ballast, up 0:01:02; 2 of 3 VMs run; 1890 MiB free of 2047 MiB; "
		"q ends");
	assert_string_equal(rows[1], "CPUs 34%:   0 100   2");
	assert_string_equal(rows[2], "");
	assert_string_equal(rows[4], "first        running    2   50%   10%   100M  hlt 900");
	assert_string_equal(rows[5], "second-with- running    2    0%    0%   100M ");
	assert_string_equal(rows[6], "third        not start  2    0%    0%   100M ");
	assert_string_equal(rows[7], "");
	runs(1, 187, 13);
	all[1].vcpus[0].exits[EXIT_PORT] = 3000;
	all[1].vcpus[1].exits[EXIT_PORT] = 1200;
	all[1].vcpus[0].exits[EXIT_WRMSR] = 123456;
	all[1].vcpus[0].exits[EXIT_RDMSR] = 12000000;
	all[1].vcpus[0].exits[EXIT_CPUID] = 1;
	all[1].vm.memory.resident_pages = GIB(20) / PAGE_SIZE;
	second();
	assert_string_equal(rows[4], "second-with- running    2  187%   13%    20G  rdmsr 12M "
		"wrmsr 123k port 4.2k");
	assert_string_equal(rows[5], "first        running    2    0%    0%   100M ");
	/* A second without anything, then a new run with counters of its own. */
	second();
	assert_string_equal(rows[4], "first        running    2    0%    0%   100M ");
	fake_clock_advance(NS_PER_SEC / 2);
	all[0].vm.started_ns = clock_now_ns();
	memset(all[0].times, 0, sizeof(all[0].times));
	memset(all[0].vcpus[0].exits, 0, sizeof(all[0].vcpus[0].exits));
	runs(0, 30, 0);
	all[0].vcpus[0].exits[EXIT_TRIPLE_FAULT] = 5;
	second();
	assert_string_equal(rows[4], "first        running    2   30%    0%   100M  rare 5");
	/* Drawn at once again: no division by nothing. */
	screen->draw(clock_now_ns());
}

static void the_busiest_are_shown(void **state)
{
	char name[16];

	(void)state;
	for (unsigned int i = 0; i < VMS; i++) {
		snprintf(name, sizeof(name), "vm%u", i);
		add_vm(name);
		runs(i, i * 7 % VMS, 0);
	}
	cpus = 64;
	top(0);
	second();
	/* 7 * 17 modulo 40 is 39. */
	assert_memory_equal(rows[4], "vm17 ", 5);
	for (unsigned int row = 5; row < 23; row++)
		assert_true(atoi(rows[row] + 26) == atoi(rows[row - 1] + 26) - 1);
	assert_string_equal(rows[23], "(21 more VMs)");
	assert_string_equal(rows[1] + strlen(rows[1]) - 8, "  14 ...");
}

static void it_ends_by_number_and_key(void **state)
{
	(void)state;
	add_vm("a");
	top(2);
	second();
	assert_non_null(screen);
	second();
	assert_null(screen);
	for (size_t i = 0; i < 4; i++) {
		top(0);
		screen->key('x');
		assert_non_null(screen);
		screen->key((uint8_t)"qQ\x03\x1d"[i]);
		assert_null(screen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(shares_and_rates_are_those_of_the_last_second, setup),
		cmocka_unit_test_setup(the_busiest_are_shown, setup),
		cmocka_unit_test_setup(it_ends_by_number_and_key, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
