/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction decoder's path through the bytes: prefixes, opcode, ModRM, SIB, immediate. */
#include "vcpu/insn_table.h"

/* The bytes not yet consumed. */
struct cursor {
	const uint8_t *next, *end;
};

/* 16-bit addressing: base and index by ModRM.rm; -1 is none. */
static const int8_t base16[8] = {
	GPR_RBX, GPR_RBX, GPR_RBP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_RBP, GPR_RBX};
static const int8_t index16[8] = {GPR_RSI, GPR_RDI, GPR_RSI, GPR_RDI, -1, -1, -1, -1};

static inline int take_value(struct cursor *cursor, unsigned int bytes, uint64_t *value)
{
	const uint8_t *p = cursor->next;
	unsigned int i;

	if ((size_t)(cursor->end - p) < bytes)
		return -ENODATA;
	*value = 0;
	for (i = 0; i < bytes; i++)
		*value |= (uint64_t)p[i] << (i * 8);
	cursor->next += bytes;
	return 0;
}

static inline int take_displacement(struct insn *insn, struct cursor *cursor, unsigned int bytes)
{
	const uint8_t *p = cursor->next;

	if ((size_t)(cursor->end - p) < bytes)
		return -ENODATA;
	if (bytes == 1)
		insn->displacement = (int8_t)p[0];
	else if (bytes == 2)
		insn->displacement = (int16_t)(p[0] | p[1] << 8);
	else
		insn->displacement =
			(int32_t)(p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24);
	cursor->next += bytes;
	return 0;
}

static void default_segment(struct insn *insn)
{
	if (insn->segment_override)
		return;
	insn->segment = insn->base == GPR_RSP || insn->base == GPR_RBP ? SEG_SS : SEG_DS;
}

static int take_address16(struct insn *insn, struct cursor *cursor)
{
	insn->base = base16[insn->rm];
	insn->index = index16[insn->rm];
	if (insn->mod == 0 && insn->rm == 6)
		insn->base = -1;
	default_segment(insn);
	if (insn->mod == 2 || insn->base < 0)
		return take_displacement(insn, cursor, 2);
	return insn->mod == 1 ? take_displacement(insn, cursor, 1) : 0;
}

/* The SIB byte; true when a displacement of 32 bits takes the place of the base. */
static bool take_sib(struct insn *insn, uint8_t sib)
{
	uint8_t index = (sib >> 3 & 7) | (insn->rex & 2) << 2;

	insn->scale = 1 << (sib >> 6);
	if (index != GPR_RSP)
		insn->index = index;
	if ((sib & 7) == 5 && insn->mod == 0) {
		insn->base = -1;
		return true;
	}
	insn->base = (sib & 7) | (insn->rex & 1) << 3;
	return false;
}

static int take_address(struct insn *insn, struct cursor *cursor, unsigned int mode_bits)
{
	uint8_t rm = insn->modrm & 7;
	bool wide = insn->mod == 2;

	insn->has_memory = true;
	if (insn->address_size == 2)
		return take_address16(insn, cursor);
	insn->base = insn->rm;
	if (rm == 4) {
		if (cursor->next == cursor->end)
			return -ENODATA;
		wide |= take_sib(insn, *cursor->next++);
	} else if (rm == 5 && insn->mod == 0) {
		insn->base = -1;
		insn->rip_relative = mode_bits == 64;
		wide = true;
	}
	default_segment(insn);
	if (wide)
		return take_displacement(insn, cursor, 4);
	return insn->mod == 1 ? take_displacement(insn, cursor, 1) : 0;
}

static inline int take_modrm(struct insn *insn, struct cursor *cursor)
{
	uint8_t modrm;

	if (cursor->next == cursor->end)
		return -ENODATA;
	modrm = *cursor->next++;
	insn->has_modrm = true;
	insn->modrm = modrm;
	insn->mod = modrm >> 6;
	insn->reg = (modrm >> 3 & 7) | (insn->rex & 4) << 1;
	insn->rm = (modrm & 7) | (insn->rex & 1) << 3;
	return 0;
}

static int take_far_pointer(struct insn *insn, struct cursor *cursor)
{
	insn->immediate_size = (insn->operand_size == 2 ? 2 : 4) + 2;
	return take_value(cursor, insn->immediate_size, &insn->immediate);
}

static int take_moffs(struct insn *insn, struct cursor *cursor)
{
	uint64_t offset = 0;
	int err = take_value(cursor, insn->address_size, &offset);

	insn->has_memory = true;
	insn->displacement = (int64_t)offset;
	default_segment(insn);
	return err;
}

static int take_immediate(struct insn *insn, struct cursor *cursor, enum insn_immediate kind,
	bool force_64, unsigned int mode_bits)
{
	switch (kind) {
	case IMM_NONE:
		return 0;
	case IMM_8:
		insn->immediate_size = 1;
		break;
	case IMM_Z:
		insn->immediate_size = force_64 && mode_bits == 64 ? 4 : MIN(insn->operand_size, 4);
		break;
	case IMM_16:
	case IMM_8_8:
		insn->immediate_size = 2;
		break;
	case IMM_32:
		insn->immediate_size = 4;
		break;
	case IMM_FULL:
		insn->immediate_size = insn->operand_size;
		break;
	case IMM_ENTER:
		insn->immediate_size = 3;
		break;
	case IMM_MOFFS:
		return take_moffs(insn, cursor);
	case IMM_FAR:
		return take_far_pointer(insn, cursor);
	default:
		return -EINVAL;
	}
	return take_value(cursor, insn->immediate_size, &insn->immediate);
}

static void set_operand_size(struct insn *insn, uint16_t attributes, unsigned int mode_bits)
{
	if (attributes & INSN_BYTE)
		insn->operand_size = 1;
	else if (mode_bits == 64 && (insn->rex & 8 || attributes & INSN_FORCE_64))
		insn->operand_size = 8;
	else if (mode_bits == 64 && attributes & INSN_DEFAULT_64)
		insn->operand_size = insn->opsize_prefix ? 2 : 8;
	else
		insn->operand_size = insn->opsize_prefix == (mode_bits != 16) ? 2 : 4;
}

/* ModRM, its address, the rules of the encoding, and the immediate: all that follows an opcode. */
static int take_operands(struct insn *insn, struct cursor *cursor, uint16_t attributes,
	unsigned int mode_bits)
{
	enum insn_immediate immediate = attributes & IMM_CLASS;
	int err;

	set_operand_size(insn, attributes, mode_bits);
	if (attributes & INSN_MODRM) {
		err = take_modrm(insn, cursor);
		if (err)
			return err;
	}
	if (attributes & INSN_CHECK && !insn_check(insn, &immediate, mode_bits))
		return -EINVAL;
	if (insn->has_modrm && insn->mod != 3) {
		if (attributes & INSN_REGISTER)
			return -EINVAL;
		err = take_address(insn, cursor, mode_bits);
		if (err)
			return err;
	} else if (attributes & INSN_MEMORY) {
		return -EINVAL;
	}
	if (insn->lock &&
		!(attributes & INSN_LOCKABLE && insn->has_memory && insn_lockable(insn)))
		return -EINVAL;
	if (immediate == IMM_NONE)
		return 0;
	return take_immediate(insn, cursor, immediate, attributes & INSN_FORCE_64, mode_bits);
}

static int decode_0f38_0f3a(struct insn *insn, struct cursor *cursor, unsigned int mode_bits)
{
	uint8_t row;
	uint16_t attributes = INSN_MODRM | (insn->map == 3 ? IMM_8 : IMM_NONE);

	if (cursor->next == cursor->end)
		return -ENODATA;
	insn->opcode = *cursor->next++;
	row = (insn->map == 2 ? insn_prefixes_0f38 : insn_prefixes_0f3a)[insn->opcode];
	if (!(row & insn_prefix_bit(insn)))
		return -EINVAL;
	if (row & MAP_MEMORY)
		attributes |= INSN_MEMORY;
	if (row & MAP_REGISTER)
		attributes |= INSN_REGISTER;
	if (row & MAP_CHECK)
		attributes |= INSN_CHECK;
	return take_operands(insn, cursor, attributes, mode_bits);
}

static int decode_0f(struct insn *insn, struct cursor *cursor, unsigned int mode_bits)
{
	uint16_t attributes;

	if (cursor->next == cursor->end)
		return -ENODATA;
	insn->opcode = *cursor->next++;
	insn->map = 1;
	attributes = insn_table_0f[insn->opcode];
	if (attributes & INSN_PREFIX) {
		insn->map = insn->opcode == 0x38 ? 2 : 3;
		return decode_0f38_0f3a(insn, cursor, mode_bits);
	}
	if (attributes & INSN_UNDEFINED)
		return -EINVAL;
	if (attributes & INSN_SSE && !(insn_prefixes_0f[insn->opcode] & insn_prefix_bit(insn)))
		return -EINVAL;
	return take_operands(insn, cursor, attributes, mode_bits);
}

/* What follows a VEX, EVEX or XOP opcode. */
static uint16_t vector_attributes(const struct insn *insn)
{
	if (insn->encoding == INSN_XOP) {
		if (insn->map == 8)
			return INSN_MODRM | IMM_8;
		return INSN_MODRM | (insn->map == 10 ? IMM_32 : IMM_NONE);
	}
	if (insn->map == 3)
		return INSN_MODRM | IMM_8;
	if (insn->map != 1)
		return INSN_MODRM;
	switch (insn->opcode) {
	case 0x77:
		return insn->encoding == INSN_VEX ? 0 : INSN_MODRM;
	case 0x70 ... 0x73:
	case 0xc2:
	case 0xc4 ... 0xc6:
		return INSN_MODRM | IMM_8;
	default:
		return INSN_MODRM;
	}
}

/* The prefix bytes of a vector form, whose first one has been taken. */
static int take_vector_prefix(struct insn *insn, struct cursor *cursor, uint8_t first,
	unsigned int mode_bits)
{
	static const uint8_t bytes_by_encoding[] = {
		[INSN_VEX] = 2, [INSN_EVEX] = 3, [INSN_XOP] = 2};
	unsigned int bytes = first == 0xc5 ? 1 : bytes_by_encoding[insn->encoding];
	const uint8_t *p = cursor->next;
	uint8_t last;

	/* A prefix that these forms already contain is not allowed before them. */
	if (insn->rex || insn->lock || insn->rep || insn->repne || insn->opsize_prefix)
		return -EINVAL;
	if ((size_t)(cursor->end - p) < bytes)
		return -ENODATA;
	last = p[first == 0xc5 ? 0 : 1];
	insn->rex = 0x40 | (~p[0] >> 5 & 4);
	if (first == 0xc5) {
		insn->map = 1;
	} else {
		insn->map = p[0] & (first == 0x62 ? 0x07 : 0x1f);
		insn->rex |= (~p[0] >> 5 & 3) | (last >> 4 & 8);
		if (first == 0x62 && (p[0] & 0x08 || !(last & 0x04)))
			return -EINVAL;
	}
	if (mode_bits != 64)
		insn->rex = 0x40 | (insn->rex & 8);
	insn->opsize_prefix = (last & 3) == 1;
	insn->rep = (last & 3) == 2;
	insn->repne = (last & 3) == 3;
	insn->vector_source = ~last >> 3 & 15;
	insn->vector_length = first == 0x62 ? p[2] >> 5 & 3 : last >> 2 & 1;
	cursor->next += bytes;
	return 0;
}

static int decode_vector(struct insn *insn, struct cursor *cursor, uint8_t first,
	unsigned int mode_bits)
{
	const uint64_t *opcodes;
	int err;

	insn->encoding = first == 0x62 ? INSN_EVEX : first == 0x8f ? INSN_XOP : INSN_VEX;
	err = take_vector_prefix(insn, cursor, first, mode_bits);
	if (err)
		return err;
	if (cursor->next == cursor->end)
		return -ENODATA;
	insn->opcode = *cursor->next++;
	opcodes = insn_vector_opcodes(insn->encoding, insn->map);
	if (!opcodes || !(opcodes[insn->opcode / 64] & BIT(insn->opcode % 64)))
		return -EINVAL;
	return take_operands(insn, cursor, vector_attributes(insn), mode_bits);
}

/* Does `opcode` begin a vector form, given the byte after it? */
static bool begins_vector_form(uint8_t opcode, const struct cursor *cursor, unsigned int mode_bits)
{
	if (cursor->next == cursor->end)
		return false;
	if (opcode == 0x8f)
		return (*cursor->next & 0x1f) >= 8;
	return mode_bits == 64 || *cursor->next >= 0xc0;
}

static int decode_opcode(struct insn *insn, struct cursor *cursor, uint8_t opcode,
	unsigned int mode_bits)
{
	uint16_t attributes = insn_table_one_byte[opcode];

	if (opcode == 0x0f)
		return decode_0f(insn, cursor, mode_bits);
	if (unlikely((opcode & 0xfe) == 0xc4 || opcode == 0x62 || opcode == 0x8f) &&
		begins_vector_form(opcode, cursor, mode_bits))
		return decode_vector(insn, cursor, opcode, mode_bits);
	insn->opcode = opcode;
	if (attributes & INSN_PREFIX) /* INC and DEC: REX was taken with the prefixes */
		attributes = 0;
	if (attributes & INSN_NO_64 && mode_bits == 64) {
		/* Tell 'no instruction' from 'too few bytes' where the vector forms begin. */
		return cursor->next == cursor->end && attributes & INSN_MEMORY ? -ENODATA : -EINVAL;
	}
	return take_operands(insn, cursor, attributes, mode_bits);
}

static inline void set_segment(struct insn *insn, enum segment_name segment, unsigned int mode_bits)
{
	/* 64-bit mode knows FS and GS only. */
	if (mode_bits == 64 && segment < SEG_FS)
		return;
	insn->segment = segment;
	insn->segment_override = true;
}

/* One prefix byte, which changes *insn; false when it is none in this mode. */
static bool apply_prefix(struct insn *insn, uint8_t byte, unsigned int mode_bits)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		set_segment(insn, SEG_ES + (byte - 0x26) / 8, mode_bits);
		break;
	case 0x64:
	case 0x65:
		set_segment(insn, SEG_FS + (byte - 0x64), mode_bits);
		break;
	case 0x66:
		insn->opsize_prefix = true;
		break;
	case 0x67:
		insn->address_size = mode_bits == 32 ? 2 : 4;
		break;
	case 0xf0:
		insn->lock = true;
		break;
	case 0xf2:
	case 0xf3:
		insn->repne = byte == 0xf2;
		insn->rep = byte == 0xf3;
		break;
	default: /* 40-4F */
		if (mode_bits != 64)
			return false;
		insn->rex = byte;
		return true;
	}
	insn->rex = 0; /* only directly before the opcode does it count */
	return true;
}

int insn_decode(struct insn *insn, const uint8_t *bytes, size_t count, unsigned int mode_bits)
{
	struct cursor cursor = {bytes, bytes + MIN(count, INSN_MAX_BYTES)};
	uint8_t opcode;
	int err;

	*insn = (struct insn){
		.address_size = mode_bits / 8, .base = -1, .index = -1, .scale = 1,
		.segment = SEG_DS};
	for (;;) {
		if (cursor.next == cursor.end)
			return count >= INSN_MAX_BYTES ? -EINVAL : -ENODATA;
		opcode = *cursor.next++;
		if (likely(!(insn_table_one_byte[opcode] & INSN_PREFIX)) || opcode == 0x0f)
			break;
		if (!apply_prefix(insn, opcode, mode_bits))
			break;
	}
	err = decode_opcode(insn, &cursor, opcode, mode_bits);
	if (err)
		return err == -ENODATA && count >= INSN_MAX_BYTES ? -EINVAL : err;
	insn->length = cursor.next - bytes;
	return 0;
}
