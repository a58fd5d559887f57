/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands about the machine itself. */
#include "host/apic.h"
#include "host/clock.h"
#include "host/log.h"
#include "host/machine.h"
#include "host/topology.h"
#include "lib/printf.h"
#include "mgmt/banner.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/cpu_load.h"
#include "mgmt/mgmt.h"
#include "mgmt/text.h"
#include "mgmt/vm_disks.h"
#include "mgmt/vms.h"
#include "vcpu/hw.h"
#include "vcpu/sched.h"

#define LOG_DEFAULT_LINES 20
#define LOG_LINE_BYTES 208
#define LOG_MOST_LINES 1024
/* Of a large machine, the CPUs that have vCPUs. */
#define CPU_ROWS 64

static void print_feature(const char *format, ...) __printf(1, 2);
static void print_feature(const char *format, ...)
{
	char line[200];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	console_print("  %s\n", line);
}

/* The longest that a CPU has let its timer's interrupt wait, and when; or begin to measure anew. */
static void print_lateness(const struct cpu *cpu)
{
	uint64_t late = __atomic_load_n(&cpu->timer_late_tsc, __ATOMIC_RELAXED);
	uint64_t at = __atomic_load_n(&cpu->timer_late_at_tsc, __ATOMIC_RELAXED);
	uint64_t ago_ms = clock_ns_from_tsc(clock_tsc() - at) / NS_PER_MS;

	if (late)
		console_print("; timer at most %llu us late, %llu.%03llu s ago",
			(unsigned long long)(clock_ns_from_tsc(late) / NS_PER_US),
			(unsigned long long)(ago_ms / 1000), (unsigned long long)(ago_ms % 1000));
	console_print("\n");
}

static void show_cpu(const struct cpu *cpu)
{
	struct sched_occupant occupant;
	char who[sizeof(occupant.vm_name) + 24] = "";

	if (sched_occupant(cpu, &occupant))
		snprintf(who, sizeof(who), "; now %s/%u", occupant.vm_name, occupant.vcpu_id);
	console_print("  cpu %-3u  APIC id %u, load %u%%, %u vCPU%s placed there%s", cpu->id,
		cpu->apic_id, cpu_load_percent(cpu->id), sched_placed(cpu),
		sched_placed(cpu) == 1 ? "" : "s", who);
	if (topology_is_sibling(cpu))
		console_print(topology_siblings_allowed ? "; sibling thread" :
			"; sibling thread: no guests");
	print_lateness(cpu);
}

static void reset_lateness(void)
{
	for (unsigned int id = 0; id < cpu_count(); id++)
		__atomic_store_n(&cpu_by_id(id)->timer_late_tsc, 0, __ATOMIC_RELAXED);
	console_print("the CPUs' lateness is measured anew\n");
}

void cmd_cpu(const struct shell_call *call)
{
	char model[CPU_MODEL_BYTES];

	if (call->on) {
		reset_lateness();
		return;
	}
	cpu_model(model);
	console_print("%s\n", model);
	console_print("  %u CPUs, TSC at %llu kHz, interrupts by %s, timer by %s\n", cpu_count(),
		(unsigned long long)(clock_tsc_hz / 1000), apic_is_x2apic() ? "x2APIC" : "xAPIC",
		apic_has_tsc_deadline() ? "TSC deadline" : "APIC count");
	for (unsigned int id = 0; id < cpu_count(); id++) {
		if (cpu_count() <= CPU_ROWS || sched_placed(cpu_by_id(id)))
			show_cpu(cpu_by_id(id));
	}
	if (cpu_count() < 2)
		console_print("  there is no other CPU to watch over it\n");
	cmd_print_mitigations();
	if (!hw)
		return;
	console_print("%s\n", hw->name);
	hw->describe(print_feature);
}

/* Of the ring's lines, the number of the first to show. */
static uint64_t log_start(uint64_t lines)
{
	uint64_t cursor = 0, first = 0, time;
	char line[LOG_LINE_BYTES];

	/* Other CPUs may write lines as fast as this reads them. */
	for (unsigned int i = 0; i < LOG_MOST_LINES; i++) {
		if (!log_read(&cursor, line, sizeof(line), &time))
			break;
		if (i == 0)
			first = cursor - 1;
	}
	return cursor - MIN(lines, cursor - first);
}

void cmd_log(const struct shell_call *call)
{
	uint64_t cursor = log_start(call->number ? call->number : LOG_DEFAULT_LINES);
	uint64_t start = clock_ns_from_tsc(machine.tsc_at_entry), time;
	uint64_t end = log_start(0);
	char line[LOG_LINE_BYTES];

	while (cursor < end && log_read(&cursor, line, sizeof(line), &time)) {
		uint64_t ms = (time - MIN(time, start)) / NS_PER_MS;

		console_print("[%5llu.%03llu] %s\n", (unsigned long long)(ms / 1000),
			(unsigned long long)(ms % 1000), line);
	}
}

void cmd_version(const struct shell_call *call)
{
	(void)call;
	console_print("Ballast " BALLAST_VERSION ", built by GCC " __VERSION__ "\n");
}

/* What is half written to a disk would stay so. */
static void end(const char *command, bool reboot)
{
	for (size_t i = 0; i < vms_count(); i++)
		if (vm_disks_busy(vms_at(i))) {
			console_print("%s: a disk of vm '%s' is being written to its base; wait for"
				" that\n", command, vms_at(i)->config->name);
			return;
		}
	mgmt_end(reboot);
}

void cmd_poweroff(const struct shell_call *call)
{
	(void)call;
	end("poweroff", false);
}

void cmd_reboot(const struct shell_call *call)
{
	(void)call;
	end("reboot", true);
}
