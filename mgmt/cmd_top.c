/* SPDX-License-Identifier: BSD-2-Clause */
/* top: who uses the machine, on a screen that is drawn anew each second. */
#include "host/clock.h"
#include "host/machine.h"
#include "host/memory.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/cpu_load.h"
#include "mgmt/text.h"
#include "mgmt/vm_load.h"
#include "mgmt/vms.h"

#define KEY_CTRL_C 0x03
#define KEY_CTRL_D 0x04
#define KEY_CONSOLE 0x1d
#define HEAD_ROWS 4
#define VM_ROWS (CONSOLE_ROWS - HEAD_ROWS - 1)
#define ROW_BYTES 160
#define CPU_COLUMNS 15

struct entry {
	const struct managed_vm *managed;
	struct vm_load load;
};

static struct entry shown[VM_ROWS]; /* the busiest first */
static size_t shown_count, running;
static uint64_t frames_left; /* 0: no limit */

static const char *const kind_names[EXIT_KINDS] = {
	[EXIT_HOST_INTERRUPT] = "host",
	[EXIT_INTERRUPT_WINDOW] = "intw",
	[EXIT_NMI_WINDOW] = "nmiw",
	[EXIT_TPR] = "tpr",
	[EXIT_CPUID] = "cpuid",
	[EXIT_HLT] = "hlt",
	[EXIT_PORT] = "port",
	[EXIT_PORT_STRING] = "ports",
	[EXIT_RDMSR] = "rdmsr",
	[EXIT_WRMSR] = "wrmsr",
	[EXIT_CR] = "cr",
	[EXIT_MEMORY] = "mem",
	[EXIT_EXCEPTION] = "exc",
	[EXIT_HYPERCALL] = "call",
	[EXIT_XSETBV] = "xsetb",
	[EXIT_WBINVD] = "wbinv",
	[EXIT_PAUSE] = "pause",
	[EXIT_MONITOR] = "monit",
	[EXIT_MWAIT] = "mwait",
	[EXIT_RDPMC] = "rdpmc",
};

/* Four characters at most: "999", "9.9k", "999k", "99M" */
static struct text short_rate(uint64_t rate)
{
	struct text text;

	if (rate < 1000)
		snprintf(text.chars, sizeof(text.chars), "%u", (unsigned int)rate);
	else if (rate < 10000)
		snprintf(text.chars, sizeof(text.chars), "%u.%uk", (unsigned int)rate / 1000,
			(unsigned int)rate / 100 % 10);
	else if (rate < 1000000)
		snprintf(text.chars, sizeof(text.chars), "%uk", (unsigned int)rate / 1000);
	else
		snprintf(text.chars, sizeof(text.chars), "%lluM",
			(unsigned long long)(rate / 1000000));
	return text;
}

static bool goes_before(const struct entry *a, const struct entry *b)
{
	if (a->load.run_percent != b->load.run_percent)
		return a->load.run_percent > b->load.run_percent;
	return managed_is_running(a->managed) && !managed_is_running(b->managed);
}

/* Into its place among the busiest, if it is one of them. */
static void rank(const struct entry *entry)
{
	size_t at = shown_count;

	if (shown_count < VM_ROWS)
		shown_count++;
	else if (!goes_before(entry, &shown[--at]))
		return;
	for (; at && goes_before(entry, &shown[at - 1]); at--)
		shown[at] = shown[at - 1];
	shown[at] = *entry;
}

static void collect(uint64_t now_ns)
{
	shown_count = running = 0;
	for (size_t i = 0; i < vms_count(); i++) {
		struct entry entry = {.managed = vms_at(i)};

		vm_load_take(vms_at(i), now_ns, &entry.load);
		running += managed_is_running(entry.managed);
		rank(&entry);
	}
}

static void draw_machine(void)
{
	uint64_t now = clock_tsc(), up_ns = clock_ns_from_tsc(now - MIN(now, machine.tsc_at_entry));
	struct memory_stats stats;
	char row[ROW_BYTES];

	frame_get_stats(&stats);
	snprintf(row, sizeof(row), "Ballast, up %s; %zu of %zu VMs run; %s free of %s; q ends",
		text_duration(up_ns).chars, running, vms_count(),
		text_size(stats.frames[FRAME_FREE] * PAGE_SIZE).chars,
		text_size(machine.ram_bytes).chars);
	console_screen_row(0, row);
}

static void draw_cpus(void)
{
	unsigned int sum = 0, count = cpu_count();
	char row[ROW_BYTES], loads[ROW_BYTES / 2];
	size_t used = 0;

	loads[0] = '\0';
	for (unsigned int id = 0; id < count; id++) {
		unsigned int load = cpu_load_percent(id);

		sum += load;
		if (id >= CPU_COLUMNS)
			continue;
		snprintf(loads + used, sizeof(loads) - used, " %3u", load);
		used = strlen(loads);
	}
	snprintf(row, sizeof(row), "CPUs %u%%:%s%s", sum / count, loads,
		count > CPU_COLUMNS ? " ..." : "");
	console_screen_row(1, row);
}

static void draw_vm(unsigned int row_number, const struct entry *entry)
{
	const struct managed_vm *managed = entry->managed;
	const struct vm_config *config = managed->config;
	struct text memory = {"-"};
	char row[ROW_BYTES];
	size_t used;

	if (managed->vm)
		memory = text_short_size(managed->vm->memory.resident_pages * PAGE_SIZE);
	snprintf(row, sizeof(row), "%-12.12s %-9.9s %2u %4u%% %4u%% %6s ", config->name,
		vms_state_name(managed), config->error ? 0 : config->vcpus,
		entry->load.run_percent, entry->load.steal_percent, memory.chars);
	for (unsigned int i = 0; i < VM_LOAD_KINDS && entry->load.exits_per_second[i]; i++) {
		const char *name = kind_names[entry->load.kinds[i]];

		used = strlen(row);
		snprintf(row + used, sizeof(row) - used, " %s %s", name ? name : "rare",
			short_rate(entry->load.exits_per_second[i]).chars);
	}
	console_screen_row(row_number, row);
}

static void draw_last_row(void)
{
	char row[ROW_BYTES] = "";

	if (vms_count() > shown_count)
		snprintf(row, sizeof(row), "(%zu more VMs)", vms_count() - shown_count);
	console_screen_row(CONSOLE_ROWS - 1, row);
}

static void draw(uint64_t now_ns)
{
	collect(now_ns);
	draw_machine();
	draw_cpus();
	console_screen_row(3, "NAME         STATE     VCPU CPU STEAL MEMORY  EXITS A SECOND");
	for (unsigned int i = 0; i < VM_ROWS; i++) {
		if (i < shown_count)
			draw_vm(HEAD_ROWS + i, &shown[i]);
		else
			console_screen_row(HEAD_ROWS + i, "");
	}
	draw_last_row();
	if (frames_left && --frames_left == 0)
		console_screen_end();
}

static void key(uint8_t byte)
{
	if (byte == 'q' || byte == 'Q' || byte == KEY_CTRL_C || byte == KEY_CTRL_D ||
		byte == KEY_CONSOLE)
		console_screen_end();
}

void cmd_top(const struct shell_call *call)
{
	static const struct console_screen screen = {
		.period_ns = NS_PER_SEC, .draw = draw, .key = key,
	};

	frames_left = call->number;
	for (size_t i = 0; i < vms_count(); i++)
		vm_load_forget(vms_at(i));
	console_screen_begin(&screen);
}
