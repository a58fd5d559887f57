/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The decoder against Zydis: random bytes, half of them steered into the opcode maps, in the three
 * modes. Where both accept, length and memory operand must agree. Where only one accepts, the
 * reason must be among those listed here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/util.h"
#include "vcpu/insn.h"

#define COUNT_PER_MODE 1000000

static uint64_t seed;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* The position of the opcode, or of what begins a vector form: after the prefixes. */
static size_t skip_prefixes(const uint8_t *bytes, unsigned int mode_bits)
{
	size_t i;

	for (i = 0; i < 14; i++) {
		switch (bytes[i]) {
		case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66:
		case 0x67: case 0xf0: case 0xf2: case 0xf3:
			continue;
		case 0x40 ... 0x4f:
			if (mode_bits == 64)
				continue;
			return i;
		default:
			return i;
		}
	}
	return i;
}

/*
 * Zydis knows what no processor with VT-x or AMD-V executes: 3DNow!, VIA's PadLock, and the vector
 * instructions of Knights Corner (in VEX space, and in EVEX space with a bit cleared that
 * AVX-512 has set).
 */
static bool only_zydis(const uint8_t *bytes, unsigned int mode_bits)
{
	const uint8_t *p = bytes + skip_prefixes(bytes, mode_bits);

	if (p[0] == 0x0f && p[1] == 0x38)
		return false;
	if (p[0] == 0x0f)
		return p[1] == 0x0f || p[1] == 0xa6 || p[1] == 0xa7;
	if (p[0] == 0x62)
		return !(p[2] & 4);
	return (p[0] == 0xc5 || p[0] == 0xc4) && mode_bits == 64;
}

/*
 * Ballast does not check the fields of vector forms, nor the bound registers of MPX, whose opcodes
 * are no-operations with a ModRM byte on processors without it.
 */
static bool only_ballast(const struct insn *insn)
{
	return insn->encoding != INSN_LEGACY ||
		(insn->map == 1 && (insn->opcode & 0xfe) == 0x1a);
}

static void make_bytes(uint8_t *bytes)
{
	static const uint8_t prefixes[] = {
		0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e, 0x36, 0x64, 0x65, 0x48, 0x41, 0x44, 0x42, 0x4f};
	static const uint8_t vector[] = {0xc4, 0xc5, 0x62, 0x8f};
	unsigned int i, at = 0;

	for (i = 0; i < 15; i++)
		bytes[i] = next_random() >> 20;
	if (next_random() % 4 == 0)
		return;
	while (next_random() % 2 && at < 5)
		bytes[at++] = prefixes[next_random() % ARRAY_SIZE(prefixes)];
	switch (next_random() % 8) {
	case 0 ... 2:
		return;
	case 3 ... 4:
		bytes[at] = 0x0f;
		return;
	case 5:
		bytes[at] = 0x0f;
		bytes[at + 1] = 0x38;
		return;
	case 6:
		bytes[at] = 0x0f;
		bytes[at + 1] = 0x3a;
		return;
	default:
		bytes[at] = vector[next_random() % 4];
		if (next_random() % 2) /* a map that exists */
			bytes[at + 1] = (bytes[at + 1] & 0xe0) | next_random() % 11;
		if (next_random() % 2)
			bytes[at + 2] |= 0x7c;
	}
}

static void complain(const char *what, unsigned int mode_bits, uint64_t start,
	const uint8_t *bytes, int ballast, int zydis)
{
	unsigned int i;

	fprintf(stderr, "%u-bit, seed %llu:", mode_bits, (unsigned long long)start);
	for (i = 0; i < 15; i++)
		fprintf(stderr, " %02x", bytes[i]);
	fprintf(stderr, ": %s: Ballast %d, Zydis %d\n", what, ballast, zydis);
}

static bool zydis_has_modrm_memory(const ZydisDecodedInstruction *theirs)
{
	return theirs->attributes & ZYDIS_ATTRIB_HAS_MODRM && theirs->raw.modrm.mod != 3;
}

/* Addressing and immediates of what both accept; only legacy forms name them alike. */
static const char *compare(const struct insn *ours, const ZydisDecodedInstruction *theirs)
{
	bool moves_special = ours->map == 1 && ours->opcode >= 0x20 && ours->opcode <= 0x23;

	if (ours->length != theirs->length)
		return "length";
	if (ours->has_modrm != !!(theirs->attributes & ZYDIS_ATTRIB_HAS_MODRM))
		return "ModRM";
	if (ours->has_modrm && !moves_special && ours->has_memory != zydis_has_modrm_memory(theirs))
		return "memory operand";
	/* MPX uses 64-bit addresses whatever the prefix says; here it is no-operations. */
	if (ours->has_memory && !(ours->map == 1 && (ours->opcode & 0xfe) == 0x1a) &&
		ours->address_size * 8 != theirs->address_width)
		return "address size";
	if (ours->has_modrm && ours->has_memory && ours->displacement != theirs->raw.disp.value)
		return "displacement";
	if (ours->opcode != theirs->opcode)
		return "opcode";
	return NULL;
}

static void test_mode(unsigned int mode_bits, ZydisMachineMode mode, ZydisStackWidth stack)
{
	unsigned int i, both = 0, ours_only = 0, theirs_only = 0, failures = 0;
	ZydisDecoder decoder;

	seed = 88172645463325252ULL + mode_bits;
	if (getenv("BALLAST_SEED"))
		seed = strtoull(getenv("BALLAST_SEED"), NULL, 0);
	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoder, mode, stack)));
	ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_KNC, ZYAN_FALSE);
	for (i = 0; i < COUNT_PER_MODE && failures < 10; i++) {
		uint64_t start = seed;
		ZydisDecodedInstruction theirs;
		struct insn ours;
		const char *what;
		uint8_t bytes[15];
		bool zydis;
		int err;

		make_bytes(bytes);
		zydis = ZYAN_SUCCESS(
			ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, 15, &theirs));
		err = insn_decode(&ours, bytes, 15, mode_bits);
		if (zydis && !err) {
			both++;
			what = compare(&ours, &theirs);
			if (what) {
				failures++;
				complain(what, mode_bits, start, bytes, ours.length, theirs.length);
			}
		} else if (zydis) {
			theirs_only++;
			if (!only_zydis(bytes, mode_bits)) {
				failures++;
				complain("refused", mode_bits, start, bytes, err, theirs.length);
			}
		} else if (!err) {
			ours_only++;
			if (!only_ballast(&ours)) {
				failures++;
				complain("accepted", mode_bits, start, bytes, ours.length, -1);
			}
		}
	}
	print_message("%u-bit: %u decoded alike, %u by Zydis only, %u by Ballast only\n", mode_bits,
		both, theirs_only, ours_only);
	assert_int_equal(failures, 0);
	assert_true(both > COUNT_PER_MODE / 3);
	assert_true(theirs_only < both / 200);
	assert_true(ours_only < both / 20);
}

static void test_16(void **state)
{
	(void)state;
	test_mode(16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
}

static void test_32(void **state)
{
	(void)state;
	test_mode(32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
}

static void test_64(void **state)
{
	(void)state;
	test_mode(64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

/* Every truncation of an instruction asks for more, and never reads beyond what it was given. */
static void test_truncated(void **state)
{
	uint8_t bytes[15];
	struct insn insn;
	unsigned int i, n;

	(void)state;
	seed = 12345;
	for (i = 0; i < 50000; i++) {
		unsigned int mode_bits = 16 << next_random() % 3;

		make_bytes(bytes);
		if (insn_decode(&insn, bytes, 15, mode_bits))
			continue;
		for (n = 0; n < insn.length; n++) {
			uint8_t *exact = malloc(n ? n : 1); /* ASan watches its end */
			struct insn part;
			unsigned int k;

			for (k = 0; k < n; k++)
				exact[k] = bytes[k];
			assert_int_equal(insn_decode(&part, exact, n, mode_bits), -ENODATA);
			free(exact);
		}
	}
}

static void check(const char *text, size_t count, unsigned int mode_bits, const struct insn *want)
{
	struct insn insn;

	assert_int_equal(insn_decode(&insn, (const uint8_t *)text, count, mode_bits), 0);
	assert_int_equal(insn.length, count);
	assert_int_equal(insn.operand_size, want->operand_size);
	assert_int_equal(insn.address_size, want->address_size);
	assert_int_equal(insn.segment, want->segment);
	assert_int_equal(insn.base, want->base);
	assert_int_equal(insn.index, want->index);
	assert_int_equal(insn.scale, want->scale);
	assert_int_equal(insn.displacement, want->displacement);
	assert_int_equal(insn.immediate_size, want->immediate_size);
	assert_int_equal(insn.immediate, want->immediate);
}

/* The fields that Zydis is not asked for, by hand. */
static void test_fields(void **state)
{
	(void)state;
	check("\xc7\x04\x25\xb0\x00\x50\xff\x00\x00\x00\x00", 11, 64, &(struct insn){
		.operand_size = 4, .address_size = 8, .segment = SEG_DS, .base = -1, .index = -1,
		.scale = 1, .displacement = -0xafff50, .immediate_size = 4});
	check("\x65\x4a\x8b\x44\xf5\x80", 6, 64, &(struct insn){
		.operand_size = 8, .address_size = 8, .segment = SEG_GS, .base = GPR_RBP,
		.index = GPR_R14, .scale = 8, .displacement = -128});
	check("\x67\x66\x83\x42\xfe\x7f", 6, 32, &(struct insn){
		.operand_size = 2, .address_size = 2, .segment = SEG_SS, .base = GPR_RBP,
		.index = GPR_RSI, .scale = 1, .displacement = -2, .immediate_size = 1,
		.immediate = 0x7f});
	check("\x48\xa1\x88\x77\x66\x55\x44\x33\x22\x11", 10, 64, &(struct insn){
		.operand_size = 8, .address_size = 8, .segment = SEG_DS, .base = -1, .index = -1,
		.scale = 1, .displacement = 0x1122334455667788});
	check("\xa0\x00\xff", 3, 16, &(struct insn){
		.operand_size = 1, .address_size = 2, .segment = SEG_DS, .base = -1, .index = -1,
		.scale = 1, .displacement = 0xff00});
	check("\x26\x88\x24\x24", 4, 32, &(struct insn){
		.operand_size = 1, .address_size = 4, .segment = SEG_ES, .base = GPR_RSP,
		.index = -1, .scale = 1});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_16),
		cmocka_unit_test(test_32),
		cmocka_unit_test(test_64),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
