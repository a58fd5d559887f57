/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The irregular corners of the opcode maps: groups that use ModRM.reg as part of the opcode,
 * register forms that do not exist, immediates that depend on ModRM.
 */
#include "vcpu/insn_table.h"

/* ModRM.reg without REX: the opcode extension of a group. */
static inline unsigned int extension(const struct insn *insn)
{
	return insn->modrm >> 3 & 7;
}

static inline bool is_register(const struct insn *insn)
{
	return insn->mod == 3;
}

bool insn_lockable(const struct insn *insn)
{
	unsigned int ext = extension(insn);

	if (insn->map == 1) {
		if (insn->opcode == 0xba)
			return ext >= 5;
		return insn->opcode != 0xc7 || ext == 1;
	}
	switch (insn->opcode) {
	case 0x80 ... 0x83:
		return ext != 7;
	case 0xf6:
	case 0xf7:
		return ext == 2 || ext == 3;
	case 0xfe:
	case 0xff:
		return ext <= 1;
	default:
		return true;
	}
}

/* x87: for each of D8-DF and each ModRM.reg, one bit for each rm of the register form. */
static const uint8_t x87_registers[8][8] = {
	{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	{0xff, 0xff, 0x01, 0xff, 0x33, 0x7f, 0xff, 0xff},
	{0xff, 0xff, 0xff, 0xff, 0x00, 0x02, 0x00, 0x00},
	{0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0x00},
	{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00},
	{0xff, 0xff, 0xff, 0x02, 0xff, 0xff, 0xff, 0xff},
	{0xff, 0xff, 0xff, 0xff, 0x01, 0xff, 0xff, 0x00},
};
/* And one bit for each ModRM.reg of the memory form. */
static const uint8_t x87_memory[8] = {0xff, 0xfd, 0xff, 0xaf, 0xff, 0xdf, 0xff, 0xff};

static bool check_x87(const struct insn *insn)
{
	unsigned int row = insn->opcode - 0xd8, ext = extension(insn);

	if (!is_register(insn))
		return x87_memory[row] & BIT(ext);
	return x87_registers[row][ext] & BIT(insn->modrm & 7);
}

/* F6, F7: only TEST has an immediate. */
static bool check_group3(struct insn *insn, enum insn_immediate *immediate)
{
	if (extension(insn) <= 1)
		*immediate = insn->opcode == 0xf6 ? IMM_8 : IMM_Z;
	return true;
}

/* FF: near branches and PUSH are 64 bits wide in 64-bit mode; far branches need memory. */
static bool check_group5(struct insn *insn, unsigned int mode_bits)
{
	switch (extension(insn)) {
	case 2:
	case 4:
		if (mode_bits == 64)
			insn->operand_size = 8;
		return true;
	case 3:
	case 5:
		return !is_register(insn);
	case 6:
		if (mode_bits == 64)
			insn->operand_size = insn->opsize_prefix && !(insn->rex & 8) ? 2 : 8;
		return true;
	default:
		return extension(insn) != 7;
	}
}

/* C6, C7: MOV, XABORT and XBEGIN. */
static bool check_group11(const struct insn *insn)
{
	return extension(insn) == 0 || insn->modrm == 0xf8;
}

static bool check_one_byte(struct insn *insn, enum insn_immediate *immediate,
	unsigned int mode_bits)
{
	switch (insn->opcode) {
	case 0x80 ... 0x83:
		return true;
	case 0x8c:
		return extension(insn) <= 5;
	case 0x8e:
		return extension(insn) <= 5 && extension(insn) != SEG_CS;
	case 0x8f:
		return extension(insn) == 0;
	case 0xc6:
	case 0xc7:
		return check_group11(insn);
	case 0xd8 ... 0xdf:
		return check_x87(insn);
	case 0xf6:
	case 0xf7:
		return check_group3(insn, immediate);
	case 0xfe:
		return extension(insn) <= 1;
	case 0xff:
		return check_group5(insn, mode_bits);
	default:
		return false;
	}
}

/* 0F 01: descriptor tables in memory, and a crowd of instructions without operands. */
static bool check_group7(const struct insn *insn, unsigned int mode_bits)
{
	/* By prefix and ModRM.reg, a bit for each ModRM.rm: the register forms that exist... */
	static const uint8_t forms[4][8] = {
		{0x3f, 0x8f, 0xf3, 0xff, 0xff, 0xc1, 0xff, 0xff},
		{0x00, 0xf0, 0x00, 0xff, 0xff, 0x00, 0xff, 0x33},
		{0x00, 0x00, 0x00, 0xff, 0xff, 0xf5, 0xff, 0xf7},
		{0x00, 0x00, 0x00, 0xff, 0xff, 0x03, 0xff, 0xf3},
	};
	/* ... and those of them that need 64-bit mode: SWAPGS, UIRET and its kin, RMPADJUST... */
	static const uint8_t only_64[4][8] = {
		{0, 0, 0, 0, 0, 0, 0, 0x01},
		{0, 0xe0, 0, 0, 0, 0, 0, 0x01},
		{0, 0, 0, 0, 0, 0xf0, 0, 0xc1},
		{0, 0, 0, 0, 0, 0, 0, 0x41},
	};
	unsigned int ext = extension(insn);
	unsigned int row = insn->repne ? 3 : insn->rep ? 2 : insn->opsize_prefix;
	uint8_t exist = forms[row][ext];

	if (!is_register(insn))
		return ext != 5 || insn->rep; /* RSTORSSP */
	if (mode_bits != 64)
		exist &= ~only_64[row][ext];
	return exist & BIT(insn->modrm & 7);
}

/* 0F AE: state saving, fences, segment bases, cache lines. */
static bool check_group15(const struct insn *insn, unsigned int mode_bits)
{
	unsigned int ext = extension(insn), prefix = insn_prefix_bit(insn);

	if (!is_register(insn)) {
		if (prefix == PREFIX_NONE)
			return true;
		if (prefix == PREFIX_66)
			return ext >= 6;
		return prefix == PREFIX_F3 && (ext == 4 || ext == 6);
	}
	switch (ext) {
	case 0 ... 3:
		return prefix == PREFIX_F3 && mode_bits == 64;
	case 4:
		return prefix == PREFIX_F3;
	case 5:
		return prefix == PREFIX_NONE || prefix == PREFIX_F3;
	case 6:
		return true;
	default:
		return prefix == PREFIX_NONE;
	}
}

/* 0F C7: CMPXCHG8B, state saving, VMX pointers, random numbers. */
static bool check_group9(const struct insn *insn, unsigned int mode_bits)
{
	unsigned int ext = extension(insn), prefix = insn_prefix_bit(insn);

	if (is_register(insn)) {
		if (ext == 6) /* SENDUIPI with F3, else RDRAND */
			return prefix <= PREFIX_66 || (prefix == PREFIX_F3 && mode_bits == 64);
		return ext == 7 && prefix != PREFIX_F2; /* RDPID with F3, else RDSEED */
	}
	switch (ext) {
	case 1:
		return true;
	case 3 ... 5:
	case 7:
		return prefix == PREFIX_NONE;
	default:
		return ext == 6 && prefix != PREFIX_F2;
	}
}

/* 0F 71-73: vector shifts by an immediate. */
static bool check_vector_shift(const struct insn *insn)
{
	unsigned int ext = extension(insn);

	if (insn->opcode == 0x73)
		return ext == 2 || ext == 6 || (insn->opsize_prefix && (ext == 3 || ext == 7));
	return ext == 2 || ext == 4 || ext == 6;
}

/* MOV to and from control and debug registers: ModRM.mod is ignored, the width is the mode's. */
static bool check_move_special(struct insn *insn, unsigned int mode_bits)
{
	bool control = !(insn->opcode & 1);

	insn->mod = 3;
	insn->operand_size = mode_bits == 64 ? 8 : 4;
	if (!control)
		return insn->reg < 8;
	return insn->reg == 0 || (insn->reg >= 2 && insn->reg <= 4) || insn->reg == 8;
}

/* EXTRQ and INSERTQ of SSE4a share 0F 78 and 79 with VMREAD and VMWRITE. */
static bool check_vmread(struct insn *insn, enum insn_immediate *immediate, unsigned int mode_bits)
{
	if (insn_prefix_bit(insn) == PREFIX_NONE) {
		insn->operand_size = mode_bits == 64 ? 8 : 4;
		return true;
	}
	if (insn->opcode == 0x78) {
		*immediate = IMM_8_8;
		if (insn->opsize_prefix && !insn->repne && extension(insn) != 0)
			return false;
	}
	return is_register(insn);
}

static bool check_0f(struct insn *insn, enum insn_immediate *immediate, unsigned int mode_bits)
{
	switch (insn->opcode) {
	case 0x00:
		return extension(insn) <= 5;
	case 0x01:
		return check_group7(insn, mode_bits);
	case 0x0f:
		return false; /* 3DNow!: no processor that Ballast runs on has it */
	case 0x12:
	case 0x16: /* MOVLPD and MOVHPD have no register form */
		return !is_register(insn) || insn_prefix_bit(insn) != PREFIX_66;
	case 0x20 ... 0x23:
		return check_move_special(insn, mode_bits);
	case 0x71 ... 0x73:
		return check_vector_shift(insn);
	case 0x78:
	case 0x79:
		return check_vmread(insn, immediate, mode_bits);
	case 0xae:
		return check_group15(insn, mode_bits);
	case 0xba:
		return extension(insn) >= 4;
	case 0xc7:
		return check_group9(insn, mode_bits);
	case 0xd6: /* MOVDQ2Q and MOVQ2DQ have no memory form */
		return is_register(insn) || insn_prefix_bit(insn) == PREFIX_66;
	default:
		return false;
	}
}

static bool check_0f38(const struct insn *insn)
{
	switch (insn->opcode) {
	case 0xd8: /* the wide forms of Key Locker: four operations */
		return extension(insn) <= 3;
	case 0xdc: /* AES with 66; LOADIWKEY and Key Locker with F3 */
		return true;
	case 0xdd ... 0xdf:
		return insn_prefix_bit(insn) == PREFIX_66 || !is_register(insn);
	case 0xf0:
	case 0xf1: /* MOVBE has no register form, CRC32 has both */
		return insn->repne || !is_register(insn);
	case 0xf6: /* WRSS has no register form, ADCX and ADOX have both */
		return insn_prefix_bit(insn) != PREFIX_NONE || !is_register(insn);
	default:
		return false;
	}
}

bool insn_check(struct insn *insn, enum insn_immediate *immediate, unsigned int mode_bits)
{
	switch (insn->map) {
	case 0:
		return check_one_byte(insn, immediate, mode_bits);
	case 1:
		return check_0f(insn, immediate, mode_bits);
	case 2:
		return check_0f38(insn);
	default: /* HRESET, the only one of its map */
		return insn->modrm == 0xc0;
	}
}
