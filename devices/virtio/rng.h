/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-rng (Virtual I/O Device Version 1.2, "Entropy Device"). */
#ifndef BALLAST_DEVICES_VIRTIO_RNG_H
#define BALLAST_DEVICES_VIRTIO_RNG_H

#include "devices/virtio/virtio.h"

/* As virtio_add(). -ENODEV: this machine has no source of randomness. */
int virtio_rng_create(struct vm *vm, struct pci *pci) __must_check;

#endif
