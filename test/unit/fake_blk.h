/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM with one virtio-blk on a fake disk, in real guest memory and with real rings and deferred work, but without
 * CPUs and PCI: a test plays the driver, the disk and the vCPU that does the work. One instance.
 */
#ifndef BALLAST_TEST_FAKE_BLK_H
#define BALLAST_TEST_FAKE_BLK_H

#include <linux/virtio_blk.h>

#include "devices/virtio/blk.h"
#include "test/unit/fake_disk.h"
#include "test/unit/fake_driver.h"

#define FAKE_BLK_QUEUES 4
#define FAKE_BLK_QUEUE_SIZE 128
#define FAKE_BLK_RAM_BYTES MIB(12)
/* RAM below is in pages of 4 KiB that are scattered over the host, above in pages of 2 MiB. */
#define FAKE_BLK_LARGE_START MIB(4)
/* Rings of each queue; requests' own places begin after them. */
#define FAKE_BLK_RINGS(queue) (FAKE_BLK_LARGE_START + (queue) * 0x10000ULL)
#define FAKE_BLK_FREE (FAKE_BLK_LARGE_START + 0x40000ULL)

struct fake_blk {
	struct vm vm;
	struct vcpu vcpus[FAKE_BLK_QUEUES];
	struct fake_disk disk;
	struct virtio_blk *blk;
	struct virtio_device *device;
	struct fake_driver drivers[FAKE_BLK_QUEUES];
	unsigned int signals[FAKE_BLK_QUEUES];
	unsigned int config_signals;
	unsigned int work_requests; /* how often a vCPU was asked to do work */
};

extern struct fake_blk fake_blk;

/* A VM without its disk yet; `disk` may be changed. */
void fake_blk_begin(unsigned int vcpu_count);
/* The disk, open for writing or reading; 0 or virtio_blk_create()'s error. */
int fake_blk_create(const char *serial, enum block_open how);
void fake_blk_end(void);

/* The driver resets the device and sets up all queues. */
void fake_blk_start(uint64_t features);
/* Offer a chain, and notify if the device wants it. */
void fake_blk_offer(unsigned int queue, uint16_t head, bool event_index);
void fake_blk_notify(unsigned int queue);
void fake_blk_write_status(uint8_t status);
/* Work is done until there is none: how many turns it took. */
unsigned int fake_blk_work(void);

#endif
