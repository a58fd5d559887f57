/* SPDX-License-Identifier: BSD-2-Clause */
/* ballast.conf: what good text means; each mistake gets its own message and costs one VM. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "mgmt/config.h"
#include "mgmt/suggest.h"

static struct config config;

/* The text in a block of its own, so that ASan sees a read past its end. */
static void parse_bytes(const char *text, size_t bytes)
{
	char *copy = malloc(bytes ? bytes : 1);

	memcpy(copy, text, bytes);
	memset(&config, 0xa5, sizeof(config));
	config_parse(copy, bytes, &config);
	memset(copy, '!', bytes);
	free(copy);
}

static void parse(const char *text)
{
	parse_bytes(text, strlen(text));
}

static void all_keys_are_understood(void **state)
{
	(void)state;
	parse("\xef\xbb\xbf# a comment\r\n"
	      "; another\r\n"
	      "\r\n"
	      "[vm debian-12.x_]\r\n"
	      "\tmemory=512M\r\n"
	      "vcpus = 4 # cores\r\n"
	      "kernel = ballast/linux/vmlinuz\r\n"
	      "initrd = \\ballast//.\\initrd.gz ; comment\r\n"
	      "cmdline = console=ttyS0 root=/dev/x#1 a;b\r\n"
	      "boot = linux\r\n"
	      "autostart = yes\r\n"
	      "debug-exit = yes\r\n"
	      "[ballast]\n"
	      "[vm mb] # second\n"
	      "kernel = \"/with blank/k\"\n"
	      "module = /a/b  first  words # comment\n"
	      "module = '/c d' \"x\" y\n"
	      "module = \"/e f\"\n"
	      "memory = 2G\n"
	      "boot = multiboot");
	assert_int_equal(config.diagnostic_count, 0);
	assert_int_equal(config.vm_count, 2);

	const struct vm_config *vm = config_find_vm(&config, "debian-12.x_");

	assert_ptr_equal(vm, &config.vms[0]);
	assert_null(vm->error);
	assert_int_equal(vm->line, 4);
	assert_int_equal(vm->memory_bytes, MIB(512));
	assert_int_equal(vm->vcpus, 4);
	assert_string_equal(vm->kernel, "\\ballast\\linux\\vmlinuz");
	assert_string_equal(vm->initrd, "\\ballast\\initrd.gz");
	assert_string_equal(vm->cmdline, "console=ttyS0 root=/dev/x#1 a;b");
	assert_int_equal(vm->boot, CONFIG_BOOT_LINUX);
	assert_true(vm->autostart);
	assert_true(vm->debug_exit);

	vm = config_find_vm(&config, "mb");
	assert_null(vm->error);
	assert_int_equal(vm->line, 14);
	assert_int_equal(vm->memory_bytes, GIB(2));
	assert_string_equal(vm->kernel, "\\with blank\\k");
	assert_null(vm->initrd);
	assert_string_equal(vm->cmdline, "");
	assert_int_equal(vm->boot, CONFIG_BOOT_MULTIBOOT);
	assert_int_equal(vm->module_count, 3);
	assert_string_equal(vm->modules[0].path, "\\a\\b");
	assert_string_equal(vm->modules[0].words, "first  words");
	assert_string_equal(vm->modules[1].path, "\\c d");
	assert_string_equal(vm->modules[1].words, "\"x\" y");
	assert_string_equal(vm->modules[2].path, "\\e");
	assert_string_equal(vm->modules[2].words, "f");
	assert_null(config_find_vm(&config, "m"));
}

static void defaults_stand_without_keys(void **state)
{
	(void)state;
	parse("[vm a]\nkernel=k");
	assert_int_equal(config.diagnostic_count, 0);
	assert_int_equal(config.vms[0].memory_bytes, MIB(256));
	assert_int_equal(config.vms[0].vcpus, 1);
	assert_int_equal(config.vms[0].boot, CONFIG_BOOT_AUTO);
	assert_false(config.vms[0].autostart);
	assert_false(config.vms[0].debug_exit);
	assert_int_equal(config.vms[0].module_count, 0);
}

static void values_may_be_quoted(void **state)
{
	(void)state;
	parse("[vm a]\nkernel = 'k' # quoted\nmemory=\"1M\"\ncmdline = 'dyndbg=\"file x +p; y\" # "
	      "z'\n"
	      "boot = 'pvh';x");
	assert_int_equal(config.diagnostic_count, 0);
	assert_string_equal(config.vms[0].cmdline, "dyndbg=\"file x +p; y\" # z");
	assert_int_equal(config.vms[0].memory_bytes, MIB(1));
	assert_int_equal(config.vms[0].boot, CONFIG_BOOT_PVH);
}

static void shares_of_the_machine(void **state)
{
	static const struct {
		const char *text;
		uint32_t weight, cap;
		uint64_t first, last; /* words of the set of CPUs */
	} shares[] = {
		{ "", 100, 0, ~0ULL, ~0ULL },
		{ "weight = 1\ncap=25%", 1, 25, ~0ULL, ~0ULL },
		{ "weight = 10000\ncap = \"6400\"\ncpus = all", 10000, 6400, ~0ULL, ~0ULL },
		{ "cap = none\ncpus = 0-3,6", 100, 0, 0x4f, 0 },
		{ "cap = 0\ncpus = 1 , 255 # two", 100, 0, 2, BIT(63) },
		{ "cpus=0-255", 100, 0, ~0ULL, ~0ULL },
		{ "cpus=7-7,7", 100, 0, 0x80, 0 },
	};
	char text[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
		const struct sched_params *sched = &config.vms[0].sched;

		snprintf(text, sizeof(text), "[vm a]\nkernel=k\n%s\n", shares[i].text);
		parse(text);
		assert_int_equal(config.diagnostic_count, 0);
		assert_int_equal(sched->weight, shares[i].weight);
		assert_int_equal(sched->cap_percent, shares[i].cap);
		assert_int_equal(sched->cpus.words[0], shares[i].first);
		assert_int_equal(sched->cpus.words[CPU_MAX / 64 - 1], shares[i].last);
	}
}

static void frequencies_of_tscs(void **state)
{
	static const struct {
		const char *text;
		uint64_t hz;
	} tscs[] = {
		{ "", 0 }, { "tsc = machine", 0 }, { "tsc = 2000MHz", 2000000000 },
		{ "tsc=2599998kHz", 2599998000 }, { "tsc = \"10GHz\"", 10000000000 },
		{ "tsc = 1000kHz", 1000000 }, { "tsc = 1MHz", 1000000 },
		{ "tsc = 10000000kHz", 10000000000 },
	};
	char text[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tscs); i++) {
		snprintf(text, sizeof(text), "[vm a]\nkernel=k\n%s\n", tscs[i].text);
		parse(text);
		assert_int_equal(config.diagnostic_count, 0);
		assert_int_equal(config.vms[0].tsc_hz, tscs[i].hz);
	}
}

static void mitigations_are_chosen(void **state)
{
	const enum mitigation_mode *modes = config.ballast.mitigations;

	(void)state;
	parse("[ballast]\nmitigations = auto\nsmt = auto\n");
	assert_int_equal(config.diagnostic_count, 0);
	for (int i = 0; i < MITIGATIONS; i++)
		assert_int_equal(modes[i], MITIGATION_AUTO);
	assert_int_equal(config.ballast.smt, CONFIG_SMT_AUTO);
	parse("[ballast]\nmitigations = off\nsmt = on\n");
	for (int i = 0; i < MITIGATIONS; i++)
		assert_int_equal(modes[i], MITIGATION_OFF);
	assert_int_equal(config.ballast.smt, CONFIG_SMT_ON);
	parse("[ballast]\nmitigations = 'verw, ibpb'\nsmt = off\n");
	assert_int_equal(config.diagnostic_count, 0);
	for (int i = 0; i < MITIGATIONS; i++)
		assert_int_equal(modes[i],
			i == MITIGATION_VERW || i == MITIGATION_IBPB ? MITIGATION_ON : MITIGATION_OFF);
	assert_int_equal(config.ballast.smt, CONFIG_SMT_OFF);
	parse("[ballast]\nmitigations = rsb,ibqb\nsmt = maybe\n");
	assert_int_equal(config.diagnostic_count, 2);
	assert_string_equal(config.diagnostics[0].text, "ballast.conf:2: mitigations: 'ibqb' is not known; expected "
		"auto, off, or some of ibpb, ibrs, rsb, verw, l1d");
	assert_int_equal(modes[MITIGATION_RSB], MITIGATION_ON);
}

static void swap_is_a_disk(void **state)
{
	static const struct {
		const char *text, *diagnostic;
	} cases[] = {
		{ "swap = /images/swap",
		  "swap: a file of the boot volume lies in memory itself; expected a disk of the machine, such as"
		  " nvme0p2, or trial, to see how it goes" },
		{ "swap = nvme0p2, trial",
		  "swap: trial is for a file of the boot volume; expected one, such as /images/swap.img, or no trial" },
		{ "swap = , erase",
		  "swap names nothing; expected a path of the boot volume or a disk of the machine, such as nvme0p3" },
		{ "swap = nvme0p2, eraser", "swap: the option 'eraser' is not known; did you mean 'erase'?" },
	};
	const struct config_swap *swap = &config.ballast.swap;

	(void)state;
	parse("[ballast]\nsmt = auto\n");
	assert_null(swap->disk);
	parse("[ballast]\nswap = nvme0p2\n");
	assert_int_equal(config.diagnostic_count, 0);
	assert_string_equal(swap->disk, "nvme0p2");
	assert_false(swap->erase);
	assert_int_equal(swap->limit_bytes, 0);
	parse("[ballast]\nswap = sata1, limit=2G, erase\n");
	assert_int_equal(config.diagnostic_count, 0);
	assert_string_equal(swap->disk, "sata1");
	assert_true(swap->erase);
	assert_int_equal(swap->limit_bytes, GIB(2));
	assert_false(swap->trial);
	parse("[ballast]\nswap = /images/swap.img, trial\n");
	assert_int_equal(config.diagnostic_count, 0);
	assert_string_equal(swap->disk, "\\images\\swap.img");
	assert_true(swap->trial);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[100];

		snprintf(text, sizeof(text), "[ballast]\n%s\n", cases[i].text);
		parse(text);
		assert_int_equal(config.diagnostic_count, 1);
		assert_string_equal(config.diagnostics[0].text + strlen("ballast.conf:2: "), cases[i].diagnostic);
	}
}

static void files_may_be_loaded_for_no_vm(void **state)
{
	char text[CONFIG_MAX_LOADS * 20 + 100] = "[ballast]\nload = /a\nload='b c'\n";

	(void)state;
	parse(text);
	assert_int_equal(config.diagnostic_count, 0);
	assert_int_equal(config.ballast.load_count, 2);
	assert_string_equal(config.ballast.loads[0], "\\a");
	assert_string_equal(config.ballast.loads[1], "\\b c");
	for (int i = 0; i < CONFIG_MAX_LOADS - 1; i++)
		sprintf(text + strlen(text), "load = %d\n", i);
	parse(text);
	assert_int_equal(config.diagnostic_count, 1);
	assert_string_equal(config.diagnostics[0].text,
		"ballast.conf:66: one file too many; expected at most 64");
	assert_int_equal(config.ballast.load_count, CONFIG_MAX_LOADS);
}

static void sizes_are_powers_of_1024(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {
		{ "1024K", MIB(1) }, { "1M", MIB(1) }, { "2g", GIB(2) }, { "1T", GIB(1024) },
		{ "16T", GIB(16384) }, { "1048576", MIB(1) }, { "2052K", MIB(2) + 4096 },
	};
	char text[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		snprintf(text, sizeof(text), "[vm a]\nkernel=k\nmemory = %s\n", sizes[i].text);
		parse(text);
		assert_int_equal(config.diagnostic_count, 0);
		assert_int_equal(config.vms[0].memory_bytes, sizes[i].bytes);
	}
}

/* Lines put between a good kernel line and a second, good VM; and the one diagnostic they give. */
static const struct {
	const char *lines;
	const char *diagnostic;
} vm_mistakes[] = {
	{"memmory = 1M", "3: unknown key 'memmory'; did you mean 'memory'?"},
	{"Memory = 1M", "3: unknown key 'Memory'; did you mean 'memory'?"},
	{"debug_exit = yes", "3: unknown key 'debug_exit'; did you mean 'debug-exit'?"},
	{"modlue = a", "3: unknown key 'modlue'; did you mean 'module'?"},
	{"floppy = a", "3: unknown key 'floppy'; expected memory, maxmem, min, shares, group, vcpus, "
		       "kernel, initrd, module, cmdline, boot, autostart, debug-exit, weight, cap, cpus, tsc, "
		       "disk, net, console, rng, balloon or hotplug"},
	{"memory = lots",
		"3: memory 'lots' is not a size; expected a number with K, M or G, such as"
		" 256M"},
	{"memory = 256MB", "3: memory '256MB' is not a size; expected a number with K, M or G, such"
			   " as 256M"},
	{"memory = -1", "3: memory '-1' is not a size; expected a number with K, M or G, such as"
			" 256M"},
	{"memory =", "3: memory '' is not a size; expected a number with K, M or G, such as 256M"},
	{"memory = 0", "3: memory is zero; expected at least 1M"},
	{"memory = 256", "3: memory '256' means 256 bytes; did you mean '256M'?"},
	{"memory = 512K", "3: memory '512K' is too little; expected at least 1M"},
	{"memory = 1025K",
		"3: memory '1025K' is not a whole number of pages; expected a multiple of"
		" 4K"},
	{"memory = 17T", "3: memory '17T' is too much; expected at most 16T"},
	{"memory = 18446744073709551617M",
		"3: memory '18446744073709551617M' is too much; expected at most 16T"},
	{"vcpus = many", "3: vcpus 'many' is not a number; expected 1 to 64"},
	{"vcpus = 2x", "3: vcpus '2x' is not a number; expected 1 to 64"},
	{"vcpus = 0", "3: vcpus '0' is out of range; expected 1 to 64"},
	{"vcpus = 65", "3: vcpus '65' is out of range; expected 1 to 64"},
	{"vcpus = 4294967297", "3: vcpus '4294967297' is out of range; expected 1 to 64"},
	{"vcpus = 1\nvcpus = 2", "4: vcpus is given again; expected it once, as on line 3"},
	{"kernel = j", "3: kernel is given again; expected it once, as on line 2"},
	{"initrd =",
		"3: initrd has no path; expected the path of a file, such as /ballast/vmlinuz"},
	{"initrd = /", "3: initrd has no path; expected the path of a file, such as"
		       " /ballast/vmlinuz"},
	{"initrd = a/../b", "3: the path of initrd goes through '..'; expected a path from the"
			    " volume's root"},
	{"initrd = caf\xc3\xa9", "3: the path of initrd has a character outside ASCII; expected"
				 " letters, digits and the like"},
	{"module =", "3: module has no path; expected the path of a file, such as"
		     " /ballast/vmlinuz"},
	{"module = 'a", "3: module begins with a quote that is not closed; expected another at the"
			" end"},
	{"module = 'a'b", "3: module has text behind its closing quote; expected the end of the"
			  " line"},
	{"cmdline = \"a",
		"3: cmdline begins with a quote that is not closed; expected another at the"
		" end"},
	{"cmdline = \"a\" b",
		"3: cmdline has text behind its closing quote; expected the end of the"
		" line"},
	{"boot = linus", "3: boot 'linus' is not known; did you mean 'linux'?"},
	{"boot = bios", "3: boot 'bios' is not known; expected auto, linux, multiboot or pvh"},
	{"autostart = true", "3: autostart 'true' is not known; expected yes or no"},
	{"autostart = YES", "3: autostart 'YES' is not known; did you mean 'yes'?"},
	{"debug-exit = 1", "3: debug-exit '1' is not known; expected yes or no"},
	{"weight = 0", "3: weight '0' is out of range; expected 1 to 10000"},
	{"weight = 10001", "3: weight '10001' is out of range; expected 1 to 10000"},
	{"weight = 5%", "3: weight '5%' is not a number; expected 1 to 10000"},
	{"cap = 6401", "3: cap '6401' is no share of CPUs; expected 1% to 6400%, or none"},
	{"cap = 25 %", "3: cap '25 %' is no share of CPUs; expected 1% to 6400%, or none"},
	{"cap = 25%%", "3: cap '25%%' is no share of CPUs; expected 1% to 6400%, or none"},
	{"cap = -1", "3: cap '-1' is no share of CPUs; expected 1% to 6400%, or none"},
	{"cap =", "3: cap '' is no share of CPUs; expected 1% to 6400%, or none"},
	{"tsc = 2000", "3: tsc '2000' is no frequency; expected 1MHz to 10GHz, such as 2000MHz, or"
		       " machine"},
	{"tsc = 2000 MHz", "3: tsc '2000 MHz' is no frequency; expected 1MHz to 10GHz, such as"
			   " 2000MHz, or machine"},
	{"tsc = 999kHz", "3: tsc '999kHz' is no frequency; expected 1MHz to 10GHz, such as 2000MHz,"
			 " or machine"},
	{"tsc = 11GHz", "3: tsc '11GHz' is no frequency; expected 1MHz to 10GHz, such as 2000MHz,"
			" or machine"},
	{"tsc = 18446744073709551617kHz", "3: tsc '18446744073709551617kHz' is no frequency;"
		" expected 1MHz to 10GHz, such as 2000MHz, or machine"},
	{"tsc = MHz", "3: tsc 'MHz' is no frequency; expected 1MHz to 10GHz, such as 2000MHz, or"
		      " machine"},
	{"tsc =", "3: tsc '' is no frequency; expected 1MHz to 10GHz, such as 2000MHz, or machine"},
	{"cpus = none", "3: cpus 'none' is no set of CPUs; expected numbers up to 255, such as"
			" 0-3,6, or all"},
	{"cpus = 3-1", "3: cpus '3-1' is no set of CPUs; expected numbers up to 255, such as"
		       " 0-3,6, or all"},
	{"cpus = 0,", "3: cpus '0,' is no set of CPUs; expected numbers up to 255, such as 0-3,6,"
		      " or all"},
	{"cpus = 0-", "3: cpus '0-' is no set of CPUs; expected numbers up to 255, such as 0-3,6,"
		      " or all"},
	{"cpus = 1 2", "3: cpus '1 2' is no set of CPUs; expected numbers up to 255, such as"
		       " 0-3,6, or all"},
	{"cpus = 0-256", "3: cpus '0-256' is no set of CPUs; expected numbers up to 255, such as"
			 " 0-3,6, or all"},
	{"cpus = ", "3: cpus '' is no set of CPUs; expected numbers up to 255, such as 0-3,6, or"
		    " all"},
	{"wieght = 1", "3: unknown key 'wieght'; did you mean 'weight'?"},
	{"autostart", "3: 'autostart' has no '='; expected key = value"},
	{"= yes", "3: nothing stands before '='; expected key = value"},
	{"cmdline = a\vb", "3: the line has a control character (0x0b) in it; expected text"},
	{"cmdline = a\rb", "3: the line has a control character (0x0d) in it; expected text"},
	{"cmdline = a\x7f", "3: the line has a control character (0x7f) in it; expected text"},
	{"this-is-a-very-long-word-without-any-equals-sign-in-it",
		"3: 'this-is-a-very-long-word-without-any-equ...' has no '='; expected key = "
		"value"},
	{"caf\xc3\xa9", "3: 'caf\?\?' has no '='; expected key = value"},
};

static void assert_diagnostic(size_t index, const char *expected)
{
	char text[CONFIG_DIAGNOSTIC_BYTES + 100];

	snprintf(text, sizeof(text), "ballast.conf:%s", expected);
	assert_true(index < config.diagnostic_count);
	assert_string_equal(config.diagnostics[index].text, text);
	assert_int_equal(config.diagnostics[index].line, atoi(expected));
}

static void a_mistake_costs_only_its_vm(void **state)
{
	char text[1000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vm_mistakes); i++) {
		snprintf(text, sizeof(text), "[vm bad]\nkernel = k\n%s\n[vm good]\nkernel = k\n",
			vm_mistakes[i].lines);
		parse(text);
		assert_diagnostic(0, vm_mistakes[i].diagnostic);
		assert_int_equal(config.diagnostic_count, 1);
		assert_int_equal(config.vm_count, 2);
		assert_string_equal(config.vms[0].error, config.diagnostics[0].text);
		assert_null(config.vms[1].error);
	}
}

/* Text that makes no VM of its own, before a good one. */
static const struct {
	const char *text;
	const char *diagnostic;
} file_mistakes[] = {
	{"kernel = k\n", "1: 'kernel' stands before any section; expected [vm NAME] above it"},
	{"[vm]\nkernel = k\n", "1: the section has no name; expected [vm NAME]"},
	{"[vm a b]\nnonsense\n",
		"1: vm name 'a b' has a character that a name may not have; expected"
		" 1 to 31 letters, digits, '-', '_' or '.'"},
	{"[vm a/b]\n", "1: vm name 'a/b' has a character that a name may not have; expected"
		       " 1 to 31 letters, digits, '-', '_' or '.'"},
	{"[vm a2345678901234567890123456789012]\n",
		"1: vm name 'a2345678901234567890123456789012' is too long; expected"
		" 1 to 31 letters, digits, '-', '_' or '.'"},
	{"[vm a\nkernel = k\n", "1: the section has no ']'; expected [vm NAME]"},
	{"[vm a] b\nkernel = k\n", "1: there is text behind ']'; expected the end of the line"},
	{"[wm a]\nkernel = k\n", "1: unknown section 'wm'; expected [vm NAME], [net NAME] or [ballast]"},
	{"[]\n", "1: unknown section ''; expected [vm NAME], [net NAME] or [ballast]"},
	{"[ballast x]\n", "1: unknown section 'ballast'; expected [vm NAME], [net NAME] or [ballast]"},
	{"[ballast]\nlaod = x\n", "2: unknown key 'laod' in [ballast]; did you mean 'load'?"},
	{"[ballast]\nload = \n",
		"2: load has no path; expected the path of a file, such as /ballast/vmlinuz"},
};

static void mistakes_outside_a_vm_cost_none(void **state)
{
	char text[1000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(file_mistakes); i++) {
		snprintf(text, sizeof(text), "%s[vm good]\nkernel = k\n", file_mistakes[i].text);
		parse(text);
		assert_diagnostic(0, file_mistakes[i].diagnostic);
		assert_int_equal(config.diagnostic_count, 1);
		assert_int_equal(config.vm_count, 1);
		assert_string_equal(config.vms[0].name, "good");
		assert_null(config.vms[0].error);
	}
}

static void a_kernel_is_required(void **state)
{
	(void)state;
	parse("# one\n[vm a]\nmemory = 1M\n[vm b]\n\n");
	assert_int_equal(config.diagnostic_count, 2);
	assert_diagnostic(0, "2: vm 'a' has no kernel; expected a line kernel = PATH");
	assert_diagnostic(1, "4: vm 'b' has no kernel; expected a line kernel = PATH");
	assert_non_null(config.vms[0].error);
	assert_non_null(config.vms[1].error);
}

static void a_second_vm_of_a_name_is_left_out(void **state)
{
	(void)state;
	parse("[vm a]\nkernel = k\n[vm a]\nkernel = other\nwhatever\n[vm A]\nkernel = k\n");
	assert_int_equal(config.diagnostic_count, 1);
	assert_diagnostic(0, "3: vm 'a' is there already, on line 1; expected another name");
	assert_int_equal(config.vm_count, 2);
	assert_string_equal(config.vms[0].kernel, "\\k");
	assert_null(config.vms[0].error);
	assert_null(config.vms[1].error);
}

static void the_first_of_several_mistakes_is_the_error(void **state)
{
	(void)state;
	parse("[vm a]\nkernel = k\nfoo = 1\nmemory = 0\n");
	assert_int_equal(config.diagnostic_count, 2);
	assert_ptr_equal(config.vms[0].error, config.diagnostics[0].text);
}

static void nul_bytes_and_long_lines_are_reported(void **state)
{
	static const char with_nul[] = "[vm a]\nkernel = k\ncmdline = a\0b\n[vm b]\nkernel = k";
	static char text[CONFIG_LINE_BYTES + 100];
	size_t head;

	(void)state;
	parse_bytes(with_nul, sizeof(with_nul) - 1);
	assert_int_equal(config.diagnostic_count, 1);
	assert_diagnostic(0, "3: the line has a NUL byte in it; expected text");
	assert_non_null(config.vms[0].error);
	assert_null(config.vms[1].error);

	strcpy(text, "[vm a]\nkernel = k\n");
	head = strlen(text);
	memset(text + head, 'x', CONFIG_LINE_BYTES);
	memcpy(text + head, "cmdline=", 8);
	text[head + CONFIG_LINE_BYTES] = '\n';
	parse_bytes(text, head + CONFIG_LINE_BYTES + 1);
	assert_int_equal(config.diagnostic_count, 1);
	assert_diagnostic(0, "3: the line has 4096 characters; expected at most 4095");
	text[head + CONFIG_LINE_BYTES - 1] = '\n';
	parse_bytes(text, head + CONFIG_LINE_BYTES);
	assert_int_equal(config.diagnostic_count, 0);
	assert_int_equal(strlen(config.vms[0].cmdline), CONFIG_LINE_BYTES - 1 - 8);
}

static void paths_have_a_length(void **state)
{
	char text[300];

	(void)state;
	snprintf(text, sizeof(text), "[vm a]\nkernel = /%0*d\n", CONFIG_PATH_BYTES - 2, 7);
	parse(text);
	assert_int_equal(config.diagnostic_count, 0);
	assert_int_equal(strlen(config.vms[0].kernel), CONFIG_PATH_BYTES - 1);
	snprintf(text, sizeof(text), "[vm a]\nkernel = %0*d\n", CONFIG_PATH_BYTES - 1, 7);
	parse(text);
	assert_diagnostic(0, "2: the path of kernel is too long; expected at most 126 characters");
}

static void vms_and_modules_have_a_limit(void **state)
{
	static char text[8000];
	size_t used = 0;

	(void)state;
	for (int i = 0; i < 258; i++)
		used += (size_t)sprintf(text + used, "[vm v%d]\nkernel=k\n", i);
	parse(text);
	assert_int_equal(config.vm_count, 256);
	assert_int_equal(config.diagnostic_count, 2);
	assert_diagnostic(0, "513: vm 'v256' is one too many; expected at most 256");
	assert_string_equal(config.vms[255].name, "v255");
	assert_null(config.vms[255].error);

	used = (size_t)sprintf(text, "[vm a]\nkernel=k\n");
	for (int i = 0; i < 17; i++)
		used += (size_t)sprintf(text + used, "module=m%d w%d\n", i, i);
	parse(text);
	assert_int_equal(config.vms[0].module_count, 16);
	assert_int_equal(config.diagnostic_count, 1);
	assert_diagnostic(0, "19: one module too many; expected at most 16");
	assert_string_equal(config.vms[0].modules[15].words, "w15");
}

static void whole_files_can_be_wrong(void **state)
{
	static char text[KIB(64) + 1];

	(void)state;
	parse_bytes("", 0);
	assert_int_equal(config.vm_count, 0);
	assert_int_equal(config.diagnostic_count, 0);
	parse_bytes("\xff\xfe[\0v\0", 6);
	assert_diagnostic(0, "1: the file is UTF-16; expected plain text (ASCII or UTF-8)");
	memset(text, '\n', sizeof(text));
	memcpy(text + sizeof(text) - 18, "[vm a]\nkernel = k", 17);
	parse_bytes(text, sizeof(text));
	assert_diagnostic(0, "1: the file has 65537 bytes; expected at most 65536");
	assert_int_equal(config.vm_count, 0);
	parse_bytes(text + 1, sizeof(text) - 1);
	assert_int_equal(config.diagnostic_count, 0);
	assert_int_equal(config.vm_count, 1);
}

static void diagnostics_beyond_the_list_still_mark_the_vm(void **state)
{
	static char text[8000];
	size_t used = (size_t)sprintf(text, "[vm a]\nkernel=k\n");

	(void)state;
	for (int i = 0; i < 70; i++)
		used += (size_t)sprintf(text + used, "x%d=1\n", i);
	sprintf(text + used, "[vm b]\nkernel=k\nmemory=0\n[vm c]\nkernel=k\n");
	parse(text);
	assert_int_equal(config.diagnostic_count, CONFIG_MAX_DIAGNOSTICS);
	assert_int_equal(config.diagnostics_lost, 7);
	assert_non_null(config.vms[1].error);
	assert_null(config.vms[2].error);
}

static char seen[2000];

static void note_file(const char *path, void *argument)
{
	assert_ptr_equal(argument, seen);
	strcat(strcat(seen, path), "|");
}

static void each_file_finds_what_the_parser_finds(void **state)
{
	static const char text[] = "kernel = before\n[ballast]\nkernel = not\nload = l\nswap = '/s i, trial'\n"
				   "[vm a]\r\nkernel = /x/y # z\r\ninitrd='a b'\nmodule = m words\n"
				   "cmdline = kernel=no\nkernels = no\ninitrd = 'broken\n"
				   "load = not\n[ballast\nload = not\n[vm b]\nkernel=\\x/y\n"
				   "disk = /i/d.img, cow\ndisk = nvme0\ndisk='/q w,ro'\n"
				   "[net a]\ndisk = /not";
	char *copy = malloc(sizeof(text) - 1);

	(void)state;
	memcpy(copy, text, sizeof(text) - 1);
	seen[0] = '\0';
	config_each_file(copy, sizeof(text) - 1, note_file, seen);
	free(copy);
	assert_string_equal(seen, "\\l|\\s i|\\x\\y|\\a b|\\m|\\x\\y|\\i\\d.img|\\q w|");
}

static void suggestions_are_near(void **state)
{
	static const char *const words[] = { "help", "vm", "list", "mem", "log" };

	(void)state;
	assert_string_equal(suggest_word("hlep", 4, words, 5), "help");
	assert_string_equal(suggest_word("LIST", 4, words, 5), "list");
	assert_string_equal(suggest_word("meme", 4, words, 5), "mem");
	assert_null(suggest_word("x", 1, words, 5));
	assert_null(suggest_word("", 0, words, 5));
	assert_null(suggest_word("quit", 4, words, 5));
	assert_null(suggest_word("a-word-of-more-than-thirty-two-bytes", 36, words, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_keys_are_understood),
		cmocka_unit_test(defaults_stand_without_keys),
		cmocka_unit_test(values_may_be_quoted),
		cmocka_unit_test(shares_of_the_machine),
		cmocka_unit_test(frequencies_of_tscs),
		cmocka_unit_test(mitigations_are_chosen),
		cmocka_unit_test(swap_is_a_disk),
		cmocka_unit_test(files_may_be_loaded_for_no_vm),
		cmocka_unit_test(sizes_are_powers_of_1024),
		cmocka_unit_test(a_mistake_costs_only_its_vm),
		cmocka_unit_test(mistakes_outside_a_vm_cost_none),
		cmocka_unit_test(a_kernel_is_required),
		cmocka_unit_test(a_second_vm_of_a_name_is_left_out),
		cmocka_unit_test(the_first_of_several_mistakes_is_the_error),
		cmocka_unit_test(nul_bytes_and_long_lines_are_reported),
		cmocka_unit_test(paths_have_a_length),
		cmocka_unit_test(vms_and_modules_have_a_limit),
		cmocka_unit_test(whole_files_can_be_wrong),
		cmocka_unit_test(diagnostics_beyond_the_list_still_mark_the_vm),
		cmocka_unit_test(each_file_finds_what_the_parser_finds),
		cmocka_unit_test(suggestions_are_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
