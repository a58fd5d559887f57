/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The common configuration structure (Virtual I/O Device Version 1.2, "Common configuration
 * structure layout"); see devices/virtio/virtio_pci.h.
 */
#include <linux/virtio_pci.h>

#include "devices/virtio/virtio_pci.h"

/* NULL: there is no such queue. */
static struct virtio_ring *selected(struct virtio_pci *transport)
{
	struct virtio_device *device = transport->device;

	return transport->queue_select < device->ring_count ?
		&device->rings[transport->queue_select] :
		NULL;
}

/* 32 bits of a set of 64. */
static uint32_t half(uint64_t features, uint32_t select)
{
	return select < 2 ? features >> (32 * select) : 0;
}

/* A double word of what concerns the selected queue. */
static uint32_t queue_word(struct virtio_pci *transport, unsigned int offset)
{
	const struct virtio_ring *ring = selected(transport);

	if (!ring)
		return 0;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return ring->size |
			(uint32_t)transport->queue_vectors[transport->queue_select] << 16;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return ring->enabled; /* and notify offset 0: the number that is written tells */
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		return ring->descriptors;
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		return ring->descriptors >> 32;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		return ring->available;
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		return ring->available >> 32;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		return ring->used;
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return ring->used >> 32;
	default:
		return 0;
	}
}

static uint32_t word(struct virtio_pci *transport, unsigned int offset)
{
	const struct virtio_device *device = transport->device;

	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return transport->device_feature_select;
	case VIRTIO_PCI_COMMON_DF:
		return half(device->offered, transport->device_feature_select);
	case VIRTIO_PCI_COMMON_GFSELECT:
		return transport->driver_feature_select;
	case VIRTIO_PCI_COMMON_GF:
		return half(device->accepted, transport->driver_feature_select);
	case VIRTIO_PCI_COMMON_MSIX:
		return transport->config_vector | device->ring_count << 16;
	case VIRTIO_PCI_COMMON_STATUS:
		return device->status | (uint32_t)device->config_generation << 8 |
			(uint32_t)transport->queue_select << 16;
	default:
		return queue_word(transport, offset);
	}
}

uint32_t virtio_pci_read_common(struct virtio_pci *transport, unsigned int offset,
	unsigned int size)
{
	(void)size;
	return word(transport, offset & ~3U) >> (8 * (offset & 3));
}

static void write_features(struct virtio_pci *transport, uint32_t value)
{
	struct virtio_device *device = transport->device;
	unsigned int shift = 32 * transport->driver_feature_select;

	if (transport->driver_feature_select >= 2 || device->resetting ||
		(device->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	device->accepted &= ~(0xffffffffULL << shift);
	device->accepted |= (uint64_t)value << shift;
}

/* What there is no vector for reads back as none, which tells the driver. */
static uint16_t checked_vector(const struct virtio_pci *transport, uint32_t value)
{
	return value < transport->msix.count ? value : VIRTIO_MSI_NO_VECTOR;
}

static void write_16(struct virtio_pci *transport, unsigned int offset, uint16_t value)
{
	struct virtio_ring *ring = selected(transport);

	if (offset == VIRTIO_PCI_COMMON_MSIX) {
		transport->config_vector = checked_vector(transport, value);
		return;
	}
	if (offset == VIRTIO_PCI_COMMON_Q_SELECT) {
		transport->queue_select = value;
		return;
	}
	if (!ring)
		return;
	if (offset == VIRTIO_PCI_COMMON_Q_MSIX)
		transport->queue_vectors[transport->queue_select] =
			checked_vector(transport, value);
	else if (offset == VIRTIO_PCI_COMMON_Q_SIZE && !ring->enabled)
		ring->size = value;
	else if (offset == VIRTIO_PCI_COMMON_Q_ENABLE && value == 1)
		virtio_enable_queue(transport->device, transport->queue_select);
}

static void set_half(gpa_t *address, bool upper, uint32_t value)
{
	*address = upper ? (uint32_t)*address | (uint64_t)value << 32 :
			   (*address & ~0xffffffffULL) | value;
}

/* Where a ring lies is settled when it is enabled. */
static void write_address(struct virtio_pci *transport, unsigned int offset, uint32_t value)
{
	struct virtio_ring *ring = selected(transport);
	bool upper = offset & 4;

	if (!ring || ring->enabled)
		return;
	switch (offset & ~4U) {
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		set_half(&ring->descriptors, upper, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		set_half(&ring->available, upper, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		set_half(&ring->used, upper, value);
		break;
	}
}

static void write_32(struct virtio_pci *transport, unsigned int offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		transport->device_feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		transport->driver_feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		write_features(transport, value);
		break;
	default:
		write_address(transport, offset, value);
		break;
	}
}

/* Each field by an access of its own width, as the specification has it; others change nothing. */
void virtio_pci_write_common(struct virtio_pci *transport, unsigned int offset, unsigned int size,
	uint32_t value)
{
	if (size == 1 && offset == VIRTIO_PCI_COMMON_STATUS)
		virtio_write_status(transport->device, value);
	else if (size == 2)
		write_16(transport, offset, value);
	else if (size == 4)
		write_32(transport, offset, value);
}
