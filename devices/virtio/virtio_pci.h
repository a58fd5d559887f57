/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI transport of a virtio device (Virtual I/O Device Version 1.2, "Virtio Over PCI Bus"),
 * without the legacy interface. BAR 0 is a port for notifications, which costs a guest and us far
 * less than a store to memory that has to be decoded; BAR 1 is memory and has all structures:
 *
 *	0x0000	common configuration
 *	0x0100	ISR status
 *	0x0200	notifications, for a system without ports
 *	0x1000	the device's own configuration
 *	0x2000	MSI-X table
 *	0x3000	MSI-X pending bits
 *
 * All under vm.lock, but for creation and destruction.
 */
#ifndef BALLAST_DEVICES_VIRTIO_VIRTIO_PCI_H
#define BALLAST_DEVICES_VIRTIO_VIRTIO_PCI_H

#include "devices/pci_msix.h"
#include "devices/virtio/virtio.h"

struct virtio_pci {
	struct pci_function function;
	struct pci_msix msix;
	struct virtio_device *device;        /* [I] */
	unsigned int window;                 /* [I] offset of the PCI_CFG capability */
	/* What the driver has written. */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint16_t queue_vectors[VIRTIO_MAX_RINGS];
	uint8_t isr;
};

/* device->pci, plugged in; -ENOMEM, -ENOSPC. Boot CPU, without vm.lock, which it takes. */
int virtio_pci_create(struct vm *vm, struct pci *pci, struct virtio_device *device) __must_check;
/* The VM is being destroyed. NULL is fine. */
void virtio_pci_destroy(struct virtio_pci *transport);
/* The driver resets the device: vectors, selectors and interrupts go. */
void virtio_pci_forget(struct virtio_pci *transport);
/* Power-up of the PCI function. */
void virtio_pci_reset(struct virtio_pci *transport);

void virtio_pci_signal(struct virtio_pci *transport, unsigned int queue);
void virtio_pci_signal_config(struct virtio_pci *transport);
unsigned int virtio_pci_slot(const struct virtio_pci *transport);

/* The structures in BAR 1: devices/virtio/virtio_pci_config.c. `size` is 1, 2 or 4. */
uint32_t virtio_pci_read_common(struct virtio_pci *transport, unsigned int offset,
	unsigned int size);
void virtio_pci_write_common(struct virtio_pci *transport, unsigned int offset, unsigned int size,
	uint32_t value);

#endif
