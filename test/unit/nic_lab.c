/* SPDX-License-Identifier: BSD-2-Clause */
/* See nic_lab.h. */
#include "test/unit/nic_lab.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <linux/pci_regs.h>

#include "host/cpu.h"
#include "host/log.h"
#include "test/unit/fake_clock.h"
#include "test/unit/fake_frames.h"

struct nic_lab lab;
const uint8_t lab_guest_mac[6] = { 0x02, 0, 0, 0, 0, 0x11 };
const uint8_t lab_other_mac[6] = { 0x02, 0, 0, 0, 0, 0x99 };
const uint8_t lab_nic_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

static void write_log(const char *format, va_list arguments)
{
	size_t used = strlen(lab.log);

	vsnprintf(lab.log + used, sizeof(lab.log) - used, format, arguments);
	used = strlen(lab.log);
	snprintf(lab.log + used, sizeof(lab.log) - used, "\n");
}

void log_line(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_log(format, arguments);
	va_end(arguments);
}

void log_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	write_log(format, arguments);
	va_end(arguments);
}

unsigned int cpu_count(void)
{
	return 2;
}

uint32_t host_pci_read(const struct host_pci_device *pci, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	assert_ptr_equal(pci, &lab.pci);
	assert_true(offset + size <= sizeof(lab.config));
	memcpy(&value, lab.config + offset, size);
	return value;
}

void host_pci_write(const struct host_pci_device *pci, unsigned int offset, unsigned int size, uint32_t value)
{
	assert_ptr_equal(pci, &lab.pci);
	assert_true(offset + size <= sizeof(lab.config));
	memcpy(lab.config + offset, &value, size);
}

/* MSI-X is somewhere, virtio's capabilities are where the test put them: in a list from 0x40 on. */
unsigned int host_pci_find_capability(const struct host_pci_device *pci, uint8_t id)
{
	if (id == PCI_CAP_ID_MSIX)
		return lab.has_msix ? 0xf0 : 0;
	if (id == PCI_CAP_ID_VNDR)
		return lab.config[0x40] == id ? 0x40 : 0;
	(void)pci;
	return 0;
}

unsigned int host_pci_next_capability(const struct host_pci_device *pci, uint8_t id, unsigned int after)
{
	(void)id;
	return host_pci_read(pci, after + PCI_CAP_LIST_NEXT, 1);
}

void host_pci_decode(const struct host_pci_device *pci)
{
	(void)pci;
	lab.decodes = true;
}

void host_pci_enable(const struct host_pci_device *pci)
{
	(void)pci;
	lab.decodes = lab.master = true;
}

volatile void *host_pci_map_bar(struct host_pci_device *pci, unsigned int bar, uint64_t *bytes)
{
	(void)pci;
	*bytes = LAB_REGISTER_BYTES;
	return bar == 0 ? LAB_REGISTERS : NULL;
}

int host_pci_attach_interrupt(struct host_pci_device *pci, unsigned int index, unsigned int cpu,
	void (*handler)(void *argument), void *argument)
{
	(void)pci;
	assert_int_equal(index, 0);
	assert_true(cpu < cpu_count());
	lab.handler = handler;
	lab.argument = argument;
	return 0;
}

static void guest_hears(struct net_port *port)
{
	(void)port;
}

void lab_begin(void)
{
	/* The last one's hardware is no more; its timer neither. */
	if (lab.nic) {
		net_unplug(&lab.guest);
		net_unplug(&lab.nic->port);
	}
	memset(&lab, 0, sizeof(lab));
	lab.has_msix = true;
	fake_clock_reset(1);
	fake_frames_until_failure = -1;
}

static struct net_port *last_nic(void)
{
	struct net_port *port, *last = NULL;

	for (size_t i = 0; (port = net_nic_at(i)); i++)
		last = port;
	return last;
}

void lab_probe(bool (*probe)(struct host_pci_device *pci), bool plugged)
{
	struct net_port *before = last_nic();
	assert_true(probe(&lab.pci));
	assert_non_null(lab.pci.driver);
	if (last_nic() == before)
		return;
	lab.nic = container_of(last_nic(), struct nic, port);
	lab.net = net_find("lan0", true);
	assert_non_null(lab.net);
	lab.guest.deliver = guest_hears;
	memcpy(lab.guest.mac, lab_guest_mac, 6);
	assert_int_equal(net_plug(lab.net, &lab.guest), 0);
	if (plugged)
		assert_int_equal(net_plug(lab.net, &lab.nic->port), 0);
}

static void deliver_messages(void)
{
	for (unsigned int i = 0; lab.message; i++) {
		assert_true(i < 1000); /* each makes the next one: it never ends */
		lab.message = false;
		if (lab.loses_messages)
			return;
		lab.messages++;
		lab.handler(lab.argument);
	}
}

void lab_run(uint64_t ns)
{
	const uint64_t step = 10 * NS_PER_US;

	deliver_messages();
	for (; ns > step; ns -= step) {
		fake_clock_advance(step);
		deliver_messages();
	}
	fake_clock_advance(ns);
	deliver_messages();
}

void lab_make_frame(uint8_t *frame, unsigned int number, uint32_t bytes, const uint8_t *to, const uint8_t *from)
{
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	frame[12] = 0x88;
	frame[13] = 0xb5; /* for experiments: not IP */
	for (uint32_t i = 14; i < bytes; i++)
		frame[i] = (uint8_t)(number * 7 + i * 3 + (number >> 8));
}

void lab_guest_sends(unsigned int number, uint32_t bytes)
{
	struct net_packet *packet = net_packet_alloc(bytes);

	assert_non_null(packet);
	lab_make_frame(packet->data, number, bytes, lab_other_mac, lab_guest_mac);
	packet->bytes = bytes;
	net_send(&lab.guest, packet);
}

void lab_check_guest_got(int number, uint32_t bytes)
{
	struct net_packet *packet = net_take(&lab.guest);
	uint8_t frame[2048];

	if (number < 0) {
		assert_null(packet);
		return;
	}
	assert_non_null(packet);
	lab_make_frame(frame, (unsigned int)number, bytes, lab_guest_mac, lab_other_mac);
	assert_int_equal(packet->bytes, bytes);
	assert_memory_equal(packet->data, frame, bytes);
	net_packet_put(packet);
}
