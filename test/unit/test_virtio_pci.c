/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio device that echoes, as a guest's driver meets it: PCI transport, status, queues, interrupts, reset. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "test/unit/fake_driver.h"
#include "test/unit/fake_pci.h"

#define QUEUES 3
#define FEATURES (BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(5))
#define VERSION_1 BIT(VIRTIO_F_VERSION_1)

static struct platform *platform;

static struct echo {
	struct virtio_device virtio;
	struct virtio_ring rings[QUEUES];
	uint8_t config[6];
	unsigned int notified[QUEUES], readies, resets, destroyed;
} *echo;

static uint32_t echo_config_read(struct virtio_device *device, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	assert_ptr_equal(device, &echo->virtio);
	memcpy(&value, echo->config + offset, size);
	return value;
}

static void echo_config_write(struct virtio_device *device, unsigned int offset, unsigned int size, uint32_t value)
{
	(void)device;
	memcpy(echo->config + offset, &value, size);
}

static void echo_ready(struct virtio_device *device)
{
	(void)device;
	echo->readies++;
}

static void echo_notified(struct virtio_device *device, unsigned int queue)
{
	struct virtio_ring *ring = &echo->rings[queue];
	struct virtio_chain chain;

	assert_true(virtio_is_live(device));
	echo->notified[queue]++;
	if (queue == 2)
		return;
	do {
		ring_want_notifications(ring, false);
		while (ring_pop(ring, &chain) == 1) {
			uint8_t bytes[16];
			uint32_t count = chain_read(ring, &chain, 0, bytes, sizeof(bytes));

			ring_push(ring, chain.head, chain_write(ring, &chain, 0, bytes, count));
		}
	} while (ring_want_notifications(ring, true));
	virtio_signal(device, queue);
}

static void echo_reset(struct virtio_device *device)
{
	(void)device;
	echo->resets++;
}

static unsigned int destroyed;

static void echo_destroy(struct virtio_device *device)
{
	destroyed++;
	free(container_of(device, struct echo, virtio));
}

static const struct virtio_operations operations = { .id = VIRTIO_ID_RNG, .class_code = 0x00ff00,
	.config_bytes = 6, .config_read = echo_config_read, .config_write = echo_config_write,
	.ready = echo_ready, .notified = echo_notified, .reset = echo_reset, .destroy = echo_destroy };

static struct fake_virtio virtio;
static struct fake_driver driver;

static struct echo *make(void)
{
	struct echo *made = calloc(1, sizeof(*made));

	assert_non_null(made);
	made->virtio.operations = &operations;
	made->virtio.offered = FEATURES;
	made->virtio.rings = made->rings;
	made->virtio.ring_count = QUEUES;
	for (unsigned int i = 0; i < QUEUES; i++) {
		made->rings[i].memory = &pc.vm.memory;
		made->rings[i].size_max = 64;
	}
	return made;
}

static int begin(void **state)
{
	static const struct platform_options options = { .low_ram_bytes = MIB(256) };

	(void)state;
	fake_pc_begin(2);
	assert_int_equal(platform_create(&pc.vm, &options, &platform), 0);
	echo = make();
	assert_int_equal(virtio_add(&pc.vm, platform->pci, &echo->virtio), 0);
	fake_virtio_find(&virtio, 1);
	lapic_write32(0, 0xf0, 0x1ff);
	driver = (struct fake_driver){ &pc.vm.memory, 0x1000, 0x2000, 0x3000, 8, 0 };
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_pc_end();
	return 0;
}

/* Queue 0 is set up, the device live. */
static void start(uint64_t features)
{
	assert_true(fake_virtio_negotiate(&virtio, VERSION_1 | features));
	memset(pc.ram, 0, sizeof(pc.ram));
	driver.index = 0;
	fake_virtio_set_queue(&virtio, 0, 8, 0x1000, 0x2000, 0x3000);
	fake_virtio_set_status(&virtio, STATUS_LIVE);
	assert_int_equal(fake_virtio_status(&virtio), STATUS_LIVE);
}

static void offer_echo(void)
{
	fake_driver_describe(&driver, 0, 0x4000, 4, VRING_DESC_F_NEXT, 1);
	fake_driver_describe(&driver, 1, 0x5000, 4, VRING_DESC_F_WRITE, 0);
	fake_driver_set(&driver, 0x4000, "ping", 4);
	fake_driver_offer(&driver, 0);
}

static void it_is_found(void **state)
{
	(void)state;
	assert_int_equal(config_in(1, PCI_VENDOR_ID, 4), 0x10441af4);
	assert_int_equal(config_in(1, PCI_CLASS_REVISION, 4), 0x00ff0001);
	assert_int_equal(config_in(1, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x10441af4);
	assert_int_equal(config_in(1, PCI_INTERRUPT_LINE, 2), 0x0100 | IRQ_PCI_B);
	assert_int_equal(config_in(1, PCI_COMMAND, 2), PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	assert_true(virtio.common && virtio.isr && virtio.config && virtio.notify_port && virtio.notify_memory);
	assert_true(virtio.notify_port < 0x10000);
	assert_int_equal(structure_at(1, VIRTIO_PCI_CAP_DEVICE_CFG, 1), 0);
	assert_int_equal(fake_virtio_offered(&virtio), FEATURES | VERSION_1);
	pc_write32(virtio.common + VIRTIO_PCI_COMMON_DFSELECT, 2);
	assert_int_equal(pc_read32(virtio.common + VIRTIO_PCI_COMMON_DF), 0);
	assert_int_equal(pc_mmio_in(virtio.common + VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	fake_virtio_select(&virtio, 2);
	assert_int_equal(pc_mmio_in(virtio.common + VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
	assert_int_equal(pc_mmio_in(virtio.common + VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	fake_virtio_select(&virtio, 3);
	assert_int_equal(pc_mmio_in(virtio.common + VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	assert_int_equal(pc_mmio_in(virtio.common + VIRTIO_PCI_COMMON_Q_SELECT, 2), 3);
}

static void registers_read_back(void **state)
{
	static const uint8_t wide[] = { VIRTIO_PCI_COMMON_DFSELECT, VIRTIO_PCI_COMMON_GFSELECT,
		VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_PCI_COMMON_Q_DESCHI, VIRTIO_PCI_COMMON_Q_AVAILLO,
		VIRTIO_PCI_COMMON_Q_AVAILHI, VIRTIO_PCI_COMMON_Q_USEDLO, VIRTIO_PCI_COMMON_Q_USEDHI };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wide); i++)
		pc_write32(virtio.common + wide[i], 0x01010101 * (i + 1));
	for (size_t i = 0; i < ARRAY_SIZE(wide); i++) {
		assert_int_equal(pc_read32(virtio.common + wide[i]), 0x01010101 * (i + 1));
		pc_write32(virtio.common + wide[i], 0);
	}
	fake_virtio_accept(&virtio, 0x1122334455667788);
	assert_int_equal(pc_read32(virtio.common + VIRTIO_PCI_COMMON_GF), 0x11223344);
	pc_write32(virtio.common + VIRTIO_PCI_COMMON_GFSELECT, 0);
	assert_int_equal(pc_read32(virtio.common + VIRTIO_PCI_COMMON_GF), 0x55667788);
	pc_write32(virtio.common + VIRTIO_PCI_COMMON_GFSELECT, 2);
	pc_write32(virtio.common + VIRTIO_PCI_COMMON_GF, ~0U);
	assert_int_equal(pc_read32(virtio.common + VIRTIO_PCI_COMMON_GF), 0);
	assert_true(echo->virtio.accepted == 0x1122334455667788);
	pc_mmio_out(virtio.common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 16);
	assert_int_equal(pc_mmio_in(virtio.common + VIRTIO_PCI_COMMON_Q_SIZE, 2), 16);
	/* By an access of another width nothing changes, nor where nothing is, nor for a queue that is not there. */
	pc_mmio_out(virtio.common + VIRTIO_PCI_COMMON_Q_SIZE, 1, 32);
	pc_mmio_out(virtio.common + VIRTIO_PCI_COMMON_DFSELECT, 2, 5);
	pc_mmio_out(virtio.common + VIRTIO_PCI_COMMON_STATUS, 2, 5);
	pc_write32(virtio.common + VIRTIO_PCI_COMMON_NUMQ - 2, ~0U);
	assert_int_equal(pc_mmio_in(virtio.common + VIRTIO_PCI_COMMON_Q_SIZE, 2), 16);
	assert_int_equal(pc_read32(virtio.common + VIRTIO_PCI_COMMON_DFSELECT), 0);
	assert_int_equal(fake_virtio_status(&virtio), 0);
	assert_int_equal(pc_read32(virtio.common + 56), 0);
	assert_int_equal(pc_read32(virtio.common + 0x80), 0);
	fake_virtio_select(&virtio, QUEUES);
	pc_mmio_out(virtio.common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 8);
	pc_write32(virtio.common + VIRTIO_PCI_COMMON_Q_DESCLO, 8);
	assert_int_equal(pc_read32(virtio.common + VIRTIO_PCI_COMMON_Q_DESCLO), 0);
	/* The port says nothing. */
	assert_int_equal(pc_in(virtio.notify_port, 4), 0);
	/* What is set up stays, once it is enabled. */
	start(0);
	fake_virtio_select(&virtio, 0);
	pc_write32(virtio.common + VIRTIO_PCI_COMMON_Q_DESCLO, 0x7000);
	pc_mmio_out(virtio.common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 4);
	pc_mmio_out(virtio.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	pc_mmio_out(virtio.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
	assert_int_equal(echo->rings[0].descriptors, 0x1000);
	assert_int_equal(echo->rings[0].size, 8);
	assert_true(echo->rings[0].enabled);
	assert_int_equal(fake_virtio_status(&virtio), STATUS_LIVE);
}

static void a_bus_without_room_takes_no_more(void **state)
{
	struct echo *other = make();

	(void)state;
	platform->pci->next_memory = PCI_BARS_MEMORY_END;
	assert_int_equal(virtio_add(&pc.vm, platform->pci, &other->virtio), -ENOSPC);
	assert_null(other->virtio.pci);
	assert_int_equal(config_in(2, 0, 4), ~0U);
	fake_pc_reset_devices();
}

static void features_are_agreed_on(void **state)
{
	(void)state;
	assert_true(fake_virtio_negotiate(&virtio, VERSION_1));
	assert_int_equal(echo->virtio.features, VERSION_1);
	/* Settled: what is written now does not count. */
	fake_virtio_accept(&virtio, VERSION_1 | FEATURES);
	assert_int_equal(echo->virtio.accepted, VERSION_1);
	assert_false(fake_virtio_negotiate(&virtio, 0));
	assert_false(fake_virtio_negotiate(&virtio, FEATURES));
	assert_false(fake_virtio_negotiate(&virtio, VERSION_1 | BIT(6)));
	assert_false(fake_virtio_negotiate(&virtio, VERSION_1 | BIT(63)));
	assert_int_equal(echo->virtio.features, 0);
	/* Then there is no going on. */
	fake_virtio_set_status(&virtio, STATUS_LIVE);
	assert_int_equal(fake_virtio_status(&virtio), STATUS_DRIVER);
	assert_int_equal(echo->readies, 0);
	fake_virtio_accept(&virtio, VERSION_1 | BIT(5));
	fake_virtio_set_status(&virtio, STATUS_FEATURES);
	assert_int_equal(fake_virtio_status(&virtio), STATUS_FEATURES);
	fake_virtio_set_status(&virtio, STATUS_LIVE);
	assert_int_equal(echo->readies, 1);
	fake_virtio_set_status(&virtio, STATUS_LIVE); /* nothing new */
	assert_int_equal(echo->readies, 1);
	/* Bits stay, and only those that are a driver's can be set. */
	fake_virtio_set_status(&virtio, 1);
	assert_int_equal(fake_virtio_status(&virtio), STATUS_LIVE);
	fake_virtio_set_status(&virtio, 0x70 | VIRTIO_CONFIG_S_FAILED);
	assert_int_equal(fake_virtio_status(&virtio), STATUS_LIVE | VIRTIO_CONFIG_S_FAILED);
	fake_virtio_set_status(&virtio, 0);
	assert_int_equal(fake_virtio_status(&virtio), 0);
}

static void requests_go_through(void **state)
{
	uint8_t answer[4];

	(void)state;
	start(FEATURES);
	offer_echo();
	fake_virtio_notify(&virtio, 0);
	assert_int_equal(fake_driver_used_index(&driver), 1);
	assert_int_equal(fake_driver_used(&driver, 0).len, 4);
	fake_driver_get(&driver, 0x5000, answer, 4);
	assert_memory_equal(answer, "ping", 4);
	/* By memory, too. */
	fake_driver_offer(&driver, 0);
	pc_mmio_out(virtio.notify_memory, 2, 0);
	assert_int_equal(fake_driver_used_index(&driver), 2);
	/* Not there, not enabled, not yet or no longer live. */
	fake_virtio_notify(&virtio, 1);
	fake_virtio_notify(&virtio, QUEUES);
	fake_virtio_notify(&virtio, 0xffff);
	assert_int_equal(echo->notified[0], 2);
	assert_int_equal(echo->notified[1], 0);
	fake_virtio_set_status(&virtio, 0);
	fake_virtio_notify(&virtio, 0);
	assert_int_equal(echo->notified[0], 2);
}

static void the_pin_interrupts(void **state)
{
	(void)state;
	pc_write32(IOAPIC_BASE, 0x10 + 2 * IRQ_PCI_B);
	pc_write32(IOAPIC_BASE + 0x10, 0x8055);
	start(0);
	offer_echo();
	fake_virtio_notify(&virtio, 0);
	assert_int_equal(pc_take_interrupt(0), 0x55);
	assert_int_equal(config_in(1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	lapic_write32(0, 0xb0, 0);
	assert_int_equal(pc_take_interrupt(0), 0x55);
	assert_int_equal(pc_mmio_in(virtio.isr, 1), 1);
	assert_int_equal(pc_mmio_in(virtio.isr, 1), 0);
	assert_int_equal(config_in(1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, 0);
	lapic_write32(0, 0xb0, 0);
	assert_int_equal(pc_take_interrupt(0), -1);
	/* Masked by the command register, it is told, and comes later. */
	config_out(1, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	PC_LOCKED(virtio_config_changed(&echo->virtio));
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_int_equal(config_in(1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
	config_out(1, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	assert_int_equal(pc_take_interrupt(0), 0x55);
	assert_int_equal(pc_mmio_in(virtio.isr, 1), 2);
	assert_int_equal(pc_mmio_in(virtio.common + VIRTIO_PCI_COMMON_CFGGENERATION, 1), 1);
	lapic_write32(0, 0xb0, 0);
	/* Gone with the device's reset. */
	PC_LOCKED(virtio_config_changed(&echo->virtio));
	assert_int_equal(pc_take_interrupt(0), 0x55);
	fake_virtio_set_status(&virtio, 0);
	lapic_write32(0, 0xb0, 0);
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_int_equal(pc_mmio_in(virtio.isr, 1), 0);
}

static void messages_interrupt(void **state)
{
	(void)state;
	start(0);
	fake_virtio_set_msix(&virtio, PCI_MSIX_FLAGS_ENABLE);
	fake_virtio_set_vector(&virtio, 0, 2, 0x61);
	fake_virtio_set_vector(&virtio, -1, 0, 0x60);
	assert_int_equal(pc_mmio_in(virtio.common + VIRTIO_PCI_COMMON_Q_MSIX, 2), 2);
	offer_echo();
	fake_virtio_notify(&virtio, 0);
	assert_int_equal(pc_take_interrupt(0), 0x61);
	lapic_write32(0, 0xb0, 0);
	assert_int_equal(pc_mmio_in(virtio.isr, 1), 0);
	PC_LOCKED(virtio_config_changed(&echo->virtio));
	assert_int_equal(pc_take_interrupt(0), 0x60);
	lapic_write32(0, 0xb0, 0);
	/* A vector that is not there reads as none, and nothing comes. */
	pc_mmio_out(virtio.common + VIRTIO_PCI_COMMON_MSIX, 2, QUEUES + 1);
	assert_int_equal(pc_mmio_in(virtio.common + VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	PC_LOCKED(virtio_config_changed(&echo->virtio));
	assert_int_equal(pc_take_interrupt(0), -1);
	/* Masked: pending, and sent when it is not. Once. */
	pc_write32(virtio.table + 16 * 2 + 12, 1);
	for (unsigned int i = 0; i < 2; i++) {
		fake_driver_offer(&driver, 0);
		fake_virtio_notify(&virtio, 0);
	}
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_int_equal(pc_read32(virtio.pending), BIT(2));
	pc_write32(virtio.pending, 0);
	assert_int_equal(pc_read32(virtio.pending), BIT(2));
	pc_write32(virtio.table + 16 * 2 + 12, 0);
	assert_int_equal(pc_take_interrupt(0), 0x61);
	lapic_write32(0, 0xb0, 0);
	assert_int_equal(pc_take_interrupt(0), -1);
	assert_int_equal(pc_read32(virtio.pending), 0);
	/* The same by the function's mask. */
	fake_virtio_set_msix(&virtio, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	fake_driver_offer(&driver, 0);
	fake_virtio_notify(&virtio, 0);
	assert_int_equal(pc_take_interrupt(0), -1);
	fake_virtio_set_msix(&virtio, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(pc_take_interrupt(0), 0x61);
}

static void a_reset_waits_for_what_is_in_flight(void **state)
{
	(void)state;
	start(0);
	unsigned int holds[2];

	PC_LOCKED(holds[0] = virtio_begin(&echo->virtio));
	PC_LOCKED(holds[1] = virtio_begin(&echo->virtio));
	assert_int_equal(pc.vm.io_in_flight, 2);
	unsigned int resets = echo->resets;
	fake_virtio_set_status(&virtio, 0);
	assert_int_equal(fake_virtio_status(&virtio), STATUS_LIVE);
	assert_int_equal(echo->resets, resets + 1);
	assert_false(virtio_is_live(&echo->virtio));
	assert_false(echo->rings[0].enabled);
	/* Nothing can be set up meanwhile, and no second reset is begun. */
	fake_virtio_set_status(&virtio, 0);
	fake_virtio_set_status(&virtio, STATUS_LIVE | VIRTIO_CONFIG_S_FAILED);
	fake_virtio_set_queue(&virtio, 0, 8, 0x1000, 0x2000, 0x3000);
	assert_false(echo->rings[0].enabled);
	PC_LOCKED(virtio_config_changed(&echo->virtio));
	assert_int_equal(pc_mmio_in(virtio.isr, 1), 0);
	PC_LOCKED(virtio_break(&echo->virtio, "test"));
	/* Towards the VM they have ended before, on any CPU. */
	vm_io_end(&pc.vm, holds[0]);
	vm_io_end(&pc.vm, holds[1]);
	PC_LOCKED(virtio_end(&echo->virtio));
	assert_int_equal(fake_virtio_status(&virtio), STATUS_LIVE);
	PC_LOCKED(virtio_end(&echo->virtio));
	assert_int_equal(fake_virtio_status(&virtio), 0);
	assert_int_equal(echo->resets, resets + 1);
	assert_int_equal(pc.vm.io_in_flight, 0);
	start(0);
}

static void a_broken_queue_needs_a_reset(void **state)
{
	(void)state;
	start(0);
	fake_driver_describe(&driver, 0, 0xe0000000, 4, 0, 0);
	fake_driver_offer(&driver, 0);
	fake_virtio_notify(&virtio, 0);
	assert_int_equal(fake_virtio_status(&virtio), STATUS_LIVE | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(pc_mmio_in(virtio.isr, 1), VIRTIO_PCI_ISR_CONFIG);
	assert_int_equal(pc.log_lines, 1);
	fake_virtio_notify(&virtio, 0);
	assert_int_equal(echo->notified[0], 1);
	start(0);
	offer_echo();
	fake_virtio_notify(&virtio, 0);
	assert_int_equal(fake_driver_used_index(&driver), 1);
	/* Again, without another line in the log. */
	fake_driver_set_index(&driver, 1000);
	fake_virtio_notify(&virtio, 0);
	assert_int_equal(fake_virtio_status(&virtio), STATUS_LIVE | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(pc.log_lines, 1);
	/* A queue in no good place. */
	assert_true(fake_virtio_negotiate(&virtio, VERSION_1));
	fake_virtio_set_queue(&virtio, 0, 8, 0x1000, 0x2000, 0xfee00000);
	assert_int_equal(fake_virtio_status(&virtio), STATUS_FEATURES | VIRTIO_CONFIG_S_NEEDS_RESET);
	fake_virtio_select(&virtio, 0);
	assert_int_equal(pc_mmio_in(virtio.common + VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
}

static void a_device_has_its_own_configuration(void **state)
{
	(void)state;
	memcpy(echo->config, "abcdef", 6);
	assert_int_equal(pc_mmio_in(virtio.config, 4), 0x64636261);
	assert_int_equal(pc_mmio_in(virtio.config + 5, 1), 'f');
	assert_int_equal(pc_mmio_in(virtio.config + 4, 4), 0); /* beyond its end */
	assert_int_equal(pc_mmio_in(virtio.config + 6, 1), 0);
	pc_mmio_out(virtio.config + 4, 2, 0x5958);
	pc_mmio_out(virtio.config + 5, 2, 0);
	assert_memory_equal(echo->config, "abcdXY", 6);
}

static void bars_are_reached_by_configuration_space(void **state)
{
	unsigned int window = find_capability(1, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_PCI_CFG, 0);
	unsigned int data = window + sizeof(struct virtio_pci_cap);

	(void)state;
	assert_true(window);
	memcpy(echo->config, "abcdef", 6);
	config_out(1, window + VIRTIO_PCI_CAP_BAR, 1, 1);
	config_out(1, window + VIRTIO_PCI_CAP_OFFSET, 4, virtio.config - bar_in(1, 1));
	config_out(1, window + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	assert_int_equal(config_in(1, data, 2), 0x6261);
	config_out(1, data, 4, 0x11115251);
	assert_memory_equal(echo->config, "QRcdef", 6);
	/* The port. */
	start(0);
	offer_echo();
	config_out(1, window + VIRTIO_PCI_CAP_BAR, 1, 0);
	config_out(1, window + VIRTIO_PCI_CAP_OFFSET, 4, 0);
	config_out(1, data, 2, 0);
	assert_int_equal(echo->notified[0], 1);
	/* Nothing there, too long, not aligned, beyond the end. */
	static const uint32_t bad[][3] = { { 2, 0, 1 }, { 255, 0, 4 }, { 1, 0, 0 }, { 1, 0, 3 }, { 1, 0, 8 },
		{ 1, 2, 4 }, { 1, 0x4000, 1 }, { 1, ~0U, 1 }, { 0, 4, 1 }, { 1, 0xfffffffc, 4 } };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		config_out(1, window + VIRTIO_PCI_CAP_BAR, 1, bad[i][0]);
		config_out(1, window + VIRTIO_PCI_CAP_OFFSET, 4, bad[i][1]);
		config_out(1, window + VIRTIO_PCI_CAP_LENGTH, 4, bad[i][2]);
		config_out(1, data, 4, 0x12345678);
		assert_int_equal(config_in(1, data, 4), 0x12345678);
	}
}

static void power_up_forgets_everything(void **state)
{
	uint32_t port = bar_in(1, 0), memory = bar_in(1, 1);

	(void)state;
	start(0);
	fake_virtio_set_msix(&virtio, PCI_MSIX_FLAGS_ENABLE);
	fake_virtio_set_vector(&virtio, 0, 2, 0x61);
	config_out(1, PCI_BASE_ADDRESS_1, 4, 0xd8000000);
	fake_pc_reset_devices();
	assert_int_equal(bar_in(1, 0), port);
	assert_int_equal(bar_in(1, 1), memory);
	assert_int_equal(fake_virtio_status(&virtio), 0);
	assert_int_equal(pc_read32(virtio.table + 32), 0);
	assert_int_equal(pc_read32(virtio.table + 44), 1);
	start(0);
}

static void devices_come_while_the_vm_runs(void **state)
{
	(void)state;
	start(0);
	for (unsigned int slot = 2; slot < 32; slot++) {
		struct echo *other = make();

		assert_int_equal(config_in(slot, 0, 4), ~0U);
		assert_int_equal(virtio_add(&pc.vm, platform->pci, &other->virtio), 0);
		assert_int_equal(config_in(slot, 0, 4), 0x10441af4);
		fake_virtio_find(&virtio, slot);
		assert_int_equal(fake_virtio_offered(&virtio), FEATURES | VERSION_1);
	}
	struct echo *last = make();
	assert_int_equal(virtio_add(&pc.vm, platform->pci, &last->virtio), -ENOSPC);
	last = make();
	last->virtio.ring_count = VIRTIO_MAX_RINGS + 1;
	assert_int_equal(virtio_add(&pc.vm, platform->pci, &last->virtio), -EINVAL);
	fake_pc_reset_devices();
	destroyed = 0;
	fake_pc_end();
	assert_int_equal(destroyed, 33);
	fake_pc_begin(1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(it_is_found),
		TEST(registers_read_back),
		TEST(a_bus_without_room_takes_no_more),
		TEST(features_are_agreed_on),
		TEST(requests_go_through),
		TEST(the_pin_interrupts),
		TEST(messages_interrupt),
		TEST(a_reset_waits_for_what_is_in_flight),
		TEST(a_broken_queue_needs_a_reset),
		TEST(a_device_has_its_own_configuration),
		TEST(bars_are_reached_by_configuration_space),
		TEST(power_up_forgets_everything),
		TEST(devices_come_while_the_vm_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
