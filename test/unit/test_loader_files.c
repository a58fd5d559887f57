/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of the files read at boot a guest gets, and what is said about one that is not there. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "host/machine.h"
#include "mgmt/loader.h"

static const struct machine_file boot_files[] = {
	{ .path = "\\k", .data = (const uint8_t *)"kernel", .bytes = 6 },
	{ .path = "\\i", .data = (const uint8_t *)"initrd!", .bytes = 7 },
	{ .path = "\\m", .data = (const uint8_t *)"module!!", .bytes = 8 },
	{ .path = "\\gone", .error = -ENOENT },
	{ .path = "\\large", .error = -ENOMEM },
	{ .path = "\\broken", .error = -EIO },
};

const struct machine_file *machine_find_file(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(boot_files); i++) {
		if (strcmp(boot_files[i].path, path) == 0)
			return &boot_files[i];
	}
	return NULL;
}

static void all_files_are_found(void **state)
{
	struct vm_config config = { .kernel = "\\k", .initrd = "\\i", .module_count = 2,
		.modules = { { "\\m", "" }, { "\\k", "" } } };
	struct loader_files files;
	char why[100];

	(void)state;
	memset(&files, 0xa5, sizeof(files));
	assert_int_equal(loader_find_files(&config, &files, why, sizeof(why)), 0);
	assert_int_equal(files.kernel.bytes, 6);
	assert_int_equal(files.initrd.bytes, 7);
	assert_int_equal(files.modules[0].bytes, 8);
	assert_ptr_equal(files.modules[1].data, files.kernel.data);
	config.initrd = NULL;
	assert_int_equal(loader_find_files(&config, &files, why, sizeof(why)), 0);
	assert_null(files.initrd.data);
}

static void a_missing_file_is_named(void **state)
{
	static const struct {
		struct vm_config config;
		int error;
		const char *why;
	} cases[] = {
		{ { .kernel = "\\x" }, -ENOENT, "kernel \\x is not on the boot volume" },
		{ { .kernel = "\\gone" }, -ENOENT, "kernel \\gone is not on the boot volume" },
		{ { .kernel = "\\k", .initrd = "\\large" }, -ENOMEM,
			"initrd \\large did not fit into the machine's memory" },
		{ { .kernel = "\\k", .modules = { { "\\broken", "" } }, .module_count = 1 }, -EIO,
			"module \\broken could not be read from the boot volume (error -5)" },
	};
	struct loader_files files;
	char why[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(loader_find_files(&cases[i].config, &files, why, sizeof(why)),
			cases[i].error);
		assert_string_equal(why, cases[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_files_are_found),
		cmocka_unit_test(a_missing_file_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
