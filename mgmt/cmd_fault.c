/* SPDX-License-Identifier: BSD-2-Clause */
/* `fault`: only in ballast-faults.efi, for tests. */
#include "host/clock.h"
#include "host/fault.h"
#include "host/watchdog.h"
#include "lib/printf.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"

#define SPIN_NS (6 * NS_PER_SEC)

static struct cpu *named(const struct shell_call *call)
{
	struct cpu *cpu = cpu_by_id((unsigned int)call->number);

	if (!cpu)
		console_print("there is no cpu %u\n", (unsigned int)call->number);
	return cpu;
}

void cmd_fault_spin(const struct shell_call *call)
{
	struct cpu *cpu = named(call);

	if (cpu)
		fault_spin(cpu, SPIN_NS);
}

static void print_line(const char *format, ...) __printf(1, 2);
static void print_line(const char *format, ...)
{
	char line[200];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	console_print("%s\n", line);
}

void cmd_fault_nmi(const struct shell_call *call)
{
	static struct nmi_report report;
	uint64_t limit = clock_tsc() + clock_tsc_from_ns(WATCHDOG_NMI_LIMIT_NS);
	struct cpu *cpu = named(call);
	char where[16];

	if (!cpu)
		return;
	watchdog_ask(cpu, &report);
	while (!__atomic_load_n(&report.ready, __ATOMIC_ACQUIRE) && clock_tsc() < limit)
		__builtin_ia32_pause();
	snprintf(where, sizeof(where), "cpu %u", cpu->id);
	watchdog_describe(where, &report, print_line);
}
