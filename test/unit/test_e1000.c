/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Driver and common part of the machine's NICs on a model of Intel's controllers: rings, full and empty; frames that
 * come broken; links that go down, transmitters that hang, messages that get lost, hardware that is pulled out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/memory.h"
#include "host/mmio.h"
#include "host/net/e1000_regs.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_frames.h"
#include "test/unit/nic_lab.h"

#define WIRE_FRAMES 1024
#define ID_82540EM 0x100e
#define ID_82574L 0x10d3
#define SETTLED_NS (600 * NS_PER_MS) /* started, plugged in, link seen */

static struct model {
	uint32_t registers[KIB(128) / 4];
	uint32_t cause, mask;
	bool link, gone, hangs, holds; /* holds: sends, and reports later */
	bool stays_in_reset, forgets_mac, no_eeprom;
	unsigned int resets, missed, kicks;
	uint32_t reported;             /* descriptors below this one are */
	struct { uint32_t bytes; uint8_t data[2048]; } wire[WIRE_FRAMES];
	unsigned int wire_count;
} model;

#define REG(offset) model.registers[(offset) / 4]

static void reset_model(void)
{
	memset(model.registers, 0, sizeof(model.registers));
	model.cause = model.mask = 0;
	model.reported = 0;
	REG(E1000_STATUS) = model.link ? STATUS_LINK_UP | 2 << STATUS_SPEED_SHIFT : 0;
	REG(E1000_EECD) = EECD_AUTO_READ_DONE;
	if (!model.forgets_mac) {
		memcpy(&REG(E1000_RAL(0)), lab_nic_mac, 4);
		REG(E1000_RAH(0)) = lab_nic_mac[4] | (uint32_t)lab_nic_mac[5] << 8 | RAH_VALID;
	}
}

/* A message goes out once for each cause that is not masked, and masks it. */
static void raise(uint32_t cause)
{
	model.cause |= cause;
	if (!(model.cause & model.mask))
		return;
	lab.message = true;
	cause = model.cause & model.mask & REG(E1000_EIAC);
	model.cause &= ~cause;
	model.mask &= ~cause;
}

static struct e1000_tx_descriptor *tx_ring(void)
{
	return host_ptr(REG(E1000_TDBAL) | (uint64_t)REG(E1000_TDBAH) << 32);
}

static struct e1000_rx_descriptor *rx_ring(void)
{
	return host_ptr(REG(E1000_RDBAL) | (uint64_t)REG(E1000_RDBAH) << 32);
}

static unsigned int ring_size(void)
{
	return REG(E1000_TDLEN) / sizeof(struct e1000_tx_descriptor);
}

/* Report so many sent ones, oldest first. */
static void report(unsigned int count)
{
	while (count-- && model.reported != REG(E1000_TDH)) {
		tx_ring()[model.reported].status = TX_STATUS_DONE;
		model.reported = (model.reported + 1) % ring_size();
		raise(CAUSE_SENT);
	}
}

static void transmit(void)
{
	model.kicks++;
	while (!model.hangs && model.link && (REG(E1000_TCTL) & TCTL_ENABLE) && REG(E1000_TDH) != REG(E1000_TDT)) {
		const struct e1000_tx_descriptor *descriptor = &tx_ring()[REG(E1000_TDH)];

		assert_true(lab.master);
		assert_int_equal(descriptor->command, TX_COMMAND_END | TX_COMMAND_CRC | TX_COMMAND_REPORT);
		assert_true(descriptor->bytes <= 1518);
		assert_true(model.wire_count < WIRE_FRAMES);
		memcpy(model.wire[model.wire_count].data, host_ptr(descriptor->address), descriptor->bytes);
		model.wire[model.wire_count++].bytes = descriptor->bytes;
		REG(E1000_TDH) = (REG(E1000_TDH) + 1) % ring_size();
		if (!model.holds)
			report(1);
	}
}

/* Something comes in; `data` may be too long to be a frame. */
static void receive_raw(const void *data, uint16_t bytes, uint8_t status, uint8_t errors)
{
	struct e1000_rx_descriptor *descriptor = &rx_ring()[REG(E1000_RDH)];

	if (!(REG(E1000_RCTL) & RCTL_ENABLE) || REG(E1000_RDH) == REG(E1000_RDT)) {
		model.missed++;
		return;
	}
	assert_true(lab.master);
	memcpy(host_ptr(descriptor->address), data, MIN(bytes, 2048));
	descriptor->bytes = bytes;
	descriptor->errors = errors;
	descriptor->status = status;
	REG(E1000_RDH) = (REG(E1000_RDH) + 1) % ring_size();
	raise(CAUSE_RECEIVED);
}

static void receive(unsigned int number, uint16_t bytes)
{
	uint8_t frame[2048];

	lab_make_frame(frame, number, bytes, lab_guest_mac, lab_other_mac);
	receive_raw(frame, bytes, RX_STATUS_DONE | RX_STATUS_END, 0);
}

static uint32_t read_eeprom(void)
{
	bool express = lab.pci.device == ID_82574L;
	uint32_t start = REG(E1000_EERD), word = start >> (express ? 2 : 8) & 3;

	if (model.no_eeprom || !(start & EERD_START) || word > 2)
		return start;
	return start | (express ? 2 : 16) | (uint32_t)lab_nic_mac[2 * word] << 16 |
		(uint32_t)lab_nic_mac[2 * word + 1] << 24;
}

uint32_t mmio_read32(const volatile void *base, uint32_t offset)
{
	uint32_t value;

	assert_ptr_equal(base, LAB_REGISTERS);
	assert_true(lab.decodes && offset < LAB_REGISTER_BYTES && offset % 4 == 0);
	if (model.gone)
		return 0xffffffff;
	switch (offset) {
	case E1000_ICR:
		value = model.cause;
		model.cause = 0;
		return value;
	case E1000_EERD:
		return read_eeprom();
	default:
		return REG(offset);
	}
}

void mmio_write32(volatile void *base, uint32_t offset, uint32_t value)
{
	assert_ptr_equal(base, LAB_REGISTERS);
	assert_true(lab.decodes && offset < LAB_REGISTER_BYTES && offset % 4 == 0);
	if (model.gone)
		return;
	if (offset == E1000_CTRL && (value & CTRL_RESET)) {
		model.resets++;
		model.hangs = false;
		reset_model();
		REG(E1000_CTRL) = model.stays_in_reset ? CTRL_RESET : 0;
		return;
	}
	REG(offset) = value;
	if (offset == E1000_IMS) {
		model.mask |= value;
		raise(0);
	} else if (offset == E1000_IMC) {
		model.mask &= ~value;
	} else if (offset == E1000_TDT) {
		transmit();
	}
}

static void set_link(bool up)
{
	model.link = up;
	REG(E1000_STATUS) = up ? STATUS_LINK_UP | 2 << STATUS_SPEED_SHIFT : 0;
	if (up)
		transmit();
}

static void begin(uint16_t device)
{
	memset(&model, 0, sizeof(model));
	lab_begin();
	lab.pci = (struct host_pci_device){ .vendor = 0x8086, .device = device, .class_code = 0x020000 };
	lab.has_msix = device == ID_82574L;
	model.link = true;
	reset_model();
}

static void begin_running(uint16_t device)
{
	begin(device);
	lab_probe(e1000_probe, true);
	assert_non_null(lab.nic);
	lab_run(SETTLED_NS);
	assert_int_equal(lab.nic->state, NIC_RUNNING);
	assert_int_equal(lab.nic->speed, 1000);
}

static void check_wire(unsigned int at, unsigned int number, uint32_t bytes)
{
	uint8_t frame[2048];

	assert_true(at < model.wire_count);
	lab_make_frame(frame, number, bytes, lab_other_mac, lab_guest_mac);
	assert_int_equal(model.wire[at].bytes, bytes);
	assert_memory_equal(model.wire[at].data, frame, bytes);
}

/* --- The tests; most run with and without messages --- */

static void it_starts(void **state)
{
	char text[64];

	begin_running((uint16_t)(uintptr_t)*state);
	assert_memory_equal(lab.nic->port.mac, lab_nic_mac, 6);
	assert_int_equal(model.resets, 1);
	assert_int_equal(lab.nic->polled, lab.pci.device == ID_82540EM);
	assert_int_equal(REG(E1000_RCTL), RCTL_ENABLE | RCTL_ALL_UNICAST | RCTL_ALL_MULTICAST | RCTL_BROADCAST |
		RCTL_STRIP_CRC);
	assert_true(REG(E1000_CTRL) & CTRL_SET_LINK_UP);
	assert_int_equal(REG(E1000_RDLEN), 4096);
	assert_int_equal(REG(E1000_RDT), NIC_RING - 1);
	assert_non_null(strstr(lab.log, "52:54:00:12:34:56"));
	nic_describe(&lab.nic->port, text, sizeof(text));
	assert_string_equal(text, lab.nic->polled ? "82540EM, 1000 Mbit/s" : "82574L, 1000 Mbit/s");
}

static void nothing_is_received_before_it_is_plugged_in(void **state)
{
	begin((uint16_t)(uintptr_t)*state);
	lab_probe(e1000_probe, false);
	lab_run(SETTLED_NS);
	assert_int_equal(lab.nic->state, NIC_RUNNING);
	receive(1, 60);
	assert_int_equal(model.missed, 1);
	assert_int_equal(net_plug(lab.net, &lab.nic->port), 0);
	lab_run(NIC_TICK_NS);
	receive(2, 60);
	lab_run(NIC_SLOW_NS);
	lab_check_guest_got(2, 60);
}

static void frames_go_out_and_come_in(void **state)
{
	begin_running((uint16_t)(uintptr_t)*state);
	for (unsigned int i = 0; i < 700; i++) {
		lab_guest_sends(i, 60 + i * 2 % 1400);
		receive(i, (uint16_t)(60 + i % 1400));
		lab_run(i ? NIC_FAST_NS + NS_PER_US : NIC_SLOW_NS);
		lab_check_guest_got((int)i, 60 + i % 1400);
	}
	assert_int_equal(model.wire_count, 700);
	for (unsigned int i = 0; i < 700; i++)
		check_wire(i, i, 60 + i * 2 % 1400);
	lab_run(NIC_TICK_NS);
	assert_int_equal(lab.nic->tx_count, 0); /* nothing that was sent is kept for ever */
	assert_int_equal(lab.nic->rx_count, NIC_RING - 1);
	assert_int_equal(lab.nic->errors, 0);
	assert_int_equal(model.missed, 0);
}

static void what_comes_broken_is_dropped(void **state)
{
	static const uint8_t junk[4096];

	begin_running((uint16_t)(uintptr_t)*state);
	receive_raw(junk, 60, RX_STATUS_DONE | RX_STATUS_END, BIT(0));
	receive_raw(junk, 60, RX_STATUS_DONE | RX_STATUS_END, BIT(7));
	receive_raw(junk, 2048, RX_STATUS_DONE, 0);
	receive_raw(junk, 13, RX_STATUS_DONE | RX_STATUS_END, 0);
	receive_raw(junk, 0, RX_STATUS_DONE | RX_STATUS_END, 0);
	receive_raw(junk, 2049, RX_STATUS_DONE | RX_STATUS_END, 0);
	receive_raw(junk, 0xffff, RX_STATUS_DONE | RX_STATUS_END, 0);
	receive(3, 100);
	lab_run(NIC_SLOW_NS);
	lab_check_guest_got(3, 100);
	lab_check_guest_got(-1, 0);
	assert_int_equal(lab.nic->errors, 7);
	assert_int_equal(lab.nic->rx_count, NIC_RING - 1);
	/* A checksum that the hardware thinks wrong is the receiver's matter. */
	receive(4, 100);
	rx_ring()[(REG(E1000_RDH) + NIC_RING - 1) % NIC_RING].errors = BIT(5) | BIT(6);
	lab_run(NIC_SLOW_NS);
	lab_check_guest_got(4, 100);
}

static void a_full_ring_waits(void **state)
{
	unsigned int count = NIC_RING - 1 + 100;

	begin_running((uint16_t)(uintptr_t)*state);
	model.holds = true;
	for (unsigned int i = 0; i < count; i++)
		lab_guest_sends(i, 100);
	lab_run(NIC_FAST_NS);
	assert_int_equal(model.wire_count, NIC_RING - 1);
	assert_int_equal(lab.nic->port.count, 100);
	assert_int_equal(lab.nic->port.received.dropped, 0);
	report(3);
	lab_run(NIC_SLOW_NS);
	assert_int_equal(model.wire_count, NIC_RING - 1 + 3);
	report(200);
	lab_run(NIC_SLOW_NS);
	assert_int_equal(model.wire_count, count);
	for (unsigned int i = 0; i < count; i++)
		check_wire(i, i, 100);
	report(1000);
	model.holds = false;
	lab_guest_sends(9, 100);
	assert_int_equal(model.wire_count, count + 1);
	assert_int_equal(lab.nic->resets, 0);
	assert_true(lab.nic->tx_count <= 1);
}

static void more_than_ring_and_queue_is_dropped_and_counted(void **state)
{
	unsigned int room = NIC_RING - 1 + NET_PORT_QUEUE;

	begin_running((uint16_t)(uintptr_t)*state);
	model.holds = true;
	for (unsigned int i = 0; i < room + 50; i++)
		lab_guest_sends(i, 100);
	assert_int_equal(lab.nic->port.received.dropped, 50);
	report(NIC_RING);
	lab_run(NIC_SLOW_NS);
	report(NIC_RING);
	lab_run(NIC_SLOW_NS);
	assert_int_equal(model.wire_count, room);
	check_wire(room - 1, room - 1, 100);
}

static void a_burst_is_taken_in_portions(void **state)
{
	begin_running((uint16_t)(uintptr_t)*state);
	for (unsigned int i = 0; i < 200; i++)
		receive(i, 100);
	assert_int_equal(model.missed, 0);
	/* The first portion, and no more before the pause. */
	if (lab.nic->polled)
		lab_run(NIC_SLOW_NS);
	lab_run(5 * NS_PER_US);
	if (!lab.nic->polled)
		assert_int_equal(lab.guest.count, NIC_BUDGET);
	lab_run(NIC_SLOW_NS);
	for (int i = 0; i < 200; i++)
		lab_check_guest_got(i, 100);
	assert_true(lab.messages <= 2);
	/* And afterwards one message tells of the next one. */
	receive(7, 80);
	lab_run(NIC_FAST_NS);
	lab_check_guest_got(7, 80);
}

static void without_memory_frames_are_dropped(void **state)
{
	begin_running((uint16_t)(uintptr_t)*state);
	/* The pool keeps pages: use them up. */
	struct net_packet *taken = NULL, *packet;

	fake_frames_until_failure = 0;
	while ((packet = net_packet_alloc(100))) {
		packet->next = taken;
		taken = packet;
	}
	for (unsigned int i = 0; i < 600; i++) {
		receive(i, 100);
		lab_run(NIC_FAST_NS);
	}
	assert_int_equal(lab.nic->no_memory, 600);
	assert_int_equal(lab.nic->rx_count, NIC_RING - 1);
	assert_int_equal(model.missed, 0);
	lab_check_guest_got(-1, 0);
	while ((packet = taken)) {
		taken = packet->next;
		net_packet_put(packet);
	}
	fake_frames_until_failure = -1;
	receive(5, 100);
	lab_run(NIC_SLOW_NS);
	lab_check_guest_got(5, 100);
}

static void without_a_link_nothing_waits(void **state)
{
	begin_running((uint16_t)(uintptr_t)*state);
	set_link(false);
	lab_guest_sends(1, 100); /* nobody knows yet: into the ring */
	lab_run(NIC_TICK_NS);
	assert_int_equal(lab.nic->speed, 0);
	lab_guest_sends(2, 100);
	assert_int_equal(lab.nic->port.count, 0);
	lab_run(NIC_TICK_NS);
	assert_int_equal(model.resets, 2); /* what was in the ring is not sent later */
	set_link(true);
	lab_run(2 * NIC_TICK_NS);
	assert_int_equal(lab.nic->speed, 1000);
	assert_int_equal(model.wire_count, 0);
	lab_guest_sends(3, 100);
	check_wire(0, 3, 100);
	receive(4, 100);
	lab_run(NIC_SLOW_NS);
	lab_check_guest_got(4, 100);
	assert_non_null(strstr(lab.log, "link down"));
}

static void a_transmitter_that_hangs_is_reset(void **state)
{
	begin_running((uint16_t)(uintptr_t)*state);
	model.hangs = true;
	for (unsigned int i = 0; i < 300; i++)
		lab_guest_sends(i, 100);
	lab_run((NIC_HANG_TICKS - 2) * NIC_TICK_NS);
	assert_int_equal(lab.nic->resets, 0);
	receive(1, 60); /* the other direction is not hurt */
	lab_run(NIC_SLOW_NS);
	lab_check_guest_got(1, 60);
	lab_run(5 * NIC_TICK_NS);
	assert_int_equal(lab.nic->resets, 1);
	assert_non_null(strstr(lab.log, "what it is to send is not sent: reset"));
	assert_int_equal(lab.nic->state, NIC_RUNNING);
	model.wire_count = 0;
	lab_guest_sends(7, 100);
	lab_run(NIC_SLOW_NS);
	check_wire(model.wire_count - 1, 7, 100);
	receive(8, 60);
	lab_run(NIC_SLOW_NS);
	lab_check_guest_got(8, 60);
	assert_int_equal(lab.nic->rx_count, NIC_RING - 1);
	lab_run(10 * NIC_TICK_NS);
	assert_int_equal(lab.nic->resets, 1);
}

static void a_slow_transmitter_is_not_reset(void **state)
{
	begin_running((uint16_t)(uintptr_t)*state);
	model.holds = true;
	for (unsigned int i = 0; i < 40; i++)
		lab_guest_sends(i, 100);
	for (unsigned int i = 0; i < 40; i++) {
		lab_run(NIC_TICK_NS);
		report(1);
	}
	assert_int_equal(lab.nic->resets, 0);
}

static void hardware_that_goes_away(void **state)
{
	char text[64];

	begin_running((uint16_t)(uintptr_t)*state);
	model.gone = true;
	lab_run(2 * NIC_TICK_NS);
	assert_int_equal(lab.nic->state, NIC_DEAD);
	lab_guest_sends(1, 100);
	assert_int_equal(lab.nic->port.count, 0);
	lab_run(10 * NIC_TICK_NS);
	assert_non_null(strstr(lab.log, "does not answer: out of order"));
	nic_describe(&lab.nic->port, text, sizeof(text));
	assert_non_null(strstr(text, "out of order"));
}

static void hardware_that_stays_in_reset(void **state)
{
	begin((uint16_t)(uintptr_t)*state);
	model.stays_in_reset = true;
	lab_probe(e1000_probe, true);
	lab_run((NIC_START_TICKS + 3) * NIC_TICK_NS);
	assert_int_equal(lab.nic->state, NIC_DEAD);
	assert_non_null(strstr(lab.log, "does not start: out of order"));
}

static void messages_that_get_lost(void **state)
{
	(void)state;
	begin_running(ID_82574L);
	lab.loses_messages = true;
	for (unsigned int i = 0; i < 4; i++) {
		receive(i, 100);
		lab_run(NIC_TICK_NS);
	}
	for (int i = 0; i < 4; i++)
		lab_check_guest_got(i, 100);
	assert_true(lab.nic->polled);
	assert_non_null(strstr(lab.log, "its interrupts do not arrive: it is polled"));
	receive(9, 100);
	lab_run(NIC_SLOW_NS);
	lab_check_guest_got(9, 100);
}

static void a_message_for_many(void **state)
{
	(void)state;
	begin_running(ID_82574L);
	lab.messages = 0;
	for (unsigned int i = 0; i < 10; i++)
		receive(i, 100);
	lab_run(NS_PER_US);
	assert_true(lab.messages <= 2); /* the second finds nothing more */
	lab.messages = 0;
	for (int i = 0; i < 10; i++)
		lab_check_guest_got(i, 100);
	/* Sending asks for none while there is room. */
	for (unsigned int i = 0; i < 100; i++)
		lab_guest_sends(i, 100);
	lab_run(NS_PER_US);
	assert_int_equal(lab.messages, 0);
	assert_int_equal(model.wire_count, 100);
}

static unsigned int expiries_in(uint64_t ns)
{
	unsigned int before = fake_clock_expiries();

	lab_run(ns);
	return fake_clock_expiries() - before;
}

static void polling_adapts(void **state)
{
	unsigned int count;

	(void)state;
	begin(ID_82540EM);
	lab_probe(e1000_probe, false);
	lab_run(SETTLED_NS);
	count = expiries_in(NS_PER_SEC);
	assert_true(count >= 3 && count <= 5);
	assert_int_equal(net_plug(lab.net, &lab.nic->port), 0);
	lab_run(SETTLED_NS);
	count = expiries_in(NS_PER_SEC);
	assert_true(count >= 450 && count <= 550);
	lab_guest_sends(1, 100);
	lab_run(NIC_SLOW_NS);
	count = expiries_in(10 * NS_PER_MS);
	assert_true(count >= 90 && count <= 110);
	lab_run(20 * NS_PER_MS);
	count = expiries_in(100 * NS_PER_MS);
	assert_true(count >= 45 && count <= 55);
	receive(1, 100);
	lab_run(NIC_SLOW_NS);
	count = expiries_in(10 * NS_PER_MS);
	assert_true(count >= 90 && count <= 110);
}

static void the_address_comes_from_the_eeprom(void **state)
{
	begin((uint16_t)(uintptr_t)*state);
	model.forgets_mac = true;
	reset_model();
	lab_probe(e1000_probe, true);
	assert_non_null(lab.nic);
	assert_memory_equal(lab.nic->port.mac, lab_nic_mac, 6);
	lab_run(SETTLED_NS);
	assert_int_equal(REG(E1000_RAH(0)), lab_nic_mac[4] | (uint32_t)lab_nic_mac[5] << 8 | RAH_VALID);
}

static void without_an_address_it_is_not_used(void **state)
{
	begin((uint16_t)(uintptr_t)*state);
	model.forgets_mac = true;
	model.no_eeprom = true;
	reset_model();
	lab_probe(e1000_probe, true);
	assert_null(lab.nic);
	assert_non_null(strstr(lab.log, "cannot be used"));
}

static void what_has_no_driver_is_left_alone(void **state)
{
	(void)state;
	begin(0x1533);
	assert_false(e1000_probe(&lab.pci));
	lab.pci.vendor = 0x1af4;
	lab.pci.device = ID_82540EM;
	assert_false(e1000_probe(&lab.pci));
	assert_null(lab.pci.driver);
}

static void without_memory_there_is_no_nic(void **state)
{
	(void)state;
	for (int left = 0; left < 3; left++) {
		begin(ID_82574L);
		fake_frames_until_failure = left;
		lab_probe(e1000_probe, true);
		assert_null(lab.nic);
	}
}

/* Anything at any time: frames, links, hangs; afterwards all is as it should be. */
static void random_troubles(void **state)
{
	begin_running((uint16_t)(uintptr_t)*state);
	for (unsigned int i = 0; i < 3000; i++) {
		switch (rand() % 12) {
		case 0: set_link(rand() % 4); break;
		case 1: model.hangs = rand() % 8 == 0; break;
		case 2: model.holds = rand() % 2; break;
		case 3: report((unsigned int)rand() % 300); break;
		case 4: lab_run((uint64_t)rand() % (300 * NS_PER_MS)); break;
		case 5: receive_raw(&model, (uint16_t)rand(), (uint8_t)rand() | RX_STATUS_DONE, (uint8_t)rand()); break;
		case 6: case 7: receive(i, 100); break;
		default: lab_guest_sends(i, 60 + (uint32_t)rand() % 1400); break;
		}
		model.wire_count = 0;
		net_flush(&lab.guest);
	}
	model.hangs = model.holds = false;
	set_link(true);
	lab_run(4 * NS_PER_SEC);
	net_flush(&lab.guest);
	model.wire_count = 0;
	lab_guest_sends(5, 100);
	receive(6, 100);
	lab_run(NIC_SLOW_NS);
	check_wire(0, 5, 100);
	lab_check_guest_got(6, 100);
	assert_int_equal(lab.nic->rx_count, NIC_RING - 1);
}

#define ON(name, id) { #name " (" #id ")", name, NULL, NULL, (void *)id }
#define BOTH(name) ON(name, ID_82540EM), ON(name, ID_82574L)

int main(void)
{
	const struct CMUnitTest first[] = {
		BOTH(it_starts),
		BOTH(nothing_is_received_before_it_is_plugged_in),
		BOTH(frames_go_out_and_come_in),
		BOTH(what_comes_broken_is_dropped),
		BOTH(a_full_ring_waits),
		BOTH(more_than_ring_and_queue_is_dropped_and_counted),
		BOTH(a_burst_is_taken_in_portions),
		BOTH(without_memory_frames_are_dropped),
		BOTH(without_a_link_nothing_waits),
		BOTH(a_transmitter_that_hangs_is_reset),
		BOTH(a_slow_transmitter_is_not_reset),
		BOTH(hardware_that_goes_away),
		BOTH(hardware_that_stays_in_reset),
		cmocka_unit_test(messages_that_get_lost),
		cmocka_unit_test(a_message_for_many),
		cmocka_unit_test(polling_adapts),
		BOTH(the_address_comes_from_the_eeprom),
		BOTH(without_an_address_it_is_not_used),
		cmocka_unit_test(what_has_no_driver_is_left_alone),
		cmocka_unit_test(without_memory_there_is_no_nic),
		BOTH(random_troubles),
	};

	srand(3);
	return cmocka_run_group_tests(first, NULL, NULL);
}
