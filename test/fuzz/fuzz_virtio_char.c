/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-console and virtio-rng, whose drivers do what the input says, and whose other side takes output and
 * offers input as it says: no memory but the guest's is touched (the sanitizers look), work always comes to an
 * end, nobody is given more than there is, and after a reset a line goes through.
 */
#include <string.h>

#include <linux/virtio_console.h>

#include "devices/virtio/console.h"
#include "devices/virtio/rng.h"
#include "host/random.h"
#include "test/fuzz/driver.h"

#define WORK_LIMIT 100000

static struct fake_virtio guests[2]; /* with a console, and with randomness */
static struct virtio_console *console;
static size_t room;      /* for output, at the other side */
static uint64_t written; /* of output, ever */
static bool no_random;

bool random_available(void)
{
	return true;
}

int random_bytes(void *buffer, size_t bytes)
{
	memset(buffer, 0x5a, bytes);
	return no_random ? -EIO : 0;
}

static size_t output(struct virtio_console_port *port, const uint8_t *bytes, size_t count)
{
	static uint8_t kept[4096];
	size_t taken = MIN(MIN(count, room), sizeof(kept));

	(void)port;
	memcpy(kept, bytes, taken);
	room -= taken;
	written += taken;
	return taken;
}

/* The other side offers again what was refused. */
static void input_ready(struct virtio_console_port *port)
{
	static const uint8_t more[] = { 1 };

	(void)port;
	require(virtio_console_input(console, 0, more, 0) == 0);
}

static struct virtio_console_port ports[2] = {
	{ .name = "first", .output = output, .input_ready = input_ready },
	{ .name = "second", .output = output },
};

static void start(unsigned int guest, uint64_t features)
{
	fake_virtio_start(&guests[guest], features & guests[guest].device->offered, (uint16_t)(8 << (next8() & 1)));
}

static void create(void)
{
	fake_virtio_create(&guests[0], "console");
	require(virtio_console_create(&guests[0].vm, NULL, ports, 2, &console) == 0);
	fake_virtio_create(&guests[1], "rng");
	require(virtio_rng_create(&guests[1].vm, NULL) == 0);
}

static void describe(struct fake_driver *driver)
{
	unsigned int index = next8() % driver->size;
	gpa_t gpa = place_of(next8(), 6);
	uint32_t bytes = next16();

	fake_driver_describe(driver, index, gpa, bytes, next8() & 7, next8());
}

/* A control message, more or less. */
static void write_message(struct fake_driver *driver)
{
	struct virtio_console_control message = { next8() & 3, next8() & 7, next8() & 1 };

	fake_driver_set(driver, DATA + 0x1000ULL * (next8() & 31), &message, sizeof(message));
}

static void other_side(void)
{
	uint8_t what = next8(), bytes[64] = { 0 };
	size_t count = what >> 2;

	switch (what & 3) {
	case 0:
		room = next16();
		virtio_console_output_ready(console, what >> 7);
		break;
	case 1:
		room = ~0UL;
		virtio_console_output_ready(console, 0);
		break;
	case 2:
		no_random = what & 4;
		break;
	default:
		require(virtio_console_input(console, what >> 7, bytes, count) <= count);
	}
}

static void step(void)
{
	uint8_t what = next8();
	unsigned int guest = what >> 7;
	struct fake_virtio *fake = &guests[guest];
	unsigned int queue = (what >> 4 & 7) % fake->device->ring_count;
	struct fake_driver *driver = &fake->queues[queue];

	switch (what & 15) {
	case 0:
		start(guest, ~0ULL);
		break;
	case 1:
		start(guest, (uint64_t)next16() << 16 | next16());
		break;
	case 2:
		fake_virtio_reset(fake);
		break;
	case 3:
		fake_virtio_work(1 + next8());
		break;
	case 4:
	case 5:
		fake_virtio_notify(fake, queue);
		break;
	case 6:
		write_message(driver);
		break;
	case 7:
		other_side();
		break;
	case 8:
		fake_driver_set_index(driver, next16());
		break;
	case 9:
		fake_driver_used_event(driver, next16());
		break;
	case 10:
		fake_driver_set16(driver, place_of(next8(), 6) % (FAKE_VIRTIO_RAM - 2), next16());
		break;
	case 11:
	case 12:
		fake_driver_offer(driver, next8());
		break;
	default:
		describe(driver);
	}
}

/* Whatever was done: a reset mends it. */
static void check_that_it_works(void)
{
	uint64_t before;

	room = ~0UL;
	no_random = false;
	fake_virtio_start(&guests[0], 0, 8);
	before = written;
	fake_driver_describe(&guests[0].queues[1], 0, DATA, 100, 0, 0);
	fake_driver_offer(&guests[0].queues[1], 0);
	fake_virtio_notify(&guests[0], 1);
	require(written == before + 100);
	fake_virtio_start(&guests[1], 0, 8);
	fake_driver_describe(&guests[1].queues[0], 0, DATA, 100, VRING_DESC_F_WRITE, 0);
	fake_driver_offer(&guests[1].queues[0], 0);
	fake_virtio_notify(&guests[1], 0);
	require(fake_driver_used(&guests[1].queues[0], 0).len == 100);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!guests[0].device)
		create();
	input_begin(data, size);
	room = ~0UL;
	start(0, ~0ULL);
	start(1, ~0ULL);
	while (input_left)
		step();
	require(fake_virtio_work(WORK_LIMIT) < WORK_LIMIT);
	check_that_it_works();
	for (unsigned int i = 0; i < 2; i++)
		fake_virtio_reset(&guests[i]);
	return 0;
}
