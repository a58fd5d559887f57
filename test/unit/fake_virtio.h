/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM for tests of one virtio device: real guest memory and real rings, a transport that counts
 * interrupts, deferred work that runs when the test says so. Any number of VMs.
 */
#ifndef BALLAST_TEST_FAKE_VIRTIO_H
#define BALLAST_TEST_FAKE_VIRTIO_H

#include "devices/virtio/virtio.h"
#include "test/unit/fake_driver.h"

#define FAKE_VIRTIO_QUEUES 6
#define FAKE_VIRTIO_RAM MIB(8)

struct fake_virtio {
	struct vm vm;
	struct virtio_device *device;        /* once it was added */
	struct fake_driver queues[FAKE_VIRTIO_QUEUES];
	unsigned int signals[FAKE_VIRTIO_QUEUES], config_signals;
	int add_error;                       /* what virtio_add() is to say */
};

/* A VM with RAM from 0 on; its queues lie in the first MiB. */
void fake_virtio_create(struct fake_virtio *fake, const char *name);
/* The VM goes, and its device with it. */
void fake_virtio_destroy(struct fake_virtio *fake);
/* The driver: negotiate exactly these features (and version 1), queues of `size`, DRIVER_OK. */
void fake_virtio_start(struct fake_virtio *fake, uint64_t features, uint16_t size);
void fake_virtio_reset(struct fake_virtio *fake);
void fake_virtio_notify(struct fake_virtio *fake, unsigned int queue);
/* Needs a reset by its driver? */
bool fake_virtio_is_broken(const struct fake_virtio *fake);
/* Run what all VMs have put off, at most `most` pieces: how many there were. */
unsigned int fake_virtio_work(unsigned int most);

#endif
