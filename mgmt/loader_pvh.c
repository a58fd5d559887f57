/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PVH: an ELF file with a note that names its 32-bit entry, as the x86/HVM direct boot ABI of the
 * Xen project describes it (xen/include/public/arch-x86/hvm/start_info.h). No part of Xen is
 * needed to run such a kernel.
 */
#include "lib/string.h"
#include "mgmt/loader_common.h"

#define NOTE_OWNER "Xen"
#define NOTE_PHYS32_ENTRY 18

#define START_INFO_MAGIC 0x336ec578
#define START_INFO_VERSION 1 /* has a memory map */

struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t module_count;
	uint64_t modules;
	uint64_t cmdline;
	uint64_t rsdp;
	uint64_t memory_map;
	uint32_t memory_map_count;
	uint32_t reserved;
};
_Static_assert(sizeof(struct pvh_start_info) == 56, "PVH start info size");
_Static_assert(offsetof(struct pvh_start_info, memory_map) == 40, "PVH memory map offset");

struct pvh_module {
	uint64_t start, bytes, cmdline, reserved;
};
_Static_assert(sizeof(struct pvh_module) == 32, "PVH module size");

struct pvh_range {
	uint64_t start, bytes;
	uint32_t type, reserved;
};
_Static_assert(sizeof(struct pvh_range) == 24, "PVH memory map entry size");

/* The initrd is the first module, as Linux has it. */
#define MODULES (CONFIG_MAX_MODULES + 1)

bool loader_pvh_matches(const struct loader_file *kernel)
{
	const char *fault;
	struct elf elf;
	uint64_t entry;

	return elf_open(&elf, kernel->data, kernel->bytes, &fault) == 0 &&
	       elf_find_note(&elf, NOTE_OWNER, NOTE_PHYS32_ENTRY, &entry) == 0;
}

static int load_kernel(struct loader *loader, uint64_t *entry, gpa_t *end)
{
	const struct loader_file *kernel = &loader->files->kernel;
	const char *path = loader->config->kernel, *fault;
	struct elf elf;
	int error = elf_open(&elf, kernel->data, kernel->bytes, &fault);

	if (error == -ENOEXEC)
		return loader_fail(loader, -EINVAL, "kernel %s is no ELF file, as PVH needs", path);
	if (error)
		return loader_fail(loader, error, "kernel %s is damaged: %s", path, fault);
	if (elf_find_note(&elf, NOTE_OWNER, NOTE_PHYS32_ENTRY, entry) != 0)
		return loader_fail(loader, -EINVAL,
			"kernel %s has no PVH entry (a Xen note of type 18)", path);
	if (*entry >= guest_layout_low_end(loader->memory_bytes))
		return loader_fail(loader, -ENOSPC, "kernel %s begins at 0x%llx, outside memory",
			path, (unsigned long long)*entry);
	return loader_load_elf(loader, &elf, end);
}

static int place_module(struct loader *loader, const char *path, const char *words,
	const struct loader_file *file, gpa_t *next, struct pvh_module *module)
{
	struct loaded_module loaded;
	int error = loader_load_module(loader, path, file, next, &loaded);

	if (error)
		return error;
	module->start = loaded.start;
	module->bytes = loaded.bytes;
	return loader_place_words(loader, words, "", &module->cmdline);
}

static int place_modules(struct loader *loader, gpa_t next, struct pvh_start_info *info)
{
	const struct vm_config *config = loader->config;
	struct pvh_module modules[MODULES] = { 0 };
	uint32_t count = 0;
	int error = 0;

	if (config->initrd)
		error = place_module(loader, config->initrd, "", &loader->files->initrd, &next,
			&modules[count++]);
	for (size_t i = 0; i < config->module_count && !error; i++)
		error = place_module(loader, config->modules[i].path, config->modules[i].words,
			&loader->files->modules[i], &next, &modules[count++]);
	info->module_count = count;
	if (error || count == 0)
		return error;
	return loader_place(loader, modules, count * sizeof(modules[0]), 16, &info->modules);
}

static int place_map(struct loader *loader, struct pvh_start_info *info)
{
	struct layout_range ranges[LAYOUT_RANGES];
	size_t count = guest_layout_map(loader->memory_bytes, ranges);
	struct pvh_range map[LAYOUT_RANGES];

	for (size_t i = 0; i < count; i++)
		map[i] = (struct pvh_range){ ranges[i].start, ranges[i].bytes, ranges[i].type, 0 };
	info->memory_map_count = (uint32_t)count;
	return loader_place(loader, map, count * sizeof(map[0]), 16, &info->memory_map);
}

static int place_info(struct loader *loader, gpa_t kernel_end, gpa_t *at)
{
	struct pvh_start_info info = {
		.magic = START_INFO_MAGIC,
		.version = START_INFO_VERSION,
		.rsdp = loader->rsdp,
	};
	int error = loader_place_words(loader, loader->config->cmdline, "", &info.cmdline);

	if (!error)
		error = place_modules(loader, kernel_end, &info);
	if (!error)
		error = place_map(loader, &info);
	if (!error)
		error = loader_place(loader, &info, sizeof(info), 16, at);
	return error;
}

int loader_pvh_load(struct loader *loader)
{
	uint64_t entry = 0;
	gpa_t end, info;
	int error = load_kernel(loader, &entry, &end);

	if (!error)
		error = place_info(loader, end, &info);
	if (!error)
		error = loader_enter_protected(loader, (uint32_t)entry);
	if (error)
		return error;
	loader->vm->vcpus[0]->regs.gpr[GPR_RBX] = info;
	return 0;
}
