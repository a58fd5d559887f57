/* SPDX-License-Identifier: BSD-2-Clause */
/* Reset registers; see devices/reset.h. */
#include "devices/reset.h"

#include "devices/platform.h"
#include "host/memory.h"

#define CONTROL_CPU_RESET BIT(2)
#define CONTROL_WRITABLE 0x0e

#define PORT92_FAST_INIT BIT(0)
#define PORT92_A20 BIT(1)
#define PORT92_WRITABLE 0x02

uint8_t reset_read_control(const struct reset *reset)
{
	return reset->control;
}

void reset_write_control(struct reset *reset, uint8_t value)
{
	bool rises = value & ~reset->control & CONTROL_CPU_RESET;

	reset->control = value & CONTROL_WRITABLE;
	/* Soft or hard, the whole VM starts anew: there is no state for a CPU reset to keep. */
	if (rises)
		vm_stop(reset->device.vm, VM_STOP_RESET, 0, NULL);
}

static uint64_t port92_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	(void)offset, (void)size;
	return container_of(region, struct reset, port92)->port92_value;
}

static void port92_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct reset *reset = container_of(region, struct reset, port92);

	(void)offset, (void)size;
	reset->port92_value = value & PORT92_WRITABLE;
	if (value & PORT92_FAST_INIT)
		vm_stop(reset->device.vm, VM_STOP_RESET, 0, NULL);
}

static void reset_reset(struct device *device)
{
	struct reset *reset = container_of(device, struct reset, device);

	reset->control = 0;
	reset->port92_value = PORT92_A20;
}

static void reset_destroy(struct device *device)
{
	heap_free(container_of(device, struct reset, device));
}

int reset_create(struct vm *vm, struct reset **out)
{
	struct reset *reset = heap_alloc(sizeof(*reset), FRAME_VM);

	if (!reset)
		return -ENOMEM;
	reset->device =
		(struct device){ .name = "reset", .reset = reset_reset, .destroy = reset_destroy };
	reset->port92 = (struct io_region){ .start = PORT_SYSTEM_CONTROL_A, .length = 1,
		.max_size = 1, .read = port92_read, .write = port92_write };
	vm_add_device(vm, &reset->device);
	reset_reset(&reset->device);
	*out = reset;
	return io_bus_add(&vm->ports, &reset->port92);
}
