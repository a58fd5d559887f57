/* SPDX-License-Identifier: BSD-2-Clause */
/* The watch of CPUs over each other, three of them, with this test in the place of time and interrupts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/apic.h"
#include "host/backtrace.h"
#include "host/irq.h"
#include "host/log.h"
#include "host/memory.h"
#include "host/serial.h"
#include "host/watchdog.h"
#include "test/unit/fake_clock.h"

#define CPUS 3
#define SECOND NS_PER_SEC
#define SOME_RIP 0x401234

static struct cpu cpus[CPUS];
static unsigned int count = CPUS, current_id;
static unsigned int sent[CPUS][256], nmis[CPUS], kicks;
static char logged[4096], on_port[4096];
static bool deaf_to_nmi;

struct cpu *this_cpu(void)
{
	return &cpus[current_id];
}

unsigned int cpu_count(void)
{
	return count;
}

struct cpu *cpu_by_id(unsigned int id)
{
	return id < count ? &cpus[id] : NULL;
}

void cpu_notify(struct cpu *cpu)
{
	assert_int_equal(cpu->id, 0);
	kicks++;
}

void *heap_alloc(size_t bytes, enum frame_use use)
{
	(void)use;
	return test_calloc(1, bytes);
}

/* As irq_dispatch() has it. */
static void serve(unsigned int id, uint64_t vector)
{
	unsigned int before = current_id;

	current_id = id;
	watchdog_served(&cpus[id]);
	if (vector != IRQ_VECTOR_TIMER && vector != IRQ_VECTOR_WATCH)
		watchdog_need(&cpus[id]);
	if (vector == IRQ_VECTOR_WATCH)
		watchdog_wake();
	current_id = before;
}

static bool stuck[CPUS];

void apic_send(uint32_t apic_id, uint8_t vector)
{
	sent[apic_id][vector]++;
	if (!stuck[apic_id])
		serve(apic_id, vector);
}

void apic_send_nmi(uint32_t apic_id)
{
	unsigned int before = current_id;

	nmis[apic_id]++;
	if (deaf_to_nmi)
		return;
	current_id = apic_id;
	watchdog_nmi(SOME_RIP, 0x8000);
	current_id = before;
}

unsigned int backtrace_scan(uint64_t rsp, uint64_t *addresses, unsigned int most)
{
	assert_int_equal(rsp, 0x8000);
	assert_true(most >= 2);
	addresses[0] = 0x501;
	addresses[1] = 0x601;
	return 2;
}

void backtrace_describe(uint64_t address, char text[BACKTRACE_TEXT_BYTES])
{
	snprintf(text, BACKTRACE_TEXT_BYTES, "place %llx", (unsigned long long)address);
}

void log_line(const char *format, ...)
{
	size_t used = strlen(logged);
	va_list args;

	va_start(args, format);
	vsnprintf(logged + used, sizeof(logged) - used, format, args);
	va_end(args);
	strcat(logged, "\n");
}

void serial_write_panic(const char *bytes, size_t size)
{
	strncat(on_port, bytes, size);
}

static int set_up(void **state)
{
	(void)state;
	memset(cpus, 0, sizeof(cpus));
	memset(sent, 0, sizeof(sent));
	memset(nmis, 0, sizeof(nmis));
	memset(stuck, 0, sizeof(stuck));
	for (unsigned int id = 0; id < CPUS; id++) {
		cpus[id].id = id;
		cpus[id].apic_id = id;
		cpus[id].idle = true;
	}
	count = CPUS;
	current_id = kicks = 0;
	logged[0] = on_port[0] = '\0';
	deaf_to_nmi = false;
	watchdog_guest_rip = 0;
	fake_clock_reset(0);
	assert_int_equal(watchdog_init(), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned int id = 0; id < CPUS; id++)
		test_free(cpus[id].watch);
	return 0;
}

/* A CPU works, or has nothing to do, for so long; each tenth of a second it serves an interrupt. */
static void live(unsigned int id, unsigned int tenths)
{
	for (unsigned int i = 0; i < tenths; i++) {
		serve(id, IRQ_VECTOR_KICK);
		fake_clock_advance(SECOND / 10);
	}
}

/* The boot CPU lives on meanwhile. */
static void wait(unsigned int seconds)
{
	for (unsigned int i = 0; i < 10 * seconds; i++) {
		unsigned int before = kicks;

		fake_clock_advance(SECOND / 10);
		if (kicks != before)
			watchdog_poll();
	}
}

static void an_idle_machine_has_no_timer(void **state)
{
	(void)state;
	fake_clock_advance(100 * SECOND);
	assert_int_equal(fake_clock_expiries(), 0);
	assert_int_equal(fake_clock_armed(), 0);
	/* One CPU works for a second: one other looks, until it has seen it idle. */
	live(1, 10);
	cpus[1].idle = true;
	fake_clock_advance(100 * SECOND);
	assert_in_range(fake_clock_expiries(), 1, 2);
	assert_int_equal(fake_clock_armed(), 0);
	assert_int_equal(sent[2][IRQ_VECTOR_WATCH], 1);
	assert_int_equal(sent[0][IRQ_VECTOR_WATCH], 0);
	assert_true(cpus[1].unwatched);
}

static void who_works_in_silence_is_probed(void **state)
{
	(void)state;
	live(1, 1);
	fake_clock_advance(60 * SECOND); /* not idle, and nothing interrupts it but the watcher */
	assert_in_range(sent[1][IRQ_VECTOR_KICK], 20, 60);
	assert_int_equal(nmis[1], 0);
	assert_string_equal(logged, "");
	assert_int_equal(fake_clock_armed(), 1);
}

static void who_serves_interrupts_is_left_alone(void **state)
{
	(void)state;
	live(1, 300);
	assert_int_equal(sent[1][IRQ_VECTOR_KICK], 0);
	assert_int_equal(nmis[1], 0);
}

static void a_stuck_cpu_is_reported_with_its_trace_and_its_return(void **state)
{
	static const char vm[] = "debian";

	(void)state;
	cpus[1].guest_name = vm;
	cpus[1].guest_vcpu = 3;
	live(1, 5);
	stuck[1] = true;
	wait(5);
	assert_int_equal(nmis[1], 1);
	assert_string_equal(logged, "cpu 1 has not come back for 2.0 s: at place 401234\n"
				    "    from place 500\n    from place 600\n"
				    "    with the state of guest debian vCPU 3\n");
	assert_string_equal(on_port, "");
	/* Once is enough. */
	wait(5);
	assert_int_equal(nmis[1], 1);
	assert_null(strstr(logged + 40, "has not"));
	stuck[1] = false;
	live(1, 15);
	watchdog_poll();
	assert_non_null(strstr(logged, "cpu 1 is back after "));
	cpus[1].idle = true;
	wait(5);
	assert_int_equal(fake_clock_armed(), 0);
}

static void a_guest_that_does_not_exit_is_named(void **state)
{
	static const char vm[] = "a name that is longer than the report has room for it";

	(void)state;
	watchdog_guest_rip = SOME_RIP;
	cpus[2].guest_name = vm;
	cpus[2].guest_vcpu = 1;
	live(2, 1);
	stuck[2] = true;
	wait(5);
	assert_string_equal(logged, "cpu 2 has not come back for 2.0 s: "
				    "in guest a name that is longer than the  vCPU 1\n");
}

static void who_takes_no_nmi_is_reported_all_the_same(void **state)
{
	(void)state;
	deaf_to_nmi = true;
	live(1, 1);
	stuck[1] = true;
	wait(5);
	assert_string_equal(logged, "cpu 1 has not come back for 3.0 s, and takes no NMI\n");
	/* A late NMI has nobody to tell. */
	assert_null(cpus[1].nmi_report);
}

static void the_boot_cpu_is_reported_past_the_console(void **state)
{
	(void)state;
	live(0, 1);
	stuck[0] = true;
	fake_clock_advance(5 * SECOND);
	assert_non_null(strstr(on_port, "\r\ncpu 0 has not come back for 2.0 s: at place 401234\r\n"));
	assert_string_equal(logged, "");
}

static void a_report_that_the_boot_cpu_does_not_print_goes_to_the_port(void **state)
{
	(void)state;
	live(2, 1);
	stuck[2] = true;
	fake_clock_advance(10 * SECOND); /* and no watchdog_poll() */
	assert_non_null(strstr(on_port, "cpu 2 has not come back for 2.0 s: at place"));
	watchdog_poll();
	assert_string_equal(logged, "");
}

static void one_cpu_has_no_watch(void **state)
{
	(void)state;
	tear_down(NULL);
	memset(cpus, 0, sizeof(cpus));
	count = 1;
	assert_int_equal(watchdog_init(), 0);
	serve(0, IRQ_VECTOR_KICK);
	assert_null(cpus[0].watch);
	assert_int_equal(fake_clock_armed(), 0);
	watchdog_poll();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_idle_machine_has_no_timer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_works_in_silence_is_probed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_serves_interrupts_is_left_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stuck_cpu_is_reported_with_its_trace_and_its_return, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_guest_that_does_not_exit_is_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_takes_no_nmi_is_reported_all_the_same, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_boot_cpu_is_reported_past_the_console, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_report_that_the_boot_cpu_does_not_print_goes_to_the_port,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_cpu_has_no_watch, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
