/* SPDX-License-Identifier: BSD-2-Clause */
/* Port I/O exits. */
#include "vcpu/ports.h"

#include "vcpu/emulate.h"
#include "vcpu/exits.h"

uint32_t port_read(struct vcpu *vcpu, uint16_t port, unsigned int size)
{
	struct vm *vm = vcpu->vm;
	uint32_t value;

	spin_lock(&vm->lock);
	value = io_bus_read(&vm->ports, port, size);
	spin_unlock(&vm->lock);
	return value;
}

void port_write(struct vcpu *vcpu, uint16_t port, unsigned int size, uint32_t value)
{
	struct vm *vm = vcpu->vm;

	spin_lock(&vm->lock);
	io_bus_write(&vm->ports, port, size, value);
	spin_unlock(&vm->lock);
}

enum exit_action exit_port(struct vcpu *vcpu)
{
	const struct exit_port *io = &vcpu->exit.u.port;
	uint64_t *rax = &vcpu->regs.gpr[GPR_RAX];

	if (!io->in) {
		port_write(vcpu, io->port, io->size, *rax);
		return ACTION_ADVANCE;
	}
	/* A 32-bit result clears the upper half, as any 32-bit register write does. */
	if (io->size == 4)
		*rax = port_read(vcpu, io->port, 4);
	else
		*rax = (*rax & ~byte_mask(io->size)) | port_read(vcpu, io->port, io->size);
	return ACTION_ADVANCE;
}

enum exit_action exit_port_string(struct vcpu *vcpu)
{
	return emulate_instruction(vcpu, NULL, 0);
}
