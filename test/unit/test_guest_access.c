/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's address space: page walks in all formats, segmentation, page crossing, fetching. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "host/x86.h"
#include "test/unit/fake_vcpu.h"
#include "vcpu/guest_access.h"

#define P 0x001ULL
#define W 0x002ULL
#define U 0x004ULL
#define A 0x020ULL
#define D 0x040ULL
#define PS 0x080ULL
#define NX BIT(63)

/* Tables of the format under test, root first; all in one index, the rest is not present. */
#define TABLE(n) (0x110000ULL + (n) * PAGE_SIZE)
#define FRAME 0x23000ULL

enum format { NARROW, PAE, LEVELS_4, LEVELS_5 };

static const char *const format_names[] = {"32-bit", "PAE", "4-level", "5-level"};

struct format_info {
	unsigned int levels, entry_bytes, index_bits;
	uint64_t cr4, efer;
};

static const struct format_info formats[] = {
	[NARROW] = {2, 4, 10, CR4_PSE, 0},
	[PAE] = {3, 8, 9, CR4_PAE, EFER_NXE},
	[LEVELS_4] = {4, 8, 9, CR4_PAE, EFER_NXE | EFER_LMA | EFER_LME},
	[LEVELS_5] = {5, 8, 9, CR4_PAE | CR4_LA57, EFER_NXE | EFER_LMA | EFER_LME},
};

static void *entry_at(enum format format, unsigned int level, gva_t linear)
{
	const struct format_info *info = &formats[format];
	uint64_t index = linear >> (12 + level * info->index_bits);

	index &= BIT(info->index_bits) - 1;
	if (format == PAE && level == 2)
		index &= 3;
	return fake.ram + TABLE(info->levels - 1 - level) + index * info->entry_bytes;
}

static void set_entry(enum format format, unsigned int level, gva_t linear, uint64_t value)
{
	memcpy(entry_at(format, level, linear), &value, formats[format].entry_bytes);
}

static uint64_t get_entry(enum format format, unsigned int level, gva_t linear)
{
	uint64_t value = 0;

	memcpy(&value, entry_at(format, level, linear), formats[format].entry_bytes);
	return value;
}

/* A guest of this format with one page at `linear`, all rights at all levels. */
static void start(enum format format, gva_t linear)
{
	const struct format_info *info = &formats[format];
	unsigned int level;

	fake_reset(info->levels > 3 ? 64 : 32);
	fake.truth.cr0 = CR0_PE | CR0_PG | CR0_WP;
	fake.truth.cr3 = TABLE(0);
	fake.truth.cr4 = info->cr4;
	fake.truth.efer = info->efer;
	for (level = info->levels - 1; level > 0; level--)
		set_entry(format, level, linear, TABLE(info->levels - level) | P |
			(format == PAE && level == 2 ? 0 : W | U));
	set_entry(format, 0, linear, FRAME | P | W | U);
	fake_begin();
}

static int translate(gva_t linear, uint64_t access, gpa_t *gpa)
{
	int err;

	fake_begin();
	*gpa = 0;
	err = guest_translate(&fake.vcpu, linear, access, gpa);
	fake_end();
	return err;
}

static void expect_ok(gva_t linear, uint64_t access, gpa_t want)
{
	gpa_t gpa;

	assert_int_equal(translate(linear, access, &gpa), 0);
	assert_int_equal(gpa, want);
	assert_int_equal(fake.exceptions, 0);
}

static void expect_fault(gva_t linear, uint64_t access, uint32_t error)
{
	gpa_t gpa;

	assert_int_equal(translate(linear, access, &gpa), -EFAULT);
	assert_int_equal(fake.exceptions, 1);
	assert_int_equal(fake.vector, VECTOR_PF);
	assert_int_equal(fake.error, error);
	assert_int_equal(fake.fault_address, linear);
}

static gva_t sample_address(enum format format)
{
	switch (format) {
	case LEVELS_4:
		return 0xffff812345678abcULL;
	case LEVELS_5:
		return 0xff12812345678abcULL;
	default:
		return 0x87654abc;
	}
}

/* Plain translation; accessed bits at each level, the dirty bit after a write only. */
static void test_walk_sets_bits(void **state)
{
	(void)state;
	for (enum format format = NARROW; format <= LEVELS_5; format++) {
		gva_t linear = sample_address(format);
		unsigned int level;

		print_message("%s\n", format_names[format]);
		start(format, linear);
		expect_ok(linear, 0, FRAME | 0xabc);
		for (level = 0; level < formats[format].levels; level++) {
			uint64_t want = format == PAE && level == 2 ? 0 : A;

			assert_int_equal(get_entry(format, level, linear) & (A | D), want);
		}
		expect_ok(linear, ACCESS_WRITE, FRAME | 0xabc);
		for (level = 0; level < formats[format].levels; level++)
			assert_int_equal(!!(get_entry(format, level, linear) & D), level == 0);
	}
}

static void test_not_present(void **state)
{
	(void)state;
	for (enum format format = NARROW; format <= LEVELS_5; format++) {
		gva_t linear = sample_address(format);
		unsigned int level, root = formats[format].levels - 1;

		for (level = 0; level <= root; level++) {
			start(format, linear);
			set_entry(format, level, linear, get_entry(format, level, linear) & ~P);
			expect_fault(linear, 0, 0);
			expect_fault(linear, ACCESS_WRITE | ACCESS_USER, PF_WRITE | PF_USER);
			expect_fault(linear, ACCESS_FETCH, format == NARROW ? 0 : PF_FETCH);
			/* Nothing is marked on the way to a fault. */
			assert_int_equal(get_entry(format, root, linear) & A, 0);
		}
	}
}

/* Each right, taken away at each level. */
static void test_rights(void **state)
{
	(void)state;
	for (enum format format = NARROW; format <= LEVELS_5; format++) {
		gva_t linear = sample_address(format);
		unsigned int level;

		for (level = 0; level < formats[format].levels; level++) {
			uint64_t all;

			if (format == PAE && level == 2)
				continue; /* carries no rights */
			start(format, linear);
			all = get_entry(format, level, linear);

			set_entry(format, level, linear, all & ~W);
			expect_ok(linear, 0, FRAME | 0xabc);
			expect_fault(linear, ACCESS_WRITE, PF_PRESENT | PF_WRITE);
			expect_fault(linear, ACCESS_WRITE | ACCESS_USER,
				PF_PRESENT | PF_WRITE | PF_USER);
			fake.truth.cr0 &= ~CR0_WP;
			expect_ok(linear, ACCESS_WRITE, FRAME | 0xabc);
			expect_fault(linear, ACCESS_WRITE | ACCESS_USER,
				PF_PRESENT | PF_WRITE | PF_USER);

			set_entry(format, level, linear, all & ~U);
			expect_ok(linear, ACCESS_WRITE, FRAME | 0xabc);
			expect_fault(linear, ACCESS_USER, PF_PRESENT | PF_USER);
			if (format == NARROW)
				continue;
			set_entry(format, level, linear, all | NX);
			expect_ok(linear, ACCESS_WRITE, FRAME | 0xabc);
			expect_fault(linear, ACCESS_FETCH, PF_PRESENT | PF_FETCH);
			fake.truth.efer &= ~EFER_NXE;
			expect_fault(linear, 0, PF_PRESENT | PF_RESERVED);
			expect_fault(linear, ACCESS_FETCH, PF_PRESENT | PF_RESERVED);
		}
	}
}

static void test_smep_smap(void **state)
{
	(void)state;
	for (enum format format = NARROW; format <= LEVELS_5; format++) {
		gva_t linear = sample_address(format);
		uint32_t fetch = PF_PRESENT | PF_FETCH;

		start(format, linear);
		expect_ok(linear, ACCESS_FETCH, FRAME | 0xabc);
		fake.truth.cr4 |= CR4_SMEP;
		expect_fault(linear, ACCESS_FETCH, fetch);
		expect_ok(linear, ACCESS_FETCH | ACCESS_USER, FRAME | 0xabc);
		expect_ok(linear, 0, FRAME | 0xabc);

		fake.truth.cr4 |= CR4_SMAP;
		expect_fault(linear, 0, PF_PRESENT);
		expect_fault(linear, ACCESS_WRITE, PF_PRESENT | PF_WRITE);
		expect_ok(linear, ACCESS_USER | ACCESS_WRITE, FRAME | 0xabc);
		fake.truth.rflags |= RFLAGS_AC;
		expect_ok(linear, ACCESS_WRITE, FRAME | 0xabc);
		expect_fault(linear, ACCESS_IMPLICIT, PF_PRESENT);

		set_entry(format, 0, linear, FRAME | P | W);
		fake.truth.rflags &= ~RFLAGS_AC;
		expect_ok(linear, ACCESS_WRITE | ACCESS_IMPLICIT, FRAME | 0xabc);
		expect_ok(linear, ACCESS_FETCH, FRAME | 0xabc);
	}
}

/* Large pages: addresses, dirty bits, reserved bits of their entries. */
static void test_large_pages(void **state)
{
	gva_t linear;

	(void)state;
	linear = sample_address(NARROW); /* 4 MiB, above 4 GiB by PSE-36 */
	start(NARROW, linear);
	set_entry(NARROW, 1, linear, 0x00c00000 | 3 << 13 | PS | P | W | U);
	expect_ok(linear, ACCESS_WRITE, 0x300c00000ULL | (linear & 0x3fffff));
	assert_int_equal(get_entry(NARROW, 1, linear) & (A | D), A | D);
	set_entry(NARROW, 1, linear, 0x00c00000 | BIT(21) | PS | P);
	expect_fault(linear, 0, PF_PRESENT | PF_RESERVED);
	fake.truth.cr4 &= ~CR4_PSE; /* then it points to a table */
	set_entry(NARROW, 1, linear, TABLE(1) | PS | P | W | U);
	expect_ok(linear, 0, FRAME | 0xabc);

	for (enum format format = PAE; format <= LEVELS_5; format++) {
		linear = sample_address(format);
		start(format, linear);
		set_entry(format, 1, linear, 0x40000000 | PS | P | W | U);
		expect_ok(linear, ACCESS_WRITE, 0x40000000 | (linear & 0x1fffff));
		assert_int_equal(get_entry(format, 1, linear) & (A | D), A | D);
		set_entry(format, 1, linear, 0x40002000 | PS | P | W | U);
		expect_fault(linear, 0, PF_PRESENT | PF_RESERVED);
		set_entry(format, 1, linear, 0x40001000 | PS | P | W | U); /* the PAT bit */
		expect_ok(linear, 0, 0x40000000 | (linear & 0x1fffff));
		if (format == PAE)
			continue;
		set_entry(format, 2, linear, 0xc0000000 | PS | P | W | U);
		expect_ok(linear, 0, 0xc0000000 | (linear & 0x3fffffff));
		set_entry(format, 2, linear, 0xc0200000 | PS | P | W | U);
		expect_fault(linear, 0, PF_PRESENT | PF_RESERVED);
		set_entry(format, 2, linear, TABLE(formats[format].levels - 2) | P | W | U);
		set_entry(format, 3, linear, get_entry(format, 3, linear) | PS);
		expect_fault(linear, 0, PF_PRESENT | PF_RESERVED);
	}
}

/* Bits beyond the physical address width, and PAE's own reserved ones. */
static void test_reserved_bits(void **state)
{
	(void)state;
	for (enum format format = PAE; format <= LEVELS_5; format++) {
		gva_t linear = sample_address(format);
		unsigned int level;

		for (level = 0; level < formats[format].levels; level++) {
			uint64_t good;

			start(format, linear);
			good = get_entry(format, level, linear);
			set_entry(format, level, linear, good | BIT(40));
			expect_fault(linear, ACCESS_USER, PF_PRESENT | PF_RESERVED | PF_USER);
			set_entry(format, level, linear, good | BIT(51));
			expect_fault(linear, 0, PF_PRESENT | PF_RESERVED);
			set_entry(format, level, linear, good | BIT(53));
			if (format == PAE)
				expect_fault(linear, 0, PF_PRESENT | PF_RESERVED);
			else
				expect_ok(linear, 0, FRAME | 0xabc); /* ignored */
		}
	}
	start(PAE, 0x87654abc);
	set_entry(PAE, 2, 0x87654abc, get_entry(PAE, 2, 0x87654abc) | W);
	expect_fault(0x87654abc, 0, PF_PRESENT | PF_RESERVED);
}

/* Tables that are not in RAM read as all ones; those in read-only memory are not written. */
static void test_strange_tables(void **state)
{
	gva_t linear = sample_address(LEVELS_4);
	gpa_t gpa;
	unsigned int i;

	(void)state;
	start(LEVELS_4, linear);
	set_entry(LEVELS_4, 1, linear, FAKE_DEVICE_START | P | W | U);
	expect_fault(linear, 0, PF_PRESENT | PF_RESERVED);
	fake.truth.cr3 = BIT(39);
	expect_fault(linear, 0, PF_PRESENT | PF_RESERVED);
	assert_int_equal(fake.device_count, 0);

	start(NARROW, 0x87654abc);
	fake.truth.cr3 = 0xfff00000; /* all ones is a page of 4 MiB with reserved bits */
	expect_fault(0x87654abc, 0, PF_PRESENT | PF_RESERVED);

	start(LEVELS_4, linear);
	memcpy(fake.ram + FAKE_ROM_START, fake.ram + TABLE(3), PAGE_SIZE);
	set_entry(LEVELS_4, 1, linear, FAKE_ROM_START | P | W | U);
	expect_ok(linear, ACCESS_WRITE, FRAME | 0xabc);
	for (i = 0; i < PAGE_SIZE; i += 8)
		assert_int_equal(*(uint64_t *)(fake.ram + FAKE_ROM_START + i) & (A | D), 0);

	start(LEVELS_4, linear);
	fake.ram_exhausted = true;
	assert_int_equal(translate(linear, 0, &gpa), -EAGAIN);
	assert_int_equal(fake.stops, 0);
	assert_int_equal(fake.exceptions, 0);
}

static void test_paging_off(void **state)
{
	(void)state;
	fake_reset(32);
	expect_ok(0xfffffff0, ACCESS_WRITE, 0xfffffff0);
}

/* ---- segmentation ---- */

static int linear_of(enum segment_name segment, uint64_t offset, unsigned int size,
	uint64_t access, gva_t *linear)
{
	int err;

	fake_begin();
	err = guest_linear(&fake.vcpu, segment, offset, size, access, linear);
	fake_end();
	return err;
}

static void expect_linear(enum segment_name segment, uint64_t offset, unsigned int size,
	uint64_t access, gva_t want)
{
	gva_t linear = 0;

	assert_int_equal(linear_of(segment, offset, size, access, &linear), 0);
	assert_int_equal(linear, want);
}

static void expect_refused(enum segment_name segment, uint64_t offset, unsigned int size,
	uint64_t access, uint8_t vector)
{
	gva_t linear;

	assert_int_equal(linear_of(segment, offset, size, access, &linear), -EFAULT);
	assert_int_equal(fake.exceptions, 1);
	assert_int_equal(fake.vector, vector);
	assert_true(fake.has_error);
	assert_int_equal(fake.error, 0);
}

static void test_segments_real(void **state)
{
	(void)state;
	fake_reset(16);
	fake.truth.segments[SEG_DS].base = 0xffff0;
	expect_linear(SEG_DS, 0xffff, 1, ACCESS_WRITE, 0x10ffef);
	expect_refused(SEG_DS, 0xffff, 2, 0, VECTOR_GP);
	expect_refused(SEG_SS, 0x10000, 1, 0, VECTOR_SS);
	expect_linear(SEG_CS, 0x10, 4, ACCESS_WRITE, 0x10); /* code may be written here */
	fake.truth.segments[SEG_DS].limit = 0xffffffff; /* "unreal" mode */
	expect_linear(SEG_DS, 0x12345678, 4, ACCESS_WRITE, 0x12445668);
}

static void test_segments_protected(void **state)
{
	struct segment *ds = &fake.truth.segments[SEG_DS];

	(void)state;
	fake_reset(32);
	ds->base = 0xfffff000;
	expect_linear(SEG_DS, 0x2000, 4, ACCESS_WRITE, 0x1000); /* wraps at 4 GiB */
	ds->limit = 0xfff;
	expect_linear(SEG_DS, 0xffc, 4, 0, 0xfffffffc);
	expect_refused(SEG_DS, 0xffd, 4, 0, VECTOR_GP);
	ds->attributes = 0x91; /* read-only data */
	expect_linear(SEG_DS, 0, 4, 0, 0xfffff000);
	expect_refused(SEG_DS, 0, 4, ACCESS_WRITE, VECTOR_GP);
	ds->attributes = 0x99; /* execute-only code */
	expect_refused(SEG_DS, 0, 4, 0, VECTOR_GP);
	ds->attributes = 0x9b;
	expect_linear(SEG_DS, 0, 4, 0, 0xfffff000);
	expect_refused(SEG_DS, 0, 4, ACCESS_WRITE, VECTOR_GP);
	ds->attributes = 0x97 | SEGMENT_DB; /* expand-down: what is not below the limit */
	expect_refused(SEG_DS, 0xfff, 1, 0, VECTOR_GP);
	expect_linear(SEG_DS, 0x1000, 4, ACCESS_WRITE, 0);
	expect_refused(SEG_DS, 0xfffffffe, 4, 0, VECTOR_GP);
	ds->attributes = 0x97;
	expect_linear(SEG_DS, 0xfffc, 4, 0, 0xeffc);
	expect_refused(SEG_DS, 0xfffd, 4, 0, VECTOR_GP);
	ds->attributes = 0; /* a null selector */
	expect_refused(SEG_DS, 0x1000, 4, 0, VECTOR_GP);
	fake.truth.segments[SEG_SS].attributes = 0;
	expect_refused(SEG_SS, 0x1000, 4, 0, VECTOR_SS);
	expect_refused(SEG_CS, 0x1000, 4, ACCESS_WRITE, VECTOR_GP);
}

static void test_segments_64(void **state)
{
	(void)state;
	fake_reset(64);
	fake.truth.segments[SEG_DS] = (struct segment){.base = 0x1000, .limit = 0};
	fake.truth.segments[SEG_GS].base = 0xffff888000000000;
	expect_linear(SEG_DS, 0x7fffffffffff, 1, ACCESS_WRITE, 0x7fffffffffff);
	expect_refused(SEG_DS, 0x7fffffffffff, 2, 0, VECTOR_GP);
	expect_refused(SEG_SS, 0x800000000000, 1, 0, VECTOR_SS);
	expect_linear(SEG_GS, 0x10, 8, 0, 0xffff888000000010);
	expect_refused(SEG_DS, 0xffff7fffffffffff, 1, 0, VECTOR_GP);
	fake.truth.cr4 |= CR4_LA57;
	expect_linear(SEG_DS, 0xffff7fffffffffff, 1, 0, 0xffff7fffffffffff);
	expect_refused(SEG_DS, 0xff00000000000000 - 1, 1, 0, VECTOR_GP);
}

/* ---- reading, writing, fetching ---- */

static int read_linear(gva_t linear, void *to, unsigned int size)
{
	struct guest_span span;
	int err = guest_span_translate(&fake.vcpu, linear, size, 0, &span);

	return err ? err : guest_span_read(&fake.vcpu, &span, to);
}

static int write_linear(gva_t linear, const void *from, unsigned int size)
{
	struct guest_span span;
	int err = guest_span_translate(&fake.vcpu, linear, size, ACCESS_WRITE, &span);

	return err ? err : guest_span_write(&fake.vcpu, &span, from);
}

static void test_crossing(void **state)
{
	uint64_t *table, value = 0x1122334455667788, back;

	(void)state;
	fake_reset(64);
	table = (uint64_t *)(fake.ram + FAKE_TABLES + 3 * PAGE_SIZE);
	table[0x24] = 0x30000 | P | W | U; /* 24000 maps to 30000 */
	fake_begin();
	assert_int_equal(write_linear(0x23ffb, &value, 8), 0);
	assert_memory_equal(fake.ram + 0x23ffb, "\x88\x77\x66\x55\x44", 5);
	assert_memory_equal(fake.ram + 0x30000, "\x33\x22\x11\x00", 4);
	assert_int_equal(read_linear(0x23ffb, &back, 8), 0);
	assert_int_equal(back, value);

	/* The second page is not there: the first is not touched, the address is the second's. */
	table[0x24] = 0;
	value = 0;
	assert_int_equal(write_linear(0x23ffb, &value, 8), -EFAULT);
	assert_memory_equal(fake.ram + 0x23ffb, "\x88\x77\x66\x55\x44", 5);
	assert_int_equal(fake.fault_address, 0x24000);
	assert_int_equal(fake.error, PF_WRITE);
	assert_int_equal(table[0x24], 0);

	/* From RAM into a device, in naturally aligned pieces. */
	fake_begin();
	value = 0x1122334455667788;
	table[0x3f] = 0x30000 | P | W | U;
	assert_int_equal(write_linear(0x3ffff, &value, 8), 0);
	assert_int_equal(fake.ram[0x30fff], 0x88);
	assert_int_equal(fake.device_count, 3);
	assert_int_equal(fake.device[0].size, 4);
	assert_int_equal(fake.device[0].value, 0x44556677);
	assert_int_equal(fake.device[1].size, 2);
	assert_int_equal(fake.device[1].address, 0x40004);
	assert_int_equal(fake.device[2].size, 1);
	assert_int_equal(fake.device[2].value, 0x11);
}

/* As if a page of the guest's tables had led there. */
static int read_physical(gpa_t gpa, uint32_t *value)
{
	const struct guest_span span = { .gpa = { gpa }, .first = 4, .size = 4 };

	return guest_span_read(&fake.vcpu, &span, value);
}

static int write_physical(gpa_t gpa, const uint32_t *value)
{
	const struct guest_span span = { .gpa = { gpa }, .first = 4, .size = 4 };

	return guest_span_write(&fake.vcpu, &span, value);
}

static void test_physical_kinds(void **state)
{
	uint32_t value = 0x55667788;

	(void)state;
	fake_reset(64);
	fake_begin();
	fake.ram[FAKE_ROM_START] = 0x42;
	assert_int_equal(write_physical(FAKE_ROM_START, &value), 0);
	assert_int_equal(fake.ram[FAKE_ROM_START], 0x42); /* swallowed */
	assert_int_equal(read_physical(LAPIC_DEFAULT_BASE + 0x20, &value), 0);
	assert_int_equal(value, 0x1234);
	assert_int_equal(read_physical(0x12345678000, &value), 0);
	assert_int_equal(value, 0xffffffff);
	assert_true(guest_is_device(&fake.vcpu, LAPIC_DEFAULT_BASE));
	assert_true(guest_is_device(&fake.vcpu, FAKE_DEVICE_START));
	assert_false(guest_is_device(&fake.vcpu, 0x1000));
}

static void expect_fetch(uint64_t rip, size_t want)
{
	uint8_t bytes[15];
	size_t count;

	fake.truth.rip = rip;
	fake_begin();
	assert_int_equal(guest_fetch(&fake.vcpu, bytes, &count), 0);
	assert_int_equal(count, want);
	assert_int_equal(fake.exceptions, 0);
}

static void test_fetch(void **state)
{
	uint64_t *table;
	uint8_t bytes[15];
	size_t count, i;

	(void)state;
	fake_reset(64);
	table = (uint64_t *)(fake.ram + FAKE_TABLES + 3 * PAGE_SIZE);
	for (i = 0; i < 64; i++)
		fake.ram[0x10fe0 + i] = i;
	fake.truth.rip = 0x10ff8;
	fake_begin();
	assert_int_equal(guest_fetch(&fake.vcpu, bytes, &count), 0);
	assert_int_equal(count, 15);
	assert_memory_equal(bytes, fake.ram + 0x10ff8, 15);
	table[0x11] &= ~P;
	expect_fetch(0x10ff8, 8);
	table[0x11] |= P | NX;
	expect_fetch(0x10ff8, 8);
	fake.truth.rip = 0x11000;
	fake_begin();
	assert_int_equal(guest_fetch(&fake.vcpu, bytes, &count), -EFAULT);
	assert_int_equal(fake.error, PF_PRESENT | PF_FETCH);
	fake.truth.rip = FAKE_DEVICE_START;
	fake_begin();
	assert_int_equal(guest_fetch(&fake.vcpu, bytes, &count), -ENOTSUP);
	assert_int_equal(fake.exceptions, 0);

	fake_reset(16);
	fake.truth.segments[SEG_CS].base = 0x1000;
	expect_fetch(0xfff0, 15);
	expect_fetch(0xfff8, 8);
	fake.truth.segments[SEG_CS].limit = 0xfff;
	fake.truth.rip = 0x1000;
	fake_begin();
	assert_int_equal(guest_fetch(&fake.vcpu, bytes, &count), -EFAULT);
	assert_int_equal(fake.vector, VECTOR_GP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk_sets_bits),
		cmocka_unit_test(test_not_present),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_smep_smap),
		cmocka_unit_test(test_large_pages),
		cmocka_unit_test(test_reserved_bits),
		cmocka_unit_test(test_strange_tables),
		cmocka_unit_test(test_paging_off),
		cmocka_unit_test(test_segments_real),
		cmocka_unit_test(test_segments_protected),
		cmocka_unit_test(test_segments_64),
		cmocka_unit_test(test_crossing),
		cmocka_unit_test(test_physical_kinds),
		cmocka_unit_test(test_fetch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
