/* SPDX-License-Identifier: BSD-2-Clause */
/* The IOAPIC; see devices/ioapic.h. */
#include "devices/ioapic.h"

#include "devices/platform.h"
#include "host/memory.h"
#include "lib/string.h"
#include "vcpu/lapic.h"

#define IOAPIC_BYTES 0x1000
#define IOAPIC_SELECT 0x00
#define IOAPIC_WINDOW 0x10
#define IOAPIC_EOI 0x40

#define REGISTER_ID 0x00
#define REGISTER_VERSION 0x01
#define REGISTER_ARBITRATION 0x02
#define REGISTER_TABLE 0x10

#define IOAPIC_VERSION 0x20

#define ENTRY_DELIVERY_SHIFT 8
#define ENTRY_LOGICAL BIT(11)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_DESTINATION_SHIFT 56
/* Vector, delivery and destination mode, polarity, trigger, mask, destination. */
#define ENTRY_WRITABLE 0xff0000000001afffULL

struct ioapic {
	struct device device;
	struct irqchip irqchip;
	struct io_region region;
	/* All [vm.lock]. */
	uint64_t table[IOAPIC_PINS];
	uint32_t lines;  /* asserted pins */
	uint8_t select;
	uint8_t id;
};

static enum lapic_delivery entry_delivery(uint64_t entry)
{
	return (entry >> ENTRY_DELIVERY_SHIFT) & 7;
}

/* Only these wait for an end of interrupt when they are level-triggered. */
static bool waits_for_end(uint64_t entry)
{
	return (entry & ENTRY_LEVEL) && entry_delivery(entry) <= DELIVERY_LOWEST;
}

static void send(struct ioapic *ioapic, unsigned int pin)
{
	uint64_t entry = ioapic->table[pin];
	struct apic_message message = {
		.destination = entry >> ENTRY_DESTINATION_SHIFT,
		.logical = entry & ENTRY_LOGICAL,
		.level = waits_for_end(entry),
		.assert = true,
		.tick = pin == IOAPIC_PIT_PIN,
		.delivery = entry_delivery(entry),
		.vector = entry,
	};

	if (message.level)
		ioapic->table[pin] |= ENTRY_REMOTE_IRR;
	lapic_deliver(ioapic->device.vm, &message);
}

/* A level-triggered pin interrupts while it is asserted, and not again before its end. */
static void evaluate_level(struct ioapic *ioapic, unsigned int pin)
{
	uint64_t entry = ioapic->table[pin];

	if ((ioapic->lines & BIT(pin)) && waits_for_end(entry) &&
		!(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)))
		send(ioapic, pin);
}

static void set_pin(struct ioapic *ioapic, unsigned int pin, bool level)
{
	bool was = ioapic->lines & BIT(pin);
	uint64_t entry = ioapic->table[pin];

	if (!level) {
		ioapic->lines &= ~BIT(pin);
		return;
	}
	ioapic->lines |= BIT(pin);
	if (waits_for_end(entry))
		evaluate_level(ioapic, pin);
	else if (!was && !(entry & ENTRY_MASKED))
		send(ioapic, pin);
}

static void ioapic_set_line(struct irqchip *irqchip, unsigned int gsi, bool level)
{
	struct ioapic *ioapic = container_of(irqchip, struct ioapic, irqchip);

	if (gsi == IRQ_PIT)
		gsi = IOAPIC_PIT_PIN;
	else if (gsi == IOAPIC_PIT_PIN || gsi >= IOAPIC_PINS)
		return;
	set_pin(ioapic, gsi, level);
}

static bool ioapic_tick_waits(struct irqchip *irqchip)
{
	struct ioapic *ioapic = container_of(irqchip, struct ioapic, irqchip);
	uint64_t entry = ioapic->table[IOAPIC_PIT_PIN];

	return !(entry & ENTRY_MASKED) && entry_delivery(entry) <= DELIVERY_LOWEST &&
		lapic_any_requested(ioapic->device.vm, entry);
}

static void ioapic_end_of_interrupt(struct irqchip *irqchip, uint8_t vector)
{
	struct ioapic *ioapic = container_of(irqchip, struct ioapic, irqchip);

	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t entry = ioapic->table[pin];

		if (!(entry & ENTRY_REMOTE_IRR) || (uint8_t)entry != vector)
			continue;
		ioapic->table[pin] &= ~ENTRY_REMOTE_IRR;
		evaluate_level(ioapic, pin);
	}
}

static void write_entry(struct ioapic *ioapic, unsigned int index, uint32_t value)
{
	unsigned int pin = index / 2, shift = index % 2 * 32;
	uint64_t kept = ioapic->table[pin] & ~(0xffffffffULL << shift);
	uint64_t remote_irr = ioapic->table[pin] & ENTRY_REMOTE_IRR;
	uint64_t entry = (kept | (uint64_t)value << shift) & ENTRY_WRITABLE;

	/* An edge-triggered entry has no such state: that is how systems clear a stuck one. */
	if (waits_for_end(entry))
		entry |= remote_irr;
	ioapic->table[pin] = entry;
	evaluate_level(ioapic, pin);
}

static uint32_t read_entry(const struct ioapic *ioapic, unsigned int index)
{
	return ioapic->table[index / 2] >> (index % 2 * 32);
}

static bool is_table(uint8_t select)
{
	return select >= REGISTER_TABLE && select < REGISTER_TABLE + 2 * IOAPIC_PINS;
}

static uint32_t read_window(const struct ioapic *ioapic)
{
	if (is_table(ioapic->select))
		return read_entry(ioapic, ioapic->select - REGISTER_TABLE);
	switch (ioapic->select) {
	case REGISTER_ID:
	case REGISTER_ARBITRATION:
		return (uint32_t)ioapic->id << 24;
	case REGISTER_VERSION:
		return (IOAPIC_PINS - 1) << 16 | IOAPIC_VERSION;
	default:
		return 0;
	}
}

static void write_window(struct ioapic *ioapic, uint32_t value)
{
	if (is_table(ioapic->select))
		write_entry(ioapic, ioapic->select - REGISTER_TABLE, value);
	else if (ioapic->select == REGISTER_ID)
		ioapic->id = value >> 24 & 0xf;
}

static uint64_t ioapic_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct ioapic *ioapic = container_of(region, struct ioapic, region);
	uint32_t value = 0;

	(void)size;
	if ((offset & ~3ULL) == IOAPIC_SELECT)
		value = ioapic->select;
	else if ((offset & ~3ULL) == IOAPIC_WINDOW)
		value = read_window(ioapic);
	return value >> (8 * (offset & 3));
}

static void ioapic_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct ioapic *ioapic = container_of(region, struct ioapic, region);

	if (offset == IOAPIC_SELECT)
		ioapic->select = value;
	else if (offset == IOAPIC_WINDOW && size == 4)
		write_window(ioapic, value);
	else if (offset == IOAPIC_EOI)
		ioapic_end_of_interrupt(&ioapic->irqchip, value);
}

static void ioapic_reset(struct device *device)
{
	struct ioapic *ioapic = container_of(device, struct ioapic, device);

	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
		ioapic->table[pin] = ENTRY_MASKED;
	ioapic->lines = 0;
	ioapic->select = 0;
	ioapic->id = IOAPIC_ID;
}

static void ioapic_destroy(struct device *device)
{
	heap_free(container_of(device, struct ioapic, device));
}

int ioapic_create(struct vm *vm)
{
	struct ioapic *ioapic = heap_alloc(sizeof(*ioapic), FRAME_VM);
	int error;

	if (!ioapic)
		return -ENOMEM;
	ioapic->device = (struct device){
		.name = "ioapic", .reset = ioapic_reset, .destroy = ioapic_destroy };
	ioapic->irqchip = (struct irqchip){ .set_line = ioapic_set_line,
		.end_of_interrupt = ioapic_end_of_interrupt,
		.tick_waits = ioapic_tick_waits };
	ioapic->region = (struct io_region){ .start = IOAPIC_BASE, .length = IOAPIC_BYTES,
		.max_size = 4, .read = ioapic_read, .write = ioapic_write };
	vm_add_device(vm, &ioapic->device);
	ioapic_reset(&ioapic->device);
	error = vm_add_irqchip(vm, &ioapic->irqchip);
	return error ? error : io_bus_add(&vm->mmio, &ioapic->region);
}
