/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading ELF programs by Multiboot and by PVH: what they are told, and what is refused. */
#include <linux/elf.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "host/x86.h"
#include "loader_images.h"
#include "mgmt/elf.h"
#include "mgmt/guest_layout.h"

static struct load_case load;
static const uint8_t module_bytes[] = "the contents of a module, whatever they are";

#define VCPU (test_vm.vcpus[0])
#define DATA IMAGE_ELF_DATA

/* Linked at 3 GiB + 1 MiB, as GNU Mach is: the entry is a virtual address. */
static const struct image_segment two_segments[] = {
	{ PT_LOAD, DATA, 0x3000, 0xc0100000, 0x100000, 0x3000 },
	{ PT_LOAD, DATA + 0x3000, 0x800, 0xc0104000, 0x104000, 0x5000 },
	{ PT_NOTE, DATA + 0x8000, 0x100, 0, 0, 0 },
};

static void begin_multiboot(uint64_t memory_bytes, bool is_64bit)
{
	load_case_init(&load, memory_bytes);
	image_elf(&load, is_64bit, 0xc0101234, two_segments, 3);
	image_multiboot_header(&load, DATA + 16, 3);
}

static void begin_pvh(uint64_t memory_bytes, bool is_64bit)
{
	uint64_t at = DATA + 0x8000, entry = 0x101000;

	load_case_init(&load, memory_bytes);
	image_elf(&load, is_64bit, 0xc0101234, two_segments, 3);
	at += image_note(&load, at, "GNU", 18, "wrong", 5);
	at += image_note(&load, at, "Xen", 6, "linux", 6);
	image_note(&load, at, "Xen", 18, &entry, is_64bit ? 8 : 4);
}

static void add_module(const char *path, const char *words)
{
	size_t i = load.config.module_count++;

	load.config.modules[i] = (struct config_module){ path, words };
	load.files.modules[i] = (struct loader_file){ module_bytes, sizeof(module_bytes) };
}

static void assert_loaded(void)
{
	assert_memory_equal(fake_guest_memory_at(0x100000), load.image + DATA, 0x3000);
	assert_memory_equal(fake_guest_memory_at(0x104000), load.image + DATA + 0x3000, 0x800);
	assert_int_equal(guest_get(0x104800, 8), 0);
	assert_int_equal(guest_get(0x103000, 8), 0);
}

static void assert_protected_mode(uint64_t entry)
{
	assert_int_equal(VCPU->special.rip, entry);
	assert_int_equal(VCPU->special.cr0, CR0_PE | CR0_ET);
	assert_int_equal(VCPU->special.cr4, 0);
	assert_int_equal(VCPU->special.efer, 0);
	assert_int_equal(VCPU->special.rflags, 2);
	assert_int_equal(VCPU->special.segments[SEG_CS].attributes, 0xc9b);
	assert_int_equal(VCPU->special.segments[SEG_SS].attributes, 0xc93);
	assert_int_equal(VCPU->dirty, REG_ALL);
}

static const char *guest_string(gpa_t gpa)
{
	return fake_guest_memory_at(gpa);
}

static void a_multiboot_kernel_gets_its_information(void **state)
{
	gpa_t info, modules;

	(void)state;
	for (int is_64bit = 0; is_64bit < 2; is_64bit++) {
		begin_multiboot(GIB(4), is_64bit);
		load.config.kernel = "\\boot\\mach";
		load.config.cmdline = "root=x";
		add_module("\\boot\\a", "one two");
		add_module("\\b", "");
		load_runs(&load);
		assert_loaded();
		assert_protected_mode(0x101234);
		assert_int_equal(VCPU->regs.gpr[GPR_RAX], 0x2badb002);
		info = VCPU->regs.gpr[GPR_RBX];
		assert_int_equal(guest_get(info, 4), 0x24d);
		assert_int_equal(guest_get(info + 4, 4), 639);
		assert_int_equal(guest_get(info + 8, 4), 3 * 1024 * 1024 - 1024);
		assert_string_equal(guest_string(guest_get(info + 16, 4)), "/boot/mach root=x");
		assert_string_equal(guest_string(guest_get(info + 64, 4)), "Ballast");
		assert_int_equal(guest_get(info + 20, 4), 2);
		modules = guest_get(info + 24, 4);
		assert_int_equal(guest_get(modules, 4), 0x109000);
		assert_int_equal(guest_get(modules + 4, 4), 0x109000 + sizeof(module_bytes));
		assert_string_equal(guest_string(guest_get(modules + 8, 4)), "/boot/a one two");
		assert_int_equal(guest_get(modules + 16, 4), 0x10a000);
		assert_string_equal(guest_string(guest_get(modules + 24, 4)), "/b");
		assert_string_equal(guest_string(0x10a000), (const char *)module_bytes);
	}
}

static void a_multiboot_kernel_gets_the_memory_map(void **state)
{
	struct layout_range ranges[LAYOUT_RANGES];
	size_t count = guest_layout_map(GIB(4), ranges), i = 0;
	gpa_t info, at, end;

	(void)state;
	begin_multiboot(GIB(4), false);
	load_runs(&load);
	info = VCPU->regs.gpr[GPR_RBX];
	end = guest_get(info + 48, 4) + guest_get(info + 44, 4);
	for (at = guest_get(info + 48, 4); at < end; at += guest_get(at, 4) + 4, i++) {
		assert_true(i < count);
		assert_int_equal(guest_get(at, 4), 20);
		assert_int_equal(guest_get(at + 4, 8), ranges[i].start);
		assert_int_equal(guest_get(at + 12, 8), ranges[i].bytes);
		assert_int_equal(guest_get(at + 20, 4), ranges[i].type);
	}
	assert_int_equal(i, count);
}

static void multiboot_flags_are_obeyed(void **state)
{
	(void)state;
	begin_multiboot(MIB(64), false);
	image_multiboot_header(&load, DATA + 16, 7); /* a video mode, too */
	load_runs(&load);
	begin_multiboot(MIB(64), false);
	image_multiboot_header(&load, DATA + 16, 0x18);
	load_fails(&load, -ENOTSUP, "kernel \\k requires Multiboot features 0x18, which Ballast does not"
			       " have");
	begin_multiboot(MIB(64), false);
	image_multiboot_header(&load, DATA + 16, 0x40000000); /* optional */
	load_runs(&load);
	begin_multiboot(MIB(64), false);
	load.image[DATA + 16 + 8] ^= 1;
	load_fails(&load, -EINVAL, "kernel \\k is no Linux bzImage, Multiboot or PVH kernel");
	load.config.boot = CONFIG_BOOT_MULTIBOOT;
	load_fails(&load, -EINVAL, "kernel \\k has no Multiboot header");
	begin_multiboot(MIB(64), false);
	load.config.initrd = "\\i";
	load.files.initrd = (struct loader_file){ module_bytes, sizeof(module_bytes) };
	load_fails(&load, -EINVAL, "a Multiboot kernel takes no initrd (\\i); expected module lines");
}

static void the_multiboot_header_is_found_in_8_kib(void **state)
{
	static const uint64_t offsets[] = { 0x800, 8192 - 12 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		begin_multiboot(MIB(64), false);
		put32(load.image + DATA + 16, 0);
		image_multiboot_header(&load, offsets[i], 0);
		load_runs(&load);
	}
	begin_multiboot(MIB(64), false);
	put32(load.image + DATA + 16, 0);
	image_multiboot_header(&load, 8192 - 8, 0);
	assert_int_equal(load_case_run(&load), -EINVAL);
	begin_multiboot(MIB(64), false);
	put32(load.image + DATA + 16, 0);
	image_multiboot_header(&load, 0x802, 0);
	assert_int_equal(load_case_run(&load), -EINVAL);
}

/* A flat file with the address fields: header at 0x100, loaded from 0x40 of the file to 1 MiB. */
static void begin_flat(uint32_t load_end, uint32_t bss_end)
{
	load_case_init(&load, MIB(64));
	for (size_t i = 0; i < IMAGE_BYTES; i++)
		load.image[i] = (uint8_t)(i * 3);
	image_multiboot_header(&load, 0x100, 0x10003);
	put32(load.image + 0x10c, 0x1000c0);
	put32(load.image + 0x110, 0x100000);
	put32(load.image + 0x114, load_end);
	put32(load.image + 0x118, bss_end);
	put32(load.image + 0x11c, 0x100444);
	load.files.kernel.bytes = 0x5000;
}

static void a_flat_multiboot_file_is_loaded_by_its_addresses(void **state)
{
	static const char fault[] =
		"kernel \\k is damaged: the addresses in its Multiboot header do"
		" not fit together";

	(void)state;
	begin_flat(0, 0);
	load_runs(&load);
	assert_protected_mode(0x100444);
	assert_memory_equal(fake_guest_memory_at(0x100000), load.image + 0x40, 0x4fc0);
	begin_flat(0x101000, 0x108000);
	add_module("\\m", "");
	load_runs(&load);
	assert_memory_equal(fake_guest_memory_at(0x100000), load.image + 0x40, 0x1000);
	assert_int_equal(guest_get(0x101000, 8), 0);
	assert_memory_equal(fake_guest_memory_at(0x108000), module_bytes, sizeof(module_bytes));

	begin_flat(0x104fc1, 0);
	load_fails(&load, -EINVAL, fault);
	begin_flat(0xfffff, 0);
	load_fails(&load, -EINVAL, fault);
	begin_flat(0, 0);
	put32(load.image + 0x110, 0xfffff); /* 1 byte before the file */
	put32(load.image + 0x10c, 0x100100);
	load_fails(&load, -EINVAL, fault);
	begin_flat(0, 0);
	put32(load.image + 0x110, 0x1000c1);
	load_fails(&load, -EINVAL, fault);
	begin_flat(0, 0xffffffff);
	load_fails(&load, -ENOSPC, "kernel \\k is to be loaded from 0x100000 to 0xffffffff, which is not"
			      " all free RAM");
	begin_flat(0, 0);
	put32(load.image + 0x11c, 0x4000000);
	load_fails(&load, -EINVAL, "kernel \\k begins at 0x4000000, outside memory");
}

static void a_header_without_elf_or_addresses_is_refused(void **state)
{
	(void)state;
	load_case_init(&load, MIB(64));
	image_multiboot_header(&load, 0x100, 3);
	load.files.kernel.bytes = 0x5000;
	load_fails(&load, -EINVAL, "kernel \\k is neither an ELF file nor says where to load it");
	/* The header at the very end of the file. */
	load.files.kernel.bytes = 0x10c;
	assert_int_equal(load_case_run(&load), -EINVAL);
	image_multiboot_header(&load, 0x100, 0x10003);
	assert_int_equal(load_case_run(&load), -ENOSPC);
}

static void a_pvh_kernel_gets_its_start_info(void **state)
{
	struct layout_range ranges[LAYOUT_RANGES];
	size_t count = guest_layout_map(MIB(64), ranges);
	gpa_t info, modules, map;

	(void)state;
	for (int is_64bit = 0; is_64bit < 2; is_64bit++) {
		begin_pvh(MIB(64), is_64bit);
		load.config.cmdline = "console=ttyS0";
		load.config.initrd = "\\i";
		load.files.initrd = (struct loader_file){ module_bytes, sizeof(module_bytes) };
		add_module("\\m", "words");
		load_runs(&load);
		assert_loaded();
		assert_protected_mode(0x101000);
		info = VCPU->regs.gpr[GPR_RBX];
		assert_int_equal(guest_get(info, 4), 0x336ec578);
		assert_int_equal(guest_get(info + 4, 4), 1);
		assert_int_equal(guest_get(info + 8, 4), 0);
		assert_int_equal(guest_get(info + 12, 4), 2);
		modules = guest_get(info + 16, 8);
		assert_string_equal(guest_string(guest_get(info + 24, 8)), "console=ttyS0");
		assert_memory_equal(fake_guest_memory_at(guest_get(info + 32, 8)), "RSD PTR ", 8);
		map = guest_get(info + 40, 8);
		assert_int_equal(guest_get(info + 48, 4), count);
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(guest_get(map + i * 24, 8), ranges[i].start);
			assert_int_equal(guest_get(map + i * 24 + 8, 8), ranges[i].bytes);
			assert_int_equal(guest_get(map + i * 24 + 16, 4), ranges[i].type);
		}
		assert_int_equal(guest_get(modules, 8), 0x109000);
		assert_int_equal(guest_get(modules + 8, 8), sizeof(module_bytes));
		assert_string_equal(guest_string(guest_get(modules + 16, 8)), "");
		assert_int_equal(guest_get(modules + 32, 8), 0x10a000);
		assert_string_equal(guest_string(guest_get(modules + 48, 8)), "words");
	}
}

static void pvh_needs_its_note(void **state)
{
	uint64_t entry = MIB(64);

	(void)state;
	begin_pvh(MIB(64), true);
	image_note(&load, DATA + 0x8000, "Xen", 18, &entry, 8);
	load_fails(&load, -ENOSPC, "kernel \\k begins at 0x4000000, outside memory");
	begin_pvh(MIB(64), true);
	load.image[64 + 2 * 56] = PT_NULL;
	load_fails(&load, -EINVAL, "kernel \\k is no Linux bzImage, Multiboot or PVH kernel");
	load.config.boot = CONFIG_BOOT_PVH;
	load_fails(&load, -EINVAL, "kernel \\k has no PVH entry (a Xen note of type 18)");
	load.image[0] = 0;
	load_fails(&load, -EINVAL, "kernel \\k is no ELF file, as PVH needs");
	/* Notes that run out of their segment, and one that is too long. */
	begin_pvh(MIB(64), true);
	image_note(&load, DATA + 0x8000, "Xen", 18, &entry, 8);
	put32(load.image + DATA + 0x8000 + 4, 0xffffffff);
	assert_int_equal(load_case_run(&load), -EINVAL);
	put32(load.image + DATA + 0x8000, 0xffffffff);
	assert_int_equal(load_case_run(&load), -EINVAL);
	put32(load.image + DATA + 0x8000, 4);
	put32(load.image + DATA + 0x8000 + 4, 9);
	assert_int_equal(load_case_run(&load), -EINVAL);
}

static void multiboot_goes_before_pvh(void **state)
{
	(void)state;
	begin_pvh(MIB(64), false);
	image_multiboot_header(&load, DATA + 16, 3);
	load_runs(&load);
	assert_int_equal(VCPU->regs.gpr[GPR_RAX], 0x2badb002);
	load.config.boot = CONFIG_BOOT_PVH;
	load_runs(&load);
	assert_int_equal(VCPU->regs.gpr[GPR_RAX], 0);
	assert_int_equal(guest_get(VCPU->regs.gpr[GPR_RBX], 4), 0x336ec578);
}

/* One segment replaced; loaded by PVH. */
static void begin_with_segment(const struct image_segment *segment)
{
	struct image_segment segments[3];

	begin_pvh(MIB(64), true);
	memcpy(segments, two_segments, sizeof(segments));
	segments[1] = *segment;
	uint8_t notes[0x100];

	memcpy(notes, load.image + DATA + 0x8000, sizeof(notes));
	image_elf(&load, true, 0, segments, 3);
	memcpy(load.image + DATA + 0x8000, notes, sizeof(notes));
	load.config.boot = CONFIG_BOOT_PVH;
}

static void segments_out_of_place_are_refused(void **state)
{
	static const struct {
		struct image_segment segment;
		int error;
		const char *why;
	} cases[] = {
		{ { PT_LOAD, IMAGE_BYTES - 10, 11, 0, MIB(2), 11 }, -EINVAL,
			"kernel \\k is damaged: a segment lies beyond the end of the file" },
		{ { PT_LOAD, ~0ULL, 2, 0, MIB(2), 11 }, -EINVAL,
			"kernel \\k is damaged: a segment lies beyond the end of the file" },
		{ { PT_LOAD, DATA, 11, 0, MIB(2), 10 }, -EINVAL,
			"kernel \\k is damaged: a segment is larger in the file than in memory" },
		{ { PT_LOAD, DATA, 10, 0, ~0ULL, 10 }, -EINVAL,
			"kernel \\k is damaged: a segment ends beyond the address space" },
		{ { PT_LOAD, DATA, 10, 0, 0x102fff, 10 }, -EINVAL,
			"kernel \\k is damaged: two of its segments overlap" },
		{ { PT_LOAD, DATA, 10, 0, MIB(63), MIB(1) + 1 }, -ENOSPC,
			"kernel \\k needs memory up to 65M and the guest has 64M below 3G" },
		{ { PT_LOAD, DATA, 10, 0, GIB(4), 10 }, -ENOSPC,
			"kernel \\k needs memory up to 4097M and the guest has 64M below 3G" },
		{ { PT_LOAD, DATA, 10, 0, 0x1000, 10 }, -ENOTSUP,
			"kernel \\k is to be loaded at 0x1000, where boot information or firmware"
			" lies" },
		{ { PT_LOAD, DATA, 10, 0, 0xe0000, 10 }, -ENOTSUP,
			"kernel \\k is to be loaded at 0xe0000, where boot information or firmware"
			" lies" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin_with_segment(&cases[i].segment);
		load_fails(&load, cases[i].error, cases[i].why);
	}
	begin_with_segment(&(struct image_segment){ PT_LOAD, DATA, 10, 0, 0x80000, 0x1000 });
	load_runs(&load);
	begin_with_segment(&(struct image_segment){ PT_LOAD, DATA, 0, 0, GIB(8), 0 });
	load_runs(&load);
}

static void assert_open_fails(const char *why)
{
	struct elf elf;
	const char *fault = "";

	assert_int_equal(elf_open(&elf, load.image, load.files.kernel.bytes, &fault), -EINVAL);
	assert_string_equal(fault, why);
}

static void elf_headers_are_checked(void **state)
{
	struct elf elf;
	const char *fault;

	(void)state;
	begin_pvh(MIB(64), true);
	assert_int_equal(elf_open(&elf, load.image, IMAGE_BYTES, &fault), 0);
	assert_int_equal(elf.segment_count, 3);
	assert_int_equal(elf_physical_entry(&elf), 0x101234);
	load.files.kernel.bytes = 63;
	assert_open_fails("its header is cut short");
	load.files.kernel.bytes = 64 + 3 * 56 - 1;
	assert_open_fails("its program headers lie beyond the end of the file");
	load.files.kernel.bytes = IMAGE_BYTES;
	put16(load.image + 56, 65);
	assert_open_fails("it has too many program headers");
	put16(load.image + 56, 0);
	assert_open_fails("it has no program headers");
	put16(load.image + 56, 3);
	put16(load.image + 54, 55);
	assert_open_fails("its program headers are too small");
	put16(load.image + 54, 56);
	put64(load.image + 32, ~0ULL);
	assert_open_fails("its program headers lie beyond the end of the file");
	put16(load.image + 18, EM_ARM);
	assert_open_fails("it is a program for another kind of CPU");
	load.image[EI_CLASS] = 3;
	assert_open_fails("it is neither 32-bit nor 64-bit");
	load.image[EI_DATA] = ELFDATA2MSB;
	assert_open_fails("it is big-endian");
	assert_int_equal(elf_open(&elf, load.image, 15, &fault), -ENOEXEC);
	load.image[0] = 0;
	assert_int_equal(elf_open(&elf, load.image, IMAGE_BYTES, &fault), -ENOEXEC);
}

static void modules_must_fit(void **state)
{
	(void)state;
	begin_multiboot(MIB(2), false);
	add_module("\\m", "");
	load.files.modules[0].bytes = 1;
	load_runs(&load);
	begin_with_segment(&(struct image_segment){ PT_LOAD, DATA, 10, 0, MIB(63), MIB(1) - 4096 });
	add_module("\\m", "");
	load_runs(&load);
	begin_with_segment(&(struct image_segment){ PT_LOAD, DATA, 10, 0, MIB(63), MIB(1) - 4095 });
	add_module("\\m", "");
	load_fails(&load, -ENOSPC, "\\m (1K) does not fit behind the kernel into the guest's 64M");
}

static void long_command_lines_fit_or_are_refused(void **state)
{
	static char words[4096];

	(void)state;
	memset(words, 'w', sizeof(words) - 1);
	begin_multiboot(MIB(64), false);
	load.config.cmdline = words;
	for (int i = 0; i < CONFIG_MAX_MODULES; i++)
		add_module("\\m", words);
	load_runs(&load);
}

/* Every prefix of a good file is either loaded or refused; ASan watches for reads beyond it. */
static void every_length_is_survived(void **state)
{
	(void)state;
	for (int pvh = 0; pvh < 2; pvh++) {
		if (pvh)
			begin_pvh(MIB(64), true);
		else
			begin_multiboot(MIB(64), false);
		for (uint64_t bytes = 0; bytes < DATA + 0x3800; bytes += bytes < 400 ? 1 : 37) {
			load.files.kernel.bytes = bytes;
			assert_true(load_case_run(&load) < 0);
			assert_true(load.why[0] != '\0');
		}
	}
}

static void a_full_host_is_reported(void **state)
{
	uint64_t pages;

	(void)state;
	begin_multiboot(MIB(64), false);
	add_module("\\m", "");
	load_runs(&load);
	pages = fake_guest_memory_touched();
	for (uint64_t limit = 0; limit < pages; limit++) {
		begin_multiboot(MIB(64), false);
		add_module("\\m", "");
		fake_guest_memory_set_limit(limit);
		assert_int_equal(load_case_run(&load), -ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_multiboot_kernel_gets_its_information),
		cmocka_unit_test(a_multiboot_kernel_gets_the_memory_map),
		cmocka_unit_test(multiboot_flags_are_obeyed),
		cmocka_unit_test(the_multiboot_header_is_found_in_8_kib),
		cmocka_unit_test(a_flat_multiboot_file_is_loaded_by_its_addresses),
		cmocka_unit_test(a_header_without_elf_or_addresses_is_refused),
		cmocka_unit_test(a_pvh_kernel_gets_its_start_info),
		cmocka_unit_test(pvh_needs_its_note),
		cmocka_unit_test(multiboot_goes_before_pvh),
		cmocka_unit_test(segments_out_of_place_are_refused),
		cmocka_unit_test(elf_headers_are_checked),
		cmocka_unit_test(modules_must_fit),
		cmocka_unit_test(long_command_lines_fit_or_are_refused),
		cmocka_unit_test(every_length_is_survived),
		cmocka_unit_test(a_full_host_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
