/* SPDX-License-Identifier: BSD-2-Clause */
/* The PC as a whole; see devices/platform.h. */
#include "devices/platform.h"

#include "devices/ioapic.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/uart.h"
#include "host/memory.h"

static void platform_reset(struct device *device)
{
	(void)device;
}

static void platform_destroy(struct device *device)
{
	heap_free(container_of(device, struct platform, device));
}

int platform_create(struct vm *vm, const struct platform_options *options, struct platform **out)
{
	struct platform *platform = heap_alloc(sizeof(*platform), FRAME_VM);
	int error;

	(void)options;
	if (!platform)
		return -ENOMEM;
	platform->device = (struct device){
		.name = "platform", .reset = platform_reset, .destroy = platform_destroy };
	vm_add_device(vm, &platform->device);
	*out = platform;
	/* The interrupt controllers first: the others' reset may lower their lines. */
	error = pic_create(vm);
	if (!error)
		error = ioapic_create(vm);
	if (!error)
		error = pit_create(vm);
	if (!error)
		error = uart_create(vm, PORT_COM1, IRQ_COM1, &platform->com1);
	return error;
}
