/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver of another hypervisor's network device, on a model of one: as it should be, out of order, and with rings
 * that nobody should trust.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "host/memory.h"
#include "host/mmio.h"
#include "host/net/virtio_nic.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_frames.h"
#include "test/unit/nic_lab.h"

#define SETTLED_NS (600 * NS_PER_MS)
#define COMMON 0x0000
#define CONFIG 0x1000
#define NOTIFY 0x3000
#define NOTIFY_BYTES 0x1000
#define MULTIPLIER 4
#define ALL_FEATURES (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | 0x1ffff)
#define HEADER ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define WIRE_FRAMES 1024

struct queue {
	uint16_t size, vector, enabled, notify_off;
	uint64_t address[3]; /* descriptors, available, used */
	uint16_t seen, used; /* of the rings */
	unsigned int notified;
};

static struct model {
	uint64_t offered, accepted;
	uint32_t select, driver_select;
	uint8_t status;
	bool link, gone, refuses, slow_reset, holds, quiet;
	uint16_t queue;
	struct queue queues[2];
	uint16_t size, notify_off;
	unsigned int resets;
	uint32_t held[512]; /* chains that were sent and not reported yet */
	unsigned int held_count;
	struct { uint32_t bytes; uint8_t data[2048]; } wire[WIRE_FRAMES];
	unsigned int wire_count;
} model;

static struct vring_desc *descriptors(unsigned int queue)
{
	return host_ptr(model.queues[queue].address[0]);
}

static struct vring_avail *available(unsigned int queue)
{
	return host_ptr(model.queues[queue].address[1]);
}

static struct vring_used *used(unsigned int queue)
{
	return host_ptr(model.queues[queue].address[2]);
}

static void finish(unsigned int queue, uint32_t id, uint32_t bytes)
{
	struct queue *q = &model.queues[queue];

	used(queue)->ring[q->used % q->size] = (vring_used_elem_t){ .id = id, .len = bytes };
	used(queue)->idx = ++q->used;
	if (!(available(queue)->flags & VRING_AVAIL_F_NO_INTERRUPT) && q->vector == 0)
		lab.message = true;
}

/* The next chain, which must be a header and a buffer. -1: none. */
static int next_chain(unsigned int queue, struct vring_desc *buffer, uint16_t flags)
{
	struct queue *q = &model.queues[queue];
	const struct vring_desc *header;
	uint16_t head;

	if (q->seen == available(queue)->idx)
		return -1;
	head = available(queue)->ring[q->seen++ % q->size];
	assert_true(head < q->size);
	header = &descriptors(queue)[head];
	assert_int_equal(header->len, HEADER);
	assert_int_equal(header->flags, flags | VRING_DESC_F_NEXT);
	assert_true(header->next < q->size);
	*buffer = descriptors(queue)[header->next];
	assert_int_equal(buffer->flags, flags);
	return head;
}

static void transmit(void)
{
	struct vring_desc buffer;
	int head;

	while ((head = next_chain(1, &buffer, 0)) >= 0) {
		assert_true(lab.master && model.wire_count < WIRE_FRAMES && buffer.len <= 1518);
		memcpy(model.wire[model.wire_count].data, host_ptr(buffer.addr), buffer.len);
		model.wire[model.wire_count++].bytes = buffer.len;
		if (model.holds)
			model.held[model.held_count++] = (uint32_t)head;
		else
			finish(1, (uint32_t)head, 0);
	}
}

/* False: no buffer. */
static bool receive(unsigned int number, uint32_t bytes)
{
	struct vring_desc buffer;
	int head = next_chain(0, &buffer, VRING_DESC_F_WRITE);

	if (head < 0)
		return false;
	assert_true(lab.master && bytes <= buffer.len);
	lab_make_frame(host_ptr(buffer.addr), number, bytes, lab_guest_mac, lab_other_mac);
	finish(0, (uint32_t)head, bytes + HEADER);
	return true;
}

static void reset_model(void)
{
	model.status = 0;
	model.accepted = 0;
	model.held_count = 0;
	memset(model.queues, 0, sizeof(model.queues));
	for (unsigned int i = 0; i < 2; i++) {
		model.queues[i].size = model.size;
		model.queues[i].notify_off = model.notify_off + i;
		model.queues[i].vector = VIRTIO_MSI_NO_VECTOR;
	}
}

static uint64_t read_register(uint32_t offset, unsigned int bytes)
{
	const struct queue *queue = &model.queues[model.queue & 1];

	assert_true(lab.decodes);
	if (model.gone)
		return byte_mask(bytes);
	switch (offset) {
	case COMMON + VIRTIO_PCI_COMMON_DF:
		return model.select > 1 ? 0 : (uint32_t)(model.offered >> (32 * model.select));
	case COMMON + VIRTIO_PCI_COMMON_STATUS:
		return model.status;
	case COMMON + VIRTIO_PCI_COMMON_Q_SIZE:
		return queue->size;
	case COMMON + VIRTIO_PCI_COMMON_Q_NOFF:
		return queue->notify_off;
	case COMMON + VIRTIO_PCI_COMMON_Q_MSIX:
		return queue->vector;
	case CONFIG ... CONFIG + 5:
		assert_int_equal(bytes, 1);
		return lab_nic_mac[offset - CONFIG];
	case CONFIG + 6:
		return model.link;
	default:
		fail_msg("register 0x%x is read", offset);
		return 0;
	}
}

static uint32_t at(const volatile void *base, uint32_t offset)
{
	return (uint32_t)((const volatile char *)base - (volatile char *)LAB_REGISTERS) + offset;
}

static void set_status(uint8_t status)
{
	if (!status) {
		model.resets++;
		reset_model();
		model.status = model.slow_reset ? VIRTIO_CONFIG_S_ACKNOWLEDGE : 0;
		return;
	}
	if ((status & VIRTIO_CONFIG_S_FEATURES_OK) && model.refuses)
		status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	model.status = status;
}

static void write_address(struct queue *queue, uint32_t offset, uint32_t value)
{
	uint64_t *address = &queue->address[(offset - VIRTIO_PCI_COMMON_Q_DESCLO) / 8];

	if (offset & 4)
		*address = (uint32_t)*address | (uint64_t)value << 32;
	else
		*address = (*address >> 32 << 32) | value;
}

static void notify(unsigned int number)
{
	assert_true(number < 2);
	model.queues[number].notified++;
	if (number == 1 && !model.quiet)
		transmit();
}

static void write_register(uint32_t offset, uint32_t value)
{
	struct queue *queue = &model.queues[model.queue & 1];

	assert_true(lab.decodes);
	if (model.gone)
		return;
	switch (offset) {
	case COMMON + VIRTIO_PCI_COMMON_DFSELECT: model.select = value; break;
	case COMMON + VIRTIO_PCI_COMMON_GFSELECT: model.driver_select = value; break;
	case COMMON + VIRTIO_PCI_COMMON_GF: model.accepted |= (uint64_t)value << (32 * model.driver_select); break;
	case COMMON + VIRTIO_PCI_COMMON_MSIX: assert_int_equal(value, VIRTIO_MSI_NO_VECTOR); break;
	case COMMON + VIRTIO_PCI_COMMON_STATUS: set_status((uint8_t)value); break;
	case COMMON + VIRTIO_PCI_COMMON_Q_SELECT: model.queue = (uint16_t)value; break;
	case COMMON + VIRTIO_PCI_COMMON_Q_SIZE: queue->size = (uint16_t)value; break;
	case COMMON + VIRTIO_PCI_COMMON_Q_MSIX: queue->vector = (uint16_t)value; break;
	case COMMON + VIRTIO_PCI_COMMON_Q_ENABLE: queue->enabled = (uint16_t)value; break;
	case COMMON + VIRTIO_PCI_COMMON_Q_DESCLO ... COMMON + VIRTIO_PCI_COMMON_Q_USEDHI:
		write_address(queue, offset - COMMON, value);
		break;
	case NOTIFY ... NOTIFY + NOTIFY_BYTES - 1:
		assert_int_equal(offset - NOTIFY, (model.notify_off + value) * MULTIPLIER);
		notify(value);
		break;
	default:
		fail_msg("register 0x%x is written", offset);
	}
}

uint8_t mmio_read8(const volatile void *base, uint32_t offset)
{
	return (uint8_t)read_register(at(base, offset), 1);
}

uint16_t mmio_read16(const volatile void *base, uint32_t offset)
{
	return (uint16_t)read_register(at(base, offset), 2);
}

uint32_t mmio_read32(const volatile void *base, uint32_t offset)
{
	return (uint32_t)read_register(at(base, offset), 4);
}

void mmio_write8(volatile void *base, uint32_t offset, uint8_t value)
{
	write_register(at(base, offset), value);
}

void mmio_write16(volatile void *base, uint32_t offset, uint16_t value)
{
	write_register(at(base, offset), value);
}

void mmio_write32(volatile void *base, uint32_t offset, uint32_t value)
{
	write_register(at(base, offset), value);
}

static void set_capability(uint8_t at, uint8_t next, uint8_t type, uint8_t bar, uint32_t offset, uint32_t bytes)
{
	struct virtio_pci_notify_cap cap = {
		.cap = { .cap_vndr = PCI_CAP_ID_VNDR, .cap_next = next, .cfg_type = type, .bar = bar, .offset = offset,
			.length = bytes },
		.notify_off_multiplier = MULTIPLIER,
	};

	memcpy(lab.config + at, &cap, sizeof(cap));
}

static void begin(void)
{
	memset(&model, 0, sizeof(model));
	lab_begin();
	lab.pci = (struct host_pci_device){ .vendor = 0x1af4, .device = 0x1041, .class_code = 0x020000 };
	model.link = true;
	model.offered = ALL_FEATURES;
	model.size = 256;
	model.notify_off = 3;
	reset_model();
	set_capability(0x40, 0x60, VIRTIO_PCI_CAP_COMMON_CFG, 0, COMMON, 0x38);
	set_capability(0x60, 0x80, VIRTIO_PCI_CAP_ISR_CFG, 0, 0x2000, 1);
	set_capability(0x80, 0xa0, VIRTIO_PCI_CAP_DEVICE_CFG, 0, CONFIG, 0x100);
	set_capability(0xa0, 0x00, VIRTIO_PCI_CAP_NOTIFY_CFG, 0, NOTIFY, NOTIFY_BYTES);
}

static void begin_running(void)
{
	begin();
	lab_probe(virtio_nic_probe, true);
	assert_non_null(lab.nic);
	lab_run(SETTLED_NS);
	assert_int_equal(lab.nic->state, NIC_RUNNING);
	assert_int_equal(lab.nic->speed, NIC_SPEED_UNKNOWN);
}

static void check_wire(unsigned int at, unsigned int number, uint32_t bytes)
{
	uint8_t frame[2048];

	assert_true(at < model.wire_count);
	lab_make_frame(frame, number, bytes, lab_other_mac, lab_guest_mac);
	assert_int_equal(model.wire[at].bytes, bytes);
	assert_memory_equal(model.wire[at].data, frame, bytes);
}

/* Both directions work. */
static void check_works(unsigned int number)
{
	model.wire_count = 0;
	lab_guest_sends(number, 100);
	assert_true(receive(number, 200));
	lab_run(NIC_SLOW_NS);
	check_wire(0, number, 100);
	lab_check_guest_got((int)number, 200);
}

static void it_starts(void **state)
{
	(void)state;
	begin_running();
	assert_memory_equal(lab.nic->port.mac, lab_nic_mac, 6);
	assert_false(lab.nic->polled);
	assert_int_equal(model.accepted, BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS));
	assert_int_equal(model.status, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
		VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(lab.nic->ring, 128);
	assert_int_equal(lab.nic->rx_count, 128);
	assert_true(model.queues[0].enabled && model.queues[1].enabled);
	check_works(1);
}

static void it_starts_with_less(void **state)
{
	(void)state;
	begin();
	model.offered = BIT(VIRTIO_F_VERSION_1);
	model.size = 1024;
	lab.has_msix = false;
	reset_model();
	lab_probe(virtio_nic_probe, true);
	lab_run(SETTLED_NS);
	assert_int_equal(lab.nic->state, NIC_RUNNING);
	assert_int_equal(lab.nic->port.mac[0] & 3, 2); /* one of our own making */
	assert_int_equal(lab.nic->ring, NIC_RING);
	assert_true(lab.nic->polled);
	assert_int_equal(model.queues[0].vector, VIRTIO_MSI_NO_VECTOR);
	check_works(1);
}

static void frames_go_out_and_come_in(void **state)
{
	(void)state;
	begin_running();
	for (unsigned int i = 0; i < 1000; i++) {
		model.wire_count = 0;
		lab_guest_sends(i, 60 + i * 2 % 1400);
		assert_true(receive(i, 60 + i % 1400));
		lab_run(NS_PER_US);
		check_wire(0, i, 60 + i * 2 % 1400);
		lab_check_guest_got((int)i, 60 + i % 1400);
	}
	lab_run(NIC_TICK_NS);
	assert_int_equal(lab.nic->tx_count, 0);
	assert_int_equal(lab.nic->errors, 0);
}

static void what_is_sent_may_be_done_in_any_order(void **state)
{
	(void)state;
	begin_running();
	model.holds = true;
	for (unsigned int i = 0; i < 300; i++)
		lab_guest_sends(i, 100);
	assert_int_equal(model.wire_count, 128);
	assert_int_equal(lab.nic->port.count, 172);
	for (unsigned int round = 0; model.wire_count < 300; round++) {
		assert_true(round < 1000);
		for (unsigned int i = 0; i < 10 && model.held_count; i++) {
			unsigned int one = (unsigned int)rand() % model.held_count;
			uint32_t head = model.held[one];

			model.held[one] = model.held[--model.held_count];
			finish(1, head, 0);
		}
		lab_run(NS_PER_US);
	}
	for (unsigned int i = 0; i < 300; i++)
		check_wire(i, i, 100);
	assert_int_equal(lab.nic->resets, 0);
}

static void a_burst_is_taken_in_portions(void **state)
{
	(void)state;
	begin_running();
	for (unsigned int i = 0; i < 128; i++)
		assert_true(receive(i, 100));
	assert_false(receive(128, 100));
	lab_run(NS_PER_US);
	assert_int_equal(lab.guest.count, NIC_BUDGET);
	lab_run(NIC_SLOW_NS);
	for (int i = 0; i < 128; i++)
		lab_check_guest_got(i, 100);
	check_works(5);
}

static void no_notification_is_sent_where_none_is_wanted(void **state)
{
	unsigned int before;

	(void)state;
	begin_running();
	model.quiet = true;
	used(1)->flags = VRING_USED_F_NO_NOTIFY;
	before = model.queues[1].notified;
	for (unsigned int i = 0; i < 10; i++)
		lab_guest_sends(i, 100);
	assert_int_equal(model.queues[1].notified, before);
	transmit();
	assert_int_equal(model.wire_count, 10);
	/* Nor is a message asked for while there is room. */
	lab.messages = 0;
	lab_run(NS_PER_US);
	assert_int_equal(lab.messages, 0);
}

static void lengths_that_cannot_be(void **state)
{
	static const uint32_t lengths[] = {
		0, 1, HEADER, HEADER + 13, HEADER + NIC_BUFFER_BYTES + 1, 65536, 0xffffffff };
	struct vring_desc buffer;

	(void)state;
	begin_running();
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		int head = next_chain(0, &buffer, VRING_DESC_F_WRITE);

		assert_true(head >= 0);
		finish(0, (uint32_t)head, lengths[i]);
	}
	lab_run(NIC_SLOW_NS);
	lab_check_guest_got(-1, 0);
	assert_int_equal(lab.nic->errors, ARRAY_SIZE(lengths));
	assert_int_equal(lab.nic->rx_count, 128);
	check_works(3);
}

/* What a queue says was done, and was never given, or is not one. */
static void rings_that_nobody_should_trust(void **state)
{
	static const uint32_t ids[] = { 1, 255, 256, 0xffff, 0x80000000, 0xffffffff };

	(void)state;
	for (unsigned int queue = 0; queue < 2; queue++) {
		for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
			begin_running();
			model.holds = true;
			lab_guest_sends(1, 100);
			finish(queue, ids[i], 100);
			lab_run(3 * NIC_TICK_NS);
			model.holds = false;
			assert_int_equal(lab.nic->resets, 1);
			assert_non_null(strstr(lab.log, "reset"));
			check_works(4);
		}
	}
}

static void the_same_one_done_twice(void **state)
{
	(void)state;
	begin_running();
	model.holds = true;
	lab_guest_sends(1, 100);
	finish(1, model.held[0], 0);
	finish(1, model.held[0], 0);
	lab_guest_sends(2, 100);
	lab_run(3 * NIC_TICK_NS);
	assert_int_equal(lab.nic->resets, 1);
	model.holds = false;
	check_works(4);
}

static void an_index_that_jumps(void **state)
{
	(void)state;
	begin_running();
	model.holds = true;
	for (unsigned int i = 0; i < 5; i++)
		lab_guest_sends(1, 100);
	used(1)->idx = 0x8000;
	used(0)->idx = 0x4000;
	lab_run(3 * NIC_TICK_NS);
	assert_int_equal(lab.nic->resets, 1);
	model.holds = false;
	check_works(4);
}

static void a_device_that_wants_a_reset(void **state)
{
	(void)state;
	begin_running();
	model.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	lab_run(3 * NIC_TICK_NS);
	assert_int_equal(lab.nic->resets, 1);
	check_works(4);
}

static void a_transmitter_that_hangs_is_reset(void **state)
{
	(void)state;
	begin_running();
	model.quiet = true;
	lab_guest_sends(1, 100);
	lab_run((NIC_HANG_TICKS + 3) * NIC_TICK_NS);
	assert_int_equal(lab.nic->resets, 1);
	model.quiet = false;
	check_works(4);
}

static void the_link_is_looked_at(void **state)
{
	(void)state;
	begin_running();
	model.link = false;
	lab_run(NIC_TICK_NS);
	lab_guest_sends(1, 100);
	assert_int_equal(model.wire_count, 0);
	model.link = true;
	lab_run(NIC_TICK_NS);
	check_works(2);
}

static void devices_that_cannot_be_used(void **state)
{
	(void)state;
	begin();
	model.offered &= ~BIT(VIRTIO_F_VERSION_1);
	lab_probe(virtio_nic_probe, true);
	assert_null(lab.nic);
	begin();
	model.slow_reset = true;
	lab_probe(virtio_nic_probe, true);
	assert_null(lab.nic);
	begin();
	set_capability(0x40, 0x60, VIRTIO_PCI_CAP_COMMON_CFG, 0, LAB_REGISTER_BYTES - 0x34, 0x38);
	lab_probe(virtio_nic_probe, true);
	assert_null(lab.nic);
	begin();
	set_capability(0x40, 0x60, VIRTIO_PCI_CAP_COMMON_CFG, 0, 0, 0x20);
	lab_probe(virtio_nic_probe, true);
	assert_null(lab.nic);
	begin();
	set_capability(0xa0, 0x40, 99, 0, 0, 0x38); /* a list in a loop, without a place for notifications */
	lab_probe(virtio_nic_probe, true);
	assert_null(lab.nic);
	begin();
	set_capability(0x80, 0xa0, VIRTIO_PCI_CAP_DEVICE_CFG, 3, CONFIG, 0x100);
	lab_probe(virtio_nic_probe, true);
	assert_null(lab.nic);
	assert_non_null(strstr(lab.log, "cannot be used"));
}

static void check_dies(void)
{
	lab_probe(virtio_nic_probe, true);
	assert_non_null(lab.nic);
	lab_run(SETTLED_NS);
	assert_int_equal(lab.nic->state, NIC_DEAD);
	lab_guest_sends(1, 100);
	assert_int_equal(lab.nic->port.count, 0);
}

static void devices_that_do_not_start(void **state)
{
	(void)state;
	begin();
	model.refuses = true;
	check_dies();
	begin();
	model.size = 0;
	check_dies();
	begin();
	model.size = 96;
	check_dies();
	begin();
	model.notify_off = NOTIFY_BYTES / MULTIPLIER;
	check_dies();
	begin_running();
	model.gone = true;
	lab_run(2 * NIC_TICK_NS);
	assert_int_equal(lab.nic->state, NIC_DEAD);
}

static void without_memory_there_is_no_nic(void **state)
{
	(void)state;
	for (int left = 0; left < 3; left++) {
		begin();
		fake_frames_until_failure = left;
		lab_probe(virtio_nic_probe, true);
		assert_null(lab.nic);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_starts),
		cmocka_unit_test(it_starts_with_less),
		cmocka_unit_test(frames_go_out_and_come_in),
		cmocka_unit_test(what_is_sent_may_be_done_in_any_order),
		cmocka_unit_test(a_burst_is_taken_in_portions),
		cmocka_unit_test(no_notification_is_sent_where_none_is_wanted),
		cmocka_unit_test(lengths_that_cannot_be),
		cmocka_unit_test(rings_that_nobody_should_trust),
		cmocka_unit_test(the_same_one_done_twice),
		cmocka_unit_test(an_index_that_jumps),
		cmocka_unit_test(a_device_that_wants_a_reset),
		cmocka_unit_test(a_transmitter_that_hangs_is_reset),
		cmocka_unit_test(the_link_is_looked_at),
		cmocka_unit_test(devices_that_cannot_be_used),
		cmocka_unit_test(devices_that_do_not_start),
		cmocka_unit_test(without_memory_there_is_no_nic),
	};

	srand(5);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
