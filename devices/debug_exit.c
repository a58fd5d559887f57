/* SPDX-License-Identifier: BSD-2-Clause */
/* The debug-exit port; see devices/debug_exit.h. */
#include "devices/debug_exit.h"

#include "devices/platform.h"
#include "host/memory.h"

struct debug_exit {
	struct device device;
	struct io_region port;
};

static uint64_t debug_exit_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	(void)region, (void)offset, (void)size;
	return 0; /* not all ones: a guest sees that the port is there */
}

static void debug_exit_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct debug_exit *debug_exit = container_of(region, struct debug_exit, port);

	(void)size;
	if (offset == 0)
		vm_stop(debug_exit->device.vm, VM_STOP_EXIT, value, NULL);
}

static void debug_exit_reset(struct device *device)
{
	(void)device;
}

static void debug_exit_destroy(struct device *device)
{
	heap_free(container_of(device, struct debug_exit, device));
}

int debug_exit_create(struct vm *vm)
{
	struct debug_exit *debug_exit = heap_alloc(sizeof(*debug_exit), FRAME_VM);

	if (!debug_exit)
		return -ENOMEM;
	debug_exit->device = (struct device){
		.name = "debug-exit", .reset = debug_exit_reset, .destroy = debug_exit_destroy };
	debug_exit->port = (struct io_region){ .start = PORT_DEBUG_EXIT, .length = 4, .max_size = 4,
		.read = debug_exit_read, .write = debug_exit_write };
	vm_add_device(vm, &debug_exit->device);
	return io_bus_add(&vm->ports, &debug_exit->port);
}
