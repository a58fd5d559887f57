/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-balloon (Virtual I/O Device Version 1.2, "Traditional Memory Balloon Device"): the guest
 * gives pages up when the memory economy asks for them, reports those that it does not use, and
 * tells how it is doing for memory. See vcpu/balloon_port.h for the economy's side.
 *
 * Which features are offered, and why:
 * - MUST_TELL_HOST is not. A page that was taken in is touched again without harm at any time: it
 *   is one of zeroes then. So a guest in need does not have to wait for us.
 * - DEFLATE_ON_OOM is: a target that is too high costs the guest its caches, not its programs.
 * - STATS_VQ is.
 * - FREE_PAGE_HINT is, so that queues have the same numbers for all drivers, but its command id
 *   stays VIRTIO_BALLOON_CMD_ID_STOP. Hints are made for migration: the guest may use a page again
 *   as soon as it has hinted it, before we look, and only who has logged its writes since the
 *   command can tell. We do not, so a hint is not safe to act on. What comes is given back.
 * - PAGE_REPORTING is. A reported page is the guest's again once its buffer was given back, which
 *   happens when all pages of the buffer have been given up.
 * - PAGE_POISON is. A driver that has negotiated it expects reported pages to have that value
 *   later on, and they come back as zeroes: with any other value reports change nothing.
 */
#ifndef BALLAST_DEVICES_VIRTIO_BALLOON_H
#define BALLAST_DEVICES_VIRTIO_BALLOON_H

#include "devices/virtio/virtio.h"

/* As virtio_add(); vm->balloon is the device's from then on. Before the VM runs. */
int virtio_balloon_create(struct vm *vm, struct pci *pci) __must_check;

#endif
