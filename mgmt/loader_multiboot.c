/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot Specification 0.6.96, "The layout of Multiboot header", "Boot information format" and
 * "Machine state". As boot loaders have it since the first, a command line's first word is the path
 * of the file it belongs to. A kernel that asks for a text or graphics mode is not given one: the
 * header's wish is a recommendation, and the guest has no display.
 */
#include "lib/string.h"
#include "mgmt/loader_common.h"

#define HEADER_MAGIC 0x1badb002U
#define HEADER_AREA 8192        /* the header lies within so many bytes, */
#define HEADER_ALIGN 4          /* aligned so */
#define HEADER_PAGE_ALIGN BIT(0) /* modules always are */
#define HEADER_MEMORY_INFO BIT(1) /* always given */
#define HEADER_VIDEO_MODE BIT(2)
#define HEADER_KNOWN (HEADER_PAGE_ALIGN | HEADER_MEMORY_INFO | HEADER_VIDEO_MODE)
#define HEADER_REQUIRED 0xffffU /* flags that a loader must understand */
#define HEADER_ADDRESSES BIT(16)

#define INFO_MEMORY BIT(0)
#define INFO_CMDLINE BIT(2)
#define INFO_MODULES BIT(3)
#define INFO_MMAP BIT(6)
#define INFO_LOADER_NAME BIT(9)

#define ENTRY_MAGIC 0x2badb002U

struct multiboot_header {
	uint32_t magic, flags, checksum;
	/* With HEADER_ADDRESSES: */
	uint32_t header_address, load_address, load_end, bss_end, entry;
};
_Static_assert(sizeof(struct multiboot_header) == 32, "Multiboot header size");
#define HEADER_LEAST offsetof(struct multiboot_header, header_address)

struct multiboot_info {
	uint32_t flags;
	uint32_t memory_lower_kib, memory_upper_kib;
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t module_count, modules;
	uint32_t symbols[4];
	uint32_t mmap_bytes, mmap;
	uint32_t drives_bytes, drives;
	uint32_t config_table;
	uint32_t loader_name;
	uint32_t apm_table;
	uint32_t vbe[4];
};
_Static_assert(sizeof(struct multiboot_info) == 88, "Multiboot information size");
_Static_assert(offsetof(struct multiboot_info, mmap_bytes) == 44, "Multiboot mmap offset");
_Static_assert(offsetof(struct multiboot_info, loader_name) == 64, "Multiboot loader name offset");

struct multiboot_module {
	uint32_t start, end, words, reserved;
};
_Static_assert(sizeof(struct multiboot_module) == 16, "Multiboot module size");

struct multiboot_mmap {
	uint32_t size; /* of what follows */
	uint64_t start, bytes;
	uint32_t type;
} __packed;
_Static_assert(sizeof(struct multiboot_mmap) == 24, "Multiboot memory map entry size");

/* The header and where in the file it is; what is beyond the end of the file reads as zero. */
static bool find_header(const struct loader_file *kernel, struct multiboot_header *header,
	uint64_t *at)
{
	uint64_t end = MIN(kernel->bytes, (uint64_t)HEADER_AREA);

	for (*at = 0; range_within(*at, HEADER_LEAST, end); *at += HEADER_ALIGN) {
		memset(header, 0, sizeof(*header));
		memcpy(header, kernel->data + *at, MIN(sizeof(*header), kernel->bytes - *at));
		if (header->magic == HEADER_MAGIC &&
			header->magic + header->flags + header->checksum == 0)
			return true;
	}
	return false;
}

bool loader_multiboot_matches(const struct loader_file *kernel)
{
	struct multiboot_header header;
	uint64_t at;

	return find_header(kernel, &header, &at);
}

static int bad_addresses(struct loader *loader)
{
	return loader_fail(loader, -EINVAL,
		"kernel %s is damaged: the addresses in its Multiboot header do not fit together",
		loader->config->kernel);
}

/* A file that is loaded as the header's addresses say ("The address fields of ..."). */
static int load_by_addresses(struct loader *loader, const struct multiboot_header *header,
	uint64_t header_at, gpa_t *end)
{
	const struct loader_file *kernel = &loader->files->kernel;
	uint64_t memory_bytes = loader->memory_bytes;
	uint64_t before = (uint64_t)header->header_address - header->load_address;
	uint64_t bytes;

	if (header->load_address > header->header_address || before > header_at)
		return bad_addresses(loader);
	bytes = kernel->bytes - (header_at - before);
	if (header->load_end) {
		if (header->load_end < header->load_address ||
			header->load_end - header->load_address > bytes)
			return bad_addresses(loader);
		bytes = header->load_end - header->load_address;
	}
	*end = MAX(header->load_address + bytes, (uint64_t)header->bss_end);
	if (!guest_layout_is_free(memory_bytes, header->load_address,
		    *end - header->load_address))
		return loader_fail(loader, -ENOSPC,
			"kernel %s is to be loaded from 0x%x to 0x%llx, which is not all free RAM",
			loader->config->kernel, header->load_address, (unsigned long long)*end);
	return loader_write(loader, header->load_address, kernel->data + header_at - before,
		bytes);
}

static int load_elf(struct loader *loader, uint64_t *entry, gpa_t *end)
{
	const struct loader_file *kernel = &loader->files->kernel;
	const char *fault;
	struct elf elf;
	int error = elf_open(&elf, kernel->data, kernel->bytes, &fault);

	if (error == -ENOEXEC)
		return loader_fail(loader, -EINVAL,
			"kernel %s is neither an ELF file nor says where to load it",
			loader->config->kernel);
	if (error)
		return loader_fail(loader, error, "kernel %s is damaged: %s",
			loader->config->kernel, fault);
	*entry = elf_physical_entry(&elf);
	return loader_load_elf(loader, &elf, end);
}

static int load_kernel(struct loader *loader, uint64_t *entry, gpa_t *end)
{
	struct multiboot_header header;
	uint64_t at;
	int error;

	if (!find_header(&loader->files->kernel, &header, &at))
		return loader_fail(loader, -EINVAL, "kernel %s has no Multiboot header",
			loader->config->kernel);
	if (header.flags & HEADER_REQUIRED & ~HEADER_KNOWN)
		return loader_fail(loader, -ENOTSUP,
			"kernel %s requires Multiboot features 0x%x, which Ballast does not have",
			loader->config->kernel,
			(unsigned int)(header.flags & HEADER_REQUIRED & ~HEADER_KNOWN));
	*entry = header.entry;
	error = header.flags & HEADER_ADDRESSES ? load_by_addresses(loader, &header, at, end)
						: load_elf(loader, entry, end);
	if (!error && *entry >= guest_layout_low_end(loader->memory_bytes))
		error = loader_fail(loader, -EINVAL, "kernel %s begins at 0x%llx, outside memory",
			loader->config->kernel, (unsigned long long)*entry);
	return error;
}

/* The path of a file and words, as one command line. */
static int place_command(struct loader *loader, const char *path, const char *words, uint32_t *at)
{
	char slashes[CONFIG_PATH_BYTES];
	gpa_t gpa;
	int error;

	config_path_slashes(path, slashes);
	error = loader_place_words(loader, slashes, words, &gpa);
	*at = (uint32_t)gpa;
	return error;
}

static int place_modules(struct loader *loader, gpa_t next, struct multiboot_info *info)
{
	const struct vm_config *config = loader->config;
	struct multiboot_module modules[CONFIG_MAX_MODULES] = { 0 };
	struct loaded_module loaded;
	gpa_t at;
	int error = 0;

	for (size_t i = 0; i < config->module_count && !error; i++) {
		error = loader_load_module(loader, config->modules[i].path,
			&loader->files->modules[i], &next, &loaded);
		if (error)
			break;
		modules[i].start = (uint32_t)loaded.start;
		modules[i].end = (uint32_t)(loaded.start + loaded.bytes);
		error = place_command(loader, config->modules[i].path, config->modules[i].words,
			&modules[i].words);
	}
	if (!error)
		error = loader_place(loader, modules, config->module_count * sizeof(modules[0]), 16,
			&at);
	if (!error) {
		info->modules = (uint32_t)at;
		info->module_count = (uint32_t)config->module_count;
	}
	return error;
}

static int place_mmap(struct loader *loader, struct multiboot_info *info)
{
	struct layout_range ranges[LAYOUT_RANGES];
	size_t count = guest_layout_map(loader->memory_bytes, ranges);
	struct multiboot_mmap map[LAYOUT_RANGES];
	gpa_t at;
	int error;

	for (size_t i = 0; i < count; i++)
		map[i] = (struct multiboot_mmap){ sizeof(map[i]) - sizeof(map[i].size),
			ranges[i].start, ranges[i].bytes, ranges[i].type };
	error = loader_place(loader, map, count * sizeof(map[0]), 16, &at);
	info->mmap = (uint32_t)at;
	info->mmap_bytes = (uint32_t)(count * sizeof(map[0]));
	return error;
}

static int place_info(struct loader *loader, gpa_t kernel_end, gpa_t *at)
{
	gpa_t low_end = guest_layout_low_end(loader->memory_bytes), name;
	struct multiboot_info info = {
		.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MMAP | INFO_LOADER_NAME,
		.memory_lower_kib = LAYOUT_EBDA >> 10,
		.memory_upper_kib = (uint32_t)((low_end - LAYOUT_LOW_END) >> 10),
	};
	int error = place_command(loader, loader->config->kernel, loader->config->cmdline,
		&info.cmdline);

	if (!error)
		error = place_modules(loader, kernel_end, &info);
	if (!error)
		error = place_mmap(loader, &info);
	if (!error)
		error = loader_place_words(loader, "Ballast", "", &name);
	if (error)
		return error;
	info.loader_name = (uint32_t)name;
	return loader_place(loader, &info, sizeof(info), 16, at);
}

int loader_multiboot_load(struct loader *loader)
{
	struct general_regs *regs = &loader->vm->vcpus[0]->regs;
	uint64_t entry = 0;
	gpa_t end, info;
	int error;

	if (loader->config->initrd)
		return loader_fail(loader, -EINVAL,
			"a Multiboot kernel takes no initrd (%s); expected module lines",
			loader->config->initrd);
	error = load_kernel(loader, &entry, &end);
	if (!error)
		error = place_info(loader, end, &info);
	if (!error)
		error = loader_enter_protected(loader, (uint32_t)entry);
	if (error)
		return error;
	regs->gpr[GPR_RAX] = ENTRY_MAGIC;
	regs->gpr[GPR_RBX] = info;
	return 0;
}
