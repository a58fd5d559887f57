/* SPDX-License-Identifier: BSD-2-Clause */
/* Which kind of kernel a file is, and the memory that all kinds find around them. */
#include "lib/string.h"
#include "mgmt/guest_firmware.h"
#include "mgmt/loader_common.h"

/* Customary packings that need unpacking on the machine that makes the stick. */
static const struct packing {
	uint8_t bytes;
	uint8_t magic[6];
	const char *name;
} packings[] = {
	{ 2, { 0x1f, 0x8b }, "gzip" },
	{ 6, { 0xfd, '7', 'z', 'X', 'Z', 0 }, "xz" },
	{ 4, { 0x28, 0xb5, 0x2f, 0xfd }, "zstd" },
	{ 3, { 'B', 'Z', 'h' }, "bzip2" },
	{ 4, { 0x02, 0x21, 0x4c, 0x18 }, "lz4" },
	{ 4, { 0x04, 0x22, 0x4d, 0x18 }, "lz4" },
};

static const char *packing_of(const struct loader_file *file)
{
	for (size_t i = 0; i < ARRAY_SIZE(packings); i++) {
		if (file->bytes >= packings[i].bytes &&
			memcmp(file->data, packings[i].magic, packings[i].bytes) == 0)
			return packings[i].name;
	}
	return NULL;
}

static int load_unknown(struct loader *loader)
{
	const char *packing = packing_of(&loader->files->kernel);

	if (packing)
		return loader_fail(loader, -ENOTSUP,
			"kernel %s is compressed with %s; expected it uncompressed",
			loader->config->kernel, packing);
	return loader_fail(loader, -EINVAL,
		"kernel %s is no Linux bzImage, Multiboot or PVH kernel", loader->config->kernel);
}

/* Multiboot goes before PVH: a kernel that has both headers runs on bare hardware by the former. */
static int load_auto(struct loader *loader)
{
	const struct loader_file *kernel = &loader->files->kernel;

	if (loader_linux_matches(kernel))
		return loader_linux_load(loader);
	if (loader_multiboot_matches(kernel))
		return loader_multiboot_load(loader);
	if (loader_pvh_matches(kernel))
		return loader_pvh_load(loader);
	return load_unknown(loader);
}

static int load_kernel(struct loader *loader)
{
	switch (loader->config->boot) {
	case CONFIG_BOOT_LINUX:
		return loader_linux_load(loader);
	case CONFIG_BOOT_MULTIBOOT:
		return loader_multiboot_load(loader);
	case CONFIG_BOOT_PVH:
		return loader_pvh_load(loader);
	case CONFIG_BOOT_AUTO:
		break;
	}
	return load_auto(loader);
}

/* Every file of the configuration must be there and hold something. */
static int check_files(struct loader *loader)
{
	const struct vm_config *config = loader->config;
	const struct loader_files *files = loader->files;

	if (!files->kernel.data || !files->kernel.bytes)
		return loader_fail(loader, -ENOENT, "kernel %s is empty", config->kernel);
	if (config->initrd && (!files->initrd.data || !files->initrd.bytes))
		return loader_fail(loader, -ENOENT, "initrd %s is empty", config->initrd);
	for (size_t i = 0; i < config->module_count; i++) {
		if (!files->modules[i].data || !files->modules[i].bytes)
			return loader_fail(loader, -ENOENT, "module %s is empty",
				config->modules[i].path);
	}
	return 0;
}

int loader_load(struct vm *vm, const struct vm_config *config, const struct loader_files *files,
	char *why, size_t size)
{
	struct loader loader = {
		.vm = vm,
		.config = config,
		.files = files,
		.memory_bytes = guest_layout_memory_bytes(&vm->memory),
		.next_boot = LAYOUT_BOOT,
		.why = why,
		.why_bytes = size,
	};
	int error = check_files(&loader);

	if (error)
		return error;
	error = guest_firmware_write(&vm->memory, vm->vcpu_count, &loader.rsdp);
	if (error)
		return loader_fail(&loader, -ENOMEM,
			"the host has no memory left for the guest's firmware tables");
	return load_kernel(&loader);
}
