/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux bzImage, by "The Linux/x86 Boot Protocol" in the kernel's own documentation: the 64-bit
 * entry where the kernel has one, else the 32-bit entry. The kernel's real-mode part never runs.
 */
#include "lib/string.h"
#include "mgmt/loader_common.h"
#include <asm/bootparam.h>

_Static_assert(sizeof(struct boot_params) == PAGE_SIZE, "boot_params size");
_Static_assert(offsetof(struct boot_params, hdr) == 0x1f1, "setup header offset");

#define HEADER_START 0x1f1
#define HEADER_JUMP_END 0x202  /* the jump at 0x200 is relative to here: it ends the header */
#define HEADER_LEAST 0x240     /* what protocol 2.06 has, rounded up */
#define BOOT_FLAG 0xaa55
#define HEADER_MAGIC 0x53726448 /* "HdrS" */
#define SECTOR_BYTES 512
#define DEFAULT_SETUP_SECTORS 4
#define DEFAULT_LOAD 0x100000
#define VERSION_CMDLINE_SIZE 0x206 /* the oldest that is loaded */
#define VERSION_INIT_SIZE 0x20a
#define VERSION_XLOADFLAGS 0x20c
#define LOADER_UNDEFINED 0xff
#define ENTRY_64 0x200         /* behind the start of the protected-mode part */

struct linux_kernel {
	struct setup_header header;
	const uint8_t *code; /* the protected-mode part */
	uint64_t code_bytes;
	gpa_t load;
	gpa_t end; /* of what the kernel needs before it reads its memory map */
};

/* Old kernels have shorter headers: what is beyond the end of theirs reads as zero. */
static void read_header(const struct loader_file *file, struct setup_header *header)
{
	uint64_t end = HEADER_JUMP_END + (uint64_t)file->data[HEADER_JUMP_END - 1];

	end = MIN(end, file->bytes);
	memset(header, 0, sizeof(*header));
	memcpy(header, file->data + HEADER_START, MIN(end - HEADER_START, sizeof(*header)));
}

bool loader_linux_matches(const struct loader_file *kernel)
{
	struct setup_header header;

	if (kernel->bytes < HEADER_LEAST)
		return false;
	read_header(kernel, &header);
	return header.boot_flag == BOOT_FLAG && header.header == HEADER_MAGIC;
}

static int check_header(struct loader *loader, const struct setup_header *header)
{
	const char *path = loader->config->kernel;

	if (header->version < VERSION_CMDLINE_SIZE)
		return loader_fail(loader, -ENOTSUP,
			"kernel %s has boot protocol %u.%02u; expected 2.06 or later", path,
			header->version >> 8, header->version & 0xff);
	if (!(header->loadflags & LOADED_HIGH))
		return loader_fail(loader, -ENOTSUP, "kernel %s is a zImage; expected a bzImage",
			path);
	return 0;
}

static int find_code(struct loader *loader, struct linux_kernel *kernel)
{
	const struct loader_file *file = &loader->files->kernel;
	unsigned int sectors = kernel->header.setup_sects;
	uint64_t start = ((sectors ? sectors : DEFAULT_SETUP_SECTORS) + 1) * SECTOR_BYTES;
	/* In units of 16 bytes: the last one need not be full. */
	uint64_t least = kernel->header.syssize ? kernel->header.syssize * 16ULL - 15 : 1;

	if (!range_within(start, least, file->bytes))
		return loader_fail(loader, -EINVAL,
			"kernel %s is cut short: it has %llu bytes; expected at least %llu",
			loader->config->kernel, (unsigned long long)file->bytes,
			(unsigned long long)(start + least));
	kernel->code = file->data + start;
	kernel->code_bytes = file->bytes - start;
	return 0;
}

/*
 * Where the kernel is loaded, and where what it needs ends. A relocatable kernel below its
 * preferred address would move itself up to it, so there is no other place to fall back to when
 * that does not fit (boot protocol, "init_size").
 */
static int choose_place(struct loader *loader, struct linux_kernel *kernel)
{
	const struct setup_header *header = &kernel->header;
	uint64_t memory_bytes = loader->memory_bytes;
	bool has_size = header->version >= VERSION_INIT_SIZE;
	uint64_t align = header->kernel_alignment, needed = kernel->code_bytes;
	gpa_t run;

	kernel->load = header->code32_start ? header->code32_start : DEFAULT_LOAD;
	if (has_size && header->pref_address)
		kernel->load = header->pref_address;
	run = kernel->load;
	if (header->relocatable_kernel && align && (align & (align - 1)) == 0)
		run = ROUND_UP(run, align);
	if (has_size)
		needed = MAX(needed, (uint64_t)header->init_size);
	if (kernel->load >= LAYOUT_LOW_END &&
		guest_layout_is_free(memory_bytes, run, needed) && run >= kernel->load) {
		kernel->end = run + needed;
		return 0;
	}
	if (kernel->load < LAYOUT_LOW_END || kernel->load >= PCI_HOLE_START)
		return loader_fail(loader, -ENOTSUP, "kernel %s is to be loaded at 0x%llx; expected"
			" an address from 1M to 3G", loader->config->kernel,
			(unsigned long long)kernel->load);
	return loader_fail(loader, -ENOSPC,
		"kernel %s needs memory up to %lluM and the guest has %lluM below 3G",
		loader->config->kernel, (unsigned long long)((run + needed + MIB(1) - 1) >> 20),
		(unsigned long long)(guest_layout_low_end(memory_bytes) >> 20));
}

/* As high as the kernel allows, so that it is out of the way of its unpacking. */
static int load_initrd(struct loader *loader, const struct linux_kernel *kernel,
	struct boot_params *params)
{
	const struct loader_file *initrd = &loader->files->initrd;
	gpa_t top = MIN(guest_layout_low_end(loader->memory_bytes),
		(gpa_t)kernel->header.initrd_addr_max + 1);
	gpa_t start;

	if (!loader->config->initrd)
		return 0;
	if (initrd->bytes > top || ROUND_DOWN(top - initrd->bytes, PAGE_SIZE) < kernel->end)
		return loader_fail(loader, -ENOSPC,
			"initrd %s (%lluM) does not fit into the %lluM that the kernel leaves free",
			loader->config->initrd,
			(unsigned long long)((initrd->bytes + MIB(1) - 1) >> 20),
			(unsigned long long)(top > kernel->end ? (top - kernel->end) >> 20 : 0));
	start = ROUND_DOWN(top - initrd->bytes, PAGE_SIZE);
	params->hdr.ramdisk_image = (uint32_t)start;
	params->hdr.ramdisk_size = (uint32_t)initrd->bytes;
	return loader_write(loader, start, initrd->data, initrd->bytes);
}

static int place_cmdline(struct loader *loader, const struct linux_kernel *kernel,
	struct boot_params *params)
{
	size_t length = strlen(loader->config->cmdline);
	gpa_t at;
	int error;

	if (length > kernel->header.cmdline_size)
		return loader_fail(loader, -EINVAL,
			"the command line has %zu characters; kernel %s takes at most %u", length,
			loader->config->kernel, kernel->header.cmdline_size);
	error = loader_place_words(loader, loader->config->cmdline, "", &at);
	params->hdr.cmd_line_ptr = (uint32_t)at;
	return error;
}

static void fill_params(struct loader *loader, const struct linux_kernel *kernel,
	struct boot_params *params)
{
	struct layout_range ranges[LAYOUT_RANGES];
	size_t count = guest_layout_map(loader->memory_bytes, ranges);
	uint64_t above_kib = (guest_layout_low_end(loader->memory_bytes) -
				     LAYOUT_LOW_END) >> 10;

	params->hdr = kernel->header;
	params->hdr.type_of_loader = LOADER_UNDEFINED;
	params->hdr.code32_start = (uint32_t)kernel->load;
	params->hdr.ramdisk_image = 0;
	params->hdr.ramdisk_size = 0;
	params->hdr.setup_data = 0;
	params->acpi_rsdp_addr = loader->rsdp;
	params->screen_info.ext_mem_k = (uint16_t)MIN(above_kib, 0xffffU);
	params->alt_mem_k = (uint32_t)above_kib;
	params->e820_entries = (uint8_t)count;
	for (size_t i = 0; i < count; i++)
		params->e820_table[i] = (struct boot_e820_entry){ ranges[i].start,
			ranges[i].bytes, ranges[i].type };
}

static int enter(struct loader *loader, const struct linux_kernel *kernel, gpa_t params_at)
{
	bool has_64 = kernel->header.version >= VERSION_XLOADFLAGS &&
		      kernel->header.xloadflags & XLF_KERNEL_64;
	int error = has_64 ? loader_enter_long(loader, kernel->load + ENTRY_64)
			   : loader_enter_protected(loader, (uint32_t)kernel->load);

	loader->vm->vcpus[0]->regs.gpr[GPR_RSI] = params_at;
	return error;
}

static int load(struct loader *loader, struct linux_kernel *kernel)
{
	gpa_t params_at;
	struct boot_params *params = loader_place_page(loader, &params_at);
	int error;

	if (!params)
		return -ENOMEM;
	fill_params(loader, kernel, params);
	error = place_cmdline(loader, kernel, params);
	if (!error)
		error = load_initrd(loader, kernel, params);
	if (!error)
		error = loader_write(loader, kernel->load, kernel->code, kernel->code_bytes);
	if (!error)
		error = enter(loader, kernel, params_at);
	return error;
}

int loader_linux_load(struct loader *loader)
{
	struct linux_kernel kernel;
	int error;

	if (!loader_linux_matches(&loader->files->kernel))
		return loader_fail(loader, -EINVAL, "kernel %s is no Linux bzImage",
			loader->config->kernel);
	if (loader->config->module_count)
		return loader_fail(loader, -EINVAL,
			"Linux takes no modules (%s); expected initrd, or boot = pvh",
			loader->config->modules[0].path);
	read_header(&loader->files->kernel, &kernel.header);
	error = check_header(loader, &kernel.header);
	if (!error)
		error = find_code(loader, &kernel);
	if (!error)
		error = choose_place(loader, &kernel);
	return error ? error : load(loader, &kernel);
}
