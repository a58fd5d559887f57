/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The emulator against Unicorn: generated instructions with a memory operand, in all three modes,
 * executed by both from the same state; registers, flags, memory and RIP must agree. The memory
 * operand is mostly in a device here, where the accesses themselves are checked too: an aligned
 * operand is read at most once and written at most once, and in one piece.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

#include "host/x86.h"
#include "test/unit/fake_vcpu.h"
#include "vcpu/emulate.h"
#include "vcpu/insn.h"
#include "vcpu/simd_registers.h"

#define CODE_START 0x10000ULL
#define CODE_BYTES 0x8000ULL
#define STACK_TOP 0x28000ULL
#define DATA_START FAKE_DEVICE_START
#define ARITHMETIC (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)
#define COUNT_PER_MODE 5000

/* One kind of instruction to generate. */
struct form {
	uint8_t map;        /* 0, 1 (0F), 2 (0F 38) */
	uint8_t opcode;
	int8_t extension;   /* ModRM.reg, or -1 for any */
	uint32_t undefined; /* flags that the manuals leave undefined, always */
	enum {
		PLAIN,
		SHIFT = 1,      /* flags depend on the count */
		STRING = 2,     /* no ModRM; rSI and rDI; prefixes REP, REPNE */
		NO_MODRM = 4,
		ONLY_64 = 8,
		STACK = 16,     /* uses rSP: keep it in its place */
		BRANCH = 32,
		SHIFT_DOUBLE = 64,
		BIT_OFFSET = 128,
		MOFFS = 256,
		SSE = 512,      /* prefix as given: a mandatory one */
		ALIGNED = 1024, /* Unicorn does not check what the processor does */
	} kind;
	uint8_t prefix;
};

#define AF RFLAGS_AF
#define MUL (RFLAGS_SF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF)
#define BITS (RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF)
#define ALL ARITHMETIC

static const struct form forms[] = {
	{0, 0x88, -1, 0, PLAIN, 0}, {0, 0x89, -1, 0, PLAIN, 0}, {0, 0x8a, -1, 0, PLAIN, 0},
	{0, 0x8b, -1, 0, PLAIN, 0}, {0, 0xc6, 0, 0, PLAIN, 0}, {0, 0xc7, 0, 0, PLAIN, 0},
	{0, 0x8c, 0, 0, PLAIN, 0}, {0, 0x63, -1, 0, ONLY_64, 0},
	{0, 0xa0, -1, 0, MOFFS | NO_MODRM, 0}, {0, 0xa1, -1, 0, MOFFS | NO_MODRM, 0},
	{0, 0xa2, -1, 0, MOFFS | NO_MODRM, 0}, {0, 0xa3, -1, 0, MOFFS | NO_MODRM, 0},
	{0, 0x86, -1, 0, PLAIN, 0}, {0, 0x87, -1, 0, PLAIN, 0},
	{0, 0x00, -1, 0, PLAIN, 0}, {0, 0x01, -1, 0, PLAIN, 0}, {0, 0x02, -1, 0, PLAIN, 0},
	{0, 0x03, -1, 0, PLAIN, 0}, {0, 0x08, -1, AF, PLAIN, 0}, {0, 0x0b, -1, AF, PLAIN, 0},
	{0, 0x10, -1, 0, PLAIN, 0}, {0, 0x11, -1, 0, PLAIN, 0}, {0, 0x12, -1, 0, PLAIN, 0},
	{0, 0x13, -1, 0, PLAIN, 0}, {0, 0x18, -1, 0, PLAIN, 0}, {0, 0x19, -1, 0, PLAIN, 0},
	{0, 0x1a, -1, 0, PLAIN, 0}, {0, 0x1b, -1, 0, PLAIN, 0}, {0, 0x21, -1, AF, PLAIN, 0},
	{0, 0x23, -1, AF, PLAIN, 0}, {0, 0x28, -1, 0, PLAIN, 0}, {0, 0x29, -1, 0, PLAIN, 0},
	{0, 0x2b, -1, 0, PLAIN, 0}, {0, 0x31, -1, AF, PLAIN, 0}, {0, 0x33, -1, AF, PLAIN, 0},
	{0, 0x38, -1, 0, PLAIN, 0}, {0, 0x39, -1, 0, PLAIN, 0}, {0, 0x3a, -1, 0, PLAIN, 0},
	{0, 0x3b, -1, 0, PLAIN, 0},
	{0, 0x80, 0, 0, PLAIN, 0}, {0, 0x80, 2, 0, PLAIN, 0}, {0, 0x80, 3, 0, PLAIN, 0},
	{0, 0x80, 7, 0, PLAIN, 0}, {0, 0x81, 1, AF, PLAIN, 0}, {0, 0x81, 5, 0, PLAIN, 0},
	{0, 0x81, 2, 0, PLAIN, 0}, {0, 0x81, 7, 0, PLAIN, 0}, {0, 0x83, 0, 0, PLAIN, 0},
	{0, 0x83, 1, AF, PLAIN, 0}, {0, 0x83, 3, 0, PLAIN, 0}, {0, 0x83, 4, AF, PLAIN, 0},
	{0, 0x83, 5, 0, PLAIN, 0}, {0, 0x83, 6, AF, PLAIN, 0}, {0, 0x83, 7, 0, PLAIN, 0},
	{0, 0x84, -1, AF, PLAIN, 0}, {0, 0x85, -1, AF, PLAIN, 0},
	{0, 0xf6, 0, AF, PLAIN, 0}, {0, 0xf7, 0, AF, PLAIN, 0}, {0, 0xf6, 2, 0, PLAIN, 0},
	{0, 0xf7, 2, 0, PLAIN, 0}, {0, 0xf6, 3, 0, PLAIN, 0}, {0, 0xf7, 3, 0, PLAIN, 0},
	{0, 0xf6, 4, MUL, PLAIN, 0}, {0, 0xf7, 4, MUL, PLAIN, 0}, {0, 0xf6, 5, MUL, PLAIN, 0},
	{0, 0xf7, 5, MUL, PLAIN, 0}, {0, 0xf6, 6, ALL, PLAIN, 0}, {0, 0xf7, 6, ALL, PLAIN, 0},
	{0, 0xf6, 7, ALL, PLAIN, 0}, {0, 0xf7, 7, ALL, PLAIN, 0},
	{0, 0xfe, 0, 0, PLAIN, 0}, {0, 0xfe, 1, 0, PLAIN, 0}, {0, 0xff, 0, 0, PLAIN, 0},
	{0, 0xff, 1, 0, PLAIN, 0}, {0, 0x69, -1, MUL, PLAIN, 0}, {0, 0x6b, -1, MUL, PLAIN, 0},
	{1, 0xaf, -1, MUL, PLAIN, 0},
	{0, 0xc0, -1, AF, SHIFT, 0}, {0, 0xc1, -1, AF, SHIFT, 0}, {0, 0xd0, -1, AF, SHIFT, 0},
	{0, 0xd1, -1, AF, SHIFT, 0}, {0, 0xd2, -1, AF, SHIFT, 0}, {0, 0xd3, -1, AF, SHIFT, 0},
	{1, 0xa4, -1, AF, SHIFT_DOUBLE, 0}, {1, 0xa5, -1, AF, SHIFT_DOUBLE, 0},
	{1, 0xac, -1, AF, SHIFT_DOUBLE, 0}, {1, 0xad, -1, AF, SHIFT_DOUBLE, 0},
	{1, 0xb0, -1, 0, PLAIN, 0}, {1, 0xb1, -1, 0, PLAIN, 0}, {1, 0xc0, -1, 0, PLAIN, 0},
	{1, 0xc1, -1, 0, PLAIN, 0}, {1, 0xc7, 1, 0, PLAIN, 0}, {1, 0xc3, -1, 0, PLAIN, 0},
	{1, 0xa3, -1, BITS, BIT_OFFSET, 0}, {1, 0xab, -1, BITS, BIT_OFFSET, 0},
	{1, 0xb3, -1, BITS, BIT_OFFSET, 0}, {1, 0xbb, -1, BITS, BIT_OFFSET, 0},
	{1, 0xba, 4, BITS, PLAIN, 0}, {1, 0xba, 5, BITS, PLAIN, 0}, {1, 0xba, 6, BITS, PLAIN, 0},
	{1, 0xba, 7, BITS, PLAIN, 0},
	{1, 0xb6, -1, 0, PLAIN, 0}, {1, 0xb7, -1, 0, PLAIN, 0}, {1, 0xbe, -1, 0, PLAIN, 0},
	{1, 0xbf, -1, 0, PLAIN, 0}, {1, 0x44, -1, 0, PLAIN, 0}, {1, 0x4c, -1, 0, PLAIN, 0},
	{1, 0x47, -1, 0, PLAIN, 0}, {1, 0x4f, -1, 0, PLAIN, 0}, {1, 0x40, -1, 0, PLAIN, 0},
	{1, 0x9a, -1, 0, PLAIN, 0}, {1, 0x92, -1, 0, PLAIN, 0}, {1, 0x9e, -1, 0, PLAIN, 0},
	{1, 0x98, -1, 0, PLAIN, 0}, {1, 0xbc, -1, ALL & ~RFLAGS_ZF, PLAIN, 0},
	{1, 0xbd, -1, ALL & ~RFLAGS_ZF, PLAIN, 0},
	{0, 0xff, 6, 0, STACK, 0}, {0, 0x8f, 0, 0, STACK, 0}, {0, 0xff, 2, 0, STACK | BRANCH, 0},
	{0, 0xff, 4, 0, BRANCH, 0},
	{0, 0xa4, -1, 0, STRING | NO_MODRM, 0}, {0, 0xa5, -1, 0, STRING | NO_MODRM, 0},
	{0, 0xa6, -1, 0, STRING | NO_MODRM, 0}, {0, 0xa7, -1, 0, STRING | NO_MODRM, 0},
	{0, 0xaa, -1, 0, STRING | NO_MODRM, 0}, {0, 0xab, -1, 0, STRING | NO_MODRM, 0},
	{0, 0xac, -1, 0, STRING | NO_MODRM, 0}, {0, 0xad, -1, 0, STRING | NO_MODRM, 0},
	{0, 0xae, -1, 0, STRING | NO_MODRM, 0}, {0, 0xaf, -1, 0, STRING | NO_MODRM, 0},
	{1, 0x10, -1, 0, SSE, 0}, {1, 0x11, -1, 0, SSE, 0}, {1, 0x10, -1, 0, SSE, 0x66},
	{1, 0x11, -1, 0, SSE, 0x66}, {1, 0x10, -1, 0, SSE, 0xf3}, {1, 0x11, -1, 0, SSE, 0xf3},
	{1, 0x10, -1, 0, SSE, 0xf2}, {1, 0x11, -1, 0, SSE, 0xf2}, {1, 0x12, -1, 0, SSE, 0},
	{1, 0x13, -1, 0, SSE, 0x66}, {1, 0x16, -1, 0, SSE, 0x66}, {1, 0x17, -1, 0, SSE, 0},
	{1, 0x28, -1, 0, SSE | ALIGNED, 0}, {1, 0x29, -1, 0, SSE | ALIGNED, 0x66},
	{1, 0x2b, -1, 0, SSE | ALIGNED, 0}, {1, 0x6e, -1, 0, SSE, 0x66},
	{1, 0x7e, -1, 0, SSE, 0x66}, {1, 0x7e, -1, 0, SSE, 0xf3},
	{1, 0xd6, -1, 0, SSE, 0x66}, {1, 0x6f, -1, 0, SSE | ALIGNED, 0x66},
	{1, 0x7f, -1, 0, SSE | ALIGNED, 0x66}, {1, 0x6f, -1, 0, SSE, 0xf3},
	{1, 0x7f, -1, 0, SSE, 0xf3}, {1, 0xe7, -1, 0, SSE | ALIGNED, 0x66},
	{1, 0xf0, -1, 0, SSE, 0xf2},
};

/* Unicorn itself leaks a little. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static uint64_t seed;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static bool one_in(unsigned int n)
{
	return next_random() % n == 0;
}

struct machine {
	uc_engine *uc;
	uint8_t *ram;          /* Unicorn's copy of the memory */
	unsigned int mode_bits;
	uint64_t code;         /* next place for an instruction, a linear address */
	struct segment segments[6];
};

/* One generated instruction and the state before it. */
struct trial {
	const struct form *form;
	struct insn insn;
	uint8_t bytes[16];
	size_t count;
	uint64_t gpr[16], rip, rflags;
	uint32_t undefined;
};

static const int uc_gprs[16] = {UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX,
	UC_X86_REG_RSP, UC_X86_REG_RBP, UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8,
	UC_X86_REG_R9, UC_X86_REG_R10, UC_X86_REG_R11, UC_X86_REG_R12, UC_X86_REG_R13,
	UC_X86_REG_R14, UC_X86_REG_R15};
static const int uc_gprs_32[8] = {UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX,
	UC_X86_REG_ESP, UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI};

static unsigned int gpr_count(const struct machine *machine)
{
	return machine->mode_bits == 64 ? 16 : 8;
}

static int gpr_id(const struct machine *machine, unsigned int i)
{
	return machine->mode_bits == 64 ? uc_gprs[i] : uc_gprs_32[i];
}

static void put(uc_engine *uc, int id, uint64_t value)
{
	assert_int_equal(uc_reg_write(uc, id, &value), UC_ERR_OK);
}

static uint64_t get(uc_engine *uc, int id)
{
	uint64_t value = 0;

	assert_int_equal(uc_reg_read(uc, id, &value), UC_ERR_OK);
	return value;
}

static void machine_start(struct machine *machine, unsigned int mode_bits)
{
	static const int segment_ids[6] = {UC_X86_REG_ES, UC_X86_REG_CS, UC_X86_REG_SS,
		UC_X86_REG_DS, UC_X86_REG_FS, UC_X86_REG_GS};
	static const uint16_t bases[6] = {0x4800, 0x1000, 0x2000, 0x4000, 0x5000, 0x2400};
	unsigned int i;

	fake_reset(mode_bits);
	machine->mode_bits = mode_bits;
	machine->code = CODE_START;
	machine->ram = aligned_alloc(PAGE_SIZE, FAKE_RAM_BYTES);
	assert_int_equal(uc_open(UC_ARCH_X86, mode_bits == 16 ? UC_MODE_16 :
		mode_bits == 32 ? UC_MODE_32 : UC_MODE_64, &machine->uc), UC_ERR_OK);
	assert_int_equal(uc_mem_map_ptr(machine->uc, 0, FAKE_RAM_BYTES, UC_PROT_ALL, machine->ram),
		UC_ERR_OK);
	for (i = 0; i < 6 && mode_bits == 16; i++) {
		put(machine->uc, segment_ids[i], bases[i]);
		fake.truth.segments[i].selector = bases[i];
		fake.truth.segments[i].base = bases[i] << 4;
	}
	put(machine->uc, UC_X86_REG_CR4, get(machine->uc, UC_X86_REG_CR4) | CR4_OSFXSR);
	if (mode_bits == 64) {
		put(machine->uc, UC_X86_REG_FS_BASE, 0x1000);
		put(machine->uc, UC_X86_REG_GS_BASE, 0x800);
		fake.truth.segments[SEG_FS].base = 0x1000;
		fake.truth.segments[SEG_GS].base = 0x800;
	}
	for (i = 0; i < FAKE_DEVICE_BYTES; i += 8)
		*(uint64_t *)(fake.ram + DATA_START + i) = next_random();
	memcpy(machine->segments, fake.truth.segments, sizeof(machine->segments));
	memcpy(machine->ram, fake.ram, FAKE_RAM_BYTES);
}

static void machine_stop(struct machine *machine)
{
	uc_close(machine->uc);
	free(machine->ram);
}

/* Prefixes and opcode; ModRM and all that follows stay random. */
static void make_bytes(struct trial *trial, unsigned int mode_bits)
{
	const struct form *form = trial->form;
	uint8_t *p = trial->bytes;
	size_t i;

	for (i = 0; i < sizeof(trial->bytes); i++)
		trial->bytes[i] = next_random();
	if (form->prefix)
		*p++ = form->prefix;
	else if (!(form->kind & SSE) && one_in(4))
		*p++ = 0x66;
	if (one_in(6))
		*p++ = 0x67;
	if (form->kind & STRING && !one_in(3))
		*p++ = one_in(2) ? 0xf3 : 0xf2;
	if (one_in(8))
		*p++ = mode_bits == 32 ? 0x3e : one_in(2) ? 0x64 : 0x65;
	if (mode_bits == 64 && one_in(2))
		*p++ = 0x40 | next_random() % 16;
	if (form->map)
		*p++ = 0x0f;
	if (form->map == 2)
		*p++ = 0x38;
	*p++ = form->opcode;
	if (!(form->kind & NO_MODRM)) {
		if (*p >= 0xc0)
			*p &= 0x3f | (next_random() & 0x40);
		if (form->extension >= 0)
			*p = (*p & 0xc7) | form->extension << 3;
	}
}

/* Where the memory operand shall be: in the device, sometimes across its pages' boundary. */
static uint64_t choose_target(const struct trial *trial, const struct segment *segment)
{
	uint64_t at = 0x4000 + next_random() % 0x2000;

	if (one_in(8))
		at = 0x5000 - next_random() % 8;
	if (trial->form->kind & ALIGNED || (trial->form->kind & SSE && one_in(2)))
		at &= ~15ULL;
	else if (!one_in(3))
		at &= ~7ULL;
	return segment->limit == 0xffff ? at : DATA_START + at;
}

/* Set a displacement of the instruction's own bytes, just before the immediate. */
static void patch_displacement(struct trial *trial, unsigned int bytes, uint64_t value)
{
	unsigned int at = trial->insn.length - trial->insn.immediate_size - bytes;

	memcpy(trial->bytes + at, &value, bytes);
}

/* Make the effective address `at`; false when this form cannot (it is then not tried). */
static bool aim(struct trial *trial, uint64_t at)
{
	struct insn *insn = &trial->insn;
	uint64_t rest = insn->displacement;
	unsigned int size = insn->address_size;

	if (trial->form->kind & MOFFS) {
		patch_displacement(trial, size, at);
		return true;
	}
	if (insn->rip_relative) {
		patch_displacement(trial, 4, at - trial->rip - insn->length);
		return true;
	}
	if (insn->base < 0 && insn->index < 0) {
		patch_displacement(trial, size == 2 ? 2 : 4, at);
		return true;
	}
	if (insn->base < 0 || insn->base == insn->index) {
		if (insn->scale != 1 || insn->base >= 0)
			return false;
		trial->gpr[insn->index] = at - rest;
		return true;
	}
	if (insn->index >= 0)
		rest += trial->gpr[insn->index] * insn->scale;
	trial->gpr[insn->base] = at - rest;
	/* Bits that a narrow address ignores are noise. */
	if (size < 8)
		trial->gpr[insn->base] ^= next_random() << (size * 8);
	return true;
}

static void place_strings(struct trial *trial, unsigned int mode_bits)
{
	uint64_t base = mode_bits == 16 ? 0 : DATA_START;

	trial->gpr[GPR_RSI] = base + 0x2000 + next_random() % 0x2000;
	trial->gpr[GPR_RDI] = base + 0x2000 + next_random() % 0x2000;
	if (one_in(2)) /* equal contents at times, so that comparisons go on */
		trial->gpr[GPR_RDI] = trial->gpr[GPR_RSI] + next_random() % 2;
	trial->gpr[GPR_RCX] = next_random() % 20;
	if (one_in(2))
		trial->rflags |= RFLAGS_DF;
}

/* Flags that are undefined for this instruction with this count. */
static uint32_t undefined_flags(const struct trial *trial)
{
	const struct insn *insn = &trial->insn;
	uint32_t undefined = trial->form->undefined;
	unsigned int count = 1, bits = insn->operand_size * 8;

	if (!(trial->form->kind & (SHIFT | SHIFT_DOUBLE)))
		return undefined;
	if (insn->immediate_size)
		count = insn->immediate;
	else if (trial->form->kind & SHIFT_DOUBLE || insn->opcode & 2)
		count = trial->gpr[GPR_RCX];
	count &= bits == 64 ? 63 : 31;
	if (count == 0)
		return 0;
	if (count > 1)
		undefined |= RFLAGS_OF;
	if (count >= bits)
		undefined |= RFLAGS_CF;
	return undefined;
}

/* SHLD and SHRD of 16 bits by more than these: the result itself is undefined. */
static bool result_undefined(const struct trial *trial)
{
	uint64_t count = trial->insn.immediate_size ? trial->insn.immediate
						    : trial->gpr[GPR_RCX];

	return trial->form->kind & SHIFT_DOUBLE && trial->insn.operand_size == 2 &&
		(count & 31) > 16;
}

/*
 * Where Unicorn 2.0 is wrong: REX.R before the group of MOV, a RIP-relative operand of SHLD and
 * SHRD with an immediate, SSE in real mode (it cannot be enabled).
 */
static bool unicorn_errs(const struct trial *trial, unsigned int mode_bits)
{
	const struct insn *insn = &trial->insn;

	if (insn->map == 0 && (insn->opcode & 0xfe) == 0xc6)
		return insn->rex & 4;
	if (trial->form->kind & SHIFT_DOUBLE && insn->immediate_size)
		return insn->rip_relative;
	return trial->form->kind & SSE && mode_bits == 16;
}

/* A whole trial; false when the dice made something that is not to be tried. */
static bool make_trial(struct machine *machine, struct trial *trial)
{
	unsigned int i, mode_bits = machine->mode_bits;
	const struct form *form = &forms[next_random() % ARRAY_SIZE(forms)];
	struct insn *insn = &trial->insn;

	trial->form = form;
	if (form->kind & ONLY_64 && mode_bits != 64)
		return false;
	make_bytes(trial, mode_bits);
	if (insn_decode(insn, trial->bytes, 15, mode_bits) || insn->opcode != form->opcode)
		return false;
	if (insn->has_modrm && !insn->has_memory)
		return false;
	trial->rip = machine->code - machine->segments[SEG_CS].base;
	trial->rflags = RFLAGS_FIXED1 | (next_random() & ARITHMETIC);
	for (i = 0; i < 16; i++)
		trial->gpr[i] = one_in(4) ? next_random() % 3 - 1 : next_random();
	if (form->kind & STACK || insn->base == GPR_RSP)
		trial->gpr[GPR_RSP] = mode_bits == 16 ? 0x4000 : STACK_TOP - next_random() % 64;
	if (form->kind & STRING)
		place_strings(trial, mode_bits);
	if (form->kind & BIT_OFFSET)
		trial->gpr[insn->reg] = (int64_t)(next_random() % 8192) - 4096;
	if (insn->has_memory &&
		!aim(trial, choose_target(trial, &machine->segments[insn->segment])))
		return false;
	if (form->kind & STACK && (insn->base == GPR_RSP || insn->index == GPR_RSP))
		return false;
	if (form->kind & BIT_OFFSET && (insn->base == insn->reg || insn->index == insn->reg))
		return false;
	if (mode_bits != 64) {
		for (i = 0; i < 8; i++)
			trial->gpr[i] = (uint32_t)trial->gpr[i];
	}
	if (insn_decode(insn, trial->bytes, 15, mode_bits))
		return false;
	trial->count = insn->length;
	if (result_undefined(trial) || unicorn_errs(trial, mode_bits))
		return false;
	trial->undefined = undefined_flags(trial);
	/* AMD and Unicorn differ on a 16-bit branch in 64-bit mode: Ballast is as Intel. */
	return !(form->kind & BRANCH && mode_bits == 64 && insn->opsize_prefix);
}

/* An operand that a branch takes its target from must hold something sensible. */
static void place_branch_target(struct machine *machine, struct trial *trial)
{
	struct insn *insn = &trial->insn;
	uint64_t offset = insn->displacement, target = CODE_START + next_random() % CODE_BYTES;

	if (insn->rip_relative)
		offset += trial->rip + insn->length;
	if (insn->base >= 0)
		offset += trial->gpr[insn->base];
	if (insn->index >= 0)
		offset += trial->gpr[insn->index] * insn->scale;
	offset &= byte_mask(insn->address_size);
	offset += machine->segments[insn->segment].base;
	if (offset >= FAKE_RAM_BYTES - 8)
		return;
	target -= machine->segments[SEG_CS].base;
	memcpy(fake.ram + offset, &target, 8);
	memcpy(machine->ram + offset, &target, 8);
}

static uint64_t unicorn_rip(struct machine *machine)
{
	return get(machine->uc, machine->mode_bits == 64 ? UC_X86_REG_RIP : UC_X86_REG_EIP);
}

/* True when an exception was raised. */
static bool run_unicorn(struct machine *machine, struct trial *trial)
{
	uc_engine *uc = machine->uc;
	uint64_t linear = machine->code;
	unsigned int i;

	for (i = 0; i < gpr_count(machine); i++)
		put(uc, gpr_id(machine, i), trial->gpr[i]);
	put(uc, UC_X86_REG_EFLAGS, trial->rflags);
	for (i = 0; i < (machine->mode_bits == 64 ? 16 : 8); i++)
		assert_int_equal(uc_reg_write(uc, UC_X86_REG_XMM0 + i, fake_vectors[i]), UC_ERR_OK);
	assert_int_equal(uc_mem_write(uc, linear, trial->bytes, trial->count), UC_ERR_OK);
	uc_ctl_remove_cache(uc, linear, linear + 16);
	if (uc_emu_start(uc, linear, linear + trial->count, 0,
		trial->form->kind & BRANCH ? 1 : 0) != UC_ERR_OK)
		return true;
	return unicorn_rip(machine) == trial->rip; /* nobody handled #DE, so it stays there */
}

static enum exit_action run_ballast(struct machine *machine, struct trial *trial)
{
	enum exit_action action;

	memcpy(fake.ram + machine->code, trial->bytes, trial->count);
	memcpy(fake.vcpu.regs.gpr, trial->gpr, sizeof(trial->gpr));
	fake.rsp = trial->gpr[GPR_RSP];
	fake.truth.rip = trial->rip;
	fake.truth.rflags = trial->rflags;
	fake.truth.interrupt_shadow = true;
	fake_begin();
	fake.vcpu.exit.instruction_length = 0;
	action = emulate_instruction(&fake.vcpu, NULL, 0);
	fake_end();
	if (action == ACTION_ADVANCE)
		fake.truth.rip += fake.vcpu.exit.instruction_length;
	return action;
}

static void complain(const struct machine *machine, const struct trial *trial, uint64_t start,
	const char *what, uint64_t ballast, uint64_t unicorn)
{
	size_t i;

	fprintf(stderr, "%u-bit, seed %llu: ", machine->mode_bits, (unsigned long long)start);
	for (i = 0; i < trial->count; i++)
		fprintf(stderr, "%02x ", trial->bytes[i]);
	fprintf(stderr, ": %s: Ballast %llx, Unicorn %llx (stop '%s', exception %u of %u)\n", what,
		(unsigned long long)ballast, (unsigned long long)unicorn, fake.reason, fake.vector,
		fake.exceptions);
}

/* An aligned operand is one access each way, as wide as it is. */
static bool check_accesses(const struct trial *trial)
{
	unsigned int i, reads = 0, writes = 0;

	if (trial->form->kind & (STRING | STACK))
		return true;
	for (i = 0; i < fake.device_count; i++) {
		if (fake.device[i].address & (fake.device[i].size - 1))
			return false;
		reads += !fake.device[i].write;
		writes += fake.device[i].write;
	}
	if (fake.device_count == 0 || fake.device[0].address & 15)
		return true;
	return reads <= 2 && writes <= 2 &&
		(trial->insn.map || (reads <= 1 && writes <= 1));
}

static unsigned int compare(struct machine *machine, struct trial *trial, uint64_t start,
	enum exit_action action, bool raised)
{
	uint64_t flags = ARITHMETIC & ~trial->undefined, rip;
	uint8_t vector[16];
	unsigned int i;

	if ((fake.exceptions != 0) != raised || fake.stops) {
		complain(machine, trial, start, "outcome", action, raised);
		return 1;
	}
	if (raised) {
		for (i = 0; i < gpr_count(machine); i++)
			assert_int_equal(fake.vcpu.regs.gpr[i], trial->gpr[i]);
		return 0;
	}
	for (i = 0; i < gpr_count(machine); i++) {
		uint64_t value = get(machine->uc, gpr_id(machine, i));

		/* BSF and BSR of zero leave the target: how much of it, processors differ. */
		if (trial->insn.map == 1 && (trial->insn.opcode & 0xfe) == 0xbc &&
			fake.truth.rflags & RFLAGS_ZF)
			value |= fake.vcpu.regs.gpr[i] & ~0xffffffffULL;
		if (fake.vcpu.regs.gpr[i] != value) {
			complain(machine, trial, start, "register", fake.vcpu.regs.gpr[i], value);
			return 1;
		}
	}
	rip = unicorn_rip(machine);
	if (trial->form->kind & BRANCH) /* stopped in its way, it has a linear address here */
		rip -= machine->segments[SEG_CS].base;
	if (fake.truth.rip != rip) {
		complain(machine, trial, start, "rip", fake.truth.rip, rip);
		return 1;
	}
	if ((fake.truth.rflags ^ get(machine->uc, UC_X86_REG_EFLAGS)) & flags) {
		complain(machine, trial, start, "flags", fake.truth.rflags & flags,
			get(machine->uc, UC_X86_REG_EFLAGS) & flags);
		return 1;
	}
	for (i = 0; i < (machine->mode_bits == 64 ? 16 : 8); i++) {
		assert_int_equal(uc_reg_read(machine->uc, UC_X86_REG_XMM0 + i, vector), UC_ERR_OK);
		if (memcmp(vector, fake_vectors[i], 16)) {
			complain(machine, trial, start, "xmm", i, 0);
			return 1;
		}
	}
	if (memcmp(fake.ram + 0x20000, machine->ram + 0x20000, 0x40000)) {
		for (i = 0x20000; fake.ram[i] == machine->ram[i]; i++)
			;
		complain(machine, trial, start, "memory", i, fake.ram[i]);
		return 1;
	}
	if (!check_accesses(trial)) {
		complain(machine, trial, start, "accesses", fake.device_count, 0);
		return 1;
	}
	return 0;
}

static void test_mode(unsigned int mode_bits)
{
	struct machine machine;
	unsigned int done = 0, failures = 0, exceptions = 0, i;

	seed = 0x9e3779b97f4a7c15 + mode_bits;
	if (getenv("BALLAST_SEED"))
		seed = strtoull(getenv("BALLAST_SEED"), NULL, 0);
	machine_start(&machine, mode_bits);
	while (done < COUNT_PER_MODE && failures < 10) {
		struct trial trial;
		uint64_t start = seed;
		enum exit_action action;
		bool raised;

		for (i = 0; i < sizeof(fake_vectors); i += 8)
			*(uint64_t *)((uint8_t *)fake_vectors + i) = next_random();
		if (!make_trial(&machine, &trial))
			continue;
		if (trial.form->kind & BRANCH)
			place_branch_target(&machine, &trial);
		raised = run_unicorn(&machine, &trial);
		action = run_ballast(&machine, &trial);
		i = compare(&machine, &trial, start, action, raised);
		if (i)
			memcpy(machine.ram, fake.ram, FAKE_RAM_BYTES);
		failures += i;
		exceptions += raised;
		done++;
		machine.code += 16;
		if (machine.code >= CODE_START + CODE_BYTES - 64)
			machine.code = CODE_START;
	}
	machine_stop(&machine);
	print_message("%u instructions of %u bits agree, %u of them with an exception\n",
		done - failures, mode_bits, exceptions);
	assert_int_equal(failures, 0);
	assert_true(exceptions < done / 10);
}

static void test_16(void **state)
{
	(void)state;
	test_mode(16);
}

static void test_32(void **state)
{
	(void)state;
	test_mode(32);
}

static void test_64(void **state)
{
	(void)state;
	test_mode(64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_64),
		cmocka_unit_test(test_32),
		cmocka_unit_test(test_16),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
