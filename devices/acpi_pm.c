/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI fixed hardware; see devices/acpi_pm.h. */
#include "devices/acpi_pm.h"

#include "devices/platform.h"
#include "host/memory.h"

#define PM1_TIMER BIT(0)
#define PM1_GLOBAL BIT(5)
#define PM1_POWER_BUTTON BIT(8)
#define PM1_SLEEP_BUTTON BIT(9)
#define PM1_RTC BIT(10)
#define PM1_WAKE BIT(15)
#define PM1_ENABLES (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_SLEEP_BUTTON | PM1_RTC)

#define CONTROL_SCI_ENABLE BIT(0)
#define CONTROL_BUS_MASTER_RELOAD BIT(1)
#define CONTROL_SLEEP_TYPE_SHIFT 10
#define CONTROL_SLEEP_TYPE (7 << CONTROL_SLEEP_TYPE_SHIFT)
#define CONTROL_SLEEP BIT(13)

#define TIMER_HALF BIT(31)

static uint64_t ticks(const struct acpi_pm *pm, uint64_t now)
{
	return mul_div(now - pm->start_tsc, PM_TIMER_HZ, clock_tsc_hz);
}

static void update_sci(struct acpi_pm *pm)
{
	bool event = (pm->status & pm->enable) || (pm->gpe_status & pm->gpe_enable);
	bool sci = event && (pm->control_value & CONTROL_SCI_ENABLE);

	vm_set_irq(pm->device.vm, IRQ_SCI, sci);
}

static void sync_timer(struct acpi_pm *pm, uint64_t now)
{
	uint64_t halves = ticks(pm, now) / TIMER_HALF;

	if (halves != pm->halves_seen)
		pm->status |= PM1_TIMER;
	pm->halves_seen = halves;
}

static void schedule(struct acpi_pm *pm)
{
	uint64_t next = (pm->halves_seen + 1) * TIMER_HALF;

	if ((pm->enable & PM1_TIMER) && !(pm->status & PM1_TIMER))
		device_timer_set(&pm->overflow,
			pm->start_tsc + mul_div(next, clock_tsc_hz, PM_TIMER_HZ) + 1);
	else
		device_timer_stop(&pm->overflow);
}

static void overflow_due(struct device_timer *timer)
{
	struct acpi_pm *pm = container_of(timer, struct acpi_pm, overflow);

	sync_timer(pm, clock_tsc());
	update_sci(pm);
	schedule(pm);
}

/* Status in the lower half, enable in the upper. */
static uint64_t event_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct acpi_pm *pm = container_of(region, struct acpi_pm, event);
	uint32_t both;

	(void)size;
	sync_timer(pm, clock_tsc());
	both = (uint32_t)pm->enable << 16 | pm->status;
	return both >> (8 * offset);
}

static void event_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct acpi_pm *pm = container_of(region, struct acpi_pm, event);
	uint32_t written = value << (8 * offset);
	uint32_t mask = byte_mask(size) << (8 * offset);

	sync_timer(pm, clock_tsc());
	/* A one clears a status bit. */
	pm->status &= ~(written & mask);
	pm->enable = ((pm->enable & ~(mask >> 16)) | (written & mask) >> 16) & PM1_ENABLES;
	update_sci(pm);
	schedule(pm);
}

static uint64_t control_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct acpi_pm *pm = container_of(region, struct acpi_pm, control);

	(void)size;
	return pm->control_value >> (8 * offset);
}

static void control_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct acpi_pm *pm = container_of(region, struct acpi_pm, control);
	uint16_t mask = byte_mask(size) << (8 * offset);
	uint16_t written = value << (8 * offset);
	uint16_t kept = CONTROL_BUS_MASTER_RELOAD | CONTROL_SLEEP_TYPE;

	/* SCI_EN belongs to the SMI command port; SLP_EN and GBL_RLS read as zero. */
	pm->control_value = (pm->control_value & ~(mask & kept)) | (written & mask & kept);
	if (!(written & mask & CONTROL_SLEEP))
		return;
	/* S5 is the only sleep there is. */
	if ((pm->control_value & CONTROL_SLEEP_TYPE) == ACPI_S5_TYPE << CONTROL_SLEEP_TYPE_SHIFT)
		vm_stop(pm->device.vm, VM_STOP_POWER_OFF, 0, NULL);
}

static uint64_t gpe_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct acpi_pm *pm = container_of(region, struct acpi_pm, gpe);

	(void)size;
	return offset ? pm->gpe_enable : pm->gpe_status;
}

static void gpe_write(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct acpi_pm *pm = container_of(region, struct acpi_pm, gpe);

	(void)size;
	if (offset)
		pm->gpe_enable = value;
	else
		pm->gpe_status &= ~value;
	update_sci(pm);
}

void acpi_pm_raise(struct acpi_pm *pm, unsigned int event)
{
	pm->gpe_status |= BIT(event);
	update_sci(pm);
}

static uint64_t timer_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct acpi_pm *pm = container_of(region, struct acpi_pm, timer);

	(void)size;
	return (uint32_t)ticks(pm, clock_tsc()) >> (8 * offset);
}

static void timer_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	(void)region, (void)offset, (void)size, (void)value; /* read-only */
}

static uint64_t smi_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	(void)size;
	return container_of(region, struct acpi_pm, smi)->smi_bytes[offset];
}

static void smi_write(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct acpi_pm *pm = container_of(region, struct acpi_pm, smi);

	(void)size;
	pm->smi_bytes[offset] = value;
	if (offset != 0)
		return;
	if (value == ACPI_ENABLE_VALUE)
		pm->control_value |= CONTROL_SCI_ENABLE;
	else if (value == ACPI_DISABLE_VALUE)
		pm->control_value &= ~CONTROL_SCI_ENABLE;
	update_sci(pm);
}

static void acpi_pm_reset(struct device *device)
{
	struct acpi_pm *pm = container_of(device, struct acpi_pm, device);

	device_timer_stop(&pm->overflow);
	pm->start_tsc = clock_tsc();
	pm->halves_seen = 0;
	pm->status = 0;
	pm->enable = 0;
	pm->gpe_status = 0;
	pm->gpe_enable = 0;
	pm->control_value = CONTROL_SCI_ENABLE;
	pm->smi_bytes[0] = 0;
	pm->smi_bytes[1] = 0;
	update_sci(pm);
}

static void acpi_pm_destroy(struct device *device)
{
	struct acpi_pm *pm = container_of(device, struct acpi_pm, device);

	device_timer_destroy(&pm->overflow);
	heap_free(pm);
}

static int add_regions(struct vm *vm, struct acpi_pm *pm)
{
	struct io_region *const regions[] = { &pm->event, &pm->control, &pm->timer, &pm->gpe,
		&pm->smi };
	int error = 0;

	for (size_t i = 0; i < ARRAY_SIZE(regions) && !error; i++)
		error = io_bus_add(&vm->ports, regions[i]);
	return error;
}

int acpi_pm_create(struct vm *vm, struct acpi_pm **out)
{
	struct acpi_pm *pm = heap_alloc(sizeof(*pm), FRAME_VM);

	if (!pm)
		return -ENOMEM;
	pm->device = (struct device){
		.name = "acpi-pm", .reset = acpi_pm_reset, .destroy = acpi_pm_destroy };
	pm->event = (struct io_region){ .start = PORT_PM1_EVENT, .length = 4, .max_size = 4,
		.read = event_read, .write = event_write };
	pm->control = (struct io_region){ .start = PORT_PM1_CONTROL, .length = 2, .max_size = 2,
		.read = control_read, .write = control_write };
	pm->timer = (struct io_region){ .start = PORT_PM_TIMER, .length = 4, .max_size = 4,
		.read = timer_read, .write = timer_write };
	pm->gpe = (struct io_region){ .start = PORT_GPE, .length = 2, .max_size = 1,
		.read = gpe_read, .write = gpe_write };
	pm->smi = (struct io_region){ .start = PORT_SMI_COMMAND, .length = 2, .max_size = 1,
		.read = smi_read, .write = smi_write };
	device_timer_init(&pm->overflow, vm, overflow_due);
	vm_add_device(vm, &pm->device);
	acpi_pm_reset(&pm->device);
	*out = pm;
	return add_regions(vm, pm);
}
