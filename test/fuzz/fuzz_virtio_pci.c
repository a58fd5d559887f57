/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the virtio core and its PCI transport: the input is what a guest does to the configuration spaces, the BARs
 * (wherever it has moved them) and the memory of two devices, one of which keeps requests for a while. Nothing may
 * crash, BARs never decode over RAM, and whatever has happened: a reset of the device alone is enough for a driver to
 * work with it again.
 */
#include <string.h>

#include "test/fuzz/input.h"
#include "test/unit/fake_driver.h"
#include "test/unit/fake_pci.h"

#define QUEUES 2
#define HELD_MAX 64

/* Queue 0 is answered at once, queue 1 when the input says so. */
struct echo {
	struct virtio_device virtio;
	struct virtio_ring rings[QUEUES];
	uint8_t config[12];
	unsigned int held;
	uint16_t heads[HELD_MAX];
	unsigned int holds[HELD_MAX];
	bool stale; /* what is held is from before a reset */
};

static struct echo *echoes[2];

static uint32_t config_read(struct virtio_device *device, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	require(offset + size <= sizeof(echoes[0]->config));
	memcpy(&value, container_of(device, struct echo, virtio)->config + offset, size);
	return value;
}

static void config_write(struct virtio_device *device, unsigned int offset, unsigned int size, uint32_t value)
{
	require(offset + size <= sizeof(echoes[0]->config));
	memcpy(container_of(device, struct echo, virtio)->config + offset, &value, size);
}

static void answer(struct virtio_device *device, unsigned int queue, struct virtio_chain *chain)
{
	struct virtio_ring *ring = &device->rings[queue];
	uint8_t bytes[64];
	uint32_t count = chain_read(ring, chain, 0, bytes, sizeof(bytes));

	ring_push(ring, chain->head, chain_write(ring, chain, 0, bytes, count));
}

static void notified(struct virtio_device *device, unsigned int queue)
{
	struct echo *echo = container_of(device, struct echo, virtio);
	struct virtio_ring *ring = &device->rings[queue];
	static struct virtio_chain chain;

	require(virtio_is_live(device) && ring->enabled);
	require(device->features & BIT(VIRTIO_F_VERSION_1) && !(device->features & ~device->offered));
	if (queue == 0) {
		while (ring_pop(ring, &chain) == 1)
			answer(device, queue, &chain);
		virtio_signal(device, queue);
		return;
	}
	while (ring_pop(ring, &chain) == 1) {
		require(echo->held < ring->size);
		echo->heads[echo->held++] = chain.head;
		echo->holds[echo->held - 1] = virtio_begin(device);
	}
}

static void reset(struct virtio_device *device)
{
	struct echo *echo = container_of(device, struct echo, virtio);

	echo->stale = echo->held > 0;
	for (unsigned int i = 0; i < QUEUES; i++)
		require(!echo->rings[i].enabled && !echo->rings[i].broken);
}

static void finish(struct echo *echo, unsigned int count)
{
	PC_LOCKED({
		while (echo->held && count--) {
			uint16_t head = echo->heads[--echo->held];
			unsigned int hold = echo->holds[echo->held];

			if (!echo->stale)
				ring_push(&echo->rings[1], head, 0);
			vm_io_end(&pc.vm, hold);
			virtio_end(&echo->virtio);
		}
		if (!echo->stale)
			virtio_signal(&echo->virtio, 1);
		if (!echo->held)
			echo->stale = false;
	});
}

static void destroy(struct virtio_device *device)
{
	free(container_of(device, struct echo, virtio));
}

static const struct virtio_operations operations = { .id = VIRTIO_ID_RNG, .class_code = 0xff0000, .config_bytes = 12,
	.config_read = config_read, .config_write = config_write, .notified = notified, .reset = reset,
	.destroy = destroy };

static struct platform *platform;

static struct echo *plug(void)
{
	struct echo *echo = calloc(1, sizeof(*echo));

	require(echo);
	echo->virtio.operations = &operations;
	echo->virtio.offered = BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC);
	echo->virtio.rings = echo->rings;
	echo->virtio.ring_count = QUEUES;
	for (unsigned int i = 0; i < QUEUES; i++) {
		echo->rings[i].memory = &pc.vm.memory;
		echo->rings[i].size_max = HELD_MAX;
	}
	require(virtio_add(&pc.vm, platform->pci, &echo->virtio) == 0);
	return echo;
}

/* As a driver finds it now: with a request that is echoed. */
static void works(unsigned int slot)
{
	struct fake_driver driver = { &pc.vm.memory, 0x1000, 0x2000, 0x3000, 8, 0 };
	struct fake_virtio virtio;
	char answered[4];

	config_out(slot, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	config_out(slot, PCI_BASE_ADDRESS_0, 4, 0xe000 + slot * 16);
	config_out(slot, PCI_BASE_ADDRESS_1, 4, 0xdf000000 + slot * 0x10000);
	fake_virtio_find(&virtio, slot);
	memset(pc.ram, 0, sizeof(pc.ram));
	require(fake_virtio_negotiate(&virtio, BIT(VIRTIO_F_VERSION_1)));
	fake_virtio_set_queue(&virtio, 0, 8, 0x1000, 0x2000, 0x3000);
	fake_virtio_set_status(&virtio, STATUS_LIVE);
	fake_driver_describe(&driver, 0, 0x4000, 4, VRING_DESC_F_NEXT, 1);
	fake_driver_describe(&driver, 1, 0x5000, 4, VRING_DESC_F_WRITE, 0);
	fake_driver_set(&driver, 0x4000, "ping", 4);
	fake_driver_offer(&driver, 0);
	fake_virtio_notify(&virtio, 0);
	require(fake_driver_used_index(&driver) == 1);
	fake_driver_get(&driver, 0x5000, answered, 4);
	require(!memcmp(answered, "ping", 4));
	require(fake_virtio_status(&virtio) == STATUS_LIVE);
}

static void no_bar_over_ram(void)
{
	for (size_t i = 0; i < pc.vm.mmio.count; i++) {
		const struct io_region *region = pc.vm.mmio.regions[i];

		require(!guest_memory_overlaps(&pc.vm.memory, region->start, region->length));
		if (i > 0)
			require(region->start >= pc.vm.mmio.regions[i - 1]->start + pc.vm.mmio.regions[i - 1]->length);
	}
}

static gpa_t take_gpa(void)
{
	return take(1) & 7 ? take(2) : take(8);
}

static void write_memory(void)
{
	gpa_t at = take(2);
	unsigned int count = take(1) % 32;
	uint8_t bytes[32];

	for (unsigned int i = 0; i < count; i++)
		bytes[i] = take(1);
	if (at + count <= FAKE_PC_RAM_BYTES)
		memcpy(pc.ram + at, bytes, count);
}

static void use_bar(unsigned int slot)
{
	unsigned int bar = take(1) & 1, size = 1U << take(1) % 4;
	gpa_t base = bar_in(slot, bar);
	uint32_t offset = take(1) & 3 ? take(1) : take(2) & 0x3fff;

	if (!bar && take(1) & 1)
		pc_out(base + offset % 8, MIN(size, 4), take(size));
	else if (!bar)
		pc_in(base + offset % 8, MIN(size, 4));
	else if (take(1) & 3)
		pc_mmio_out(base + offset, size, take(size));
	else
		pc_mmio_in(base + offset, size);
}

static void set_queue(unsigned int slot)
{
	gpa_t common = bar_in(slot, 1);
	struct fake_virtio virtio = { .slot = slot, .common = common };

	if (take(1) & 1)
		fake_virtio_negotiate(&virtio, take(1) ? BIT(VIRTIO_F_VERSION_1) | take(4) : take(8));
	fake_virtio_set_queue(&virtio, take(1) % 3, take(1) & 1 ? 1 << take(1) % 8 : take(2), take_gpa() & ~15ULL,
		take_gpa() & ~1ULL, take_gpa() & ~3ULL);
	if (take(1) & 1)
		fake_virtio_set_status(&virtio, STATUS_LIVE);
}

static void step(void)
{
	unsigned int slot = 1 + (take(1) & 1), choice = take(1) % 16;
	struct echo *echo = echoes[slot - 1];

	switch (choice) {
	case 0:
	case 1:
		config_out(slot, take(1), 1U << take(1) % 3, take(4));
		break;
	case 2:
		config_in(slot, take(1), 1U << take(1) % 3);
		break;
	case 3:
		pc_mmio_out(PCI_ECAM_BASE + (take(3) & 0x1ffff), 1U << take(1) % 4, take(4));
		break;
	case 4:
		pc_mmio_in(PCI_ECAM_BASE + (take(3) & 0x1ffff), 1U << take(1) % 4);
		break;
	case 5:
	case 6:
	case 7:
		use_bar(slot);
		break;
	case 8:
		set_queue(slot);
		break;
	case 9:
	case 10:
	case 11:
		write_memory();
		break;
	case 12:
		pc_out(bar_in(slot, 0), 2, take(1) % 3);
		break;
	case 13:
		finish(echo, take(1) % 8);
		break;
	case 14:
		PC_LOCKED(virtio_config_changed(&echo->virtio));
		break;
	case 15:
		pc_take_interrupt(0);
		lapic_write32(0, 0xb0, 0);
		break;
	}
	require(pc.vm.lock.next == pc.vm.lock.owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct platform_options options = { .low_ram_bytes = MIB(256) };

	input_begin(data, size);
	fake_pc_begin(1);
	require(platform_create(&pc.vm, &options, &platform) == 0);
	echoes[0] = plug();
	echoes[1] = plug();
	lapic_write32(0, 0xf0, 0x1ff);
	while (input_left)
		step();
	no_bar_over_ram();
	require(pc.log_lines <= 2);
	/* Out of each other's way. */
	config_out(1, PCI_COMMAND, 2, 0);
	config_out(2, PCI_COMMAND, 2, 0);
	for (unsigned int i = 0; i < 2; i++) {
		finish(echoes[i], ~0U);
		works(i + 1);
	}
	require(pc.vm.io_in_flight == 0);
	fake_pc_end();
	return 0;
}
