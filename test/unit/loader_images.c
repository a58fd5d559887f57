/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <assert.h>
#include <linux/elf.h>
#include <stdlib.h>
#include <string.h>

#include "loader_images.h"
#include "mgmt/guest_layout.h"
#include "vcpu/cpuid.h"

static struct cpuid_table test_cpuid = { .physical_bits = 40 };
static struct vcpu boot_vcpu;
struct vm test_vm;

void load_case_init(struct load_case *load, uint64_t memory_bytes)
{
	int error;

	memset(load, 0, sizeof(*load));
	memset(&test_vm, 0, sizeof(test_vm));
	memset(&boot_vcpu, 0x5a, sizeof(boot_vcpu));
	boot_vcpu.valid = boot_vcpu.dirty = 0;
	test_vm.cpuid = &test_cpuid;
	test_vm.vcpus[0] = &boot_vcpu;
	test_vm.vcpu_count = 1;
	fake_guest_memory_reset(&test_vm.memory);
	error = guest_layout_add_memory(&test_vm, memory_bytes);
	assert(error == 0);
	(void)error;
	strcpy(load->config.name, "test");
	load->config.memory_bytes = memory_bytes;
	load->config.vcpus = 1;
	load->config.kernel = "\\k";
	load->config.cmdline = "";
	load->files.kernel.data = load->image;
}

int load_case_run(struct load_case *load)
{
	struct loader_files files = load->files;
	uint8_t *copy = malloc(files.kernel.bytes ? files.kernel.bytes : 1);
	int error;

	memcpy(copy, load->image, files.kernel.bytes);
	files.kernel.data = copy;
	memset(load->why, 0, sizeof(load->why));
	error = loader_load(&test_vm, &load->config, &files, load->why, sizeof(load->why));
	free(copy);
	return error;
}

void load_runs(struct load_case *load)
{
	int error = load_case_run(load);

	if (error)
		fail_msg("%d: %s", error, load->why);
}

void load_fails(struct load_case *load, int error, const char *why)
{
	assert_int_equal(load_case_run(load), error);
	assert_string_equal(load->why, why);
}

void put16(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, 2);
}

void put32(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, 4);
}

void put64(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, 8);
}

uint64_t guest_get(gpa_t gpa, unsigned int bytes)
{
	uint64_t value = 0;

	memcpy(&value, fake_guest_memory_at(gpa), bytes);
	return value;
}

void image_linux(struct load_case *load)
{
	uint8_t *image = load->image;
	const unsigned int code = 2 * 512, code_bytes = 4000;

	image[0x1f1] = 1;
	put32(image + 0x1f4, (code_bytes + 15) / 16);
	put16(image + 0x1fe, 0xaa55);
	image[0x200] = 0xeb;
	image[0x201] = 0x6a;
	memcpy(image + 0x202, "HdrS", 4);
	put16(image + 0x206, 0x20f);
	image[0x211] = 1; /* LOADED_HIGH */
	put32(image + 0x214, 0x100000);
	put32(image + 0x22c, 0x7fffffff);
	put32(image + 0x230, 0x200000);
	image[0x234] = 1;
	put16(image + 0x236, 1);
	put32(image + 0x238, 2047);
	put64(image + 0x258, 0x1000000);
	put32(image + 0x260, 0x800000);
	for (unsigned int i = 0; i < code_bytes; i++)
		image[code + i] = (uint8_t)(0xc0 + i);
	load->files.kernel.bytes = code + code_bytes;
}

static void put_segment(uint8_t *at, bool is_64bit, const struct image_segment *s)
{
	if (is_64bit) {
		Elf64_Phdr header = { .p_type = s->type, .p_offset = s->offset,
			.p_filesz = s->file_bytes, .p_vaddr = s->virtual_start,
			.p_paddr = s->physical_start, .p_memsz = s->memory_bytes };

		memcpy(at, &header, sizeof(header));
	} else {
		Elf32_Phdr header = { .p_type = s->type, .p_offset = (uint32_t)s->offset,
			.p_filesz = (uint32_t)s->file_bytes, .p_vaddr = (uint32_t)s->virtual_start,
			.p_paddr = (uint32_t)s->physical_start,
			.p_memsz = (uint32_t)s->memory_bytes };

		memcpy(at, &header, sizeof(header));
	}
}

void image_elf(struct load_case *load, bool is_64bit, uint64_t entry,
	const struct image_segment *segments, unsigned int count)
{
	uint8_t *image = load->image;
	size_t start = is_64bit ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	size_t step = is_64bit ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	Elf32_Ehdr small = { .e_type = ET_EXEC, .e_machine = EM_386, .e_entry = (uint32_t)entry,
		.e_phoff = (uint32_t)start, .e_phentsize = (uint16_t)step,
		.e_phnum = (uint16_t)count };
	Elf64_Ehdr large = { .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_entry = entry,
		.e_phoff = start, .e_phentsize = (uint16_t)step, .e_phnum = (uint16_t)count };

	for (size_t i = IMAGE_ELF_DATA; i < IMAGE_BYTES; i++)
		image[i] = (uint8_t)(i * 7 + (i >> 8));
	if (is_64bit)
		memcpy(image, &large, sizeof(large));
	else
		memcpy(image, &small, sizeof(small));
	memcpy(image, ELFMAG, SELFMAG);
	image[EI_CLASS] = is_64bit ? ELFCLASS64 : ELFCLASS32;
	image[EI_DATA] = ELFDATA2LSB;
	image[EI_VERSION] = 1;
	for (unsigned int i = 0; i < count; i++)
		put_segment(image + start + i * step, is_64bit, &segments[i]);
	load->files.kernel.bytes = IMAGE_BYTES;
}

void image_multiboot_header(struct load_case *load, uint64_t offset, uint32_t flags)
{
	uint8_t *at = load->image + offset;

	memset(at, 0, 48);
	put32(at, 0x1badb002);
	put32(at + 4, flags);
	put32(at + 8, (uint32_t)-(0x1badb002U + flags));
}

uint64_t image_note(struct load_case *load, uint64_t offset, const char *owner, uint32_t type,
	const void *description, uint32_t bytes)
{
	uint8_t *at = load->image + offset;
	uint32_t name_bytes = (uint32_t)strlen(owner) + 1;

	put32(at, name_bytes);
	put32(at + 4, bytes);
	put32(at + 8, type);
	memset(at + 12, 0, ROUND_UP(name_bytes, 4) + ROUND_UP(bytes, 4));
	memcpy(at + 12, owner, name_bytes);
	memcpy(at + 12 + ROUND_UP(name_bytes, 4), description, bytes);
	return 12 + ROUND_UP(name_bytes, 4) + ROUND_UP(bytes, 4);
}
