/* SPDX-License-Identifier: BSD-2-Clause */
/* ballast.conf's disks, networks, consoles and randomness; and the same as words of commands. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "mgmt/config_words.h"

static struct config config;

/* In the section of a VM, behind its kernel: line 3 and on. */
static const struct vm_config *parse_vm(const char *lines)
{
	char text[8192];

	snprintf(text, sizeof(text), "[vm a]\nkernel = k\n%s", lines);
	memset(&config, 0xa5, sizeof(config));
	config_parse(text, strlen(text), &config);
	return &config.vms[0];
}

static const struct vm_config *parse_good(const char *lines)
{
	const struct vm_config *vm = parse_vm(lines);

	if (config.diagnostic_count)
		print_message("%s\n", config.diagnostics[0].text);
	assert_int_equal(config.diagnostic_count, 0);
	assert_null(vm->error);
	return vm;
}

static void disks_are_images_or_the_machines(void **state)
{
	const struct vm_config *vm = parse_good(
		"disk = \\images/debian.img, cow # base\n"
		"disk = nvme0p3\n"
		"disk = '/with blank.img , limit = 1G,cow'\n"
		"disk = sata1,ro\n");

	(void)state;
	assert_int_equal(vm->disk_count, 4);
	assert_string_equal(vm->disks[0].source, "\\images\\debian.img");
	assert_true(vm->disks[0].cow);
	assert_false(vm->disks[0].read_only);
	assert_int_equal(vm->disks[0].limit_bytes, 0);
	assert_string_equal(vm->disks[1].source, "nvme0p3");
	assert_false(vm->disks[1].cow);
	assert_string_equal(vm->disks[2].source, "\\with blank.img");
	assert_true(vm->disks[2].cow);
	assert_int_equal(vm->disks[2].limit_bytes, GIB(1));
	assert_string_equal(vm->disks[3].source, "sata1");
	assert_true(vm->disks[3].read_only);
	assert_int_equal(parse_good("")->disk_count, 0);
}

static void networks_have_addresses_and_rates(void **state)
{
	static const uint8_t mac[] = { 2, 0xab, 0xcd, 0, 1, 0xff };
	const struct vm_config *vm = parse_good("net = lan0\n"
		"net = dmz-1, mac=02:aB:CD:00:01:ff, rate=10M\n");

	(void)state;
	assert_int_equal(vm->net_count, 2);
	assert_string_equal(vm->nets[0].name, "lan0");
	assert_false(vm->nets[0].has_mac);
	assert_int_equal(vm->nets[0].rate_bytes, 0);
	assert_string_equal(vm->nets[1].name, "dmz-1");
	assert_true(vm->nets[1].has_mac);
	assert_memory_equal(vm->nets[1].mac, mac, sizeof(mac));
	assert_int_equal(vm->nets[1].rate_bytes, MIB(10));
}

static void switches_may_stand_bare(void **state)
{
	const struct vm_config *vm = parse_good("  console \t# = a comment\nrng\n");

	(void)state;
	assert_true(vm->console);
	assert_true(vm->rng);
	assert_true(vm->balloon); /* which there is unless one wants none */
	vm = parse_good("console = no\nrng = yes\nballoon = no\n");
	assert_false(vm->balloon);
	assert_false(vm->console);
	assert_true(vm->rng);
	vm = parse_good("");
	assert_false(vm->console);
	assert_false(vm->rng);
}

#define OPTION_OF_DISK "; expected cow, ro or limit=SIZE"
#define NO_DISK "is neither a path nor a disk; expected one such as /images/debian.img or nvme0p3"
#define NO_MAC                                                                                     \
	"is no address of one NIC; expected six pairs of hex digits, the first pair even, such as" \
	" 02:00:00:00:00:01"
#define NO_RATE "is no number of bytes a second; expected 1K to 1T, such as 10M"

static const struct {
	const char *line;
	const char *diagnostic;
} mistakes[] = {
	{ "disk =", "disk names nothing; expected a path of the boot volume or a disk of the"
		    " machine, such as nvme0p3" },
	{ "disk = , cow", "disk names nothing; expected a path of the boot volume or a disk of the"
			  " machine, such as nvme0p3" },
	{ "disk = debian.img", "disk 'debian.img' " NO_DISK },
	{ "disk = nvme0 cow", "disk 'nvme0 cow' " NO_DISK },
	{ "disk = /a/../b", "the path of disk goes through '..'; expected a path from the volume's"
			    " root" },
	{ "disk = /a, cwo", "disk: the option 'cwo' is not known; did you mean 'cow'?" },
	{ "disk = /a, writable", "disk: the option 'writable' is not known" OPTION_OF_DISK },
	{ "disk = /a,, cow", "disk: the option '' is not known" OPTION_OF_DISK },
	{ "disk = /a, cow, cow", "disk: cow is given again; expected it once" },
	{ "disk = /a, cow=yes", "disk: cow stands with a value" OPTION_OF_DISK },
	{ "disk = /a, cow, limit", "disk: limit stands without a value" OPTION_OF_DISK },
	{ "disk = /a, cow, limit=big",
		"limit 'big' is not a size; expected a number with K, M or G, such as 256M" },
	{ "disk = /a, cow, limit=4K", "limit '4K' is too little; expected at least 1M" },
	{ "disk = /a, limit=1G",
		"disk: limit is for what cow keeps in memory; expected cow, too" },
	{ "disk = /a, cow, ro", "disk: cow and ro exclude each other; expected one of them" },
	{ "net =", "the network '' is empty; expected 1 to 31 letters, digits, '-', '_' or '.',"
		   " such as lan0" },
	{ "net = lan 0", "the network 'lan 0' has a character that a name may not have; expected 1"
			 " to 31 letters, digits, '-', '_' or '.', such as lan0" },
	{ "net = lan0, mac", "net: mac stands without a value; expected mac=ADDRESS or rate=BYTES" },
	{ "net = lan0, mc=1", "net: the option 'mc' is not known; did you mean 'mac'?" },
	{ "net = lan0, mac=1", "mac '1' " NO_MAC },
	{ "net = lan0, mac=03:00:00:00:00:01", "mac '03:00:00:00:00:01' " NO_MAC },
	{ "net = lan0, mac=00:00:00:00:00:00", "mac '00:00:00:00:00:00' " NO_MAC },
	{ "net = lan0, mac=02:00:00:00:00-01", "mac '02:00:00:00:00-01' " NO_MAC },
	{ "net = lan0, mac=02:00:00:00:00:0g", "mac '02:00:00:00:00:0g' " NO_MAC },
	{ "net = lan0, mac=02:00:00:00:00:01:02", "mac '02:00:00:00:00:01:02' " NO_MAC },
	{ "net = lan0, rate=fast", "rate 'fast' " NO_RATE },
	{ "net = lan0, rate=100", "rate '100' " NO_RATE },
	{ "net = lan0, rate=0", "rate '0' " NO_RATE },
	{ "net = lan0, rate=2000G", "rate '2000G' " NO_RATE },
	{ "console = on", "console 'on' is not known; did you mean 'no'?" },
	{ "balloon = 256M", "balloon '256M' is not known; expected yes or no" },
	{ "rng = /dev/random", "rng '/dev/random' is not known; expected yes or no" },
	{ "consol", "'consol' has no '='; expected key = value" },
};

static void each_mistake_has_its_sentence(void **state)
{
	char expected[CONFIG_DIAGNOSTIC_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
		const struct vm_config *vm = parse_vm(mistakes[i].line);

		snprintf(expected, sizeof(expected), "ballast.conf:3: %s", mistakes[i].diagnostic);
		assert_int_equal(config.diagnostic_count, 1);
		assert_string_equal(config.diagnostics[0].text, expected);
		assert_non_null(vm->error);
	}
}

static void lists_have_an_end(void **state)
{
	char text[1000] = "";

	(void)state;
	for (int i = 0; i <= CONFIG_MAX_DISKS; i++)
		sprintf(text + strlen(text), "disk = nvme%d\n", i);
	assert_int_equal(parse_vm(text)->disk_count, CONFIG_MAX_DISKS);
	assert_string_equal(config.diagnostics[0].text,
		"ballast.conf:11: one disk too many; expected at most 8");
	text[0] = '\0';
	for (int i = 0; i <= CONFIG_MAX_NETS; i++)
		sprintf(text + strlen(text), "net = lan%d\n", i);
	assert_int_equal(parse_vm(text)->net_count, CONFIG_MAX_NETS);
	assert_string_equal(config.diagnostics[0].text,
		"ballast.conf:7: one net too many; expected at most 4");
}

static void networks_have_an_uplink(void **state)
{
	(void)state;
	parse_good("[net lan0]\nnic = nic1\n[net dmz]\n[net closed]\nnic = none\n");
	assert_int_equal(config.network_count, 3);
	assert_string_equal(config_find_network(&config, "lan0")->nic, "nic1");
	assert_string_equal(config_find_network(&config, "dmz")->nic, "");
	assert_string_equal(config_find_network(&config, "closed")->nic, "");
	assert_null(config_find_network(&config, "lan"));
}

static const struct {
	const char *lines;
	const char *diagnostic;
} network_mistakes[] = {
	{ "[net]", "3: the name of net '' is empty; expected 1 to 31 letters, digits, '-', '_' or"
		   " '.'" },
	{ "[net a b]", "3: the name of net 'a b' has a character that a name may not have; expected"
		       " 1 to 31 letters, digits, '-', '_' or '.'" },
	{ "[net a]\n[net a]", "4: net 'a' is there already, on line 3; expected another name" },
	{ "[net a]\nnic = eth0", "4: nic 'eth0' is not the name of one; expected nic0 and so on, or"
				 " none" },
	{ "[net a]\nnic = nic", "4: nic 'nic' is not the name of one; expected nic0 and so on, or"
				" none" },
	{ "[net a]\nnic=nic0\n[net b]\nnic=nic0",
		"6: nic0 is at net 'a' already; expected another, or none" },
	{ "[net a]\nnick = nic0", "4: unknown key 'nick' in [net NAME]; did you mean 'nic'?" },
	{ "[net a]\nrng", "4: 'rng' has no '='; expected key = value" },
};

static void mistakes_about_networks_cost_no_vm(void **state)
{
	char expected[CONFIG_DIAGNOSTIC_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(network_mistakes); i++) {
		assert_null(parse_vm(network_mistakes[i].lines)->error);
		snprintf(expected, sizeof(expected), "ballast.conf:%s",
			network_mistakes[i].diagnostic);
		assert_int_equal(config.diagnostic_count, 1);
		assert_string_equal(config.diagnostics[0].text, expected);
	}
}

/* --- As words --- */

static struct config_words words;

static void words_say_all_of_a_list(void **state)
{
	(void)state;
	memset(&words, 0, sizeof(words));
	words.vm = *parse_good("disk = nvme0\ndisk = nvme1\nnet = lan0\n");
	assert_int_equal(config_words_parse(&words, "disk=/a,cow disk=\"/b c, ro\" rng"), 0);
	assert_int_equal(words.vm.disk_count, 2);
	assert_string_equal(words.vm.disks[0].source, "\\a");
	assert_string_equal(words.vm.disks[1].source, "\\b c");
	assert_true(words.vm.disks[1].read_only);
	assert_int_equal(words.vm.net_count, 1);
	assert_true(words.vm.rng);
	assert_int_equal(words.given, BIT(CONFIG_KEY_DISK) | BIT(CONFIG_KEY_RNG));
	assert_int_equal(config_words_parse(&words, "consol"), -EINVAL);
	assert_string_equal(words.error, "'consol' has no '='; expected key=value");
}

static void one_more_can_be_added(void **state)
{
	struct vm_config *copy;

	(void)state;
	memset(&words, 0, sizeof(words));
	words.vm = *parse_good("disk = nvme0\n");
	assert_int_equal(config_words_add(&words, CONFIG_KEY_DISK, " /x y.img, cow "), 0);
	assert_int_equal(words.given, BIT(CONFIG_KEY_DISK));
	copy = malloc(config_clone_bytes(&words.vm));
	config_clone(&words.vm, copy);
	memset(words.strings, 0xa5, sizeof(words.strings));
	memset(&config, 0xa5, sizeof(config));
	assert_int_equal(copy->disk_count, 2);
	assert_string_equal(copy->disks[0].source, "nvme0");
	assert_string_equal(copy->disks[1].source, "\\x y.img");
	assert_true(copy->disks[1].cow);
	free(copy);
	words.vm = *parse_good("");
	assert_int_equal(config_words_add(&words, CONFIG_KEY_NET, "lan0 lan1"), -EINVAL);
	assert_non_null(strstr(words.error, "'lan0 lan1'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disks_are_images_or_the_machines),
		cmocka_unit_test(networks_have_addresses_and_rates),
		cmocka_unit_test(switches_may_stand_bare),
		cmocka_unit_test(each_mistake_has_its_sentence),
		cmocka_unit_test(lists_have_an_end),
		cmocka_unit_test(networks_have_an_uplink),
		cmocka_unit_test(mistakes_about_networks_cost_no_vm),
		cmocka_unit_test(words_say_all_of_a_list),
		cmocka_unit_test(one_more_can_be_added),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
