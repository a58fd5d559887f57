/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading Linux: what the boot protocol promises the kernel, and what is refused. */
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
#include "mgmt/guest_layout.h"

static struct load_case load;
static uint8_t initrd[MIB(2) + 5];

#define VCPU (test_vm.vcpus[0])

static void begin(uint64_t memory_bytes)
{
	load_case_init(&load, memory_bytes);
	image_linux(&load);
}

static void assert_segment(enum segment_name name, uint16_t selector, uint16_t attributes)
{
	const struct segment *segment = &VCPU->special.segments[name];

	assert_int_equal(segment->selector, selector);
	assert_int_equal(segment->attributes, attributes);
	assert_int_equal(segment->base, 0);
	assert_int_equal(segment->limit, 0xffffffff);
}

/* The descriptor that a selector names, in guest memory as GDTR says. */
static uint64_t descriptor(uint16_t selector)
{
	assert_true(selector + 7U <= VCPU->special.gdtr.limit);
	return guest_get(VCPU->special.gdtr.base + selector, 8);
}

static void assert_common_state(void)
{
	static const enum segment_name data[] = { SEG_DS, SEG_ES, SEG_SS, SEG_FS, SEG_GS };

	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		assert_segment(data[i], 0x18, 0xc93);
	assert_int_equal(descriptor(0x18), 0x00cf93000000ffffULL);
	assert_int_equal(VCPU->special.segments[SEG_TR].attributes, 0x8b);
	assert_int_equal(VCPU->special.segments[SEG_LDTR].attributes, 0);
	assert_int_equal(VCPU->special.rflags, 2);
	assert_int_equal(VCPU->special.cpl, 0);
	assert_int_equal(VCPU->dirty, REG_ALL);
	assert_int_equal(VCPU->valid, REG_ALL);
	for (int i = 0; i < GPR_COUNT; i++)
		if (i != GPR_RSI)
			assert_int_equal(VCPU->regs.gpr[i], 0);
}

/* Walk the page tables in guest memory as the CPU would. */
static gpa_t walk(gva_t linear)
{
	gpa_t table = VCPU->special.cr3;

	for (int shift = 39; shift >= 12; shift -= 9) {
		uint64_t entry = guest_get(table + (linear >> shift & 511) * 8, 8);

		assert_int_equal(entry & 3, 3);
		if (entry & BIT(7)) {
			assert_int_equal(shift, 21);
			return (entry & 0xfffffffe00000ULL) | (linear & 0x1fffff);
		}
		table = entry & 0xffffffffff000ULL;
	}
	return table | (linear & 0xfff);
}

static void a_64_bit_kernel_begins_in_long_mode(void **state)
{
	(void)state;
	begin(MIB(64));
	load_runs(&load);
	assert_int_equal(VCPU->special.rip, 0x1000200);
	assert_int_equal(VCPU->special.cr0, CR0_PE | CR0_ET | CR0_PG);
	assert_int_equal(VCPU->special.cr4, CR4_PAE);
	assert_int_equal(VCPU->special.efer, EFER_LME | EFER_LMA);
	assert_segment(SEG_CS, 0x10, 0xa9b);
	assert_int_equal(descriptor(0x10), 0x00af9b000000ffffULL);
	assert_common_state();
	for (gva_t at = 0; at < GIB(4); at += MIB(2) - 4096)
		assert_int_equal(walk(at), at);
	assert_int_equal(walk(GIB(4) - 1), GIB(4) - 1);
	assert_memory_equal(fake_guest_memory_at(0x1000000), load.image + 1024, 4000);
}

static void a_32_bit_kernel_begins_in_protected_mode(void **state)
{
	(void)state;
	begin(MIB(64));
	put16(load.image + 0x236, 4);
	load_runs(&load);
	assert_int_equal(VCPU->special.rip, 0x1000000);
	assert_int_equal(VCPU->special.cr0, CR0_PE | CR0_ET);
	assert_int_equal(VCPU->special.cr3, 0);
	assert_int_equal(VCPU->special.cr4, 0);
	assert_int_equal(VCPU->special.efer, 0);
	assert_segment(SEG_CS, 0x10, 0xc9b);
	assert_int_equal(descriptor(0x10), 0x00cf9b000000ffffULL);
	assert_common_state();
}

static void boot_params_tell_of_the_machine(void **state)
{
	gpa_t params;

	(void)state;
	begin(GIB(5));
	load.config.cmdline = "console=ttyS0 quiet";
	load.image[0x1ef] = 0xff; /* the sentinel of a loader that copies too much */
	load_runs(&load);
	params = VCPU->regs.gpr[GPR_RSI];
	assert_int_equal(params & 0xfff, 0);
	assert_int_equal(guest_get(params + 0x1ef, 1), 0);
	assert_int_equal(guest_get(params + 0x202, 4), 0x53726448);
	assert_int_equal(guest_get(params + 0x210, 1), 0xff);
	assert_int_equal(guest_get(params + 0x214, 4), 0x1000000);
	assert_int_equal(guest_get(params + 0x218, 8), 0);
	assert_string_equal(fake_guest_memory_at(guest_get(params + 0x228, 4)),
		"console=ttyS0 quiet");
	assert_memory_equal(fake_guest_memory_at(guest_get(params + 0x70, 8)), "RSD PTR ", 8);
	assert_int_equal(guest_get(params + 0x1e0, 4), (GIB(3) - MIB(1)) >> 10);
	assert_int_equal(guest_get(params + 0x1e8, 1), 8);
	/* RAM above 4 GiB is the last range. */
	assert_int_equal(guest_get(params + 0x2d0 + 7 * 20, 8), GIB(4));
	assert_int_equal(guest_get(params + 0x2d0 + 7 * 20 + 8, 8), GIB(2));
	assert_int_equal(guest_get(params + 0x2d0 + 7 * 20 + 16, 4), 1);
	assert_int_equal(guest_get(params + 0x2d0 + 20, 8), LAYOUT_EBDA);
	assert_int_equal(guest_get(params + 0x2d0 + 20 + 16, 4), 2);
}

static void use_initrd(uint64_t bytes)
{
	for (size_t i = 0; i < sizeof(initrd); i++)
		initrd[i] = (uint8_t)(i * 13 >> 3);
	load.config.initrd = "\\i";
	load.files.initrd = (struct loader_file){ initrd, bytes };
}

static void assert_initrd(gpa_t start, uint64_t bytes)
{
	gpa_t params = VCPU->regs.gpr[GPR_RSI];

	assert_int_equal(guest_get(params + 0x218, 4), start);
	assert_int_equal(guest_get(params + 0x21c, 4), bytes);
	assert_memory_equal(fake_guest_memory_at(start), initrd, bytes);
}

static void the_initrd_lies_at_the_top(void **state)
{
	(void)state;
	begin(MIB(64));
	use_initrd(sizeof(initrd));
	load_runs(&load);
	assert_initrd(MIB(62) - 4096, sizeof(initrd));

	/* Below what the kernel says, and below the hole. */
	begin(GIB(8));
	use_initrd(MIB(1));
	load_runs(&load);
	assert_initrd(GIB(2) - MIB(1), MIB(1));
	begin(GIB(8));
	put32(load.image + 0x22c, 0xffffffff);
	use_initrd(MIB(1));
	load_runs(&load);
	assert_initrd(GIB(3) - MIB(1), MIB(1));
	begin(GIB(1));
	put32(load.image + 0x22c, 0x37ffffff);
	use_initrd(4096);
	load_runs(&load);
	assert_initrd(0x38000000 - 4096, 4096);
}

static void an_initrd_must_leave_the_kernel_its_room(void **state)
{
	(void)state;
	begin(MIB(26));
	use_initrd(MIB(2));
	load_runs(&load);
	assert_initrd(MIB(24), MIB(2));
	begin(MIB(26));
	use_initrd(MIB(2) + 1);
	load_fails(&load, -ENOSPC,
		"initrd \\i (3M) does not fit into the 2M that the kernel leaves free");
	begin(MIB(64));
	put32(load.image + 0x22c, 0x17fffff);
	use_initrd(1);
	load_fails(&load, -ENOSPC,
		"initrd \\i (1M) does not fit into the 0M that the kernel leaves free");
	begin(MIB(64));
	put32(load.image + 0x22c, 0xff);
	use_initrd(4096);
	load_fails(&load, -ENOSPC,
		"initrd \\i (1M) does not fit into the 0M that the kernel leaves free");
}

static void a_kernel_needs_its_init_size(void **state)
{
	(void)state;
	begin(MIB(24));
	load_runs(&load);
	begin(MIB(24) - 4096);
	load_fails(&load, -ENOSPC, "kernel \\k needs memory up to 24M and the guest has 23M below 3G");
	/* Relocatable: it would run at the next multiple of its alignment. */
	begin(MIB(24));
	put64(load.image + 0x258, 0x1000000 + 4096);
	load_fails(&load, -ENOSPC, "kernel \\k needs memory up to 26M and the guest has 24M below 3G");
	begin(MIB(26));
	put64(load.image + 0x258, 0x1000000 + 4096);
	load_runs(&load);
	assert_int_equal(VCPU->special.rip, 0x1000000 + 4096 + 0x200);
	/* Not so where it cannot move, and with an alignment that is none. */
	begin(MIB(25));
	put64(load.image + 0x258, 0x1000000 + 4096);
	load.image[0x234] = 0;
	load_runs(&load);
	begin(MIB(25));
	put64(load.image + 0x258, 0x1000000 + 4096);
	put32(load.image + 0x230, 0x180000);
	load_runs(&load);
}

static void strange_addresses_are_refused(void **state)
{
	static const uint64_t addresses[] = { 4096, 0xfffff, GIB(3), GIB(4), ~0ULL, ~0xfffULL };
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		begin(GIB(4));
		put64(load.image + 0x258, addresses[i]);
		snprintf(why, sizeof(why),
			"kernel \\k is to be loaded at 0x%llx; expected an address"
			" from 1M to 3G",
			(unsigned long long)addresses[i]);
		load_fails(&load, -ENOTSUP, why);
	}
	begin(GIB(1));
	put32(load.image + 0x230, 0x80000000);
	load_fails(&load, -ENOSPC,
		"kernel \\k needs memory up to 2056M and the guest has 1024M below 3G");
}

static void old_kernels_load_at_1_mib(void **state)
{
	(void)state;
	begin(MIB(2));
	put16(load.image + 0x206, 0x206);
	put32(load.image + 0x260, 0xffffffff); /* no fields of theirs */
	put64(load.image + 0x258, ~0ULL);
	load.image[0x234] = 0;
	load_runs(&load);
	assert_int_equal(VCPU->special.rip, 0x100000);
	assert_int_equal(VCPU->special.cr0, CR0_PE | CR0_ET);
	begin(MIB(64));
	put16(load.image + 0x206, 0x205);
	load_fails(&load, -ENOTSUP, "kernel \\k has boot protocol 2.05; expected 2.06 or later");
	begin(MIB(64));
	load.image[0x211] = 0x80;
	load_fails(&load, -ENOTSUP, "kernel \\k is a zImage; expected a bzImage");
}

static void the_command_line_has_a_limit(void **state)
{
	static char line[2049];

	(void)state;
	memset(line, 'a', 2047);
	begin(MIB(64));
	load.config.cmdline = line;
	load_runs(&load);
	line[2047] = 'a';
	begin(MIB(64));
	load.config.cmdline = line;
	load_fails(&load, -EINVAL,
		"the command line has 2048 characters; kernel \\k takes at most 2047");
}

static void files_cut_short_are_refused(void **state)
{
	(void)state;
	begin(MIB(64));
	load.files.kernel.bytes = 1024 + 4000 - 16;
	load_fails(&load, -EINVAL, "kernel \\k is cut short: it has 5008 bytes; expected at least 5009");
	load.files.kernel.bytes = 1024;
	load_fails(&load, -EINVAL, "kernel \\k is cut short: it has 1024 bytes; expected at least 5009");
	load.image[0x1f1] = 0; /* means 4 */
	load.files.kernel.bytes = 2560 + 3985;
	load_runs(&load);
	begin(MIB(64));
	load.files.kernel.bytes = 0x23f;
	load_fails(&load, -EINVAL, "kernel \\k is no Linux bzImage, Multiboot or PVH kernel");
	load.config.boot = CONFIG_BOOT_LINUX;
	load_fails(&load, -EINVAL, "kernel \\k is no Linux bzImage");
	load.files.kernel.bytes = 0;
	load_fails(&load, -ENOENT, "kernel \\k is empty");
}

/* No length of the file makes the loader read beyond it: ASan watches. */
static void every_length_is_survived(void **state)
{
	(void)state;
	begin(MIB(64));
	for (uint64_t bytes = 0; bytes < 1024 + 4000 - 15; bytes++) {
		load.files.kernel.bytes = bytes;
		assert_true(load_case_run(&load) < 0);
	}
}

static void modules_and_missing_files_are_refused(void **state)
{
	(void)state;
	begin(MIB(64));
	load.config.modules[0] = (struct config_module){ "\\m", "" };
	load.config.module_count = 1;
	load_fails(&load, -ENOENT, "module \\m is empty");
	load.files.modules[0] = (struct loader_file){ initrd, 10 };
	load_fails(&load, -EINVAL, "Linux takes no modules (\\m); expected initrd, or boot = pvh");
	begin(MIB(64));
	load.config.initrd = "\\i";
	load_fails(&load, -ENOENT, "initrd \\i is empty");
}

static void a_full_host_is_reported(void **state)
{
	(void)state;
	begin(MIB(64));
	use_initrd(MIB(2));
	load_runs(&load);
	uint64_t pages = fake_guest_memory_touched();

	for (uint64_t limit = 0; limit < pages; limit += limit < 20 ? 1 : 50) {
		begin(MIB(64));
		use_initrd(MIB(2));
		fake_guest_memory_set_limit(limit);
		assert_int_equal(load_case_run(&load), -ENOMEM);
		assert_memory_equal(load.why, "the host has no memory left", 27);
	}
}

static void packed_kernels_are_named(void **state)
{
	static const struct {
		uint8_t magic[6];
		const char *name;
	} packed[] = {
		{ { 0x1f, 0x8b, 8 }, "gzip" }, { { 0xfd, '7', 'z', 'X', 'Z', 0 }, "xz" },
		{ { 0x28, 0xb5, 0x2f, 0xfd }, "zstd" },
	};
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(packed); i++) {
		load_case_init(&load, MIB(64));
		memcpy(load.image, packed[i].magic, 6);
		load.files.kernel.bytes = 5000;
		snprintf(why, sizeof(why),
			"kernel \\k is compressed with %s; expected it uncompressed",
			packed[i].name);
		load_fails(&load, -ENOTSUP, why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_64_bit_kernel_begins_in_long_mode),
		cmocka_unit_test(a_32_bit_kernel_begins_in_protected_mode),
		cmocka_unit_test(boot_params_tell_of_the_machine),
		cmocka_unit_test(the_initrd_lies_at_the_top),
		cmocka_unit_test(an_initrd_must_leave_the_kernel_its_room),
		cmocka_unit_test(a_kernel_needs_its_init_size),
		cmocka_unit_test(strange_addresses_are_refused),
		cmocka_unit_test(old_kernels_load_at_1_mib),
		cmocka_unit_test(the_command_line_has_a_limit),
		cmocka_unit_test(files_cut_short_are_refused),
		cmocka_unit_test(every_length_is_survived),
		cmocka_unit_test(modules_and_missing_files_are_refused),
		cmocka_unit_test(a_full_host_is_reported),
		cmocka_unit_test(packed_kernels_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
