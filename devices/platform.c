/* SPDX-License-Identifier: BSD-2-Clause */
/* The PC as a whole; see devices/platform.h. */
#include "devices/platform.h"

#include "devices/acpi_pm.h"
#include "devices/debug_exit.h"
#include "devices/i8042.h"
#include "devices/ioapic.h"
#include "devices/pci.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/reset.h"
#include "devices/rtc.h"
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

/* Ports without a device behind them, 0x80 and 0xed among them, need none: see vcpu/bus.h. */
static int create_devices(
	struct vm *vm, const struct platform_options *options, struct platform *platform)
{
	struct acpi_pm *acpi;
	struct reset *reset;
	int error;

	/* The interrupt controllers first: the others' reset may lower their lines. */
	if ((error = pic_create(vm)) || (error = ioapic_create(vm)) || (error = pit_create(vm)) ||
		(error = uart_create(vm, PORT_COM1, IRQ_COM1, &platform->com1)) ||
		(error = rtc_create(vm, options)) || (error = acpi_pm_create(vm, &acpi)) ||
		(error = i8042_create(vm)) || (error = reset_create(vm, &reset)) ||
		(error = pci_create(vm, reset, acpi, &platform->pci)))
		return error;
	return options->debug_exit ? debug_exit_create(vm) : 0;
}

int platform_create(struct vm *vm, const struct platform_options *options, struct platform **out)
{
	struct platform *platform = heap_alloc(sizeof(*platform), FRAME_VM);

	if (!platform)
		return -ENOMEM;
	platform->device = (struct device){
		.name = "platform", .reset = platform_reset, .destroy = platform_destroy };
	vm_add_device(vm, &platform->device);
	*out = platform;
	return create_devices(vm, options, platform);
}
