/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyboard controller; see devices/i8042.h. */
#include "devices/i8042.h"

#include "devices/platform.h"
#include "host/memory.h"
#include "lib/string.h"

#define STATUS_OUTPUT_FULL BIT(0)
#define STATUS_SYSTEM BIT(2)
#define STATUS_COMMAND BIT(3)
#define STATUS_UNLOCKED BIT(4)
#define STATUS_TIMEOUT BIT(6)

#define MODE_INTERRUPT BIT(0)
#define MODE_SYSTEM BIT(2)
#define MODE_KEYBOARD_OFF BIT(4)
#define MODE_AUX_OFF BIT(5)

#define RAM_BYTES 32 /* commands 0x20 to 0x3f read it, 0x60 to 0x7f write it; byte 0 is the mode */

#define OUTPUT_RUN BIT(0) /* low: reset */
#define OUTPUT_A20 BIT(1)

#define COMMAND_AUX_OFF 0xa7
#define COMMAND_AUX_ON 0xa8
#define COMMAND_AUX_TEST 0xa9
#define COMMAND_SELF_TEST 0xaa
#define COMMAND_KEYBOARD_TEST 0xab
#define COMMAND_KEYBOARD_OFF 0xad
#define COMMAND_KEYBOARD_ON 0xae
#define COMMAND_READ_INPUT_PORT 0xc0
#define COMMAND_READ_OUTPUT_PORT 0xd0
#define COMMAND_WRITE_OUTPUT_PORT 0xd1
#define COMMAND_WRITE_KEYBOARD_BUFFER 0xd2
#define COMMAND_WRITE_AUX_BUFFER 0xd3
#define COMMAND_WRITE_AUX 0xd4
#define COMMAND_A20_OFF 0xdd
#define COMMAND_A20_ON 0xdf
#define COMMAND_READ_TEST 0xe0
#define COMMAND_PULSE 0xf0 /* to 0xff: bits of the output port that are 0 go low */

#define SELF_TEST_PASSED 0x55
#define PORT_TEST_PASSED 0x00
#define PORT_TEST_CLOCK_LOW 0x01
#define INPUT_PORT_UNLOCKED 0x80
#define KEYBOARD_SILENT 0xfe

struct i8042 {
	struct device device;
	struct io_region data;
	struct io_region command;
	/* All [vm.lock]. */
	uint8_t status;
	uint8_t output;      /* the byte for the CPU */
	uint8_t output_port;
	uint8_t pending;     /* command that waits for its data byte; 0: none */
	uint8_t ram[RAM_BYTES];
};

static void update_line(struct i8042 *i8042)
{
	bool full = i8042->status & STATUS_OUTPUT_FULL;

	vm_set_irq(i8042->device.vm, IRQ_KEYBOARD, full && (i8042->ram[0] & MODE_INTERRUPT));
}

static void answer(struct i8042 *i8042, uint8_t value, uint8_t flags)
{
	i8042->output = value;
	i8042->status &= ~STATUS_TIMEOUT;
	i8042->status |= STATUS_OUTPUT_FULL | flags;
	update_line(i8042);
}

static void write_mode(struct i8042 *i8042, uint8_t value)
{
	/* There is no auxiliary port to be enabled. */
	i8042->ram[0] = value | MODE_AUX_OFF;
	i8042->status &= ~STATUS_SYSTEM;
	if (value & MODE_SYSTEM)
		i8042->status |= STATUS_SYSTEM;
	update_line(i8042);
}

static void write_output_port(struct i8042 *i8042, uint8_t value)
{
	i8042->output_port = value | OUTPUT_RUN;
	if (!(value & OUTPUT_RUN))
		vm_stop(i8042->device.vm, VM_STOP_RESET, 0, NULL);
}

static void run_command(struct i8042 *i8042, uint8_t command)
{
	i8042->pending = 0;
	switch (command) {
	case 0x20 ... 0x3f:
		answer(i8042, i8042->ram[command & (RAM_BYTES - 1)], 0);
		break;
	case 0x60 ... 0x7f:
	case COMMAND_WRITE_OUTPUT_PORT:
	case COMMAND_WRITE_KEYBOARD_BUFFER:
	case COMMAND_WRITE_AUX_BUFFER:
	case COMMAND_WRITE_AUX:
		i8042->pending = command;
		break;
	case COMMAND_AUX_TEST:
		answer(i8042, PORT_TEST_CLOCK_LOW, 0);
		break;
	case COMMAND_SELF_TEST:
		i8042->status |= STATUS_SYSTEM;
		answer(i8042, SELF_TEST_PASSED, 0);
		break;
	case COMMAND_KEYBOARD_TEST:
		answer(i8042, PORT_TEST_PASSED, 0);
		break;
	case COMMAND_KEYBOARD_OFF:
		i8042->ram[0] |= MODE_KEYBOARD_OFF;
		break;
	case COMMAND_KEYBOARD_ON:
		i8042->ram[0] &= ~MODE_KEYBOARD_OFF;
		break;
	case COMMAND_READ_INPUT_PORT:
		answer(i8042, INPUT_PORT_UNLOCKED, 0);
		break;
	case COMMAND_READ_OUTPUT_PORT:
		answer(i8042, i8042->output_port, 0);
		break;
	case COMMAND_A20_OFF:
		i8042->output_port &= ~OUTPUT_A20;
		break;
	case COMMAND_A20_ON:
		i8042->output_port |= OUTPUT_A20;
		break;
	case COMMAND_READ_TEST:
		answer(i8042, 0, 0);
		break;
	case COMMAND_PULSE ... 0xff:
		if (!(command & OUTPUT_RUN))
			vm_stop(i8042->device.vm, VM_STOP_RESET, 0, NULL);
		break;
	default: /* among them switching the auxiliary port, which is not there */
		break;
	}
}

/* The data byte of a command, or one for the keyboard. */
static void take_data(struct i8042 *i8042, uint8_t value)
{
	uint8_t command = i8042->pending;

	i8042->pending = 0;
	switch (command) {
	case 0x60:
		write_mode(i8042, value);
		break;
	case 0x61 ... 0x7f:
		i8042->ram[command & (RAM_BYTES - 1)] = value;
		break;
	case COMMAND_WRITE_OUTPUT_PORT:
		write_output_port(i8042, value);
		break;
	case COMMAND_WRITE_KEYBOARD_BUFFER:
		answer(i8042, value, 0);
		break;
	case COMMAND_WRITE_AUX_BUFFER:
		/* Not marked as the auxiliary port's: who probes for it knows at once. */
		answer(i8042, value, 0);
		break;
	default: /* for the keyboard or the auxiliary device: neither takes it */
		answer(i8042, KEYBOARD_SILENT, STATUS_TIMEOUT);
		break;
	}
}

static uint64_t data_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	struct i8042 *i8042 = container_of(region, struct i8042, data);

	(void)offset, (void)size;
	i8042->status &= ~(STATUS_OUTPUT_FULL | STATUS_TIMEOUT);
	update_line(i8042);
	return i8042->output;
}

static void data_write(struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct i8042 *i8042 = container_of(region, struct i8042, data);

	(void)offset, (void)size;
	i8042->status &= ~STATUS_COMMAND;
	take_data(i8042, value);
}

static uint64_t command_read(struct io_region *region, uint64_t offset, unsigned int size)
{
	(void)offset, (void)size;
	return container_of(region, struct i8042, command)->status;
}

static void command_write(
	struct io_region *region, uint64_t offset, unsigned int size, uint64_t value)
{
	struct i8042 *i8042 = container_of(region, struct i8042, command);

	(void)offset, (void)size;
	i8042->status |= STATUS_COMMAND;
	run_command(i8042, value);
}

static void i8042_reset(struct device *device)
{
	struct i8042 *i8042 = container_of(device, struct i8042, device);

	memset(i8042->ram, 0, sizeof(i8042->ram));
	/* As a firmware leaves it: tested, no interrupts. */
	i8042->ram[0] = MODE_SYSTEM | MODE_AUX_OFF;
	i8042->status = STATUS_UNLOCKED | STATUS_SYSTEM;
	i8042->output = 0;
	i8042->output_port = OUTPUT_RUN | OUTPUT_A20;
	i8042->pending = 0;
	update_line(i8042);
}

static void i8042_destroy(struct device *device)
{
	heap_free(container_of(device, struct i8042, device));
}

int i8042_create(struct vm *vm)
{
	struct i8042 *i8042 = heap_alloc(sizeof(*i8042), FRAME_VM);
	int error;

	if (!i8042)
		return -ENOMEM;
	i8042->device =
		(struct device){ .name = "i8042", .reset = i8042_reset, .destroy = i8042_destroy };
	i8042->data = (struct io_region){ .start = PORT_KEYBOARD_DATA, .length = 1, .max_size = 1,
		.read = data_read, .write = data_write };
	i8042->command = (struct io_region){ .start = PORT_KEYBOARD_COMMAND, .length = 1,
		.max_size = 1, .read = command_read, .write = command_write };
	vm_add_device(vm, &i8042->device);
	i8042_reset(&i8042->device);
	error = io_bus_add(&vm->ports, &i8042->data);
	return error ? error : io_bus_add(&vm->ports, &i8042->command);
}
