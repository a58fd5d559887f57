/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which opcodes the VEX, EVEX and XOP encodings use, a bit each. What is checked no further are
 * vector lengths, masks and unused register fields: the processor has checked them before it
 * exits, and they do not change an instruction's length.
 */
#include "vcpu/insn_table.h"

static const uint64_t vex_0f[4] = {
	0x0000ff0000ff0000, 0xf0ffffffffff0cf6,
	0x00004000030f0000, 0x7fffffffffff0074};
static const uint64_t vex_0f38[4] = {
	0xffffff3f77c8ffff, 0x03000000570f0ae3,
	0xffc0ffc0ffcf5000, 0x00ec0000f8008000};
static const uint64_t vex_0f3a[4] = {
	0x430f000723f0ff77, 0xff00ff0ff0001f57,
	0x0000000000000000, 0x000100008000c000};
static const uint64_t evex_0f[4] = {
	0x0000ff0000ff0000, 0xcf7ffffffff20000,
	0x0000000000000000, 0x7f7effffff7e0074};
static const uint64_t evex_0f38[4] = {
	0xffff3fffff7f3811, 0xffef017c0f3ff0fd,
	0xfff0ffcfffcfaf08, 0x00000000f000bdd0};
static const uint64_t evex_0f3a[4] = {
	0xcf0000efeff08f3b, 0x000f00c000f3001c,
	0x0000000000000000, 0x000000000000c004};
static const uint64_t evex_5[4] = {
	0x0000f40020030000, 0x7f004000ff020000,
	0x0000000000000000, 0x0000000000000000};
static const uint64_t evex_6[4] = {
	0x0000300000080000, 0x0000000000c0f00c,
	0xffc0ffc0ffc00000, 0x0000000000c00000};
static const uint64_t xop_8[4] = {
	0x0000000000000000, 0x0000000000000000,
	0x0040004cc0e0c0e0, 0x0000f0000000f00f};
static const uint64_t xop_9[4] = {
	0x0000000000040006, 0x0000000000000000,
	0x000000000fff000f, 0x0000000e08ce08ce};
static const uint64_t xop_10[4] = {
	0x0000000000050000, 0x0000000000000000,
	0x0000000000000000, 0x0000000000000000};

const uint64_t *insn_vector_opcodes(int encoding, unsigned int map)
{
	static const uint64_t *const maps[][11] = {
		[INSN_VEX] = {[1] = vex_0f, [2] = vex_0f38, [3] = vex_0f3a},
		[INSN_EVEX] = {[1] = evex_0f, [2] = evex_0f38, [3] = evex_0f3a, [5] = evex_5,
			[6] = evex_6},
		[INSN_XOP] = {[8] = xop_8, [9] = xop_9, [10] = xop_10},
	};

	return map < ARRAY_SIZE(maps[0]) ? maps[encoding][map] : NULL;
}
