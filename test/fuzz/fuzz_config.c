/* SPDX-License-Identifier: BSD-2-Clause */
/* ballast.conf from any bytes: what the parser promises of its result holds. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/config.h"
#include "mgmt/config_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config config;

static void check_string(const char *string)
{
	assert(string >= config.strings && string < config.strings + config.string_bytes);
	assert(memchr(string, 0, (size_t)(config.strings + config.string_bytes - string)));
}

static void check_path(const char *path)
{
	assert(path[0] == '\\' && path[1] && path[1] != '\\');
	assert(strlen(path) < CONFIG_PATH_BYTES);
	assert(!strchr(path, '/') && !strstr(path, "\\\\"));
	for (; *path; path++)
		assert(*path >= ' ' && *path <= '~');
}

static void check_diagnostic(const struct config_diagnostic *diagnostic)
{
	assert(diagnostic->line > 0);
	assert(memchr(diagnostic->text, 0, sizeof(diagnostic->text)));
	assert(strncmp(diagnostic->text, "ballast.conf:", 13) == 0);
	for (const char *c = diagnostic->text; *c; c++)
		assert(*c >= ' ' && *c <= '~');
}

static void check_devices(const struct vm_config *vm)
{
	assert(vm->disk_count <= CONFIG_MAX_DISKS && vm->net_count <= CONFIG_MAX_NETS);
	for (size_t i = 0; i < vm->disk_count; i++) {
		const struct config_disk *disk = &vm->disks[i];

		if (disk->source[0] == '\\')
			check_path(disk->source);
		else
			assert(disk->source[0] && strlen(disk->source) < CONFIG_NAME_BYTES);
		assert(!(disk->cow && disk->read_only));
		assert(IS_ALIGNED(disk->limit_bytes, PAGE_SIZE));
	}
	for (size_t i = 0; i < vm->net_count; i++) {
		assert(vm->nets[i].name[0] && memchr(vm->nets[i].name, 0, CONFIG_NAME_BYTES));
		assert(!vm->nets[i].has_mac || !(vm->nets[i].mac[0] & 1));
	}
}

static size_t count_images(const struct vm_config *vm)
{
	size_t count = 0;

	for (size_t i = 0; i < vm->disk_count; i++)
		count += vm->disks[i].source[0] == '\\';
	return count;
}

static void check_startable(const struct vm_config *vm)
{
	assert(vm->memory_bytes >= CONFIG_MIN_MEMORY && vm->memory_bytes <= CONFIG_MAX_MEMORY);
	assert(IS_ALIGNED(vm->memory_bytes, PAGE_SIZE));
	assert(config_min_memory(vm) <= vm->memory_bytes && IS_ALIGNED(config_min_memory(vm), PAGE_SIZE));
	assert(config_max_memory(vm) >= vm->memory_bytes && config_max_memory(vm) <= CONFIG_MAX_MEMORY);
	assert(config_shares(vm) >= 1 && config_shares(vm) <= CONFIG_MAX_SHARES);
	assert(memchr(vm->group, 0, sizeof(vm->group)));
	assert(vm->vcpus >= 1 && vm->vcpus <= CONFIG_MAX_VCPUS);
	assert(vm->boot <= CONFIG_BOOT_PVH);
	assert(vm->sched.weight >= 1 && vm->sched.weight <= SCHED_WEIGHT_MAX);
	assert(vm->sched.cap_percent <= CONFIG_MAX_CAP);
	assert(vm->sched.cpus.words[0] | vm->sched.cpus.words[1] | vm->sched.cpus.words[2] |
		vm->sched.cpus.words[3]);
	check_string(vm->kernel);
	check_path(vm->kernel);
	if (vm->initrd)
		check_path(vm->initrd);
	for (size_t i = 0; i < vm->module_count; i++) {
		check_path(vm->modules[i].path);
		check_string(vm->modules[i].words);
	}
	if (vm->cmdline[0])
		check_string(vm->cmdline);
	check_devices(vm);
}

/* The same bytes as the words of a command; what they make stands by itself when it is copied. */
static void check_words(const char *data, size_t size)
{
	static struct config_words words;
	char *text = malloc(size + 1), name[CONFIG_NAME_BYTES], error[CONFIG_DIAGNOSTIC_BYTES];
	struct vm_config *copy;

	memcpy(text, data, size);
	text[size] = '\0';
	words.like = size & 1;
	config_vm_init(&words.vm);
	words.vm.kernel = "\\k";
	if (config_words_like(text, name))
		assert(strlen(name) < sizeof(name));
	if (config_words_name(text, error) == 0)
		assert(strlen(text) < CONFIG_NAME_BYTES);
	if (config_words_parse(&words, text)) {
		assert(words.error[0]);
		for (const char *c = words.error; *c; c++)
			assert(*c >= ' ' && *c <= '~');
		free(text);
		return;
	}
	free(text);
	copy = malloc(config_clone_bytes(&words.vm));
	config_clone(&words.vm, copy);
	memset(words.strings, 0xa5, sizeof(words.strings));
	assert(copy->memory_bytes >= CONFIG_MIN_MEMORY && copy->vcpus <= CONFIG_MAX_VCPUS);
	check_path(copy->kernel);
	if (copy->initrd)
		check_path(copy->initrd);
	assert(strlen(copy->cmdline) < CONFIG_WORDS_BYTES);
	for (size_t i = 0; i < copy->module_count; i++)
		check_path(copy->modules[i].path);
	check_devices(copy);
	free(copy);
}

static void count_path(const char *path, void *argument)
{
	check_path(path);
	++*(size_t *)argument;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1);
	size_t listed = 0, used = 0;

	if (size)
		memcpy(copy, data, size);
	config_parse(copy, size, &config);
	config_each_file(copy, size, count_path, &listed);
	check_words(copy, size);
	free(copy);
	assert(config.vm_count <= CONFIG_MAX_VMS);
	assert(config.diagnostic_count <= CONFIG_MAX_DIAGNOSTICS);
	for (size_t i = 0; i < config.diagnostic_count; i++)
		check_diagnostic(&config.diagnostics[i]);
	for (size_t i = 0; i < config.vm_count; i++) {
		const struct vm_config *vm = &config.vms[i];

		assert(config_find_vm(&config, vm->name) == vm);
		if (vm->error)
			continue;
		check_startable(vm);
		used += 1 + (vm->initrd != NULL) + vm->module_count + count_images(vm);
	}
	/* Whatever a startable VM needs has been read at boot. */
	assert(listed >= used);
	return 0;
}
