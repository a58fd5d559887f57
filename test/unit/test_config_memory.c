/* SPDX-License-Identifier: BSD-2-Clause */
/* ballast.conf and words of commands: a VM's memory, what of it is guaranteed, and its shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "mgmt/config_words.h"

static struct config config;

static const struct vm_config *parse_vm(const char *lines)
{
	static char text[1000];

	snprintf(text, sizeof(text), "[vm a]\nkernel = k\n%s\n[vm good]\nkernel = k\n", lines);
	config_parse(text, strlen(text), &config);
	assert_int_equal(config.vm_count, 2);
	assert_null(config.vms[1].error);
	return &config.vms[0];
}

static const struct vm_config *parse_good(const char *lines)
{
	const struct vm_config *vm = parse_vm(lines);

	if (vm->error)
		fail_msg("%s: %s", lines, vm->error);
	return vm;
}

static void test_all_of_memory_is_guaranteed_unless_told_otherwise(void **state)
{
	const struct vm_config *vm = parse_good("");

	(void)state;
	assert_int_equal(vm->memory_bytes, MIB(256));
	assert_int_equal(config_max_memory(vm), MIB(256));
	assert_int_equal(config_min_memory(vm), MIB(256));
	assert_int_equal(config_shares(vm), 2560);
	assert_string_equal(vm->group, "");
	vm = parse_good("memory = 1G");
	assert_int_equal(config_min_memory(vm), GIB(1));
	assert_int_equal(config_max_memory(vm), GIB(1));
	assert_int_equal(config_shares(vm), 10240);
}

static void test_keys_are_taken_in_any_order(void **state)
{
	const struct vm_config *vm = parse_good("min = 64M\nmaxmem = 1G\ngroup = web\nshares = 5000\nmemory = 512M");

	(void)state;
	assert_int_equal(vm->memory_bytes, MIB(512));
	assert_int_equal(config_max_memory(vm), GIB(1));
	assert_int_equal(config_min_memory(vm), MIB(64));
	assert_int_equal(config_shares(vm), 5000);
	assert_string_equal(vm->group, "web");
	assert_string_equal(parse_good("group = none")->group, "");
}

static void test_min_may_be_a_part_of_memory(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} parts[] = {
		{ "min = 25%", MIB(64) }, { "min = 0%", 0 }, { "min = 100%", MIB(256) }, { "min = '50%'", MIB(128) },
		{ "min = 33%", ROUND_DOWN(MIB(256) * 33 / 100, PAGE_SIZE) }, { "min = 256M", MIB(256) },
		{ "min = 1024K", MIB(1) }, { "memory = 16T\nmin = 99%", ROUND_DOWN(GIB(16384) / 100 * 99, PAGE_SIZE) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		assert_int_equal(config_min_memory(parse_good(parts[i].text)) >> 20, parts[i].bytes >> 20);
}

static void test_shares_are_a_number_or_by_memory(void **state)
{
	(void)state;
	assert_int_equal(config_shares(parse_good("shares = low")), 1280);
	assert_int_equal(config_shares(parse_good("shares = normal")), 2560);
	assert_int_equal(config_shares(parse_good("shares = high\nmemory = 1G")), 20480);
	assert_int_equal(config_shares(parse_good("shares = 1")), 1);
	assert_int_equal(config_shares(parse_good("shares = 10000000")), 10000000);
	assert_int_equal(config_shares(parse_good("shares = high\nmemory = 16T")), CONFIG_MAX_SHARES);
	assert_int_equal(config_shares(parse_good("shares = low\nmemory = 1M")), 5);
}

static void test_mistakes_name_what_is_wrong(void **state)
{
	static const struct {
		const char *lines, *diagnostic;
	} cases[] = {
		{ "min = half", "3: min 'half' is not a size; expected a number with K, M or G, such as 256M" },
		{ "min = 101%", "3: min '101%' is more than all; expected 0% to 100% of memory, or a size" },
		{ "min = 5 %", "3: min '5 %' is not a size; expected a number with K, M or G, such as 256M" },
		{ "min = 64", "3: min '64' means 64 bytes; did you mean '64M'?" },
		{ "min = 257M", "3: min 257M is more than memory, 256M; expected at most as much" },
		{ "min = 2G\nmemory = 1G", "3: min 2G is more than memory, 1G; expected at most as much" },
		{ "maxmem = 128M", "3: maxmem 128M is less than memory, 256M; expected at least as much" },
		{ "maxmem = 1G\nmemory = 1028K\nmin = 2M",
			"5: min 2M is more than memory, 1028K; expected at most as much" },
		{ "maxmem = much", "3: maxmem 'much' is not a size; expected a number with K, M or G, such as 256M" },
		{ "shares = 0", "3: shares '0' is no share; expected low, normal, high or 1 to 10000000" },
		{ "shares = 10000001",
			"3: shares '10000001' is no share; expected low, normal, high or 1 to 10000000" },
		{ "shares = lots", "3: shares 'lots' is no share; expected low, normal, high or 1 to 10000000" },
		{ "shares = 5%", "3: shares '5%' is no share; expected low, normal, high or 1 to 10000000" },
		{ "group = a b", "3: group 'a b' has a character that a name may not have; expected none or 1 to 31"
				 " letters, digits, '-', '_' or '.'" },
		{ "group =", "3: group '' is empty; expected none or 1 to 31 letters, digits, '-', '_' or '.'" },
		{ "min = 1M\nmin = 2M", "4: min is given again; expected it once, as on line 3" },
		{ "max-mem = 1G", "3: unknown key 'max-mem'; did you mean 'maxmem'?" },
	};
	char text[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct vm_config *vm = parse_vm(cases[i].lines);

		snprintf(text, sizeof(text), "ballast.conf:%s", cases[i].diagnostic);
		assert_int_equal(config.diagnostic_count, 1);
		assert_non_null(vm->error);
		assert_string_equal(vm->error, text);
	}
}

static void test_words_are_checked_against_what_there_was(void **state)
{
	static struct config_words words;

	(void)state;
	words.vm = *parse_good("memory = 512M\nmin = 128M\nmaxmem = 1G");
	assert_int_equal(config_words_parse(&words, "memory=1G min=50% shares=high"), 0);
	assert_int_equal(config_min_memory(&words.vm), MIB(512));
	assert_int_equal(config_shares(&words.vm), 20480);
	words.vm = config.vms[0];
	assert_int_equal(config_words_parse(&words, "memory=64M"), -EINVAL);
	assert_string_equal(words.error, "min 128M is more than memory, 64M; expected at most as much");
	words.vm = config.vms[0];
	assert_int_equal(config_words_parse(&words, "memory=2G"), -EINVAL);
	assert_string_equal(words.error, "maxmem 1G is less than memory, 2G; expected at least as much");
	words.vm = config.vms[0];
	assert_int_equal(config_words_parse(&words, "memory=64M min=0%"), 0);
	assert_int_equal(words.given, BIT(CONFIG_KEY_MEMORY) | BIT(CONFIG_KEY_MIN));
	assert_int_equal(config_min_memory(&words.vm), 0);
}

static void test_tax_is_a_percentage(void **state)
{
	static const struct {
		const char *line;
		uint32_t tax;
		const char *diagnostic;
	} cases[] = {
		{ "", CONFIG_DEFAULT_TAX, NULL },
		{ "memory-tax = 50%", 50, NULL },
		{ "memory-tax = 0", 0, NULL },
		{ "memory-tax = 99", 99, NULL },
		{ "memory-tax = 100%", CONFIG_DEFAULT_TAX,
			"ballast.conf:2: memory-tax '100%' is no tax on idle memory; expected 0% to 99%" },
		{ "memory-tax = none", CONFIG_DEFAULT_TAX,
			"ballast.conf:2: memory-tax 'none' is no tax on idle memory; expected 0% to 99%" },
	};
	char text[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(text, sizeof(text), "[ballast]\n%s\n", cases[i].line);
		config_parse(text, strlen(text), &config);
		assert_int_equal(config.ballast.memory_tax_percent, cases[i].tax);
		assert_int_equal(config.diagnostic_count, cases[i].diagnostic ? 1 : 0);
		if (cases[i].diagnostic)
			assert_string_equal(config.diagnostics[0].text, cases[i].diagnostic);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_memory_is_guaranteed_unless_told_otherwise),
		cmocka_unit_test(test_keys_are_taken_in_any_order),
		cmocka_unit_test(test_min_may_be_a_part_of_memory),
		cmocka_unit_test(test_shares_are_a_number_or_by_memory),
		cmocka_unit_test(test_mistakes_name_what_is_wrong),
		cmocka_unit_test(test_words_are_checked_against_what_there_was),
		cmocka_unit_test(test_tax_is_a_percentage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
