/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks, overlays, networks and virtio devices that are records alone. */
#ifndef BALLAST_TEST_FAKE_DEVICES_H
#define BALLAST_TEST_FAKE_DEVICES_H

#include "devices/virtio/console.h"
#include "host/block/overlay.h"
#include "host/net/net.h"

enum { FAKE_NVME0, FAKE_NVME0P1, FAKE_NVME0P2, FAKE_IMAGE, FAKE_SEALED, FAKE_DISKS };

struct fake_devices {
	struct block_device disks[FAKE_DISKS];
	unsigned int overlays;         /* there are now */
	struct overlay_stats stats;    /* of each of them */
	unsigned int discarded;
	void (*committed)(void *argument, int error); /* NULL: no commit is under way */
	void *argument;
	uint64_t limit_bytes;          /* of the last overlay */

	/* What the VMs were given since fake_devices_reset(). */
	struct block_device *backing[16];
	char serials[16][24];
	unsigned int blks, nets, consoles, rngs, balloons;
	struct virtio_console_port *ports; /* of the last console */
	unsigned int port_count;
	char input[64];                /* what hvc0 was given */
	size_t input_room;

	int blk_error, net_error, console_error, rng_error, balloon_error, overlay_error;
	struct net_port port[16];      /* of virtio_net_create(), and nic0 */
	struct net_port nic;
	bool has_nic;
	char networks[8][NET_NAME_BYTES];
};
extern struct fake_devices devices;

void fake_devices_reset(void);

#endif
