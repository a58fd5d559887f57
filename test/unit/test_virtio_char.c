/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-console and virtio-rng over real rings: what a driver and the other side see of each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <linux/virtio_console.h>

#include "devices/virtio/console.h"
#include "devices/virtio/rng.h"
#include "host/memory.h"
#include "host/random.h"
#include "test/unit/fake_driver.h"
#include "test/unit/fake_frames.h"

static const struct s2_format format = { .name = "EPT", .table_bits = 7, .leaf_bits = 6 << 3,
	.large_bit = BIT(7), .present = 7, .read = BIT(0), .write = BIT(1), .exec = BIT(2) };

#define QUEUES 6
#define ENTRIES 8
#define QUEUE_AT(queue) (0x200000ULL + (queue) * 0x10000)
#define DATA_AT(queue, entry) (QUEUE_AT(queue) + 0x4000 + (entry) * 0x1000ULL)

static struct vm vm;
static struct virtio_device *device; /* the one under test */
static struct fake_driver drivers[QUEUES];
static uint16_t seen[QUEUES]; /* used entries that the driver has looked at */
static unsigned int signals[QUEUES], breaks;
static struct vm_work *queued;

/* --- What devices need of the virtio core --- */

int virtio_add(struct vm *to, struct pci *pci, struct virtio_device *added)
{
	(void)pci;
	assert_ptr_equal(to, &vm);
	device = added;
	device->device.vm = &vm;
	for (unsigned int i = 0; i < device->ring_count; i++)
		ring_reset(&device->rings[i]);
	return 0;
}

bool virtio_is_live(const struct virtio_device *of)
{
	return of->status == VIRTIO_CONFIG_S_DRIVER_OK;
}

void virtio_signal(struct virtio_device *of, unsigned int queue)
{
	if (ring_needs_signal(&of->rings[queue]))
		signals[queue]++;
	else if (of->rings[queue].broken)
		virtio_break(of, "a queue");
}

void virtio_break(struct virtio_device *of, const char *why)
{
	(void)why;
	of->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	breaks++;
}

void vm_work_init(struct vm_work *work, void (*run)(struct vm_work *work))
{
	work->run = run;
}

void vm_work_queue(struct vm *of, struct vm_work *work)
{
	assert_ptr_equal(of, &vm);
	queued = work;
}

void vm_work_cancel(struct vm *of, struct vm_work *work)
{
	assert_ptr_equal(of, &vm);
	if (queued == work)
		queued = NULL;
}

/* How many times work was put off. */
static unsigned int run_work(void)
{
	unsigned int times = 0;

	for (struct vm_work *work = queued; work; work = queued) {
		queued = NULL;
		work->run(work);
		assert_true(++times < 1000);
	}
	return times;
}

/* --- A source of randomness --- */

static bool random_there = true;
static int random_error;
static size_t random_most;

bool random_available(void)
{
	return random_there;
}

int random_bytes(void *buffer, size_t bytes)
{
	memset(buffer, random_error ? 0 : 0x5a, bytes);
	random_most = MAX(random_most, bytes);
	return random_error;
}

/* --- The driver --- */

static void reset_device(void)
{
	device->status = 0;
	device->features = 0;
	for (unsigned int i = 0; i < device->ring_count; i++)
		ring_reset(&device->rings[i]);
	if (device->operations->reset)
		device->operations->reset(device);
}

static void drive(uint64_t features)
{
	assert_int_equal(features & ~device->offered, 0);
	device->features = features;
	for (unsigned int i = 0; i < device->ring_count; i++) {
		gpa_t at = QUEUE_AT(i);

		drivers[i] = (struct fake_driver){ &vm.memory, at, at + 0x1000, at + 0x2000, ENTRIES,
			0 };
		device->rings[i].size = ENTRIES;
		device->rings[i].descriptors = at;
		device->rings[i].available = at + 0x1000;
		device->rings[i].used = at + 0x2000;
		fake_driver_set_index(&drivers[i], 0);
		fake_driver_want(&drivers[i], 0);
		assert_int_equal(ring_enable(&device->rings[i]), 0);
		seen[i] = 0;
		signals[i] = 0;
	}
	device->status = VIRTIO_CONFIG_S_DRIVER_OK;
	if (device->operations->ready)
		device->operations->ready(device);
}

static void notify(unsigned int queue)
{
	device->operations->notified(device, queue);
	if (device->rings[queue].broken)
		virtio_break(device, "a queue");
}

/* Bytes for the device, in a chain of one descriptor. */
static void gives(unsigned int queue, const void *bytes, uint32_t count)
{
	unsigned int entry = drivers[queue].index % ENTRIES;

	fake_driver_set(&drivers[queue], DATA_AT(queue, entry), bytes, count);
	fake_driver_describe(&drivers[queue], entry, DATA_AT(queue, entry), count, 0, 0);
	fake_driver_offer(&drivers[queue], (uint16_t)entry);
}

/* Room for the device. */
static void lends(unsigned int queue, uint32_t count)
{
	unsigned int entry = drivers[queue].index % ENTRIES;

	fake_driver_describe(&drivers[queue], entry, DATA_AT(queue, entry), count,
		VRING_DESC_F_WRITE, 0);
	fake_driver_offer(&drivers[queue], (uint16_t)entry);
}

/* The next chain that came back: how much was written; -1: none did. */
static int64_t got_back(unsigned int queue, void *bytes, uint32_t room)
{
	struct vring_used_elem element;

	if (seen[queue] == fake_driver_used_index(&drivers[queue]))
		return -1;
	element = fake_driver_used(&drivers[queue], seen[queue]++);
	assert_true(element.len <= room);
	fake_driver_get(&drivers[queue], DATA_AT(queue, element.id), bytes, element.len);
	return element.len;
}

/* --- The other side --- */

static char written[2][40000];
static size_t written_bytes[2], output_room;
static unsigned int inputs_ready;

static size_t output(struct virtio_console_port *port, const uint8_t *bytes, size_t count)
{
	size_t which = port->owner ? 1 : 0, taken = MIN(count, output_room);

	memcpy(written[which] + written_bytes[which], bytes, taken);
	written_bytes[which] += taken;
	output_room -= taken;
	return taken;
}

static void input_ready(struct virtio_console_port *port)
{
	(void)port;
	inputs_ready++;
}

static struct virtio_console_port ports[2] = {
	{ .name = NULL, .output = output, .input_ready = input_ready },
	{ .name = "org.log", .output = output, .owner = ports },
};
static struct virtio_console *console;

static int begin(void **state)
{
	(void)state;
	memset(&vm, 0, sizeof(vm));
	assert_int_equal(guest_memory_init(&vm.memory, &format), 0);
	assert_int_equal(guest_memory_add(&vm.memory, 0, MIB(8), false), 0);
	memset(written_bytes, 0, sizeof(written_bytes));
	output_room = ~0UL;
	inputs_ready = breaks = 0;
	random_error = 0;
	random_there = true;
	random_most = 0;
	return 0;
}

static int begin_console(void **state)
{
	begin(state);
	assert_int_equal(virtio_console_create(&vm, NULL, ports, 2, &console), 0);
	assert_int_equal(device->ring_count, QUEUES);
	return 0;
}

static int end(void **state)
{
	(void)state;
	device->operations->destroy(device);
	assert_null(queued);
	guest_memory_destroy(&vm.memory);
	assert_int_equal(fake_frames_in_use, 0);
	return 0;
}

static void tells_device(uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control message = { id, event, value };

	gives(3, &message, sizeof(message));
	notify(3);
}

static void assert_told(uint32_t id, uint16_t event, const char *name)
{
	char bytes[64] = { 0 };
	struct virtio_console_control message;
	int64_t count = got_back(2, bytes, sizeof(bytes));

	assert_int_equal(count, sizeof(message) + strlen(name));
	memcpy(&message, bytes, sizeof(message));
	assert_int_equal(message.id, id);
	assert_int_equal(message.event, event);
	assert_int_equal(message.value, 1);
	assert_string_equal(bytes + sizeof(message), name);
}

static void the_driver_is_told_of_each_port(void **state)
{
	uint8_t none[64];

	(void)state;
	drive(BIT(VIRTIO_CONSOLE_F_MULTIPORT));
	assert_int_equal(device->operations->config_read(device, 4, 4), 2);
	assert_int_equal(device->operations->config_read(device, 0, 2), 0);
	assert_int_equal(device->operations->config_read(device, 11, 1), 0);
	tells_device(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	assert_int_equal(got_back(2, none, sizeof(none)), -1);
	/* What could not be told is told when there is room. */
	lends(2, 64);
	notify(2);
	assert_told(0, VIRTIO_CONSOLE_PORT_ADD, "");
	for (int i = 0; i < 6; i++)
		lends(2, 64);
	notify(2);
	assert_told(1, VIRTIO_CONSOLE_PORT_ADD, "");
	tells_device(0, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_told(0, VIRTIO_CONSOLE_CONSOLE_PORT, "");
	assert_told(0, VIRTIO_CONSOLE_PORT_OPEN, "");
	tells_device(1, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_told(1, VIRTIO_CONSOLE_PORT_NAME, "org.log");
	assert_told(1, VIRTIO_CONSOLE_PORT_OPEN, "");
	assert_int_equal(got_back(2, none, sizeof(none)), -1);
	assert_false(virtio_console_is_open(console, 0));
	tells_device(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_true(virtio_console_is_open(console, 0));
	assert_false(virtio_console_is_open(console, 1));
	tells_device(0, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_false(virtio_console_is_open(console, 0));
	assert_int_equal(breaks, 0);
}

static void nonsense_is_passed_over(void **state)
{
	uint8_t none[64];

	(void)state;
	drive(BIT(VIRTIO_CONSOLE_F_MULTIPORT));
	lends(2, 64);
	tells_device(2, VIRTIO_CONSOLE_PORT_OPEN, 1);
	tells_device(~0U, VIRTIO_CONSOLE_PORT_READY, 1);
	tells_device(0, 99, 1);
	tells_device(0, VIRTIO_CONSOLE_DEVICE_READY, 0);
	gives(3, "short", 5);
	notify(3);
	assert_int_equal(got_back(2, none, sizeof(none)), -1);
	assert_int_equal(fake_driver_used_index(&drivers[3]), 5);
	/* Too little room for a name: what fits. */
	notify(2);
	tells_device(1, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_int_equal(got_back(2, none, sizeof(none)), 8 + 7);
	lends(2, 3);
	notify(2);
	assert_int_equal(got_back(2, none, sizeof(none)), 3);
	assert_int_equal(breaks, 0);
}

static void output_goes_to_its_port(void **state)
{
	uint8_t none[8];

	(void)state;
	drive(BIT(VIRTIO_CONSOLE_F_MULTIPORT) | BIT(VIRTIO_RING_F_EVENT_IDX));
	gives(1, "hello ", 6);
	gives(1, "world", 5);
	notify(1);
	gives(5, "log", 3);
	notify(5);
	assert_int_equal(written_bytes[0], 11);
	assert_memory_equal(written[0], "hello world", 11);
	assert_int_equal(written_bytes[1], 3);
	assert_int_equal(got_back(1, none, 8), 0);
	assert_int_equal(got_back(1, none, 8), 0);
	assert_int_equal(got_back(1, none, 8), -1);
	assert_int_equal(signals[1], 1);
	assert_null(queued);
}

static void output_waits_for_room(void **state)
{
	uint8_t none[8];

	(void)state;
	drive(BIT(VIRTIO_CONSOLE_F_MULTIPORT));
	output_room = 4;
	gives(1, "abcdefgh", 8);
	gives(1, "ij", 2);
	notify(1);
	assert_int_equal(written_bytes[0], 4);
	assert_int_equal(got_back(1, none, 8), -1);
	assert_null(queued);
	output_room = 3;
	virtio_console_output_ready(console, 0);
	assert_int_equal(written_bytes[0], 7);
	output_room = 100;
	virtio_console_output_ready(console, 0);
	assert_int_equal(written_bytes[0], 10);
	assert_memory_equal(written[0], "abcdefghij", 10);
	assert_int_equal(got_back(1, none, 8), 0);
	assert_int_equal(got_back(1, none, 8), 0);
}

/* A reset in the middle: the next driver's output begins at its beginning. */
static void a_reset_forgets_what_was_sent(void **state)
{
	(void)state;
	drive(BIT(VIRTIO_CONSOLE_F_MULTIPORT));
	output_room = 4;
	gives(1, "abcdefgh", 8);
	notify(1);
	reset_device();
	output_room = 100;
	virtio_console_output_ready(console, 0);
	assert_int_equal(written_bytes[0], 4);
	drive(0);
	gives(1, "xyz", 3);
	notify(1);
	assert_memory_equal(written[0], "abcdxyz", 7);
}

static void much_output_is_served_bit_by_bit(void **state)
{
	static char much[32768];

	(void)state;
	for (size_t i = 0; i < sizeof(much); i++)
		much[i] = (char)(i * 7);
	drive(0);
	for (unsigned int i = 0; i < ENTRIES; i++)
		gives(1, much + i * 4096, 4096);
	notify(1);
	assert_int_equal(written_bytes[0], 4096);
	assert_true(run_work() >= 7);
	assert_int_equal(written_bytes[0], sizeof(much));
	assert_memory_equal(written[0], much, sizeof(much));
	/* Work that was put off dies with a reset. */
	gives(1, much, 4096);
	gives(1, much, 4096);
	notify(1);
	assert_non_null(queued);
	reset_device();
	assert_null(queued);
}

static void input_fills_the_drivers_buffers(void **state)
{
	char bytes[16] = { 0 };

	(void)state;
	/* Nobody there: it vanishes. */
	assert_int_equal(virtio_console_input(console, 0, (const uint8_t *)"lost", 4), 4);
	drive(0);
	assert_true(virtio_console_is_open(console, 0));
	assert_int_equal(virtio_console_input(console, 0, (const uint8_t *)"abcdef", 6), 0);
	lends(0, 4);
	notify(0);
	assert_int_equal(inputs_ready, 1);
	assert_int_equal(virtio_console_input(console, 0, (const uint8_t *)"abcdef", 6), 4);
	assert_int_equal(got_back(0, bytes, sizeof(bytes)), 4);
	assert_memory_equal(bytes, "abcd", 4);
	assert_int_equal(signals[0], 1);
	lends(0, 4);
	lends(0, 4);
	notify(0);
	assert_int_equal(inputs_ready, 2);
	assert_int_equal(virtio_console_input(console, 0, (const uint8_t *)"ef", 2), 2);
	notify(0);
	assert_int_equal(inputs_ready, 2);
	/* What waits for room when the driver goes vanishes. */
	assert_int_equal(virtio_console_input(console, 0, (const uint8_t *)"1234567", 7), 4);
	reset_device();
	assert_int_equal(inputs_ready, 3);
	assert_int_equal(virtio_console_input(console, 0, (const uint8_t *)"567", 3), 3);
}

static void a_broken_queue_breaks_the_console_alone(void **state)
{
	(void)state;
	drive(BIT(VIRTIO_CONSOLE_F_MULTIPORT));
	fake_driver_set_index(&drivers[1], 100);
	notify(1);
	assert_true(breaks > 0);
	assert_false(virtio_console_is_open(console, 0));
	assert_int_equal(virtio_console_input(console, 0, (const uint8_t *)"x", 1), 1);
	virtio_console_output_ready(console, 0);
	breaks = 0;
	reset_device();
	drive(0);
	gives(1, "fine", 4);
	notify(1);
	assert_memory_equal(written[0], "fine", 4);
	assert_int_equal(breaks, 0);
}

/* --- Randomness --- */

static int begin_rng(void **state)
{
	begin(state);
	assert_int_equal(virtio_rng_create(&vm, NULL), 0);
	drive(0);
	return 0;
}

static void requests_are_filled(void **state)
{
	uint8_t bytes[600];

	(void)state;
	lends(0, 64);
	notify(0);
	assert_int_equal(got_back(0, bytes, sizeof(bytes)), 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(bytes[i], 0x5a);
	assert_int_equal(signals[0], 1);
	assert_null(queued);
}

static void large_requests_get_a_part(void **state)
{
	uint8_t bytes[4096];
	int64_t sum = 0, part;

	(void)state;
	for (int i = 0; i < ENTRIES; i++)
		lends(0, 4096);
	notify(0);
	assert_int_equal(fake_driver_used_index(&drivers[0]), 1);
	assert_true(run_work() >= ENTRIES - 1);
	while ((part = got_back(0, bytes, sizeof(bytes))) >= 0) {
		assert_in_range(part, 1, 256);
		sum += part;
	}
	assert_int_equal(sum, ENTRIES * 256);
	assert_int_equal(random_most, 256);
	lends(0, 300);
	lends(0, 300);
	notify(0);
	reset_device();
	assert_null(queued);
}

static void without_room_or_bytes_it_breaks(void **state)
{
	(void)state;
	gives(0, "read this", 9);
	notify(0);
	assert_int_equal(breaks, 1);
	reset_device();
	drive(0);
	random_error = -EIO;
	lends(0, 64);
	notify(0);
	assert_int_equal(breaks, 2);
	assert_int_equal(fake_driver_used_index(&drivers[0]), 0);
}

static void no_source_no_device(void **state)
{
	struct virtio_device *before = device;

	(void)state;
	random_there = false;
	assert_int_equal(virtio_rng_create(&vm, NULL), -ENODEV);
	assert_ptr_equal(device, before);
}

int main(void)
{
#define CONSOLE(name) cmocka_unit_test_setup_teardown(name, begin_console, end)
#define RNG(name) cmocka_unit_test_setup_teardown(name, begin_rng, end)
	const struct CMUnitTest tests[] = {
		CONSOLE(the_driver_is_told_of_each_port),
		CONSOLE(nonsense_is_passed_over),
		CONSOLE(output_goes_to_its_port),
		CONSOLE(output_waits_for_room),
		CONSOLE(a_reset_forgets_what_was_sent),
		CONSOLE(much_output_is_served_bit_by_bit),
		CONSOLE(input_fills_the_drivers_buffers),
		CONSOLE(a_broken_queue_breaks_the_console_alone),
		RNG(requests_are_filled),
		RNG(large_requests_get_a_part),
		RNG(without_room_or_bytes_it_breaks),
		RNG(no_source_no_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
