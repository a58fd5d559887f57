/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt lines of a VM: a device's line goes to every interrupt controller, and each knows
 * which of its own pins that is. See vcpu/vm.h; all under vm.lock.
 */
#include "vcpu/vm.h"

int vm_add_irqchip(struct vm *vm, struct irqchip *chip)
{
	if (vm->irqchip_count == VM_MAX_IRQCHIPS)
		return -ENOSPC;
	vm->irqchips[vm->irqchip_count++] = chip;
	return 0;
}

void vm_set_irq(struct vm *vm, unsigned int gsi, bool level)
{
	for (size_t i = 0; i < vm->irqchip_count; i++)
		vm->irqchips[i]->set_line(vm->irqchips[i], gsi, level);
}

void vm_pulse_irq(struct vm *vm, unsigned int gsi)
{
	vm_set_irq(vm, gsi, true);
	vm_set_irq(vm, gsi, false);
}

bool vm_tick_waits(struct vm *vm)
{
	for (size_t i = 0; i < vm->irqchip_count; i++) {
		struct irqchip *chip = vm->irqchips[i];

		if (chip->tick_waits && chip->tick_waits(chip))
			return true;
	}
	return false;
}

void vm_tick_taken(struct vm *vm)
{
	if (vm->tick_source)
		vm->tick_source->taken(vm->tick_source);
}

void vm_set_extint(struct vm *vm, bool level)
{
	struct vcpu *vcpu = vm->vcpus[0];

	__atomic_store_n(&vcpu->extint, level, __ATOMIC_RELEASE);
	if (level)
		vcpu_request(vcpu, REQUEST_EVENTS);
}
