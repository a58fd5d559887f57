/* SPDX-License-Identifier: BSD-2-Clause */
/* Emulated multiplication and division with an operand in memory. */
#include "vcpu/emulate_ops.h"

struct wide {
	uint64_t low, high;
};

/* The result in AX, or in rDX:rAX. */
static void set_wide(struct emulation *e, unsigned int size, struct wide value)
{
	if (size == 1) {
		emulate_set_gpr(e, GPR_RAX, 2, (value.low & 0xff) | value.high << 8);
		return;
	}
	emulate_set_gpr(e, GPR_RAX, size, value.low);
	emulate_set_gpr(e, GPR_RDX, size, value.high);
}

/* Signed operands come sign-extended to 64 bits. */
static struct wide multiply(uint64_t a, uint64_t b, bool is_signed)
{
	struct wide product;

	if (is_signed)
		__asm__("imulq %3" : "=a"(product.low), "=d"(product.high)
			: "a"(a), "rm"(b) : "cc");
	else
		__asm__("mulq %3" : "=a"(product.low), "=d"(product.high)
			: "a"(a), "rm"(b) : "cc");
	return product;
}

/* Does the product fit `size` bytes? */
static bool fits(struct wide product, unsigned int size, bool is_signed)
{
	uint64_t extended;

	if (!is_signed)
		return product.high == 0 && (product.low & ~byte_mask(size)) == 0;
	extended = emulate_sign_extend(product.low, size);
	return extended == product.low && product.high == (uint64_t)((int64_t)extended >> 63);
}

/* CF and OF say whether the upper half matters; the other flags are undefined, and left. */
static void set_multiply_flags(struct emulation *e, bool fit)
{
	emulate_set_flags(e, RFLAGS_CF | RFLAGS_OF, fit ? 0 : RFLAGS_CF | RFLAGS_OF);
}

static int multiply_accumulator(struct emulation *e, uint64_t b, bool is_signed)
{
	unsigned int size = e->insn->operand_size, bits = size * 8;
	uint64_t a = emulate_gpr(e, GPR_RAX, size);
	struct wide product;
	bool fit;

	if (is_signed) {
		a = emulate_sign_extend(a, size);
		b = emulate_sign_extend(b, size);
	}
	product = multiply(a, b, is_signed);
	fit = fits(product, size, is_signed);
	if (size < 8)
		product.high = product.low >> bits;
	set_wide(e, size, product);
	set_multiply_flags(e, fit);
	return 0;
}

/* The dividend from AX, or from rDX:rAX, as 128 bits. */
static struct wide dividend(struct emulation *e, unsigned int size, bool is_signed)
{
	struct wide value;
	unsigned int width = MAX(size * 2, 2);

	if (size == 8)
		return (struct wide){emulate_gpr(e, GPR_RAX, 8), emulate_gpr(e, GPR_RDX, 8)};
	if (size == 1)
		value.low = e->vcpu->regs.gpr[GPR_RAX] & 0xffff;
	else
		value.low = emulate_gpr(e, GPR_RAX, size) |
			emulate_gpr(e, GPR_RDX, size) << (size * 8);
	if (is_signed)
		value.low = emulate_sign_extend(value.low, width);
	value.high = is_signed ? (uint64_t)((int64_t)value.low >> 63) : 0;
	return value;
}

static struct wide negate(struct wide value)
{
	return (struct wide){-value.low, ~value.high + (value.low == 0)};
}

/* Unsigned. False when the quotient exceeds 64 bits. */
static bool divide_wide(struct wide value, uint64_t divisor, uint64_t *quotient,
	uint64_t *remainder)
{
	if (value.high >= divisor)
		return false;
	__asm__("divq %4" : "=a"(*quotient), "=d"(*remainder)
		: "a"(value.low), "d"(value.high), "rm"(divisor) : "cc");
	return true;
}

/* Signed division by way of magnitudes; false for #DE. */
static bool divide_signed(struct wide value, uint64_t divisor, unsigned int size,
	uint64_t *quotient, uint64_t *remainder)
{
	bool negative = (int64_t)value.high < 0, opposite;
	uint64_t limit = emulate_sign_bit(size);

	divisor = emulate_sign_extend(divisor, size);
	opposite = negative != ((int64_t)divisor < 0);
	if (negative)
		value = negate(value);
	if ((int64_t)divisor < 0)
		divisor = -divisor;
	if (!divide_wide(value, divisor, quotient, remainder))
		return false;
	if (*quotient > (opposite ? limit : limit - 1))
		return false;
	if (opposite)
		*quotient = -*quotient;
	if (negative)
		*remainder = -*remainder;
	return true;
}

static int divide(struct emulation *e, uint64_t divisor, bool is_signed)
{
	unsigned int size = e->insn->operand_size;
	struct wide value = dividend(e, size, is_signed);
	uint64_t quotient, remainder;
	bool fit;

	if (is_signed)
		fit = divide_signed(value, divisor, size, &quotient, &remainder);
	else
		fit = divide_wide(value, divisor, &quotient, &remainder) &&
			quotient <= byte_mask(size);
	if (!fit) {
		vcpu_inject_exception(e->vcpu, VECTOR_DE);
		return -EFAULT;
	}
	set_wide(e, size, (struct wide){quotient, remainder & byte_mask(size)});
	return 0;
}

/* F6, F7 /4-7: MUL, IMUL, DIV, IDIV. */
int emulate_multiply_divide(struct emulation *e)
{
	bool is_signed = e->insn->reg & 1;
	struct operand source;
	uint64_t value;
	int err = emulate_rm(e, e->insn->operand_size, 0, &source);

	if (!err)
		err = emulate_read(e, &source, &value);
	if (err)
		return err;
	if (e->insn->reg & 2)
		return divide(e, value, is_signed);
	return multiply_accumulator(e, value, is_signed);
}

/* 0F AF, and 69 and 6B with an immediate. */
int emulate_imul(struct emulation *e)
{
	unsigned int size = e->insn->operand_size;
	uint64_t a, b;
	struct wide product;
	struct operand source;
	int err = emulate_rm(e, size, 0, &source);

	if (!err)
		err = emulate_read(e, &source, &a);
	if (err)
		return err;
	b = e->insn->immediate_size ? emulate_immediate(e) : emulate_gpr(e, e->insn->reg, size);
	product = multiply(emulate_sign_extend(a, size), emulate_sign_extend(b, size), true);
	emulate_set_gpr(e, e->insn->reg, size, product.low);
	set_multiply_flags(e, fits(product, size, true));
	return 0;
}
