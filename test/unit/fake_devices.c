/* SPDX-License-Identifier: BSD-2-Clause */
#include "test/unit/fake_devices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "devices/virtio/blk.h"
#include "devices/virtio/net.h"
#include "devices/virtio/balloon.h"
#include "devices/virtio/rng.h"

struct fake_devices devices;

void fake_devices_reset(void)
{
	static const char *const names[FAKE_DISKS] = {
		"nvme0", "nvme0p1", "nvme0p2", "\\images\\base.img", "sealed0",
	};

	for (size_t i = 0; i < FAKE_DISKS; i++)
		assert_int_equal(devices.disks[i].readers + devices.disks[i].writers, 0);
	assert_int_equal(devices.overlays, 0);
	memset(&devices, 0, sizeof(devices));
	for (size_t i = 0; i < FAKE_DISKS; i++) {
		snprintf(devices.disks[i].name, BLOCK_NAME_BYTES, "%s", names[i]);
		devices.disks[i].sectors = 2048;
	}
	devices.disks[FAKE_NVME0P1].parent = &devices.disks[FAKE_NVME0];
	devices.disks[FAKE_NVME0P2].parent = &devices.disks[FAKE_NVME0];
	devices.disks[FAKE_SEALED].read_only = true;
	devices.input_room = sizeof(devices.input);
}

/* --- host/block --- */

struct block_device *block_at(size_t index)
{
	return index < FAKE_DISKS ? &devices.disks[index] : NULL;
}

struct block_device *block_find(const char *name)
{
	for (size_t i = 0; i < FAKE_DISKS; i++)
		if (strcmp(devices.disks[i].name, name) == 0)
			return &devices.disks[i];
	return NULL;
}

static bool in_use(const struct block_device *device, bool by_writers)
{
	for (size_t i = 0; i < FAKE_DISKS; i++) {
		const struct block_device *other = &devices.disks[i];

		if (other != device && other->parent != device && device->parent != other)
			continue;
		if (other->writers || (other->readers && !by_writers))
			return true;
	}
	return false;
}

int block_open(struct block_device *device, enum block_open how)
{
	if (in_use(device, how == BLOCK_OPEN_READ))
		return -EBUSY;
	if (how == BLOCK_OPEN_WRITE && device->read_only)
		return -EROFS;
	if (how == BLOCK_OPEN_WRITE)
		device->writers++;
	else
		device->readers++;
	return 0;
}

void block_close(struct block_device *device, enum block_open how)
{
	unsigned int *count = how == BLOCK_OPEN_WRITE ? &device->writers : &device->readers;

	assert_true(*count > 0);
	--*count;
}

int overlay_create(struct block_device *base, uint64_t limit_bytes, struct block_device **out)
{
	struct block_device *overlay;

	assert_true(base->readers > 0);
	if (devices.overlay_error)
		return devices.overlay_error;
	overlay = calloc(1, sizeof(*overlay));
	snprintf(overlay->description, sizeof(overlay->description), "%.60s", base->name);
	devices.limit_bytes = limit_bytes;
	devices.overlays++;
	*out = overlay;
	return 0;
}

void overlay_destroy(struct block_device *overlay)
{
	struct block_device *base = block_find(overlay->description);

	assert_true(base->readers + base->writers > 0);
	assert_int_equal(overlay->readers + overlay->writers, 0);
	assert_true(devices.overlays > 0);
	devices.overlays--;
	free(overlay);
}

void overlay_get_stats(struct block_device *overlay, struct overlay_stats *stats)
{
	(void)overlay;
	*stats = devices.stats;
}

void overlay_discard(struct block_device *overlay)
{
	(void)overlay;
	devices.discarded++;
}

void overlay_commit(struct block_device *overlay, void (*done)(void *argument, int error),
	void *argument)
{
	assert_int_equal(block_find(overlay->description)->writers, 1);
	devices.committed = done;
	devices.argument = argument;
}

/* --- host/net --- */

struct net_switch *net_find(const char *name, bool create)
{
	for (size_t i = 0; i < ARRAY_SIZE(devices.networks); i++) {
		if (!devices.networks[i][0] && create)
			snprintf(devices.networks[i], NET_NAME_BYTES, "%s", name);
		if (strcmp(devices.networks[i], name) == 0)
			return (struct net_switch *)devices.networks[i];
	}
	return NULL;
}

struct net_switch *net_at(size_t index)
{
	return index < ARRAY_SIZE(devices.networks) && devices.networks[index][0] ?
		(struct net_switch *)devices.networks[index] : NULL;
}

const char *net_name(const struct net_switch *net)
{
	return (const char *)net;
}

struct net_port *net_port_at(struct net_switch *net, size_t index)
{
	for (size_t i = 0; i < devices.nets; i++)
		if (devices.port[i].net == net && index-- == 0)
			return &devices.port[i];
	return NULL;
}

int net_plug(struct net_switch *net, struct net_port *port)
{
	port->net = net;
	return 0;
}

void net_make_mac(uint8_t mac[ETH_ALEN])
{
	static uint8_t next;

	memset(mac, 0, ETH_ALEN);
	mac[0] = 2;
	mac[5] = ++next;
}

struct net_port *net_nic_at(size_t index)
{
	snprintf(devices.nic.name, sizeof(devices.nic.name), "nic0");
	return index == 0 && devices.has_nic ? &devices.nic : NULL;
}

/* --- devices/virtio --- */

int virtio_blk_create(struct vm *vm, struct pci *pci, struct block_device *backing,
	const char *serial, struct virtio_blk **out)
{
	(void)vm;
	(void)pci;
	if (devices.blk_error)
		return devices.blk_error;
	devices.backing[devices.blks] = backing;
	snprintf(devices.serials[devices.blks], sizeof(devices.serials[0]), "%s", serial);
	devices.blks++;
	*out = (struct virtio_blk *)backing;
	return 0;
}

int virtio_net_create(struct vm *vm, struct pci *pci, struct net_switch *net,
	const struct virtio_net_options *options, struct virtio_net **out)
{
	struct net_port *port = &devices.port[devices.nets];

	(void)vm;
	(void)pci;
	if (devices.net_error)
		return devices.net_error;
	snprintf(port->name, sizeof(port->name), "%s", options->name);
	memcpy(port->mac, options->mac, ETH_ALEN);
	port->rate_bytes = options->rate_bytes;
	port->net = net;
	devices.nets++;
	*out = (struct virtio_net *)port;
	return 0;
}

int virtio_console_create(struct vm *vm, struct pci *pci, struct virtio_console_port *ports,
	unsigned int count, struct virtio_console **out)
{
	(void)vm;
	(void)pci;
	if (devices.console_error)
		return devices.console_error;
	devices.ports = ports;
	devices.port_count = count;
	devices.consoles++;
	*out = (struct virtio_console *)ports;
	return 0;
}

size_t virtio_console_input(struct virtio_console *console, unsigned int port,
	const uint8_t *bytes, size_t count)
{
	size_t used = strlen(devices.input), taken = MIN(count, devices.input_room - used);

	(void)console;
	assert_int_equal(port, 0);
	memcpy(devices.input + used, bytes, taken);
	return taken;
}

void virtio_console_output_ready(struct virtio_console *console, unsigned int port)
{
	(void)console;
	(void)port;
}

int virtio_rng_create(struct vm *vm, struct pci *pci)
{
	(void)vm;
	(void)pci;
	if (!devices.rng_error)
		devices.rngs++;
	return devices.rng_error;
}

int virtio_balloon_create(struct vm *vm, struct pci *pci)
{
	(void)vm;
	(void)pci;
	if (!devices.balloon_error)
		devices.balloons++;
	return devices.balloon_error;
}
