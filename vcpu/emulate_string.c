/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Emulated string instructions and port I/O. A repeated one commits after each element, so that a
 * fault, or the end of the budget, leaves the registers where the guest can go on.
 */
#include "vcpu/emulate_ops.h"
#include "vcpu/ports.h"

/* An index or count register changes as wide as addresses are. */
static void add_to_gpr(struct emulation *e, unsigned int number, uint64_t amount)
{
	unsigned int size = e->insn->address_size;

	emulate_set_gpr(e, number, size, e->vcpu->regs.gpr[number] + amount);
}

/* Ports have no 64 bits, whatever the prefixes say. */
static unsigned int element_size(const struct emulation *e)
{
	bool port = (e->insn->opcode & 0xfc) == 0x6c;

	return port ? MIN(e->insn->operand_size, 4) : e->insn->operand_size;
}

static uint64_t step(struct emulation *e)
{
	uint64_t size = element_size(e);

	return emulate_flags(e) & RFLAGS_DF ? -size : size;
}

static int source(struct emulation *e, struct operand *operand)
{
	uint64_t offset = e->vcpu->regs.gpr[GPR_RSI] & byte_mask(e->insn->address_size);

	return emulate_memory(e, e->insn->segment, offset, element_size(e), 0, operand);
}

/* Always in ES. */
static int target(struct emulation *e, uint64_t access, struct operand *operand)
{
	uint64_t offset = e->vcpu->regs.gpr[GPR_RDI] & byte_mask(e->insn->address_size);

	return emulate_memory(e, SEG_ES, offset, element_size(e), access, operand);
}

static int move_one(struct emulation *e)
{
	struct operand from, to;
	uint64_t value;
	int err = source(e, &from);

	if (!err)
		err = target(e, ACCESS_WRITE, &to);
	if (!err)
		err = emulate_read(e, &from, &value);
	if (!err)
		err = emulate_write(e, &to, value);
	if (err)
		return err;
	add_to_gpr(e, GPR_RSI, step(e));
	add_to_gpr(e, GPR_RDI, step(e));
	return 0;
}

static int store_one(struct emulation *e)
{
	struct operand to;
	int err = target(e, ACCESS_WRITE, &to);

	if (!err)
		err = emulate_write(e, &to, emulate_gpr(e, GPR_RAX, e->insn->operand_size));
	if (!err)
		add_to_gpr(e, GPR_RDI, step(e));
	return err;
}

static int load_one(struct emulation *e)
{
	struct operand from;
	uint64_t value;
	int err = source(e, &from);

	if (!err)
		err = emulate_read(e, &from, &value);
	if (err)
		return err;
	emulate_set_gpr(e, GPR_RAX, e->insn->operand_size, value);
	add_to_gpr(e, GPR_RSI, step(e));
	return 0;
}

static void compare(struct emulation *e, uint64_t a, uint64_t b)
{
	emulate_set_flags(e, RFLAGS_ARITHMETIC,
		emulate_subtract_flags(a, b, a - b, e->insn->operand_size));
}

static int compare_one(struct emulation *e)
{
	struct operand first, second;
	uint64_t a, b;
	int err = source(e, &first);

	if (!err)
		err = target(e, 0, &second);
	if (!err)
		err = emulate_read(e, &first, &a);
	if (!err)
		err = emulate_read(e, &second, &b);
	if (err)
		return err;
	compare(e, a, b);
	add_to_gpr(e, GPR_RSI, step(e));
	add_to_gpr(e, GPR_RDI, step(e));
	return 0;
}

static int scan_one(struct emulation *e)
{
	struct operand second;
	uint64_t b;
	int err = target(e, 0, &second);

	if (!err)
		err = emulate_read(e, &second, &b);
	if (err)
		return err;
	compare(e, emulate_gpr(e, GPR_RAX, e->insn->operand_size), b);
	add_to_gpr(e, GPR_RDI, step(e));
	return 0;
}

/* Translated before the port is touched: reading it may have effects. */
static int input_one(struct emulation *e)
{
	struct operand to;
	int err = target(e, ACCESS_WRITE, &to);

	if (!err)
		err = emulate_write(e, &to, port_read(e->vcpu, e->vcpu->regs.gpr[GPR_RDX],
			element_size(e)));
	if (!err)
		add_to_gpr(e, GPR_RDI, step(e));
	return err;
}

static int output_one(struct emulation *e)
{
	struct operand from;
	uint64_t value;
	int err = source(e, &from);

	if (!err)
		err = emulate_read(e, &from, &value);
	if (err)
		return err;
	port_write(e->vcpu, e->vcpu->regs.gpr[GPR_RDX], element_size(e), value);
	add_to_gpr(e, GPR_RSI, step(e));
	return 0;
}

/* Has a REPE or REPNE comparison found what it looks for? */
static bool comparison_ends(struct emulation *e, bool compares)
{
	bool equal;

	if (!compares)
		return false;
	equal = emulate_flags(e) & RFLAGS_ZF;
	return e->insn->rep ? !equal : equal;
}

static int repeat(struct emulation *e, int (*one)(struct emulation *e), bool compares)
{
	uint64_t mask = byte_mask(e->insn->address_size);
	unsigned int done;
	int err;

	if (!e->insn->rep && !e->insn->repne)
		return one(e);
	e->several = true; /* the reported address is good for one element only */
	for (done = 0; e->vcpu->regs.gpr[GPR_RCX] & mask; done++) {
		if (done == EMULATE_REP_BUDGET)
			return EMULATE_RESUME;
		err = one(e);
		if (err)
			return err;
		add_to_gpr(e, GPR_RCX, -1ULL);
		if (comparison_ends(e, compares))
			break;
	}
	return 0;
}

/* A4-A7, AA-AF */
int emulate_string(struct emulation *e)
{
	switch (e->insn->opcode & 0xfe) {
	case 0xa4:
		e->several = true;
		return repeat(e, move_one, false);
	case 0xa6:
		e->several = true;
		return repeat(e, compare_one, true);
	case 0xaa:
		return repeat(e, store_one, false);
	case 0xac:
		return repeat(e, load_one, false);
	default:
		return repeat(e, scan_one, true);
	}
}

/*
 * May the guest's code access this port? The hardware has checked that for the port it reported;
 * anything else, which means that the guest has changed the code since, it shall check again.
 */
static bool port_allowed(struct emulation *e, uint16_t port)
{
	const struct vcpu *vcpu = e->vcpu;
	enum exit_kind kind = vcpu->exit.kind;
	unsigned int iopl;

	if ((kind == EXIT_PORT || kind == EXIT_PORT_STRING) && vcpu->exit.u.port.port == port)
		return true;
	if (!(vcpu->special.cr0 & CR0_PE))
		return true;
	iopl = emulate_flags(e) >> 12 & 3;
	return !(vcpu->special.rflags & RFLAGS_VM) && vcpu->special.cpl <= iopl;
}

static uint16_t port_number(const struct emulation *e)
{
	/* E4-E7 name the port, the others have it in DX. */
	if (e->insn->immediate_size)
		return e->insn->immediate;
	return e->vcpu->regs.gpr[GPR_RDX];
}

/* 6C-6F */
int emulate_port_string(struct emulation *e)
{
	if (!port_allowed(e, port_number(e)))
		return EMULATE_RESUME;
	return repeat(e, e->insn->opcode & 2 ? output_one : input_one, false);
}

/* E4-E7, EC-EF */
int emulate_port(struct emulation *e)
{
	unsigned int size = MIN(e->insn->operand_size, 4);
	uint16_t port = port_number(e);

	if (!port_allowed(e, port))
		return EMULATE_RESUME;
	if (e->insn->opcode & 2)
		port_write(e->vcpu, port, size, emulate_gpr(e, GPR_RAX, size));
	else
		emulate_set_gpr(e, GPR_RAX, size, port_read(e->vcpu, port, size));
	return 0;
}
