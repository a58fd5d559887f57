/* SPDX-License-Identifier: BSD-2-Clause */
/* The PC's pair of 8259A; see devices/pic.h. */
#include "devices/pic.h"

#include "devices/platform.h"
#include "host/memory.h"
#include "lib/string.h"

#define MASTER 0
#define SLAVE 1
#define CASCADE_INPUT 2

#define ICW1_ICW4 BIT(0)
#define ICW1_SINGLE BIT(1)
#define ICW1_LEVEL BIT(3)
#define ICW1_INIT BIT(4)
#define ICW4_AUTO_EOI BIT(1)
#define ICW4_SPECIAL_NESTED BIT(4)

#define OCW3_SELECT BIT(3)
#define OCW3_READ_ISR BIT(0)
#define OCW3_READ BIT(1)
#define OCW3_POLL BIT(2)
#define OCW3_SPECIAL_MASK BIT(5)
#define OCW3_SET_SPECIAL_MASK BIT(6)

#define POLL_INTERRUPT 0x80

/* OCW2, its upper three bits. */
enum ocw2 {
	OCW2_ROTATE_AUTO_EOI_CLEAR = 0,
	OCW2_EOI = 1,
	OCW2_NOP = 2,
	OCW2_SPECIFIC_EOI = 3,
	OCW2_ROTATE_AUTO_EOI_SET = 4,
	OCW2_ROTATE_EOI = 5,
	OCW2_SET_PRIORITY = 6,
	OCW2_ROTATE_SPECIFIC_EOI = 7,
};

static uint8_t level_inputs(const struct pic_chip *chip)
{
	return chip->all_level ? 0xff : chip->elcr;
}

/* The rank of the best of `inputs`, 0 being the highest, or 8 for none. */
static unsigned int best_rank(const struct pic_chip *chip, uint8_t inputs)
{
	/* Rotated so that bit 0 is the input with the highest priority. */
	uint8_t ranked = inputs >> chip->highest | inputs << (8 - chip->highest);

	return ranked ? (unsigned int)__builtin_ctz(ranked) : 8;
}

static unsigned int input_of_rank(const struct pic_chip *chip, unsigned int rank)
{
	return (chip->highest + rank) & 7;
}

/* The input that is to interrupt now, or -1. */
static int pending_input(const struct pic *pic, const struct pic_chip *chip)
{
	uint8_t requests = chip->irr & ~chip->imr;
	uint8_t serving = chip->isr;
	unsigned int rank;

	if (!requests)
		return -1;
	rank = best_rank(chip, requests);
	/* Special mask mode: a masked input that is being served holds nobody back. */
	if (chip->special_mask)
		serving &= ~chip->imr;
	/* Special fully nested mode: the slave may interrupt its own service on the master. */
	if (chip->special_nested && chip == &pic->chips[MASTER])
		serving &= ~BIT(CASCADE_INPUT);
	return rank < best_rank(chip, serving) ? (int)input_of_rank(chip, rank) : -1;
}

static void set_input(struct pic_chip *chip, unsigned int input, bool level)
{
	uint8_t bit = BIT(input);

	if (level_inputs(chip) & bit)
		chip->irr = level ? chip->irr | bit : chip->irr & ~bit;
	else if (level && !(chip->lines & bit))
		chip->irr |= bit;
	chip->lines = level ? chip->lines | bit : chip->lines & ~bit;
}

/* The slave's output drives the master's input, the master's the vCPU's. */
static void update(struct pic *pic)
{
	bool output;

	set_input(&pic->chips[MASTER], CASCADE_INPUT,
		pending_input(pic, &pic->chips[SLAVE]) >= 0);
	output = pending_input(pic, &pic->chips[MASTER]) >= 0;
	if (output == pic->output)
		return;
	pic->output = output;
	vm_set_extint(pic->device.vm, output);
}

static void pic_set_line(struct irqchip *irqchip, unsigned int gsi, bool level)
{
	struct pic *pic = container_of(irqchip, struct pic, irqchip);

	/* Input 2 is the slave. */
	if (gsi >= 16 || gsi == CASCADE_INPUT)
		return;
	set_input(&pic->chips[gsi >> 3], gsi & 7, level);
	update(pic);
}

/* An INTA cycle has chosen this input. */
static void begin_service(struct pic *pic, struct pic_chip *chip, unsigned int input)
{
	if (!(level_inputs(chip) & BIT(input)))
		chip->irr &= ~BIT(input);
	/* The slave's output falls; if it rises at once, that is another edge for the master. */
	if (chip == &pic->chips[SLAVE])
		set_input(&pic->chips[MASTER], CASCADE_INPUT, false);
	if (!chip->auto_eoi)
		chip->isr |= BIT(input);
	else if (chip->rotate_on_auto_eoi)
		chip->highest = (input + 1) & 7;
}

static bool pic_tick_waits(struct irqchip *irqchip)
{
	const struct pic *pic = container_of(irqchip, struct pic, irqchip);
	const struct pic_chip *chip = &pic->chips[MASTER];

	return chip->irr & ~chip->imr & BIT(IRQ_PIT);
}

/* After all else: the next one may come at once. */
static void tell_of_tick(struct pic *pic, const struct pic_chip *chip, unsigned int input)
{
	if (chip == &pic->chips[MASTER] && input == IRQ_PIT)
		vm_tick_taken(pic->device.vm);
}

static int pic_acknowledge(struct irqchip *irqchip)
{
	struct pic *pic = container_of(irqchip, struct pic, irqchip);
	struct pic_chip *chip = &pic->chips[MASTER];
	int input = pending_input(pic, chip);

	if (input < 0)
		return -1;
	begin_service(pic, chip, input);
	if (input == CASCADE_INPUT) {
		chip = &pic->chips[SLAVE];
		input = pending_input(pic, chip);
		/* Withdrawn since the edge reached the master: the slave's spurious interrupt. */
		if (input < 0)
			input = 7;
		else
			begin_service(pic, chip, input);
	}
	update(pic);
	tell_of_tick(pic, chip, input);
	return chip->vector_base | input;
}

static void end_service(struct pic_chip *chip, unsigned int input, bool rotate)
{
	chip->isr &= ~BIT(input);
	if (rotate)
		chip->highest = (input + 1) & 7;
}

static void end_highest(struct pic_chip *chip, bool rotate)
{
	/* A non-specific EOI does not end what special mask mode masks. */
	uint8_t serving = chip->special_mask ? chip->isr & ~chip->imr : chip->isr;
	unsigned int rank = best_rank(chip, serving);

	if (rank < 8)
		end_service(chip, input_of_rank(chip, rank), rotate);
}

static void write_icw1(struct pic_chip *chip, uint8_t value)
{
	/* The edge sense circuit is reset: a line has to rise again. */
	chip->imr = 0;
	chip->isr = 0;
	chip->all_level = value & ICW1_LEVEL;
	chip->irr = chip->lines & level_inputs(chip);
	chip->highest = 0;
	chip->special_mask = false;
	chip->read_isr = false;
	chip->poll = false;
	chip->rotate_on_auto_eoi = false;
	chip->single = value & ICW1_SINGLE;
	chip->needs_icw4 = value & ICW1_ICW4;
	/* Without ICW4 all its functions are off. */
	chip->auto_eoi = false;
	chip->special_nested = false;
	chip->init_step = 2;
}

static void write_ocw2(struct pic_chip *chip, uint8_t value)
{
	unsigned int input = value & 7;

	switch ((enum ocw2)(value >> 5)) {
	case OCW2_ROTATE_AUTO_EOI_CLEAR:
		chip->rotate_on_auto_eoi = false;
		break;
	case OCW2_ROTATE_AUTO_EOI_SET:
		chip->rotate_on_auto_eoi = true;
		break;
	case OCW2_EOI:
		end_highest(chip, false);
		break;
	case OCW2_ROTATE_EOI:
		end_highest(chip, true);
		break;
	case OCW2_SPECIFIC_EOI:
		end_service(chip, input, false);
		break;
	case OCW2_ROTATE_SPECIFIC_EOI:
		end_service(chip, input, true);
		break;
	case OCW2_SET_PRIORITY:
		chip->highest = (input + 1) & 7;
		break;
	case OCW2_NOP:
		break;
	}
}

static void write_ocw3(struct pic_chip *chip, uint8_t value)
{
	chip->poll = value & OCW3_POLL;
	if (value & OCW3_READ)
		chip->read_isr = value & OCW3_READ_ISR;
	if (value & OCW3_SET_SPECIAL_MASK)
		chip->special_mask = value & OCW3_SPECIAL_MASK;
}

/* The odd port: the ICWs after the first, else the mask. */
static void write_data(struct pic_chip *chip, uint8_t value)
{
	switch (chip->init_step) {
	case 2:
		chip->vector_base = value & 0xf8;
		chip->init_step = !chip->single ? 3 : chip->needs_icw4 ? 4 : 0;
		break;
	case 3:
		chip->cascade = value;
		chip->init_step = chip->needs_icw4 ? 4 : 0;
		break;
	case 4:
		chip->auto_eoi = value & ICW4_AUTO_EOI;
		chip->special_nested = value & ICW4_SPECIAL_NESTED;
		chip->init_step = 0;
		break;
	default:
		chip->imr = value;
		break;
	}
}

static struct pic *pic_of(struct io_region *region, unsigned int index)
{
	return container_of(region, struct pic, regions[index]);
}

static void chip_write(struct pic *pic, unsigned int index, uint64_t offset, uint8_t value)
{
	struct pic_chip *chip = &pic->chips[index];

	if (offset == 1)
		write_data(chip, value);
	else if (value & ICW1_INIT)
		write_icw1(chip, value);
	else if (value & OCW3_SELECT)
		write_ocw3(chip, value);
	else
		write_ocw2(chip, value);
	update(pic);
}

/* A poll is an INTA cycle by way of a read. */
static uint8_t poll(struct pic *pic, struct pic_chip *chip)
{
	int input = pending_input(pic, chip);

	chip->poll = false;
	if (input < 0)
		return 0;
	begin_service(pic, chip, input);
	update(pic);
	tell_of_tick(pic, chip, input);
	return POLL_INTERRUPT | input;
}

static uint8_t chip_read(struct pic *pic, unsigned int index, uint64_t offset)
{
	struct pic_chip *chip = &pic->chips[index];

	if (chip->poll)
		return poll(pic, chip);
	if (offset == 1)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

static uint64_t master_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	(void)size;
	return chip_read(pic_of(region, 0), MASTER, offset);
}

static void master_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	chip_write(pic_of(region, 0), MASTER, offset, value);
}

static uint64_t slave_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	(void)size;
	return chip_read(pic_of(region, 1), SLAVE, offset);
}

static void slave_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	chip_write(pic_of(region, 1), SLAVE, offset, value);
}

static uint64_t elcr_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	(void)size;
	return pic_of(region, 2)->chips[offset].elcr;
}

static void elcr_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pic *pic = pic_of(region, 2);
	struct pic_chip *chip = &pic->chips[offset];
	uint8_t turned_level;

	(void)size;
	turned_level = value & chip->elcr_mask & ~chip->elcr;
	chip->elcr = value & chip->elcr_mask;
	/* From now on their requests are what the lines say. */
	chip->irr = (chip->irr & ~turned_level) | (chip->lines & turned_level);
	update(pic);
}

static void pic_reset(struct device *device)
{
	struct pic *pic = container_of(device, struct pic, device);

	memset(pic->chips, 0, sizeof(pic->chips));
	/* The timer, the keyboard, the cascade, the RTC and the FPU are edges for ever. */
	pic->chips[MASTER].elcr_mask = 0xf8;
	pic->chips[SLAVE].elcr_mask = 0xde;
	/*
	 * As a firmware leaves them: PCI's lines are levels, real mode's vectors, everything masked
	 * but the cascade.
	 */
	pic->chips[IRQ_PCI_A >> 3].elcr |= BIT(IRQ_PCI_A & 7);
	pic->chips[IRQ_PCI_B >> 3].elcr |= BIT(IRQ_PCI_B & 7);
	pic->chips[MASTER].vector_base = 0x08;
	pic->chips[SLAVE].vector_base = 0x70;
	pic->chips[MASTER].imr = 0xff & ~BIT(CASCADE_INPUT);
	pic->chips[SLAVE].imr = 0xff;
	pic->output = false;
	vm_set_extint(device->vm, false);
}

static void pic_destroy(struct device *device)
{
	heap_free(container_of(device, struct pic, device));
}

int pic_create(struct vm *vm)
{
	struct pic *pic = heap_alloc(sizeof(*pic), FRAME_VM);
	int error;

	if (!pic)
		return -ENOMEM;
	pic->device = (struct device){ .name = "pic", .reset = pic_reset, .destroy = pic_destroy };
	pic->irqchip = (struct irqchip){
		.set_line = pic_set_line, .acknowledge = pic_acknowledge,
		.tick_waits = pic_tick_waits };
	pic->regions[0] = (struct io_region){ .start = PORT_PIC_MASTER, .length = 2, .max_size = 1,
		.read = master_read, .write = master_write };
	pic->regions[1] = (struct io_region){ .start = PORT_PIC_SLAVE, .length = 2, .max_size = 1,
		.read = slave_read, .write = slave_write };
	pic->regions[2] = (struct io_region){ .start = PORT_ELCR, .length = 2, .max_size = 1,
		.read = elcr_read, .write = elcr_write };
	vm_add_device(vm, &pic->device);
	pic_reset(&pic->device);
	error = vm_add_irqchip(vm, &pic->irqchip);
	for (size_t i = 0; i < ARRAY_SIZE(pic->regions) && !error; i++)
		error = io_bus_add(&vm->ports, &pic->regions[i]);
	return error;
}
