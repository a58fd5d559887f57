/* SPDX-License-Identifier: BSD-2-Clause */
/* What mem, mem NAME, mem policy and mem graph show, and the history behind the graph. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "balloon/economy.h"
#include "balloon/pager.h"
#include "host/machine.h"
#include "host/memory.h"
#include "mgmt/commands.h"
#include "mgmt/console.h"
#include "mgmt/mem_view.h"
#include "mgmt/vms.h"
#include "test/unit/fake_clock.h"
#include "vcpu/balloon_port.h"

#define VMS 5
#define TOTAL_MIB 2048

struct machine machine;

static struct {
	struct vm_config config;
	struct managed_vm managed;
	struct vm vm;
	struct vm_balloon balloon;
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

bool vms_any_running(void)
{
	for (size_t i = 0; i < count; i++)
		if (managed_is_running(&all[i].managed))
			return true;
	return false;
}

const char *vms_state_name(const struct managed_vm *managed)
{
	return managed_is_running(managed) ? "running" : "powered off";
}

uint64_t vms_promised_bytes(void)
{
	return MIB(10);
}

void frame_get_stats(struct memory_stats *stats)
{
	uint64_t used = 0;

	memset(stats, 0, sizeof(*stats));
	for (size_t i = 0; i < count; i++)
		used += all[i].vm.memory.resident_pages;
	stats->total_frames = MIB(TOTAL_MIB + 20) / PAGE_SIZE;
	stats->frames[FRAME_HOST] = MIB(20) / PAGE_SIZE;
	stats->frames[FRAME_VM] = MIB(8) / PAGE_SIZE;
	stats->frames[FRAME_GUEST] = used;
	stats->frames[FRAME_FREE] = MIB(TOTAL_MIB - 8) / PAGE_SIZE - used;
	stats->largest_free_order = 9;
}

static struct sampling_cost sampling;

/* What the economy would tell of them. */
void economy_view(struct memory_view *view)
{
	struct memory_stats stats;

	frame_get_stats(&stats);
	*view = (struct memory_view){
		.free_pages = stats.frames[FRAME_FREE],
		.private_pages = stats.frames[FRAME_GUEST],
		.overhead_pages = stats.frames[FRAME_VM],
		.sampling = sampling,
	};
	view->total_pages = view->free_pages + view->private_pages + view->overhead_pages;
	view->state = policy_state_next(&policy_settings, POLICY_HIGH, view->free_pages, view->total_pages);
	for (size_t i = 0; i < count; i++)
		view->ballooned_pages += all[i].balloon.actual_pages;
}

bool economy_view_vm(const struct vm *vm, struct vm_memory_view *view)
{
	const struct vm_balloon *balloon = vm->balloon;
	size_t i = 0;

	while (&all[i].vm != vm)
		i++;
	*view = (struct vm_memory_view){
		.memory_pages = all[i].config.memory_bytes / PAGE_SIZE,
		.max_pages = config_max_memory(&all[i].config) / PAGE_SIZE,
		.min_pages = config_min_memory(&all[i].config) / PAGE_SIZE,
		.shares = config_shares(&all[i].config),
		.resident_pages = vm->memory.resident_pages,
		.active_pages = vm->memory.resident_pages,
		.price = policy_price(&policy_settings, config_shares(&all[i].config), vm->memory.resident_pages,
			vm->memory.resident_pages),
		.has_balloon = balloon->live,
		.balloon_target_pages = balloon->target_pages,
		.balloon_pages = balloon->actual_pages,
		.sampling = sampling,
	};
	view->entitled_pages = view->target_pages = view->memory_pages;
	return true;
}

static struct swap_stats swap_stats;

void swap_get_stats(struct swap_stats *stats)
{
	*stats = swap_stats;
}

static struct pager_stats pager_stats;

void pager_get_stats(struct pager_stats *stats)
{
	*stats = pager_stats;
}

static char printed[16384];

void console_print(const char *format, ...)
{
	size_t length = strlen(printed);
	va_list args;

	va_start(args, format);
	vsnprintf(printed + length, sizeof(printed) - length, format, args);
	va_end(args);
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
	for (const char *c = text; *c; c++)
		assert_in_range(*c, ' ', '~');
	snprintf(rows[row], sizeof(rows[row]), "%s", text);
}

void console_screen_end(void)
{
	screen = NULL;
}

static void add_vm(const char *name, uint64_t memory_mib, uint64_t resident_mib)
{
	size_t at = count++;

	memset(&all[at], 0, sizeof(all[at]));
	config_vm_init(&all[at].config);
	snprintf(all[at].config.name, sizeof(all[at].config.name), "%s", name);
	all[at].config.memory_bytes = MIB(memory_mib);
	all[at].managed.config = &all[at].config;
	all[at].managed.vm = &all[at].vm;
	all[at].vm.state = VM_RUNNING;
	all[at].vm.memory.resident_pages = MIB(resident_mib) / PAGE_SIZE;
	all[at].vm.balloon = &all[at].balloon;
}

static int setup(void **state)
{
	(void)state;
	count = 0;
	printed[0] = '\0';
	policy_settings = policy_defaults;
	machine.ram_bytes = MIB(TOTAL_MIB + 40);
	add_vm("web", 256, 200);
	add_vm("debian-of-a-long-name", 1024, 512);
	return 0;
}

static unsigned int lines_of(const char *text)
{
	unsigned int lines = 0;

	while ((text = strchr(text, '\n')) != NULL) {
		text++;
		lines++;
	}
	return lines;
}

static const char *said(void (*command)(const struct shell_call *call), struct managed_vm *vm, const char *rest)
{
	struct shell_call call = { .vm = vm, .rest = rest };

	printed[0] = '\0';
	command(&call);
	for (const char *line = printed; *line; line = strchr(line, '\n') + 1)
		if (strcspn(line, "\n") > 79)
			fail_msg("wider than the screen: %.*s", (int)strcspn(line, "\n"), line);
	return printed;
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in:\n%s", part, text);
}

static void test_mem_lists_machine_and_guests(void **state)
{
	const char *text;

	(void)state;
	all[0].config.min_percent = 25;
	all[0].balloon.actual_pages = MIB(56) / PAGE_SIZE;
	text = said(cmd_mem, NULL, NULL);
	assert_has(text, "  guests' memory in use                          712 MiB\n");
	assert_has(text, "  in the guests' balloons                         56 MiB\n");
	assert_has(text, "  free                                          1328 MiB\n");
	assert_has(text, "    in pages of 4 KiB                             339968\n");
	assert_has(text, "NAME         MEMORY    MIN   SHARES ENTITLED IN USE ACTIVE BALLOON SAVED  AWAY\n");
	assert_has(text, "web            256M    64M     2560     256M   200M   200M     56M    0K    0K\n");
	assert_has(text, "debian-of-a-  1024M");
	assert_null(strstr(text, "before that it took"));
	all[0].vm.state = all[1].vm.state = VM_STOPPED;
	assert_null(strstr(said(cmd_mem, NULL, NULL), "NAME"));
}

static void test_mem_tells_of_swap(void **state)
{
	const char *text;

	(void)state;
	assert_null(strstr(said(cmd_mem, NULL, NULL), "on disk"));
	swap_stats = (struct swap_stats){ .device = "nvme0p2", .slots = 1024, .used = 768, .bad = 256,
		.failing = true };
	assert_null(strstr(said(cmd_mem, NULL, NULL), "so far"));
	swap_stats.written = 1792;
	swap_stats.read = 512;
	pager_stats = (struct pager_stats){ .requests = 200, .ahead = 300, .hits = 44 };
	text = said(cmd_mem, NULL, NULL);
	swap_stats.device = NULL;
	assert_has(text, "  guests' memory on disk nvme0p2                   2 MiB\n");
	assert_has(text, "    which has room for                             3 MiB\n");
	assert_has(text, "    written there so far                           7 MiB\n");
	assert_has(text, "    had back so far                                2 MiB\n");
	assert_has(text, "    read ahead, and then wanted                  176 KiB\n");
	assert_has(text, "    read ahead, and not wanted so far              1 MiB\n");
	assert_has(text, "  it fails: nothing more is written to it\n");
}

static void test_mem_of_one_tells_all(void **state)
{
	const char *text;

	(void)state;
	all[0].balloon.live = true;
	all[0].balloon.target_pages = MIB(64) / PAGE_SIZE;
	all[0].balloon.actual_pages = MIB(56) / PAGE_SIZE;
	strcpy(all[0].config.group, "web");
	all[0].config.maxmem_bytes = MIB(512);
	text = said(cmd_mem, vms_at(0), NULL);
	assert_has(text, "vm web: memory 256 MiB of 512 MiB, 256 MiB guaranteed, 2560 shares, group web\n");
	assert_has(text, "  in use      200 MiB: 200 MiB active, 0 KiB idle\n");
	assert_has(text, "  price       12.800 shares for a MiB of it, idle memory taxed\n");
	assert_has(text, "  balloon     56 MiB of 64 MiB wanted\n");
	all[1].vm.state = VM_STOPPED;
	assert_string_equal(said(cmd_mem, vms_at(1), NULL), "vm debian-of-a-long-name: memory 1 GiB, 1 GiB guaranteed,"
		" 10240 shares\n  it is powered off\n");
	all[1].config.error = "ballast.conf:3: no";
	assert_string_equal(said(cmd_mem, vms_at(1), NULL),
		"mem: 'debian-of-a-long-name' is misconfigured: ballast.conf:3: no\n");
}

static void test_policy_is_shown_and_set(void **state)
{
	const char *text = said(cmd_mem_policy, NULL, "");

	(void)state;
	assert_has(text, "tax   75%: idle memory counts 4.00 times\n");
	assert_has(text, "the state is high\n");
	assert_has(text, "  soft   4%, here 81 MiB    below: ask by balloons\n");
	text = said(cmd_mem_policy, NULL, "tax=60% high=10 soft=8%  hard=4 low=0");
	assert_has(text, "tax   60%: idle memory counts 2.50 times\n");
	assert_int_equal(policy_settings.tax_percent, 60);
	assert_int_equal(policy_settings.high_percent, 10);
	assert_int_equal(policy_settings.low_percent, 0);
	said(cmd_mem_policy, NULL, "step=20");
	assert_int_equal(policy_settings.step_percent, 20);
	assert_int_equal(policy_settings.tax_percent, 60);
}

static void test_sampling_tells_what_it_costs(void **state)
{
	/* The shortest period, for years. */
	const struct sampling_cost most = { .faults = 9999999, .ticks = 1ULL << 43, .faults_per_1000_s = 100000,
		.ns_per_s = NS_PER_MS };

	(void)state;
	assert_has(said(cmd_mem, vms_at(0), NULL),
		"  sampling    0.0 faults, 0 us a second; 0 faults, 0 ms in all\n");
	sampling = (struct sampling_cost){ .pages = 200, .faults = 130, .ticks = FAKE_TSC_HZ / 100,
		.faults_per_1000_s = 2069, .ns_per_s = 41234 };
	assert_has(said(cmd_mem, vms_at(0), NULL),
		"  sampling    2.0 faults, 41 us a second; 130 faults, 10 ms in all\n");
	assert_has(said(cmd_mem_policy, NULL, ""), "so long pages are watched, to tell how many are in use\n"
		"       costs 2.0 faults, 41 us a second; 130 faults, 10 ms in all\n");
	sampling = most;
	said(cmd_mem, vms_at(0), NULL);
	said(cmd_mem_policy, NULL, "");
	memset(&sampling, 0, sizeof(sampling));
}

static void test_policy_refuses_what_cannot_be(void **state)
{
	(void)state;
	assert_string_equal(said(cmd_mem_policy, NULL, "tax=100%"), "mem policy: tax '100%' is not 0% to 99%\n");
	assert_string_equal(said(cmd_mem_policy, NULL, "step=0"), "mem policy: step '0' is not 1% to 100%\n");
	assert_string_equal(said(cmd_mem_policy, NULL, "tax=5 high=x"), "mem policy: high 'x' is not 1% to 50%\n");
	assert_string_equal(said(cmd_mem_policy, NULL, "tacks=5"), "mem policy: 'tacks=5' is none of"
		" tax, high, soft, hard, low, step, scan, sample\n");
	assert_string_equal(said(cmd_mem_policy, NULL, "tax=5 soft=7"), "mem policy: high, soft, hard, low must be"
		" less each, not 6%, 7%, 2%, 1%\n");
	assert_int_equal(policy_settings.tax_percent, 75);
	assert_int_equal(policy_settings.soft_percent, 4);
}

static void test_settings_are_offered(void **state)
{
	(void)state;
	assert_string_equal(shell_policy(0), "tax=");
	assert_string_equal(shell_policy(5), "step=");
	assert_string_equal(shell_policy(7), "sample=");
	assert_null(shell_policy(8));
}

/* So many samples, ten seconds apart. */
static void samples(unsigned int number)
{
	while (number--) {
		uint64_t due = mem_history_poll();

		assert_in_range(due - clock_now_ns(), 1, MEM_HISTORY_PERIOD_NS);
		fake_clock_advance(due - clock_now_ns());
	}
}

static void print_screen(void)
{
	for (unsigned int row = 0; row < CONSOLE_ROWS; row++)
		printf("  %s\n", rows[row]);
}

static void test_graph_shows_ten_minutes(void **state)
{
	struct shell_call call = { 0 };

	(void)state;
	fake_clock_advance(100 * NS_PER_SEC);
	samples(61); /* of other tests' there is nothing left */
	for (unsigned int i = 1; i <= 30; i++) {
		all[0].vm.memory.resident_pages = MIB(i * 8) / PAGE_SIZE;
		samples(1);
	}
	cmd_mem_graph(&call);
	assert_int_equal(screen->period_ns, NS_PER_SEC);
	screen->draw(clock_now_ns());
	print_screen();
	assert_string_equal(rows[0], "Free: 1288 MiB of 2 GiB, the state is high    (- below: soft)");
	assert_string_equal(rows[8], "web: # 240 MiB active, : 240 MiB in use, - 256 MiB target");
	assert_int_equal(strlen(rows[9]), 9 + 2 + 60);
	assert_string_equal(rows[9], "  256 MiB |------------------------------------------------------------");
	/* Thirty samples of 200 MiB, then from 8 to 240 MiB. */
	assert_string_equal(rows[13], "          |##############################       #######################");
	assert_string_equal(rows[14], "          |############################################################");
	assert_string_equal(rows[15], "debian-of-a-long-nam: # 512 MiB active, : 512 MiB in use, - 1 GiB target");
	assert_string_equal(rows[23], "Ten minutes; 2 VMs run; q ends");
	screen->key('q');
	assert_null(screen);
}

static void test_history_is_the_graph_in_figures(void **state)
{
	const char *text;

	(void)state;
	samples(61);
	all[0].vm.memory.resident_pages = MIB(25) / 2 / PAGE_SIZE;
	samples(1);
	text = said(cmd_mem_history, vms_at(0), NULL);
	assert_has(text, "   SECOND      FREE    IN USE    ACTIVE    TARGET   (MiB)\n");
	assert_int_equal(lines_of(text), 1 + MEM_HISTORY_SLOTS);
	/* The last line. */
	assert_has(text, " 12.5      12.5     256.0\n");
	assert_int_equal(lines_of(strstr(text, " 12.5")), 1);
}

static void test_graph_turns_to_the_next_vms(void **state)
{
	struct shell_call call = { .number = 5 };

	(void)state;
	add_vm("third", 64, 0);
	cmd_mem_graph(&call);
	screen->draw(0);
	assert_has(rows[8], "web");
	assert_string_equal(rows[23], "Ten minutes; 3 VMs run; n shows the next; q ends");
	screen->key('n');
	screen->draw(0);
	assert_has(rows[8], "third");
	assert_string_equal(rows[15], "");
	screen->key('n');
	screen->draw(0);
	assert_has(rows[8], "web");
	/* One that has stopped is left out. */
	all[0].vm.state = VM_STOPPED;
	screen->draw(0);
	assert_has(rows[8], "debian");
	count = 0;
	screen->draw(0);
	assert_string_equal(rows[8], "");
	assert_null(screen); /* five times */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_mem_lists_machine_and_guests, setup),
		cmocka_unit_test_setup(test_mem_tells_of_swap, setup),
		cmocka_unit_test_setup(test_mem_of_one_tells_all, setup),
		cmocka_unit_test_setup(test_policy_is_shown_and_set, setup),
		cmocka_unit_test_setup(test_sampling_tells_what_it_costs, setup),
		cmocka_unit_test_setup(test_policy_refuses_what_cannot_be, setup),
		cmocka_unit_test_setup(test_settings_are_offered, setup),
		cmocka_unit_test_setup(test_graph_shows_ten_minutes, setup),
		cmocka_unit_test_setup(test_history_is_the_graph_in_figures, setup),
		cmocka_unit_test_setup(test_graph_turns_to_the_next_vms, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
