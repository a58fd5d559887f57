/* SPDX-License-Identifier: BSD-2-Clause */
/* What a line means to the shell, what it says about mistakes, what Tab offers; and the banner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/block/block.h"
#include "host/machine.h"
#include "host/net/net.h"
#include "mgmt/banner.h"
#include "mgmt/commands.h"
#include "mgmt/shell.h"
#include "mgmt/text.h"
#include "mgmt/vms.h"

/* --- Three VMs that are names alone --- */

static struct vm_config configs[100] = {{.name = "debian"}, {.name = "debug"},
	{.name = "win"}};
static struct managed_vm all[ARRAY_SIZE(configs)];
static size_t all_count;

static int setup(void **state)
{
	(void)state;
	all_count = 3;
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++)
		all[i].config = &configs[i];
	return 0;
}

size_t vms_count(void)
{
	return all_count;
}

struct managed_vm *vms_at(size_t index)
{
	assert_true(index < all_count);
	return &all[index];
}

struct managed_vm *vms_find(const char *name)
{
	for (size_t i = 0; i < all_count; i++)
		if (strcmp(configs[i].name, name) == 0)
			return &all[i];
	return NULL;
}

/* The table's handlers: told apart by their addresses, help works. */
#define HANDLER(name)                                                                              \
	void name(const struct shell_call *call)                                                   \
	{                                                                                          \
		(void)call;                                                                        \
		fail();                                                                            \
	}
HANDLER(cmd_vm_list)
HANDLER(cmd_vm_show)
HANDLER(cmd_vm_create)
HANDLER(cmd_vm_set)
HANDLER(cmd_vm_start)
HANDLER(cmd_vm_stop)
HANDLER(cmd_vm_reset)
HANDLER(cmd_vm_pause)
HANDLER(cmd_vm_resume)
HANDLER(cmd_vm_destroy)
HANDLER(cmd_vm_console)
HANDLER(cmd_disk_list)
HANDLER(cmd_vm_disk_list)
HANDLER(cmd_vm_disk_add)
HANDLER(cmd_vm_disk_commit)
HANDLER(cmd_vm_disk_discard)
HANDLER(cmd_net_list)
HANDLER(cmd_vm_net_list)
HANDLER(cmd_vm_net_add)
HANDLER(cmd_trace)
HANDLER(cmd_top)
HANDLER(cmd_mem)
HANDLER(cmd_mem_graph)
HANDLER(cmd_mem_history)
HANDLER(cmd_mem_policy)
HANDLER(cmd_cpu)
HANDLER(cmd_mitigation)
HANDLER(cmd_log)
HANDLER(cmd_version)
HANDLER(cmd_poweroff)
HANDLER(cmd_reboot)

struct machine machine;

/* A disk, and a network. */
struct block_device *block_at(size_t index)
{
	static struct block_device disk = {.name = "nvme0"};

	return index == 0 ? &disk : NULL;
}

struct net_switch *net_at(size_t index)
{
	static char net[] = "lan0";

	return index == 0 ? (struct net_switch *)net : NULL;
}

const char *net_name(const struct net_switch *net)
{
	return (const char *)net;
}

const char *shell_policy(size_t index)
{
	return index == 0 ? "tax=" : NULL;
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

static struct shell_call call;
static char error[SHELL_ERROR_BYTES];

static int parse(const char *text)
{
	static char line[600];

	memset(error, 0, sizeof(error));
	snprintf(line, sizeof(line), "%s", text);
	return shell_parse(&shell_table, line, &call, error);
}

static void assert_error(const char *text, const char *sentence)
{
	assert_int_equal(parse(text), -EINVAL);
	assert_string_equal(error, sentence);
}

static void commands_are_understood(void **state)
{
	(void)state;
	assert_int_equal(parse("vm list"), 0);
	assert_ptr_equal(call.command->run, cmd_vm_list);
	assert_int_equal(parse("  vm   start   debug  "), 0);
	assert_ptr_equal(call.command->run, cmd_vm_start);
	assert_ptr_equal(call.vm, &all[1]);
	assert_int_equal(parse("trace win on"), 0);
	assert_ptr_equal(call.command->run, cmd_trace);
	assert_ptr_equal(call.vm, &all[2]);
	assert_true(call.on);
	assert_int_equal(parse("trace win off"), 0);
	assert_false(call.on);
	assert_int_equal(parse("log"), 0);
	assert_int_equal(call.number, 0);
	assert_int_equal(parse("log 123"), 0);
	assert_int_equal(call.number, 123);
	assert_int_equal(parse("poweroff"), 0);
	assert_ptr_equal(call.command->run, cmd_poweroff);
}

static void blank_lines_are_nothing(void **state)
{
	(void)state;
	assert_int_equal(parse(""), -ENOENT);
	assert_int_equal(parse("    "), -ENOENT);
}

static void mistakes_name_the_word(void **state)
{
	(void)state;
	assert_error("frobnicate", "'frobnicate' is no command; 'help' lists them all");
	assert_error("pweroff", "'pweroff' is no command, perhaps 'poweroff' is meant; "
		"'help' lists them all");
	assert_error("vm", "vm: one more word is needed; there are: list, show, create, "
		"set, start, stop, reset, pause, resume, destroy, console, disk, net");
	assert_error("vm kill debian", "vm: 'kill' is none of its words; there are: list, show, "
		"create, set, start, stop, reset, pause, resume, destroy, console, disk, net");
	assert_error("vm start", "vm start: it needs the name of a VM; there are: debian, debug, "
		"win");
	assert_error("vm start foo", "vm start: no VM is called 'foo'; there are: debian, debug, "
		"win");
	assert_error("vm stop debain", "vm stop: no VM is called 'debain', perhaps 'debian' is "
		"meant; there are: debian, debug, win");
	assert_error("vm start debian now", "vm start: 'now' is a word too many; it is: "
		"vm start NAME");
	assert_error("vm list all", "vm list: 'all' is a word too many; it is: vm list");
	assert_error("trace debian", "trace: say 'on' or 'off' after the VM");
	assert_error("trace debian maybe", "trace: 'maybe' is neither 'on' nor 'off'");
	assert_error("log ten", "log: 'ten' is no number from 1 to 1000000");
	assert_error("log 0", "log: '0' is no number from 1 to 1000000");
	assert_error("log -5", "log: '-5' is no number from 1 to 1000000");
	assert_error("log 99999999999999999999999999",
		"log: '99999999999999999999999999' is no number from 1 to 1000000");
	assert_error("VM list", "'VM' is no command, perhaps 'vm' is meant; 'help' lists them all");
}

static void lists_of_vms_may_be_empty_or_long(void **state)
{
	(void)state;
	all_count = 0;
	assert_error("vm start x", "vm start: no VM is called 'x'; there are none yet");
	all_count = 1;
	assert_error("vm start x", "vm start: no VM is called 'x'; there is: debian");
	all_count = ARRAY_SIZE(configs);
	for (size_t i = 3; i < ARRAY_SIZE(configs); i++)
		snprintf(configs[i].name, sizeof(configs[i].name), "a-name-of-some-length-%zu", i);
	assert_int_equal(parse("vm start x"), -EINVAL);
	assert_true(strlen(error) < SHELL_ERROR_BYTES);
	assert_string_equal(error + strlen(error) - 5, ", ...");
}

static void any_line_fits_the_sentence(void **state)
{
	char line[200];

	(void)state;
	memset(line, 'y', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(parse(line), -EINVAL);
	assert_true(strlen(error) < SHELL_ERROR_BYTES);
	memcpy(line, "vm start ", 9);
	assert_int_equal(parse(line), -EINVAL);
	assert_true(strlen(error) < SHELL_ERROR_BYTES);
	memcpy(line, "vm ", 3);
	assert_int_equal(parse(line), -EINVAL);
	assert_int_equal(parse("help a b c d e f g h i j k l m n o p"), 0);
	assert_int_equal(parse("vm start a b c d e f g h i j k l"), -EINVAL);
}

#define TOP_WORDS "vm trace top mem disk net cpu mitigation log version poweroff reboot help "
#define VM_WORDS "list show create set start stop reset pause resume destroy console disk net "

static void settings_are_the_rest_of_the_line(void **state)
{
	(void)state;
	assert_int_equal(parse("vm create new memory=64M  cmdline=\"a  b\" x=1 2 3 4 5 6 7 8 9"), 0);
	assert_ptr_equal(call.command->run, cmd_vm_create);
	assert_string_equal(call.name, "new");
	assert_string_equal(call.rest, "memory=64M  cmdline=\"a  b\" x=1 2 3 4 5 6 7 8 9");
	assert_int_equal(parse("vm create new"), 0);
	assert_string_equal(call.rest, "");
	assert_int_equal(parse("  vm  set   debug  weight=5 "), 0);
	assert_ptr_equal(call.vm, &all[1]);
	assert_string_equal(call.rest, "weight=5 ");
	assert_error("vm create", "vm create: it needs a name for the new VM");
	assert_error("vm set debug",
		"vm set: it needs key=value, such as weight=50; 'help vm set' has the keys");
	assert_error("vm set debian2 weight=5", "vm set: no VM is called 'debian2', perhaps "
		"'debian' is meant; there are: debian, debug, win");
}

static void disks_and_networks_have_three_words(void **state)
{
	(void)state;
	assert_int_equal(parse("vm disk list"), 0);
	assert_ptr_equal(call.command->run, cmd_vm_disk_list);
	assert_null(call.vm);
	assert_int_equal(parse("vm disk list win"), 0);
	assert_ptr_equal(call.vm, &all[2]);
	assert_int_equal(parse("vm disk add debug  /a b.img, cow "), 0);
	assert_ptr_equal(call.command->run, cmd_vm_disk_add);
	assert_ptr_equal(call.vm, &all[1]);
	assert_string_equal(call.rest, "/a b.img, cow ");
	assert_int_equal(parse("vm disk commit win 7"), 0);
	assert_int_equal(call.number, 7);
	assert_int_equal(parse("vm net add win lan0, rate=1M"), 0);
	assert_string_equal(call.rest, "lan0, rate=1M");
	assert_int_equal(parse("disk list"), 0);
	assert_ptr_equal(call.command->run, cmd_disk_list);
	assert_int_equal(parse("vm console win hvc0"), 0);
	assert_true(call.hvc);
	assert_int_equal(parse("vm console win com1"), 0);
	assert_false(call.hvc);
	assert_int_equal(parse("vm console win"), 0);
	assert_false(call.hvc);
	assert_error("vm disk", "vm disk: one more word is needed; there are: list, add, commit, "
		"discard");
	assert_error("vm disk eject", "vm disk: 'eject' is none of its words; there are: list, "
		"add, commit, discard");
	assert_error("vm disk add win", "vm disk add: it needs a disk, such as '/images/debian.img,"
		" cow' or nvme0p3");
	assert_error("vm net add win", "vm net add: it needs a network, such as lan0");
	assert_error("vm disk commit win", "vm disk commit: it needs a disk's number; 'vm disk"
		" list' shows them");
	assert_error("vm disk commit win vda", "vm disk commit: 'vda' is none: it needs a disk's"
		" number; 'vm disk list' shows them");
	assert_error("vm console win tty", "vm console: 'tty' is neither 'com1' nor 'hvc0'");
	assert_error("vm disk list wni", "vm disk list: no VM is called 'wni', perhaps 'win' is"
		" meant; there are: debian, debug, win");
}

/* A command's own argument, or one more word of a longer command. */
static void mem_takes_words_and_vms(void **state)
{
	(void)state;
	assert_int_equal(parse("mem"), 0);
	assert_ptr_equal(call.command->run, cmd_mem);
	assert_null(call.vm);
	assert_int_equal(parse("mem win"), 0);
	assert_ptr_equal(call.command->run, cmd_mem);
	assert_ptr_equal(call.vm, &all[2]);
	assert_int_equal(parse("mem graph 5"), 0);
	assert_ptr_equal(call.command->run, cmd_mem_graph);
	assert_int_equal(call.number, 5);
	assert_int_equal(parse("mem history win"), 0);
	assert_ptr_equal(call.command->run, cmd_mem_history);
	assert_ptr_equal(call.vm, &all[2]);
	assert_int_equal(parse("mem policy"), 0);
	assert_ptr_equal(call.command->run, cmd_mem_policy);
	assert_string_equal(call.rest, "");
	assert_int_equal(parse("mem policy tax=5 step=7"), 0);
	assert_string_equal(call.rest, "tax=5 step=7");
	assert_error("mem wni", "mem: no VM is called 'wni', perhaps 'win' is meant; there are: debian, debug, win");
	assert_error("mem win win", "mem: 'win' is a word too many; it is: mem [NAME]");
}

/* All candidates after `line`, joined by blanks. */
static const char *offered(const char *line)
{
	static char words[512], before[100];
	const char *word;

	words[0] = before[0] = '\0';
	for (size_t i = 0; (word = shell_candidate(&shell_table, line, strlen(line), i)); i++) {
		if (strcmp(before, word) != 0)
			snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s ", word);
		snprintf(before, sizeof(before), "%s", word);
	}
	return words;
}

static void tab_offers_what_may_follow(void **state)
{
	(void)state;
	assert_string_equal(offered(""), TOP_WORDS);
	assert_string_equal(offered("vm "), VM_WORDS);
	assert_string_equal(offered("vm start "), "debian debug win ");
	assert_string_equal(offered("vm  stop  "), "debian debug win ");
	assert_string_equal(offered("vm list "), "");
	assert_string_equal(offered("vm start debian "), "");
	assert_string_equal(offered("trace "), "debian debug win ");
	assert_string_equal(offered("trace debian "), "off on ");
	assert_string_equal(offered("trace debian on "), "");
	assert_string_equal(offered("log "), "");
	assert_string_equal(offered("help "), TOP_WORDS);
	assert_string_equal(offered("help vm "), VM_WORDS);
	assert_string_equal(offered("vm disk "), "list add commit discard ");
	assert_string_equal(offered("help vm disk "), "list add commit discard ");
	assert_string_equal(offered("vm disk commit "), "debian debug win ");
	assert_string_equal(offered("vm disk add win "), "nvme0 ");
	assert_string_equal(offered("vm disk add win nvme0, "), "nvme0 ");
	assert_string_equal(offered("vm net add win "), "lan0 ");
	assert_string_equal(offered("vm console win "), "com1 hvc0 ");
	assert_string_equal(offered("help mem "), "graph history policy ");
	assert_string_equal(offered("mem "), "graph history policy debian debug win ");
	assert_string_equal(offered("mem win "), "");
	assert_string_equal(offered("mem policy "), "tax= ");
	assert_string_equal(offered("nothing "), "");
	assert_string_equal(offered("a b c d e f g h i j "), "");
}

#define KEYS "memory= maxmem= min= shares= group= vcpus= kernel= initrd= module= cmdline= boot= autostart= " \
	     "debug-exit= weight= cap= cpus= tsc= disk= net= console= rng= balloon= hotplug= "

/* The same for the word that begins at `start`. */
static const char *offered_at(const char *line, size_t start)
{
	static char words[512];
	const char *word;

	words[0] = '\0';
	for (size_t i = 0; (word = shell_candidate(&shell_table, line, start, i)); i++)
		snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s ", word);
	return words;
}

static void tab_offers_settings(void **state)
{
	(void)state;
	machine.file_count = 3;
	strcpy(machine.files[0].path, "\\a\\vmlinuz");
	strcpy(machine.files[1].path, "\\unreadable");
	machine.files[1].error = -EIO;
	strcpy(machine.files[2].path, "\\b");
	assert_string_equal(offered("vm create "), "");
	assert_string_equal(offered("vm create x "), KEYS "like= ");
	assert_string_equal(offered("vm create x a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 "), KEYS "like= ");
	assert_string_equal(offered("vm set "), "debian debug win ");
	assert_string_equal(offered("vm set debug vcpus=2 "), KEYS);
	assert_string_equal(offered_at("vm set win net=", 11), "net=lan0 ");
	assert_string_equal(offered_at("vm set win rng=", 11), "rng=yes rng=no ");
	assert_string_equal(offered_at("vm set win balloon=", 11), "balloon=yes balloon=no ");
	assert_string_equal(offered_at("vm create x kernel=/a", 12), "kernel=/a/vmlinuz kernel=/b ");
	assert_string_equal(offered_at("vm create x like=", 12), "like=debian like=debug like=win ");
	assert_string_equal(offered_at("vm set win boot=", 11),
		"boot=auto boot=linux boot=multiboot boot=pvh ");
	assert_string_equal(offered_at("vm set win autostart=", 11), "autostart=yes autostart=no ");
	assert_string_equal(offered_at("vm set win weight=", 11), "");
	assert_string_equal(offered_at("vm set win nothing=", 11), "");
	machine.file_count = 0;
}

static void assert_columns(const char *text, size_t most)
{
	while (*text) {
		const char *end = strchr(text, '\n');

		assert_non_null(end);
		assert_true((size_t)(end - text) <= most);
		text = end + 1;
	}
}

static void help_fits_the_screen(void **state)
{
	(void)state;
	printed[0] = '\0';
	assert_int_equal(parse("help"), 0);
	call.command->run(&call);
	assert_columns(printed, 79);
	for (size_t i = 0; i < shell_table.count; i++)
		assert_non_null(strstr(printed, shell_table.commands[i].help));
	for (size_t i = 0; i < shell_table.count; i++) {
		char line[64];
		const char *second = shell_table.commands[i].word[1];

		printed[0] = '\0';
		snprintf(line, sizeof(line), "help %s %s", shell_table.commands[i].word[0],
			second ? second : "");
		assert_int_equal(parse(line), 0);
		call.command->run(&call);
		assert_columns(printed, 79);
		assert_non_null(strstr(printed, shell_table.commands[i].help));
	}
	printed[0] = '\0';
	assert_int_equal(parse("help vm frob"), 0);
	call.command->run(&call);
	assert_string_equal(printed, "help: 'vm frob' is no command; 'help' lists them all\n");
}

static void keep_line(const char *line)
{
	console_print("%s\n", line);
}

static void banner_fits_the_screen(void **state)
{
	struct banner banner = {
		.version = "0.1.0",
		.cpu = "An Extraordinarily Long Name Of A CPU @ 2.50GHz",
		.cpu_count = 256,
		.tsc_hz = 2445000000ULL,
		.virtualization = "VMX: EPT with A/D bits and 1 GiB pages, VPID, unrestricted guest, "
			"preemption timer, and a good deal more that does not fit a row of 80",
		.found_bytes = GIB(3) - 4096,
		.kept_bytes = GIB(2),
	};

	(void)state;
	printed[0] = '\0';
	banner_write(&banner, keep_line);
	assert_columns(printed, 79);
	assert_non_null(strstr(printed, "Ballast 0.1.0"));
	assert_non_null(strstr(printed, "256 CPUs"));
	assert_non_null(strstr(printed, "VMX: EPT with A/D bits"));
	assert_non_null(strstr(printed, "\n           preemption timer"));
	assert_non_null(strstr(printed, "3071 MiB found, 2 GiB kept for guests"));
	assert_non_null(strstr(printed, "help lists the commands"));
	banner.cpu_count = 1;
	printed[0] = '\0';
	banner_write(&banner, keep_line);
	assert_non_null(strstr(printed, "1 CPU at"));
}

static void cpu_names_are_tidied(void **state)
{
	char model[CPU_MODEL_BYTES];

	(void)state;
	cpu_model_tidy("       Intel(R)  Xeon(R)   CPU \t ", model);
	assert_string_equal(model, "Intel(R) Xeon(R) CPU  ");
	cpu_model_tidy("   ", model);
	assert_string_equal(model, "a CPU without a name");
	cpu_model_tidy("", model);
	assert_string_equal(model, "a CPU without a name");
	cpu_model_tidy("012345678901234567890123456789012345678901234567", model);
	assert_int_equal(strlen(model), 48);
}

static void quantities_read_well(void **state)
{
	struct sched_params sched = {100, 0, CPU_SET_ALL};

	(void)state;
	assert_string_equal(text_sched(&sched).chars, "weight 100, cap none, cpus all");
	sched = (struct sched_params){10000, 6400, {{0x4f, 0, 0, BIT(63)}}};
	assert_string_equal(text_sched(&sched).chars, "weight 10000, cap 6400%, cpus 0-3,6,255");
	for (size_t i = 0; i < ARRAY_SIZE(sched.cpus.words); i++)
		sched.cpus.words[i] = 0x5555555555555555ULL;
	assert_int_equal(strlen(text_sched(&sched).chars), sizeof(struct text_line) - 1);
	assert_string_equal(text_size(0).chars, "0 KiB");
	assert_string_equal(text_size(KIB(84)).chars, "84 KiB");
	assert_string_equal(text_size(MIB(256)).chars, "256 MiB");
	assert_string_equal(text_size(MIB(2) + KIB(4)).chars, "2052 KiB");
	assert_string_equal(text_size(MIB(300) + KIB(4)).chars, "300 MiB");
	assert_string_equal(text_size(GIB(2)).chars, "2 GiB");
	assert_string_equal(text_size(GIB(2) + MIB(1)).chars, "2049 MiB");
	assert_string_equal(text_size(GIB(16384)).chars, "16 TiB");
	assert_string_equal(text_size(~0ULL).chars, "16777215 TiB");
	assert_string_equal(text_duration(0).chars, "0:00:00");
	assert_string_equal(text_duration(192 * NS_PER_SEC + 999).chars, "0:03:12");
	assert_string_equal(text_duration(4ULL * 86400 * NS_PER_SEC - 1).chars, "3d 23:59:59");
	assert_string_equal(text_duration(~0ULL).chars, "213503d 23:34:33");
	assert_string_equal(text_share(0, 0).chars, "0.0%");
	assert_string_equal(text_share(1, 3).chars, "33.3%");
	assert_string_equal(text_share(~0ULL, ~0ULL).chars, "100.0%");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(commands_are_understood, setup),
		cmocka_unit_test_setup(blank_lines_are_nothing, setup),
		cmocka_unit_test_setup(mistakes_name_the_word, setup),
		cmocka_unit_test_setup(lists_of_vms_may_be_empty_or_long, setup),
		cmocka_unit_test_setup(any_line_fits_the_sentence, setup),
		cmocka_unit_test_setup(tab_offers_what_may_follow, setup),
		cmocka_unit_test_setup(disks_and_networks_have_three_words, setup),
		cmocka_unit_test_setup(mem_takes_words_and_vms, setup),
		cmocka_unit_test_setup(settings_are_the_rest_of_the_line, setup),
		cmocka_unit_test_setup(tab_offers_settings, setup),
		cmocka_unit_test_setup(help_fits_the_screen, setup),
		cmocka_unit_test(banner_fits_the_screen),
		cmocka_unit_test(cpu_names_are_tidied),
		cmocka_unit_test(quantities_read_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
